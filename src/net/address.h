// Names to addresses, and the one policy of which addresses may be dialled for somebody else.
//
// A server that dials on behalf of its users reaches what they cannot: itself by loopback, a
// cloud's metadata by link-local. What the API calls an address (of a pod, node or endpoint) is
// text that users can write; it becomes an IpAddress here, or nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/ip.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::net {

// The policy: global unicast only.
bool may_relay_to(const IpAddress& ip);

// What a relay dials for `host`, an address or a name: its addresses, at most 8, every one of which
// `allowed` admits, else kBadRequest "address not allowed"; kUnavailable when there are none.
// Blocking work is done elsewhere. Dial the addresses that are returned, never the name again: it
// may mean another address by then.
Task<Result<std::vector<IpAddress>>> relay_addresses(
    Context ctx, std::string host, bool (*allowed)(const IpAddress&) = may_relay_to);

// A port, "1" to "65535" in decimal.
std::optional<uint16_t> parse_port(std::string_view text);

}  // namespace keles::net
