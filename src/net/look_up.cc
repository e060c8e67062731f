#include "net/look_up.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

namespace keles::net {

LookUp look_up(const std::string& host) {
  LookUp out;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int e = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (e != 0) {
    out.error = gai_strerror(e);
    return out;
  }
  for (addrinfo* a = list; a != nullptr && out.ips.size() < 8; a = a->ai_next) {
    char text[INET6_ADDRSTRLEN] = {};
    const void* raw =
        a->ai_family == AF_INET
            ? static_cast<void*>(&reinterpret_cast<sockaddr_in*>(a->ai_addr)->sin_addr)
            : &reinterpret_cast<sockaddr_in6*>(a->ai_addr)->sin6_addr;
    if (inet_ntop(a->ai_family, raw, text, sizeof text) != nullptr) out.ips.emplace_back(text);
  }
  freeaddrinfo(list);
  return out;
}

}  // namespace keles::net
