// What nodes lend and lack: TaintNodesByCondition, PodTopologyLabels, NodeDeclaredFeatureValidator
// and PodResizeValidator.
#include <array>

#include "machinery/quota/pod_resources.h"
#include "server/admission/plugins.h"
#include "server/objects/meta.h"

namespace keles::admission {
namespace {

constexpr std::string_view kNotReady = "node.kubernetes.io/not-ready";
constexpr std::array<std::string_view, 2> kTopology = {"topology.kubernetes.io/zone",
                                                       "topology.kubernetes.io/region"};

// Gives `object` (a Pod or a Binding) the topology labels of the node; of one that is not there,
// none.
void copy_topology(const Attributes& a, Document& object, std::string_view node) {
  ObjectPtr found = find(a, "", "v1", "Node", "", node);
  if (!found) return;
  DocumentPtr tree = found->metadata();
  const Value& labels = registry::metadata(tree->root)["labels"];
  for (std::string_view key : kTopology) {
    const Value* value = labels.find(key);
    if (!value) continue;
    Value& own = registry::edit_map(object, registry::edit_metadata(object), "labels");
    registry::set_text(object, own, key, value->as_string());
  }
}

bool same_init_resources(const Value& now, const Value& before) {
  const Value &is = now["spec"]["initContainers"], &was = before["spec"]["initContainers"];
  for (size_t i = 0; i < was.items().size(); ++i) {
    if (was.at(i)["restartPolicy"].as_string() == "Always") continue;
    if (!was.at(i)["resources"].equals(is.at(i)["resources"])) return false;
  }
  return true;
}

// What the node must be able to do for such a change of its pod, in upstream's names and order.
std::vector<std::string> needed_features(const Value& now, const Value& before) {
  std::vector<std::string> out;
  const Value &is = now["spec"]["resources"], &was = before["spec"]["resources"];
  if (!is.equals(was)) out.emplace_back("InPlacePodLevelResourcesVerticalScaling");
  if (!same_init_resources(now, before)) {
    out.emplace_back("InPlacePodVerticalScalingInitContainers");
  }
  return out;
}

// A change of the spec of a pod that is on a node already.
bool changes_placed_pod(const Attributes& a, const Value* pod, const Value* before) {
  if (!pod || !before || a.operation != Operation::kUpdate || !a.is("", "Pod")) return false;
  if ((*pod)["spec"]["nodeName"].as_string().empty()) return false;
  return !registry::metadata(*pod)["generation"].equals(registry::metadata(*before)["generation"]);
}

Result<DocumentPtr> node_of(const Attributes& a, const Value& pod) {
  const std::string name(pod["spec"]["nodeName"].as_string());
  ObjectPtr found = find(a, "", "v1", "Node", "", name);
  if (!found) return refuse(a, "node \"" + name + "\" not found");
  return found->tree();
}

Status refuse_resize(const Attributes& a, const std::string& why, const char* cause) {
  Status refused = refuse(a, why);
  StatusDetails details = refused.details();
  details.causes.push_back({cause, "", ""});
  return Status(Reason::kForbidden, refused.message(), std::move(details));
}

// "": it has room for all that the pod asks for.
std::string lacks(const Value& node, const Value& pod) {
  const quota::ResourceList asked =
      quota::pod_requests(pod, quota::Actual::kLeftOut, quota::Overhead::kCounted);
  const quota::ResourceList has = quota::read_resource_list(node["status"]["allocatable"]);
  auto amount = [](const quota::ResourceList& list, std::string_view name) {
    auto at = list.find(name);
    return at == list.end() ? Quantity() : at->second;
  };
  std::vector<std::string> texts;
  for (std::string_view name : {"cpu", "memory"}) {
    const Quantity want = amount(asked, name), there = amount(has, name);
    if (want <= there) continue;
    auto text = [&](const Quantity& q) {
      return std::to_string(name == "cpu" ? q.milli_value() : q.value());
    };
    texts.push_back(std::string(name) + ", requested: " + text(want) +
                    ", allocatable: " + text(there));
  }
  return quota::joined(texts, "; ");
}

}  // namespace

Status taint_nodes_by_condition(const Attributes& a, Document& node, const Value*) {
  if (a.operation != Operation::kCreate || !a.subresource.empty() || !a.is("", "Node")) return {};
  Value& spec = registry::edit_map(node, node.root, "spec");
  for (const Value& t : std::as_const(spec)["taints"].items()) {
    if (t["key"].as_string() == kNotReady && t["effect"].as_string() == "NoSchedule") return {};
  }
  Value* taints = spec.find("taints");
  if (!taints || !taints->is_list()) taints = &spec.set(node.arena, "taints", Value::list());
  Value& taint = taints->append(node.arena, Value::map());
  registry::set_text(node, taint, "key", kNotReady);
  registry::set_text(node, taint, "effect", "NoSchedule");
  return {};
}

Status pod_topology_labels(const Attributes& a, Document& object, const Value*) {
  if (a.operation != Operation::kCreate || !a.is("", "Pod")) return {};
  if (a.subresource == "binding") {
    const Value& target = object.root["target"];
    if (target["kind"].as_string() == "Node") copy_topology(a, object, target["name"].as_string());
  } else if (a.subresource.empty()) {
    const std::string_view node = object.root["spec"]["nodeName"].as_string();
    if (!node.empty()) copy_topology(a, object, node);
  }
  return {};
}

Status node_declared_features(const Attributes& a, const Value* pod, const Value* before) {
  if (!a.subresource.empty() && a.subresource != "resize") return {};
  if (!changes_placed_pod(a, pod, before)) return {};
  std::vector<std::string> needed = needed_features(*pod, *before);
  if (needed.empty()) return {};
  TRY_ASSIGN(node, node_of(a, *pod));
  for (const Value& has : node->root["status"]["declaredFeatures"].items()) {
    std::erase(needed, has.as_string());
  }
  if (needed.empty()) return {};
  return refuse(a, "pod update requires features " + quota::joined(needed, ", ") +
                       " which are not available on node \"" +
                       std::string(registry::meta(node->root, "name")) + "\"");
}

Status pod_resize(const Attributes& a, const Value* pod, const Value* before) {
  if (a.subresource != "resize" || !changes_placed_pod(a, pod, before)) return {};
  TRY_ASSIGN(node, node_of(a, *pod));
  const Value* os = registry::metadata(node->root)["labels"].find("kubernetes.io/os");
  if (os && os->as_string() != "linux") {
    return refuse_resize(a,
                         "pod resize is only supported on linux nodes, node \"" +
                             std::string(registry::meta(node->root, "name")) + "\" is \"" +
                             std::string(os->as_string()) + "\"",
                         "UnsupportedPlatform");
  }
  const std::string without = lacks(node->root, *pod);
  if (without.empty()) return {};
  return refuse_resize(a, "node didn't have enough allocatable resources: " + without,
                       "NodeCapacity");
}

}  // namespace keles::admission
