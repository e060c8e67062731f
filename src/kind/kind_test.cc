#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "client/kubeconfig.h"
#include "kind/cluster_config.h"
#include "kind/cluster_network.h"
#include "kind/layout.h"
#include "kind/node_spec.h"
#include "machinery/codec_yaml.h"

namespace keles::kind {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kHeader[] = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n";

TEST(ClusterConfig, DefaultIsOneControlPlane) {
  auto c = parse_cluster_config("");
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(c->name, "kind");
  EXPECT_THAT(node_names(*c), ElementsAre("kind-control-plane"));
}

TEST(ClusterConfig, NamesNodesControlPlaneFirst) {
  auto c = parse_cluster_config(std::string(kHeader) +
                                "name: my-cluster\nnodes:\n- role: worker\n- role: control-plane\n"
                                "- role: worker\n  labels: {tier: gold}\n"
                                "  extraMounts: [{hostPath: /tmp, containerPath: /data, readOnly: "
                                "true}]\nnetworking: {podSubnet: 10.9.0.0/16}\n");
  ASSERT_TRUE(c.ok()) << c.status().message();
  EXPECT_THAT(node_names(*c),
              ElementsAre("my-cluster-control-plane", "my-cluster-worker", "my-cluster-worker2"));
  EXPECT_EQ(c->nodes[2].labels[0].second, "gold");
  EXPECT_TRUE(c->nodes[2].mounts[0].read_only);
  EXPECT_EQ(c->pod_subnet, "10.9.0.0/16");
}

TEST(ClusterConfig, RefusesByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"nodez: []\n", "\"nodez\": unknown field"},
      {"nodes: [{role: worker}]\n", "at least one control-plane"},
      {"nodes: [{role: boss}]\n", "\"boss\" is not a valid node role"},
      {"nodes: [{rolle: worker}]\n", "\"nodes[0].rolle\": unknown field"},
      {"networking: {podSubnet: 10.0.0.0}\n", "networking.podSubnet"},
      {"networking: {apiServerPort: x}\n", "networking.apiServerPort"},
      {"kubeadmConfigPatches: []\n", "not supported"},
      {"nodes: [{extraPortMappings: [{containerPort: 80}]}]\n", "hostPort\": is required"},
  };
  for (const auto& [yaml, message] : cases)
    EXPECT_THAT(parse_cluster_config(kHeader + std::string(yaml)).status().message(),
                HasSubstr(message))
        << yaml;
  EXPECT_THAT(parse_cluster_config("kind: Pod\n").status().message(), HasSubstr("unknown kind"));
  EXPECT_FALSE(check_cluster_name("My_Cluster").ok());
  EXPECT_FALSE(check_cluster_name("../x").ok());
  EXPECT_TRUE(check_cluster_name("my-cluster.1").ok());
}

TEST(NodeSpecTest, SurvivesTheFile) {
  NodeSpec s;
  s.cluster = "c";
  s.name = "c-worker";
  s.role = "worker";
  s.number = 3;
  s.address = "172.18.0.3/16";
  s.rootfs = "/a dir/with\\odd name";
  s.images = {"/x/pause.tar"};
  s.mounts = {{"/h", "/c", true}};
  s.ports = {{"127.0.0.1", 8080, 80}};
  s.services = {{"kubelet", {"keles", "kubelet", "--node-labels=a=b c"}}};
  auto back = parse_node_spec(format_node_spec(s));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(format_node_spec(*back), format_node_spec(s));
  EXPECT_EQ(back->rootfs, s.rootfs);
  EXPECT_EQ(back->services[0].argv[2], "--node-labels=a=b c");
  EXPECT_EQ(back->plain_address(), "172.18.0.3");
}

TEST(ChooseSubnet, SkipsWhatTheHostUses) {
  NetAddress address{1, *IpPrefix::parse("172.18.4.1/24")};
  NetRoute route;
  route.destination = *IpPrefix::parse("172.19.0.0/16");
  NetRoute everything;  // a default route takes nothing away
  auto subnet = choose_subnet({address}, {route, everything}, {*IpPrefix::parse("172.20.0.0/15")});
  ASSERT_TRUE(subnet.ok());
  EXPECT_EQ(subnet->to_string(), "172.22.0.0/16");
  NetRoute all;
  all.destination = *IpPrefix::parse("0.0.0.0/1");
  NetRoute rest;
  rest.destination = *IpPrefix::parse("128.0.0.0/1");
  EXPECT_TRUE(choose_subnet({}, {all, rest}, {}).status().is(Reason::kUnavailable));
}

TEST(Layout, LinkNamesFitTheKernel) {
  std::string cluster(50, 'x');
  EXPECT_LE(bridge_name(cluster).size(), 15u);
  EXPECT_LE(veth_name(cluster, 1000).size(), 15u);
  EXPECT_NE(bridge_name("a"), bridge_name("b"));
}

}  // namespace
}  // namespace keles::kind
