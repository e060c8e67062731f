#include "proxy/ruleset.h"

#include <cstdio>

#include "net/host/nftables.h"
#include "net/pki.h"

namespace keles::proxy {
namespace {

// Two names that a user may choose must never meet: a hash that nobody can collide.
std::string hash(std::string_view s) { return net::hex(net::sha256(s)).substr(0, 16); }

// A chain's name: unique by the hash, readable by the rest, in which only characters stay that nft
// takes as part of a name; it allows 127 of them.
std::string chain_name(std::string_view kind, const Forward& f) {
  std::string id = f.name + "/" + std::string(protocol_text(f.protocol));
  std::string readable;
  for (char c : std::string_view(id).substr(0, 80)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    readable += plain ? c : '/';
  }
  return std::string(kind) + "-" + hash(id) + "-" + readable;
}

std::string service_chain(const Forward& f) { return chain_name("service", f); }
std::string external_chain(const Forward& f) { return chain_name("external", f); }
std::string local_chain(const Forward& f) { return chain_name("local", f); }
std::string guard_chain(const Forward& f) { return chain_name("guard", f); }

std::string affinity_set(const std::string& chain, const Target& t) {
  return "affinity-" + hash(chain) + "-" + t.ip.text() + "/" + std::to_string(t.port);
}

std::string at(IpAddress ip, const Forward& f) {
  return ip.text() + " . " + std::string(protocol_text(f.protocol)) + " . " +
         std::to_string(f.port);
}

bool has_external(const Forward& f) { return f.node_port != 0 || !f.external_ips.empty(); }

std::string hex(uint32_t v) {
  char buf[16];
  std::snprintf(buf, sizeof buf, "0x%x", v);
  return buf;
}

}  // namespace

std::string Ruleset::remove() const { return nftables_without_table(options_.table); }

std::string Ruleset::reset() {
  applied_.clear();
  std::string mark = hex(options_.masquerade_mark);
  std::string out = remove();
  out += "table ip " + options_.table + " {\n";
  out +=
      " comment \"rules of the keles service proxy\"\n"
      " map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
      " map service-nodeports { type inet_proto . inet_service : verdict; }\n"
      " map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
      " map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }\n"
      " map guarded-services { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
      " set hairpin { type ipv4_addr . ipv4_addr; }\n"
      " chain reject-connection { reject; }\n"
      " chain services {\n"
      "  ip daddr . meta l4proto . th dport vmap @service-ips\n"
      "  ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap "
      "@service-nodeports\n"
      " }\n"
      " chain endpointless {\n"
      "  ip daddr . meta l4proto . th dport vmap @no-endpoint-services\n"
      "  fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports\n"
      " }\n";
  out += " chain mark-for-masquerade { meta mark set meta mark or " + mark + "; }\n";
  out +=
      " chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }\n"
      " chain nat-output { type nat hook output priority -100; jump services; }\n"
      " chain nat-postrouting {\n"
      "  type nat hook postrouting priority srcnat;\n";
  out += "  meta mark and " + mark + " == " + mark + " meta mark set meta mark xor " + mark +
         " masquerade fully-random\n";
  out += "  ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random\n";
  if (!options_.unfiltered_bridge.empty()) {
    out += "  ct status dnat iifname \"" + options_.unfiltered_bridge + "\" oifname \"" +
           options_.unfiltered_bridge + "\" masquerade fully-random\n";
  }
  out +=
      " }\n"
      " chain guards { ip daddr . meta l4proto . th dport vmap @guarded-services; }\n"
      " chain guard-prerouting { type filter hook prerouting priority -110; ct state new jump "
      "guards; }\n"
      " chain guard-output { type filter hook output priority -110; ct state new jump guards; }\n"
      " chain filter-input { type filter hook input priority -110; ct state new jump endpointless; "
      "}\n"
      " chain filter-forward { type filter hook forward priority -110; ct state new jump "
      "endpointless; }\n"
      " chain filter-output { type filter hook output priority -110; ct state new jump "
      "endpointless; }\n"
      "}\n";
  return out;
}

void Ruleset::elements(std::string& out, std::string_view verb, const Forward& f) const {
  auto element = [&](std::string_view map, const std::string& key, const std::string& verdict) {
    out.append(verb)
        .append(" element ip ")
        .append(options_.table)
        .append(" ")
        .append(map)
        .append(" { ");
    out.append(key).append(" : ").append(verdict).append(" }\n");
  };
  const std::string reject = "goto reject-connection";
  if (f.targets.empty()) {
    element("no-endpoint-services", at(f.cluster_ip, f), reject);
  } else {
    element("service-ips", at(f.cluster_ip, f), "goto " + service_chain(f));
  }
  bool reachable = !f.external_targets.empty() || (f.external_local && !f.targets.empty());
  for (IpAddress ip : f.external_ips) {
    if (reachable) {
      element("service-ips", at(ip, f), "goto " + external_chain(f));
    } else {
      element("no-endpoint-services", at(ip, f), reject);
    }
  }
  for (IpAddress ip : f.guarded_ips) {
    element("guarded-services", at(ip, f), "goto " + guard_chain(f));
  }
  if (f.node_port != 0) {
    std::string key = std::string(protocol_text(f.protocol)) + " . " + std::to_string(f.node_port);
    if (reachable) {
      element("service-nodeports", key, "goto " + external_chain(f));
    } else {
      element("no-endpoint-nodeports", key, reject);
    }
  }
}

void Ruleset::target_chain(std::string& out, const Forward& f, const std::string& chain,
                           const std::set<Target>& targets) const {
  const std::string head = "ip " + options_.table + " ";
  const std::string rule = "add rule " + head + chain + " ";
  const std::string protocol(protocol_text(f.protocol));
  if (f.affinity_seconds == 0) {
    out += rule + "meta l4proto " + protocol + " dnat ip to numgen random mod " +
           std::to_string(targets.size()) + " map { ";
    size_t i = 0;
    for (const Target& t : targets) {
      out += (i ? ", " : "") + std::to_string(i) + " : " + t.ip.text() + " . " +
             std::to_string(t.port);
      ++i;
    }
    out += " }\n";
    return;
  }
  // Who has been here lately goes where he went; everyone else is dealt one and remembered.
  for (const Target& t : targets) {
    std::string set = affinity_set(chain, t);
    out += "add set " + head + set + " { type ipv4_addr; flags dynamic,timeout; timeout " +
           std::to_string(f.affinity_seconds) + "s; }\n";
    std::string endpoint = "endpoint-" + set;
    out += "add chain " + head + endpoint + "\n";
    out += "add rule " + head + endpoint + " update @" + set + " { ip saddr }\n";
    out += "add rule " + head + endpoint + " meta l4proto " + protocol + " dnat ip to " +
           t.ip.text() + ":" + std::to_string(t.port) + "\n";
    out += rule + "ip saddr @" + set + " goto " + endpoint + "\n";
  }
  out += rule + "numgen random mod " + std::to_string(targets.size()) + " vmap { ";
  size_t i = 0;
  for (const Target& t : targets) {
    out += (i ? ", " : "") + std::to_string(i) + " : goto endpoint-" + affinity_set(chain, t);
    ++i;
  }
  out += " }\n";
}

void Ruleset::add_entry(std::string& out, const Forward& f) const {
  const std::string head = "ip " + options_.table + " ";
  if (!f.targets.empty()) {
    out += "add chain " + head + service_chain(f) + "\n";
    target_chain(out, f, service_chain(f), f.targets);
  }
  bool separate = f.external_local;
  if (has_external(f) && separate && !f.external_targets.empty()) {
    out += "add chain " + head + local_chain(f) + "\n";
    target_chain(out, f, local_chain(f), f.external_targets);
  }
  if (has_external(f) && (!f.external_targets.empty() || (separate && !f.targets.empty()))) {
    const std::string chain = external_chain(f);
    const std::string rule = "add rule " + head + chain + " ";
    out += "add chain " + head + chain + "\n";
    if (!separate) {
      const bool all_here = f.targets.empty();
      if (all_here) {
        target_chain(out, f, chain, f.external_targets);
      } else {
        out += rule + "jump mark-for-masquerade\n" + rule + "goto " + service_chain(f) + "\n";
      }
    } else {
      // Local: pods and this node may use every endpoint; others only those of this node, so that
      // the client's address survives.
      if (!f.targets.empty()) {
        if (options_.cluster_cidr) {
          out += rule + "ip saddr " + options_.cluster_cidr->text() + " goto " + service_chain(f) +
                 "\n";
        }
        out += rule + "fib saddr type local jump mark-for-masquerade\n";
        out += rule + "fib saddr type local goto " + service_chain(f) + "\n";
      }
      if (f.external_targets.empty()) {
        out += rule + "drop\n";
      } else {
        out += rule + "goto " + local_chain(f) + "\n";
      }
    }
  }
  guard(out, f);
  elements(out, "add", f);
}

// loadBalancerSourceRanges: everybody else's packets to the load balancer's addresses end here,
// before they are given another destination.
void Ruleset::guard(std::string& out, const Forward& f) const {
  if (f.guarded_ips.empty()) return;
  const std::string head = "ip " + options_.table + " ", chain = guard_chain(f);
  const std::string rule = "add rule " + head + chain + " ";
  out += "add chain " + head + chain + "\n";
  for (const IpPrefix& r : f.source_ranges) out += rule + "ip saddr " + r.text() + " return\n";
  out += rule + "drop\n";
}

void Ruleset::remove_entry(std::string& out, const Forward& f) const {
  const std::string head = "ip " + options_.table + " ";
  elements(out, "delete", f);
  std::vector<std::string> chains;
  if (has_external(f) &&
      (!f.external_targets.empty() || (f.external_local && !f.targets.empty()))) {
    chains.push_back(external_chain(f));
  }
  if (has_external(f) && f.external_local && !f.external_targets.empty())
    chains.push_back(local_chain(f));
  if (!f.targets.empty()) chains.push_back(service_chain(f));
  if (!f.guarded_ips.empty()) chains.push_back(guard_chain(f));
  for (const std::string& c : chains) out += "flush chain " + head + c + "\n";
  for (const std::string& c : chains) out += "delete chain " + head + c + "\n";
  if (f.affinity_seconds == 0) return;
  auto drop_sets = [&](const std::string& chain, const std::set<Target>& targets) {
    for (const Target& t : targets) {
      std::string set = affinity_set(chain, t);
      out += "flush chain " + head + "endpoint-" + set + "\n";
      out += "delete chain " + head + "endpoint-" + set + "\n";
      out += "delete set " + head + set + "\n";
    }
  };
  if (!f.targets.empty()) drop_sets(service_chain(f), f.targets);
  if (has_external(f) && f.external_local) drop_sets(local_chain(f), f.external_targets);
}

std::string Ruleset::update(const std::string& service,
                            const std::map<std::string, Forward>& forwards,
                            const std::set<IpAddress>& local_ips) {
  static const Applied kNone;
  auto it = applied_.find(service);
  const Applied& old = it == applied_.end() ? kNone : it->second;
  std::string out;
  for (const auto& [key, f] : old.forwards) {
    auto now = forwards.find(key);
    if (now == forwards.end() || !(now->second == f)) remove_entry(out, f);
  }
  for (const auto& [key, f] : forwards) {
    auto before = old.forwards.find(key);
    if (before == old.forwards.end() || !(before->second == f)) add_entry(out, f);
  }
  if (local_ips != old.local_ips) {
    // An address may serve several services: it leaves the set with the last of them.
    std::map<IpAddress, int> uses;
    for (const auto& [name, a] : applied_) {
      if (name == service) continue;
      for (IpAddress ip : a.local_ips) ++uses[ip];
    }
    for (IpAddress ip : old.local_ips) {
      if (local_ips.contains(ip) || uses[ip] > 0) continue;
      out += "delete element ip " + options_.table + " hairpin { " + ip.text() + " . " + ip.text() +
             " }\n";
    }
    for (IpAddress ip : local_ips) {
      if (old.local_ips.contains(ip) || uses[ip] > 0) continue;
      out += "add element ip " + options_.table + " hairpin { " + ip.text() + " . " + ip.text() +
             " }\n";
    }
  }
  return out;
}

void Ruleset::commit(const std::string& service, std::map<std::string, Forward> forwards,
                     std::set<IpAddress> local_ips) {
  if (forwards.empty() && local_ips.empty()) {
    applied_.erase(service);
  } else {
    applied_[service] = {std::move(forwards), std::move(local_ips)};
  }
}

const std::map<std::string, Forward>& Ruleset::applied(const std::string& service) const {
  static const std::map<std::string, Forward> kNone;
  auto it = applied_.find(service);
  return it == applied_.end() ? kNone : it->second.forwards;
}

std::vector<std::string> Ruleset::services() const {
  std::vector<std::string> out;
  for (const auto& [name, a] : applied_) out.push_back(name);
  return out;
}

}  // namespace keles::proxy
