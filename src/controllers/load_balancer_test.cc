// Balancers of Services: what is wished, what a local cluster gives, and their lives.
#include "controllers/load_balancer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/cluster_testing.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Event;
using api::core_v1::Node;
using api::core_v1::Service;
using testing::HasSubstr;

TEST(LoadBalancer, IsWishedByTypeAndClass) {
  const std::string finalizer = "finalizers: [service.kubernetes.io/load-balancer-cleanup]";
  struct Row {
    std::string meta, spec;
    BalancerWish wish;
  } rows[] = {
      {"name: a", "type: LoadBalancer", BalancerWish::kEnsure},
      {"name: a", "type: NodePort", BalancerWish::kNothing},
      {"name: a", "type: LoadBalancer, loadBalancerClass: example.com/mine",
       BalancerWish::kNothing},
      {finalizer, "type: NodePort", BalancerWish::kRemove},
      {finalizer, "type: LoadBalancer", BalancerWish::kEnsure},
      {finalizer + ", deletionTimestamp: '2026-01-01T00:00:00Z'", "type: LoadBalancer",
       BalancerWish::kRemove},
      {"deletionTimestamp: '2026-01-01T00:00:00Z'", "type: LoadBalancer", BalancerWish::kNothing},
  };
  for (const Row& r : rows) {
    auto s = parse<Service>("{metadata: {" + r.meta + "}, spec: {" + r.spec + "}}");
    EXPECT_EQ(plan_balancer(*s), r.wish) << r.meta << " " << r.spec;
  }
}

TEST(LoadBalancer, NodesMayBeLeftOut) {
  struct Row {
    const char* node;
    bool takes;
  };
  for (const Row& r : std::initializer_list<Row>{
           {"metadata: {name: n}", true},
           {"metadata: {labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}}",
            false},
           {"metadata: {labels: {node.kubernetes.io/exclude-from-external-load-balancers: "
            "'true'}}",
            false},
           {"metadata: {labels: {node.kubernetes.io/exclude-from-external-load-balancers: "
            "'false'}}",
            true},
           {"spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}", false},
           {"metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}", false}}) {
    EXPECT_EQ(takes_balanced(*parse<Node>("{" + std::string(r.node) + "}")), r.takes) << r.node;
  }
}

Ref<Node> node(const std::string& name, const std::string& ip, const std::string& ready = "True") {
  return parse<Node>("{metadata: {name: " + name +
                     "}, status: {conditions: [{type: Ready, status: '" + ready +
                     "'}], addresses: [{type: InternalIP, address: '" + ip + "'}]}}");
}

Ref<Service> service(const std::string& name, const std::string& ports, int second,
                     const std::string& more = "", const std::string& status = "") {
  return parse<Service>("{metadata: {name: " + name + ", namespace: d, uid: u-" + name +
                        ", creationTimestamp: '2026-01-01T00:00:0" + std::to_string(second) +
                        "Z'}, spec: {type: LoadBalancer, ports: [" + ports + "]" + more +
                        "}, status: {" + status + "}}");
}

TEST(LoadBalancer, OfALocalClusterIsItsNodes) {
  const std::vector<Ref<Node>> nodes = {node("b", "172.18.0.10"), node("a", "172.18.0.9"),
                                        node("six", "fd00::1"),
                                        node("down", "172.18.0.4", "Unknown")};
  auto plan = [&](const Ref<Service>& s, LocalBalancerView view) {
    auto r = plan_local_balancer(*s, nodes, view);
    if (!r.ok()) return r.status().message();
    std::string out;
    for (const auto& a : *r) out += a.ip + " ";
    return out;
  };
  const auto web = service("web", "{port: 80}", 5);
  EXPECT_EQ(plan(web, {}), "172.18.0.9 172.18.0.10 ");
  EXPECT_EQ(
      plan(service("web", "{port: 80}", 5, ", externalTrafficPolicy: Local"), {{}, {"b"}, {}}),
      "172.18.0.10 ");
  EXPECT_EQ(plan(web, {{}, {}, {80}}), "port 80/TCP is the nodes' own");
  EXPECT_EQ(plan(web, {{web, service("old", "{port: 80}", 1)}, {}, {}}),
            "port 80/TCP is taken by service d/old");
  EXPECT_EQ(plan(web, {{web, service("young", "{port: 80}", 9)}, {}, {}}),
            "172.18.0.9 172.18.0.10 ");
  // Made in the same second, or even before it: who has the port keeps it.
  const auto has = service("zz", "{port: 80}", 5, "", "loadBalancer: {ingress: [{ip: 1.2.3.4}]}");
  const auto wants = service("aa", "{port: 80}", 1);
  EXPECT_EQ(plan(web, {{web, has}, {}, {}}), "port 80/TCP is taken by service d/zz");
  EXPECT_EQ(plan(wants, {{wants, has}, {}, {}}), "port 80/TCP is taken by service d/zz");
  EXPECT_EQ(plan(has, {{wants, has}, {}, {}}), "172.18.0.9 172.18.0.10 ");
  EXPECT_EQ(plan(web, {{web, service("udp", "{port: 80, protocol: UDP}", 1)}, {}, {}}),
            "172.18.0.9 172.18.0.10 ");
  EXPECT_EQ(plan(web, {{service("foreign", "{port: 80}", 1, ", loadBalancerClass: x/y")}, {}, {}}),
            "172.18.0.9 172.18.0.10 ");
  EXPECT_EQ(plan(service("high", "{port: 30080}", 5),
                 {{service("other", "{port: 81, nodePort: 30080}", 9)}, {}, {}}),
            "port 30080/TCP is taken by service d/other as its node port");
  const auto own = service("own", "{port: 30080, nodePort: 30080}", 5);
  EXPECT_EQ(plan(own, {{own}, {}, {}}), "172.18.0.9 172.18.0.10 ") << "in nobody's way but its own";
}

struct BalancedCluster : TestCluster {
  BalancedCluster() : TestCluster({"service-lb-controller"}) {
    options.local_load_balancers = true;
    for (const char* n : {"1", "2"}) put_node(n, "True");
  }
  void put_node(const std::string& n, const std::string& ready) {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n" + n +
                    "}, status: {conditions: [{type: Ready, status: '" + ready +
                    "'}], addresses: [{type: InternalIP, address: 172.18.0." + n + "}]}}");
  }
  void put_service(const std::string& type) {
    client.put_yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: d, uid: u}, spec: "
        "{type: " +
        type + ", ports: [{port: 80}]}}");
  }
  Ref<Service> web() { return client.now<Service>("d", "web"); }
  std::string addresses() {
    std::string out;
    for (auto i : web()->status().load_balancer().ingress())
      out += std::string(i.ip()) + "/" + std::string(i.ip_mode()) + " ";
    return out;
  }
  std::string reasons() {
    std::string out;
    for (const auto& e : client.all<Event>("d")) out += std::string(e->reason()) + " ";
    return out;
  }
};

Task<void> remove_service(Context ctx, FakeClient* client) {
  (void)co_await client->remove<Service>(ctx, "d", "web");
}

TEST(LoadBalancer, LivesWithItsService) {
  BalancedCluster c;
  c.start();
  c.put_service("LoadBalancer");
  c.loop.advance(1s);
  ASSERT_EQ(c.web()->metadata().finalizers().size(), 1u);
  EXPECT_EQ(c.addresses(), "172.18.0.1/VIP 172.18.0.2/VIP ");
  EXPECT_THAT(c.reasons(), HasSubstr("EnsuringLoadBalancer"));
  EXPECT_THAT(c.reasons(), HasSubstr("EnsuredLoadBalancer"));
  const int64_t quiet = c.client.revision();
  c.loop.advance(5min);
  EXPECT_EQ(c.client.revision(), quiet) << "nothing changed, nothing is written";
  c.put_node("2", "False");
  c.loop.advance(1min);
  EXPECT_EQ(c.addresses(), "172.18.0.1/VIP ");
  EXPECT_THAT(c.reasons(), HasSubstr("UpdatedLoadBalancer"));
  spawn(c.loop, remove_service(c.ctx, &c.client));
  c.loop.advance(1min);
  EXPECT_FALSE(c.web());
  EXPECT_THAT(c.reasons(), HasSubstr("DeletedLoadBalancer"));
}

TEST(LoadBalancer, GoesWithTheType) {
  BalancedCluster c;
  c.start();
  c.put_service("LoadBalancer");
  c.loop.advance(1s);
  Draft<api::core_v1::ServiceEdit> d(*c.web());
  d->edit_spec().set_type("ClusterIP");
  c.client.put(kind_of<Service>(), d.take());
  c.loop.advance(1s);
  EXPECT_EQ(c.addresses(), "");
  EXPECT_EQ(c.web()->metadata().finalizers().size(), 0u);
}

// A cloud of which every other call fails.
struct Cloud final : LoadBalancers {
  Task<Result<std::vector<BalancerAddress>>> ensure(Context, Ref<Service>,
                                                    std::vector<Ref<Node>> nodes) override {
    if (++calls % 2 == 1) co_return Status::unavailable("the cloud is away");
    std::vector<BalancerAddress> out;
    if (!nodes.empty()) out.push_back({"", "lb.example.com", ""});
    co_return out;
  }
  Task<Status> remove(Context, Ref<Service>) override {
    ++removed;
    if (++calls % 2 == 1) co_return Status::unavailable("the cloud is away");
    co_return Status();
  }
  int calls = 0, removed = 0;
};

TEST(LoadBalancer, OfACloudIsAskedUntilItAnswers) {
  BalancedCluster c;
  Cloud cloud;
  c.options.load_balancers = &cloud;
  c.start();
  c.put_service("LoadBalancer");
  c.loop.advance(10s);
  ASSERT_EQ(c.web()->status().load_balancer().ingress().size(), 1u);
  EXPECT_EQ(c.web()->status().load_balancer().ingress()[0].hostname(), "lb.example.com");
  EXPECT_THAT(c.reasons(), HasSubstr("SyncLoadBalancerFailed"));
  spawn(c.loop, remove_service(c.ctx, &c.client));
  c.loop.advance(1min);
  EXPECT_FALSE(c.web());
  EXPECT_GE(cloud.removed, 1);
}

}  // namespace
}  // namespace keles::controllers
