// The address families that a cluster's Services have: those of the ranges that the server was
// started with (KEP-563).
#pragma once

#include <cstdint>
#include <string_view>

namespace keles::registry {

enum class IpFamilies : uint8_t { kV4, kV6, kV4ThenV6, kV6ThenV4 };

inline bool is_dual(IpFamilies f) {
  return f == IpFamilies::kV4ThenV6 || f == IpFamilies::kV6ThenV4;
}
// What a Service has that names none.
inline std::string_view default_family(IpFamilies f) {
  return f == IpFamilies::kV4 || f == IpFamilies::kV4ThenV6 ? "IPv4" : "IPv6";
}
inline bool is_configured(IpFamilies f, std::string_view family) {
  return is_dual(f) ? family == "IPv4" || family == "IPv6" : family == default_family(f);
}

}  // namespace keles::registry
