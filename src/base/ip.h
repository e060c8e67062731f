// IP addresses and prefixes as values: the one place that turns their text into bytes and back.
// Text that users can write becomes one of these where it enters, or nothing; what is done with it,
// and what is written to nftables, the kernel or another's socket, is made from the value.
//
// Two readings. `parse` is strict, as Go's netip is: four decimal numbers without leading zeros, or
// RFC 4291's forms without a zone; not "127.1", not "0x7f.1", not "010.0.0.1". `parse_sloppy` is
// what Kubernetes has always taken from its users (KEP-4858): leading zeros are skipped over, and
// are told.
//
// Printing is RFC 5952's. Pure; any thread; nothing here allocates but what returns a std::string.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace keles {

class IpAddress {
 public:
  // How long a text can be.
  static constexpr size_t kMaxText = 45;

  constexpr IpAddress() = default;  // 0.0.0.0
  static constexpr IpAddress v4(uint32_t host_order) {
    IpAddress a;
    for (size_t i = 0; i < 4; ++i) a.bytes_[i] = static_cast<uint8_t>(host_order >> (24 - 8 * i));
    return a;
  }
  // Four or sixteen bytes in network order; anything else is no address.
  static std::optional<IpAddress> from_bytes(std::span<const uint8_t> raw);

  // IPv4 inside IPv6 (::ffff:10.0.0.1) is the IPv4 address.
  static std::optional<IpAddress> parse(std::string_view text);
  // The same, but IPv4 inside IPv6 stays there; see unmapped().
  static std::optional<IpAddress> parse_mapped(std::string_view text);
  struct Sloppy;
  // IPv4 inside IPv6 stays there.
  static std::optional<Sloppy> parse_sloppy(std::string_view text);

  bool v6() const { return v6_; }
  // In network order: four or sixteen.
  std::span<const uint8_t> bytes() const { return {bytes_.data(), v6_ ? 16U : 4U}; }
  // An IPv4 address as a number in host order.
  uint32_t v4_value() const;
  bool is_v4_mapped() const;
  IpAddress unmapped() const;

  std::string text() const;
  // Writes the text, which is what returns; `to` has room for kMaxText bytes. No zero byte follows.
  std::string_view print(char* to) const;
  void append_to(std::string& out) const;

  // An IPv4 address inside IPv6 is judged as IPv6; unmapped() it first.
  bool is_unspecified() const;
  bool is_loopback() const;              // 127.0.0.0/8, ::1
  bool is_link_local() const;            // 169.254.0.0/16, fe80::/10
  bool is_link_local_multicast() const;  // 224.0.0.0/24, ffx2::/16
  // Something that can be reached: not "this network" (0.0.0.0/8, ::/96), loopback, link-local,
  // multicast or broadcast. Private ranges (RFC 1918, RFC 4193) can be.
  bool is_global_unicast() const;

  // The address `n` after this one; after the last comes the first.
  IpAddress plus(uint64_t n) const;

  // IPv4 before IPv6, each by number.
  auto operator<=>(const IpAddress&) const = default;

 private:
  bool v6_ = false;
  std::array<uint8_t, 16> bytes_{};  // IPv4: the first four, the others zero
};

struct IpAddress::Sloppy {
  IpAddress address;
  bool leading_zeros = false;
};

// An address and how many of its leading bits count ("10.244.1.7/24"): a range, or an interface's
// address with its range.
struct IpPrefix {
  IpAddress base;
  uint8_t length = 0;

  static constexpr size_t kMaxText = IpAddress::kMaxText + 4;

  // "ADDRESS/LENGTH". Host bits may be set: see network().
  static std::optional<IpPrefix> parse(std::string_view text);
  // The same, or "ADDRESS" alone, which is its whole length.
  static std::optional<IpPrefix> parse_or_address(std::string_view text);
  struct Sloppy;
  static std::optional<Sloppy> parse_sloppy(std::string_view text);
  // Exactly this address.
  static IpPrefix of(const IpAddress& address);

  bool v6() const { return base.v6(); }
  // How many bits an address of this family has.
  uint8_t whole() const { return v6() ? 128 : 32; }
  // The range: host bits cleared.
  IpPrefix network() const;
  bool has_host_bits() const { return network().base != base; }
  // The `n`th address of the range (0: the network's own); none beyond its end.
  std::optional<IpAddress> nth(uint64_t n) const;
  bool contains(const IpAddress& a) const;
  bool contains(const IpPrefix& o) const { return o.length >= length && contains(o.base); }
  bool overlaps(const IpPrefix& o) const { return contains(o) || o.contains(*this); }
  // A range of IPv4 inside IPv6 (::ffff:0:0/96 and within) is the IPv4 range.
  IpPrefix unmapped() const;

  std::string text() const;
  std::string_view print(char* to) const;  // room for kMaxText bytes

  auto operator<=>(const IpPrefix&) const = default;
};

struct IpPrefix::Sloppy {
  IpPrefix prefix;
  bool leading_zeros = false;  // in the address or the length
};

}  // namespace keles
