#include "server/registry/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace keles::registry {
namespace {

struct Address {
  std::array<uint8_t, 16> bytes{};  // IPv4 as ::ffff:a.b.c.d
  bool v6_text = false;             // as it was written
  bool zeros = false;               // had leading zeros
  bool mapped() const { return std::equal(kMapped.begin(), kMapped.end(), bytes.begin()); }
  static constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
};

// IPv4 with leading zeros is read as decimal, as it always was.
std::string without_zeros(std::string_view s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    const bool first = out.empty() || out.back() == '.';
    const bool more = i + 1 < s.size() && s[i + 1] >= '0' && s[i + 1] <= '9';
    if (!(first && s[i] == '0' && more)) out += s[i];
  }
  return out;
}

std::optional<Address> parse(std::string_view s) {
  if (s.empty() || s.size() > 64 || s.find('\0') != s.npos) return std::nullopt;
  Address out;
  std::string text(s);
  if (s.find(':') != s.npos) {
    out.v6_text = true;
    if (inet_pton(AF_INET6, text.c_str(), out.bytes.data()) != 1) return std::nullopt;
    return out;
  }
  text = without_zeros(s);
  out.zeros = text.size() != s.size();
  std::copy(Address::kMapped.begin(), Address::kMapped.end(), out.bytes.begin());
  if (inet_pton(AF_INET, text.c_str(), out.bytes.data() + 12) != 1) return std::nullopt;
  return out;
}

struct Range {
  Address address;
  int length = 0;  // of the 128 bits
  bool zeros = false;

  bool has_host_bits() const {
    for (int i = length; i < 128; ++i) {
      if (bit(address, i)) return true;
    }
    return false;
  }
  bool contains(const Address& o) const {
    for (int i = 0; i < length; ++i) {
      if (bit(address, i) != bit(o, i)) return false;
    }
    return true;
  }
  static bool bit(const Address& a, int i) {
    return a.bytes[static_cast<size_t>(i / 8)] >> (7 - i % 8) & 1;
  }
};

std::optional<Range> parse_range(std::string_view s) {
  const size_t slash = s.find('/');
  if (slash == s.npos) return std::nullopt;
  std::optional<Address> address = parse(s.substr(0, slash));
  std::string_view digits = s.substr(slash + 1);
  if (!address || digits.empty() || digits.size() > 4) return std::nullopt;
  int length = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    length = length * 10 + (c - '0');
  }
  const int most = address->v6_text ? 128 : 32;
  if (length > most) return std::nullopt;
  Range out{*address, length + 128 - most, address->zeros};
  out.zeros |= digits.size() > 1 && digits[0] == '0';
  return out;
}

}  // namespace

bool validate_ip(FieldErrors& e, const FieldPath& p, std::string_view ip,
                 const Existing& existing) {
  if (existing.contains(ip)) return true;
  std::optional<Address> a = parse(ip);
  if (!a) {
    field::invalid(e, p, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
  } else if (a->zeros) {
    field::invalid(e, p, ip, "must not have leading 0s");
  } else if (a->v6_text && a->mapped()) {
    field::invalid(e, p, ip, "must not be an IPv4-mapped IPv6 address");
  } else {
    return true;
  }
  return false;
}

bool validate_cidr(FieldErrors& e, const FieldPath& p, std::string_view cidr,
                   const Existing& existing) {
  if (existing.contains(cidr)) return true;
  std::optional<Range> r = parse_range(cidr);
  if (!r) {
    field::invalid(e, p, cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  } else if (r->zeros) {
    field::invalid(e, p, cidr, "must not have leading 0s in IP or prefix length");
  } else if (r->address.v6_text && r->address.mapped()) {
    field::invalid(e, p, cidr, "must not have an IPv4-mapped IPv6 address");
  } else if (r->has_host_bits()) {
    field::invalid(e, p, cidr, "must not have bits set beyond the prefix length");
  } else {
    return true;
  }
  return false;
}

void validate_endpoint_ip(FieldErrors& e, const FieldPath& p, std::string_view ip) {
  std::optional<Address> a = parse(ip);
  if (!a) {
    field::invalid(e, p, ip, "must be a valid IP address");
    return;
  }
  const auto& b = a->bytes;
  const bool v4 = a->mapped();
  const bool high_zero = std::all_of(b.begin(), b.begin() + 15, [](uint8_t x) { return x == 0; });
  const bool v4_zero = v4 && b[12] == 0 && b[13] == 0 && b[14] == 0 && b[15] == 0;
  if (v4_zero || (high_zero && b[15] == 0)) {
    field::invalid(e, p, ip, "may not be unspecified (" + std::string(ip) + ")");
  }
  if ((v4 && b[12] == 127) || (high_zero && b[15] == 1)) {
    field::invalid(e, p, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  }
  if ((v4 && b[12] == 169 && b[13] == 254) || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)) {
    field::invalid(e, p, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  }
  if ((v4 && b[12] == 224 && b[13] == 0 && b[14] == 0) || (b[0] == 0xff && (b[1] & 15) == 2)) {
    field::invalid(e, p, ip,
                   "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}

bool is_strict_subset(std::string_view inner, std::string_view outer) {
  std::optional<Range> in = parse_range(inner), out = parse_range(outer);
  return in && out && in->address.v6_text == out->address.v6_text && out->length < in->length &&
         out->contains(in->address);
}

void validate_balancer_ingress(FieldErrors& e, const FieldPath& p, const Value& ingress,
                               const Value& before, bool has_mode) {
  Existing existing;
  for (const Value& i : before.items()) {
    if (!i["ip"].as_string().empty()) existing.insert(i["ip"].as_string());
  }
  size_t n = 0;
  for (const Value& i : ingress.items()) {
    const FieldPath at = p[n++];
    const std::string_view ip = i["ip"].as_string(), hostname = i["hostname"].as_string();
    const std::string_view mode = i["ipMode"].as_string();
    if (!ip.empty()) validate_ip(e, at["ip"], ip, existing);
    if (has_mode) {
      if (i["ipMode"].is_null()) {
        if (!ip.empty()) field::required(e, at["ipMode"], "must be specified when `ip` is set");
      } else if (ip.empty()) {
        field::forbidden(e, at["ipMode"], "may not be specified when `ip` is not set");
      } else if (mode != "VIP" && mode != "Proxy") {
        field::not_supported(e, at["ipMode"], mode, {"Proxy", "VIP"});
      }
    }
    if (hostname.empty()) continue;
    field::invalid_each(e, at["hostname"], hostname, check_dns1123_subdomain(hostname));
    if (parse(hostname)) {
      field::invalid(e, at["hostname"], hostname, "must be a DNS name, not an IP address");
    }
  }
}

}  // namespace keles::registry
