#include "scheduler/admission_check.h"

#include <initializer_list>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

bool is_extended(std::string_view name) {
  return name.find('/') != std::string_view::npos &&
         name.find("kubernetes.io/") == std::string_view::npos;
}

// The pod without requests for extended resources that the node does not know.
PodInfo without_foreign_resources(const PodInfo& pod, const NodeInfo& node) {
  PodInfo copy = pod;
  std::erase_if(copy.requests.scalar, [&](const auto& entry) {
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
  Namespaces none;
  const std::map<std::string, int64_t, std::less<>> no_images;
  ClusterView view{{&node}, {}, {}, &no_images, &none};
  for (auto make : {make_node_affinity, make_node_name, make_node_ports}) {
    std::unique_ptr<Plugin> plugin = make();
    if (!plugin->wants_filter(pod, view)) continue;
    if (auto rejected = plugin->filter(pod, node))
      out.push_back({std::string(plugin->name()), rejected->reasons.front(), "", 0, 0, 0});
  }
  if (find_untolerated(node.taints, pod.tolerations, {"NoExecute"}))
    out.push_back(
        {"TaintToleration", "node(s) had taints that the pod didn't tolerate", "", 0, 0, 0});
  return out;
}

}  // namespace keles::scheduler
