#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "base/file.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"
#include "proxy/health.h"
#include "proxy/nft.h"
#include "proxy/ruleset.h"
#include "proxy/service_health.h"
#include "proxy/services.h"

namespace keles::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

IpAddress ip(std::string_view text) {
  std::optional<IpAddress> parsed = parse_address(text, false);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpAddress());
}

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
  EXPECT_THAT(web.cluster_targets,
              testing::ElementsAre(Target{ip("10.244.0.2"), 8080}, Target{ip("10.244.1.2"), 8080}));
  EXPECT_EQ(web.node_port, 30080);
  EXPECT_THAT(t.local_ips("default/web"), ElementsAre(ip("10.244.0.2")));
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
  EXPECT_THAT(t.forwards("default/web").begin()->second.cluster_targets,
              testing::ElementsAre(Target{ip("10.244.0.2"), 8080}));
}

TEST(ServiceTable, LocalPolicySplitsTargets) {
  ServiceTable t("here");
  set_service(t, std::string(kWeb) + "  externalTrafficPolicy: Local\n");
  set_slice(t, kSlice);
  auto f = t.forwards("default/web").begin()->second;
  EXPECT_EQ(f.cluster_targets.size(), 2u);
  EXPECT_THAT(f.external(), testing::ElementsAre(Target{ip("10.244.0.2"), 8080}));
}

TEST(ServiceTable, PrefersEndpointsThatAreHintedHere) {
  struct Case {
    std::string what, zone;
    std::vector<std::string> endpoints;  // of a, b, c: what each says of itself
    std::string targets;
  };
  const std::string ready = "conditions: {ready: true}, ";
  const std::string draining = "conditions: {ready: false, serving: true, terminating: true}, ";
  auto zone = [](const std::string& z) { return "hints: {forZones: [{name: " + z + "}]}"; };
  auto both = [](const std::string& z, const std::string& n) {
    return "hints: {forZones: [{name: " + z + "}], forNodes: [{name: " + n + "}]}";
  };
  const Case cases[] = {
      {"own zone", "z1", {ready + zone("z1"), ready + zone("z2"), ready + zone("z1")}, "ac"},
      {"several zones for one",
       "z3",
       {ready + zone("z1"), ready + "hints: {forZones: [{name: z2}, {name: z3}]}",
        ready + zone("z1")},
       "b"},
      {"none for this zone",
       "z9",
       {ready + zone("z1"), ready + zone("z2"), ready + zone("z1")},
       "abc"},
      {"one without a hint",
       "z1",
       {ready + zone("z1"), ready + "nodeName: x", ready + zone("z2")},
       "abc"},
      {"one that is not ready needs none",
       "z1",
       {ready + zone("z1"), draining + "nodeName: x", ready + zone("z2")},
       "a"},
      {"own node before own zone",
       "z1",
       {ready + both("z1", "there"), ready + both("z1", "here"), ready + both("z2", "there")},
       "b"},
      {"no endpoint on this node: its zone",
       "z1",
       {ready + both("z1", "there"), ready + both("z2", "there"), ready + both("z1", "there")},
       "ac"},
      {"a node of no zone",
       "",
       {ready + zone("z1"), ready + zone("z2"), ready + zone("z1")},
       "abc"},
      {"all are draining",
       "z1",
       {draining + zone("z2"), draining + zone("z2"), draining + zone("z1")},
       "abc"},
  };
  for (const Case& c : cases) {
    ServiceTable t("here");
    set_service(t, kWeb);
    std::string slice =
        "metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}\n"
        "addressType: IPv4\nports: [{name: http, port: 8080, protocol: TCP}]\nendpoints:\n";
    for (size_t i = 0; i < c.endpoints.size(); ++i) {
      slice += "- {addresses: [10.244.0." + std::to_string(i + 1) + "], " + c.endpoints[i] + "}\n";
    }
    set_slice(t, slice);
    t.take_dirty();
    EXPECT_EQ(t.set_zone(c.zone), !c.zone.empty());
    if (!c.zone.empty()) {
      EXPECT_THAT(t.take_dirty(), ElementsAre("default/web"));
    }
    std::string targets;
    const auto forwards = t.forwards("default/web");
    for (const Target& to : forwards.begin()->second.cluster_targets) {
      targets += static_cast<char>('a' + to.ip.text().back() - '1');
    }
    EXPECT_EQ(targets, c.targets) << c.what;
  }
}

constexpr std::string_view kChecked = R"(
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  clusterIP: 10.96.1.1
  externalTrafficPolicy: Local
  healthCheckNodePort: 32555
  ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP}]
)";

TEST(ServiceTable, LoadBalancersAskForLocalEndpoints) {
  ServiceTable t("here");
  set_service(t, kChecked);
  EXPECT_THAT(t.checks(), ElementsAre(std::pair("default/web", ServiceCheck{32555, 0})));
  set_slice(t, kSlice);
  EXPECT_THAT(t.checks(), ElementsAre(std::pair("default/web", ServiceCheck{32555, 1})));
  set_service(t, kWeb);
  EXPECT_TRUE(t.checks().empty());
}

// What a load balancer is told: code, weight, body.
Task<std::string> asked(Context ctx, uint16_t port) {
  net::Endpoint at;
  at.host = "127.0.0.1";
  at.port = port;
  auto client = net::HttpClient::create(ctx.loop(), at);
  net::Request request("GET", "/", "");
  request.headers.set("Host", "x");
  auto r = co_await client->send(ctx.with_timeout(5s), std::move(request));
  if (!r.ok()) co_return "nobody";
  std::string weight(r->headers.get("X-Load-Balancing-Endpoint-Weight").value_or("none"));
  co_return std::to_string(r->status) + " " + weight + " " + r->body;
}

Task<void> ask_service_health(Context ctx, ServiceHealth* health, bool* healthy, RealLoop* loop) {
  std::map<std::string, ServiceCheck> checks;
  checks["default/web"] = {0, 2};  // any free port
  co_await health->sync(ctx, checks);
  const uint16_t port = health->port("default/web");
  EXPECT_NE(port, 0);
  std::string said = co_await asked(ctx, port);
  EXPECT_EQ(said,
            "200 2 {\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": "
            "\"web\"\n\t},\n\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}");
  *healthy = false;
  said = co_await asked(ctx, port);
  EXPECT_THAT(said, testing::AllOf(testing::StartsWith("503 2 "),
                                   HasSubstr("\"serviceProxyHealthy\": false")));
  *healthy = true;
  checks["default/web"].local = 0;
  co_await health->sync(ctx, checks);
  EXPECT_EQ(health->port("default/web"), port);
  said = co_await asked(ctx, port);
  EXPECT_THAT(said,
              testing::AllOf(testing::StartsWith("503 0 "), HasSubstr("\"localEndpoints\": 0")));
  co_await health->stop(ctx);
  said = co_await asked(ctx, port);
  EXPECT_EQ(said, "nobody");
  loop->stop();
}

TEST(ServiceHealth, SaysWhatKubeProxySays) {
  auto loop = make_real_loop();
  bool healthy = true;
  ServiceHealth health("127.0.0.1", [&healthy] { return healthy; });
  Context ctx = Context::root(*loop);
  spawn(*loop, ask_service_health(ctx, &health, &healthy, loop.get()));
  loop->run();
}

TEST(ServiceTable, HeadlessAndExternalNameHaveNone) {
  ServiceTable t("here");
  set_service(t, "metadata: {name: a, namespace: n}\nspec: {clusterIP: None, ports: [{port: 1}]}");
  set_service(t,
              "metadata: {name: b, namespace: n}\nspec: {type: ExternalName, externalName: x.org}");
  EXPECT_TRUE(t.forwards("n/a").empty());
  EXPECT_TRUE(t.forwards("n/b").empty());
}

TEST(ServiceTable, HeadlessSlicesAreNotTargets) {
  ServiceTable t("here");
  set_service(t, kWeb);
  std::string slice(kSlice);
  slice.replace(slice.find("web}"), 4, "web, service.kubernetes.io/headless: ''}");
  set_slice(t, slice);
  EXPECT_TRUE(t.forwards("default/web").begin()->second.cluster_targets.empty());
  set_slice(t, kSlice);
  EXPECT_EQ(t.forwards("default/web").begin()->second.cluster_targets.size(), 2u);
  set_slice(t, slice);
  EXPECT_TRUE(t.forwards("default/web").begin()->second.cluster_targets.empty());
}

constexpr std::string_view kBalanced = R"(
metadata: {name: lb, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  type: LoadBalancer
  clusterIP: 10.96.1.2
  ports: [{name: http, port: 80, protocol: TCP}]
  externalIPs: [192.0.2.7, 10.96.1.1]
  loadBalancerSourceRanges: [" 198.51.100.7/24 ", "2001:db8::/32"]
status: {loadBalancer: {ingress: [{ip: 203.0.113.9, ipMode: VIP}, {ip: 203.0.113.10, ipMode: Proxy}]}}
)";

// One element twice makes nftables refuse everybody's rules.
TEST(ServiceTable, AnAddressOfTwoServicesBelongsToOne) {
  ServiceTable t("here");
  set_service(t, kBalanced);
  EXPECT_THAT(t.forwards("default/lb").begin()->second.external_ips,
              ElementsAre(ip("192.0.2.7"), ip("10.96.1.1"), ip("203.0.113.9")));
  t.take_dirty();
  set_service(t, kWeb);  // whose cluster IP it is
  EXPECT_THAT(t.take_dirty(), ElementsAre("default/lb", "default/web"));
  EXPECT_THAT(t.forwards("default/lb").begin()->second.external_ips,
              ElementsAre(ip("192.0.2.7"), ip("203.0.113.9")));
  set_service(t, R"(
metadata: {name: a-later-one, namespace: default, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  clusterIP: 10.96.1.3
  ports: [{port: 80, protocol: TCP}, {port: 80, name: again}]
  externalIPs: [192.0.2.7, 192.0.2.7]
)");
  ASSERT_EQ(t.forwards("default/a-later-one").size(), 1u);
  EXPECT_TRUE(t.forwards("default/a-later-one").begin()->second.external_ips.empty());
  t.take_dirty();
  t.remove_service("default", "lb");
  EXPECT_THAT(t.take_dirty(), testing::Contains("default/a-later-one"));
  EXPECT_THAT(t.forwards("default/a-later-one").begin()->second.external_ips,
              ElementsAre(ip("192.0.2.7")));
}

TEST(ServiceTable, SourceRangesGuardTheLoadBalancersAddresses) {
  ServiceTable t("here");
  set_service(t, kBalanced);
  const Forward f = t.forwards("default/lb").begin()->second;
  EXPECT_THAT(f.guarded_ips, ElementsAre(ip("203.0.113.9")));
  ASSERT_EQ(f.source_ranges.size(), 1u);
  EXPECT_EQ(f.source_ranges[0].text(), "198.51.100.0/24");
}

class RulesetSteps : public testing::Test {
 protected:
  ServiceTable table{"here"};
  Ruleset rules{RulesetOptions{.cluster_cidr = parse_range("10.244.0.0/16", false)}};
  std::string step(const std::string& service) {
    rules.update(service, table.forwards(service), table.local_ips(service));
    return rules.take();
  }
  std::string fresh() {
    rules.reset();
    return rules.take();
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
  EXPECT_THAT(text, HasSubstr(" services { 10.96.1.1 . tcp . 80 : goto internal }"));
  EXPECT_THAT(text, HasSubstr(" deals { 10.96.1.1 . tcp . 80 : goto deal-tcp-2 }"));
  EXPECT_THAT(text, HasSubstr(" endpoints-tcp { 10.96.1.1 . 80 . 0 : 10.244.0.2 . 8080, "
                              "10.96.1.1 . 80 . 1 : 10.244.1.2 . 8080 }"));
  EXPECT_THAT(text, HasSubstr(" node-endpoints-tcp { 30080 . 0 : 10.244.0.2 . 8080, "));
  EXPECT_THAT(text, HasSubstr("hairpin { 10.244.0.2 . 10.244.0.2 }"));
  EXPECT_EQ(step("default/web"), "");
  table.remove_service("default", "web");
  table.remove_slice("default", "web-1");
  text = step("default/web");
  EXPECT_THAT(text, HasSubstr("delete element ip keles-proxy services { 10.96.1.1 . tcp . 80"));
  EXPECT_THAT(text, Not(HasSubstr("add ")));
  EXPECT_TRUE(rules.services().empty());
}

// Of ten endpoints the one that goes moves one other; the rest keep their numbers.
TEST_F(RulesetSteps, AnEndpointThatGoesMovesOneOther) {
  auto slice = [&](int first, int last) {
    std::string text =
        "metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}\n"
        "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n";
    for (int i = first; i <= last; ++i) {
      text += "- {addresses: [10.244.1." + std::to_string(i) + "], nodeName: there}\n";
    }
    set_slice(table, text);
  };
  set_service(table,
              "metadata: {name: web, namespace: default}\n"
              "spec: {clusterIP: 10.96.1.1, ports: [{name: http, port: 80}]}");
  slice(1, 10);
  step("default/web");
  slice(2, 10);
  std::string text = step("default/web");
  EXPECT_THAT(text, HasSubstr("delete element ip keles-proxy endpoints-tcp { 10.96.1.1 . 80 . 0 : "
                              "10.244.1.1 . 8080, 10.96.1.1 . 80 . 9 : 10.244.1.10 . 8080 }"));
  EXPECT_THAT(text, HasSubstr("add element ip keles-proxy endpoints-tcp { 10.96.1.1 . 80 . 0 : "
                              "10.244.1.10 . 8080 }"));
  EXPECT_THAT(text, HasSubstr("deals { 10.96.1.1 . tcp . 80 : goto deal-tcp-9 }"));
}

TEST(Ruleset, WhereTrafficGoesByPolicyAndOption) {
  struct Case {
    std::string what, spec;
    RulesetOptions options;
    std::string slice;  // who is ready: h(ere), t(here), d(raining, here)
    std::vector<std::string> said, unsaid;
  };
  const std::string port = "ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP}]";
  RulesetOptions cidr;
  cidr.cluster_cidr = parse_range("10.244.0.0/16", false);
  RulesetOptions some = cidr, all = cidr;
  some.node_port_ips = {ip("172.18.0.2"), ip("127.0.0.1")};
  all.masquerade_all = true;
  all.masquerade_mark = 1U << 5;
  const std::string local = "externalTrafficPolicy: Local, ";
  const Case cases[] = {
      {"internal Local with one here",
       "internalTrafficPolicy: Local, " + port,
       cidr,
       "ht",
       {"services { 10.96.1.1 . tcp . 80 : goto internal-local }", "local-deal-tcp-1",
        "local-endpoints-tcp { 10.96.1.1 . 80 . 0 : 10.244.0.1 . 8080 }",
        "node-deals { tcp . 30080 : goto node-deal-tcp-2 }"},
       {"no-endpoint-services { 10"}},
      {"internal Local with none here",
       "internalTrafficPolicy: Local, " + port,
       cidr,
       "t",
       {"no-endpoint-services { 10.96.1.1 . tcp . 80 : drop }"},
       {"services { 10.96.1.1 . tcp . 80 : goto"}},
      {"internal Local with none anywhere",
       "internalTrafficPolicy: Local, " + port,
       cidr,
       "",
       {"no-endpoint-services { 10.96.1.1 . tcp . 80 : goto reject-connection }"},
       {}},
      {"external Local with one here",
       local + port,
       cidr,
       "ht",
       {"service-nodeports { tcp . 30080 : goto node-external-local }",
        "local-node-deals { tcp . 30080 : goto local-node-deal-tcp-1 }",
        "node-deals { tcp . 30080 : goto node-deal-tcp-2 }"},
       {}},
      {"external Local with none here: pods may, others are dropped",
       local + port,
       cidr,
       "t",
       {"service-nodeports { tcp . 30080 : goto node-external-local }",
        "node-deals { tcp . 30080 : goto node-deal-tcp-1 }",
        "no-endpoint-nodeports { tcp . 30080 : drop }"},
       {"local-node-deals { tcp"}},
      {"external Local falls back to who ends here",
       local + port,
       cidr,
       "td",
       {"local-node-endpoints-tcp { 30080 . 0 : 10.244.0.2 . 8080 }"},
       {}},
      {"both Local",
       local + "internalTrafficPolicy: Local, " + port,
       cidr,
       "ht",
       {"services { 10.96.1.1 . tcp . 80 : goto internal-local }",
        "service-nodeports { tcp . 30080 : goto node-external-local }"},
       {}},
      {"node ports everywhere",
       port,
       cidr,
       "h",
       {"fib daddr type local ip daddr != 127.0.0.0/8"},
       {"nodeport-ips"}},
      {"node ports at some addresses",
       port,
       some,
       "h",
       {"elements = { 172.18.0.2 }", "ip daddr @nodeport-ips meta l4proto"},
       {"ip daddr != 127.0.0.0/8"}},
      {"what is not the cluster's is masqueraded",
       port,
       cidr,
       "h",
       {"ip saddr != 10.244.0.0/16 jump mark-for-masquerade", "meta mark or 0x4000"},
       {}},
      {"everything is masqueraded",
       port,
       all,
       "h",
       {"chain internal {\n  jump mark-for-masquerade\n", "meta mark or 0x20"},
       {}},
      {"no affinity, no chain of its own", port, cidr, "h", {}, {"clients-"}},
      {"affinity",
       "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: "
       "77}}, " +
           port,
       cidr,
       "ht",
       {"deals { 10.96.1.1 . tcp . 80 : goto service-", "timeout 77s"},
       {" endpoints-tcp { 10.96.1.1"}},
      {"ports that a service has not are refused",
       port,
       cidr,
       "h",
       {"cluster-ips { 10.96.1.1 }", "ip daddr @cluster-ips reject"},
       {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    ServiceTable t("here");
    Ruleset r(c.options);
    set_service(
        t, "metadata: {name: web, namespace: it}\nspec: {type: NodePort, clusterIP: 10.96.1.1, " +
               c.spec + "}");
    std::string slice =
        "metadata: {name: web-1, namespace: it, labels: {kubernetes.io/service-name: web}}\n"
        "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n";
    for (char who : c.slice) {
      const int last = who == 'h' ? 1 : who == 'd' ? 2 : 3;
      slice +=
          "- {addresses: [10.244.0." + std::to_string(last) +
          "], nodeName: " + (who == 't' ? "there" : "here") +
          (who == 'd' ? ", conditions: {ready: false, serving: true, terminating: true}" : "") +
          "}\n";
    }
    if (!c.slice.empty()) set_slice(t, slice);
    r.reset();
    r.update("it/web", t.forwards("it/web"), t.local_ips("it/web"));
    const std::string text = r.take();
    for (const auto& said : c.said) EXPECT_THAT(text, HasSubstr(said));
    for (const auto& unsaid : c.unsaid) EXPECT_THAT(text, Not(HasSubstr(unsaid)));
  }
}

TEST(Ruleset, OfTheOtherFamily) {
  const std::string service =
      "metadata: {name: web, namespace: it}\nspec: {type: LoadBalancer, clusterIP: 10.96.1.1, "
      "clusterIPs: "
      "[10.96.1.1, 'fd00:96::1'], externalIPs: [192.0.2.1, '2001:db8::7'], ports: [{port: 80, "
      "nodePort: 30080}]}\nstatus: {loadBalancer: {ingress: [{ip: '2001:db8::8'}]}}";
  const std::string slice =
      "metadata: {name: web-6, namespace: it, labels: {kubernetes.io/service-name: "
      "web}}\naddressType: "
      "IPv6\nports: [{port: 8080}]\nendpoints: [{addresses: ['fd00:244::5'], nodeName: here}]";
  for (bool v6 : {false, true}) {
    ServiceTable t("here", v6);
    set_service(t, service);
    set_slice(t, slice);
    Ruleset r(RulesetOptions{.v6 = v6});
    r.reset();
    r.update("it/web", t.forwards("it/web"), t.local_ips("it/web"));
    const std::string text = r.take();
    if (!v6) {
      EXPECT_THAT(text, HasSubstr("no-endpoint-services { 10.96.1.1 . tcp . 80 : goto reject"));
      EXPECT_THAT(text, Not(HasSubstr("::")));
      continue;
    }
    EXPECT_THAT(text, HasSubstr("endpoints-tcp { 2001:db8::7 . 80 . 0 : fd00:244::5 . 8080, "
                                "2001:db8::8 . 80 . 0 : fd00:244::5 . 8080, fd00:96::1 . 80 . "
                                "0 : fd00:244::5 . 8080 }"));
    EXPECT_THAT(text, HasSubstr("add element ip6 keles-proxy node-endpoints-tcp { 30080 . 0 : "));
    EXPECT_THAT(text, Not(HasSubstr("10.96")));
  }
}

TEST_F(RulesetSteps, GuardsDropWhoIsInNoRange) {
  set_service(table, kBalanced);
  std::string text = step("default/lb");
  EXPECT_THAT(text, HasSubstr("guarded-services { 203.0.113.9 . tcp . 80 : goto guard-"));
  EXPECT_THAT(text, HasSubstr("ip saddr 198.51.100.0/24 return\n"));
  EXPECT_THAT(text, Not(HasSubstr("guarded-services { 192.0.2.7")));
  EXPECT_LT(text.find(" return\n"), text.find(" drop\n"));
}

// Whatever a user can write into strings, the text that root's nftables reads has none of it.
constexpr std::string_view kAttack = "1.2.3.4 } ; flush ruleset ; add table ip owned { # \n\"$(x)`";

// As YAML's double-quoted scalar.
std::string quoted(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string attack_service(std::string_view which) {
  auto text = [&](std::string_view field, std::string_view harmless) {
    return which == field || which == "all" ? quoted(kAttack) : std::string(harmless);
  };
  return "metadata: {name: " + text("name", "web") +
         ", namespace: " + text("namespace", "default") +
         "}\nspec:\n  type: " + text("type", "LoadBalancer") +
         "\n  clusterIP: " + text("clusterIP", "10.96.1.1") +
         "\n  loadBalancerIP: " + text("loadBalancerIP", "203.0.113.9") + "\n  externalIPs: [" +
         text("externalIP", "192.0.2.7") + ", 192.0.2.8]" + "\n  loadBalancerSourceRanges: [" +
         text("range", "10.0.0.0/8") + ", 11.0.0.0/8]" +
         "\n  sessionAffinity: " + text("affinity", "ClientIP") +
         "\n  externalTrafficPolicy: " + text("external", "Local") +
         "\n  internalTrafficPolicy: " + text("internal", "Cluster") +
         "\n  ports: [{port: 80, nodePort: 30080, name: " + text("port", "http") +
         ", protocol: " + text("protocol", "TCP") + "}, {port: 81, name: other}]" +
         "\nstatus: {loadBalancer: {ingress: [{ip: " + text("ingress", "203.0.113.9") +
         ", ipMode: " + text("mode", "VIP") + ", hostname: " + text("hostname", "x.org") + "}]}}\n";
}

std::string attack_slice(std::string_view which) {
  auto text = [&](std::string_view field, std::string_view harmless) {
    return which == field || which == "all" ? quoted(kAttack) : std::string(harmless);
  };
  return "metadata: {name: " + text("slice", "web-1") +
         ", namespace: " + text("namespace", "default") +
         ", labels: {kubernetes.io/service-name: " + text("name", "web") +
         "}}\naddressType: IPv4\nports: [{port: 8080, name: " + text("port", "http") +
         ", protocol: " + text("slice-protocol", "TCP") +
         "}, {port: 8081, name: other}]\nendpoints: [{addresses: [" +
         text("address", "10.244.0.2") + "], nodeName: " + text("node", "here") +
         "}, {addresses: [10.244.0.3], nodeName: here}]\n";
}

TEST_F(RulesetSteps, NoStringOfAUserIsACommand) {
  for (std::string_view which :
       {"name",       "namespace",      "type",     "clusterIP", "loadBalancerIP",
        "externalIP", "range",          "affinity", "external",  "internal",
        "port",       "protocol",       "ingress",  "mode",      "hostname",
        "slice",      "slice-protocol", "address",  "node",      "all"}) {
    SCOPED_TRACE(which);
    table = ServiceTable("here");
    std::string text = fresh();
    set_service(table, attack_service(which));
    set_slice(table, attack_slice(which));
    for (const std::string& service : table.take_dirty()) text += step(service);
    EXPECT_THAT(text, Not(HasSubstr(" flush")));
    EXPECT_THAT(text, Not(HasSubstr(" ruleset")));
    EXPECT_THAT(text, Not(HasSubstr("1.2.3.4 ")));
    EXPECT_THAT(text, Not(HasSubstr("#")));
    // What is sound in the service works on, but where its own address is the attack.
    if (which != "all" && which != "clusterIP") {
      EXPECT_THAT(text, HasSubstr("10.96.1.1 . tcp . 81"));
    }
    // A name of nftables' own grammar: letters, digits and these.
    for (size_t at = text.find("add chain "); at != text.npos;
         at = text.find("add chain ", at + 1)) {
      std::string line = text.substr(at + 10, text.find('\n', at) - at - 10);
      EXPECT_EQ(line.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-./ "), line.npos)
          << line;
    }
  }
}

TEST(Addresses, ParseWholeOrNotAtAll) {
  for (std::string_view good : {"1.2.3.4", "255.255.255.255", "0.0.0.0"}) {
    EXPECT_EQ(ip(good).text(), good);
  }
  EXPECT_EQ(ip("010.0.0.1").text(), "10.0.0.1");
  for (std::string_view bad : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4",
                               "1..2.3", "+1.2.3.4", "0x7f.0.0.1", "127.1", "::1", "1.2.3.4}"}) {
    EXPECT_FALSE(parse_address(bad, false)) << bad;
  }
  for (std::string_view bad :
       {"127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.5", "255.255.255.255"}) {
    EXPECT_FALSE(ip(bad).is_global_unicast()) << bad;
  }
  for (std::string_view bad : {"1.2.3.4", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/8;", "1.2.3.4/-1"}) {
    EXPECT_FALSE(parse_range(bad, false)) << bad;
  }
  EXPECT_EQ(parse_range("1.2.3.4/0", false)->text(), "0.0.0.0/0");
  EXPECT_FALSE(parse_protocol("tcp ; flush ruleset"));
  EXPECT_FALSE(port_number(65536));
  EXPECT_FALSE(port_number(0));
}

TEST(HealthPage, SaysWhatKubeProxySays) {
  Health h;
  h.v4 = true;
  h.updated = *parse_time("2026-01-01T00:00:00Z");
  h.now = *parse_time("2026-01-01T00:02:00Z");
  EXPECT_EQ(health_json(h, true),
            R"({"lastUpdated":"2026-01-01T00:02:00Z","currentTime":"2026-01-01T00:02:00Z",)"
            R"("nodeEligible":true,"healthy":true,)"
            R"("status":{"IPv4":{"lastUpdated":"2026-01-01T00:00:00Z","healthy":true}}})");
  h.healthy = false;
  h.v6 = true;
  EXPECT_EQ(health_json(h, false),
            R"({"lastUpdated":"2026-01-01T00:00:00Z","currentTime":"2026-01-01T00:02:00Z",)"
            R"("healthy":false,)"
            R"("status":{"IPv4":{"lastUpdated":"2026-01-01T00:00:00Z","healthy":false},)"
            R"("IPv6":{"lastUpdated":"2026-01-01T00:00:00Z","healthy":false}}})");
  EXPECT_EQ(metrics_of("# HELP kubeproxy_a text\n# TYPE kubeproxy_a counter\nkubeproxy_a 1\n# HELP "
                       "kubelet_b kubeproxy_\nkubelet_b{x=\"kubeproxy_\"} 1",
                       "kubeproxy_"),
            "# HELP kubeproxy_a text\n# TYPE kubeproxy_a counter\nkubeproxy_a 1\n");
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
  apply(fresh());
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
  ConntrackSettings settings;
  settings.tcp_close_wait = 61min;
  Status set = kernel->configure(settings);
  if (access("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait", W_OK) == 0) {
    EXPECT_TRUE(set.ok()) << set.to_string();
    EXPECT_EQ(read_file("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait").value_or(""),
              "3660\n");
  }
  Result<int> n = kernel->forget({{ip("10.96.0.10"), 53, {}}});
  EXPECT_TRUE(n.ok()) << n.status().to_string();
  table.remove_service("default", "web");
  table.remove_slice("default", "web-1");
  apply(step("default/web"));
  set_service(table, kBalanced);
  apply(step("default/lb"));
  table.remove_service("default", "lb");
  apply(step("default/lb"));
  apply(fresh());
  set_service(table, attack_service("all"));
  set_slice(table, attack_slice("all"));
  set_service(table, attack_service("name"));
  set_slice(table, attack_slice("name"));
  for (const std::string& service : table.take_dirty()) apply(step(service));
  apply(fresh());
  apply(rules.remove());
}

}  // namespace
}  // namespace keles::proxy
