// The port that a server will listen on, taken before anything is made for that server.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace keles {

// Listened on from the first: the system gives it to nobody else, not even to another of our kind.
// Who connects meanwhile waits until a server accepts. SO_REUSEADDR alone would let two such bind
// one port, and the second fail only when it listens.
class HeldPort {
 public:
  HeldPort() = default;
  HeldPort(HeldPort&& other) noexcept;
  HeldPort& operator=(HeldPort&& other) noexcept;
  ~HeldPort();

  // `address` is IPv4; port 0 is any free one. An error names the flags --bind-address and
  // --secure-port.
  static Result<HeldPort> take(const std::string& address, int64_t port);

  uint16_t port() const { return port_; }
  // The listening socket, which is the caller's from now on (net/server_on.h).
  int release();

 private:
  int fd_ = -1;
  uint16_t port_ = 0;
};

}  // namespace keles
