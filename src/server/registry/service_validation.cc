#include "server/registry/service_validation.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/text_parts.h"
#include "server/registry/addresses.h"
#include "server/registry/checks.h"
#include "server/registry/service_families.h"

namespace keles::registry {
namespace {

using api::core_v1::Service;
using api::core_v1::ServicePort;
using api::core_v1::ServiceSpec;

const FieldPath kMeta("metadata");
const FieldPath kSpec("spec");
constexpr const char* kOnlyBalanced = "may only be used when `type` is 'LoadBalancer'";

void validate_topology_annotations(FieldErrors& e, const Service& service) {
  constexpr std::string_view kHints = "service.kubernetes.io/topology-aware-hints",
                             kMode = "service.kubernetes.io/topology-mode";
  const auto annotations = service.metadata().annotations();
  if (!annotations.contains(kHints) || !annotations.contains(kMode)) return;
  if (annotations.get(kHints) == annotations.get(kMode)) return;
  field::invalid(e, kMeta["annotations"].key(kMode), annotations.get(kMode),
                 "must match annotations[" + std::string(kHints) + "] when both are specified");
}

void validate_external_name(FieldErrors& e, const ServiceSpec& spec) {
  constexpr const char* kNot = "may not be set for ExternalName services";
  if (!spec.cluster_ips().empty()) field::forbidden(e, kSpec["clusterIPs"], kNot);
  if (!spec.ip_families().empty()) field::forbidden(e, kSpec["ipFamilies"], kNot);
  if (spec.has_ip_family_policy()) field::forbidden(e, kSpec["ipFamilyPolicy"], kNot);
  std::string_view name = spec.external_name();
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  check_name(e, kSpec["externalName"], name, check_dns1123_subdomain);
}

void validate_target_port(FieldErrors& e, const FieldPath& p, const Value& target) {
  if (target.is_string()) {
    field::invalid_each(e, p, target.as_string(), check_port_name(target.as_string()));
  } else {
    for (auto& m : check_port_number(target.as_int())) field::invalid(e, p, target.as_int(), m);
  }
}

void validate_port(FieldErrors& e, const FieldPath& p, const ServicePort& port, bool needs_name,
                   std::set<std::string_view>* names) {
  std::string_view name = port.name();
  if (!name.empty()) {
    described(e, p, port, "name");
    if (!names->insert(name).second) field::duplicate(e, p["name"], name);
  } else if (needs_name) {
    field::required(e, p["name"]);
  }
  for (auto& m : check_port_number(port.port())) field::invalid(e, p["port"], port.port(), m);
  described(e, p, port, "protocol");
  validate_target_port(e, p["targetPort"], port.value()["targetPort"]);
  described(e, p, port, "appProtocol");
}

void validate_affinity(FieldErrors& e, const ServiceSpec& spec) {
  constexpr int64_t kLongest = 86400;
  const std::string_view kind = spec.session_affinity();
  described(e, kSpec, spec, "sessionAffinity");
  const FieldPath at = kSpec["sessionAffinityConfig"];
  const auto config = spec.session_affinity_config();
  if (kind == "None" && spec.has_session_affinity_config()) {
    field::forbidden(e, at, "must not be set when session affinity is None");
  }
  if (kind != "ClientIP") return;
  constexpr const char* kWhen = "when session affinity type is ClientIP";
  if (!config) {
    field::required(e, at, kWhen);
  } else if (!config.has_client_ip()) {
    field::required(e, at["clientIP"], kWhen);
  } else if (!config.client_ip().has_timeout_seconds()) {
    field::required(e, at["clientIP"]["timeoutSeconds"], kWhen);
  } else if (int64_t n = config.client_ip().timeout_seconds(); n <= 0 || n > kLongest) {
    field::invalid(e, at["clientIP"]["timeoutSeconds"], n,
                   "must be greater than 0 and less than " + std::to_string(kLongest));
  }
}

void validate_external_ips(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec* old) {
  Existing existing;
  if (old) {
    for (std::string_view ip : old->external_ips()) existing.insert(ip);
  }
  size_t i = 0;
  for (std::string_view ip : spec.external_ips()) {
    const FieldPath at = kSpec["externalIPs"][i++];
    if (validate_ip(e, at, ip, existing)) validate_endpoint_ip(e, at, ip);
  }
}

// Ports that stand in one another's way.
void validate_port_pairs(FieldErrors& e, const ServiceSpec& spec) {
  const FieldPath at = kSpec["ports"];
  const auto ports = spec.ports();
  if (spec.type() == "ClusterIP") {
    for (size_t i = 0; i < ports.size(); ++i) {
      if (ports[i].node_port() == 0) continue;
      field::forbidden(e, at[i]["nodePort"], "may not be used when `type` is 'ClusterIP'");
    }
  }
  std::set<std::pair<std::string_view, int64_t>> node_ports, pairs;
  for (size_t i = 0; i < ports.size(); ++i) {
    const int64_t n = ports[i].node_port();
    if (n == 0 || node_ports.insert({ports[i].protocol(), n}).second) continue;
    field::duplicate(e, at[i]["nodePort"], Value(n));
  }
  for (size_t i = 0; i < ports.size(); ++i) {
    if (pairs.insert({ports[i].protocol(), ports[i].port()}).second) continue;
    Document pair;
    pair.root = Value::map();
    pair.root.set(pair.arena, "protocol", ports[i].value()["protocol"]);
    pair.root.set(pair.arena, "port", ports[i].value()["port"]);
    duplicate_as(e, at[i], struct_text(ServicePort(pair.root)));
  }
}

void validate_source_ranges(FieldErrors& e, const Service& now, const Service* before) {
  constexpr std::string_view kAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
  const ServiceSpec spec = now.spec();
  const bool balanced = spec.type() == "LoadBalancer";
  if (!spec.load_balancer_source_ranges().empty()) {
    const FieldPath at = kSpec["LoadBalancerSourceRanges"];  // upstream's own spelling
    if (!balanced) field::forbidden(e, at, kOnlyBalanced);
    Existing existing;
    if (before) {
      for (std::string_view c : before->spec().load_balancer_source_ranges()) {
        existing.insert(trim(c));
      }
    }
    size_t i = 0;
    for (std::string_view c : spec.load_balancer_source_ranges()) {
      validate_cidr(e, at[i++], trim(c), existing);
    }
    return;
  }
  const auto annotations = now.metadata().annotations();
  if (!annotations.contains(kAnnotation)) return;
  const FieldPath at = kMeta["annotations"].key(kAnnotation);
  if (!balanced) field::forbidden(e, at, kOnlyBalanced);
  const std::string_view given = annotations.get(kAnnotation), text = trim(given);
  if (text.empty()) return;
  if (before && before->metadata().annotations().get(kAnnotation) == given) return;
  for (std::string_view one : split(text, ',')) validate_cidr(e, at, trim(one));
}

void validate_balancer_class(FieldErrors& e, const ServiceSpec& spec, const ServiceSpec* old) {
  const FieldPath at = kSpec["loadBalancerClass"];
  const Value& name = spec.value()["loadBalancerClass"];
  const bool balanced = spec.type() == "LoadBalancer";
  if (old && balanced && old->type() == "LoadBalancer" &&
      !name.equals(old->value()["loadBalancerClass"])) {
    field::invalid(e, at, name, "may not change once set");
  }
  if (name.is_null()) return;
  if (balanced) {
    field::invalid_each(e, at, name.as_string(), check_qualified_name(name.as_string()));
  } else {
    field::forbidden(e, at, kOnlyBalanced);
  }
}

bool is_reached_from_outside(const ServiceSpec& spec) {
  return spec.type() == "LoadBalancer" || spec.type() == "NodePort" ||
         (spec.type() == "ClusterIP" && !spec.external_ips().empty());
}

bool has_health_port(const ServiceSpec& spec) {
  return spec.type() == "LoadBalancer" && spec.external_traffic_policy() == "Local";
}

void validate_traffic(FieldErrors& e, const ServiceSpec& spec) {
  const FieldPath at = kSpec["externalTrafficPolicy"], health = kSpec["healthCheckNodePort"];
  const std::string_view external = spec.external_traffic_policy();
  if (is_reached_from_outside(spec)) {
    check_word(e, at, external, {"Cluster", "Local"});
  } else if (!external.empty()) {
    field::invalid(e, at, external, "may only be set for externally-accessible services");
  }
  const int64_t port = spec.health_check_node_port();
  if (has_health_port(spec)) {  // 0: it gets one when it is stored
    if (port != 0) {
      for (auto& m : check_port_number(port)) field::invalid(e, health, port, m);
    }
  } else if (port != 0) {
    field::invalid(e, health, port,
                   "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                   "'Local'");
  }
  const FieldPath inside = kSpec["internalTrafficPolicy"];
  if (spec.has_internal_traffic_policy()) {
    described(e, kSpec, spec, "internalTrafficPolicy");
  } else if (is_one_of(spec.type(), {"NodePort", "LoadBalancer", "ClusterIP"})) {
    field::required(e, inside);
  }
  described(e, kSpec, spec, "trafficDistribution");
}

void validate_ports(FieldErrors& e, const ServiceSpec& spec) {
  const auto ports = spec.ports();
  std::set<std::string_view> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    validate_port(e, kSpec["ports"][i], ports[i], ports.size() > 1, &names);
  }
}

// `before` is null on a create.
void validate_whole(FieldErrors& e, const Service& now, const Service* before) {
  const ServiceSpec spec = now.spec();
  const ServiceSpec before_spec = before ? before->spec() : ServiceSpec();
  const ServiceSpec* old = before ? &before_spec : nullptr;
  const std::string_view type = spec.type();
  validate_topology_annotations(e, now);
  if (spec.ports().empty() && !is_headless(spec) && type != "ExternalName") {
    field::required(e, kSpec["ports"]);
  }
  if (type == "ExternalName") {
    validate_external_name(e, spec);
  } else if (is_headless(spec) && (type == "LoadBalancer" || type == "NodePort")) {
    field::invalid(e, kSpec["clusterIPs"][0], spec.cluster_ips()[0],
                   "may not be set to 'None' for " + std::string(type) + " services");
  }
  validate_ports(e, spec);
  validate_labels(e, kSpec["selector"], spec.selector().value());
  validate_affinity(e, spec);
  validate_cluster_ips(e, spec, old);
  validate_external_ips(e, spec, old);
  described(e, kSpec, spec, "type");
  validate_port_pairs(e, spec);
  validate_source_ranges(e, now, before);
  if (spec.has_allocate_load_balancer_node_ports()) {
    if (type != "LoadBalancer") {
      field::forbidden(e, kSpec["allocateLoadBalancerNodePorts"], kOnlyBalanced);
    }
  } else if (type == "LoadBalancer") {
    field::required(e, FieldPath("allocateLoadBalancerNodePorts"));
  }
  validate_balancer_class(e, spec, nullptr);
  validate_traffic(e, spec);
}

}  // namespace

void validate_service(FieldErrors& e, const Service& now, const Service* before,
                      IpFamilies served) {
  if (validate_families(e, now.spec(), nullptr, served)) validate_whole(e, now, before);
}

void validate_service_update(FieldErrors& e, const Service& now, const Service& before,
                             IpFamilies served) {
  const ServiceSpec spec = now.spec(), old = before.spec();
  if (!validate_families(e, spec, &old, served)) return;
  validate_address_change(e, spec, old);
  validate_balancer_class(e, spec, &old);
  if (has_health_port(old) && has_health_port(spec) &&
      spec.health_check_node_port() != old.health_check_node_port()) {
    field::forbidden(e, kSpec["healthCheckNodePort"], "field is immutable");
  }
  validate_whole(e, now, &before);
}

void validate_service_status(FieldErrors& e, const Service& now, const Service& before) {
  const FieldPath at = FieldPath("status")["loadBalancer"]["ingress"];
  const Value& ingress = now.status().load_balancer().ingress().value();
  if (now.spec().type() != "LoadBalancer" && !ingress.empty()) {
    field::forbidden(e, at, "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  validate_balancer_ingress(e, at, ingress, before.status().load_balancer().ingress().value(),
                            true);
}

}  // namespace keles::registry
