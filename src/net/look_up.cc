#include "net/look_up.h"

#include <netdb.h>
#include <netinet/in.h>

#include "net/transport.h"

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
    if (auto ip = socket_ip(a->ai_addr)) out.ips.push_back(ip->unmapped());
  }
  freeaddrinfo(list);
  return out;
}

}  // namespace keles::net
