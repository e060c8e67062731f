// Whole Ethernet frames of one link (packet(7)): those of a protocol that pass a filter. Needs
// CAP_NET_RAW. One loop's thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::net {

// An instruction of the kernel's packet filter (BPF), the frame from its Ethernet
// header on.
struct FilterStep {
  uint16_t code;
  uint8_t if_true, if_false;
  uint32_t value;
};

class PacketSocket {
 public:
  // `protocol`: an EtherType. Frames that this machine sends itself are not among what comes.
  static Result<std::unique_ptr<PacketSocket>> open(Loop& loop, int link_index, uint16_t protocol,
                                                    std::span<const FilterStep> filter);
  virtual ~PacketSocket() = default;
  // The link's address.
  virtual std::array<uint8_t, 6> mac() const = 0;
  // What is longer than `most` is cut.
  virtual Task<Result<std::string>> receive(Context ctx, size_t most) = 0;
  // Does not wait.
  virtual Status send(const std::string& frame) = 0;
};

}  // namespace keles::net
