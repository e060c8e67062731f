// What the kernel's socket calls take for an IpAddress and a port. Pure; any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>

#include "base/ip.h"

namespace keles {

struct SocketAddress {
  sockaddr_storage raw{};
  socklen_t size = 0;

  SocketAddress(const IpAddress& ip, uint16_t port) {
    const auto bytes = ip.bytes();
    if (ip.v6()) {
      auto* to = reinterpret_cast<sockaddr_in6*>(&raw);
      to->sin6_family = AF_INET6;
      to->sin6_port = htons(port);
      std::copy(bytes.begin(), bytes.end(), to->sin6_addr.s6_addr);
      size = sizeof *to;
    } else {
      auto* to = reinterpret_cast<sockaddr_in*>(&raw);
      to->sin_family = AF_INET;
      to->sin_port = htons(port);
      std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(&to->sin_addr));
      size = sizeof *to;
    }
  }
  int family() const { return raw.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }
};

}  // namespace keles
