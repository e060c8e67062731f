// Endpoints, EndpointSlices, Ingresses, NetworkPolicies.
#include <set>

#include "base/ip.h"
#include "machinery/intstr.h"
#include "machinery/validation.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

void validate_port(FieldErrors& e, const FieldPath& p, const Value& port, bool needs_name) {
  std::string_view name = port["name"].as_string();
  if (name.empty()) {
    if (needs_name) field::required(e, p["name"]);
  } else {
    field::invalid_each(e, p["name"], name, check_dns1123_label(name));
  }
  if (!port["port"].is_null()) {
    for (auto& m : check_port_number(port["port"].as_int())) {
      field::invalid(e, p["port"], port["port"].as_int(), m);
    }
  }
}

// --- Endpoints ----------------------------------------------------------------------------------

void validate_endpoint_address(FieldErrors& e, const FieldPath& p, const Value& address) {
  std::string_view ip = address["ip"].as_string(), host = address["hostname"].as_string(),
                   node = address["nodeName"].as_string();
  validate_ip(e, p["ip"], ip);
  if (!host.empty()) field::invalid_each(e, p["hostname"], host, check_dns1123_label(host));
  if (!address["nodeName"].is_null()) {
    field::invalid_each(e, p["nodeName"], node, check_dns1123_subdomain(node));
  }
  validate_endpoint_ip(e, p["ip"], ip);
}

void validate_endpoints(const HookContext&, const Value& now, FieldErrors& e) {
  size_t i = 0;
  for (const Value& s : now["subsets"].items()) {
    FieldPath at = FieldPath("subsets")[i++];
    if (s["addresses"].empty() && s["notReadyAddresses"].empty()) {
      field::required(e, at, "must specify `addresses` or `notReadyAddresses`");
    }
    for (std::string_view list : {"addresses", "notReadyAddresses"}) {
      size_t j = 0;
      for (const Value& a : s[list].items()) {
        validate_endpoint_address(e, at[list][j++], a);
      }
    }
    size_t j = 0;
    for (const Value& p : s["ports"].items()) {
      validate_port(e, at["ports"][j++], p, s["ports"].size() > 1);
    }
  }
}

// What is stored already is not refused, however it came there.
void validate_endpoints_update(const HookContext& ctx, const Value& now, const Value& before,
                               FieldErrors& e) {
  if (!now["subsets"].equals(before["subsets"])) validate_endpoints(ctx, now, e);
}

std::string host_port(std::string_view ip, int64_t port) {
  bool v6 = ip.find(':') != std::string_view::npos;
  return (v6 ? "[" + std::string(ip) + "]" : std::string(ip)) + ":" + std::to_string(port);
}

void endpoints_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> all;
  for (const Value& s : o["subsets"].items()) {
    if (s["ports"].empty()) {
      for (const Value& a : s["addresses"].items()) all.emplace_back(a["ip"].as_string());
    }
    for (const Value& p : s["ports"].items()) {
      for (const Value& a : s["addresses"].items()) {
        all.push_back(host_port(a["ip"].as_string(), p["port"].as_int()));
      }
    }
  }
  CellWriter(ctx, out).text("Endpoints", or_none(joined_some(all, 3)));
}

// --- EndpointSlice ------------------------------------------------------------------------------

void validate_slice_address(FieldErrors& e, const FieldPath& list, size_t i, std::string_view type,
                            std::string_view s) {
  if (type == "FQDN") {
    field::invalid_each(e, list[i], s, check_dns1123_subdomain(s));
  } else if (type == "IPv4" || type == "IPv6") {
    if (!validate_ip(e, list[i], s)) return;
    const bool v6 = s.find(':') != s.npos;
    if (v6 != (type == "IPv6")) {
      field::invalid(e, list, s, v6 ? "must be an IPv4 address" : "must be an IPv6 address");
    }
    validate_endpoint_ip(e, list[i], s);
  }
}

void validate_slice_endpoints(FieldErrors& e, const Value& now) {
  constexpr size_t kMostEndpoints = 1000, kMostAddresses = 100;
  const Value& endpoints = now["endpoints"];
  if (endpoints.size() > kMostEndpoints) {
    field::too_many(e, FieldPath("endpoints"), endpoints.size(), kMostEndpoints);
    return;
  }
  size_t i = 0;
  for (const Value& ep : endpoints.items()) {
    const FieldPath at = FieldPath("endpoints")[i++];
    const FieldPath list = at["addresses"];
    const Value& addresses = ep["addresses"];
    if (addresses.empty()) field::required(e, list, "must contain at least 1 address");
    if (addresses.size() > kMostAddresses) {
      field::too_many(e, list, addresses.size(), kMostAddresses);
    }
    size_t j = 0;
    for (const Value& a : addresses.items()) {
      validate_slice_address(e, list, j++, now["addressType"].as_string(), a.as_string());
    }
    std::string_view node = ep["nodeName"].as_string(), host = ep["hostname"].as_string();
    if (!ep["nodeName"].is_null()) {
      field::invalid_each(e, at["nodeName"], node, check_dns1123_subdomain(node));
    }
    if (!ep["hostname"].is_null()) {
      field::invalid_each(e, at["hostname"], host, check_dns1123_label(host));
    }
  }
}

void validate_slice_rest(FieldErrors& e, const Value& now) {
  std::string_view type = now["addressType"].as_string();
  if (type.empty() && now.find("addressType")) field::required(e, FieldPath("addressType"));
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Value& p : now["ports"].items()) {
    FieldPath at = FieldPath("ports")[i++];
    validate_port(e, at, p, false);
    if (!names.insert(p["name"].as_string()).second) field::duplicate(e, at["name"], p["name"]);
  }
}

void validate_slice(const HookContext&, const Value& now, FieldErrors& e) {
  validate_slice_rest(e, now);
  validate_slice_endpoints(e, now);
}

void validate_slice_update(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  validate_slice_rest(e, now);
  if (!now["endpoints"].equals(before["endpoints"])) validate_slice_endpoints(e, now);
  field::immutable(e, FieldPath("addressType"), now["addressType"], before["addressType"]);
}

void slice_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> ports, addresses;
  for (const Value& p : o["ports"].items()) {
    ports.push_back(p["port"].is_null() ? "*" : std::to_string(p["port"].as_int()));
  }
  for (const Value& ep : o["endpoints"].items()) {
    for (const Value& a : ep["addresses"].items()) addresses.emplace_back(a.as_string());
  }
  CellWriter w(ctx, out);
  w.text("Ports", or_unset(joined_some(ports, 3)));
  w.text("Endpoints", or_unset(joined_some(addresses, 3)));
}

// --- Ingress ------------------------------------------------------------------------------------

void validate_backend(FieldErrors& e, const FieldPath& p, const Value& backend) {
  const Value &service = backend["service"], &resource = backend["resource"];
  if (!resource.is_null() && !service.is_null()) {
    field::invalid(e, p, "", "cannot set both resource and service backends");
    return;
  }
  if (!resource.is_null()) return;
  std::string_view name = service["name"].as_string();
  if (name.empty()) {
    field::required(e, p["service"]["name"]);
  } else {
    field::invalid_each(e, p["service"]["name"], name, check_dns1035_label(name));
  }
  const Value& port = service["port"];
  bool named = !port["name"].as_string().empty(), numbered = port["number"].as_int() != 0;
  if (named && numbered) {
    field::invalid(e, p, "", "cannot set both port name & port number");
  } else if (!named && !numbered) {
    field::required(e, p, "port name or number is required");
  } else if (numbered) {
    for (auto& m : check_port_number(port["number"].as_int())) {
      field::invalid(e, p["service"]["port"]["number"], port["number"].as_int(), m);
    }
  }
}

void validate_ingress(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  if (spec["rules"].empty() && spec["defaultBackend"].is_null()) {
    field::invalid(e, kSpec, spec, "either `defaultBackend` or `rules` must be specified");
  }
  if (!spec["defaultBackend"].is_null()) {
    validate_backend(e, kSpec["defaultBackend"], spec["defaultBackend"]);
  }
  size_t i = 0;
  for (const Value& r : spec["rules"].items()) {
    FieldPath at = kSpec["rules"][i++];
    if (std::string_view host = r["host"].as_string(); !host.empty()) {
      if (IpAddress::parse(host)) {
        field::invalid(e, at["host"], host, "must be a DNS name, not an IP address");
      } else if (host.find('*') != std::string_view::npos) {
        field::invalid_each(e, at["host"], host, check_wildcard_dns1123_subdomain(host));
      } else {
        field::invalid_each(e, at["host"], host, check_dns1123_subdomain(host));
      }
    }
    size_t j = 0;
    for (const Value& path : r["http"]["paths"].items()) {
      FieldPath p = at["http"]["paths"][j++];
      std::string_view text = path["path"].as_string(), type = path["pathType"].as_string();
      if ((type == "Exact" || type == "Prefix") && (text.empty() || text[0] != '/')) {
        field::invalid(e, p["path"], text, "must be an absolute path");
      }
      validate_backend(e, p["backend"], path["backend"]);
    }
  }
}

void validate_ingress_status(const HookContext&, const Value& now, const Value& before,
                             FieldErrors& e) {
  validate_balancer_ingress(e, FieldPath("status")["loadBalancer"]["ingress"],
                            now["status"]["loadBalancer"]["ingress"],
                            before["status"]["loadBalancer"]["ingress"], false);
}

void ingress_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  std::vector<std::string> hosts;
  for (const Value& r : spec["rules"].items()) {
    if (!r["host"].as_string().empty()) hosts.emplace_back(r["host"].as_string());
  }
  w.text("Class", or_none(spec["ingressClassName"].as_string()));
  w.text("Hosts", or_else(joined_some(hosts, 3), "*"));
  w.text("Address", load_balancer_text(o["status"]["loadBalancer"]));
  w.text("Ports", spec["tls"].empty() ? "80" : "80, 443");
}

void ingress_class_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& p = o["spec"]["parameters"];
  std::string text = "<none>";
  if (!p.is_null()) {
    text = std::string(p["kind"].as_string());
    if (!p["apiGroup"].as_string().empty()) text += "." + std::string(p["apiGroup"].as_string());
    text += "/" + std::string(p["name"].as_string());
  }
  CellWriter(ctx, out).text("Parameters", text);
}

// --- NetworkPolicy and addresses ----------------------------------------------------------------

void validate_policy_port(FieldErrors& e, const FieldPath& p, const Value& port) {
  const Value &number = port["port"], &end = port["endPort"];
  const FieldPath at_end = p["endPort"];
  if (number.is_null()) {
    if (!end.is_null()) {
      field::invalid(e, at_end, end.as_int(), "may not be specified when `port` is not specified");
    }
  } else if (number.is_int()) {
    for (auto& m : check_port_number(number.as_int())) {
      field::invalid(e, p["port"], number.as_int(), m);
    }
    if (end.is_null()) return;
    if (end.as_int() < number.as_int()) {
      field::invalid(e, at_end, number.as_int(), "must be greater than or equal to `port`");
    }
    for (auto& m : check_port_number(end.as_int())) field::invalid(e, at_end, end.as_int(), m);
  } else {
    if (!end.is_null()) {
      field::invalid(e, at_end, end.as_int(), "may not be specified when `port` is non-numeric");
    }
    field::invalid_each(e, p["port"], number.as_string(), check_port_name(number.as_string()));
  }
}

void validate_ip_block(FieldErrors& e, const FieldPath& p, const Value& block,
                       const Existing& existing) {
  std::string_view cidr = block["cidr"].as_string();
  if (cidr.empty()) {
    field::required(e, p["cidr"]);
    return;
  }
  if (!validate_cidr(e, p["cidr"], cidr, existing)) return;
  size_t i = 0;
  for (const Value& except : block["except"].items()) {
    const FieldPath at = p["except"][i++];
    std::string_view s = except.as_string();
    if (validate_cidr(e, at, s, existing) && !is_strict_subset(s, cidr)) {
      field::invalid(e, at, s, "must be a strict subset of `cidr`");
    }
  }
}

void validate_policy_peer(FieldErrors& e, const FieldPath& p, const Value& peer,
                          const Existing& existing) {
  int peers = 0;
  for (std::string_view selector : {"podSelector", "namespaceSelector"}) {
    if (peer[selector].is_null()) continue;
    ++peers;
    validate_label_selector(e, p[selector], peer[selector]);
  }
  const bool block = !peer["ipBlock"].is_null();
  if (block) validate_ip_block(e, p["ipBlock"], peer["ipBlock"], existing);
  if (peers == 0 && !block) field::required(e, p, "must specify a peer");
  if (peers > 0 && block) {
    field::forbidden(e, p, "may not specify both ipBlock and another peer");
  }
}

struct Direction {
  std::string_view rules, peers;
};
constexpr Direction kDirections[] = {{"ingress", "from"}, {"egress", "to"}};

void validate_policy_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& e) {
  Existing existing;
  for (const Direction& d : kDirections) {
    for (const Value& r : before["spec"][d.rules].items()) {
      for (const Value& peer : r[d.peers].items()) {
        existing.insert(peer["ipBlock"]["cidr"].as_string());
        for (const Value& x : peer["ipBlock"]["except"].items()) existing.insert(x.as_string());
      }
    }
  }
  const Value& spec = now["spec"];
  validate_label_selector(e, kSpec["podSelector"], spec["podSelector"]);
  for (const Direction& d : kDirections) {
    size_t i = 0;
    for (const Value& r : spec[d.rules].items()) {
      const FieldPath at = kSpec[d.rules][i++];
      size_t j = 0;
      for (const Value& port : r["ports"].items()) validate_policy_port(e, at["ports"][j++], port);
      j = 0;
      for (const Value& peer : r[d.peers].items()) {
        validate_policy_peer(e, at[d.peers][j++], peer, existing);
      }
    }
  }
  if (spec["policyTypes"].size() > 2) {
    field::invalid(e, kSpec["policyTypes"], spec["policyTypes"],
                   "may not specify more than two policyTypes");
  }
}

void validate_policy(const HookContext& ctx, const Value& now, FieldErrors& e) {
  validate_policy_update(ctx, now, Value::null(), e);
}

void policy_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).text("Pod-Selector", selector_text(o["spec"]["podSelector"]));
}

void service_cidr_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> cidrs;
  for (const Value& c : o["spec"]["cidrs"].items()) cidrs.emplace_back(c.as_string());
  CellWriter(ctx, out).text("CIDRs", joined(cidrs));
}

void ip_address_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& ref = o["spec"]["parentRef"];
  std::string text = "<none>";
  if (!ref.is_null()) {
    text = std::string(ref["resource"].as_string());
    if (!ref["group"].as_string().empty()) text += "." + std::string(ref["group"].as_string());
    text += "/";
    if (!ref["namespace"].as_string().empty()) {
      text += std::string(ref["namespace"].as_string()) + "/";
    }
    text += std::string(ref["name"].as_string());
  }
  CellWriter(ctx, out).text("ParentRef", text);
}

Messages check_ip_name(std::string_view name, bool) { return check_ip(name); }

}  // namespace

extern const Strategy kEndpointsStrategy{.warnings = endpoints_warnings,
                                         .validate = validate_endpoints,
                                         .validate_update = validate_endpoints_update,
                                         .validates_update_whole = true,
                                         .cells = endpoints_cells};
extern const Strategy kEndpointSliceStrategy{.warnings = endpoint_slice_warnings,
                                             .validate = validate_slice,
                                             .validate_update = validate_slice_update,
                                             .validates_update_whole = true,
                                             .cells = slice_cells};
extern const Strategy kIngressStrategy{.warnings = ingress_warnings,
                                       .status_warnings = load_balancer_status_warnings,
                                       .validate = validate_ingress,
                                       .validate_status_update = validate_ingress_status,
                                       .cells = ingress_cells};
extern const Strategy kIngressClassStrategy{.cells = ingress_class_cells};
extern const Strategy kNetworkPolicyStrategy{.warnings = network_policy_warnings,
                                             .validate = validate_policy,
                                             .validate_update = validate_policy_update,
                                             .validates_update_whole = true,
                                             .cells = policy_cells};
extern const Strategy kServiceCidrStrategy{.cells = service_cidr_cells};
extern const Strategy kIpAddressStrategy{.validate_name = check_ip_name, .cells = ip_address_cells};

}  // namespace keles::registry
