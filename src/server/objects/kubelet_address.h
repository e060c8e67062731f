// Where a node's kubelet is, as the Node says: text of the API, of which only what
// net::relay_addresses() makes may be dialled. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::registry {

struct KubeletAddress {
  std::string host;  // an address, or a name
  uint16_t port = 0;
};

// By the first of the node's addresses in upstream's order of preference (InternalIP first). Errors
// are upstream's.
Result<KubeletAddress> kubelet_address(const Value& node);

}  // namespace keles::registry
