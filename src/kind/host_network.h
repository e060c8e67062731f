// The way of a cluster's nodes to the world outside the host, as a container engine gives it to
// kind's nodes: the host forwards, and what leaves bears the host's address. Blocking; under the
// StateLock.
#pragma once

#include <string>

#include "base/status.h"
#include "kind/cluster_network.h"

namespace keles::kind {

// The nftables text: everything from `subnet` that leaves by another link than `bridge`.
std::string outside_rules(const std::string& bridge, const IpPrefix& subnet);

// Turns on forwarding of the families concerned (remembering what was off), masquerades, and, where
// the host's iptables drop what is forwarded (as a container engine sets them), lets the cluster's
// bridge through.
Status open_outside(const std::string& cluster, const NodeSubnets& subnets);

// Takes back what open_outside() did for this cluster. Absent is fine.
Status close_outside(const std::string& cluster);

// When the last cluster is gone: forwarding as it was before the first.
void restore_forwarding();

}  // namespace keles::kind
