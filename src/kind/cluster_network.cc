#include "kind/cluster_network.h"

#include <algorithm>

#include "base/file.h"
#include "kind/layout.h"

namespace keles::kind {

Result<IpPrefix> choose_subnet(const std::vector<NetAddress>& addresses,
                               const std::vector<NetRoute>& routes,
                               const std::vector<IpPrefix>& reserved) {
  std::vector<std::string> candidates;
  for (int i = 18; i < 32; ++i) candidates.push_back("172." + std::to_string(i) + ".0.0/16");
  for (int i = 240; i < 255; ++i) candidates.push_back("192.168." + std::to_string(i) + ".0/24");
  for (int i = 200; i < 220; ++i) candidates.push_back("10." + std::to_string(i) + ".0.0/16");
  for (const std::string& text : candidates) {
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
  return Status::unavailable(
      "no free subnet for the cluster's nodes: all of 172.18-31.0.0/16, "
      "192.168.240-254.0/24 and 10.200-219.0.0/16 are in use");
}

Result<IpPrefix> ensure_bridge(const std::string& cluster, const std::vector<IpPrefix>& reserved) {
  TRY_ASSIGN(netlink, Netlink::open());
  std::string name = bridge_name(cluster), record = cluster_directory(cluster) + "/subnet";
  TRY_ASSIGN(addresses, netlink.addresses());
  auto found = netlink.link(name);
  if (found.ok())
    for (const NetAddress& a : addresses)
      if (a.link_index == found->index && !a.prefix.v6()) return a.prefix.network();
  TRY_ASSIGN(routes, netlink.routes());
  auto kept = IpPrefix::parse(read_file(record).value_or(""));
  auto subnet = kept ? *kept : choose_subnet(addresses, routes, reserved);
  TRY(subnet);
  if (!found.ok()) TRY(netlink.add_bridge(name));
  TRY_ASSIGN(bridge, netlink.link(name));
  TRY(netlink.add_address(bridge.index, {*subnet->nth(1), subnet->length}));
  TRY(netlink.set_link_up(bridge.index));
  TRY(write_file(record, subnet->text()));
  return *subnet;
}

Status remove_cluster_links(const std::string& cluster) {
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(links, netlink.links());
  for (const NetLink& l : links)
    if (l.name.starts_with(veth_prefix(cluster))) TRY(netlink.delete_link(l.name));
  return netlink.delete_link(bridge_name(cluster));
}

}  // namespace keles::kind
