#include "node/network/overlay.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>

#include "base/socket_address.h"

namespace keles {
namespace {

const std::vector<NodeRange> kNodes{
    node_range("a", {"10.244.0.0/24", "fd00:10:244::/64"}, {"172.18.0.2", "fc00::2"}),
    node_range("b", {"10.244.1.0/24", "fd00:10:244:1::/64"}, {"172.18.0.3", "fc00::3"}),
    node_range("c", {"10.244.2.0/24", "fd00:10:244:2::/64"}, {"192.0.2.4", "2001:db8::4"}),
    node_range("d", {"fd00:10:244:3::/64"}, {"2001:db8::5"})};

const std::vector<NetAddress> kLinks{{2, *IpPrefix::parse("172.18.0.2/16")},
                                     {2, *IpPrefix::parse("fc00::2/64")},
                                     {3, *IpPrefix::parse("10.244.0.1/24")},
                                     {4, *IpPrefix::parse("192.0.2.4/32")}};

std::string text(const Overlay& o) {
  std::string out;
  for (const TunnelRoute& r : o.routes) {
    out += (out.empty() ? "" : ", ") + r.range.text() + " at " + r.host.text();
  }
  return out;
}

TEST(Overlay, LeadsToNodesOfOtherLinks) {
  const Overlay o = plan_overlay(kNodes, "a", kLinks, false);
  // "d" has no address of the tunnel's family; an address of one host says nothing of a link.
  EXPECT_EQ(text(o), "10.244.2.0/24 at 192.0.2.4, fd00:10:244:2::/64 at 192.0.2.4");
  ASSERT_TRUE(o.link);
  EXPECT_EQ(o.link->local.text(), "172.18.0.2");
  ASSERT_EQ(o.own.size(), 2u);
  EXPECT_EQ(o.own[0].text(), "10.244.0.0/32");
  EXPECT_EQ(o.own[1].text(), "fd00:10:244::/128");
}

TEST(Overlay, IsNotMadeForNobody) {
  const std::vector<NodeRange> near{kNodes[0], kNodes[1]};
  EXPECT_FALSE(plan_overlay(near, "a", kLinks, false).link);
  EXPECT_EQ(text(plan_overlay(near, "a", kLinks, true)),
            "10.244.1.0/24 at 172.18.0.3, fd00:10:244:1::/64 at 172.18.0.3");
  EXPECT_FALSE(plan_overlay(near, "stranger", kLinks, true).link);
}

TEST(Overlay, BothSidesKnowTheMac) {
  EXPECT_EQ(plan_overlay(kNodes, "a", kLinks, true).link->mac,
            plan_overlay(kNodes, "b", kLinks, true).routes[0].mac);
  EXPECT_EQ(overlay_mac(*IpAddress::parse("10.0.0.1")), (NetMac{0x0a, 0x58, 10, 0, 0, 1}));
  EXPECT_NE(overlay_mac(*IpAddress::parse("fc00::1")), overlay_mac(*IpAddress::parse("fc00::2")));
}

// In a network namespace of the test's own.
TEST(Overlay, TheKernelTakesIt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  std::thread([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    auto n = Netlink::open();
    ASSERT_TRUE(n.ok());
    ASSERT_TRUE(n->add_bridge("br-test").ok());
    const int bridge = n->link("br-test")->index;
    ASSERT_TRUE(n->add_address(bridge, *IpPrefix::parse("172.18.0.2/16")).ok());
    ASSERT_TRUE(n->set_link_up(bridge).ok());
    const Overlay overlay = plan_overlay(kNodes, "a", *n->addresses(), false);
    for (int i = 0; i < 2; ++i) {  // again changes nothing
      auto routes = apply_overlay(overlay, &*n);
      if (!routes.ok() && routes.status().message().find("not supported") != std::string::npos)
        GTEST_SKIP() << "this kernel has no vxlan";
      ASSERT_TRUE(routes.ok()) << routes.status().message();
      for (const NetRoute& r : *routes) {
        Status s = n->replace_route(r);
        ASSERT_TRUE(s.ok()) << s.message();
      }
      EXPECT_TRUE(diff_routes(*n->routes(), *routes).set.empty());
    }
    EXPECT_EQ(n->link(kOverlayLink)->kind, "vxlan");
    EXPECT_TRUE(n->link(kOverlayLink)->up);
    EXPECT_EQ(n->link(kOverlayLink)->vxlan, overlay.link);
    // What is not as it should be is made anew: the node has another address, or it is another's.
    const int before = n->link(kOverlayLink)->index;
    ASSERT_TRUE(apply_overlay(overlay, &*n).ok());
    EXPECT_EQ(n->link(kOverlayLink)->index, before);
    Overlay moved = overlay;
    moved.link->local = *IpAddress::parse("192.0.2.77");
    moved.link->mac = overlay_mac(moved.link->local);
    ASSERT_TRUE(apply_overlay(moved, &*n).ok());
    EXPECT_EQ(n->link(kOverlayLink)->vxlan, moved.link);
    ASSERT_TRUE(n->delete_link(kOverlayLink).ok());
    ASSERT_TRUE(n->add_bridge(kOverlayLink).ok());
    ASSERT_TRUE(apply_overlay(overlay, &*n).ok());
    EXPECT_EQ(n->link(kOverlayLink)->vxlan, overlay.link);
    EXPECT_TRUE(apply_overlay(Overlay(), &*n).ok());
    EXPECT_FALSE(n->link(kOverlayLink).ok());
  }).join();
}

// Two hosts: a datagram from one's tunnel address arrives at the other's, as from it.
const std::vector<NodeRange> kPair{node_range("p", {"10.244.0.0/24"}, {"192.0.2.1"}),
                                   node_range("q", {"10.244.1.0/24"}, {"192.0.2.2"})};

void set_up(Netlink& n, const char* link, size_t which) {
  const int index = n.link(link)->index;
  ASSERT_TRUE(n.add_address(index, {kPair[which].internal_ips[0], 24}).ok());
  ASSERT_TRUE(n.set_link_up(index).ok());
  auto routes = apply_overlay(plan_overlay(kPair, kPair[which].name, *n.addresses(), true), &n);
  ASSERT_TRUE(routes.ok()) << routes.status().message();
  for (const NetRoute& r : *routes) ASSERT_TRUE(n.replace_route(r).ok());
}

int socket_at(const IpAddress& ip) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const SocketAddress at(ip, 5000);
  timeval patience{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  EXPECT_EQ(bind(fd, at.get(), at.size), 0);
  return fd;
}

TEST(Overlay, CarriesWhatIsSent) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  std::promise<int> there;  // the other host's thread
  std::promise<void> linked, listens;
  std::string got;
  std::thread other([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    auto n = Netlink::open();
    ASSERT_TRUE(n.ok());
    there.set_value(static_cast<int>(syscall(SYS_gettid)));
    linked.get_future().wait();
    set_up(*n, "vq", 1);
    const int fd = socket_at(kPair[1].pod_cidrs[0].base);
    listens.set_value();
    char buffer[16]{};
    sockaddr_in from{};
    socklen_t size = sizeof from;
    if (recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size) > 0)
      got = std::string(buffer) + " from " + IpAddress::v4(ntohl(from.sin_addr.s_addr)).text();
    close(fd);
  });
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    auto n = Netlink::open();
    ASSERT_TRUE(n.ok());
    ASSERT_TRUE(n->add_veth("vp", "vq", there.get_future().get()).ok());
    set_up(*n, "vp", 0);
    linked.set_value();
    listens.get_future().wait();
    const int fd = socket_at(kPair[0].pod_cidrs[0].base);
    const SocketAddress to(kPair[1].pod_cidrs[0].base, 5000);
    EXPECT_EQ(sendto(fd, "hello", 5, 0, to.get(), to.size), 5);
    other.join();
    close(fd);
  }).join();
  EXPECT_EQ(got, "hello from 10.244.0.0");
}

}  // namespace
}  // namespace keles
