#include <algorithm>
#include <cmath>

#include "scheduler/plugins/plugins.h"
#include "scheduler/plugins/resource_scoring.h"

namespace keles::scheduler {
namespace {

// How alike the used shares are: 100 less their standard deviation.
class Balance {
 public:
  void add(int64_t used, int64_t total) {
    if (n_ == kMost) return;
    const double f = static_cast<double>(used) / static_cast<double>(total);
    shares_[n_++] = std::min(f, 1.0);
  }
  int64_t score() const {
    double deviation = 0;
    if (n_ == 2) {
      deviation = std::fabs((shares_[0] - shares_[1]) / 2);
    } else if (n_ > 2) {
      double mean = 0, sum = 0;
      for (size_t i = 0; i < n_; ++i) mean += shares_[i];
      mean /= static_cast<double>(n_);
      for (size_t i = 0; i < n_; ++i) sum += (shares_[i] - mean) * (shares_[i] - mean);
      deviation = std::sqrt(sum / static_cast<double>(n_));
    }
    return static_cast<int64_t>((1 - deviation) * kMaxScore);
  }

 private:
  static constexpr size_t kMost = 16;
  double shares_[kMost];  // n_ of them; not cleared, which would cost more than the rest
  size_t n_ = 0;
};

// Prefers nodes where the pod makes the shares of what is used more alike.
class BalancedAllocation final : public Plugin {
 public:
  BalancedAllocation(ExtendedResources* devices, std::vector<ScoredResource> resources)
      : devices_(devices), resources_(std::move(resources)) {}
  std::string_view name() const override { return "NodeResourcesBalancedAllocation"; }
  uint32_t points() const override { return kPreScore | kScore; }
  Events events() const override { return 0; }
  bool pre_score(Cycle&, const PodInfo& pod, const std::vector<NodeInfo*>&) override {
    // A pod that asks for none of them changes no balance.
    return std::any_of(resources_.begin(), resources_.end(),
                       [&](const ScoredResource& r) { return amount_of(pod.requests, r) != 0; });
  }
  int64_t score(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    Balance with, without;
    for (const ScoredResource& r : resources_) {
      const int64_t wanted = amount_of(pod.requests, r);
      if (wanted == 0 && r.what == ScoredResource::What::kScalar) continue;
      int64_t total = amount_of(node.allocatable, r), used = amount_of(node.requested, r);
      if (total == 0) count_devices(devices_, r, node, &total, &used);
      if (total == 0) continue;
      without.add(used, total);
      with.add(used + wanted, total);
    }
    return kMaxScore / 2 + (kMaxScore / 2 + with.score() - without.score()) / 2;
  }

 private:
  ExtendedResources* devices_;
  std::vector<ScoredResource> resources_;
};

}  // namespace

MadePlugin make_balanced_allocation(const PluginContext& context) {
  return std::unique_ptr<Plugin>(std::make_unique<BalancedAllocation>(
      devices_of(context), read_scored_resources(context.args["resources"])));
}

}  // namespace keles::scheduler
