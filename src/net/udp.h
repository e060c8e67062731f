// UDP sockets for DNS. One loop's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::net {

struct UdpAddress {
  std::string ip;
  uint16_t port = 0;
};

class UdpSocket {
 public:
  struct Datagram {
    std::string data;
    UdpAddress from;
  };
  // Port 0: any free one. With `netns_fd` >= 0 the socket is made inside that network namespace.
  static Result<std::unique_ptr<UdpSocket>> bind(Loop& loop, std::string address, uint16_t port,
                                                 int netns_fd = -1);
  virtual ~UdpSocket() = default;
  virtual Task<Result<Datagram>> receive(Context ctx) = 0;  // at most 65,535 bytes
  // A datagram that the kernel has no room for waits. Refused peers are not reported.
  virtual Task<Status> send(Context ctx, std::string data, UdpAddress to) = 0;
  virtual uint16_t port() const = 0;
  virtual void close() = 0;
};

}  // namespace keles::net
