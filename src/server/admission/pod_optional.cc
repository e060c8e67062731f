// Plugins of pods that are off by default: AlwaysPullImages, LimitPodHardAntiAffinityTopology and
// ExtendedResourceToleration.
#include <functional>
#include <set>

#include "machinery/quota/pod_resources.h"
#include "server/admission/plugins.h"
#include "server/objects/meta.h"
#include "server/objects/pod_references.h"

namespace keles::admission {
namespace {

constexpr std::string_view kAlways = "Always";
constexpr std::string_view kContainers[] = {"initContainers", "containers", "ephemeralContainers"};

bool whole_pod(const Attributes& a) {
  const bool writes = a.operation == Operation::kCreate || a.operation == Operation::kUpdate;
  return writes && a.subresource.empty() && a.is("", "Pod");
}

std::set<std::string_view> images(const Value& pod) {
  std::set<std::string_view> out;
  server::visit_containers(pod["spec"], [&](const Value& c, std::string_view) {
    out.insert(c["image"].as_string());
    return true;
  });
  return out;
}

// An update that brings no other image pulls none.
bool pulls(const Attributes& a, const Value& pod, const Value* before) {
  if (!whole_pod(a)) return false;
  if (a.operation == Operation::kCreate || !before) return true;
  const std::set<std::string_view> had = images(*before);
  for (std::string_view image : images(pod)) {
    if (!had.contains(image)) return true;
  }
  return false;
}

std::string unsupported(const std::string& path, const Value& policy) {
  return path + ": Unsupported value: \"" + std::string(policy.as_string()) +
         "\": supported values: \"Always\"";
}

}  // namespace

Status always_pull_images(const Attributes& a, Document& pod, const Value* before) {
  if (!pulls(a, pod.root, before)) return {};
  Value& spec = registry::edit_map(pod, pod.root, "spec");
  for (std::string_view field : kContainers) {
    Value* containers = spec.find(field);
    if (!containers) continue;
    for (Value& c : containers->items()) registry::set_text(pod, c, "imagePullPolicy", kAlways);
  }
  if (Value* volumes = spec.find("volumes")) {
    for (Value& v : volumes->items()) {
      Value* image = v.find("image");
      if (image && image->is_map()) registry::set_text(pod, *image, "pullPolicy", kAlways);
    }
  }
  return {};
}

Status always_pull_images_validate(const Attributes& a, const Value* pod, const Value* before) {
  if (!pod || !pulls(a, *pod, before)) return {};
  std::vector<std::string> problems;
  for (std::string_view field : kContainers) {
    size_t i = 0;
    for (const Value& c : (*pod)["spec"][field].items()) {
      const std::string at = "spec." + std::string(field) + "[" + std::to_string(i++) + "]";
      const Value& policy = c["imagePullPolicy"];
      if (policy.as_string() == kAlways) continue;
      problems.push_back(refuse(a, unsupported(at + ".imagePullPolicy", policy)).message());
    }
  }
  size_t i = 0;
  for (const Value& v : (*pod)["spec"]["volumes"].items()) {
    const std::string at = "spec.volumes[" + std::to_string(i++) + "].image.pullPolicy";
    const Value& policy = v["image"]["pullPolicy"];
    if (v["image"].is_null() || policy.as_string() == kAlways) continue;
    problems.push_back(refuse(a, unsupported(at, policy)).message());
  }
  if (problems.empty()) return {};
  // Upstream gives this error no class.
  const std::string all = quota::joined(problems, ", ");
  return Status(Reason::kUnknown, problems.size() == 1 ? all : "[" + all + "]");
}

Status limit_anti_affinity(const Attributes& a, const Value* pod, const Value*) {
  if (!pod || !whole_pod(a)) return {};
  const Value& terms = (*pod)["spec"]["affinity"]["podAntiAffinity"]
                             ["requiredDuringSchedulingIgnoredDuringExecution"];
  for (const Value& t : terms.items()) {
    const std::string key(t["topologyKey"].as_string());
    if (key == "kubernetes.io/hostname") continue;
    return refuse(a, "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey " + key +
                         " but only key kubernetes.io/hostname is allowed");
  }
  return {};
}

Status extended_resource_toleration(const Attributes& a, Document& pod, const Value*) {
  if (!whole_pod(a)) return {};
  std::set<std::string> resources;
  for (std::string_view field : {"containers", "initContainers"}) {
    for (const Value& c : pod.root["spec"][field].items()) {
      for (const Member& m : c["resources"]["requests"].members()) {
        const bool device = m.key().starts_with("deviceclass.resource.kubernetes.io/");
        if (!device && quota::is_extended_resource(m.key())) resources.emplace(m.key());
      }
    }
  }
  Value& spec = registry::edit_map(pod, pod.root, "spec");
  for (const std::string& resource : resources) {
    Value* list = spec.find("tolerations");
    if (!list || !list->is_list()) list = &spec.set(pod.arena, "tolerations", Value::list());
    Value* same = nullptr;  // what tolerates the same, for another time
    for (Value& t : list->items()) {
      if (t["key"].as_string() == resource && t["operator"].as_string() == "Exists" &&
          t["effect"].as_string() == "NoSchedule" && t["value"].as_string().empty()) {
        same = &t;
      }
    }
    Value& t = same ? *same : list->append(pod.arena, Value::map());
    t = Value::map();
    registry::set_text(pod, t, "key", resource);
    registry::set_text(pod, t, "operator", "Exists");
    registry::set_text(pod, t, "effect", "NoSchedule");
  }
  return {};
}

}  // namespace keles::admission
