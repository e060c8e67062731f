// The port that a server will listen on, taken before anything is made for that server.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace keles {

// Bound, but nobody listens: who binds with SO_REUSEADDR, as our listeners do, may listen on it
// meanwhile, and the system gives it to nobody else.
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

 private:
  int fd_ = -1;
  uint16_t port_ = 0;
};

}  // namespace keles
