#include "proxy/ruleset.h"

#include <algorithm>
#include <cstdio>

#include "base/host_port.h"
#include "net/pki.h"

namespace keles::proxy {
namespace {

constexpr std::string_view kClusterIps = "cluster-ips", kHairpin = "hairpin";

// Two names that a user may choose must never meet: a hash that nobody can collide.
std::string hash(std::string_view s) { return net::hex(net::sha256(s)).substr(0, 16); }

std::string id_of(const Forward& f) {
  return f.name + "/" + std::string(protocol_text(f.protocol));
}

// The chain of a service with source ranges; those of one with session affinity, and the clients of
// an endpoint, who are remembered for a time that a set has for good.
std::string guard_chain(const Forward& f) { return "guard-" + hash(id_of(f)); }
std::string own_chain(std::string_view kind, const Forward& f) {
  return std::string(kind) + "-" + hash(id_of(f) + " " + std::to_string(f.affinity_seconds));
}
std::string client_set(const Forward& f, const Target& t) {
  return "clients-" + hash(id_of(f) + " " + std::to_string(f.affinity_seconds) + " " + t.ip.text() +
                           " " + std::to_string(t.port));
}

std::string hex(uint32_t v) {
  char buf[16];
  std::snprintf(buf, sizeof buf, "0x%x", v);
  return buf;
}

// The endpoints behind an address or a node port, by protocol: nftables wants the ports that a map
// holds to be of the packet's own.
struct EndpointMap {
  bool local, node;
  Protocol protocol;
  std::string_view name;
};
constexpr EndpointMap kEndpointMaps[] = {
    {false, false, Protocol::kTcp, "endpoints-tcp"},
    {false, false, Protocol::kUdp, "endpoints-udp"},
    {false, false, Protocol::kSctp, "endpoints-sctp"},
    {true, false, Protocol::kTcp, "local-endpoints-tcp"},
    {true, false, Protocol::kUdp, "local-endpoints-udp"},
    {true, false, Protocol::kSctp, "local-endpoints-sctp"},
    {false, true, Protocol::kTcp, "node-endpoints-tcp"},
    {false, true, Protocol::kUdp, "node-endpoints-udp"},
    {false, true, Protocol::kSctp, "node-endpoints-sctp"},
    {true, true, Protocol::kTcp, "local-node-endpoints-tcp"},
    {true, true, Protocol::kUdp, "local-node-endpoints-udp"},
    {true, true, Protocol::kSctp, "local-node-endpoints-sctp"},
};

std::string_view endpoint_map(bool local, bool node, Protocol protocol) {
  for (const EndpointMap& m : kEndpointMaps) {
    if (m.local == local && m.node == node && m.protocol == protocol) return m.name;
  }
  return kEndpointMaps[0].name;
}

// What finds one of them: the address, where it is not a node port, the port, the number drawn.
std::string endpoint_key(bool v6, bool node, Protocol protocol, const std::string& modulus) {
  return std::string(node ? ""
                     : v6 ? "ip6 daddr . "
                          : "ip daddr . ") +
         std::string(protocol_text(protocol)) + " dport . numgen random mod " + modulus;
}

std::string target_text(const Target& t) { return t.ip.text() + " . " + std::to_string(t.port); }

// Who stays keeps his number, so that one who goes moves one other at most.
std::vector<Target> renumber(const std::vector<Target>& before, const std::vector<Target>& wanted) {
  std::vector<Target> out = before;
  auto is_wanted = [&](const Target& t) {
    return std::binary_search(wanted.begin(), wanted.end(), t);
  };
  for (size_t i = 0; i < out.size();) {
    if (is_wanted(out[i])) {
      ++i;
      continue;
    }
    out[i] = out.back();
    out.pop_back();
  }
  std::vector<Target> had = out;
  std::sort(had.begin(), had.end());
  for (const Target& t : wanted) {
    if (!std::binary_search(had.begin(), had.end(), t)) out.push_back(t);
  }
  return out;
}

void write_elements(std::string& out, const char* verb, const std::string& table,
                    const std::map<std::string_view, std::vector<std::string>>& all) {
  constexpr size_t kLine = 1024;
  for (const auto& [map, elements] : all) {
    for (size_t i = 0; i < elements.size(); ++i) {
      if (i % kLine == 0) {
        out.append(i == 0 ? "" : " }\n").append(verb).append(" element ").append(table);
        out.append(" ").append(map).append(" { ");
      } else {
        out += ", ";
      }
      out += elements[i];
    }
    if (!elements.empty()) out += " }\n";
  }
}

}  // namespace

std::string Ruleset::remove() const {
  // Adding first makes the deletion succeed when there is none.
  const std::string table =
      "table " + std::string(options_.v6 ? "ip6 " : "ip ") + options_.table + "\n";
  return "add " + table + "delete " + table;
}

void Ruleset::reset() {
  applied_.clear();
  cluster_ips_.clear();
  hairpins_.clear();
  dealers_.clear();
  removed_.clear();
  added_.clear();
  tail_.clear();
  base();
}

void Ruleset::base() {
  const std::string ip = options_.v6 ? "ip6" : "ip", mark = hex(options_.masquerade_mark);
  const std::string type = options_.v6 ? "ipv6_addr" : "ipv4_addr";
  const std::string loopback = options_.v6 ? "::1" : "127.0.0.0/8";
  const std::string at = ip + " daddr . meta l4proto . th dport ",
                    port = "meta l4proto . th dport ";
  const std::string verdicts = " { type " + type + " . inet_proto . inet_service : verdict; }\n";
  const std::string port_verdicts = " { type inet_proto . inet_service : verdict; }\n";
  std::string out = remove() + "table " + ip + " " + options_.table +
                    " {\n comment \"rules of the keles service proxy\"\n";
  for (const char* map :
       {"services", "deals", "local-deals", "no-endpoint-services", "guarded-services"}) {
    out += std::string(" map ") + map + verdicts;
  }
  for (const char* map :
       {"service-nodeports", "node-deals", "local-node-deals", "no-endpoint-nodeports"}) {
    out += std::string(" map ") + map + port_verdicts;
  }
  for (const EndpointMap& m : kEndpointMaps) {
    out += " map " + std::string(m.name) + " { typeof " +
           endpoint_key(options_.v6, m.node, m.protocol, "65536") + " : " + ip + " daddr . " +
           std::string(protocol_text(m.protocol)) + " dport; }\n";
  }
  out += " set hairpin { type " + type + " . " + type + "; }\n set cluster-ips { type " + type +
         "; }\n";
  std::string here = "fib daddr type local " + ip + " daddr != " + loopback + " ";
  if (options_.node_port_ips) {
    out += " set nodeport-ips { type " + type + "; ";
    std::string all;
    for (const IpAddress& a : *options_.node_port_ips) {
      if (a.v6() == options_.v6 && !a.is_loopback()) all += (all.empty() ? "" : ", ") + a.text();
    }
    if (!all.empty()) out += "elements = { " + all + " } ";
    out += "}\n";
    here = ip + " daddr @nodeport-ips ";
  }
  out +=
      " chain reject-connection { reject; }\n chain mark-for-masquerade { meta mark set meta mark "
      "or " +
      mark + "; }\n";
  // For the cluster's own traffic. What comes from elsewhere to a cluster IP may leave this node
  // again, and its answer must come back by it.
  std::string outside;
  if (options_.masquerade_all) {
    outside = "  jump mark-for-masquerade\n";
  } else if (options_.cluster_cidr) {
    outside =
        "  " + ip + " saddr != " + options_.cluster_cidr->text() + " jump mark-for-masquerade\n";
  }
  // External traffic with the policy Local: pods and this node may use every endpoint; others only
  // those of this node, so that the client's address survives.
  auto local = [&](const std::string& deals, const std::string& local_deals) {
    std::string text;
    if (options_.cluster_cidr) {
      text += "  " + ip + " saddr " + options_.cluster_cidr->text() + " goto " + deals + "\n";
    }
    text += "  fib saddr type local jump mark-for-masquerade\n  fib saddr type local goto " +
            deals + "\n";
    return text + local_deals;
  };
  out += " chain plain { " + at + "vmap @deals; }\n chain node-plain { " + port +
         "vmap @node-deals; }\n";
  out += " chain internal {\n" + outside + "  " + at + "vmap @deals\n }\n";
  out += " chain internal-local {\n" + outside + "  " + at + "vmap @local-deals\n }\n";
  out += " chain external {\n  jump mark-for-masquerade\n  " + at + "vmap @deals\n }\n";
  out += " chain external-local {\n" + local("plain", "  " + at + "vmap @local-deals\n") + " }\n";
  out += " chain node-external {\n  jump mark-for-masquerade\n  " + port + "vmap @node-deals\n }\n";
  out += " chain node-external-local {\n" +
         local("node-plain", "  " + port + "vmap @local-node-deals\n") + " }\n";
  out += " chain services {\n  " + at + "vmap @services\n  " + here + port +
         "vmap @service-nodeports\n }\n";
  out += " chain endpointless {\n  " + at + "vmap @no-endpoint-services\n  " + here + port +
         "vmap @no-endpoint-nodeports\n }\n";
  // What still bears a service's address after destinations were changed asks for a port that it
  // has not.
  out += " chain unserved { " + ip + " daddr @cluster-ips reject; }\n";
  out +=
      " chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }\n"
      " chain nat-output { type nat hook output priority -100; jump services; }\n"
      " chain nat-postrouting {\n"
      "  type nat hook postrouting priority srcnat;\n";
  out += "  meta mark and " + mark + " == " + mark + " meta mark set meta mark xor " + mark +
         " masquerade fully-random\n";
  out += "  ct status dnat " + ip + " saddr . " + ip + " daddr @hairpin masquerade fully-random\n";
  if (!options_.unfiltered_bridge.empty()) {
    out += "  ct status dnat iifname \"" + options_.unfiltered_bridge + "\" oifname \"" +
           options_.unfiltered_bridge + "\" masquerade fully-random\n";
  }
  out += " }\n chain guards { " + at + "vmap @guarded-services; }\n";
  out +=
      " chain guard-prerouting { type filter hook prerouting priority -110; ct state new jump "
      "guards; }\n"
      " chain guard-output { type filter hook output priority -110; ct state new jump guards; }\n"
      " chain filter-input { type filter hook input priority -110; ct state new jump endpointless; "
      "}\n"
      " chain filter-forward { type filter hook forward priority -110; ct state new jump "
      "endpointless; ct state new jump unserved; }\n"
      " chain filter-output { type filter hook output priority -110; ct state new jump "
      "endpointless; }\n"
      " chain filter-output-after { type filter hook output priority -90; ct state new jump "
      "unserved; }\n"
      "}\n";
  head_ = std::move(out);
}

// The shared chain that draws one of `count` endpoints.
std::string Ruleset::dealer(bool local, bool node, Protocol protocol, size_t count) {
  const std::string word(protocol_text(protocol)), ip = options_.v6 ? "ip6" : "ip";
  std::string name = std::string(local ? "local-" : "") + (node ? "node-" : "") + "deal-" + word +
                     "-" + std::to_string(count);
  if (!dealers_.insert(name).second) return name;
  const std::string chain = ip + " " + options_.table + " " + name;
  head_ += "add chain " + chain + "\nadd rule " + chain + " meta l4proto " + word + " dnat " + ip +
           " to " + endpoint_key(options_.v6, node, protocol, std::to_string(count)) + " map @" +
           std::string(endpoint_map(local, node, protocol)) + "\n";
  return name;
}

// What leads from an address, or from the node port where there is none, to the endpoints. `chain`:
// where its traffic goes first.
void Ruleset::front(Elements& out, const Entry& e, std::string_view chain,
                    std::optional<IpAddress> ip) {
  const Forward& f = e.forward;
  const bool node = !ip;
  const std::string before = ip ? ip->text() + " . " : "";
  const std::string port = std::to_string(ip ? f.port : f.node_port);
  const std::string key = before + std::string(protocol_text(f.protocol)) + " . " + port;
  const std::string at = before + port;
  const bool local = chain.ends_with("local");
  const bool inside = chain.starts_with("internal");
  const std::vector<Target>& wanted = local ? e.local : e.cluster;
  if (wanted.empty()) {
    // Nobody anywhere is told at once; that there is somebody elsewhere, whom the policy leaves
    // out, is not.
    const bool nobody = e.cluster.empty() && e.local.empty();
    out[{node ? "no-endpoint-nodeports" : "no-endpoint-services", key}] =
        nobody ? "goto reject-connection" : "drop";
  }
  const bool all = !local || !inside;  // whether the endpoints of the whole cluster serve, too
  if (wanted.empty() && (!all || e.cluster.empty())) return;
  out[{node ? "service-nodeports" : "services", key}] = "goto " + std::string(chain);
  auto deal = [&](const std::vector<Target>& targets, bool of_node, std::string_view deals) {
    if (targets.empty()) return;
    if (f.affinity_seconds != 0) {
      out[{deals, key}] = "goto " + own_chain(of_node ? "local" : "service", f);
      return;
    }
    out[{deals, key}] = "goto " + dealer(of_node, node, f.protocol, targets.size());
    const std::string_view map = endpoint_map(of_node, node, f.protocol);
    for (size_t i = 0; i < targets.size(); ++i) {
      out[{map, at + " . " + std::to_string(i)}] = target_text(targets[i]);
    }
  };
  if (all) deal(e.cluster, false, node ? "node-deals" : "deals");
  if (local) deal(e.local, true, node ? "local-node-deals" : "local-deals");
}

Ruleset::Elements Ruleset::elements(const Entry& e) {
  Elements out;
  const Forward& f = e.forward;
  front(out, e, f.internal_local ? "internal-local" : "internal", f.cluster_ip);
  for (IpAddress ip : f.external_ips) {
    front(out, e, f.external_local ? "external-local" : "external", ip);
  }
  for (IpAddress ip : f.guarded_ips) {
    out[{"guarded-services", ip.text() + " . " + std::string(protocol_text(f.protocol)) + " . " +
                                 std::to_string(f.port)}] = "goto " + guard_chain(f);
  }
  if (f.node_port != 0) {
    front(out, e, f.external_local ? "node-external-local" : "node-external", std::nullopt);
  }
  return out;
}

void Ruleset::keep(const Elements& before, const Elements& now) {
  for (const auto& [at, value] : before) {
    auto it = now.find(at);
    if (it == now.end() || it->second != value)
      removed_[at.first].push_back(at.second + " : " + value);
  }
  for (const auto& [at, value] : now) {
    auto it = before.find(at);
    if (it == before.end() || it->second != value)
      added_[at.first].push_back(at.second + " : " + value);
  }
}

// An address that several name is there as long as one does.
void Ruleset::use(std::map<IpAddress, size_t>& uses, std::string_view set, IpAddress ip, bool add) {
  const std::string text = set == kHairpin ? ip.text() + " . " + ip.text() : ip.text();
  auto& to = add ? added_[set] : removed_[set];
  auto& from = add ? removed_[set] : added_[set];
  if (add ? uses[ip]++ > 0 : --uses[ip] > 0) return;
  if (!add) uses.erase(ip);
  auto undone = std::find(from.begin(), from.end(), text);
  if (undone != from.end()) {
    from.erase(undone);
  } else {
    to.push_back(text);
  }
}

// loadBalancerSourceRanges: everybody else's packets to the load balancer's addresses end here,
// before they are given another destination.
void Ruleset::guard(const Forward& f) {
  if (f.guarded_ips.empty()) return;
  const std::string ip = options_.v6 ? "ip6" : "ip";
  const std::string chain = ip + " " + options_.table + " " + guard_chain(f);
  head_ += "add chain " + chain + "\nflush chain " + chain + "\n";
  for (const IpPrefix& r : f.source_ranges) {
    head_ += "add rule " + chain + " " + ip + " saddr " + r.text() + " return\n";
  }
  head_ += "add rule " + chain + " drop\n";
}

// Session affinity: who has been here lately goes where he went; everyone else is dealt one and
// remembered. An endpoint's clients stay his while others come and go.
void Ruleset::remember_clients(const Entry& e) {
  const Forward& f = e.forward;
  if (f.affinity_seconds == 0) return;
  const std::string ip = options_.v6 ? "ip6" : "ip", table = ip + " " + options_.table + " ";
  std::set<Target> all(e.cluster.begin(), e.cluster.end());
  all.insert(e.local.begin(), e.local.end());
  for (const Target& t : all) {
    const std::string set = client_set(f, t), chain = table + "to-" + set;
    const std::string to = url_host(t.ip.text());
    head_ += "add set " + table + set + " { type " + (options_.v6 ? "ipv6_addr" : "ipv4_addr") +
             "; flags dynamic,timeout; timeout " + std::to_string(f.affinity_seconds) + "s; }\n";
    head_ += "add chain " + chain + "\nflush chain " + chain + "\n";
    head_ += "add rule " + chain + " update @" + set + " { " + ip + " saddr }\n";
    head_ += "add rule " + chain + " meta l4proto " + std::string(protocol_text(f.protocol)) +
             " dnat " + ip + " to " + to + ":" + std::to_string(t.port) + "\n";
  }
  auto deal = [&](std::string_view kind, const std::vector<Target>& targets) {
    if (targets.empty()) return;
    const std::string chain = table + own_chain(kind, f);
    head_ += "add chain " + chain + "\nflush chain " + chain + "\n";
    for (const Target& t : targets) {
      const std::string set = client_set(f, t);
      head_ += "add rule " + chain + " " + ip + " saddr @" + set + " goto to-" + set + "\n";
    }
    head_ +=
        "add rule " + chain + " numgen random mod " + std::to_string(targets.size()) + " vmap { ";
    for (size_t i = 0; i < targets.size(); ++i) {
      head_ += (i == 0 ? "" : ", ") + std::to_string(i) + " : goto to-" + client_set(f, targets[i]);
    }
    head_ += " }\n";
  };
  deal("service", e.cluster);
  deal("local", e.local);
}

// What `old` had of its own and `now` has not.
void Ruleset::forget_clients(const Entry& old, const Entry* now) {
  const std::string table = std::string(options_.v6 ? "ip6 " : "ip ") + options_.table + " ";
  auto drop_chain = [&](const std::string& name) {
    tail_ += "flush chain " + table + name + "\ndelete chain " + table + name + "\n";
  };
  if (!old.forward.guarded_ips.empty() && (!now || now->forward.guarded_ips.empty())) {
    drop_chain(guard_chain(old.forward));
  }
  if (old.forward.affinity_seconds == 0) return;
  const bool same = now && now->forward.affinity_seconds == old.forward.affinity_seconds;
  auto kept = [&](const Target& t) {
    auto has = [&](const std::vector<Target>& all) {
      return std::find(all.begin(), all.end(), t) != all.end();
    };
    return same && (has(now->cluster) || has(now->local));
  };
  if (!old.cluster.empty() && (!same || now->cluster.empty())) {
    drop_chain(own_chain("service", old.forward));
  }
  if (!old.local.empty() && (!same || now->local.empty())) {
    drop_chain(own_chain("local", old.forward));
  }
  std::set<Target> all(old.cluster.begin(), old.cluster.end());
  all.insert(old.local.begin(), old.local.end());
  for (const Target& t : all) {
    if (kept(t)) continue;
    drop_chain("to-" + client_set(old.forward, t));
    tail_ += "delete set " + table + client_set(old.forward, t) + "\n";
  }
}

void Ruleset::update(const std::string& service, std::map<std::string, Forward> forwards,
                     const std::set<IpAddress>& local_ips) {
  Applied& state = applied_[service];
  std::map<std::string, Entry> before = std::move(state.entries);
  state.entries.clear();
  for (auto& [key, f] : forwards) {
    auto old = before.find(key);
    if (old != before.end() && old->second.forward == f) {
      state.entries.insert(before.extract(old));
      continue;
    }
    Entry now;
    if (old != before.end()) {
      now.cluster = old->second.cluster;
      now.local = old->second.local;
    }
    now.cluster = renumber(now.cluster, f.cluster_targets);
    now.local = renumber(now.local, f.local_targets);
    now.forward = std::move(f);
    guard(now.forward);
    remember_clients(now);
    use(cluster_ips_, kClusterIps, now.forward.cluster_ip, true);
    Elements had;
    if (old != before.end()) {
      had = elements(old->second);
      use(cluster_ips_, kClusterIps, old->second.forward.cluster_ip, false);
    }
    keep(had, elements(now));
    if (old != before.end()) {
      forget_clients(old->second, &now);
      before.erase(old);
    }
    state.entries.emplace(key, std::move(now));
  }
  for (const auto& [key, old] : before) {
    keep(elements(old), {});
    use(cluster_ips_, kClusterIps, old.forward.cluster_ip, false);
    forget_clients(old, nullptr);
  }
  for (IpAddress ip : local_ips) {
    if (!state.local_ips.contains(ip)) use(hairpins_, kHairpin, ip, true);
  }
  for (IpAddress ip : state.local_ips) {
    if (!local_ips.contains(ip)) use(hairpins_, kHairpin, ip, false);
  }
  state.local_ips = local_ips;
  if (state.entries.empty() && state.local_ips.empty()) applied_.erase(service);
}

std::string Ruleset::take() {
  const std::string table = std::string(options_.v6 ? "ip6 " : "ip ") + options_.table;
  std::string out = std::exchange(head_, {});
  write_elements(out, "delete", table, std::exchange(removed_, {}));
  write_elements(out, "add", table, std::exchange(added_, {}));
  out += std::exchange(tail_, {});
  return out;
}

std::map<std::string, Forward> Ruleset::applied(const std::string& service) const {
  std::map<std::string, Forward> out;
  auto it = applied_.find(service);
  if (it == applied_.end()) return out;
  for (const auto& [key, e] : it->second.entries) out.emplace(key, e.forward);
  return out;
}

std::vector<std::string> Ruleset::services() const {
  std::vector<std::string> out;
  for (const auto& [name, a] : applied_) out.push_back(name);
  return out;
}

}  // namespace keles::proxy
