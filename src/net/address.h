// IP addresses as values, and the one policy of which addresses may be dialled for somebody else.
//
// A server that dials on behalf of its users reaches what they cannot: itself by loopback, a
// cloud's metadata by link-local. What the API calls an address (of a pod, node or endpoint) is
// text that users can write; it becomes an IpAddress here, or nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::net {

class IpAddress {
 public:
  // Four decimal numbers without leading zeros, or RFC 4291's forms without a zone. IPv4 inside
  // IPv6 (::ffff:10.0.0.1) is the IPv4 address. Nothing else is one: not "127.1", not "0x7f.1".
  static std::optional<IpAddress> parse(std::string_view text);
  std::string text() const;  // canonical
  bool v6() const { return v6_; }
  // Not unspecified, loopback, link-local, multicast or broadcast. Private ranges (RFC 1918,
  // RFC 4193) are.
  bool is_global_unicast() const;
  bool operator==(const IpAddress&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};  // IPv4: the first four
  bool v6_ = false;
};

// The addresses of a name (one that is an address: itself), at most 8. Blocking work is done
// elsewhere. kUnavailable when there are none.
Task<Result<std::vector<IpAddress>>> resolve(Context ctx, std::string host);

// The policy: global unicast only.
bool may_relay_to(const IpAddress& ip);

// What a relay dials for `host`: its addresses, every one of which `allowed` admits, else
// kBadRequest "address not allowed". Dial the addresses that are returned, never the name again: it
// may mean another address by then.
Task<Result<std::vector<IpAddress>>> relay_addresses(
    Context ctx, std::string host, bool (*allowed)(const IpAddress&) = may_relay_to);

// A port, "1" to "65535" in decimal.
std::optional<uint16_t> parse_port(std::string_view text);

}  // namespace keles::net
