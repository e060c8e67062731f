// Which ranges service addresses are taken from: those of the ServiceCIDRs (KEP-1880).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace keles::registry {

// Addresses between the range's own and its last, which nobody gets. IPv4.
struct ServicePool {
  uint32_t base = 0;
  uint64_t size = 0;  // 0: no range
  std::string text;   // "10.96.0.0/16"

  static ServicePool parse(std::string_view cidr);
  bool has(uint32_t address) const { return address > base && address - base < size - 1; }
  bool operator==(const ServicePool&) const = default;
};

// The name of the ServiceCIDR of the range that servers are started with.
inline constexpr std::string_view kDefaultServiceCidr = "kubernetes";

// Those that may give addresses now: of each ServiceCIDR that is not being deleted and that nobody
// has said not to be ready (upstream's rule: it holds without a controller), the default one's
// first. While that does not exist, or cannot be read, `own` stands for it.
std::vector<ServicePool> service_pools(const StoreSnapshot& snapshot, const ServicePool& own);

}  // namespace keles::registry
