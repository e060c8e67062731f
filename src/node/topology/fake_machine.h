// Machines for tests, described in a line.
#pragma once

#include "node/topology/machine.h"

namespace keles::node {

// CPUs 0 .. cores*threads-1: thread t of core c is CPU t*cores+c. Cores lie in NUMA nodes, NUMA
// nodes in sockets, in blocks; `interleaved`: in turns instead. `per_cache`: cores that share a
// cache; 0: a cache a socket.
struct MachineShape {
  int cores = 4, threads = 2, nodes = 1, sockets = 1, per_cache = 0;
  bool interleaved = false;
  uint64_t node_bytes = 1 << 30;
};
inline Topology machine_of(const MachineShape& s) {
  Topology out;
  for (int core = 0; core < s.cores; ++core) {
    for (int t = 0; t < s.threads; ++t) {
      CpuPlace& place = out.cpus[t * s.cores + core];
      place.core = core;
      place.numa = s.interleaved ? core % s.nodes : core * s.nodes / s.cores;
      place.socket = place.numa * s.sockets / s.nodes;
      place.cache = s.per_cache ? core / s.per_cache : place.socket;
    }
  }
  for (int n = 0; n < s.nodes; ++n) {
    out.numa[n].bytes = s.node_bytes;
    for (int m = 0; m < s.nodes; ++m) {
      const bool near = m * s.sockets / s.nodes == n * s.sockets / s.nodes;
      out.numa[n].distances.push_back(m == n ? 10 : near ? 12 : 20);
    }
  }
  return out;
}
inline CpuSet cpus(const char* list) { return CpuSet::parse(list).value_or({}); }

inline const MachineShape kOneSocket;  // 8 CPUs
inline const MachineShape kTwoSockets{.cores = 6, .nodes = 2, .sockets = 2, .interleaved = true};
inline const MachineShape kFourNodes{.cores = 40, .nodes = 4, .sockets = 2};

}  // namespace keles::node
