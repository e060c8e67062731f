#include "net/host/netlink.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "net/host/nftables.h"

namespace keles {
namespace {

// Runs `body` in a network namespace of its own; false when this process may not make one.
bool in_own_network(const std::function<void(Netlink&)>& body) {
  bool made = false;
  std::thread([&] {
    made = unshare(CLONE_NEWNET) == 0;
    if (!made) return;
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink.ok()) << netlink.status().message();
    body(*netlink);
  }).join();
  return made;
}

TEST(NetlinkTest, LinksManyEnoughForSeveralReads) {
  const bool ran = in_own_network([](Netlink& n) {
    constexpr int kPairs = 120;
    for (int i = 0; i < kPairs; ++i) {
      const std::string number = std::to_string(i);
      ASSERT_TRUE(n.add_veth("v" + number, "p" + number, 0).ok()) << i;
    }
    auto links = n.links();
    ASSERT_TRUE(links.ok());
    EXPECT_EQ(links->size(), 2 * kPairs + 1U);  // and lo
    auto last = n.link("p119");
    ASSERT_TRUE(last.ok());
    EXPECT_EQ(last->kind, "veth");
    EXPECT_FALSE(last->up);
    ASSERT_TRUE(n.set_link_up(last->index).ok());
    EXPECT_EQ(last->mtu, 1500);
    EXPECT_TRUE(n.link("p119")->up);
  });
  if (!ran) GTEST_SKIP() << "needs the right to make a network namespace";
}

TEST(NetlinkTest, AddressesAndRoutesOfBothFamilies) {
  const bool ran = in_own_network([](Netlink& n) {
    ASSERT_TRUE(n.add_bridge("br0").ok());
    const int index = n.link("br0")->index;
    ASSERT_TRUE(n.set_link_up(index).ok());
    for (const char* text : {"172.30.0.1/16", "fd00:1::1/64"}) {
      ASSERT_TRUE(n.add_address(index, *IpPrefix::parse(text)).ok()) << text;
      EXPECT_TRUE(n.add_address(index, *IpPrefix::parse(text)).ok()) << text;  // is there
      auto addresses = n.addresses();
      ASSERT_TRUE(addresses.ok());
      EXPECT_TRUE(std::any_of(addresses->begin(), addresses->end(), [&](const NetAddress& a) {
        return a.link_index == index && a.prefix.text() == text;
      })) << text;
    }
    std::vector<NetRoute> wanted(3);
    wanted[0].destination = *IpPrefix::parse("10.244.9.0/24");
    wanted[0].gateway = IpAddress::parse("172.30.0.7");
    wanted[0].protocol = 57;
    wanted[1].destination = *IpPrefix::parse("fd00:9::/64");
    wanted[1].gateway = IpAddress::parse("fd00:1::7");
    wanted[2].destination = *IpPrefix::parse("10.245.0.0/16");  // on link
    wanted[2].link_index = index;
    for (const NetRoute& w : wanted) {
      Status made = n.replace_route(w);
      ASSERT_TRUE(made.ok()) << made.message();
      auto has = [&] {
        auto all = n.routes();
        return all.ok() && std::any_of(all->begin(), all->end(), [&](const NetRoute& r) {
                 return r.destination == w.destination && r.gateway == w.gateway &&
                        r.protocol == w.protocol && r.link_index == index;
               });
      };
      EXPECT_TRUE(has()) << w.destination.text();
      EXPECT_TRUE(n.delete_route(w).ok());
      EXPECT_TRUE(n.delete_route(w).ok());  // is gone
      EXPECT_FALSE(has()) << w.destination.text();
    }
  });
  if (!ran) GTEST_SKIP() << "needs the right to make a network namespace";
}

TEST(NetlinkTest, SaysWhatIsWrong) {
  const bool ran = in_own_network([](Netlink& n) {
    ASSERT_TRUE(n.add_bridge("br0").ok());
    Status again = n.add_bridge("br0");
    EXPECT_TRUE(again.is(Reason::kAlreadyExists));
    EXPECT_EQ(again.message(), "add bridge br0: File exists");
    EXPECT_TRUE(n.set_link_up(4711).is(Reason::kNotFound));
    EXPECT_TRUE(n.link("none").status().is(Reason::kNotFound));
    EXPECT_TRUE(n.delete_link("none").ok());
    EXPECT_FALSE(n.add_bridge("a-name-longer-than-the-kernel-takes").ok());
    EXPECT_TRUE(n.add_bridge(std::string(5000, 'x')).is(Reason::kBadRequest));
    NetRoute nowhere;
    nowhere.destination = *IpPrefix::parse("10.9.0.0/16");
    nowhere.gateway = IpAddress::parse("192.0.2.1");
    EXPECT_FALSE(n.replace_route(nowhere).ok());
    Netlink moved = std::move(n);
    EXPECT_TRUE(moved.links().ok());
  });
  if (!ran) GTEST_SKIP() << "needs the right to make a network namespace";
}

TEST(Nftables, AllOrNothing) {
  const bool ran = in_own_network([](Netlink&) {
    const std::string table =
        nftables_without_table("t") + "table ip t {\n set s { type ipv4_addr; }\n";
    EXPECT_TRUE(apply_nftables(table + "}\n").ok());
    EXPECT_TRUE(apply_nftables(table + "}\n").ok());  // instead of the first
    Status bad = apply_nftables("delete table ip t\nadd rule ip none none accept\n");
    EXPECT_FALSE(bad.ok());
    EXPECT_NE(bad.message().find("No such file or directory"), std::string::npos) << bad.message();
    EXPECT_TRUE(apply_nftables("delete table ip t\n").ok());  // was left
  });
  if (!ran) GTEST_SKIP() << "needs the right to make a network namespace";
}

}  // namespace
}  // namespace keles
