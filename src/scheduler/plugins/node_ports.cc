#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

const Reasons kNoPorts =
    make_reasons({"node(s) didn't have free ports for the requested pod ports"});

bool conflict(const HostPort& a, const HostPort& b) {
  return a.port == b.port && a.protocol == b.protocol &&
         (a.ip == b.ip || a.ip == "0.0.0.0" || b.ip == "0.0.0.0");
}

template <class Used>
bool any_conflict(const std::vector<HostPort>& wanted, const Used& used) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const HostPort& w) {
    return std::any_of(used.begin(), used.end(), [&](const HostPort& u) { return conflict(w, u); });
  });
}

class NodePorts final : public Plugin {
 public:
  std::string_view name() const override { return "NodePorts"; }
  uint32_t points() const override { return kPreFilter | kFilter; }
  Events events() const override { return kNodeAdded | kPodRemoved; }
  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (!e.pod_before) return Hint::kQueue;
    return any_conflict(waiting.host_ports, e.pod_before->host_ports) ? Hint::kQueue : Hint::kSkip;
  }
  PreFilter pre_filter(Cycle&, const PodInfo& pod) override {
    return {pod.host_ports.empty() ? Verdict::skip() : Verdict{}, std::nullopt};
  }
  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    if (!any_conflict(pod.host_ports, node.used_ports)) return {};
    return {Code::kUnschedulable, kNoPorts};
  }
};

}  // namespace

MadePlugin make_node_ports(const PluginContext&) {
  return std::unique_ptr<Plugin>(std::make_unique<NodePorts>());
}

}  // namespace keles::scheduler
