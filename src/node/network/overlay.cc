#include "node/network/overlay.h"

#include <algorithm>

#include "base/log.h"

namespace keles {
namespace {

const IpAddress* of_family(const std::vector<IpAddress>& all, bool v6) {
  auto found =
      std::find_if(all.begin(), all.end(), [v6](const IpAddress& a) { return a.v6() == v6; });
  return found == all.end() ? nullptr : &*found;
}

bool shares_link(const IpAddress& host, const std::vector<NetAddress>& links) {
  return std::any_of(links.begin(), links.end(), [&](const NetAddress& a) {
    const bool range = a.prefix.v6() == host.v6() && a.prefix.length < a.prefix.whole();
    return range && a.prefix.network().contains(host);
  });
}

}  // namespace

NetMac overlay_mac(const IpAddress& host) {
  NetMac out{0x0a, 0x58};
  const auto bytes = host.bytes();
  if (!host.v6()) {
    std::copy(bytes.begin(), bytes.end(), out.begin() + 2);
    return out;
  }
  uint32_t hash = 2166136261u;  // FNV-1a
  for (uint8_t b : bytes) hash = (hash ^ b) * 16777619u;
  for (size_t i = 0; i < 4; ++i) out[2 + i] = static_cast<uint8_t>(hash >> (24 - 8 * i));
  return out;
}

Overlay plan_overlay(const std::vector<NodeRange>& nodes, const std::string& self,
                     const std::vector<NetAddress>& links, bool all) {
  Overlay out;
  auto own =
      std::find_if(nodes.begin(), nodes.end(), [&](const NodeRange& n) { return n.name == self; });
  if (own == nodes.end() || own->internal_ips.empty()) return out;
  const IpAddress local = own->internal_ips.front();
  for (const NodeRange& n : nodes) {
    const IpAddress* host = of_family(n.internal_ips, local.v6());
    if (n.name == self || !host) continue;
    for (const IpPrefix& range : n.pod_cidrs) {
      const IpAddress* direct = of_family(n.internal_ips, range.v6());
      if (!all && direct && shares_link(*direct, links)) continue;
      out.routes.push_back({range, range.base, *host, overlay_mac(*host)});
    }
  }
  if (out.routes.empty()) return out;
  NetVxlan link;
  link.name = kOverlayLink;
  link.id = kOverlayId;
  link.local = local;
  link.mac = overlay_mac(local);
  out.link = link;
  for (const IpPrefix& range : own->pod_cidrs) out.own.push_back(IpPrefix::of(range.base));
  return out;
}

Result<std::vector<NetRoute>> apply_overlay(const Overlay& overlay, Netlink* netlink) {
  std::vector<NetRoute> out;
  if (!overlay.link) {
    TRY(netlink->delete_link(kOverlayLink));
    return out;
  }
  auto link = netlink->link(kOverlayLink);
  // An earlier agent may have made it for another address, or somebody else for something else.
  if (link.ok() && link->vxlan != overlay.link) {
    log::info("The tunnel's link is made anew: it is not as it should be",
              {{"link", kOverlayLink}, {"kind", link->kind}});
    TRY(netlink->delete_link(kOverlayLink));
    link = Status(Reason::kNotFound, "deleted");
  }
  if (!link.ok()) {
    TRY(netlink->add_vxlan(*overlay.link));
    log::info("Made the tunnel to nodes of other links",
              {{"link", kOverlayLink}, {"from", overlay.link->local.text()}});
    link = netlink->link(kOverlayLink);
    TRY(link);
  }
  for (const IpPrefix& own : overlay.own) TRY(netlink->add_address(link->index, own));
  if (!link->up) TRY(netlink->set_link_up(link->index));
  for (const TunnelRoute& r : overlay.routes) {
    TRY(netlink->set_neighbor(link->index, r.gateway, r.mac));
    TRY(netlink->set_tunnel_end(link->index, r.mac, r.host));
    NetRoute route;
    route.destination = r.range;
    route.gateway = r.gateway;
    route.link_index = link->index;
    route.protocol = kRouteProtocol;
    route.on_link = true;
    out.push_back(std::move(route));
  }
  return out;
}

}  // namespace keles
