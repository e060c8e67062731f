// What the proxy knows of the network, as values: addresses and ranges (of base/ip.h), protocols,
// ports. Text from the API becomes one of these where it enters, or is skipped; the ruleset is
// written from these only, so that no string of a user reaches nftables, whose text runs as root.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip.h"

namespace keles::proxy {

// An address of the family as upstream's sloppy parser takes it: leading zeros are skipped over.
// Nothing else.
std::optional<IpAddress> parse_address(std::string_view text, bool v6);
// "ADDRESS/LENGTH" of the family, with blanks around it; host bits are cleared.
std::optional<IpPrefix> parse_range(std::string_view text, bool v6);

enum class Protocol : uint8_t { kTcp, kUdp, kSctp };
// "" is TCP, the API's default.
std::optional<Protocol> parse_protocol(std::string_view text);
std::string_view protocol_text(Protocol p);  // nftables' word

// 1 to 65535.
std::optional<uint16_t> port_number(int64_t n);

}  // namespace keles::proxy
