// The address of an HTTP probe and where a redirect leads from it (RFC 3986, section 5.2). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keles::node {

struct HttpUrl {
  bool tls = false;
  std::string host;  // without brackets
  uint16_t port = 80;
  std::string path = "/", query;

  std::string authority() const;  // "10.0.0.1:80", "[fd00::1]:80"
  std::string text() const;
};

// nullopt: not an http or https URL, or malformed. Fragments and user information are dropped.
std::optional<HttpUrl> resolve_url(const HttpUrl& base, std::string_view location);

}  // namespace keles::node
