#include "node/network/node_network.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "api/core_v1.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sync.h"
#include "client/informer.h"
#include "net/host/nftables.h"
#include "node/network/overlay.h"

namespace keles {
namespace {

using api::core_v1::Node;

constexpr char kConfigName[] = "10-keles.conflist";
constexpr Duration kRetryDelay = 2s;
constexpr Duration kResyncPeriod = 60s;  // repairs what another hand changed in the kernel

bool same_route(const NetRoute& a, const NetRoute& b) {
  return a.destination == b.destination && a.gateway == b.gateway && a.protocol == b.protocol;
}

bool contains(const std::vector<NetRoute>& routes, const NetRoute& r) {
  return std::any_of(routes.begin(), routes.end(),
                     [&](const NetRoute& o) { return same_route(o, r); });
}

NodeRange range_of(const Ref<Node>& node) {
  std::vector<std::string> ranges, addresses;
  for (std::string_view r : node->spec().pod_cidrs()) ranges.emplace_back(r);
  if (ranges.empty() && !node->spec().pod_cidr().empty()) {
    ranges.emplace_back(node->spec().pod_cidr());
  }
  for (const auto& a : node->status().addresses()) {
    if (a.type() == "InternalIP") addresses.emplace_back(a.address());
  }
  return node_range(std::string(node->metadata().name()), ranges, addresses);
}

bool same_range(const NodeRange& a, const NodeRange& b) {
  return a.pod_cidrs == b.pod_cidrs && a.internal_ips == b.internal_ips;
}

bool has_v6(const NodeRange& r) {
  return std::any_of(r.pod_cidrs.begin(), r.pod_cidrs.end(),
                     [](const IpPrefix& p) { return p.v6(); });
}

void write_sysctl(const NodeNetworkOptions& options, const std::string& name) {
  if (options.proc_sys.empty()) return;
  Status s = write_in_place(options.proc_sys + "/" + name, "1");
  if (!s.ok()) log::warn("Cannot set sysctl", {{"name", name}, {"error", s}});
}

Status write_cni_config(const NodeNetworkOptions& options, const NodeRange& self) {
  std::string path = options.cni_directory + "/" + kConfigName, text = cni_config(self.pod_cidrs);
  if (read_file(path).value_or("") == text) return Status();
  TRY(make_directories(options.cni_directory));
  TRY(write_file(path, text));
  log::info("Wrote the CNI configuration",
            {{"path", path}, {"podCIDR", self.pod_cidrs.front().text()}});
  return Status();
}

// `applied` is the text last given to the kernel.
Status apply_masquerade(const std::vector<NodeRange>& nodes, const std::string& self,
                        std::string* applied) {
  std::string rules = masquerade_rules(nodes, self);
  if (rules.empty() || rules == *applied) return Status();
  TRY(apply_nftables(rules));
  *applied = rules;
  return Status();
}

// One pass: desired, actual, difference.
Status reconcile(const std::vector<NodeRange>& nodes, const std::string& self,
                 const NodeNetworkOptions& options, Netlink* netlink, std::string* masquerade) {
  for (const NodeRange& n : nodes) {
    if (n.name != self || n.pod_cidrs.empty()) continue;
    // Before the first pod of that family: a host forwards no IPv6 unless told to.
    if (has_v6(n)) write_sysctl(options, "net/ipv6/conf/all/forwarding");
    TRY(write_cni_config(options, n));
  }
  TRY_ASSIGN(addresses, netlink->addresses());
  const Overlay overlay = plan_overlay(nodes, self, addresses, options.tunnel_to_all);
  TRY_ASSIGN(wanted, apply_overlay(overlay, netlink));
  for (NetRoute& r : plan_routes(nodes, self)) {
    const bool tunnelled = std::any_of(wanted.begin(), wanted.end(), [&](const NetRoute& o) {
      return o.destination == r.destination;
    });
    if (!tunnelled) wanted.push_back(std::move(r));
  }
  TRY_ASSIGN(present, netlink->routes());
  RouteChanges changes = diff_routes(present, wanted);
  Status first = apply_masquerade(nodes, self, masquerade);
  for (const NetRoute& r : changes.remove) {
    Status s = netlink->delete_route(r);
    log::info("Removed the route", {{"to", r.destination.text()}, {"result", s}});
    if (first.ok()) first = s;
  }
  for (const NetRoute& r : changes.set) {
    Status s = netlink->replace_route(r);
    log::info(
        "Set the route",
        {{"to", r.destination.text()}, {"via", r.gateway ? r.gateway->text() : ""}, {"result", s}});
    if (first.ok()) first = s;
  }
  return first;
}

}  // namespace

NodeRange node_range(const std::string& name, const std::vector<std::string>& pod_cidrs,
                     const std::vector<std::string>& internal_ips) {
  NodeRange out;
  out.name = name;
  auto add = [&name](auto& to, auto read, const std::string& text) {
    auto again = [&](const auto& other) { return read && other.v6() == read->v6(); };
    if (read && std::none_of(to.begin(), to.end(), again)) return to.push_back(*read);
    log::warn("Node has a podCIDR or address that is not used", {{"node", name}, {"value", text}});
  };
  for (const std::string& text : pod_cidrs) {
    auto range = IpPrefix::parse(text);
    if (range) range = range->network();
    add(out.pod_cidrs, range, text);
  }
  for (const std::string& text : internal_ips) {
    add(out.internal_ips, IpAddress::parse(text), text);
  }
  return out;
}

std::string cni_config(const std::vector<IpPrefix>& pod_cidrs) {
  std::string ranges;
  for (const IpPrefix& r : pod_cidrs) {
    ranges += (ranges.empty() ? "" : ", ") + std::string("[{\"subnet\": \"") + r.text() + "\"}]";
  }
  // Leases (leases.h, link_guard.h) live on a file system that a reboot empties, as it ends the
  // pods that hold them.
  return R"({
  "cniVersion": "0.4.0",
  "name": ")" +
         std::string(kPodNetwork) + R"(",
  "plugins": [
    {
      "type": "bridge",
      "bridge": ")" +
         kPodBridge + R"(",
      "isGateway": true,
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/keles/cni-leases",
        "ranges": [)" +
         ranges + R"(]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
)";
}

std::vector<NetRoute> plan_routes(const std::vector<NodeRange>& nodes, const std::string& self) {
  std::vector<NetRoute> out;
  for (const NodeRange& n : nodes) {
    if (n.name == self) continue;
    for (const IpPrefix& range : n.pod_cidrs) {
      for (const IpAddress& gateway : n.internal_ips) {
        if (gateway.v6() != range.v6()) continue;
        NetRoute r;
        r.destination = range;
        r.gateway = gateway;
        r.protocol = kRouteProtocol;
        out.push_back(std::move(r));
      }
    }
  }
  return out;
}

std::string masquerade_rules(const std::vector<NodeRange>& nodes, const std::string& self) {
  const std::string table = kMasqueradeTable;
  std::string out;
  for (bool v6 : {false, true}) {
    const std::string ip = v6 ? "ip6" : "ip";
    std::string inside, own;
    auto add = [&](const IpPrefix& p) { inside += (inside.empty() ? "" : ", ") + p.text(); };
    for (const NodeRange& n : nodes) {
      for (const IpPrefix& p : n.pod_cidrs) {
        if (p.v6() != v6) continue;
        add(p);
        if (n.name == self) own = p.text();
      }
      for (const IpAddress& a : n.internal_ips) {
        if (a.v6() == v6) add(IpPrefix::of(a));
      }
    }
    if (own.empty()) continue;
    // Adding first makes the deletion succeed when there is none.
    out += "add table " + ip + " " + table + "\ndelete table " + ip + " " + table + "\ntable " +
           ip + " " + table + " {\n set inside { type " + (v6 ? "ipv6_addr" : "ipv4_addr") +
           "; flags interval; auto-merge; elements = { " + inside +
           " } }\n"
           " chain postrouting {\n"
           "  type nat hook postrouting priority srcnat + 10;\n"
           "  " +
           ip + " saddr " + own + " " + ip + " daddr != @inside " + ip +
           " daddr != " + (v6 ? "ff00::/8" : "224.0.0.0/4") + " masquerade fully-random\n }\n}\n";
  }
  return out;
}

RouteChanges diff_routes(const std::vector<NetRoute>& present,
                         const std::vector<NetRoute>& wanted) {
  RouteChanges out;
  for (const NetRoute& r : wanted)
    if (!contains(present, r)) out.set.push_back(r);
  for (const NetRoute& r : present) {
    if (r.protocol != kRouteProtocol) continue;
    bool replaced = std::any_of(wanted.begin(), wanted.end(),
                                [&](const NetRoute& w) { return w.destination == r.destination; });
    if (!replaced) out.remove.push_back(r);
  }
  return out;
}

Task<void> run_node_network(Context ctx, Client* client, std::string node_name,
                            NodeNetworkOptions options) {
  auto netlink = Netlink::open();
  if (!netlink.ok()) {
    log::error("The pod network cannot work", {{"error", netlink.status()}});
    co_return;
  }
  write_sysctl(options, "net/ipv4/ip_forward");
  auto changed = std::make_shared<Event>();
  InformerFactory factory(*client);
  auto nodes = factory.informer<Node>();
  nodes.on_change([changed](const Ref<Node>& before, const Ref<Node>& now) {
    // A heartbeat changes nothing here.
    if (before && now && same_range(range_of(before), range_of(now))) return;
    changed->set();
  });
  factory.start(ctx);
  Status synced = co_await factory.wait_synced(ctx);
  std::string masquerade;
  while (synced.ok() && !ctx.done()) {
    changed->reset();
    std::vector<NodeRange> ranges;
    for (const auto& n : nodes.list()) ranges.push_back(range_of(n));
    Status s = reconcile(ranges, node_name, options, &*netlink, &masquerade);
    if (!s.ok()) log::error("Could not set up the pod network; trying again", {{"error", s}});
    Context wait = ctx.with_timeout(s.ok() ? kResyncPeriod : kRetryDelay);
    Status woken = co_await changed->wait(wait);
    (void)woken;
  }
  co_await factory.join();
}

}  // namespace keles
