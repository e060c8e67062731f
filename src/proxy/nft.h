// The kernel's side: applying nftables text, and forgetting stale conntrack entries. Both block for
// some milliseconds and act on the network namespace of the calling process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "proxy/services.h"

namespace keles::proxy {

// Where UDP flows may go: those to `destination`:`port` (a service's address) that are answered by
// none of `targets` are forgotten. UDP has no end of connection: a flow to an endpoint that is
// gone, or that began while there was none, would go on into the void for as long as its client
// talks.
struct UdpFront {
  std::optional<IpAddress> destination;  // none: any (node ports)
  uint16_t port = 0;
  std::vector<Target> targets;
};

// What the kernel's connection tracking is told (nf_conntrack_*); 0: as it is.
struct ConntrackSettings {
  Duration tcp_established = 24h, tcp_close_wait = 1h;
  Duration udp{0}, udp_stream{0};
  bool tcp_be_liberal = false;
  int64_t max = 0;  // entries, of the whole machine: only its own network namespace can say
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual Status apply(const std::string& nft_text) = 0;
  // Writes what differs, for this network namespace. Where that is not possible (a read-only /proc)
  // the first error.
  virtual Status configure(const ConntrackSettings& settings) = 0;
  // Removes the UDP entries of these fronts that lead elsewhere; returns how many.
  virtual Result<int> forget(const std::vector<UdpFront>& fronts) = 0;
};

std::unique_ptr<Kernel> make_kernel();

}  // namespace keles::proxy
