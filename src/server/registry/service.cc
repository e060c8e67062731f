// Services. Addresses and node ports are allocated elsewhere (services.h); here are the rules of
// what a Service may say.
#include <algorithm>
#include <cctype>
#include <set>

#include "machinery/intstr.h"
#include "machinery/validation.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

void validate_port(FieldErrors& e, const FieldPath& p, const Value& port, bool needs_name,
                   bool may_have_node_port, std::set<std::string_view>* names) {
  std::string_view name = port["name"].as_string();
  if (name.empty()) {
    if (needs_name) field::required(e, p["name"]);
  } else if (auto bad = check_dns1123_label(name); !bad.empty()) {
    field::invalid_each(e, p["name"], name, std::move(bad));
  } else if (!names->insert(name).second) {
    field::duplicate(e, p["name"], name);
  }
  int64_t number = port["port"].as_int();
  for (auto& m : check_port_number(number)) field::invalid(e, p["port"], number, m);
  if (port["protocol"].as_string().empty()) field::required(e, p["protocol"]);
  const Value& target = port["targetPort"];
  if (target.is_int()) {
    for (auto& m : check_port_number(target.as_int())) {
      field::invalid(e, p["targetPort"], target.as_int(), m);
    }
  } else if (target.is_string()) {
    field::invalid_each(e, p["targetPort"], target.as_string(),
                        check_port_name(target.as_string()));
  }
  if (std::string_view app = port["appProtocol"].as_string(); !app.empty()) {
    field::invalid_each(e, p["appProtocol"], app, check_qualified_name(app));
  }
  if (!may_have_node_port && port["nodePort"].as_int() != 0) {
    field::forbidden(e, p["nodePort"], "may not be used when `type` is 'ClusterIP'");
  }
}

void validate_ports(FieldErrors& e, const Value& spec, std::string_view type, bool headless) {
  const Value& ports = spec["ports"];
  FieldPath p = kSpec["ports"];
  if (ports.empty() && !headless && type != "ExternalName") {
    field::required(e, p);
    return;
  }
  bool node_ports = type == "NodePort" || type == "LoadBalancer";
  std::set<std::string_view> names;
  std::set<std::pair<std::string_view, int64_t>> pairs, taken;
  size_t i = 0;
  for (const Value& port : ports.items()) {
    FieldPath at = p[i++];
    validate_port(e, at, port, ports.size() > 1, node_ports || type == "ExternalName", &names);
    std::string_view protocol = port["protocol"].as_string();
    if (!pairs.insert({protocol, port["port"].as_int()}).second) {
      Document key;
      key.root = Value::map();
      key.root.set(key.arena, "protocol", port["protocol"]);
      key.root.set(key.arena, "port", port["port"]);
      field::duplicate(e, at, key.root);
    }
    int64_t node_port = port["nodePort"].as_int();
    if (node_port != 0 && !taken.insert({protocol, node_port}).second) {
      field::duplicate(e, at["nodePort"], Value(node_port));
    }
  }
}

void validate_addresses(FieldErrors& e, const Value& spec, std::string_view type) {
  std::string_view ip = spec["clusterIP"].as_string();
  const Value& ips = spec["clusterIPs"];
  if (type == "ExternalName") {
    if (!ip.empty()) {
      field::forbidden(e, kSpec["clusterIP"], "may not be set for ExternalName services");
    }
    if (!ips.empty()) {
      field::forbidden(e, kSpec["clusterIPs"], "may not be set for ExternalName services");
    }
  } else {
    if (ip == "None" && (type == "NodePort" || type == "LoadBalancer")) {
      field::invalid(e, kSpec["clusterIPs"][0], ip,
                     "may not be set to 'None' for " + std::string(type) + " services");
    }
    if (!ips.empty() && ips.at(0).as_string() != ip) {
      field::invalid(e, kSpec["clusterIPs"], ips, "first value must match `clusterIP`");
    }
    if (ips.empty() && !ip.empty() && ip != "None") {
      field::invalid_each(e, kSpec["clusterIP"], ip, check_ip(ip));
    }
    size_t i = 0;
    for (const Value& a : ips.items()) {
      FieldPath at = kSpec["clusterIPs"][i++];
      if (a.as_string() == "None") {
        if (ips.size() > 1) {
          field::invalid(e, kSpec["clusterIPs"], ips, "'None' must be the first and only value");
        }
      } else {
        field::invalid_each(e, at, a.as_string(), check_ip(a.as_string()));
      }
    }
  }
}

void validate_external_ips(FieldErrors& e, const Value& spec, const Value& before) {
  Existing existing;
  for (const Value& a : before["externalIPs"].items()) existing.insert(a.as_string());
  size_t i = 0;
  for (const Value& a : spec["externalIPs"].items()) {
    const FieldPath at = kSpec["externalIPs"][i++];
    if (validate_ip(e, at, a.as_string(), existing)) validate_endpoint_ip(e, at, a.as_string());
  }
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
  return s;
}

void validate_source_ranges(FieldErrors& e, const Value& now, const Value& before) {
  constexpr std::string_view kAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
  constexpr const char* kOnlyBalanced = "may only be used when `type` is 'LoadBalancer'";
  const Value& spec = now["spec"];
  const bool balanced = spec["type"].as_string() == "LoadBalancer";
  if (!spec["loadBalancerSourceRanges"].empty()) {
    const FieldPath at = kSpec["LoadBalancerSourceRanges"];  // upstream's own spelling
    if (!balanced) field::forbidden(e, at, kOnlyBalanced);
    Existing existing;
    for (const Value& c : before["spec"]["loadBalancerSourceRanges"].items()) {
      existing.insert(trimmed(c.as_string()));
    }
    size_t i = 0;
    for (const Value& c : spec["loadBalancerSourceRanges"].items()) {
      validate_cidr(e, at[i++], trimmed(c.as_string()), existing);
    }
    return;
  }
  const Value& annotation = now["metadata"]["annotations"][kAnnotation];
  if (annotation.is_null()) return;
  const FieldPath at = FieldPath("metadata")["annotations"].key(kAnnotation);
  if (!balanced) field::forbidden(e, at, kOnlyBalanced);
  std::string_view text = trimmed(annotation.as_string());
  if (text.empty() || annotation.equals(before["metadata"]["annotations"][kAnnotation])) return;
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    validate_cidr(e, at, trimmed(text.substr(from, comma - from)));
    from = comma + 1;
  }
}

void validate_balancer_class(FieldErrors& e, const Value& spec, const Value& old) {
  const FieldPath at = kSpec["loadBalancerClass"];
  const Value& name = spec["loadBalancerClass"];
  const bool balanced = spec["type"].as_string() == "LoadBalancer";
  if (balanced && old["type"].as_string() == "LoadBalancer" &&
      !name.equals(old["loadBalancerClass"])) {
    field::invalid(e, at, name, "may not change once set");
  }
  if (name.is_null()) return;
  if (balanced) {
    field::invalid_each(e, at, name.as_string(), check_qualified_name(name.as_string()));
  } else {
    field::forbidden(e, at, "may only be used when `type` is 'LoadBalancer'");
  }
}

void validate_traffic(FieldErrors& e, const Value& spec, std::string_view type) {
  const bool balanced = type == "LoadBalancer";
  const Value& external = spec["externalTrafficPolicy"];
  const bool reached =
      type == "NodePort" || balanced || (type == "ClusterIP" && !spec["externalIPs"].empty());
  if (!external.as_string().empty() && !reached) {
    field::invalid(e, kSpec["externalTrafficPolicy"], external,
                   "may only be set for externally-accessible services");
  }
  if (spec["healthCheckNodePort"].as_int() != 0 && !(balanced && external.as_string() == "Local")) {
    field::invalid(e, kSpec["healthCheckNodePort"], spec["healthCheckNodePort"].as_int(),
                   "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                   "'Local'");
  }
  if (!spec["allocateLoadBalancerNodePorts"].is_null() && !balanced) {
    field::forbidden(e, kSpec["allocateLoadBalancerNodePorts"],
                     "may only be used when `type` is 'LoadBalancer'");
  }
  const Value& distribution = spec["trafficDistribution"];
  if (!distribution.is_null()) {
    static constexpr std::string_view kKnown[] = {"PreferClose", "PreferSameZone",
                                                  "PreferSameNode"};
    if (std::find(std::begin(kKnown), std::end(kKnown), distribution.as_string()) ==
        std::end(kKnown)) {
      field::not_supported(e, kSpec["trafficDistribution"], distribution.as_string(), kKnown);
    }
  }
}

// `before` is null on create.
void validate_whole(const Value& now, const Value& before, FieldErrors& e) {
  const Value &spec = now["spec"], &old = before["spec"];
  std::string_view type = spec["type"].as_string();
  bool headless = spec["clusterIP"].as_string() == "None";
  validate_ports(e, spec, type, headless);
  validate_addresses(e, spec, type);
  validate_external_ips(e, spec, old);
  validate_source_ranges(e, now, before);
  validate_labels(e, kSpec["selector"], spec["selector"]);
  if (type == "ExternalName") {
    for (std::string_view f : {"ipFamilies", "ipFamilyPolicy"}) {
      if (!spec[f].is_null() && !(spec[f].is_list() && spec[f].empty())) {
        field::forbidden(e, kSpec[f], "may not be set for ExternalName services");
      }
    }
    std::string_view name = spec["externalName"].as_string();
    if (!name.empty() && name.back() == '.') name.remove_suffix(1);
    if (name.empty()) {
      field::required(e, kSpec["externalName"]);
    } else {
      field::invalid_each(e, kSpec["externalName"], name, check_dns1123_subdomain(name));
    }
  }
  if (spec["sessionAffinity"].as_string() == "ClientIP") {
    int64_t timeout = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].as_int();
    if (timeout <= 0 || timeout > 86400) {
      field::invalid(e, kSpec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], timeout,
                     "must be greater than 0 and less than 86400");
    }
  }
  validate_balancer_class(e, spec, old);
  validate_traffic(e, spec, type);
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  validate_whole(now, Value::null(), e);
}

bool has_health_port(const Value& spec) {
  return spec["type"].as_string() == "LoadBalancer" &&
         spec["externalTrafficPolicy"].as_string() == "Local";
}

// What was allocated stays, as long as the type needs it.
void validate_update(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  const Value &spec = now["spec"], &old = before["spec"];
  std::string_view was = old["clusterIP"].as_string(), is = spec["clusterIP"].as_string();
  bool named =
      spec["type"].as_string() == "ExternalName" || old["type"].as_string() == "ExternalName";
  if (!named && !was.empty() && was != is) {
    if (is.empty()) {
      field::invalid(e, kSpec["clusterIPs"][0], is, "primary clusterIP can not be unset");
    } else {
      field::invalid(e, kSpec["clusterIPs"][0], spec["clusterIPs"], "may not change once set");
    }
  }
  if (has_health_port(old) && has_health_port(spec) &&
      !spec["healthCheckNodePort"].equals(old["healthCheckNodePort"])) {
    field::forbidden(e, kSpec["healthCheckNodePort"], "field is immutable");
  }
  validate_whole(now, before, e);
}

// What a load balancer gave is gone with the type.
void prepare_for_update(const HookContext&, Document& now, const Value&) {
  if (now.root["spec"]["type"].as_string() == "LoadBalancer") return;
  if (Value* status = now.root.find("status"); status != nullptr && status->find("loadBalancer")) {
    status->set(now.arena, "loadBalancer", Value::map());
  }
}

void validate_status(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  const FieldPath at = FieldPath("status")["loadBalancer"]["ingress"];
  const Value& ingress = now["status"]["loadBalancer"]["ingress"];
  if (now["spec"]["type"].as_string() != "LoadBalancer" && !ingress.empty()) {
    field::forbidden(e, at, "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  validate_balancer_ingress(e, at, ingress, before["status"]["loadBalancer"]["ingress"], true);
}

std::string external_text(const Value& o) {
  const Value& spec = o["spec"];
  std::string_view type = spec["type"].as_string();
  std::vector<std::string> ips;
  for (const Value& a : spec["externalIPs"].items()) ips.emplace_back(a.as_string());
  if (type == "ClusterIP" || type == "NodePort") return or_none(joined(ips));
  if (type == "ExternalName") return std::string(spec["externalName"].as_string());
  if (type != "LoadBalancer") return "<unknown>";
  std::string balancer = load_balancer_text(o["status"]["loadBalancer"]);
  if (ips.empty()) return or_else(balancer, "<pending>");
  if (!balancer.empty()) ips.insert(ips.begin(), balancer);
  return joined(ips);
}

void cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  std::vector<std::string> ports;
  for (const Value& p : spec["ports"].items()) {
    std::string s = std::to_string(p["port"].as_int());
    if (p["nodePort"].as_int() > 0) s += ":" + std::to_string(p["nodePort"].as_int());
    ports.push_back(s + "/" + std::string(p["protocol"].as_string()));
  }
  std::string_view ip = spec["clusterIPs"].at(0).as_string();
  w.text("Cluster-IP", or_none(ip.empty() ? spec["clusterIP"].as_string() : ip));
  w.text("External-IP", external_text(o));
  w.text("Port(s)", or_none(joined(ports)));
  w.text("Selector", labels_text(spec["selector"]));
}

}  // namespace

extern const Strategy kServiceStrategy{.warnings = service_warnings,
                                       .status_warnings = load_balancer_status_warnings,
                                       .prepare_for_update = prepare_for_update,
                                       .validate = validate,
                                       .validate_update = validate_update,
                                       .validate_status_update = validate_status,
                                       .validates_update_whole = true,
                                       .cells = cells};

}  // namespace keles::registry
