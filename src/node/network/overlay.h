// The way to pods of nodes that share no link with this one: a tunnel of Ethernet over UDP (VXLAN,
// RFC 7348, port 4789). Nothing is learned and nothing is asked: every node's MAC in the tunnel
// follows from its address, and where it is is written beside it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/host/netlink.h"
#include "node/network/node_network.h"

namespace keles {

inline constexpr char kOverlayLink[] = "keles-vxlan";
inline constexpr uint32_t kOverlayId = 4096;

// Locally administered, of the last four bytes of an IPv4 address, or of all of an IPv6 one.
NetMac overlay_mac(const IpAddress& host);

// One range of pods behind another node. Packets for it go to `gateway`, which is the range's own
// address and nobody's, and so to `mac`, which is at `host`.
struct TunnelRoute {
  IpPrefix range;
  IpAddress gateway, host;
  NetMac mac{};
};
struct Overlay {
  std::optional<NetVxlan> link;  // none: nobody is reached that way
  std::vector<IpPrefix> own;     // this node's addresses on it: what its own packets come from
  std::vector<TunnelRoute> routes;
};

// `links`: this host's addresses. A node is reached by tunnel where its address is in none of their
// ranges, or always, where `all` says; and where both have an address of the tunnel's family, which
// is that of the node's first.
Overlay plan_overlay(const std::vector<NodeRange>& nodes, const std::string& self,
                     const std::vector<NetAddress>& links, bool all);

// Makes the link with what it knows, or removes it; the routes through it.
Result<std::vector<NetRoute>> apply_overlay(const Overlay& overlay, Netlink* netlink);

}  // namespace keles
