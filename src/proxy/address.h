// What the proxy knows of the network, as values: addresses, ranges, protocols, ports. Text from
// the API becomes one of these where it enters, or is skipped; the ruleset is written from these
// only, so that no string of a user reaches nftables, whose text runs as root.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keles::proxy {

class Ipv4 {
 public:
  constexpr Ipv4() = default;
  constexpr explicit Ipv4(uint32_t value) : value_(value) {}
  // Four decimal numbers; leading zeros as upstream's sloppy parser takes them. Nothing else.
  static std::optional<Ipv4> parse(std::string_view text);
  std::string text() const;
  constexpr uint32_t value() const { return value_; }  // host byte order
  // What may stand for a service or an endpoint: not unspecified, loopback, link-local, multicast
  // or broadcast.
  bool is_target() const;
  auto operator<=>(const Ipv4&) const = default;

 private:
  uint32_t value_ = 0;
};

struct Ipv4Range {
  Ipv4 base;  // host bits cleared
  uint8_t length = 0;

  // "ADDRESS/LENGTH", with blanks around it.
  static std::optional<Ipv4Range> parse(std::string_view text);
  std::string text() const;
  auto operator<=>(const Ipv4Range&) const = default;
};

enum class Protocol : uint8_t { kTcp, kUdp, kSctp };
// "" is TCP, the API's default.
std::optional<Protocol> parse_protocol(std::string_view text);
std::string_view protocol_text(Protocol p);  // nftables' word

// 1 to 65535.
std::optional<uint16_t> port_number(int64_t n);

}  // namespace keles::proxy
