#include <algorithm>
#include <cmath>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// Prefers nodes whose cpu and memory would be used to the same degree.
class BalancedAllocation final : public Plugin {
 public:
  std::string_view name() const override { return "NodeResourcesBalancedAllocation"; }
  int weight() const override { return 1; }
  bool wants_score(const PodInfo& pod, const ClusterView&,
                   const std::vector<const NodeInfo*>&) override {
    return !pod.requests.none();  // a best-effort pod changes no balance
  }
  int64_t score(const PodInfo& pod, const NodeInfo& node) override {
    auto fraction = [](int64_t used, int64_t total) {
      return total <= 0 ? 1.0
                        : std::min(1.0, static_cast<double>(used) / static_cast<double>(total));
    };
    double cpu =
        fraction(node.requested.milli_cpu + pod.requests.milli_cpu, node.allocatable.milli_cpu);
    double memory = fraction(node.requested.memory + pod.requests.memory, node.allocatable.memory);
    return static_cast<int64_t>((1 - std::fabs(cpu - memory) / 2) * kMaxScore);
  }
};

}  // namespace

std::unique_ptr<Plugin> make_balanced_allocation() {
  return std::make_unique<BalancedAllocation>();
}

}  // namespace keles::scheduler
