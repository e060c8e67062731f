#include "proxy/policy/facts.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/log.h"

namespace keles::policy {
namespace {

using api::networking_v1::NetworkPolicyPeer;
using api::networking_v1::NetworkPolicyPort;

void skipped(const std::string& policy, std::string_view field, std::string_view value) {
  log::warn("Part of a network policy is not valid and allows nothing",
            {{"policy", policy}, {"field", field}, {"value", value.substr(0, 100)}});
}

std::optional<IpPrefix> range_of(std::string_view text) {
  auto read = IpPrefix::parse_sloppy(text);
  if (!read) return std::nullopt;
  return read->prefix.network();
}

// Of prefixes that overlap one contains the other: only the widest are kept. All of one family.
void keep_widest(std::vector<IpPrefix>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const IpPrefix& a, const IpPrefix& b) {
    return a.base != b.base ? a.base < b.base : a.length < b.length;
  });
  std::vector<IpPrefix> out;
  for (const IpPrefix& r : ranges) {
    if (out.empty() || !out.back().contains(r)) out.push_back(r);
  }
  ranges = std::move(out);
}

// Users may say the same thousands of times.
void drop_repeated(Rule& r) {
  std::set<std::string> pods, blocks;
  std::erase_if(r.pods, [&](const PodChoice& c) { return !pods.insert(c.text()).second; });
  std::erase_if(r.blocks, [&](const AddressBlock& b) {
    std::string text = b.range.text();
    for (const IpPrefix& p : b.except) text += " " + p.text();
    return !blocks.insert(std::move(text)).second;
  });
  std::set<std::tuple<Protocol, uint16_t, uint16_t, std::string>> ports;
  std::erase_if(r.ports, [&](const PortChoice& c) {
    return !ports.emplace(c.protocol, c.first, c.last, c.name).second;
  });
}

size_t conditions(const Rule& r) {
  size_t peers = r.pods.size() * 2;  // of either family
  for (const AddressBlock& b : r.blocks) peers += 1 + b.except.size();
  if (r.everyone) peers = 1;
  // Those with names share one set.
  size_t ports = 2;
  for (const PortChoice& c : r.ports) ports += c.name.empty() ? 1 : 0;
  if (r.every_port) ports = 1;
  return peers * ports;
}

class Reader {
 public:
  Reader(std::string ns, std::string name) : ns_(std::move(ns)), key_(ns_ + "/" + name) {}

  Selector selector(const View& v, std::string_view field) const {
    auto read = Selector::from_label_selector(v);
    if (read.ok()) return *read;
    skipped(key_, field, read.status().message());
    return Selector::nothing();
  }

  void peer(const NetworkPolicyPeer& peer, Rule& out) const {
    if (peer.has_ip_block()) return block(peer, out);
    PodChoice choice;
    if (peer.has_namespace_selector()) {
      choice.namespaces = selector(peer.namespace_selector(), "namespaceSelector");
    } else if (peer.has_pod_selector()) {
      choice.ns = ns_;
    } else {
      return skipped(key_, "peer", "neither selector nor block");
    }
    if (peer.has_pod_selector()) choice.pods = selector(peer.pod_selector(), "podSelector");
    out.pods.push_back(std::move(choice));
  }

  void port(const NetworkPolicyPort& port, Rule& out) const {
    PortChoice choice;
    auto protocol = proxy::parse_protocol(port.protocol());
    if (!protocol) return skipped(key_, "ports.protocol", port.protocol());
    choice.protocol = *protocol;
    const Value& which = port.port();
    if (which.is_int()) {
      auto first = proxy::port_number(which.as_int());
      auto last = port.has_end_port() ? proxy::port_number(port.end_port()) : first;
      if (!first || !last || *last < *first) {
        return skipped(key_, "ports.port", std::to_string(which.as_int()));
      }
      choice.first = *first;
      choice.last = *last;
    } else if (which.is_string()) {
      choice.name = which.as_string();
      if (choice.name.empty()) return skipped(key_, "ports.port", "");
    }
    out.ports.push_back(std::move(choice));
  }

  // `peers` and `ports` that are empty mean everybody and everything; a list of which nothing can
  // be read means nobody.
  template <class Peers, class Ports>
  Rule rule(const Peers& peers, const Ports& ports) const {
    Rule out;
    out.everyone = peers.empty();
    out.every_port = ports.empty();
    for (const NetworkPolicyPeer& p : peers) peer(p, out);
    for (const NetworkPolicyPort& p : ports) port(p, out);
    drop_repeated(out);
    return out;
  }

  // The rules of a direction, as far as they go.
  void add(std::vector<Rule>& rules, size_t& spent, Rule more, std::string_view field) const {
    if (spent > kMostConditions) return;
    spent += conditions(more);
    if (spent > kMostConditions) return skipped(key_, field, "too many peers and ports");
    rules.push_back(std::move(more));
  }

 private:
  void block(const NetworkPolicyPeer& peer, Rule& out) const {
    auto range = range_of(peer.ip_block().cidr());
    if (!range) return skipped(key_, "ipBlock.cidr", peer.ip_block().cidr());
    AddressBlock block{*range, {}};
    for (std::string_view text : peer.ip_block().except()) {
      auto except = range_of(text);
      // Who cannot say what is left out lets nobody in.
      if (!except) return skipped(key_, "ipBlock.except", text);
      if (except->v6() == range->v6() && range->overlaps(*except)) block.except.push_back(*except);
    }
    keep_widest(block.except);
    out.blocks.push_back(std::move(block));
  }

  std::string ns_, key_;
};

}  // namespace

LabelMap label_map(const Map<std::string_view>& labels) {
  LabelMap out;
  for (const auto& [name, value] : labels) out.emplace(name, value);
  return out;
}

std::string PodChoice::text() const {
  // No text of a selector contains a newline.
  std::string of = ns ? "in " + *ns : "of " + namespaces.to_string();
  if (namespaces.is_nothing() || pods.is_nothing()) return "nothing";
  return of + "\n" + pods.to_string();
}

PodFacts pod_facts(const api::core_v1::Pod& pod, std::string_view node_name,
                   const std::vector<IpAddress>& given) {
  PodFacts out;
  out.ns = pod.metadata().namespace_();
  out.name = pod.metadata().name();
  out.uid = pod.metadata().uid();
  out.local = pod.spec().node_name() == node_name;
  const std::string_view phase = pod.status().phase();
  if (pod.spec().host_network() || phase == "Succeeded" || phase == "Failed") return out;
  out.labels = label_map(pod.metadata().labels());
  auto add = [&](std::string_view text) {
    auto ip = IpAddress::parse_sloppy(text);
    if (!ip || !ip->address.is_global_unicast()) return;
    if (std::find(out.ips.begin(), out.ips.end(), ip->address) == out.ips.end()) {
      out.ips.push_back(ip->address);
    }
  };
  for (auto ip : pod.status().pod_ips()) add(ip.ip());
  if (out.ips.empty()) add(pod.status().pod_ip());
  if (!given.empty()) out.ips = given;
  auto ports = [&](const api::core_v1::Container& c) {
    for (auto p : c.ports()) {
      auto protocol = proxy::parse_protocol(p.protocol());
      auto number = proxy::port_number(p.container_port());
      if (protocol && number && !p.name().empty()) {
        out.ports.push_back({std::string(p.name()), *protocol, *number});
      }
    }
  };
  for (const auto& c : pod.spec().containers()) ports(c);
  for (const auto& c : pod.spec().init_containers()) {
    if (c.restart_policy() == "Always") ports(c);  // a sidecar
  }
  std::sort(out.ports.begin(), out.ports.end());
  return out;
}

Policy policy_facts(const api::networking_v1::NetworkPolicy& policy) {
  Policy out;
  out.ns = policy.metadata().namespace_();
  const Reader read(out.ns, std::string(policy.metadata().name()));
  auto spec = policy.spec();
  out.pods =
      spec.has_pod_selector() ? read.selector(spec.pod_selector(), "spec.podSelector") : Selector();
  for (std::string_view type : spec.policy_types()) {
    out.isolates_ingress |= type == "Ingress";
    out.isolates_egress |= type == "Egress";
  }
  if (spec.policy_types().empty()) {
    out.isolates_ingress = true;
    out.isolates_egress = !spec.egress().empty();
  }
  if (out.isolates_ingress) {
    size_t spent = 0;
    for (const auto& r : spec.ingress()) {
      read.add(out.ingress, spent, read.rule(r.from(), r.ports()), "spec.ingress");
    }
  }
  if (out.isolates_egress) {
    size_t spent = 0;
    for (const auto& r : spec.egress()) {
      read.add(out.egress, spent, read.rule(r.to(), r.ports()), "spec.egress");
    }
  }
  return out;
}

}  // namespace keles::policy
