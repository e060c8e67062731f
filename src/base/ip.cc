#include "base/ip.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace keles {
namespace {

constexpr size_t kGroups = 8;
constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int digit(char c, int base) {
  if (c >= '0' && c <= '9') return c - '0';
  if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The number that `text` begins with, and takes it away; at most `most`. `padded` is set when it
// has leading zeros (IPv4 and lengths) or more than four digits (groups of IPv6).
std::optional<unsigned> take_number(std::string_view& text, int base, unsigned most, bool* padded) {
  unsigned n = 0;
  size_t i = 0;
  for (int d; i < text.size() && (d = digit(text[i], base)) >= 0; ++i) {
    n = n * static_cast<unsigned>(base) + static_cast<unsigned>(d);
    if (n > most) return std::nullopt;
  }
  if (i == 0) return std::nullopt;
  if (base == 16 ? i > 4 : i > 1 && text[0] == '0') *padded = true;
  text.remove_prefix(i);
  return n;
}

bool read_v4(std::string_view text, uint8_t* out, bool* padded) {
  for (size_t i = 0; i < 4; ++i) {
    if (i > 0) {
      if (text.empty() || text[0] != '.') return false;
      text.remove_prefix(1);
    }
    auto n = take_number(text, 10, 255, padded);
    if (!n) return false;
    out[i] = static_cast<uint8_t>(*n);
  }
  return text.empty();
}

// Groups up to the end of the text; "::" may stand before any of them, or after the last.
bool read_v6(std::string_view text, uint8_t* out, bool* padded) {
  std::array<uint8_t, 16> got{};
  size_t at = 0;
  std::optional<size_t> gap;  // where "::" stood, in bytes
  if (text.starts_with("::")) {
    gap = 0;
    text.remove_prefix(2);
  }
  while (!text.empty()) {
    if (at == got.size()) return false;
    std::string_view rest = text;
    auto group = take_number(rest, 16, 0xffff, padded);
    const bool dotted = text.substr(0, text.find(':')).find('.') != text.npos;
    if (dotted) {  // IPv4 fills the last two groups
      if (at + 4 > got.size() || (!gap && at != 12) || !read_v4(text, &got[at], padded))
        return false;
      at += 4;
      break;
    }
    if (!group) return false;
    got[at++] = static_cast<uint8_t>(*group >> 8);
    got[at++] = static_cast<uint8_t>(*group);
    text = rest;
    if (text.empty()) break;
    if (text[0] != ':' || text.size() == 1) return false;
    text.remove_prefix(1);
    if (text[0] != ':') continue;
    if (gap) return false;
    gap = at;
    text.remove_prefix(1);
  }
  if (gap ? at == got.size() : at != got.size()) return false;  // "::" is at least one group
  const size_t head = gap.value_or(at), tail = at - head;
  std::copy_n(got.begin(), head, out);
  std::fill(out + head, out + 16 - tail, 0);
  std::copy_n(got.begin() + static_cast<ptrdiff_t>(head), tail, out + 16 - tail);
  return true;
}

char* print_v4(const uint8_t* b, char* to) {
  for (size_t i = 0; i < 4; ++i) {
    if (i > 0) *to++ = '.';
    to = std::to_chars(to, to + 3, b[i]).ptr;
  }
  return to;
}

// RFC 5952: the longest run of zero groups, the first of equals, is left out when it is two or
// more.
char* print_v6(const std::array<uint8_t, 16>& b, char* to) {
  std::array<unsigned, kGroups> group{};
  for (size_t i = 0; i < kGroups; ++i) group[i] = b[2 * i] * 256U + b[2 * i + 1];
  size_t from = kGroups, length = 1;
  for (size_t i = 0; i < kGroups; ++i) {
    size_t n = 0;
    while (i + n < kGroups && group[i + n] == 0) ++n;
    if (n > length) {
      from = i;
      length = n;
    }
  }
  for (size_t i = 0; i < kGroups; ++i) {
    if (i == from) {
      *to++ = ':';
      *to++ = ':';
      i += length - 1;
      continue;
    }
    if (i > 0 && to[-1] != ':') *to++ = ':';
    to = std::to_chars(to, to + 4, group[i], 16).ptr;
  }
  return to;
}

bool all_zero(std::span<const uint8_t> b) {
  return std::all_of(b.begin(), b.end(), [](uint8_t x) { return x == 0; });
}

}  // namespace

std::optional<IpAddress> IpAddress::from_bytes(std::span<const uint8_t> raw) {
  if (raw.size() != 4 && raw.size() != 16) return std::nullopt;
  IpAddress a;
  a.v6_ = raw.size() == 16;
  std::copy(raw.begin(), raw.end(), a.bytes_.begin());
  return a;
}

std::optional<IpAddress::Sloppy> IpAddress::parse_sloppy(std::string_view text) {
  Sloppy out;
  out.address.v6_ = text.find(':') != text.npos;
  uint8_t* bytes = out.address.bytes_.data();
  const bool ok = out.address.v6_ ? read_v6(text, bytes, &out.leading_zeros)
                                  : read_v4(text, bytes, &out.leading_zeros);
  if (!ok) return std::nullopt;
  return out;
}

std::optional<IpAddress> IpAddress::parse_mapped(std::string_view text) {
  auto read = parse_sloppy(text);
  if (!read || read->leading_zeros) return std::nullopt;
  return read->address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  auto ip = parse_mapped(text);
  return ip ? std::optional(ip->unmapped()) : std::nullopt;
}

uint32_t IpAddress::v4_value() const {
  return uint32_t{bytes_[0]} << 24 | uint32_t{bytes_[1]} << 16 | uint32_t{bytes_[2]} << 8 |
         bytes_[3];
}

bool IpAddress::is_v4_mapped() const {
  return v6_ && std::equal(kMapped.begin(), kMapped.end(), bytes_.begin());
}

IpAddress IpAddress::unmapped() const {
  if (!is_v4_mapped()) return *this;
  IpAddress out;
  std::copy_n(bytes_.begin() + kMapped.size(), 4, out.bytes_.begin());
  return out;
}

std::string_view IpAddress::print(char* to) const {
  char* end = to;
  if (!v6_) {
    end = print_v4(bytes_.data(), end);
  } else if (is_v4_mapped()) {
    constexpr std::string_view kHead = "::ffff:";
    end = print_v4(bytes_.data() + kMapped.size(), std::copy(kHead.begin(), kHead.end(), end));
  } else {
    end = print_v6(bytes_, end);
  }
  return {to, static_cast<size_t>(end - to)};
}

std::string IpAddress::text() const {
  char out[kMaxText];
  return std::string(print(out));
}

void IpAddress::append_to(std::string& out) const {
  char text[kMaxText];
  out.append(print(text));
}

bool IpAddress::is_unspecified() const { return all_zero(bytes_); }

bool IpAddress::is_loopback() const {
  return v6_ ? all_zero(bytes().first(15)) && bytes_[15] == 1 : bytes_[0] == 127;
}

bool IpAddress::is_link_local() const {
  return v6_ ? bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80
             : bytes_[0] == 169 && bytes_[1] == 254;
}

bool IpAddress::is_link_local_multicast() const {
  return v6_ ? bytes_[0] == 0xff && (bytes_[1] & 15) == 2
             : bytes_[0] == 224 && bytes_[1] == 0 && bytes_[2] == 0;
}

bool IpAddress::is_global_unicast() const {
  if (is_loopback() || is_link_local()) return false;
  // ::/96 holds the unspecified address, loopback and IPv4 in its old disguise.
  if (v6_) return bytes_[0] != 0xff && !all_zero(bytes().first(12));
  return bytes_[0] != 0 && !(bytes_[0] >= 224 && bytes_[0] < 240) && v4_value() != 0xffffffffU;
}

IpAddress IpAddress::plus(uint64_t n) const {
  IpAddress out = *this;
  unsigned carry = 0;
  for (size_t i = bytes().size(); i-- > 0 && (n > 0 || carry > 0); n >>= 8) {
    carry += out.bytes_[i] + static_cast<unsigned>(n & 255);
    out.bytes_[i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  return out;
}

std::optional<IpPrefix::Sloppy> IpPrefix::parse_sloppy(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  auto address = IpAddress::parse_sloppy(text.substr(0, slash));
  if (!address) return std::nullopt;
  Sloppy out{{address->address}, address->leading_zeros};
  std::string_view digits = text.substr(slash + 1);
  auto length = take_number(digits, 10, out.prefix.whole(), &out.leading_zeros);
  if (!length || !digits.empty()) return std::nullopt;
  out.prefix.length = static_cast<uint8_t>(*length);
  return out;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  auto read = parse_sloppy(text);
  if (!read || read->leading_zeros) return std::nullopt;
  return read->prefix;
}

std::optional<IpPrefix> IpPrefix::parse_or_address(std::string_view text) {
  if (text.find('/') != text.npos) return parse(text);
  auto address = IpAddress::parse(text);
  if (!address) return std::nullopt;
  return of(*address);
}

IpPrefix IpPrefix::of(const IpAddress& address) {
  return {address, static_cast<uint8_t>(address.v6() ? 128 : 32)};
}

IpPrefix IpPrefix::network() const {
  std::array<uint8_t, 16> cut{};
  const auto bytes = base.bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int keep = std::clamp(static_cast<int>(length) - 8 * static_cast<int>(i), 0, 8);
    cut[i] = bytes[i] & static_cast<uint8_t>(0xff00 >> keep);
  }
  return {*IpAddress::from_bytes(std::span(cut).first(bytes.size())), length};
}

std::optional<IpAddress> IpPrefix::nth(uint64_t n) const {
  const unsigned host = whole() - length;
  if (host < 64 && n >> host != 0) return std::nullopt;
  return network().base.plus(n);
}

bool IpPrefix::contains(const IpAddress& a) const {
  return a.v6() == v6() && IpPrefix{a, length}.network().base == network().base;
}

IpPrefix IpPrefix::unmapped() const {
  if (!base.is_v4_mapped() || length < 96) return *this;
  return {base.unmapped(), static_cast<uint8_t>(length - 96)};
}

std::string_view IpPrefix::print(char* to) const {
  char* end = to + base.print(to).size();
  *end++ = '/';
  end = std::to_chars(end, end + 3, length).ptr;
  return {to, static_cast<size_t>(end - to)};
}

std::string IpPrefix::text() const {
  char out[kMaxText];
  return std::string(print(out));
}

}  // namespace keles
