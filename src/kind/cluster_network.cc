#include "kind/cluster_network.h"

#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "kind/layout.h"

namespace keles::kind {
namespace {

std::vector<std::string> candidates_v4() {
  std::vector<std::string> out;
  for (int i = 18; i < 32; ++i) out.push_back("172." + std::to_string(i) + ".0.0/16");
  for (int i = 240; i < 255; ++i) out.push_back("192.168." + std::to_string(i) + ".0/24");
  for (int i = 200; i < 220; ++i) out.push_back("10." + std::to_string(i) + ".0.0/16");
  return out;
}

// Of the unique local ones (RFC 4193).
std::vector<std::string> candidates_v6() {
  std::vector<std::string> out;
  for (int i = 1; i < 256; ++i) {
    char text[32];
    std::snprintf(text, sizeof text, "fd00:6b6c:0:%x::/64", i);
    out.emplace_back(text);
  }
  return out;
}

std::string subnet_record(const std::string& cluster, bool v6) {
  return cluster_directory(cluster) + (v6 ? "/subnet6" : "/subnet");
}

// The bridge's subnet of that family: what it has, had, or the first that is free.
Result<IpPrefix> ensure_subnet(Netlink& netlink, int bridge, const std::string& cluster,
                               const std::vector<IpPrefix>& reserved, bool v6) {
  TRY_ASSIGN(addresses, netlink.addresses());
  for (const NetAddress& a : addresses) {
    const bool of_the_link = a.prefix.base.is_link_local();
    if (a.link_index == bridge && a.prefix.v6() == v6 && !of_the_link) return a.prefix.network();
  }
  TRY_ASSIGN(routes, netlink.routes());
  const std::string record = subnet_record(cluster, v6);
  auto kept = IpPrefix::parse(read_file(record).value_or(""));
  auto subnet = kept ? *kept : choose_subnet(addresses, routes, reserved, v6);
  TRY(subnet);
  TRY(netlink.add_address(bridge, {*subnet->nth(1), subnet->length}));
  TRY(write_file(record, subnet->text()));
  return *subnet;
}

}  // namespace

Result<IpPrefix> choose_subnet(const std::vector<NetAddress>& addresses,
                               const std::vector<NetRoute>& routes,
                               const std::vector<IpPrefix>& reserved, bool v6) {
  for (const std::string& text : v6 ? candidates_v6() : candidates_v4()) {
    const IpPrefix subnet = *IpPrefix::parse(text);
    auto clashes = [&](const IpPrefix& other) { return subnet.overlaps(other); };
    bool taken = std::any_of(addresses.begin(), addresses.end(),
                             [&](const NetAddress& a) { return clashes(a.prefix.network()); }) ||
                 std::any_of(routes.begin(), routes.end(),
                             [&](const NetRoute& r) {
                               return r.destination.length != 0 && clashes(r.destination);
                             }) ||
                 std::any_of(reserved.begin(), reserved.end(), clashes);
    if (!taken) return subnet;
  }
  return Status::unavailable(std::string("no free subnet for the cluster's nodes: all of ") +
                             (v6 ? "fd00:6b6c:0:1-ff::/64"
                                 : "172.18-31.0.0/16, 192.168.240-254.0/24 and 10.200-219.0.0/16") +
                             " are in use");
}

Result<NodeSubnets> ensure_bridge(const std::string& cluster, const std::vector<IpPrefix>& reserved,
                                  bool v6) {
  TRY_ASSIGN(netlink, Netlink::open());
  const std::string name = bridge_name(cluster);
  if (!netlink.link(name).ok()) TRY(netlink.add_bridge(name));
  TRY_ASSIGN(bridge, netlink.link(name));
  NodeSubnets out;
  TRY_ASSIGN(v4, ensure_subnet(netlink, bridge.index, cluster, reserved, false));
  out.v4 = v4;
  if (v6 || path_exists(subnet_record(cluster, true))) {
    if (!path_exists("/proc/sys/net/ipv6"))
      return Status::bad_request("networking.ipFamily: this kernel has no IPv6");
    // As the host may have it.
    (void)write_in_place("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6", "0");
    TRY_ASSIGN(second, ensure_subnet(netlink, bridge.index, cluster, reserved, true));
    out.v6 = second;
  }
  TRY(netlink.set_link_up(bridge.index));
  return out;
}

Status remove_cluster_links(const std::string& cluster) {
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(links, netlink.links());
  for (const NetLink& l : links)
    if (l.name.starts_with(veth_prefix(cluster))) TRY(netlink.delete_link(l.name));
  return netlink.delete_link(bridge_name(cluster));
}

}  // namespace keles::kind
