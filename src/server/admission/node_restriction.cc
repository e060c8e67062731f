#include <algorithm>

#include "server/admission/plugins.h"
#include "server/registry/meta.h"

namespace keles::admission {
namespace {

constexpr std::string_view kUserPrefix = "system:node:";

// The node that asks; "" when it is somebody else.
std::string_view asking_node(const Attributes& a) {
  if (!a.user.starts_with(kUserPrefix) || !a.groups) return {};
  if (std::find(a.groups->begin(), a.groups->end(), "system:nodes") == a.groups->end()) return {};
  return a.user.substr(kUserPrefix.size());
}

Status about_node(const Attributes& a, std::string_view node) {
  if (a.name == node) return {};
  return refuse(a, "node \"" + std::string(node) + "\" is not allowed to modify node \"" +
                       std::string(a.name) + "\"");
}

Status about_pod(const Attributes& a, std::string_view node, const Value* object,
                 const Value* before) {
  const Value& pod = before ? *before : *object;
  const std::string self(node);
  if (a.operation == Operation::kCreate) {
    if (!registry::metadata(pod)["annotations"].find("kubernetes.io/config.mirror")) {
      return refuse(a, "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"" +
                           self + "\" can only create mirror pods");
    }
    if (pod["spec"]["nodeName"].as_string() == node) return {};
    return refuse(a, "node \"" + self + "\" can only create pods with spec.nodeName set to itself");
  }
  if (a.operation == Operation::kUpdate && a.subresource != "status") {
    return refuse(a, "node \"" + self + "\" can only update status of pods");
  }
  if (pod["spec"]["nodeName"].as_string() == node) return {};
  const char* what =
      a.operation == Operation::kDelete ? "delete pods" : "update pod status for pods";
  return refuse(a, "node \"" + self + "\" can only " + what + " with spec.nodeName set to itself");
}

}  // namespace

Status node_restriction(const Attributes& a, const Value* object, const Value* before) {
  const std::string_view node = asking_node(a);
  if (node.empty()) return {};
  if (a.is("", "Node")) return about_node(a, node);
  if (a.is("", "Pod")) return about_pod(a, node, object, before);
  if (a.is("coordination.k8s.io", "Lease") && a.namespace_ == "kube-node-lease" && a.name != node) {
    return refuse(a, "can only access node lease with the same name as the requesting node");
  }
  return {};
}

}  // namespace keles::admission
