// The flags of auditing: upstream's, with its defaults and words.
#pragma once

#include <cstdint>
#include <string>

#include "base/flags.h"
#include "base/loop.h"
#include "base/status.h"

namespace keles::audit {

// How events get to a backend: `blocking` and `blocking-strict` as part of the request, `batch`
// behind it.
struct BatchOptions {
  std::string mode;
  int64_t buffer_size = 10'000;
  int64_t max_size = 1;
  Duration max_wait{};
  bool throttle = false;
  std::string throttle_qps = "0";
  int64_t throttle_burst = 0;
  double qps() const;  // of a checked text
};
struct TruncateOptions {
  bool enabled = false;
  int64_t max_batch_size = 10 * 1024 * 1024, max_event_size = 100 * 1024;
};
struct LogOptions {
  std::string path;                                          // "": no log; "-": standard output
  int64_t max_age = 366, max_backups = 100, max_size = 100;  // days, files, megabytes
  std::string format = "json", version = "audit.k8s.io/v1";
  bool compress = false;
  BatchOptions batch;
  TruncateOptions truncate;
};
struct WebhookOptions {
  std::string config_file;  // a kubeconfig; "": none
  std::string version = "audit.k8s.io/v1";
  Duration initial_backoff = 10s;
  BatchOptions batch;
  TruncateOptions truncate;
};
struct Options {
  Options();
  std::string policy_file;
  LogOptions log;
  WebhookOptions webhook;
};

void add_flags(Flags& f, Options& options);
// kBadRequest; what is not used is not looked at.
Status check(const Options& options);

}  // namespace keles::audit
