// What each node of a cluster is to be, before anything of it exists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kind/cluster.h"
#include "kind/layout.h"

namespace keles::kind {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const IpPrefix kSubnet = *IpPrefix::parse("172.18.0.0/16");

std::vector<NodeSpec> plan(const std::string& rest) {
  auto config =
      parse_cluster_config("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: c\n" + rest);
  EXPECT_TRUE(config.ok()) << config.status().message();
  return plan_nodes(*config, {kSubnet, IpPrefix::parse("fd00:6b6c:0:1::/64")});
}

const std::vector<std::string>& argv(const NodeSpec& node, const std::string& service) {
  for (const Service& s : node.services) {
    if (s.name == service) return s.argv;
  }
  static const std::vector<std::string> kNone;
  return kNone;
}

std::vector<std::string> service_names(const NodeSpec& node) {
  std::vector<std::string> out;
  for (const Service& s : node.services) out.push_back(s.name);
  return out;
}

TEST(PlanNodes, EachHasItsPlaceAndItsPrograms) {
  auto nodes = plan("nodes: [{role: control-plane}, {role: worker}, {role: worker}]\n");
  ASSERT_EQ(nodes.size(), 3u);
  struct Row {
    const char *name, *role, *address;
    int number;
  };
  const Row rows[] = {{"c-control-plane", "control-plane", "172.18.0.2/16", 2},
                      {"c-worker", "worker", "172.18.0.3/16", 3},
                      {"c-worker2", "worker", "172.18.0.4/16", 4}};
  for (size_t i = 0; i < nodes.size(); ++i) {
    SCOPED_TRACE(rows[i].name);
    EXPECT_EQ(nodes[i].cluster, "c");
    EXPECT_EQ(nodes[i].name, rows[i].name);
    EXPECT_EQ(nodes[i].role, rows[i].role);
    EXPECT_EQ(nodes[i].address, rows[i].address);
    EXPECT_EQ(nodes[i].gateway, "172.18.0.1");
    EXPECT_EQ(nodes[i].number, rows[i].number);
    EXPECT_EQ(nodes[i].rootfs, node_rootfs("c", rows[i].name));
    EXPECT_EQ(nodes[i].images.size(), 1u) << "the pause image";
    EXPECT_THAT(argv(nodes[i], "kubelet"),
                Contains("--hostname-override=" + std::string(rows[i].name)));
    EXPECT_THAT(argv(nodes[i], "kubelet"), Contains("--node-ip=" + nodes[i].plain_address()));
    EXPECT_THAT(argv(nodes[i], "kubelet"), Contains("--cluster-dns=10.96.0.10"));
  }
  // The runtime is there before the kubelet asks for it.
  EXPECT_THAT(service_names(nodes[0]), ElementsAre("containerd", "server", "csi-local", "kubelet"));
  EXPECT_THAT(service_names(nodes[1]), ElementsAre("containerd", "csi-local", "kubelet"));
  EXPECT_THAT(argv(nodes[0], "server"), Contains("--advertise-address=172.18.0.2"));
  EXPECT_THAT(argv(nodes[0], "server"), Contains("--cluster-cidr=10.244.0.0/16"));
  EXPECT_THAT(argv(nodes[0], "server"), Contains("--local-load-balancers"));
}

TEST(PlanNodes, AddressesOfTheClustersFamilies) {
  auto node = plan("networking: {ipFamily: dual}\n").at(0);
  EXPECT_EQ(node.address, "172.18.0.2/16");
  EXPECT_EQ(node.second_address, "fd00:6b6c:0:1::2/64");
  EXPECT_EQ(node.second_gateway, "fd00:6b6c:0:1::1");
  EXPECT_THAT(argv(node, "kubelet"), Contains("--node-ip=172.18.0.2,fd00:6b6c:0:1::2"));
  EXPECT_THAT(argv(node, "kubelet"), Contains("--cluster-dns=10.96.0.10"));
  EXPECT_THAT(argv(node, "server"), Contains("--bind-address=::"));
  EXPECT_THAT(argv(node, "server"),
              Contains("--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112"));
  node = plan("networking: {ipFamily: ipv6}\n").at(0);
  EXPECT_EQ(node.address, "fd00:6b6c:0:1::2/64");
  EXPECT_EQ(node.gateway, "fd00:6b6c:0:1::1");
  EXPECT_EQ(node.second_address, "172.18.0.2/16");
  EXPECT_THAT(argv(node, "kubelet"), Contains("--node-ip=fd00:6b6c:0:1::2"));
  EXPECT_THAT(argv(node, "kubelet"), Contains("--cluster-dns=fd00:10:96::a"));
  auto again = parse_node_spec(format_node_spec(node));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->second_address, node.second_address);
  EXPECT_EQ(again->second_gateway, node.second_gateway);
}

TEST(PlanNodes, AControlPlaneAmongOthersIsKeptFree) {
  const std::string taint =
      "--register-with-taints=node-role.kubernetes.io/control-plane=:NoSchedule";
  struct Row {
    const char* what;
    std::string config;
    bool tainted;
  };
  const std::string own_taints =
      "nodes: [{role: control-plane, kubeadmConfigPatches: ['{kind: InitConfiguration, "
      "nodeRegistration: {taints: []}}']}, {role: worker}]\n";
  const Row rows[] = {
      {"alone it takes pods", "nodes: [{role: control-plane}]\n", false},
      {"beside workers it does not", "nodes: [{role: control-plane}, {role: worker}]\n", true},
      {"unless the configuration says its taints itself", own_taints, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    auto nodes = plan(row.config);
    if (row.tainted) {
      EXPECT_THAT(argv(nodes[0], "kubelet"), Contains(taint));
    } else {
      EXPECT_THAT(argv(nodes[0], "kubelet"), Not(Contains(HasSubstr("register-with-taints"))));
    }
    for (size_t i = 1; i < nodes.size(); ++i) {
      EXPECT_THAT(argv(nodes[i], "kubelet"), Not(Contains(HasSubstr("register-with-taints"))));
    }
  }
}

TEST(PlanNodes, LabelsThatAKubeletMaySetAreItsOwn) {
  auto nodes = plan(
      "nodes: [{role: control-plane, labels: {tier: gold, node-role.kubernetes.io/extra: ''}}]\n");
  std::string labels;
  for (const std::string& a : argv(nodes[0], "kubelet")) {
    if (a.starts_with("--node-labels=")) labels = a;
  }
  EXPECT_THAT(labels, HasSubstr("tier=gold"));
  EXPECT_THAT(labels, Not(HasSubstr("node-role"))) << "the administrator gives it";
}

TEST(PlanNodes, PortsLeadToTheControlPlaneAndWhereTheyAreAskedFor) {
  struct Row {
    const char* what;
    std::string networking, listen;
    int port;  // 0: none
  };
  const Row rows[] = {
      {"nothing asked", "", "", 0},
      {"a port", "networking: {apiServerPort: 7443}\n", "127.0.0.1", 7443},
      {"a port and an address", "networking: {apiServerPort: 7443, apiServerAddress: 0.0.0.0}\n",
       "0.0.0.0", 7443},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    auto nodes = plan(
        "nodes: [{role: control-plane}, {role: worker, extraPortMappings: "
        "[{hostPort: 8080, containerPort: 80}]}]\n" +
        row.networking);
    if (row.port == 0) {
      EXPECT_THAT(nodes[0].ports, IsEmpty());
    } else {
      ASSERT_EQ(nodes[0].ports.size(), 1u);
      EXPECT_EQ(nodes[0].ports[0].listen_address, row.listen);
      EXPECT_EQ(nodes[0].ports[0].host_port, row.port);
      EXPECT_EQ(nodes[0].ports[0].container_port, 6443);
    }
    ASSERT_EQ(nodes[1].ports.size(), 1u);
    EXPECT_EQ(nodes[1].ports[0].host_port, 8080);
    EXPECT_EQ(nodes[1].ports[0].container_port, 80);
  }
}

TEST(PlanNodes, RangesAndTheNetworkAreAsConfigured) {
  auto nodes = plan(
      "networking: {podSubnet: 10.9.0.0/16, serviceSubnet: 10.8.0.0/16, disableDefaultCNI: "
      "true}\n");
  EXPECT_THAT(argv(nodes[0], "server"), Contains("--service-cluster-ip-range=10.8.0.0/16"));
  EXPECT_THAT(argv(nodes[0], "server"), Contains("--cluster-cidr=10.9.0.0/16"));
  EXPECT_THAT(argv(nodes[0], "kubelet"), Contains("--cluster-dns=10.8.0.10"));
  EXPECT_THAT(argv(nodes[0], "kubelet"), Contains("--pod-network=none"));
}

}  // namespace
}  // namespace keles::kind
