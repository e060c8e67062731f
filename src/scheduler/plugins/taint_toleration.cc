#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

class TaintToleration final : public Plugin {
 public:
  std::string_view name() const override { return "TaintToleration"; }
  uint32_t events() const override { return kNodeAdded | kNodeTaints; }
  bool wants_filter(const PodInfo&, const ClusterView&) override { return true; }
  std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) override {
    if (node.taints.empty()) return std::nullopt;
    if (!find_untolerated(node.taints, pod.tolerations, {"NoSchedule", "NoExecute"}))
      return std::nullopt;
    return Rejection{false, {"node(s) had untolerated taint(s)"}};
  }

  int weight() const override { return 3; }
  bool wants_score(const PodInfo&, const ClusterView&,
                   const std::vector<const NodeInfo*>& feasible) override {
    return std::any_of(feasible.begin(), feasible.end(), [](const NodeInfo* n) {
      return std::any_of(n->taints.begin(), n->taints.end(),
                         [](const Taint& t) { return t.effect == "PreferNoSchedule"; });
    });
  }
  int64_t score(const PodInfo& pod, const NodeInfo& node) override {
    return std::count_if(node.taints.begin(), node.taints.end(), [&](const Taint& taint) {
      return taint.effect == "PreferNoSchedule" &&
             std::none_of(pod.tolerations.begin(), pod.tolerations.end(),
                          [&](const Toleration& t) { return tolerates(t, taint); });
    });
  }
  void normalize(std::vector<int64_t>& scores) override { scale_to_max(scores, true); }
};

}  // namespace

std::unique_ptr<Plugin> make_taint_toleration() { return std::make_unique<TaintToleration>(); }

}  // namespace keles::scheduler
