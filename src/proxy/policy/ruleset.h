// The policy table's changes as nftables text (nft(8)), in one table of our own of both families.
// Every text is made of values and of hashes; nothing that a user wrote is in it. Pure.
//
// Where it stands: the forward hook, after destinations were changed (a service's address is its
// pod's by then). What this node itself sends to its pods (probes) and gets from them passes
// elsewhere and is always allowed, as are replies of what was allowed, and a pod to itself. Each
// packet of a connection's first direction is judged, so that a policy ends what it does not allow.
//
// Pods of one node are neighbours on a bridge, and can reach each other at addresses that the API
// does not show (link-local, multicast, broadcast), or under another's. So between the bridge's
// ports only pods' addresses pass, and into them only what bears one of this node's pods.
// The bridge's packets are seen here where the kernel has br_netfilter.
#pragma once

#include <string>

#include "proxy/policy/table.h"

namespace keles::policy {

inline constexpr char kPolicyTable[] = "keles-policy";
// Of which this node's pods are ports (node/network's CNI configuration).
inline constexpr char kPodBridge[] = "cni0";

// One transaction; "" when nothing has changed.
std::string policy_rules(const Changes& changes);
// One that removes all there is.
std::string no_policy_rules();

}  // namespace keles::policy
