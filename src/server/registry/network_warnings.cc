// Warnings of Services, endpoints, Ingresses and NetworkPolicies. See warnings.h.
#include "server/objects/meta.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

void warn_of_ips(Warnings& out, const FieldPath& p, const Value& list) {
  size_t i = 0;
  for (const Value& ip : list.items()) warn_of_ip(out, p[i++], ip.as_string());
}

void warn_of_headless(Warnings& out, const Value& spec) {
  if (!spec["loadBalancerIP"].as_string().empty()) {
    out.emplace_back("spec.loadBalancerIP is ignored for headless services");
  }
  if (!spec["externalIPs"].empty()) {
    out.emplace_back("spec.externalIPs is ignored for headless services");
  }
  if (spec["sessionAffinity"].as_string() != "None") {
    out.emplace_back("spec.SessionAffinity is ignored for headless services");
  }
}

void warn_of_peers(Warnings& out, const Value& spec, std::string_view rules,
                   std::string_view peers) {
  size_t i = 0;
  for (const Value& rule : spec[rules].items()) {
    const FieldPath at = kSpec[rules][i++];
    size_t j = 0;
    for (const Value& peer : rule[peers].items()) {
      const FieldPath block = at[peers][j++]["ipBlock"];
      if (peer["ipBlock"].is_null()) continue;
      warn_of_cidr(out, block["cidr"], peer["ipBlock"]["cidr"].as_string());
      size_t k = 0;
      for (const Value& except : peer["ipBlock"]["except"].items()) {
        warn_of_cidr(out, block["except"][k++], except.as_string());
      }
    }
  }
}

}  // namespace

void service_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  constexpr std::string_view kHints = "service.kubernetes.io/topology-aware-hints";
  const Value& spec = now["spec"];
  const std::string_view type = spec["type"].as_string(), ip = spec["clusterIP"].as_string();
  const bool external = type == "ExternalName", headless = type == "ClusterIP" && ip == "None";
  const bool external_ips = !spec["externalIPs"].empty();
  if (metadata(now)["annotations"].find(kHints)) {
    out.push_back("annotation " + std::string(kHints) +
                  " is deprecated, please use service.kubernetes.io/topology-mode instead");
  }
  if (!ip.empty() && ip != "None") warn_of_ips(out, kSpec["clusterIPs"], spec["clusterIPs"]);
  if (headless) warn_of_headless(out, spec);
  warn_of_ips(out, kSpec["externalIPs"], spec["externalIPs"]);
  if (external_ips && !headless && !external) {
    out.emplace_back(
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters");
  }
  warn_of_ip(out, kSpec["loadBalancerIP"], spec["loadBalancerIP"].as_string());
  size_t i = 0;
  for (const Value& range : spec["loadBalancerSourceRanges"].items()) {
    warn_of_cidr(out, kSpec["loadBalancerSourceRanges"][i++], range.as_string());
  }
  if (external && external_ips) {
    out.emplace_back("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
  }
  if (!external && !spec["externalName"].as_string().empty()) {
    out.emplace_back("spec.externalName is ignored when spec.type is not \"ExternalName\"");
  }
  if (spec["trafficDistribution"].as_string() == "PreferClose") {
    out.emplace_back(
        "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
  }
}

// Of Services and Ingresses.
void load_balancer_status_warnings(const HookContext&, const Value& now, const Value*,
                                   Warnings& out) {
  const FieldPath p = FieldPath("status")["loadBalancer"]["ingress"];
  size_t i = 0;
  for (const Value& point : now["status"]["loadBalancer"]["ingress"].items()) {
    warn_of_ip(out, p[i++], point["ip"].as_string());
  }
}

void endpoints_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  // The controllers write every address in its one form.
  const Value& labels = metadata(now)["labels"];
  if (labels["endpoints.kubernetes.io/managed-by"].as_string() == "endpoint-controller") return;
  size_t i = 0;
  for (const Value& subset : now["subsets"].items()) {
    const FieldPath at = FieldPath("subsets")[i++];
    for (std::string_view list : {"addresses", "notReadyAddresses"}) {
      size_t j = 0;
      for (const Value& a : subset[list].items()) {
        warn_of_ip(out, at[list][j++]["ip"], a["ip"].as_string());
      }
    }
  }
}

void endpoint_slice_warnings(const HookContext&, const Value& now, const Value* before,
                             Warnings& out) {
  if (!before && now["addressType"].as_string() == "FQDN") {
    warn(out, kSpec["addressType"], "FQDN endpoints are deprecated");
  }
  const std::string_view by =
      metadata(now)["labels"]["endpointslice.kubernetes.io/managed-by"].as_string();
  if (by == "endpointslice-controller.k8s.io" || by == "endpointslicemirroring-controller.k8s.io") {
    return;
  }
  size_t i = 0;
  for (const Value& endpoint : now["endpoints"].items()) {
    warn_of_ips(out, FieldPath("endpoints")[i++]["addresses"], endpoint["addresses"]);
  }
}

void ingress_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  constexpr std::string_view kClass = "kubernetes.io/ingress.class";
  if (before || !now["spec"]["ingressClassName"].is_null()) return;
  if (metadata(now)["annotations"].find(kClass)) {
    out.push_back("annotation " + quoted(kClass) +
                  " is deprecated, please use 'spec.ingressClassName' instead");
  }
}

void network_policy_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  warn_of_peers(out, now["spec"], "ingress", "from");
  warn_of_peers(out, now["spec"], "egress", "to");
}

}  // namespace keles::registry
