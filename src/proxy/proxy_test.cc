#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "machinery/codec_yaml.h"
#include "proxy/nft.h"
#include "proxy/ruleset.h"
#include "proxy/services.h"

namespace keles::proxy {
namespace {

using testing::HasSubstr;
using testing::Not;

Document yaml(std::string_view text) {
  Result<Document> d = parse_yaml(text);
  EXPECT_TRUE(d.ok()) << d.status().to_string();
  return std::move(*d);
}

void set_service(ServiceTable& t, std::string_view text) {
  Document d = yaml(text);
  t.set_service(api::core_v1::Service(d.root));
}

void set_slice(ServiceTable& t, std::string_view text) {
  Document d = yaml(text);
  t.set_slice(api::discovery_v1::EndpointSlice(d.root));
}

constexpr std::string_view kWeb = R"(
metadata: {name: web, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.96.1.1
  ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP}]
)";

constexpr std::string_view kSlice = R"(
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.244.0.2], conditions: {ready: true}, nodeName: here}
- {addresses: [10.244.1.2], conditions: {ready: true}, nodeName: there}
- {addresses: [10.244.1.3], conditions: {ready: false}, nodeName: there}
)";

TEST(ServiceTable, TargetsOnlyReadyEndpoints) {
  ServiceTable t("here");
  set_service(t, kWeb);
  set_slice(t, kSlice);
  EXPECT_THAT(t.take_dirty(), testing::ElementsAre("default/web"));
  auto f = t.forwards("default/web");
  ASSERT_EQ(f.size(), 1u);
  const Forward& web = f.begin()->second;
  EXPECT_THAT(web.targets,
              testing::ElementsAre(Target{"10.244.0.2", 8080}, Target{"10.244.1.2", 8080}));
  EXPECT_EQ(web.node_port, 30080);
  EXPECT_THAT(t.local_ips("default/web"), testing::ElementsAre("10.244.0.2"));
}

TEST(ServiceTable, FallsBackToDrainingEndpoints) {
  ServiceTable t("here");
  set_service(t, kWeb);
  set_slice(t, R"(
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.244.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.244.0.3], conditions: {ready: false, serving: false, terminating: true}}
)");
  EXPECT_THAT(t.forwards("default/web").begin()->second.targets,
              testing::ElementsAre(Target{"10.244.0.2", 8080}));
}

TEST(ServiceTable, LocalPolicySplitsTargets) {
  ServiceTable t("here");
  set_service(t, std::string(kWeb) + "  externalTrafficPolicy: Local\n");
  set_slice(t, kSlice);
  auto f = t.forwards("default/web").begin()->second;
  EXPECT_EQ(f.targets.size(), 2u);
  EXPECT_THAT(f.external_targets, testing::ElementsAre(Target{"10.244.0.2", 8080}));
}

TEST(ServiceTable, HeadlessAndExternalNameHaveNone) {
  ServiceTable t("here");
  set_service(t, "metadata: {name: a, namespace: n}\nspec: {clusterIP: None, ports: [{port: 1}]}");
  set_service(t,
              "metadata: {name: b, namespace: n}\nspec: {type: ExternalName, externalName: x.org}");
  EXPECT_TRUE(t.forwards("n/a").empty());
  EXPECT_TRUE(t.forwards("n/b").empty());
}

class RulesetSteps : public testing::Test {
 protected:
  ServiceTable table{"here"};
  Ruleset rules{RulesetOptions{.cluster_cidr = "10.244.0.0/16"}};
  std::string step(const std::string& service) {
    auto f = table.forwards(service);
    auto l = table.local_ips(service);
    std::string text = rules.update(service, f, l);
    rules.commit(service, f, l);
    return text;
  }
};

TEST_F(RulesetSteps, ChangesTouchOnlyWhatDiffers) {
  set_service(table, kWeb);
  std::string text = step("default/web");
  EXPECT_THAT(text,
              HasSubstr("no-endpoint-services { 10.96.1.1 . tcp . 80 : goto reject-connection }"));
  EXPECT_THAT(text, HasSubstr("no-endpoint-nodeports { tcp . 30080 : goto reject-connection }"));
  EXPECT_EQ(step("default/web"), "");
  set_slice(table, kSlice);
  text = step("default/web");
  EXPECT_THAT(
      text, HasSubstr("delete element ip keles-proxy no-endpoint-services { 10.96.1.1 . tcp . 80"));
  EXPECT_THAT(
      text, HasSubstr("numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.1.2 . 8080 }"));
  EXPECT_THAT(text, HasSubstr("hairpin { 10.244.0.2 . 10.244.0.2 }"));
  EXPECT_EQ(step("default/web"), "");
  table.remove_service("default", "web");
  table.remove_slice("default", "web-1");
  text = step("default/web");
  EXPECT_THAT(text, HasSubstr("delete element ip keles-proxy service-ips { 10.96.1.1 . tcp . 80"));
  EXPECT_THAT(text, Not(HasSubstr("add ")));
  EXPECT_TRUE(rules.services().empty());
}

// The kernel has the last word on the grammar.
TEST_F(RulesetSteps, KernelAcceptsEveryStep) {
  if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
    GTEST_SKIP() << "needs root, for a network namespace of its own";
  }
  auto kernel = make_kernel();
  auto apply = [&](const std::string& text) {
    Status s = kernel->apply(text);
    EXPECT_TRUE(s.ok()) << s.to_string() << "\n" << text;
  };
  apply(rules.reset());
  set_service(table, kWeb);
  apply(step("default/web"));
  set_slice(table, kSlice);
  apply(step("default/web"));
  set_service(table,
              std::string(kWeb) + "  externalTrafficPolicy: Local\n  externalIPs: [192.0.2.7]\n");
  apply(step("default/web"));
  set_service(table, std::string(kWeb) + "  sessionAffinity: ClientIP\n");
  apply(step("default/web"));
  set_service(table,
              std::string(kWeb) + "  sessionAffinity: ClientIP\n  externalTrafficPolicy: Local\n");
  apply(step("default/web"));
  set_service(table, R"(
metadata: {name: dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, ports: [{name: d, port: 53, protocol: UDP}, {name: s, port: 54, protocol: SCTP}]}
)");
  set_slice(table, R"(
metadata: {name: dns-1, namespace: kube-system, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{name: d, port: 53, protocol: UDP}, {name: s, port: 54, protocol: SCTP}]
endpoints: [{addresses: [10.244.0.9]}]
)");
  apply(step("kube-system/dns"));
  Result<int> n = kernel->forget({{"10.96.0.10", 53, "10.244.0.9"}});
  EXPECT_TRUE(n.ok()) << n.status().to_string();
  table.remove_service("default", "web");
  table.remove_slice("default", "web-1");
  apply(step("default/web"));
  apply(rules.reset());
  apply(rules.remove());
}

}  // namespace
}  // namespace keles::proxy
