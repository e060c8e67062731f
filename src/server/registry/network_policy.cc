// NetworkPolicies.
#include "api/networking_v1.h"
#include "base/ip.h"
#include "server/registry/addresses.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::networking_v1::IPBlock;
using api::networking_v1::NetworkPolicy;
using api::networking_v1::NetworkPolicyPeer;
using api::networking_v1::NetworkPolicyPort;
using api::networking_v1::NetworkPolicySpec;

const FieldPath kSpec("spec");

// What is stored already and is let through for it.
struct Tolerance {
  Existing ranges;
  bool label_values = false;
};

void validate_port(FieldErrors& e, const FieldPath& p, const NetworkPolicyPort& port) {
  const Value& number = port.value()["port"];
  const FieldPath at_end = p["endPort"];
  const int64_t end = port.end_port();
  if (port.has_protocol()) {
    check_known(e, p["protocol"], port.protocol(), {"TCP", "UDP", "SCTP"});
  }
  if (number.is_null()) {
    if (port.has_end_port()) {
      field::invalid(e, at_end, end, "may not be specified when `port` is not specified");
    }
  } else if (number.is_int()) {
    for (auto& m : check_port_number(number.as_int())) {
      field::invalid(e, p["port"], number.as_int(), m);
    }
    if (!port.has_end_port()) return;
    if (end < number.as_int()) {
      field::invalid(e, at_end, number.as_int(), "must be greater than or equal to `port`");
    }
    for (auto& m : check_port_number(end)) field::invalid(e, at_end, end, m);
  } else {
    if (port.has_end_port()) {
      field::invalid(e, at_end, end, "may not be specified when `port` is non-numeric");
    }
    field::invalid_each(e, p["port"], number.as_string(), check_port_name(number.as_string()));
  }
}

void validate_block(FieldErrors& e, const FieldPath& p, const IPBlock& block,
                    const Tolerance& tolerance) {
  const std::string_view cidr = block.cidr();
  if (cidr.empty()) return field::required(e, p["cidr"]);
  validate_cidr(e, p["cidr"], cidr, tolerance.ranges);
  if (!IpPrefix::parse_sloppy(cidr)) return;
  size_t i = 0;
  for (std::string_view except : block.except()) {
    const FieldPath at = p["except"][i++];
    validate_cidr(e, at, except, tolerance.ranges);
    if (IpPrefix::parse_sloppy(except) && !is_strict_subset(except, cidr)) {
      field::invalid(e, at, except, "must be a strict subset of `cidr`");
    }
  }
}

void validate_peer(FieldErrors& e, const FieldPath& p, const NetworkPolicyPeer& peer,
                   const Tolerance& tolerance) {
  validate_selector(e, p["podSelector"], peer.pod_selector().value(), tolerance.label_values);
  validate_selector(e, p["namespaceSelector"], peer.namespace_selector().value(),
                    tolerance.label_values);
  if (peer.has_ip_block()) validate_block(e, p["ipBlock"], peer.ip_block(), tolerance);
  const bool selects = peer.has_pod_selector() || peer.has_namespace_selector();
  if (!selects && !peer.has_ip_block()) {
    field::required(e, p, "must specify a peer");
  } else if (selects && peer.has_ip_block()) {
    field::forbidden(e, p, "may not specify both ipBlock and another peer");
  }
}

void validate_rule(FieldErrors& e, const FieldPath& at, std::string_view peers_name,
                   const List<NetworkPolicyPort>& ports, const List<NetworkPolicyPeer>& peers,
                   const Tolerance& tolerance) {
  size_t i = 0;
  for (const NetworkPolicyPort& port : ports) validate_port(e, at["ports"][i++], port);
  i = 0;
  for (const NetworkPolicyPeer& peer : peers) {
    validate_peer(e, at[peers_name][i++], peer, tolerance);
  }
}

void validate_spec(FieldErrors& e, const NetworkPolicySpec& spec, const Tolerance& tolerance) {
  validate_selector(e, kSpec["podSelector"], spec.pod_selector().value(), tolerance.label_values);
  size_t i = 0;
  for (const auto& rule : spec.ingress()) {
    validate_rule(e, kSpec["ingress"][i++], "from", rule.ports(), rule.from(), tolerance);
  }
  i = 0;
  for (const auto& rule : spec.egress()) {
    validate_rule(e, kSpec["egress"][i++], "to", rule.ports(), rule.to(), tolerance);
  }
  const FieldPath types = kSpec["policyTypes"];
  if (spec.policy_types().size() > 2) {
    return field::invalid(e, types, spec.policy_types().value(),
                          "may not specify more than two policyTypes");
  }
  i = 0;
  for (std::string_view type : spec.policy_types()) {
    check_known(e, types[i++], type, {"Ingress", "Egress"});
  }
}

void validate_policy(const HookContext&, const Value& now, FieldErrors& e) {
  validate_spec(e, NetworkPolicy(now).spec(), {});
}

void validate_policy_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& e) {
  const NetworkPolicySpec old = NetworkPolicy(before).spec();
  Tolerance tolerance;
  auto keep = [&](const List<NetworkPolicyPeer>& peers) {
    for (const NetworkPolicyPeer& peer : peers) {
      if (!peer.has_ip_block()) continue;
      tolerance.ranges.insert(peer.ip_block().cidr());
      for (std::string_view x : peer.ip_block().except()) tolerance.ranges.insert(x);
    }
  };
  for (const auto& rule : old.ingress()) keep(rule.from());
  for (const auto& rule : old.egress()) keep(rule.to());
  FieldErrors ill;
  validate_label_selector(ill, FieldPath(), old.pod_selector().value());
  tolerance.label_values = !ill.empty();
  validate_spec(e, NetworkPolicy(now).spec(), tolerance);
}

void policy_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).text("Pod-Selector", selector_text(o["spec"]["podSelector"]));
}

}  // namespace

extern const Strategy kNetworkPolicyStrategy{.warnings = network_policy_warnings,
                                             .validate = validate_policy,
                                             .validate_update = validate_policy_update,
                                             .validates_update_whole = true,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kChange,
                                             .cells = policy_cells};

}  // namespace keles::registry
