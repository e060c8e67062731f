// Where a node's kubelet is, as the Node says: text of the API, of which only what
// net::relay_addresses() makes may be dialled. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::registry {

struct KubeletAddress {
  std::string host;  // an address, or a name
  uint16_t port = 0;
};

// Types of addresses, the preferred one first (--kubelet-preferred-address-types).
using AddressTypes = std::vector<std::string>;
// Those that node addresses have, in the order that holds when nobody says another.
const AddressTypes& kubelet_address_types();

// By the first of the node's addresses in the order of preference. Errors are upstream's.
Result<KubeletAddress> kubelet_address(const Value& node, const AddressTypes& order);

}  // namespace keles::registry
