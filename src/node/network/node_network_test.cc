#include "node/network/node_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <thread>

namespace keles {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string text(const NetRoute& r) {
  return r.destination.text() + " via " + (r.gateway ? r.gateway->text() : "");
}

std::vector<std::string> texts(const std::vector<NetRoute>& routes) {
  std::vector<std::string> out;
  for (const NetRoute& r : routes) out.push_back(text(r));
  return out;
}

const std::vector<NodeRange> kNodes{node_range("a", {"10.244.0.0/24"}, {"172.18.0.2"}),
                                    node_range("b", {"10.244.1.0/24"}, {"172.18.0.3"}),
                                    node_range("c", {}, {"172.18.0.4"}),
                                    node_range("d", {"10.244.3.0/24"}, {})};

TEST(PlanRoutes, ToEveryOtherNodeThatHasRangeAndAddress) {
  EXPECT_THAT(texts(plan_routes(kNodes, "a")), ElementsAre("10.244.1.0/24 via 172.18.0.3"));
  EXPECT_THAT(texts(plan_routes(kNodes, "b")), ElementsAre("10.244.0.0/24 via 172.18.0.2"));
}

TEST(Masquerade, LeavesPodsAndNodesAlone) {
  std::string rules = masquerade_rules(kNodes, "a");
  EXPECT_THAT(rules, testing::HasSubstr("elements = { 10.244.0.0/24, 172.18.0.2/32, 10.244.1.0/24, "
                                        "172.18.0.3/32, 172.18.0.4/32, 10.244.3.0/24 }"));
  EXPECT_THAT(rules, testing::HasSubstr("ip saddr 10.244.0.0/24 ip daddr != @inside"));
  EXPECT_EQ(masquerade_rules(kNodes, "c"), "");  // no range yet
  // Rules are made of addresses only.
  std::vector<NodeRange> odd{
      node_range("a", {"10.244.0.0/24"}, {"1.2.3.4 } }; flush ruleset; table ip x {"})};
  EXPECT_THAT(masquerade_rules(odd, "a"), testing::Not(testing::HasSubstr("flush")));
}

TEST(PlanRoutes, OfBothFamilies) {
  const std::vector<NodeRange> nodes{
      node_range("a", {"10.244.0.0/24", "fd00:10:244::/64"}, {"172.18.0.2", "fc00:f853::2"}),
      node_range("b", {"fd00:10:244:1::/64", "10.244.1.0/24", "10.9.0.0/24"},
                 {"172.18.0.3", "fc00:f853::3"}),
      node_range("c", {"fd00:10:244:2::/64"}, {"172.18.0.4"})};
  EXPECT_THAT(texts(plan_routes(nodes, "a")),
              ElementsAre("fd00:10:244:1::/64 via fc00:f853::3", "10.244.1.0/24 via 172.18.0.3"));
  const std::string rules = masquerade_rules(nodes, "a");
  EXPECT_THAT(rules, testing::HasSubstr("ip saddr 10.244.0.0/24 ip daddr != @inside"));
  EXPECT_THAT(rules, testing::HasSubstr("ip6 saddr fd00:10:244::/64 ip6 daddr != @inside"));
  EXPECT_THAT(masquerade_rules(nodes, "c"), testing::Not(testing::HasSubstr("table ip ")));
}

TEST(DiffRoutes, SetsMissingRemovesOnlyOurs) {
  auto wanted = plan_routes(kNodes, "c");
  EXPECT_THAT(texts(diff_routes({}, wanted).set), testing::SizeIs(2));
  EXPECT_THAT(diff_routes(wanted, wanted).set, IsEmpty());
  EXPECT_THAT(diff_routes(wanted, wanted).remove, IsEmpty());
  NetRoute foreign = wanted[0];
  foreign.protocol = 4;
  EXPECT_THAT(diff_routes({foreign}, {}).remove, IsEmpty());
  EXPECT_THAT(texts(diff_routes(wanted, {wanted[1]}).remove),
              ElementsAre("10.244.0.0/24 via 172.18.0.2"));
}

TEST(DiffRoutes, ChangedGatewayIsReplacedNotRemoved) {
  auto before = plan_routes(kNodes, "a"), now = before;
  now[0].gateway = IpAddress::parse("172.18.0.9");
  EXPECT_THAT(texts(diff_routes(before, now).set), ElementsAre("10.244.1.0/24 via 172.18.0.9"));
  EXPECT_THAT(diff_routes(before, now).remove, IsEmpty());
}

TEST(CniConfig, HoldsTheRange) {
  auto one = node_range("a", {"10.244.7.0/24"}, {});
  EXPECT_THAT(cni_config(one.pod_cidrs),
              testing::HasSubstr("\"ranges\": [[{\"subnet\": \"10.244.7.0/24\"}]]"));
  auto both = node_range("a", {"10.244.7.0/24", "fd00:10:244:7::/64"}, {});
  EXPECT_THAT(cni_config(both.pod_cidrs),
              testing::HasSubstr("[{\"subnet\": \"10.244.7.0/24\"}], [{\"subnet\": "
                                 "\"fd00:10:244:7::/64\"}]"));
}

// Links, addresses and routes in a network namespace of the test's own.
TEST(NetlinkTest, MakesAndRemovesWhatItIsTold) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to make a network namespace";
  std::thread([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    auto n = Netlink::open();
    ASSERT_TRUE(n.ok());
    ASSERT_TRUE(n->add_bridge("br-test").ok());
    EXPECT_TRUE(n->add_bridge("br-test").is(Reason::kAlreadyExists));
    ASSERT_TRUE(n->add_veth("v-test", "v-peer", 0).ok());
    auto bridge = n->link("br-test"), veth = n->link("v-test");
    ASSERT_TRUE(bridge.ok() && veth.ok());
    EXPECT_EQ(bridge->kind, "bridge");
    EXPECT_TRUE(n->set_link_master(veth->index, bridge->index).ok());
    EXPECT_TRUE(n->add_address(bridge->index, *IpPrefix::parse("172.30.0.1/16")).ok());
    EXPECT_TRUE(n->add_address(bridge->index, *IpPrefix::parse("172.30.0.1/16")).ok());
    EXPECT_TRUE(n->set_link_up(bridge->index).ok());
    auto wanted = plan_routes({node_range("x", {"10.244.9.0/24"}, {"172.30.0.7"})}, "self");
    ASSERT_TRUE(n->replace_route(wanted[0]).ok());
    auto routes = n->routes();
    ASSERT_TRUE(routes.ok());
    EXPECT_THAT(diff_routes(*routes, wanted).set, IsEmpty());
    auto gone = diff_routes(*routes, {}).remove;
    ASSERT_THAT(texts(gone), ElementsAre("10.244.9.0/24 via 172.30.0.7"));
    EXPECT_TRUE(n->delete_route(gone[0]).ok());
    EXPECT_TRUE(n->delete_route(gone[0]).ok());
    EXPECT_TRUE(n->delete_link("v-test").ok());
    EXPECT_TRUE(n->delete_link("v-test").ok());
    EXPECT_TRUE(n->link("v-peer").status().is(Reason::kNotFound));
  }).join();
}

}  // namespace
}  // namespace keles
