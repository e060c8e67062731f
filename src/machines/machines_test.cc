// Tokens, what a machine believes of a server, what a node is started with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "api/rbac_v1.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "controllers/bootstrap_tokens.h"
#include "machinery/time.h"
#include "machines/discovery.h"
#include "machines/machine_check.h"
#include "machines/node_parts.h"
#include "machines/publish.h"
#include "net/pki.h"
#include "net/public_key_pins.h"

namespace keles::machines {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kToken[] = "abcdef.0123456789abcdef";

TEST(BootstrapToken, IsOfOneForm) {
  EXPECT_EQ(parse_token(kToken)->text(), kToken);
  for (const char* bad : {"", "abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdefg",
                          "Abcdef.0123456789abcdef", "abcde.0123456789abcdef0"}) {
    auto got = parse_token(bad);
    EXPECT_FALSE(got.ok()) << bad;
    EXPECT_THAT(got.status().message(), HasSubstr("was not of the form"));
  }
  EXPECT_TRUE(is_token_id("abcdef"));
  EXPECT_FALSE(is_token_id("abcdeF"));
  const BootstrapToken one = generate_token(), other = generate_token();
  EXPECT_TRUE(parse_token(one.text()).ok());
  EXPECT_NE(one.text(), other.text());
}

TEST(BootstrapToken, HasKnownUsagesAndGroups) {
  BootstrapToken t;
  t.usages = {"signing", "authentication"};
  t.groups = {std::string(kNodeTokenGroup)};
  EXPECT_TRUE(check_token(t).ok());
  t.usages = {"signing", "cooking"};
  EXPECT_EQ(check_token(t).message(),
            "invalid bootstrap token usage string: cooking, valid usage options: "
            "signing,authentication");
  t.usages.clear();
  for (const char* bad : {"system:masters", "system:bootstrappers:", "system:bootstrappers:A",
                          "system:bootstrappers:a:"}) {
    t.groups = {bad};
    EXPECT_THAT(check_token(t).message(), StartsWith("bootstrap group \"" + std::string(bad)));
  }
}

TEST(BootstrapToken, NeedNotStandOnTheCommandLine) {
  const TemporaryDirectory dir = *TemporaryDirectory::make();
  const std::string file = dir.path() + "/token";
  ASSERT_TRUE(write_file(file, std::string(kToken) + "::sha256:1 \n", 0600).ok());
  EXPECT_EQ(*read_token("", file, "other"), std::string(kToken) + "::sha256:1");
  EXPECT_EQ(*read_token("", "", kToken), kToken);
  EXPECT_EQ(*read_token(kToken, "", "other"), kToken);
  EXPECT_EQ(*read_token("", "", nullptr), "");
  EXPECT_THAT(read_token(kToken, file, nullptr).status().message(), HasSubstr("give one of them"));
  EXPECT_THAT(read_token("", "/none", nullptr).status().message(), HasSubstr("--token-file"));
}

TEST(MachineCheck, LooksAtTheNameThatIsGiven) {
  MachineRole role;
  auto names = [&role] {
    std::vector<std::string> out;
    for (const Finding& f : check_machine(role)) out.push_back(f.check);
    return out;
  };
  if (::geteuid() != 0) GTEST_SKIP() << "only root is told";
  role.node_name = "Not_A_Name";
  EXPECT_THAT(names(), Contains("Hostname"));
  role.node_name = "a-name";
  EXPECT_THAT(names(), Not(Contains("Hostname")));
}

TEST(BootstrapToken, IsKeptAsASecretAndShown) {
  BootstrapToken t = *parse_token(kToken);
  t.usages = {"signing", "authentication"};
  t.groups = {std::string(kNodeTokenGroup)};
  t.expires = *parse_time("2030-01-02T00:00:00Z");
  SimLoop loop{1};
  FakeClient client(loop);
  auto secret =
      read<api::core_v1::Secret>(client.put(kind_of<api::core_v1::Secret>(), token_secret(t)));
  EXPECT_EQ(secret->metadata().name(), "bootstrap-token-abcdef");
  auto again = token_of(*secret);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->text(), kToken);
  EXPECT_EQ(again->expires, t.expires);
  EXPECT_EQ(token_table({*again}, *parse_time("2030-01-01T01:00:00Z")),
            "TOKEN                     TTL         EXPIRES                USAGES                   "
            "DESCRIPTION                                                EXTRA GROUPS\n"
            "abcdef.0123456789abcdef   23h         2030-01-02T00:00:00Z   authentication,signing   "
            "<none>                                                     "
            "system:bootstrappers:kubeadm:default-node-token\n");
  EXPECT_EQ(token_table({}, {}), "");
}

struct Cluster {
  net::TlsIdentity ca, other;
  Document info;
  Cluster() {
    net::CertificateSpec spec;
    spec.common_name = "kubernetes";
    spec.not_before = *parse_time("2020-01-01T00:00:00Z");
    spec.not_after = *parse_time("2040-01-01T00:00:00Z");
    ca = *net::make_ca(spec);
    other = *net::make_ca(spec);
    sign(kubeconfig());
  }
  std::string kubeconfig() const {
    return "apiVersion: v1\nkind: Config\nclusters:\n- name: ''\n  cluster:\n    "
           "certificate-authority-data: " +
           base64_encode(ca.certificate_pem) + "\n    server: https://10.0.0.1:6443\n";
  }
  void sign(const std::string& text) {
    info = Document();
    info.root = Value::map();
    auto set = [this](const std::string& key, const std::string& value) {
      info.root.set(info.arena, info.arena.copy(key), Value::string(info.arena.copy(value)));
    };
    set("kubeconfig", text);
    set("jws-kubeconfig-abcdef",
        controllers::detached_signature(text, "abcdef", "0123456789abcdef"));
  }
};

TEST(Discovery, TheTokenSignsAndThePinHolds) {
  Cluster c;
  const BootstrapToken token = *parse_token(kToken);
  auto kubeconfig = signed_kubeconfig(c.info.root, token);
  ASSERT_TRUE(kubeconfig.ok()) << kubeconfig.status().message();
  const std::vector<std::string> pins = *net::public_key_pins(c.ca.certificate_pem);
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_EQ(*pinned_ca(*kubeconfig, pins), c.ca.certificate_pem);
  EXPECT_EQ(*pinned_ca(*kubeconfig, {}), c.ca.certificate_pem);
  auto refused = pinned_ca(*kubeconfig, *net::public_key_pins(c.other.certificate_pem));
  EXPECT_THAT(refused.status().message(), HasSubstr("none of the public keys \"" + pins[0]));
  // Another secret, another text, another token, no signature.
  EXPECT_THAT(
      signed_kubeconfig(c.info.root, *parse_token("abcdef.0123456789abcdeg")).status().message(),
      HasSubstr("failed to verify JWS signature"));
  c.info.root.set(c.info.arena, "kubeconfig", Value::string("x"));
  EXPECT_FALSE(signed_kubeconfig(c.info.root, token).ok());
  EXPECT_THAT(
      signed_kubeconfig(c.info.root, *parse_token("zzzzzz.0123456789abcdef")).status().message(),
      HasSubstr("is invalid for this cluster or it has expired"));
  EXPECT_THAT(signed_kubeconfig(Value::map(), token).status().message(),
              HasSubstr("isn't set up for token bootstrapping"));
}

TEST(Discovery, WhatJoiningIsTold) {
  const std::string pin = "sha256:" + std::string(64, 'a');
  auto t = parse_join("https://10.0.0.1:6443/", std::string(kToken) + "::" + pin);
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->url, "https://10.0.0.1:6443");
  EXPECT_EQ(t->server.endpoint.host, "10.0.0.1");
  EXPECT_EQ(t->pins, std::vector<std::string>{pin});
  EXPECT_TRUE(parse_join("https://h:6443", kToken)->pins.empty());
  EXPECT_TRUE(check_pins(*t, false).ok());
  const JoinTarget open = *parse_join("https://h:6443", kToken);
  EXPECT_THAT(check_pins(open, false).message(), HasSubstr("--print-join-command"));
  EXPECT_TRUE(check_pins(open, true).ok());
  for (const char* bad : {"::sha256:ab", "::md5:00", "::", "::sha256", "::zz::zz"})
    EXPECT_FALSE(parse_join("https://h:6443", std::string(kToken) + bad).ok()) << bad;
  EXPECT_FALSE(parse_join("http://h:6443", kToken).ok());
  EXPECT_FALSE(parse_join("https://h:6443", "nothing").ok());
  ClusterNetwork n;
  n.pods = "10.244.0.0/16";
  n.services = "10.96.0.0/16";
  n.domain = "corp.example";
  auto again = parse_network(format_network(n));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->pods, n.pods);
  EXPECT_EQ(again->services, n.services);
  EXPECT_EQ(again->domain, n.domain);
  EXPECT_FALSE(parse_network("a: b").ok());
}

TEST(NodeParts, TheKubeletIsToldAll) {
  NodeParts p;
  p.name = "m2";
  p.ip = "10.0.0.2";
  p.kubeconfig = "/a/kubelet.conf";
  p.ca_file = "/a/ca.crt";
  p.bootstrap_kubeconfig = "/a/bootstrap.conf";
  p.network.pods = "10.244.0.0/16";
  p.network.services = "10.96.0.0/16";
  p.labels = {"a=b"};
  auto joined = kubelet_arguments(p, "unix:///r.sock");
  for (const char* wanted :
       {"--node-ip=10.0.0.2", "--hostname-override=m2", "--cluster-dns=10.96.0.10",
        "--cluster-cidr=10.244.0.0/16", "--bootstrap-kubeconfig=/a/bootstrap.conf",
        "--rotate-certificates", "--rotate-server-certificates", "--node-labels=a=b",
        "--container-runtime-endpoint=unix:///r.sock"})
    EXPECT_THAT(joined, Contains(wanted));
  EXPECT_THAT(read_at_start(p), testing::ElementsAre("/a/ca.crt"));
  p.bootstrap_kubeconfig.clear();
  p.certificate_file = "/a/kubelet.crt";
  p.key_file = "/a/kubelet.key";
  p.load_balancer_pool = "10.0.0.16/28";
  auto own = kubelet_arguments(p, "unix:///r.sock");
  EXPECT_THAT(own, Contains("--load-balancer-pool=10.0.0.16/28"));
  EXPECT_THAT(own, Contains("--tls-cert-file=/a/kubelet.crt"));
  EXPECT_THAT(own, Not(Contains(StartsWith("--rotate"))));
}

TEST(Publish, WhatMachinesThatJoinNeed) {
  SimLoop loop{1};
  FakeClient client(loop);
  client.put_yaml(
      "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: "
      "keles:node-proxier}, roleRef: {kind: ClusterRole, name: mine, apiGroup: "
      "rbac.authorization.k8s.io}}");
  ClusterNetwork n;
  n.services = "10.96.0.0/16";
  Status s = run_task(loop, publish_cluster(Context::root(loop).with_timeout(10s), &client, n));
  EXPECT_TRUE(s.ok()) << s.message();
  auto map = client.now<api::core_v1::ConfigMap>("kube-system", "kubeadm-config");
  ASSERT_TRUE(map);
  EXPECT_THAT(std::string(map->data().get("ClusterConfiguration")),
              HasSubstr("serviceSubnet: \"10.96.0.0/16\""));
  auto mine = client.now<api::rbac_v1::ClusterRoleBinding>("", "keles:node-proxier");
  EXPECT_EQ(mine->role_ref().name(), "mine") << "who changed it has changed it";
  EXPECT_EQ(client.all<api::rbac_v1::ClusterRoleBinding>("").size(), 6u);
}

TEST(Publish, ThePoolFollowsTheFlag) {
  SimLoop loop(1);
  FakeClient client(loop);
  auto told = [&](const std::string& pool) {
    ClusterNetwork n;
    n.services = "10.96.0.0/16";
    n.load_balancer_pool = pool;
    EXPECT_TRUE(
        run_task(loop, publish_cluster(Context::root(loop).with_timeout(10s), &client, n)).ok());
    auto map = client.now<api::core_v1::ConfigMap>("kube-system", "kubeadm-config");
    const auto network = parse_network(map->data().get("ClusterConfiguration"));
    EXPECT_TRUE(network.ok() && network->load_balancer_pool.empty()) << "kubeadm's own text";
    return *run_task(loop, published_pool(Context::root(loop), &client));
  };
  EXPECT_EQ(told(""), "");
  EXPECT_EQ(told("10.0.0.16/28,fd00::100-fd00::1ff"), "10.0.0.16/28,fd00::100-fd00::1ff");
  EXPECT_EQ(told("10.0.0.32/28"), "10.0.0.32/28");
  EXPECT_EQ(told(""), "");
  ClusterNetwork n;
  n.services = "10.96.0.0/16";
  n.load_balancer_pool = "10.0.0.16/28";
  EXPECT_EQ(parse_network(format_network(n))->load_balancer_pool, n.load_balancer_pool);
}

TEST(MachineCheck, FatalOnesAreErrorsUnlessIgnored) {
  const std::vector<Finding> found = {{"Port-10250", "Port 10250 is in use", true},
                                      {"Swap", "swap is on", false}};
  std::string text;
  Status s = report_findings(found, {}, &text);
  EXPECT_THAT(s.message(), HasSubstr("\n\t[ERROR Port-10250]: Port 10250 is in use"));
  EXPECT_EQ(text, "\t[WARNING Swap]: swap is on\n");
  text.clear();
  EXPECT_TRUE(report_findings(found, {"Port-10250"}, &text).ok());
  EXPECT_THAT(text, HasSubstr("[WARNING Port-10250]"));
  EXPECT_TRUE(report_findings(found, {"all"}, &text).ok());
  EXPECT_TRUE(is_node_name("a-1.b"));
  for (const char* bad : {"", "A", "-a", "a-", "a..b", "a_b"}) EXPECT_FALSE(is_node_name(bad));
  EXPECT_EQ(kernel_version("5.10.0-21-amd64"), std::pair(5, 10));
  EXPECT_EQ(kernel_version("x"), std::pair(0, 0));
}

}  // namespace
}  // namespace keles::machines
