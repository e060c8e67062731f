#include "machinery/quota/surroundings.h"

#include <algorithm>
#include <utility>

namespace keles::quota {
namespace {

// The uid of the pod that a claim for extended resources belongs to, with its name; "": none.
std::pair<std::string_view, std::string_view> owner_of(const Value& claim) {
  const Value& meta = claim["metadata"];
  const Value& mark = meta["annotations"]["resource.kubernetes.io/extended-resource-claim"];
  if (mark.as_string() != "true") return {};
  for (const Value& r : meta["ownerReferences"].items()) {
    if (!r["controller"].as_bool()) continue;
    if (r["kind"].as_string() != "Pod" || r["apiVersion"].as_string() != "v1") return {};
    return {r["uid"].as_string(), r["name"].as_string()};
  }
  return {};
}

bool is_older(const Value& a, const Value& b) {
  auto age = [](const Value& o) {
    const Value& meta = o["metadata"];
    return std::pair(meta["creationTimestamp"].as_string(), meta["name"].as_string());
  };
  return age(a) < age(b);
}

}  // namespace

void DeviceClasses::add(const Value& device_class) {
  resource_of_[std::string(device_class["metadata"]["name"].as_string())] =
      device_class["spec"]["extendedResourceName"].as_string();
}

std::string DeviceClasses::extended_resource(std::string_view name) const {
  auto at = resource_of_.find(name);
  return at == resource_of_.end() ? "" : at->second;
}

bool DeviceClasses::stand_for(std::string_view extended_resource) const {
  constexpr std::string_view kImplicit = "deviceclass.resource.kubernetes.io/";
  if (extended_resource.starts_with(kImplicit)) {
    return resource_of_.contains(extended_resource.substr(kImplicit.size()));
  }
  return std::any_of(resource_of_.begin(), resource_of_.end(),
                     [&](const auto& c) { return c.second == extended_resource; });
}

DocumentPtr pod_of_claim(const Value& claim, const Neighbours& neighbours) {
  const auto [uid, name] = owner_of(claim);
  if (uid.empty()) return nullptr;
  DocumentPtr pod = neighbours.pod(name);
  if (!pod || pod->root["metadata"]["uid"].as_string() != uid) return nullptr;
  const Value& said = pod->root["status"]["extendedResourceClaimStatus"];
  if (!said.is_null()) {
    const bool same =
        said["resourceClaimName"].as_string() == claim["metadata"]["name"].as_string();
    return same ? pod : nullptr;
  }
  for (const DocumentPtr& other : neighbours.all_claims()) {
    if (owner_of(other->root).first == uid && is_older(other->root, claim)) return nullptr;
  }
  return pod;
}

}  // namespace keles::quota
