// A store over an etcd cluster (v3, 3.4 or later), shared with whoever else keeps the same
// cluster's state there: other servers of keles, or upstream's. Keys and values are upstream's.
//
// The state is read once, at one revision, and followed by a watch of all keys from there, so that
// every revision is told, whoever made it. Writes are transactions on one key. Reads that must be
// the newest ask etcd for its revision and wait until the watch has told it. When the watch has
// missed what etcd has compacted, the state is read anew.
//
// Source: https://etcd.io/docs/v3.5/learning/api/, upstream's storage/etcd3 for keys and
// compaction.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "store/backend.h"
#include "store/store.h"
#include "store/transformer.h"

namespace keles {

struct EtcdOptions {
  std::vector<std::string> servers;  // URLs of its members
  std::string ca_pem;                // whom an https member must be signed by; "": the system's CAs
  std::string certificate_pem, key_pem;  // what it is shown; "": nothing
  std::string prefix = "/registry";      // of the cluster's keys; "/registry" in keles' own
  // How often what is older than this is forgotten, by one of all servers; 0: never.
  Duration compaction_interval = 5min;
  Duration start_timeout = 60s;  // for the first read of the state
  // Keys that begin so (as keles has them: "/registry/events/") are gone this long after they were
  // last written, or a little later: they hang on leases, which many share (leases.h).
  struct Life {
    std::string prefix;
    Duration life{};
  };
  std::vector<Life> lives;
  Duration lease_reuse = 60s;
};

// Blocking, until the state is there. kServiceUnavailable names the members and what they said.
Result<std::unique_ptr<Backend>> open_etcd_backend(const EtcdOptions& options);

struct ReplicaWindow {
  size_t events = 100'000;   // kept for watchers that come back, and at most
  size_t bytes = 32u << 20;  // this much of states that only those events hold
};
// A replica of it; `transformer` may be null.
Result<std::unique_ptr<Store>> open_etcd_store(const EtcdOptions& options, ReplicaWindow window,
                                               std::shared_ptr<Transformer> transformer);

}  // namespace keles
