// The pod network of one node, as simple as Kubernetes allows: a CNI configuration (bridge,
// host-local, portmap) made from the Node's podCIDRs, and a route to each other node's podCIDRs by
// its InternalIP of that family, or by a tunnel where the two share no link (overlay.h), so every
// pod reaches every pod by its own IP, without NAT. Of both families where the Nodes have both.
//
// What leaves for an address that is neither a pod nor a node bears the node's address, as nothing
// outside knows the way back to a pod.
//
// In: Node objects. Out: one file in the CNI directory, routes of protocol kRouteProtocol in the
// main table (routes of other protocols are never touched), the nftables table kMasqueradeTable of
// each family, IP forwarding on.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "client/client.h"
#include "net/host/netlink.h"

namespace keles {

// Marks our routes in the kernel, so that a restarted agent knows them again (rtnetlink(7): numbers
// above 4 are free for agents).
constexpr uint8_t kRouteProtocol = 75;

// Our network's name in CNI, and the link that its pods are neighbours on.
constexpr char kPodNetwork[] = "keles", kPodBridge[] = "cni0";

struct NodeNetworkOptions {
  std::string cni_directory = "/etc/cni/net.d";
  std::string proc_sys = "/proc/sys";  // where sysctls are written; "" = not at all
  bool tunnel_to_all = false;          // also to nodes that share a link
};

// What this needs of a Node.
struct NodeRange {
  std::string name;
  std::vector<IpPrefix> pod_cidrs;      // one of each family at most
  std::vector<IpAddress> internal_ips;  // likewise
};
// Text that is no range or address, or a second of its family, is left out with a line in the log.
NodeRange node_range(const std::string& name, const std::vector<std::string>& pod_cidrs,
                     const std::vector<std::string>& internal_ips);

// The CNI network configuration list for pods of these ranges.
std::string cni_config(const std::vector<IpPrefix>& pod_cidrs);

// The routes that node `self` must have: to every other node with a podCIDR and an address of its
// family.
std::vector<NetRoute> plan_routes(const std::vector<NodeRange>& nodes, const std::string& self);

constexpr char kMasqueradeTable[] = "keles-pod-network";

// nftables text that replaces kMasqueradeTable in the families that `self` has a podCIDR of: its
// pods are masqueraded on their way to everything but pods and nodes. "" while it has none.
std::string masquerade_rules(const std::vector<NodeRange>& nodes, const std::string& self);

struct RouteChanges {
  std::vector<NetRoute> set, remove;
};
// From what the kernel has to what is wanted; only routes of kRouteProtocol are removed.
RouteChanges diff_routes(const std::vector<NetRoute>& present, const std::vector<NetRoute>& wanted);

// Keeps all of it in step with the Nodes until ctx ends. Opens rtnetlink in the network namespace
// of the calling thread.
Task<void> run_node_network(Context ctx, Client* client, std::string node_name,
                            NodeNetworkOptions options);

}  // namespace keles
