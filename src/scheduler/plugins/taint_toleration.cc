#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

const Reasons kUntolerated = make_reasons({"node(s) had untolerated taint(s)"});

bool kept_away(const PodInfo& pod, const NodeInfo& node) {
  return find_untolerated(node.taints, pod.tolerations, {"NoSchedule", "NoExecute"}) != nullptr;
}

class TaintToleration final : public Plugin {
 public:
  std::string_view name() const override { return "TaintToleration"; }
  uint32_t points() const override { return kFilter | kPreScore | kScore; }
  Events events() const override { return kNodeAdded | kNodeTaints | kSelfTolerations; }
  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (!e.node) return Hint::kQueue;
    const bool was_away = !e.node_before || kept_away(waiting, *e.node_before);
    return was_away && !kept_away(waiting, *e.node) ? Hint::kQueue : Hint::kSkip;
  }
  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    if (node.taints.empty() || !kept_away(pod, node)) return {};
    return {Code::kUnresolvable, kUntolerated};
  }

  // Where no node has such a taint all get the same.
  bool pre_score(Cycle&, const PodInfo&, const std::vector<NodeInfo*>& feasible) override {
    return std::any_of(feasible.begin(), feasible.end(), [](const NodeInfo* n) {
      return std::any_of(n->taints.begin(), n->taints.end(),
                         [](const Taint& t) { return t.effect == "PreferNoSchedule"; });
    });
  }
  int64_t score(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    return std::count_if(node.taints.begin(), node.taints.end(), [&](const Taint& taint) {
      return taint.effect == "PreferNoSchedule" &&
             std::none_of(pod.tolerations.begin(), pod.tolerations.end(),
                          [&](const Toleration& t) { return tolerates(t, taint); });
    });
  }
  void normalize(Cycle&, const std::vector<NodeInfo*>&, std::vector<int64_t>& scores) override {
    scale_to_max(scores, true);
  }
};

}  // namespace

MadePlugin make_taint_toleration(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<TaintToleration>());
}

}  // namespace keles::scheduler
