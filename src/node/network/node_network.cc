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
  NodeRange r;
  r.name = node->metadata().name();
  r.pod_cidr = node->spec().pod_cidr();
  for (const auto& a : node->status().addresses())
    if (a.type() == "InternalIP" && r.internal_ip.empty()) r.internal_ip = a.address();
  return r;
}

bool same_range(const NodeRange& a, const NodeRange& b) {
  return a.pod_cidr == b.pod_cidr && a.internal_ip == b.internal_ip;
}

void write_sysctl(const NodeNetworkOptions& options, const std::string& name) {
  if (options.proc_sys.empty()) return;
  Status s = write_in_place(options.proc_sys + "/" + name, "1");
  if (!s.ok()) log::warn("Cannot set sysctl", {{"name", name}, {"error", s}});
}

Status write_cni_config(const NodeNetworkOptions& options, const std::string& pod_cidr) {
  std::string path = options.cni_directory + "/" + kConfigName, text = cni_config(pod_cidr);
  if (read_file(path).value_or("") == text) return Status();
  TRY(make_directories(options.cni_directory));
  TRY(write_file(path, text));
  log::info("Wrote the CNI configuration", {{"path", path}, {"podCIDR", pod_cidr}});
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
  for (const NodeRange& n : nodes)
    if (n.name == self && !n.pod_cidr.empty()) TRY(write_cni_config(options, n.pod_cidr));
  TRY_ASSIGN(present, netlink->routes());
  RouteChanges changes = diff_routes(present, plan_routes(nodes, self));
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

std::string cni_config(const std::string& pod_cidr) {
  // Leases live on a file system that a reboot empties, as it ends the pods that hold them.
  return R"({
  "cniVersion": "0.4.0",
  "name": "keles",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/keles/cni-leases",
        "ranges": [[{"subnet": ")" +
         pod_cidr + R"("}]]
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
    if (n.name == self || n.pod_cidr.empty() || n.internal_ip.empty()) continue;
    auto destination = IpPrefix::parse(n.pod_cidr);
    auto gateway = IpAddress::parse(n.internal_ip);
    if (!destination || !gateway || destination->v6() != gateway->v6()) {
      log::warn("Node has a podCIDR or address that is no route",
                {{"node", n.name}, {"podCIDR", n.pod_cidr}, {"address", n.internal_ip}});
      continue;
    }
    NetRoute r;
    r.destination = destination->network();
    r.gateway = gateway;
    r.protocol = kRouteProtocol;
    out.push_back(std::move(r));
  }
  return out;
}

std::string masquerade_rules(const std::vector<NodeRange>& nodes, const std::string& self) {
  std::string inside, own;
  auto add = [&](const std::string& text) {
    auto prefix = IpPrefix::parse_or_address(text);
    if (!prefix || prefix->v6()) return std::string();
    std::string typed = prefix->network().text();
    inside += (inside.empty() ? "" : ", ") + typed;
    return typed;
  };
  for (const NodeRange& n : nodes) {
    std::string range = add(n.pod_cidr);
    if (n.name == self) own = range;
    add(n.internal_ip);
  }
  if (own.empty()) return "";
  std::string table = kMasqueradeTable;
  return nftables_without_table(table) + "table ip " + table +
         " {\n"
         " set inside { type ipv4_addr; flags interval; auto-merge; elements = { " +
         inside +
         " } }\n"
         " chain postrouting {\n"
         "  type nat hook postrouting priority srcnat + 10;\n"
         "  ip saddr " +
         own + " ip daddr != @inside ip daddr != 224.0.0.0/4 masquerade fully-random\n }\n}\n";
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
