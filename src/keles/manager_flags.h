// The kubelet's flags of CPUs, memory and where they lie.
#pragma once

#include <string>
#include <vector>

#include "base/flags.h"
#include "base/status.h"
#include "node/managers/node_managers.h"

namespace keles {

struct ManagerFlags {
  void add(Flags& flags, node::ManagerOptions& options);
  // What was given, into `options`; kBadRequest when it is wrong.
  Status finish(node::ManagerOptions& options) const;

 private:
  std::vector<std::string> cpu_options_, topology_options_, reserved_memory_;
};

}  // namespace keles
