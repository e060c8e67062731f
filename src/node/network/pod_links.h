// What each pod of this node may say that it is: the frames that come from a pod's link bear its
// own MAC, and its own addresses as their source, or go nowhere. Without that a pod that may write
// its own packets could speak, and be spoken to, as its neighbour on the bridge.
//
// Here are the facts (from what the runtime's CNI library keeps of an attachment) and the nftables
// text, made of these values only; pure. link_guard.h keeps the kernel in step.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/status.h"
#include "net/host/netlink.h"

namespace keles {

constexpr char kPodLinkTable[] = "keles-pod-links";  // of the family "bridge"

struct PodLink {
  std::string name;     // the node's end of it
  std::string sandbox;  // id
  NetMac mac{};         // of the pod's end
  std::vector<IpAddress> ips;
  bool operator==(const PodLink&) const = default;
};

// `text`: a result of the network of node_network.h (CNI 0.3 to 1.1), alone or as libcni keeps it.
// An error when it names no single link, or says something that could not be a link's, a MAC or an
// address.
Result<PodLink> read_pod_link(std::string_view text, const std::string& sandbox,
                              std::string_view bridge);

// The address that a link of this MAC gives itself (RFC 4291, appendix A).
IpAddress link_local_of(const NetMac& mac);

// Replaces the table by one that holds these.
std::string pod_link_rules(const std::vector<PodLink>& links);
// What it holds changes: elements only, so a change costs the same however many there are. The
// kernel refuses all of it when one of `gone` is not there.
std::string pod_link_changes(const std::vector<PodLink>& gone, const std::vector<PodLink>& come);

}  // namespace keles
