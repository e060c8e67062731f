#include "proxy/address.h"

#include "base/text_parts.h"

namespace keles::proxy {

std::optional<IpAddress> parse_address(std::string_view text, bool v6) {
  auto read = IpAddress::parse_sloppy(text);
  if (!read || read->address.v6() != v6) return std::nullopt;
  return read->address;
}

std::optional<IpPrefix> parse_range(std::string_view text, bool v6) {
  auto read = IpPrefix::parse_sloppy(trim(text));
  if (!read || read->prefix.v6() != v6) return std::nullopt;
  return read->prefix.network();
}

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
