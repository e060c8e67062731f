#include "cel/address_words.h"

#include "base/encoding.h"
#include "base/ip.h"

namespace keles::cel {
namespace {

std::string words(std::string_view text, std::string_view why, std::string_view at = {}) {
  std::string out = "ParseAddr(" + quoted(text) + "): " + std::string(why);
  if (!at.empty()) out += " (at " + quoted(at) + ")";
  return out;
}

std::string v4_words(std::string_view text, std::string_view s) {
  int value = 0, fields = 0;
  size_t digits = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (c >= '0' && c <= '9') {
      if (digits == 1 && value == 0) return words(text, "IPv4 field has octet with leading zero");
      value = value * 10 + (c - '0');
      ++digits;
      if (value > 255) return words(text, "IPv4 field has value >255");
    } else if (c == '.') {
      if (i == 0 || i + 1 == s.size() || s[i - 1] == '.') {
        return words(text, "IPv4 field must have at least one digit", s.substr(i));
      }
      if (fields == 3) return words(text, "IPv4 address too long");
      ++fields;
      value = 0;
      digits = 0;
    } else {
      return words(text, "unexpected character", s.substr(i));
    }
  }
  return words(text, "IPv4 address too short");
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::string v6_words(std::string_view text) {
  std::string_view s = text;
  if (const size_t zone = s.find('%'); zone != s.npos) {
    if (zone + 1 == s.size()) return words(text, "zone must be a non-empty string");
    s = s.substr(0, zone);
  }
  bool ellipsis = false;
  if (s.starts_with("::")) {
    ellipsis = true;
    s.remove_prefix(2);
    if (s.empty()) return words(text, "unable to parse IP");
  }
  int bytes = 0;
  while (bytes < 16) {
    size_t digits = 0;
    unsigned value = 0;
    for (; digits < s.size() && is_hex(s[digits]); ++digits) {
      if (digits > 3) return words(text, "each group must have 4 or less digits", s);
      value = value * 16 + static_cast<unsigned>(s[digits]);
    }
    if (digits == 0)
      return words(text, "each colon-separated field must have at least one digit", s);
    if (digits < s.size() && s[digits] == '.') {
      if (!ellipsis && bytes != 12) {
        return words(text, "embedded IPv4 address must replace the final 2 fields of the address",
                     s);
      }
      if (bytes + 4 > 16) {
        return words(text, "too many hex fields to fit an embedded IPv4 at the end of the address",
                     s);
      }
      return v4_words(text, s);
    }
    bytes += 2;
    s.remove_prefix(digits);
    if (s.empty()) break;
    if (s[0] != ':') return words(text, "unexpected character, want colon", s);
    if (s.size() == 1) return words(text, "colon must be followed by more characters", s);
    s.remove_prefix(1);
    if (s[0] == ':') {
      if (ellipsis) return words(text, "multiple :: in address", s);
      ellipsis = true;
      s.remove_prefix(1);
      if (s.empty()) break;
    }
  }
  if (!s.empty()) return words(text, "trailing garbage after address", s);
  if (bytes < 16 && !ellipsis) return words(text, "address string too short");
  return words(text, "the :: must expand to at least one field of zeros");
}

}  // namespace

std::string why_no_address(std::string_view text) {
  for (const char c : text) {
    if (c == '.') return v4_words(text, text);
    if (c == ':') return v6_words(text);
    if (c == '%') return words(text, "missing IPv6 address");
  }
  return words(text, "unable to parse IP");
}

std::string why_no_prefix(std::string_view text) {
  const std::string start = "netip.ParsePrefix(" + quoted(text) + "): ";
  const size_t slash = text.rfind('/');
  if (slash == text.npos) return start + "no '/'";
  const std::string_view address = text.substr(0, slash), length = text.substr(slash + 1);
  const auto ip = IpAddress::parse_mapped(address);
  if (const size_t zone = address.find('%'); zone != address.npos) {
    const auto plain = IpAddress::parse_mapped(address.substr(0, zone));
    if (plain && plain->v6()) return start + "IPv6 zones cannot be present in a prefix";
  }
  if (!ip) return start + why_no_address(address);
  const bool digits = !length.empty() && length.find_first_not_of("0123456789") == length.npos;
  if (!digits || (length.size() > 1 && length[0] == '0')) {
    return start + "bad bits after slash: " + quoted(length);
  }
  return start + "prefix length out of range";
}

}  // namespace keles::cel
