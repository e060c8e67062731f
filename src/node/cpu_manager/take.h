// Which CPUs of those that are free are given to a container: whole sockets, NUMA nodes, caches and
// cores as far as they are needed whole, or spread, as the options want (upstream:
// pkg/kubelet/cm/cpumanager/cpu_assignment.go). Pure.
#pragma once

#include "base/status.h"
#include "node/topology/machine.h"

namespace keles::node {

struct TakeOptions {
  bool spread_cores = false;  // distribute-cpus-across-cores
  bool by_cache = false;      // prefer-align-cpus-by-uncorecache
  bool spread_numa = false;   // distribute-cpus-across-numa
  int group = 1;              // with spread_numa: so many stay together
};

// `count` of `available`. "not enough cpus available to satisfy request: ...".
Result<CpuSet> take_cpus(const Topology& machine, const CpuSet& available, int count,
                         const TakeOptions& options);

}  // namespace keles::node
