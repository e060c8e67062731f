#include "proxy/address.h"

#include <charconv>

namespace keles::proxy {
namespace {

// At most `most`, in at most three digits; nothing but digits.
std::optional<uint32_t> number(std::string_view s, uint32_t most) {
  uint32_t n = 0;
  if (s.empty() || s.size() > 3) return std::nullopt;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (error != std::errc() || end != s.data() + s.size() || n > most) return std::nullopt;
  return n;
}

}  // namespace

std::optional<Ipv4> Ipv4::parse(std::string_view text) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    size_t dot = i < 3 ? text.find('.') : text.size();
    if (dot == text.npos) return std::nullopt;
    std::optional<uint32_t> octet = number(text.substr(0, dot), 255);
    if (!octet) return std::nullopt;
    value = value << 8 | *octet;
    text.remove_prefix(i < 3 ? dot + 1 : dot);
  }
  return Ipv4(value);
}

std::string Ipv4::text() const {
  return std::to_string(value_ >> 24) + "." + std::to_string(value_ >> 16 & 255) + "." +
         std::to_string(value_ >> 8 & 255) + "." + std::to_string(value_ & 255);
}

bool Ipv4::is_target() const {
  const uint32_t first = value_ >> 24;
  if (first == 0 || first == 127 || value_ >> 16 == 0xa9fe) return false;
  return !(first >= 224 && first < 240) && value_ != 0xffffffff;
}

std::optional<Ipv4Range> Ipv4Range::parse(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  std::optional<Ipv4> ip = Ipv4::parse(text.substr(0, slash));
  std::optional<uint32_t> length = number(text.substr(slash + 1), 32);
  if (!ip || !length) return std::nullopt;
  const uint32_t mask = *length == 0 ? 0 : ~uint32_t{0} << (32 - *length);
  return Ipv4Range{Ipv4(ip->value() & mask), static_cast<uint8_t>(*length)};
}

std::string Ipv4Range::text() const { return base.text() + "/" + std::to_string(length); }

std::optional<Protocol> parse_protocol(std::string_view text) {
  if (text.empty() || text == "TCP") return Protocol::kTcp;
  if (text == "UDP") return Protocol::kUdp;
  if (text == "SCTP") return Protocol::kSctp;
  return std::nullopt;
}

std::string_view protocol_text(Protocol p) {
  switch (p) {
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
    case Protocol::kTcp:
      break;
  }
  return "tcp";
}

std::optional<uint16_t> port_number(int64_t n) {
  if (n < 1 || n > 65535) return std::nullopt;
  return static_cast<uint16_t>(n);
}

}  // namespace keles::proxy
