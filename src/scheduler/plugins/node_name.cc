#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// spec.nodeName of a pod that is in the queue all the same (a pod nominated by hand).
class NodeName final : public Plugin {
 public:
  std::string_view name() const override { return "NodeName"; }
  uint32_t events() const override { return kNodeAdded; }
  bool wants_filter(const PodInfo& pod, const ClusterView&) override {
    return !pod.node_name.empty();
  }
  std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) override {
    if (pod.node_name == node.name) return std::nullopt;
    return Rejection{false, {"node(s) didn't match the requested node name"}};
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_name() { return std::make_unique<NodeName>(); }

}  // namespace keles::scheduler
