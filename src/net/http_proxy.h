// Connections through an HTTP proxy: CONNECT (RFC 9110, 9.3.6), with TLS to the server inside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/http.h"

namespace keles::net {

struct HttpProxy {
  std::string host;
  uint16_t port = 80;
  std::string authorization;  // "Basic ...", or ""
};

// "http://user:password@host:port", or "host:port". kBadRequest for what is none, and for proxies
// that are spoken to by other means than plain HTTP.
Result<HttpProxy> parse_proxy_url(std::string_view url);
// Whether HTTPS_PROXY and HTTP_PROXY are for a server, as Go reads NO_PROXY: names with their
// subdomains, addresses, prefixes, "*", each with a port or not. This machine needs none.
bool needs_proxy(std::string_view no_proxy, std::string_view host, uint16_t port);
// The proxy that the environment names for `endpoint` (HTTPS_PROXY with TLS, else HTTP_PROXY, by
// either case, and NO_PROXY); none when it names none.
Result<std::optional<HttpProxy>> proxy_of_environment(const Endpoint& endpoint);
// Makes every connection of the endpoint go through the proxy. HTTP/1.1 is spoken to the server.
void connect_through(const HttpProxy& proxy, Endpoint* endpoint);

}  // namespace keles::net
