// The address by which others reach this host, when nobody has said which (upstream:
// --advertise-address' default, apimachinery's ChooseHostInterface).
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "net/host/netlink.h"

namespace keles {

// What the kernel knows; a pure choice is made from it.
struct HostNetwork {
  std::vector<NetLink> links;
  std::vector<NetAddress> addresses;
  std::vector<NetRoute> routes;
};
Result<HostNetwork> read_host_network();

// The first global unicast IPv4 address of the link over which a default route leads, the best
// route first; where such a link has none (RFC 5549), one of the loopback link. "" for none.
std::string default_route_address(const HostNetwork& host);

}  // namespace keles
