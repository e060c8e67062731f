// Services. Addresses and node ports are allocated elsewhere (services.h); here are the rules of
// what a Service may say.
#include <set>

#include "machinery/intstr.h"
#include "server/registry/cells.h"
#include "server/registry/strategies.h"

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
  size_t i = 0;
  for (const Value& a : spec["externalIPs"].items()) {
    field::invalid_each(e, kSpec["externalIPs"][i++], a.as_string(), check_ip(a.as_string()));
  }
  i = 0;
  for (const Value& c : spec["loadBalancerSourceRanges"].items()) {
    field::invalid_each(e, kSpec["loadBalancerSourceRanges"][i++], c.as_string(),
                        check_cidr(c.as_string()));
  }
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  std::string_view type = spec["type"].as_string();
  bool headless = spec["clusterIP"].as_string() == "None";
  validate_ports(e, spec, type, headless);
  validate_addresses(e, spec, type);
  validate_labels(e, kSpec["selector"], spec["selector"]);
  if (type == "ExternalName") {
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
  if (!spec["externalTrafficPolicy"].as_string().empty() && type != "NodePort" &&
      type != "LoadBalancer" && spec["externalIPs"].empty()) {
    field::invalid(e, kSpec["externalTrafficPolicy"], spec["externalTrafficPolicy"],
                   "may only be set for externally-accessible services");
  }
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
  if (!old["loadBalancerClass"].is_null() && spec["type"].as_string() == "LoadBalancer" &&
      old["type"].as_string() == "LoadBalancer") {
    if (!spec["loadBalancerClass"].equals(old["loadBalancerClass"])) {
      field::invalid(e, kSpec["loadBalancerClass"], spec["loadBalancerClass"],
                     "may not change once set");
    }
  }
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

const Strategy kServiceStrategy{.kind = "Service",
                                .validate = validate,
                                .validate_update = validate_update,
                                .validate_name = name_is_dns1035_label,
                                .generation = false,
                                .cells = cells};

}  // namespace keles::registry
