// What nodes are given of the cluster's ranges.
#include "controllers/node_ipam.h"

#include <gtest/gtest.h>

#include "controllers/cluster_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Event;
using api::core_v1::Node;

TEST(NodeRanges, AreReadFromFlags) {
  struct Row {
    std::string cidr;
    NodeMaskSizes sizes;
    std::string outcome;  // "range/bits ...", or the error
  } rows[] = {
      {"10.244.0.0/16", {}, "10.244.0.0/16:24 "},
      {"10.244.0.0/16", {26, 0, 0}, "10.244.0.0/16:26 "},
      {"10.244.0.0/16", {0, 25, 0}, "10.244.0.0/16:25 "},
      {"fd00::/48", {}, "fd00::/48:64 "},
      {"10.244.0.0/16,fd00::/56", {}, "10.244.0.0/16:24 fd00::/56:64 "},
      {"fd00::/56,10.244.0.0/16", {0, 26, 72}, "fd00::/56:72 10.244.0.0/16:26 "},
      {"", {}, ""},
      {"10.244.0.0/16,fd00::/56",
       {24, 0, 0},
       "usage of --node-cidr-mask-size is not allowed with dual-stack clusters"},
      {"10.244.0.0/16",
       {24, 25, 0},
       "usage of --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6 is not allowed if "
       "--node-cidr-mask-size is set. For dual-stack clusters please unset it and use IPFamily "
       "specific flags"},
      {"fd00::/56",
       {0, 24, 0},
       "usage of --node-cidr-mask-size-ipv4 is not allowed for a single-stack IPv6 cluster"},
      {"10.0.0.0/16,10.1.0.0/16", {}, "len of clusters is:2 > 1 and not dual stack"},
      {"10.0.0.0/28",
       {},
       "New CIDR set failed; the node CIDR size is too small: /24 of 10.0.0.0/28"},
      {"fd00::/40", {}, "New CIDR set failed; the node CIDR size is too big: /64 of fd00::/40"},
      {"pods", {}, "parse cidrs \"pods\" failed, error: invalid CIDR address: pods"},
  };
  for (const Row& r : rows) {
    auto ranges = read_node_ranges(r.cidr, r.sizes);
    std::string outcome = ranges.status().message();
    if (ranges.ok()) {
      outcome.clear();
      for (const NodeRange& n : *ranges)
        outcome += n.cluster.text() + ":" + std::to_string(n.node_bits) + " ";
    }
    EXPECT_EQ(outcome, r.outcome) << r.cidr;
  }
}

struct IpamCluster : TestCluster {
  explicit IpamCluster(std::string cidr) : TestCluster({"nodeipam"}) {
    options.cluster_cidr = std::move(cidr);
  }
  void node(const std::string& name, const std::string& ranges = "") {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: " + name + "}, spec: {" +
                    (ranges.empty() ? ""
                                    : "podCIDR: '" + ranges.substr(0, ranges.find(',')) +
                                          "', podCIDRs: [" + ranges + "]") +
                    "}}");
    loop.advance(1s);
  }
  std::string ranges(const std::string& name) {
    std::string out;
    for (auto r : client.now<Node>("", name)->spec().pod_cidrs()) out += std::string(r) + " ";
    return out;
  }
};

TEST(NodeIpam, GivesOneOfEachFamily) {
  IpamCluster c("10.244.0.0/16,fd00:10:244::/56");
  // What nodes had before it was started is theirs.
  c.node("old", "10.244.0.0/24,fd00:10:244:1::/64");
  c.start();
  c.node("a");
  c.node("b");
  EXPECT_EQ(c.ranges("a"), "10.244.1.0/24 fd00:10:244::/64 ");
  EXPECT_EQ(c.ranges("b"), "10.244.2.0/24 fd00:10:244:2::/64 ");
  EXPECT_EQ(c.client.now<Node>("", "b")->spec().pod_cidr(), "10.244.2.0/24");
  c.client.drop(kind_of<Node>(), "", "old");
  c.node("next");
  EXPECT_EQ(c.ranges("next"), "10.244.0.0/24 fd00:10:244:1::/64 ");
}

TEST(NodeIpam, GivesNothingWhenOneFamilyHasNone) {
  IpamCluster c("10.244.0.0/16,fd00:10:244::/63");
  c.start();
  for (const char* name : {"a", "b", "c"}) c.node(name);
  EXPECT_EQ(c.ranges("c"), "");
  auto events = c.client.all<Event>();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0]->reason(), "CIDRNotAvailable");
  EXPECT_EQ(events[0]->message(), "Node c status is now: CIDRNotAvailable");
  c.client.drop(kind_of<Node>(), "", "a");
  c.loop.advance(20min);
  EXPECT_EQ(c.ranges("c"), "10.244.0.0/24 fd00:10:244::/64 ");
}

TEST(NodeIpam, LeavesTheServicesTheirs) {
  IpamCluster c("10.96.0.0/14");
  c.options.service_cidr = "10.96.0.0/16";
  c.start();
  c.node("a");
  EXPECT_EQ(c.ranges("a"), "10.97.0.0/24 ");
}

}  // namespace
}  // namespace keles::controllers
