#include "node/probes/url.h"

#include <charconv>
#include <vector>

#include "base/host_port.h"

namespace keles::node {
namespace {

bool starts_with_scheme(std::string_view s, std::string_view scheme) {
  if (s.size() <= scheme.size() || s[scheme.size()] != ':') return false;
  for (size_t i = 0; i < scheme.size(); ++i)
    if ((s[i] | 0x20) != scheme[i]) return false;
  return true;
}

bool parse_authority(std::string_view s, HttpUrl& out) {
  if (size_t at = s.rfind('@'); at != std::string_view::npos) s.remove_prefix(at + 1);
  out.port = out.tls ? 443 : 80;
  std::string_view port;
  if (s.starts_with('[')) {
    size_t end = s.find(']');
    if (end == std::string_view::npos) return false;
    out.host = s.substr(1, end - 1);
    s.remove_prefix(end + 1);
    if (!s.empty() && s[0] != ':') return false;
    if (!s.empty()) port = s.substr(1);
  } else {
    size_t colon = s.find(':');
    out.host = s.substr(0, colon);
    if (colon != std::string_view::npos) port = s.substr(colon + 1);
  }
  if (out.host.empty()) return false;
  if (port.empty()) return true;
  auto r = std::from_chars(port.data(), port.data() + port.size(), out.port);
  return r.ec == std::errc() && r.ptr == port.data() + port.size() && out.port != 0;
}

std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  bool slash_at_end = true;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size());
    slash_at_end = part.empty() || part == "." || part == "..";
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (part != "." && (!part.empty() || !path.empty())) {
      kept.push_back(part);
    }
  }
  std::string out;
  for (std::string_view part : kept) out += "/" + std::string(part);
  if (slash_at_end || out.empty()) out += "/";
  return out;
}

}  // namespace

std::string HttpUrl::authority() const {
  return host_port(host, port);
}

std::string HttpUrl::text() const {
  return std::string(tls ? "https" : "http") + "://" + authority() + path +
         (query.empty() ? "" : "?" + query);
}

std::optional<HttpUrl> resolve_url(const HttpUrl& base, std::string_view location) {
  for (char c : location)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return std::nullopt;
  location = location.substr(0, location.find('#'));
  HttpUrl out = base;
  bool absolute = false;
  for (bool tls : {false, true}) {
    std::string_view scheme = tls ? "https" : "http";
    if (!starts_with_scheme(location, scheme)) continue;
    location.remove_prefix(scheme.size() + 1);
    if (!location.starts_with("//")) return std::nullopt;
    out.tls = tls;
    absolute = true;
    break;
  }
  // Another scheme: a colon before any slash.
  size_t colon = location.find_first_of(":/?");
  if (!absolute && colon != std::string_view::npos && location[colon] == ':') return std::nullopt;
  if (location.starts_with("//")) {
    location.remove_prefix(2);
    size_t end = location.find_first_of("/?");
    if (!parse_authority(location.substr(0, end), out)) return std::nullopt;
    location.remove_prefix(end == std::string_view::npos ? location.size() : end);
    out.path = "/";
    out.query.clear();
  }
  size_t mark = location.find('?');
  std::string_view path = location.substr(0, mark);
  if (!location.empty())
    out.query = mark == std::string_view::npos ? "" : std::string(location.substr(mark + 1));
  if (path.starts_with('/')) {
    out.path = without_dots(path);
  } else if (!path.empty()) {
    out.path = without_dots(out.path.substr(0, out.path.rfind('/') + 1) + std::string(path));
  }
  return out;
}

}  // namespace keles::node
