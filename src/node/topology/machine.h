// The machine as its CPUs and memory lie: sockets, NUMA nodes, cores, threads, the caches that
// cores share; what memory and which huge pages a NUMA node has, and how far they are apart. Read
// from a tree like /sys/devices/system (https://docs.kernel.org/admin-guide/cputopology.html), or
// described by a test.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "node/topology/cpu_set.h"

namespace keles::node {

struct CpuPlace {
  int numa = 0, socket = 0;
  int core = 0;   // the lowest of its threads' numbers: unique in the machine
  int cache = 0;  // the last level one (uncore); of its socket when the kernel tells of none
};

struct NumaMemory {
  uint64_t bytes = 0;
  std::map<uint64_t, uint64_t> huge_pages;  // how many, by their size in bytes
  std::vector<uint64_t> distances;          // to the nodes in the order of their numbers
};

// CPUs by what they belong to.
class CpuMap : public std::map<int, CpuPlace> {
 public:
  using Part = int CpuPlace::*;
  CpuSet cpus() const;
  CpuSet all(Part part) const;                    // the numbers that are there of it
  CpuSet in(Part part, int id) const;             // the CPUs of one
  CpuSet in(Part part, const CpuSet& ids) const;  // of several
  CpuSet of(Part what, Part part, int id) const;  // e.g. the cores in a socket
  CpuSet of(Part what, Part part, const CpuSet& ids) const;
  CpuMap only(const CpuSet& cpus) const;
};

struct Topology {
  CpuMap cpus;
  std::map<int, NumaMemory> numa;

  int count(CpuMap::Part part) const { return cpus.all(part).size(); }
  // As if all were alike: what is asked of a machine that is regular.
  int cpus_per(CpuMap::Part part) const;
  std::vector<int> numa_nodes() const;
};

// `root`: "/sys". Of CPUs that are online. A kernel without NUMA has one node, 0, with
// `memory_bytes`. Blocking. An error when there is no CPU to be seen.
Result<Topology> read_topology(const std::string& root, uint64_t memory_bytes);

}  // namespace keles::node
