#include "keles/host_address.h"

#include <algorithm>

namespace keles {
namespace {

std::string address_of(const HostNetwork& host, const NetLink& link) {
  if (!link.up) return "";
  for (const NetAddress& a : host.addresses) {
    const IpAddress& ip = a.prefix.base;
    if (a.link_index == link.index && !ip.v6() && ip.is_global_unicast()) return ip.text();
  }
  return "";
}

std::string address_of(const HostNetwork& host, bool (*wanted)(const NetLink&, int), int index) {
  for (const NetLink& link : host.links) {
    if (!wanted(link, index)) continue;
    if (std::string a = address_of(host, link); !a.empty()) return a;
  }
  return "";
}

}  // namespace

Result<HostNetwork> read_host_network() {
  TRY_ASSIGN(netlink, Netlink::open());
  HostNetwork host;
  TRY_ASSIGN(links, netlink.links());
  TRY_ASSIGN(addresses, netlink.addresses());
  TRY_ASSIGN(routes, netlink.routes());
  host.links = std::move(links);
  host.addresses = std::move(addresses);
  host.routes = std::move(routes);
  return host;
}

std::string default_route_address(const HostNetwork& host) {
  std::vector<NetRoute> ways;
  for (const NetRoute& r : host.routes) {
    if (r.destination.length == 0 && !r.destination.v6()) ways.push_back(r);
  }
  std::stable_sort(ways.begin(), ways.end(),
                   [](const NetRoute& a, const NetRoute& b) { return a.metric < b.metric; });
  for (const NetRoute& way : ways) {
    auto its_own = [](const NetLink& l, int index) { return l.index == index; };
    auto loopback = [](const NetLink& l, int) { return l.name == "lo"; };
    if (std::string a = address_of(host, its_own, way.link_index); !a.empty()) return a;
    if (std::string a = address_of(host, loopback, 0); !a.empty()) return a;
  }
  return "";
}

}  // namespace keles
