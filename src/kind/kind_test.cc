#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "client/kubeconfig.h"
#include "kind/cgroups.h"
#include "kind/cluster_config.h"
#include "kind/cluster_network.h"
#include "kind/host_check.h"
#include "kind/host_network.h"
#include "kind/layout.h"
#include "kind/node_spec.h"
#include "kind/pause_image.h"
#include "kind/port_proxy.h"
#include "kind/toml.h"
#include "machinery/codec_yaml.h"

namespace keles::kind {
namespace {

using testing::AllOf;
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
      {"kubeadmConfigPatches: x\n", "kubeadmConfigPatches\": must be a list of strings"},
      {"kubeadmConfigPatches: ['a: [']\n", "kubeadmConfigPatches[0]"},
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

constexpr char kPatched[] = R"(
featureGates: {SomeGate: true}
containerdConfigPatches: []
kubeadmConfigPatches:
- |
  kind: ClusterConfiguration
  apiServer:
    certSANs: [api.example.org]
    extraArgs: {service-node-port-range: 30000-30100, profiling: false}
- |
  kind: KubeletConfiguration
  maxPods: 40
  serverTLSBootstrap: true
nodes:
- role: control-plane
  labels: {gold: true, build: 1.30, legacy: yes}
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration:
      kubeletExtraArgs:
        node-labels: "ingress-ready=true,tier=front"
      taints: []
- role: worker
  kubeadmConfigPatches:
  - |
    kind: JoinConfiguration
    nodeRegistration:
      kubeletExtraArgs:
      - {name: node-labels, value: zone=a}
      taints: [{key: dedicated, value: db, effect: NoSchedule}]
)";

// The recipes that people have: an ingress node, more node ports, own labels and taints.
TEST(ClusterConfig, UnderstandsKubeadmPatches) {
  auto c = parse_cluster_config(std::string(kHeader) + kPatched);
  ASSERT_TRUE(c.ok()) << c.status().message();
  using Label = std::pair<std::string, std::string>;
  EXPECT_THAT(c->nodes[0].labels,
              ElementsAre(Label("gold", "true"), Label("build", "1.30"), Label("legacy", "yes"),
                          Label("ingress-ready", "true"), Label("tier", "front")));
  EXPECT_THAT(c->nodes[1].labels, ElementsAre(Label("zone", "a")));
  ASSERT_TRUE(c->nodes[0].taints && c->nodes[1].taints);
  EXPECT_THAT(*c->nodes[0].taints, ElementsAre());
  EXPECT_THAT(*c->nodes[1].taints, ElementsAre("dedicated=db:NoSchedule"));
  EXPECT_THAT(c->nodes[1].kubelet_flags,
              ElementsAre("--max-pods=40", "--rotate-server-certificates=true"));
  EXPECT_THAT(c->tls_sans, ElementsAre("api.example.org"));
  EXPECT_THAT(c->server_flags, ElementsAre("--service-node-port-range=30000-30100"));
  // What has no counterpart is named; what asks for nothing is not.
  EXPECT_THAT(c->warnings, ElementsAre(HasSubstr("\"featureGates\""),
                                       HasSubstr("apiServer.extraArgs.profiling")));
}

// kubeadm's: the first control plane is initialised, the others join as workers do.
TEST(ClusterConfig, MoreControlPlanesJoin) {
  const std::string one = "{role: control-plane, kubeadmConfigPatches: ['{kind: ",
                    rest = ", nodeRegistration: {taints: []}}']}";
  auto c = parse_cluster_config(std::string(kHeader) + "nodes:\n- " + one + "InitConfiguration" +
                                rest + "\n- " + one + "JoinConfiguration" + rest + "\n- " + one +
                                "InitConfiguration" + rest + "\n");
  ASSERT_TRUE(c.ok()) << c.status().message();
  EXPECT_THAT(node_names(*c),
              ElementsAre("kind-control-plane", "kind-control-plane2", "kind-control-plane3"));
  EXPECT_EQ(c->control_planes(), 3u);
  EXPECT_TRUE(c->nodes[0].taints.has_value());
  EXPECT_TRUE(c->nodes[1].taints.has_value());
  EXPECT_FALSE(c->nodes[2].taints.has_value());
  EXPECT_THAT(c->warnings, ElementsAre(HasSubstr("nodes[2].kubeadmConfigPatches[0]\": "
                                                 "InitConfiguration is for the first control")));
}

TEST(ClusterConfig, RangesGoWithTheFamily) {
  const std::string v4_pods = "10.244.0.0/16", v4_services = "10.96.0.0/16";
  const std::string v6_pods = "fd00:10:244::/56", v6_services = "fd00:10:96::/112";
  const struct {
    const char* networking;
    std::string pods, services, why;
  } rows[] = {
      {"{}", v4_pods, v4_services, ""},
      {"{ipFamily: ipv6}", v6_pods, v6_services, ""},
      {"{ipFamily: dual}", v4_pods + "," + v6_pods, v4_services + "," + v6_services, ""},
      {"{ipFamily: dual, podSubnet: 'fd01::/56,10.1.0.0/16'}", "fd01::/56,10.1.0.0/16",
       v4_services + "," + v6_services, ""},
      {"{ipFamily: IPv6}", "", "", "field \"networking.ipFamily\": invalid ipFamily: IPv6"},
      {"{ipFamily: ipv6, podSubnet: 10.1.0.0/16}", "", "",
       "field \"networking.podSubnet\": expected IPv6 CIDR for IPv6 family"},
      {"{serviceSubnet: 'fd01::/112'}", "", "",
       "field \"networking.serviceSubnet\": expected IPv4 CIDR for IPv4 family"},
      {"{podSubnet: '10.1.0.0/16,fd01::/56'}", "", "",
       "field \"networking.podSubnet\": only one CIDR allowed for single-stack networking"},
      {"{ipFamily: dual, podSubnet: '10.1.0.0/16,10.2.0.0/16'}", "", "",
       "field \"networking.podSubnet\": expected one (IPv4 or IPv6) CIDR or two CIDRs from each "
       "family for dual-stack networking"},
      {"{ipFamily: dual, podSubnet: '10.1.0.0/16,x'}", "", "",
       "field \"networking.podSubnet\": invalid CIDR address: x"},
  };
  for (const auto& row : rows) {
    auto c = parse_cluster_config(std::string(kHeader) + "networking: " + row.networking + "\n");
    EXPECT_EQ(c.ok() ? "" : c.status().message(), row.why) << row.networking;
    if (!c.ok()) continue;
    EXPECT_EQ(c->pod_subnet, row.pods) << row.networking;
    EXPECT_EQ(c->service_subnet, row.services) << row.networking;
  }
}

TEST(HostCheck, NamesTheCapabilitiesThatAreMissing) {
  EXPECT_THAT(missing_capabilities(~0ull), ElementsAre());
  EXPECT_THAT(missing_capabilities(~0ull & ~(1ull << 21) & ~(1ull << 12)),
              ElementsAre("CAP_NET_ADMIN", "CAP_SYS_ADMIN"));
}

TEST(ClusterConfig, ContainerdPatchesAreTomlAndPortsMayBeUdp) {
  const std::string head = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n";
  auto c = parse_cluster_config(head + R"(nodes:
- extraPortMappings: [{containerPort: 53, hostPort: 5300, protocol: UDP}]
containerdConfigPatches:
- |-
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
)");
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  EXPECT_TRUE(c->nodes[0].ports[0].udp);
  ASSERT_EQ(c->containerd_patches.size(), 1u);
  EXPECT_TRUE(c->warnings.empty());
  c = parse_cluster_config(head + "containerdConfigPatches: ['a = 1', \"b\\n[c\"]\n");
  EXPECT_THAT(c.status().message(), HasSubstr("containerdConfigPatches[1]"));
  EXPECT_THAT(c.status().message(), HasSubstr("line 1"));
  // And it survives the node's own file.
  NodeSpec spec;
  spec.name = "n";
  spec.rootfs = "/r";
  spec.ports.push_back({"0.0.0.0", 5300, 53, true});
  spec.containerd_patches = {"a = 1\n[b]\nc = \"d e\"\n"};
  auto again = parse_node_spec(format_node_spec(spec));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->containerd_patches, spec.containerd_patches);
  EXPECT_TRUE(again->ports[0].udp);
}

TEST(Toml, MergesTableByTable) {
  struct Case {
    const char *base, *patch, *merged;
  };
  const Case cases[] = {
      {"a = 1\n[t]\nb = 2\n", "[t]\nc = 3\n", "a = 1\n[t]\nb = 2\nc = 3\n"},
      {"[t]\nb = [1, 2]\n", "t.b = [3]\n", "[t]\nb = [3]\n"},
      {"[p.\"x.y\".z]\nk = \"v # no comment\" # one\n", "[p.'x.y'.z.w]\nn = true",
       "[p.\"x.y\".z]\nk = \"v # no comment\"\n[p.\"x.y\".z.w]\nn = true\n"},
      {"[t]\nb = {c = 1}\n", "[t.b]\nd = 2\n", "[t]\n[t.b]\nd = 2\n"},
      {"[t.b]\nd = 2\n", "[t]\nb = {c = 1}\n", "[t]\nb = {c = 1}\n"},
      {"x = [\n  \"a\",\n  \"]\",\n]\n", "", "x = [\n  \"a\",\n  \"]\",\n]\n"},
  };
  for (const Case& c : cases) {
    auto base = Toml::parse(c.base), patch = Toml::parse(c.patch);
    ASSERT_TRUE(base.ok() && patch.ok()) << c.base << c.patch;
    base->merge(*patch);
    EXPECT_EQ(base->text(), c.merged);
  }
  for (const char* bad : {"[a", "a", "a =", "a = [1", "a = ]", "a = \"x", "[[a]]", "= 1",
                          "[a] b = 1", "\"a\\q\" = 1"}) {
    EXPECT_FALSE(Toml::parse(bad).ok()) << bad;
  }
}

// A datagram goes to the node and its answer comes back, for two senders at once.
TEST(PortProxy, CarriesDatagrams) {
  auto port_of = [](int fd) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    return ntohs(at.sin_port);
  };
  auto waits = [](int fd) {
    timeval t{5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  };
  const int node = listen_on("127.0.0.1", 0, true), host = listen_on("127.0.0.1", 0, true);
  ASSERT_TRUE(node >= 0 && host >= 0);
  waits(node);
  const pid_t child = fork();
  if (child == 0) carry_datagrams(host, "127.0.0.1", port_of(node));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port_of(host));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int senders[2];
  for (int& fd : senders) {
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    waits(fd);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  for (const char* text : {"one", "two"}) {
    for (int fd : senders) ASSERT_EQ(send(fd, text, 3, 0), 3);
    for (int i = 0; i < 2; ++i) {
      char buffer[16];
      sockaddr_in from{};
      socklen_t size = sizeof from;
      ASSERT_EQ(recvfrom(node, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size),
                3);
      buffer[3] = '!';
      ASSERT_EQ(sendto(node, buffer, 4, 0, reinterpret_cast<sockaddr*>(&from), size), 4);
    }
    for (int fd : senders) {
      char buffer[16];
      ASSERT_EQ(recv(fd, buffer, sizeof buffer, 0), 4);
      EXPECT_EQ(std::string(buffer, 4), std::string(text) + "!");
    }
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (int fd : {node, host, senders[0], senders[1]}) close(fd);
}

TEST(HostCheck, NamesThePortThatIsTaken) {
  int fd = listen_on("127.0.0.1", 0);
  ASSERT_GE(fd, 0);
  sockaddr_in at{};
  socklen_t size = sizeof at;
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  ClusterConfig c;
  c.nodes.emplace_back();
  c.nodes[0].ports.push_back({"127.0.0.1", ntohs(at.sin_port), 80});
  EXPECT_THAT(check_ports(c).message(), HasSubstr("nodes[0].extraPortMappings[0].hostPort"));
  close(fd);
  EXPECT_TRUE(check_ports(c).ok());
}

// A privileged container's cgroup root, as plain files: its processes leave for "init".
TEST(Cgroups, ProcessesOfTheRootMoveToALeaf) {
  TemporaryDirectory made = *TemporaryDirectory::make();
  const std::string& root = made.path();
  auto file = [&](const std::string& name, const std::string& text) {
    EXPECT_TRUE(write_file(root + name, text).ok());
  };
  std::string self = std::to_string(getpid());
  file("/cgroup.controllers", "cpu memory pids\n");
  file("/cgroup.subtree_control", "");
  file("/cgroup.procs", self + "\n");
  ASSERT_TRUE(make_directories(root + "/init").ok());
  file("/init/cgroup.procs", "");
  ASSERT_TRUE(delegate_from_root(root).ok());  // the host's real root: nothing moves
  EXPECT_EQ(*read_file(root + "/init/cgroup.procs"), "");
  EXPECT_NE(*read_file(root + "/cgroup.subtree_control"), "");
  file("/cgroup.type", "domain\n");
  ASSERT_TRUE(delegate_from_root(root).ok());
  EXPECT_EQ(*read_file(root + "/init/cgroup.procs"), self);
}

TEST(PauseImage, IsPartOfTheProgram) {
  EXPECT_GT(pause_image().size(), 100'000u);
  EXPECT_EQ(pause_image().substr(257, 5), "ustar");
}

TEST(HostNetwork, MasqueradesWhatLeavesTheBridge) {
  EXPECT_THAT(outside_rules("kl-1", *IpPrefix::parse("172.18.0.1/16")),
              HasSubstr("ip saddr 172.18.0.0/16 oifname != \"kl-1\" masquerade"));
  EXPECT_THAT(outside_rules("kl-1", *IpPrefix::parse("fd00:6b6c:0:1::/64")),
              AllOf(HasSubstr("table ip6 kl-1 {"),
                    HasSubstr("ip6 saddr fd00:6b6c:0:1::/64 oifname != \"kl-1\" masquerade")));
}

// Deleting the last cluster removes the state directory only where kind made it.
TEST(Layout, RemovesOnlyTheStateDirectoryThatItMade) {
  TemporaryDirectory made = *TemporaryDirectory::make();
  const std::string& users = made.path();
  for (const std::string& directory : {users, users + "/ours"}) {
    setenv("KELES_STATE_DIR", directory.c_str(), 1);
    {
      auto lock = StateLock::acquire();
      ASSERT_TRUE(lock.ok());
      remove_state_directory();
    }
    EXPECT_EQ(path_exists(directory), directory == users);
    EXPECT_FALSE(path_exists(directory + "/kind"));
  }
  unsetenv("KELES_STATE_DIR");
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
  EXPECT_EQ(subnet->text(), "172.22.0.0/16");
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
