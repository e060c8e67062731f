// What each node of a cluster is to be, before anything of it exists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "kind/cluster.h"
#include "kind/cluster_pki.h"
#include "kind/control_planes.h"
#include "kind/layout.h"
#include "net/pki.h"

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

TEST(PlanNodes, APoolOfLoadBalancersIsKnownToAll) {
  struct Row {
    const char *family, *asked, *pool;
  };
  for (const Row& r : {Row{"ipv4", "auto", "172.18.255.200-172.18.255.250"},
                       Row{"ipv6", "auto", "fd00:6b6c:0:1::ffc8-fd00:6b6c:0:1::fffa"},
                       Row{"dual", "auto",
                           "172.18.255.200-172.18.255.250,"
                           "fd00:6b6c:0:1::ffc8-fd00:6b6c:0:1::fffa"},
                       Row{"ipv4", "172.18.9.0/24", "172.18.9.0/24"}}) {
    auto config = parse_cluster_config(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: c\nnodes: [{role: "
        "control-plane}, {role: worker}]\nnetworking: {ipFamily: " +
        std::string(r.family) + "}\n");
    ASSERT_TRUE(config.ok()) << config.status().message();
    config->load_balancer_pool = r.asked;
    auto nodes = plan_nodes(*config, {kSubnet, IpPrefix::parse("fd00:6b6c:0:1::/64")});
    const std::string flag = "--load-balancer-pool=" + std::string(r.pool);
    EXPECT_THAT(argv(nodes[0], "server"), Contains(flag));
    EXPECT_THAT(argv(nodes[0], "server"), Not(Contains("--local-load-balancers")));
    for (const auto& n : nodes) EXPECT_THAT(argv(n, "kubelet"), Contains(flag));
  }
}

TEST(PlanNodes, SeveralControlPlanesHaveABalancerAndOneStore) {
  auto nodes = plan(
      "nodes: [{role: worker}, {role: control-plane}, {role: control-plane}]\n"
      "networking: {apiServerPort: 7443}\n");
  ASSERT_EQ(nodes.size(), 4u);
  const NodeSpec& balancer = nodes[3];
  EXPECT_EQ(balancer.name, "c-external-load-balancer");
  EXPECT_EQ(balancer.role, kLoadBalancerRole);
  EXPECT_EQ(balancer.address, "172.18.0.5/16");
  EXPECT_EQ(balancer.number, 5);
  EXPECT_EQ(&front_of(nodes), &balancer);
  EXPECT_THAT(service_names(balancer), ElementsAre("etcd", "balancer"));
  EXPECT_THAT(balancer.images, IsEmpty());
  EXPECT_THAT(argv(balancer, "etcd"), Contains("--listen-client-urls=https://172.18.0.5:2379"));
  EXPECT_THAT(argv(balancer, "etcd"), Contains("--client-cert-auth"));
  EXPECT_THAT(argv(balancer, "balancer"),
              Contains("--server=https://172.18.0.2:6443,https://172.18.0.3:6443"));
  for (size_t i : {0, 1}) {
    EXPECT_EQ(nodes[i].name, i == 0 ? "c-control-plane" : "c-control-plane2");
    EXPECT_THAT(argv(nodes[i], "server"), Contains("--etcd-servers=https://172.18.0.5:2379"));
    EXPECT_THAT(argv(nodes[i], "server"), Contains("--tls-san=172.18.0.5"));
    EXPECT_THAT(argv(nodes[i], "server"), Contains("--control-plane-endpoint=172.18.0.5:6443"));
    EXPECT_THAT(argv(nodes[i], "server"),
                Contains("--advertise-address=" + nodes[i].plain_address()));
    EXPECT_THAT(nodes[i].ports, IsEmpty()) << "it leads to the balancer";
  }
  ASSERT_EQ(balancer.ports.size(), 1u);
  EXPECT_EQ(balancer.ports[0].host_port, 7443);
  EXPECT_EQ(nodes[2].name, "c-worker");
  // One alone is reached as it is, and keeps its store itself.
  nodes = plan("nodes: [{role: control-plane}, {role: worker}]\n");
  EXPECT_EQ(&front_of(nodes), &nodes[0]);
  EXPECT_THAT(argv(nodes[0], "server"), Not(Contains(HasSubstr("etcd"))));
}

TEST(PlanNodes, ABalancerOfIpv6HasItsAddressInBrackets) {
  auto nodes =
      plan("nodes: [{role: control-plane}, {role: control-plane}]\nnetworking: {ipFamily: ipv6}\n");
  EXPECT_THAT(argv(nodes[2], "etcd"),
              Contains("--advertise-client-urls=https://[fd00:6b6c:0:1::4]:2379"));
  EXPECT_THAT(argv(nodes[2], "balancer"), Contains("--bind-address=::"));
  EXPECT_THAT(argv(nodes[0], "server"), Contains("--tls-san=172.18.0.4"));
}

std::string file_of(const NodeSpec& node, const std::string& name) {
  return read_file(node.rootfs + name).value_or("");
}

TEST(ClusterIdentity, ControlPlanesShareWhatSignsAndTheStoresCa) {
  TemporaryDirectory state = *TemporaryDirectory::make("keles-identity");
  setenv("KELES_STATE_DIR", state.path().c_str(), 1);
  const auto nodes =
      plan("nodes: [{role: control-plane}, {role: control-plane}, {role: worker}]\n");
  ASSERT_TRUE(make_directories(cluster_directory("c")).ok());
  auto entry = make_cluster_identity(nodes, "");
  ASSERT_TRUE(entry.ok()) << entry.status().message();
  EXPECT_EQ(entry->server, "https://172.18.0.5:6443");
  for (const NodeSpec& n : nodes) ASSERT_TRUE(write_node_identity(nodes, n).ok()) << n.name;
  const std::string pki = std::string(kServerData) + "/pki/";
  for (const char* name : {"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key",
                           "sa.pub", "etcd/ca.crt"}) {
    EXPECT_NE(file_of(nodes[0], pki + name), "") << name;
    EXPECT_EQ(file_of(nodes[0], pki + name), file_of(nodes[1], pki + name)) << name;
    EXPECT_EQ(file_of(nodes[2], pki + name), "") << name;
  }
  const std::string client = pki + kEtcdClientName + ".key";
  EXPECT_NE(file_of(nodes[0], client), "");
  EXPECT_NE(file_of(nodes[0], client), file_of(nodes[1], client));
  // The balancer knows the servers, and who may ask its etcd; it can sign for neither.
  const NodeSpec& balancer = nodes[3];
  EXPECT_EQ(file_of(balancer, "/etc/kubernetes/pki/ca.crt"), file_of(nodes[0], pki + "ca.crt"));
  EXPECT_EQ(file_of(balancer, std::string(kEtcdPki) + "/ca.crt"),
            file_of(nodes[0], pki + "etcd/ca.crt"));
  auto served = net::parse_certificate(file_of(balancer, std::string(kEtcdPki) + "/server.crt"));
  ASSERT_TRUE(served.ok());
  EXPECT_THAT(served->ip_addresses, Contains("172.18.0.5"));
  EXPECT_FALSE(path_exists(balancer.rootfs + "/etc/kubernetes/kubelet.conf"));
  EXPECT_THAT(file_of(nodes[2], "/etc/kubernetes/kubelet.conf"),
              HasSubstr("https://172.18.0.5:6443"));
  // As `get nodes` tells them; images go to all but the balancer.
  EXPECT_THAT(list_nodes("c"), ElementsAre("c-control-plane", "c-control-plane2", "c-worker",
                                           "c-external-load-balancer"));
  EXPECT_THAT(list_internal_nodes("c"),
              ElementsAre("c-control-plane", "c-control-plane2", "c-worker"));
  unsetenv("KELES_STATE_DIR");
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
