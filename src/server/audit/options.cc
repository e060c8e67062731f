#include "server/audit/options.h"

#include <cstdlib>

#include "base/encoding.h"

namespace keles::audit {
namespace {

constexpr const char* kModes = "batch,blocking,blocking-strict";

void add_batch(Flags& f, const std::string& name, BatchOptions& o) {
  const std::string flag = "audit-" + name + "-";
  f.add(flag + "mode", &o.mode,
        std::string("Strategy for sending audit events. Blocking indicates sending events should "
                    "block server responses. Batch causes the backend to buffer and write events "
                    "asynchronously. Known modes are ") +
            kModes + ".");
  f.add(flag + "batch-buffer-size", &o.buffer_size,
        "The size of the buffer to store events before batching and writing. Only used in batch "
        "mode.");
  f.add(flag + "batch-max-size", &o.max_size,
        "The maximum size of a batch. Only used in batch mode.");
  f.add(flag + "batch-max-wait", &o.max_wait,
        "The amount of time to wait before force writing the batch that hadn't reached the max "
        "size. Only used in batch mode.");
  f.add(flag + "batch-throttle-enable", &o.throttle,
        "Whether batching throttling is enabled. Only used in batch mode.");
  f.add(flag + "batch-throttle-qps", &o.throttle_qps,
        "Maximum average number of batches per second. Only used in batch mode.");
  f.add(flag + "batch-throttle-burst", &o.throttle_burst,
        "Maximum number of requests sent at the same moment if ThrottleQPS was not utilized "
        "before. Only used in batch mode.");
}

void add_truncate(Flags& f, const std::string& name, TruncateOptions& o) {
  const std::string flag = "audit-" + name + "-truncate-";
  f.add(flag + "enabled", &o.enabled, "Whether event and batch truncating is enabled.");
  f.add(flag + "max-batch-size", &o.max_batch_size,
        "Maximum size of the batch sent to the underlying backend. Actual serialized size can be "
        "several hundreds of bytes greater. If a batch exceeds this limit, it is split into "
        "several batches of smaller size.");
  f.add(flag + "max-event-size", &o.max_event_size,
        "Maximum size of the audit event sent to the underlying backend. If the size of an event "
        "is greater than this number, first request and response are removed, and if this doesn't "
        "reduce the size enough, event is discarded.");
}

Status positive(const std::string& what, const std::string& shown, bool positive) {
  if (positive) return {};
  return Status::bad_request("invalid audit batch " + what + " " + shown +
                             ", must be a positive number");
}

bool read_number(const std::string& text, double* out) {
  char* end = nullptr;
  *out = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0';
}

Status check_batch(const std::string& name, const BatchOptions& o) {
  if (o.mode != "batch" && o.mode != "blocking" && o.mode != "blocking-strict") {
    return Status::bad_request("invalid audit " + name + " mode " + o.mode +
                               ", allowed modes are " + quoted(kModes));
  }
  if (o.mode != "batch") return {};
  TRY(positive(name + " buffer size", std::to_string(o.buffer_size), o.buffer_size > 0));
  TRY(positive(name + " max batch size", std::to_string(o.max_size), o.max_size > 0));
  if (!o.throttle) return {};
  double qps = 0;
  const bool number = read_number(o.throttle_qps, &qps);
  TRY(positive(name + " throttle QPS", o.throttle_qps, number && qps > 0));
  return positive(name + " throttle burst", std::to_string(o.throttle_burst), o.throttle_burst > 0);
}

Status check_truncate(const std::string& name, const TruncateOptions& o) {
  if (o.max_event_size <= 0) {
    return Status::bad_request("invalid audit truncate " + name + " max event size " +
                               std::to_string(o.max_event_size) + ", must be a positive number");
  }
  if (o.max_batch_size >= o.max_event_size) return {};
  return Status::bad_request(
      "invalid audit truncate " + name + " max batch size " + std::to_string(o.max_batch_size) +
      ", must be greater than max event size (" + std::to_string(o.max_event_size) + ")");
}

Status check_version(const char* flag, const std::string& version) {
  if (version == "audit.k8s.io/v1") return {};
  return Status::bad_request(std::string(flag) + ": " + quoted(version) +
                             ": invalid group version, allowed versions are \"audit.k8s.io/v1\"");
}

Status not_negative(const char* flag, int64_t n) {
  if (n >= 0) return {};
  return Status::bad_request(std::string(flag) + " " + std::to_string(n) +
                             " can't be a negative number");
}

}  // namespace

double BatchOptions::qps() const {
  double out = 0;
  (void)read_number(throttle_qps, &out);
  return out;
}

Options::Options() {
  log.batch.mode = "blocking";
  webhook.batch.mode = "batch";
  webhook.batch.max_size = 400;
  webhook.batch.max_wait = 30s;
  webhook.batch.throttle = true;
  webhook.batch.throttle_qps = "10";
  webhook.batch.throttle_burst = 15;
}

void add_flags(Flags& f, Options& o) {
  f.add("audit-policy-file", &o.policy_file,
        "Path to the file that defines the audit policy configuration. Without it nothing is "
        "audited.");
  f.add("audit-log-path", &o.log.path,
        "If set, all requests coming to the apiserver will be logged to this file. '-' means "
        "standard out.");
  f.add("audit-log-maxage", &o.log.max_age,
        "The maximum number of days to retain old audit log files based on the timestamp encoded "
        "in their filename. 0: they are not removed based on age.");
  f.add("audit-log-maxbackup", &o.log.max_backups,
        "The maximum number of old audit log files to retain. 0: no restriction.");
  f.add("audit-log-maxsize", &o.log.max_size,
        "The maximum size in megabytes of the audit log file before it gets rotated. 0 disables "
        "rotation.");
  f.add("audit-log-format", &o.log.format,
        "Format of saved audits. \"legacy\" indicates 1-line text format for each event. \"json\" "
        "indicates structured json format. Known formats are legacy,json.");
  f.add("audit-log-version", &o.log.version,
        "API group and version used for serializing audit events written to log.");
  f.add("audit-log-compress", &o.log.compress,
        "If set, the rotated log files will be compressed using gzip.");
  add_batch(f, "log", o.log.batch);
  add_truncate(f, "log", o.log.truncate);
  f.add("audit-webhook-config-file", &o.webhook.config_file,
        "Path to a kubeconfig formatted file that defines the audit webhook configuration.");
  f.add("audit-webhook-initial-backoff", &o.webhook.initial_backoff,
        "The amount of time to wait before retrying the first failed request.");
  f.add("audit-webhook-batch-initial-backoff", &o.webhook.initial_backoff,
        "Deprecated: --audit-webhook-initial-backoff.");
  f.add("audit-webhook-version", &o.webhook.version,
        "API group and version used for serializing audit events written to webhook.");
  add_batch(f, "webhook", o.webhook.batch);
  add_truncate(f, "webhook", o.webhook.truncate);
}

Status check(const Options& o) {
  if (!o.log.path.empty()) {
    TRY(check_batch("log", o.log.batch));
    TRY(check_truncate("log", o.log.truncate));
    TRY(check_version("--audit-log-version", o.log.version));
    if (o.log.format != "json" && o.log.format != "legacy") {
      return Status::bad_request("invalid audit log format " + o.log.format +
                                 ", allowed formats are \"legacy,json\"");
    }
    TRY(not_negative("--audit-log-maxage", o.log.max_age));
    TRY(not_negative("--audit-log-maxbackup", o.log.max_backups));
    TRY(not_negative("--audit-log-maxsize", o.log.max_size));
  }
  if (!o.webhook.config_file.empty()) {
    TRY(check_batch("webhook", o.webhook.batch));
    TRY(check_truncate("webhook", o.webhook.truncate));
    TRY(check_version("--audit-webhook-version", o.webhook.version));
  }
  return {};
}

}  // namespace keles::audit
