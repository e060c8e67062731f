#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

const Reasons kOtherNode = make_reasons({"node(s) didn't match the requested node name"});

// spec.nodeName of a pod that is in the queue all the same.
class NodeName final : public Plugin {
 public:
  std::string_view name() const override { return "NodeName"; }
  uint32_t points() const override { return kPreFilter | kFilter; }
  Events events() const override { return kNodeAdded; }
  PreFilter pre_filter(Cycle&, const PodInfo& pod) override {
    return {pod.node_name.empty() ? Verdict::skip() : Verdict{}, std::nullopt};
  }
  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    if (pod.node_name.empty() || pod.node_name == node.name) return {};
    return {Code::kUnresolvable, kOtherNode};
  }
};

}  // namespace

MadePlugin make_node_name(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<NodeName>());
}

}  // namespace keles::scheduler
