#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

const Reasons kUnschedulableNode = make_reasons({"node(s) were unschedulable"});

bool tolerates_cordon(const PodInfo& pod) {
  static const std::vector<Taint> cordon = {{"node.kubernetes.io/unschedulable", "", "NoSchedule"}};
  return find_untolerated(cordon, pod.tolerations, {"NoSchedule"}) == nullptr;
}

class NodeUnschedulable final : public Plugin {
 public:
  std::string_view name() const override { return "NodeUnschedulable"; }
  uint32_t points() const override { return kFilter; }
  Events events() const override { return kNodeAdded | kNodeTaints | kSelfTolerations; }
  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (e.node) {
      const bool was = !e.node_before || e.node_before->unschedulable;
      return was && !e.node->unschedulable ? Hint::kQueue : Hint::kSkip;
    }
    return tolerates_cordon(waiting) ? Hint::kQueue : Hint::kSkip;
  }
  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    if (!node.unschedulable || tolerates_cordon(pod)) return {};
    return {Code::kUnresolvable, kUnschedulableNode};
  }
};

}  // namespace

MadePlugin make_node_unschedulable(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<NodeUnschedulable>());
}

}  // namespace keles::scheduler
