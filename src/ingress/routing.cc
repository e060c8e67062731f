#include "ingress/routing.h"

#include "base/ascii.h"
#include "machinery/validation.h"

namespace keles::ingress {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_label(std::string_view s) { return check_dns1123_label(s).empty(); }

bool is_dns_name(std::string_view s) {
  if (s.size() > 253) return false;
  for (;;) {
    const size_t dot = s.find('.');
    if (!is_label(s.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}

// RFC 3986's pchar, '/' and '%': what a path on the wire is made of.
bool is_in_paths(char c) {
  return (c >= 'A' && c <= 'Z') || is_alphanumeric(c) ||
         std::string_view("/-._~!$&'()*+,;=:@%").find(c) != std::string_view::npos;
}

}  // namespace

std::optional<Host> Host::parse(std::string_view text) {
  Host out;
  if (text.empty()) return out;
  const bool wildcard = text.starts_with("*.");
  if (wildcard) text.remove_prefix(2);
  const std::string name = ascii_lower(text);
  if (!is_dns_name(name) || IpAddress::parse(name)) return std::nullopt;
  out.key_ = wildcard ? "." + name : name;
  return out;
}

std::string Host::text() const { return key_.starts_with('.') ? "*" + key_ : key_; }

std::optional<Path> Path::parse(std::string_view text) {
  if (!text.starts_with('/')) return std::nullopt;
  Path out;
  for (char c : text) {
    if (is_in_paths(c)) {
      out.text_ += c;
    } else {
      constexpr char kHex[] = "0123456789ABCDEF";
      const auto byte = static_cast<uint8_t>(c);
      out.text_ += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
    if (out.text_.size() > kMaxBytes) return std::nullopt;
  }
  return out;
}

std::string Path::elements() const { return text_.ends_with('/') ? text_ : text_ + "/"; }

std::string BackendName::text() const {
  std::string out = ns + ":" + service + ":" + std::to_string(port);
  if (protocol == Protocol::kGrpc) out += ":grpc";
  if (protocol == Protocol::kTls) out += ":tls";
  return out;
}

std::optional<BackendName> backend_name(std::string_view ns, std::string_view service, int64_t port,
                                        BackendName::Protocol p) {
  if (!is_label(ns) || !is_label(service) || port < 1 || port > 65535) return std::nullopt;
  BackendName out;
  out.ns = ns;
  out.service = service;
  out.port = static_cast<uint16_t>(port);
  out.protocol = p;
  return out;
}

}  // namespace keles::ingress
