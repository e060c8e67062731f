// Which ranges service addresses are taken from: those of the ServiceCIDRs (KEP-1880).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/status.h"
#include "server/registry/ip_families.h"
#include "store/store.h"

namespace keles::registry {

// The addresses of a range that a Service can get: all but the range's own, and in IPv4 its last.
struct ServicePool {
  IpPrefix range;

  // How many there are, at least one; 2^63 where there are more.
  uint64_t size() const;
  // The n-th of them, from 0.
  IpAddress address(uint64_t n) const { return range.base.plus(n + 1); }
  bool has(const IpAddress& a) const;
  bool operator==(const ServicePool&) const = default;
};

// "10.96.0.0/16", or "fd00:10:96::/112,10.96.0.0/16": one range, or one of each family. kBadRequest
// in upstream's words.
Result<std::vector<ServicePool>> parse_service_ranges(std::string_view ranges);
// Of pools that parse_service_ranges gave.
IpFamilies families_of(const std::vector<ServicePool>& own);

// The name of the ServiceCIDR of the ranges that servers are started with.
inline constexpr std::string_view kDefaultServiceCidr = "kubernetes";

// Those that may give addresses of the family now: of each ServiceCIDR that is not being deleted
// and that nobody has said not to be ready (upstream's rule: it holds without a controller), the
// default one's first. While that does not exist, or cannot be read, `own` stands for it.
std::vector<ServicePool> service_pools(const StoreSnapshot& snapshot,
                                       const std::vector<ServicePool>& own, bool v6);

}  // namespace keles::registry
