// The bridge that joins a cluster's nodes with each other and the host. Blocking; under the
// StateLock, since clusters choose their subnets one after another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "net/host/netlink.h"

namespace keles::kind {

// A /16 (or /24) that overlaps no address or route of the host and none of `reserved` (pod and
// service ranges). `kUnavailable` when every candidate is taken.
// Of IPv6 (`v6`) a /64.
Result<IpPrefix> choose_subnet(const std::vector<NetAddress>& addresses,
                               const std::vector<NetRoute>& routes,
                               const std::vector<IpPrefix>& reserved, bool v6 = false);

// What the nodes of a cluster have addresses of.
struct NodeSubnets {
  IpPrefix v4;
  std::optional<IpPrefix> v6;
};

// The cluster's bridge, made with the first address of free subnets unless it is there; its
// subnets, IPv6 where `v6` says or the cluster has had it. The choice is kept in the cluster's
// directory, so that a restarted host gives it again.
Result<NodeSubnets> ensure_bridge(const std::string& cluster, const std::vector<IpPrefix>& reserved,
                                  bool v6);

// The bridge and every veth of the cluster. Absent is fine.
Status remove_cluster_links(const std::string& cluster);

}  // namespace keles::kind
