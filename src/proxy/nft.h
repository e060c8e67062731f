// The kernel's side: applying nftables text, and forgetting stale conntrack entries. Both block for
// some milliseconds and act on the network namespace of the calling process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "proxy/address.h"

namespace keles::proxy {

// A UDP flow that must not go on: to `destination`:`port` (the service's address), answered by
// `endpoint` (none: whatever answers, or nobody). port 0: any.
struct StaleFlow {
  std::optional<IpAddress> destination;  // none: any (node ports)
  uint16_t port = 0;
  std::optional<IpAddress> endpoint;
};

// How long the kernel remembers quiet TCP connections (nf_conntrack_tcp_timeout_*); 0: as it is.
struct ConntrackTimeouts {
  Duration established = 24h;
  Duration close_wait = 1h;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual Status apply(const std::string& nft_text) = 0;
  // Writes what differs, for this network namespace. Where that is not possible (a read-only /proc)
  // the first error.
  virtual Status set_timeouts(const ConntrackTimeouts& timeouts) = 0;
  // Removes the matching UDP entries; returns how many.
  virtual Result<int> forget(const std::vector<StaleFlow>& flows) = 0;
};

std::unique_ptr<Kernel> make_kernel();

}  // namespace keles::proxy
