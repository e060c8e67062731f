#include "scheduler/admission_check.h"

#include <algorithm>
#include <initializer_list>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

bool is_extended(std::string_view name) {
  return name.find('/') != std::string_view::npos &&
         name.find("kubernetes.io/") == std::string_view::npos;
}

// The pod without requests for extended resources that it has as devices (KEP-5004) or that the
// node does not know.
PodInfo without_foreign_resources(const PodInfo& pod, const NodeInfo& node) {
  PodInfo copy = pod;
  const auto& devices = pod.device_resources;
  std::erase_if(copy.requests.scalar, [&](const auto& entry) {
    if (std::find(devices.begin(), devices.end(), entry.first) != devices.end()) return true;
    return is_extended(entry.first) && !node.allocatable.scalar.contains(entry.first);
  });
  return copy;
}

}  // namespace

std::vector<AdmissionFailure> admission_check(const PodInfo& asked, const NodeInfo& node) {
  PodInfo pod = without_foreign_resources(asked, node);
  std::vector<AdmissionFailure> out;
  for (Insufficient& i : insufficient_resources(pod, node))
    out.push_back({"", "", std::move(i.resource), i.requested, i.used, i.capacity});
  static const std::unique_ptr<Profile> filters = [] {
    Layout layout;
    for (const char* name : {"NodeAffinity", "NodeName", "NodePorts"})
      layout.entries.push_back({name, kFilter, 1});
    return std::move(*make_profile("kubelet", layout, nullptr, nullptr));
  }();
  Cycle cycle(std::make_shared<const PodInfo>(pod), *filters);
  for (const auto& plugin : filters->plugins()) {
    Verdict v = plugin->filter(cycle, pod, node);
    if (!v.ok()) out.push_back({std::string(plugin->name()), v.reasons->front(), "", 0, 0, 0});
  }
  if (find_untolerated(node.taints, pod.tolerations, {"NoExecute"}))
    out.push_back(
        {"TaintToleration", "node(s) had taints that the pod didn't tolerate", "", 0, 0, 0});
  return out;
}

}  // namespace keles::scheduler
