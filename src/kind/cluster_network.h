// The bridge that joins a cluster's nodes with each other and the host. Blocking; under the
// StateLock, since clusters choose their subnets one after another.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "net/host/netlink.h"

namespace keles::kind {

// A /16 (or /24) that overlaps no address or route of the host and none of `reserved` (pod and
// service ranges). `kUnavailable` when every candidate is taken.
Result<IpPrefix> choose_subnet(const std::vector<NetAddress>& addresses,
                               const std::vector<NetRoute>& routes,
                               const std::vector<IpPrefix>& reserved);

// The cluster's bridge, made with the first address of a free subnet unless it is there; its
// subnet. The choice is kept in the cluster's directory, so that a restarted host gives it again.
Result<IpPrefix> ensure_bridge(const std::string& cluster, const std::vector<IpPrefix>& reserved);

// The bridge and every veth of the cluster. Absent is fine.
Status remove_cluster_links(const std::string& cluster);

}  // namespace keles::kind
