#include "server/objects/keys.h"

namespace keles::registry {

std::string kind_prefix(const KindDesc& kind) {
  std::string out = "/registry/";
  std::string_view r = kind.plural;
  if (kind.owner) {
    out.append(kind.group).push_back('/');
  } else if (kind.group.empty()) {
    if (r == "replicationcontrollers") r = "controllers";
    if (r == "endpoints") r = "services/endpoints";
    if (r == "services") r = "services/specs";
    if (r == "nodes") r = "minions";
  } else if (kind.group == "networking.k8s.io" && r == "ingresses") {
    r = "ingress";
  } else if (kind.group == "apiextensions.k8s.io" || kind.group == "apiregistration.k8s.io") {
    out.append(kind.group).push_back('/');
  }
  out.append(r).push_back('/');
  return out;
}

std::string list_prefix(const KindDesc& kind, std::string_view ns) {
  std::string out = kind_prefix(kind);
  if (kind.namespaced && !ns.empty()) out.append(ns).push_back('/');
  return out;
}

std::string object_key(const KindDesc& kind, std::string_view ns, std::string_view name) {
  std::string out = list_prefix(kind, ns);
  out.append(name);
  return out;
}

const KindDesc& storage_kind(const KindDesc& kind) {
  if (kind.owner) return kind;
  static const KindDesc* const kEvent = find_kind("", "v1", "Event");
  static const KindDesc* const kScaler = find_kind("autoscaling", "v2", "HorizontalPodAutoscaler");
  if (kEvent && kind.group == "events.k8s.io" && kind.kind == "Event") return *kEvent;
  if (kScaler && kind.group == "autoscaling" && kind.kind == kScaler->kind) return *kScaler;
  return kind;
}

}  // namespace keles::registry
