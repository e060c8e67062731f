#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

class NodeUnschedulable final : public Plugin {
 public:
  std::string_view name() const override { return "NodeUnschedulable"; }
  uint32_t events() const override { return kNodeAdded | kNodeTaints; }
  bool wants_filter(const PodInfo& pod, const ClusterView&) override {
    tolerated_ = find_untolerated({{"node.kubernetes.io/unschedulable", "", "NoSchedule"}},
                                  pod.tolerations, {"NoSchedule"}) == nullptr;
    return !tolerated_;
  }
  std::optional<Rejection> filter(const PodInfo&, const NodeInfo& node) override {
    if (!node.unschedulable) return std::nullopt;
    return Rejection{false, {"node(s) were unschedulable"}};
  }

 private:
  bool tolerated_ = false;
};

}  // namespace

std::unique_ptr<Plugin> make_node_unschedulable() { return std::make_unique<NodeUnschedulable>(); }

}  // namespace keles::scheduler
