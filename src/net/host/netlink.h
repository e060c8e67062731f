// Links, addresses and routes by rtnetlink: what the pod network, the service proxy's helpers and
// kind's nodes need of `ip`, without running a program.
//
// A Netlink acts on the network namespace in which it was opened, whatever its thread enters later.
// Calls block, but only on the kernel (microseconds; at most kPatience, then kInternalError). Not
// thread-safe; move-only.
// Errors: kNotFound (ENODEV, ESRCH), kAlreadyExists (EEXIST), kForbidden (EPERM), else
// kInternalError, each naming the object and the kernel's own words.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/status.h"

namespace keles {

// Six bytes.
using NetMac = std::array<uint8_t, 6>;
std::string mac_text(const NetMac& mac);  // "02:00:00:00:00:01"

// A tunnel of Ethernet over UDP (RFC 7348) that learns nothing: where what goes is told by
// set_neighbor() and set_tunnel_end().
struct NetVxlan {
  std::string name;
  uint32_t id = 0;
  uint16_t port = 4789;
  IpAddress local;  // what it sends from
  NetMac mac{};
  bool learns = false;  // as others make them
  bool operator==(const NetVxlan&) const = default;
};

struct NetLink {
  int index = 0;
  std::string name, kind;  // kind: "bridge", "veth", "" for hardware
  bool up = false;
  int mtu = 0;
  std::optional<NetVxlan> vxlan;  // of that kind
};

struct NetRoute {
  IpPrefix destination;              // length 0: the default route
  std::optional<IpAddress> gateway;  // none: on link
  int link_index = 0;                // 0: by the gateway
  uint8_t protocol = 4;  // RTPROT_STATIC; what made the route, so that its maker finds it again
  uint32_t metric = 0;
  bool on_link = false;  // the gateway is taken to be on the link, whatever addresses say
};

struct NetAddress {
  int link_index = 0;
  IpPrefix prefix;
};

class Netlink {
 public:
  static Result<Netlink> open();
  ~Netlink();
  Netlink(Netlink&& o) noexcept;
  Netlink& operator=(Netlink&&) = delete;

  Result<std::vector<NetLink>> links();
  Result<NetLink> link(std::string_view name);
  Status add_bridge(std::string_view name);
  // The peer is made inside the network namespace of `peer_pid` (0: here).
  Status add_veth(std::string_view name, std::string_view peer_name, int peer_pid);
  Status add_vxlan(const NetVxlan& link);
  // Whose MAC an address on the link is, for good; and behind which host of the tunnel a MAC is.
  // Said again it is replaced.
  Status set_neighbor(int index, const IpAddress& ip, const NetMac& mac);
  Status set_tunnel_end(int index, const NetMac& mac, const IpAddress& host);
  Status delete_link(std::string_view name);  // absent is fine
  Status set_link_up(int index);
  Status set_link_master(int index, int master_index);

  Result<std::vector<NetAddress>> addresses();
  Status add_address(int index, const IpPrefix& prefix);  // already there is fine

  // The main table, IPv4 and IPv6, unicast only.
  Result<std::vector<NetRoute>> routes();
  Status replace_route(const NetRoute& route);
  Status delete_route(const NetRoute& route);  // absent is fine

 private:
  struct Socket;
  explicit Netlink(std::unique_ptr<Socket> socket);
  std::unique_ptr<Socket> socket_;
};

}  // namespace keles
