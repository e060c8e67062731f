// Why a text is no address, in Go's words (net/netip): for errors only.
#pragma once

#include <string>
#include <string_view>

namespace keles::cel {

// ParseAddr("1.2.3"): IPv4 address too short
std::string why_no_address(std::string_view text);
// netip.ParsePrefix("1.2.3.4"): no '/'
std::string why_no_prefix(std::string_view text);

}  // namespace keles::cel
