// Links, addresses and routes by rtnetlink: what the pod network, the service proxy's helpers and
// kind's nodes need of `ip`, without running a program.
//
// A Netlink acts on the network namespace in which it was opened, whatever its thread enters later.
// Calls block, but only on the kernel (microseconds). Not thread-safe; move-only.
// Errors: kNotFound (ENODEV, ESRCH), kAlreadyExists (EEXIST), kForbidden (EPERM), else
// kInternalError, each naming the object and the kernel's own words.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles {

// An address with a prefix length ("10.244.1.0/24"), IPv4 or IPv6.
struct IpPrefix {
  std::array<uint8_t, 16> bytes{};
  bool v6 = false;
  uint8_t length = 0;

  // "ADDRESS/LENGTH" or "ADDRESS" (whole length).
  static Result<IpPrefix> parse(std::string_view text);
  std::string address() const;
  std::string to_string() const;
  // The network part, host bits cleared.
  IpPrefix network() const;
  // The address `n` after this one, same length.
  IpPrefix plus(uint32_t n) const;
  bool contains(const IpPrefix& o) const;
  bool overlaps(const IpPrefix& o) const { return contains(o) || o.contains(*this); }
  bool operator==(const IpPrefix&) const = default;
};

struct NetLink {
  int index = 0;
  std::string name, kind;  // kind: "bridge", "veth", "" for hardware
  bool up = false;
  int mtu = 0;
};

struct NetRoute {
  IpPrefix destination;  // length 0: the default route
  std::string gateway;   // "" = on link
  int link_index = 0;    // 0: by the gateway
  uint8_t protocol = 4;  // RTPROT_STATIC; what made the route, so that its maker finds it again
  uint32_t metric = 0;
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
  Status delete_link(std::string_view name);  // absent is fine
  Status set_link_up(int index);
  Status set_link_master(int index, int master_index);
  Status set_link_mtu(int index, int mtu);

  Result<std::vector<NetAddress>> addresses();
  Status add_address(int index, const IpPrefix& prefix);  // already there is fine

  // The main table, IPv4 and IPv6, unicast only.
  Result<std::vector<NetRoute>> routes();
  Status replace_route(const NetRoute& route);
  Status delete_route(const NetRoute& route);  // absent is fine

 private:
  explicit Netlink(int fd) : fd_(fd) {}
  Status transact(std::string request, std::string_view what,
                  std::vector<std::string>* answers = nullptr);
  int fd_ = -1;
  uint32_t sequence_ = 0;
};

}  // namespace keles
