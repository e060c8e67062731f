// Endpoints and EndpointSlices.
#include <set>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/host_port.h"
#include "base/ip.h"
#include "server/objects/meta.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::core_v1::EndpointAddress;
using api::core_v1::Endpoints;
using api::core_v1::EndpointSubset;
using api::discovery_v1::Endpoint;
using api::discovery_v1::EndpointSlice;

const Words kProtocols = {"SCTP", "TCP", "UDP"};

// --- Endpoints ----------------------------------------------------------------------------------

void validate_address(FieldErrors& e, const FieldPath& p, const EndpointAddress& address) {
  validate_ip(e, p["ip"], address.ip());
  described(e, p, address, "hostname");
  described(e, p, address, "nodeName");
  validate_endpoint_ip(e, p["ip"], address.ip());
}

void validate_port(FieldErrors& e, const FieldPath& p, const api::core_v1::EndpointPort& port,
                   bool needs_name) {
  if (needs_name && port.name().empty()) field::required(e, p["name"]);
  described(e, p, port, "name");
  for (auto& m : check_port_number(port.port())) field::invalid(e, p["port"], port.port(), m);
  described(e, p, port, "protocol");
  described(e, p, port, "appProtocol");
}

void validate_endpoints(const HookContext&, const Value& now, FieldErrors& e) {
  size_t i = 0;
  for (const EndpointSubset& s : Endpoints(now).subsets()) {
    const FieldPath at = FieldPath("subsets")[i++];
    if (s.addresses().empty() && s.not_ready_addresses().empty()) {
      field::required(e, at, "must specify `addresses` or `notReadyAddresses`");
    }
    size_t j = 0;
    for (const EndpointAddress& a : s.addresses()) validate_address(e, at["addresses"][j++], a);
    j = 0;
    for (const EndpointAddress& a : s.not_ready_addresses()) {
      validate_address(e, at["notReadyAddresses"][j++], a);
    }
    j = 0;
    for (const api::core_v1::EndpointPort& p : s.ports()) {
      validate_port(e, at["ports"][j++], p, s.ports().size() > 1);
    }
  }
}

// What is stored already is not refused, however it came there.
void validate_endpoints_update(const HookContext& ctx, const Value& now, const Value& before,
                               FieldErrors& e) {
  if (!now["subsets"].equals(before["subsets"])) validate_endpoints(ctx, now, e);
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
  if (type == "FQDN") return check_domain_name(e, list[i], s);
  if (type != "IPv4" && type != "IPv6") return;
  if (!validate_ip(e, list[i], s)) return;
  const bool v6 = s.find(':') != s.npos;
  if (type == "IPv6") {
    if (auto read = IpAddress::parse(s); read && read->text() != s) {
      field::invalid(e, list[i], s, "must be in canonical form (" + quoted(read->text()) + ")");
      return;
    }
  }
  if (v6 != (type == "IPv6")) {
    field::invalid(e, list, s, v6 ? "must be an IPv4 address" : "must be an IPv6 address");
  }
  validate_endpoint_ip(e, list[i], s);
}

// At most eight, each once, each well formed; false where there are too many.
template <class Hints>
bool validate_hint_names(FieldErrors& e, const FieldPath& p, const Hints& hints,
                         Messages (*check)(std::string_view)) {
  constexpr size_t kMost = 8;
  if (hints.size() > kMost) {
    field::too_many(e, p, hints.size(), kMost);
    return false;
  }
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const auto& hint : hints) {
    const FieldPath at = p[i++]["name"];
    if (!seen.insert(hint.name()).second) field::duplicate(e, at, hint.name());
    field::invalid_each(e, at, hint.name(), check(hint.name()));
  }
  return true;
}

void validate_endpoint(FieldErrors& e, const FieldPath& p, const Endpoint& endpoint,
                       std::string_view type) {
  const FieldPath list = p["addresses"];
  const auto addresses = endpoint.addresses();
  described(e, p, endpoint, "addresses");
  size_t i = 0;
  for (std::string_view a : addresses) validate_slice_address(e, list, i++, type, a);
  for (const char* f : {"nodeName", "deprecatedTopology", "hostname"}) {
    described(e, p, endpoint, f);
  }
  const FieldPath hints = p["hints"];
  if (validate_hint_names(e, hints["forZones"], endpoint.hints().for_zones(), check_label_value)) {
    validate_hint_names(e, hints["forNodes"], endpoint.hints().for_nodes(),
                        check_dns1123_subdomain);
  }
}

void validate_slice_endpoints(FieldErrors& e, const EndpointSlice& slice) {
  constexpr size_t kMost = 1000;
  const FieldPath p("endpoints");
  const auto endpoints = slice.endpoints();
  if (endpoints.size() > kMost) return field::too_many(e, p, endpoints.size(), kMost);
  size_t i = 0;
  for (const Endpoint& endpoint : endpoints) {
    validate_endpoint(e, p[i++], endpoint, slice.address_type());
  }
}

void validate_slice_ports(FieldErrors& e, const EndpointSlice& slice) {
  constexpr size_t kMost = 20000;
  const FieldPath p("ports");
  const auto ports = slice.ports();
  if (ports.size() > kMost) return field::too_many(e, p, ports.size(), kMost);
  std::set<std::string_view> names;
  size_t i = 0;
  for (const api::discovery_v1::EndpointPort& port : ports) {
    const FieldPath at = p[i++];
    const std::string_view name = port.name();
    if (!name.empty()) field::invalid_each(e, at["name"], name, check_dns1123_label(name));
    if (!names.insert(name).second) field::duplicate(e, at["name"], name);
    if (port.has_protocol()) {
      check_known(e, at["protocol"], port.protocol(), kProtocols);
    } else {
      field::required(e, at["protocol"]);
    }
    described(e, at, port, "appProtocol");
  }
}

void validate_slice_rest(FieldErrors& e, const EndpointSlice& slice) {
  described(e, FieldPath(), slice, "addressType");
  validate_slice_ports(e, slice);
}

void validate_slice(const HookContext&, const Value& now, FieldErrors& e) {
  validate_slice_rest(e, EndpointSlice(now));
  validate_slice_endpoints(e, EndpointSlice(now));
}

void validate_slice_update(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  validate_slice_rest(e, EndpointSlice(now));
  if (!now["endpoints"].equals(before["endpoints"])) {
    validate_slice_endpoints(e, EndpointSlice(now));
  }
  described_kept(e, FieldPath(), EndpointSlice(now), EndpointSlice(before), "addressType");
}

// The old map of labels cannot be written through v1; what it said of the node is kept as its name.
void drop_topology(Document& now, const Value* before) {
  constexpr std::string_view kHost = "kubernetes.io/hostname";
  Value* endpoints = now.root.find("endpoints");
  if (!endpoints || (before && endpoints->equals((*before)["endpoints"]))) return;
  std::set<std::string_view> known;
  if (before) {
    for (const Value& e : (*before)["endpoints"].items()) {
      if (const Value& host = e["deprecatedTopology"][kHost]; !host.as_string().empty()) {
        known.insert(host.as_string());
      }
    }
  }
  for (Value& e : endpoints->items()) {
    if (!e.is_map()) continue;
    const std::string_view host = e["deprecatedTopology"][kHost].as_string();
    if (e["nodeName"].is_null() && known.count(host) && check_dns1123_subdomain(host).empty()) {
      set_text(now, e, "nodeName", host);
    }
    e.erase("deprecatedTopology");
  }
}

void prepare_slice(const HookContext&, Document& now) { drop_topology(now, nullptr); }
void prepare_slice_update(const HookContext&, Document& now, const Value& before) {
  drop_topology(now, &before);
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

}  // namespace

extern const Strategy kEndpointsStrategy{.warnings = endpoints_warnings,
                                         .validate = validate_endpoints,
                                         .validate_update = validate_endpoints_update,
                                         .validates_update_whole = true,
                                         .described = false,
                                         .metadata_again = MetadataAgain::kChangeThenWhole,
                                         .cells = endpoints_cells};
extern const Strategy kEndpointSliceStrategy{.warnings = endpoint_slice_warnings,
                                             .prepare_for_create = prepare_slice,
                                             .prepare_for_update = prepare_slice_update,
                                             .validate = validate_slice,
                                             .validate_update = validate_slice_update,
                                             .validates_update_whole = true,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kWhole,
                                             .cells = slice_cells};

}  // namespace keles::registry
