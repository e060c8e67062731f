// The flags by which a server keeps its store in an etcd cluster, as upstream has them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/flags.h"
#include "base/loop.h"
#include "base/status.h"
#include "store/backend.h"
#include "store/store.h"
#include "store/transformer.h"

namespace keles {

struct EtcdFlags {
  std::vector<std::string> servers;  // none: the store is this process's own
  std::string ca_file, certificate_file, key_file;
  std::string prefix = "/registry";
  Duration compaction_interval = 5min;
  int64_t lease_reuse_seconds = 60;
  Duration event_life{};  // of Events, by leases; zero: for good
};

// All but --etcd-servers, which commands word for themselves.
void add_etcd_flags(Flags& f, EtcdFlags& etcd);

// Reads the files and the state. Blocking. `event_window`: events kept for watchers that come back.
Result<std::unique_ptr<Store>> open_etcd_store(const EtcdFlags& flags, size_t event_window,
                                               std::shared_ptr<Transformer> transformer);

// The state as it is stored there now. Blocking.
Result<Contents> read_etcd(const EtcdFlags& flags);

}  // namespace keles
