#include "keles/host_address.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

NetLink link(int index, std::string name, bool up = true) {
  NetLink l;
  l.index = index;
  l.name = std::move(name);
  l.up = up;
  return l;
}
NetAddress address(int link, const char* prefix) { return {link, *IpPrefix::parse(prefix)}; }
NetRoute route(int link, const char* to, uint32_t metric = 0) {
  NetRoute r;
  r.destination = *IpPrefix::parse(to);
  r.link_index = link;
  r.metric = metric;
  return r;
}

TEST(HostAddress, IsThatOfTheDefaultRoute) {
  struct Case {
    std::string what;
    HostNetwork host;
    std::string address;
  };
  const std::vector<NetLink> links{link(1, "lo"), link(2, "eth0"), link(3, "eth1"),
                                   link(4, "eth2", false)};
  const std::vector<NetAddress> usual{address(1, "127.0.0.1/8"), address(2, "10.0.0.5/24"),
                                      address(3, "192.0.2.7/24"), address(4, "198.51.100.1/24")};
  std::vector<NetAddress> bare{address(1, "127.0.0.1/8"), address(1, "203.0.113.9/32"),
                               address(2, "169.254.3.4/16"), address(2, "fd00::1/64")};
  const Case cases[] = {
      {"one route", {links, usual, {route(2, "10.0.0.0/24"), route(3, "0.0.0.0/0")}}, "192.0.2.7"},
      {"the better of two",
       {links, usual, {route(3, "0.0.0.0/0", 200), route(2, "0.0.0.0/0", 100)}},
       "10.0.0.5"},
      {"its link is down",
       {links, usual, {route(4, "0.0.0.0/0"), route(3, "0.0.0.0/0", 5)}},
       "192.0.2.7"},
      {"a link without an address of its own",
       {links, bare, {route(2, "0.0.0.0/0")}},
       "203.0.113.9"},
      {"no default route", {links, usual, {route(2, "10.0.0.0/24")}}, ""},
      {"only IPv6 leads out", {links, usual, {route(2, "::/0")}}, ""},
      {"a gateway on a link of loopback addresses alone",
       {links, {address(2, "127.0.0.2/8")}, {route(2, "0.0.0.0/0")}},
       ""},
  };
  for (const Case& c : cases) EXPECT_EQ(default_route_address(c.host), c.address) << c.what;
}

}  // namespace
}  // namespace keles
