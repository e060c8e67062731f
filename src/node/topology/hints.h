// On which NUMA nodes a container's resources can lie, as those who give them tell, and what is
// best for all of them together (upstream: pkg/kubelet/cm/topologymanager). Pure.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/topology/cpu_set.h"
#include "node/topology/machine.h"

namespace keles::node {

// A set of NUMA nodes, of numbers below 64.
class NumaMask {
 public:
  NumaMask() = default;
  explicit NumaMask(uint64_t bits) : bits_(bits) {}
  static NumaMask of(const std::vector<int>& nodes);
  bool has(int node) const { return node >= 0 && node < 64 && (bits_ >> node & 1) != 0; }
  int count() const { return std::popcount(bits_); }
  std::vector<int> nodes() const;
  CpuSet set() const;
  uint64_t bits() const { return bits_; }
  // Fewer nodes; of as many, lower ones.
  bool narrower_than(NumaMask o) const {
    return count() == o.count() ? bits_ < o.bits_ : count() < o.count();
  }
  NumaMask operator&(NumaMask o) const { return NumaMask(bits_ & o.bits_); }
  bool operator==(const NumaMask&) const = default;
  auto operator<=>(const NumaMask&) const = default;

 private:
  uint64_t bits_ = 0;
};
// Every set of some of `nodes`, smaller ones first.
void for_each_mask(const std::vector<int>& nodes, const std::function<void(NumaMask)>& fn);

struct TopologyHint {
  TopologyHint() = default;
  TopologyHint(std::optional<NumaMask> where, bool best) : affinity(where), preferred(best) {}
  std::optional<NumaMask> affinity;  // none: anywhere
  bool preferred = false;            // no fewer nodes would do on this machine
  bool operator==(const TopologyHint&) const = default;
};
// By resource. No list: it has no preference; an empty one: it cannot be had.
using ResourceHints = std::map<std::string, std::optional<std::vector<TopologyHint>>>;

// Hints of fewest nodes are the preferred ones.
void prefer_smallest(std::vector<TopologyHint>& hints, int smallest);

enum class TopologyPolicy : uint8_t { kNone, kBestEffort, kRestricted, kSingleNuma };

struct TopologyOptions {
  bool closest = false;  // prefer-closest-numa-nodes
  int most_nodes = 8;    // max-allowable-numa-nodes
};
// "unknown Topology Manager Policy option: ...".
Result<TopologyOptions> parse_topology_options(const std::map<std::string, std::string>& options);

struct Merged {
  TopologyHint best;
  bool admit = true;
};
// What is best for all of `providers` together, and whether the policy takes it.
Merged merge_hints(TopologyPolicy policy, const TopologyOptions& options,
                   const std::map<int, NumaMemory>& numa,
                   const std::vector<ResourceHints>& providers);

}  // namespace keles::node
