// A host and a port as URLs and dialers write them: an IPv6 address stands in brackets (RFC 3986,
// 3.2.2; Go's net.JoinHostPort). The host is taken as it is: a name, or an address without
// brackets. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace keles {

// "example.com", "10.0.0.1", "[fd00::1]".
inline std::string url_host(std::string_view host) {
  if (host.find(':') == std::string_view::npos) return std::string(host);
  return std::string("[").append(host).append("]");
}

// "example.com:443", "[fd00::1]:443".
inline std::string host_port(std::string_view host, int64_t port) {
  return url_host(host).append(":").append(std::to_string(port));
}

}  // namespace keles
