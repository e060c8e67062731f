// Sets of CPUs, of NUMA nodes, of cores: small numbers. Written as the kernel writes them, "0-2,7"
// (https://man7.org/linux/man-pages/man7/cpuset.7.html, List format). Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::node {

class CpuSet {
 public:
  static constexpr int kMost = 8192;  // numbers are below it

  CpuSet() = default;
  CpuSet(std::initializer_list<int> cpus) : cpus_(cpus) {}
  template <class It>
  CpuSet(It from, It to) : cpus_(from, to) {}
  // "" is the empty set. kInvalid when it is no list, or names a number of kMost or more.
  static Result<CpuSet> parse(std::string_view text);

  bool contains(int cpu) const { return cpus_.contains(cpu); }
  bool empty() const { return cpus_.empty(); }
  int size() const { return static_cast<int>(cpus_.size()); }
  void add(int cpu) { cpus_.insert(cpu); }
  std::vector<int> list() const { return {cpus_.begin(), cpus_.end()}; }
  std::string to_string() const;

  CpuSet operator|(const CpuSet& o) const;
  CpuSet operator&(const CpuSet& o) const;
  CpuSet operator-(const CpuSet& o) const;
  bool within(const CpuSet& o) const { return (*this - o).empty(); }
  bool operator==(const CpuSet&) const = default;
  auto begin() const { return cpus_.begin(); }
  auto end() const { return cpus_.end(); }

 private:
  std::set<int> cpus_;
};

}  // namespace keles::node
