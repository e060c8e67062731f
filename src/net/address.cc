#include "net/address.h"

#include <arpa/inet.h>
#include <string.h>

#include <algorithm>
#include <charconv>

#include "base/sync.h"
#include "net/look_up.h"

namespace keles::net {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  IpAddress out;
  std::string copy(text);
  if (copy.size() != strlen(copy.c_str())) return std::nullopt;
  if (inet_pton(AF_INET, copy.c_str(), out.bytes_.data()) == 1) return out;
  if (inet_pton(AF_INET6, copy.c_str(), out.bytes_.data()) != 1) return std::nullopt;
  out.v6_ = true;
  static constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), out.bytes_.begin())) {
    IpAddress v4;
    std::copy(out.bytes_.begin() + 12, out.bytes_.end(), v4.bytes_.begin());
    return v4;
  }
  return out;
}

std::string IpAddress::text() const {
  char out[INET6_ADDRSTRLEN] = {};
  inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), out, sizeof out);
  return out;
}

bool IpAddress::is_global_unicast() const {
  const auto& b = bytes_;
  if (!v6_) {
    if (b[0] == 0 || b[0] == 127) return false;    // this network, loopback
    if (b[0] == 169 && b[1] == 254) return false;  // link-local
    if (b[0] >= 224 && b[0] < 240) return false;   // multicast
    return b[0] != 255 || b[1] != 255 || b[2] != 255 || b[3] != 255;
  }
  // ::/96 holds the unspecified address, loopback and IPv4 in its old disguise.
  if (std::all_of(b.begin(), b.begin() + 12, [](uint8_t x) { return x == 0; })) return false;
  if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) return false;  // link-local
  return b[0] != 0xff;                                      // multicast
}

namespace {

// A DNS name (RFC 1123): what may be handed to the system's resolver, which would also take
// "127.1" and "0x7f000001" for addresses.
bool is_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.empty() || !((last[0] >= 'a' && last[0] <= 'z') || (last[0] >= 'A' && last[0] <= 'Z')))
    return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  });
}

}  // namespace

Task<Result<std::vector<IpAddress>>> resolve(Context ctx, std::string host) {
  std::vector<IpAddress> out;
  if (auto ip = IpAddress::parse(host)) {
    out.push_back(*ip);
    co_return out;
  }
  if (!is_name(host)) co_return Status::unavailable("lookup " + host + ": no such host");
  auto work = [host] { return look_up(host); };
  LookUp found = co_await run_blocking(&ctx.loop(), work);
  for (const std::string& text : found.ips)
    if (auto ip = IpAddress::parse(text)) out.push_back(*ip);
  if (out.empty()) co_return Status::unavailable("lookup " + host + ": " + found.error);
  co_return out;
}

bool may_relay_to(const IpAddress& ip) { return ip.is_global_unicast(); }

Task<Result<std::vector<IpAddress>>> relay_addresses(Context ctx, std::string host,
                                                     bool (*allowed)(const IpAddress&)) {
  auto found = co_await resolve(ctx, host);
  if (!found.ok()) co_return found.status();
  for (const IpAddress& ip : *found) {
    if (!allowed(ip)) co_return Status::bad_request("address not allowed");
  }
  co_return std::move(*found);
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint32_t n = 0;
  auto [end, e] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (e != std::errc() || end != text.data() + text.size() || n == 0 || n > 65535) {
    return std::nullopt;
  }
  return static_cast<uint16_t>(n);
}

}  // namespace keles::net
