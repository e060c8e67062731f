#include "net/address.h"

#include <algorithm>
#include <charconv>

#include "base/sync.h"
#include "net/look_up.h"

namespace keles::net {

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

Task<Result<std::vector<IpAddress>>> resolve(Context ctx, std::string host) {
  std::vector<IpAddress> out;
  if (auto ip = IpAddress::parse(host)) {
    out.push_back(*ip);
    co_return out;
  }
  if (!is_name(host)) co_return Status::unavailable("lookup " + host + ": no such host");
  auto work = [host] { return look_up(host); };
  LookUp found = co_await run_blocking(&ctx.loop(), work);
  out = std::move(found.ips);
  if (out.empty()) co_return Status::unavailable("lookup " + host + ": " + found.error);
  co_return out;
}

}  // namespace

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
