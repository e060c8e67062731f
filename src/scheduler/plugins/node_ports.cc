#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

class NodePorts final : public Plugin {
 public:
  std::string_view name() const override { return "NodePorts"; }
  uint32_t events() const override { return kNodeAdded | kPodRemoved; }
  bool wants_filter(const PodInfo& pod, const ClusterView&) override {
    return !pod.host_ports.empty();
  }
  std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) override {
    for (const HostPort& want : pod.host_ports) {
      for (const HostPort& used : node.used_ports) {
        if (want.port != used.port || want.protocol != used.protocol) continue;
        if (want.ip == used.ip || want.ip == "0.0.0.0" || used.ip == "0.0.0.0") {
          return Rejection{true, {"node(s) didn't have free ports for the requested pod ports"}};
        }
      }
    }
    return std::nullopt;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_ports() { return std::make_unique<NodePorts>(); }

}  // namespace keles::scheduler
