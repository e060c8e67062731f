// Balancers whose addresses are of a pool: which each Service has, who announces it, their lives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "client/announced_by.h"
#include "controllers/cluster_testing.h"
#include "controllers/load_balancer_plan.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Event;
using api::core_v1::Node;
using api::core_v1::Service;
using testing::HasSubstr;
using testing::Not;

IpAddress ip(const std::string& text) { return *IpAddress::parse(text); }

// `second`: of its creation; `has`: what its status shows.
Ref<Service> service(const std::string& name, int second, const std::string& spec = "",
                     const std::string& has = "", const std::string& wants = "") {
  std::string ingress;
  for (size_t at = 0; at < has.size();) {
    const size_t end = std::min(has.find(' ', at), has.size());
    ingress += "{ip: '" + has.substr(at, end - at) + "'}, ";
    at = end + 1;
  }
  return parse<Service>("{metadata: {name: " + name + ", namespace: d, uid: u-" + name +
                        ", creationTimestamp: '2026-01-01T00:00:0" + std::to_string(second) +
                        "Z', annotations: {keles.dev/load-balancer-ips: '" + wants +
                        "'}}, spec: {type: LoadBalancer" + spec +
                        "}, status: {loadBalancer: {ingress: [" + ingress + "]}}}");
}

struct PoolPlans : testing::Test {
  AddressPool pool = *AddressPool::parse("10.0.0.8-10.0.0.10,fd00::8/127");
  PoolView view;
  PoolPlans() { view.pool = &pool; }
  std::string plan(const Ref<Service>& s) {
    PoolPlan p = plan_pool_addresses(*s, view);
    std::string out;
    for (const IpAddress& a : p.addresses) out += a.text() + " ";
    return out + (p.status.ok() ? "" : "! " + p.status.message());
  }
};

const std::string kDual = ", ipFamilies: [IPv6, IPv4], ipFamilyPolicy: ";

TEST_F(PoolPlans, TheFirstThatIsFree) {
  EXPECT_EQ(plan(service("a", 1)), "10.0.0.8 ");
  view.services = {service("b", 9, "", "10.0.0.8"),
                   service("c", 9, ", loadBalancerClass: x/y", "10.0.0.9 not-an-address")};
  EXPECT_EQ(plan(service("a", 1)), "10.0.0.10 ") << "nobody else's, of whatever class";
  view.given = {{"d/e", {ip("10.0.0.10")}}};
  EXPECT_EQ(plan(service("a", 1)), "! no IPv4 address of the pool is free (--load-balancer-pool)");
  view.given.clear();
  view.nodes = {ip("10.0.0.10")};
  EXPECT_EQ(plan(service("a", 1)), "! no IPv4 address of the pool is free (--load-balancer-pool)");
}

TEST_F(PoolPlans, WhatItHasStays) {
  const auto has = service("a", 5, "", "10.0.0.9");
  EXPECT_EQ(plan(has), "10.0.0.9 ");
  view.services = {has, service("young", 9, "", "10.0.0.9")};
  EXPECT_EQ(plan(has), "10.0.0.9 ") << "of two that show one the older has it";
  view.services = {has, service("old", 1, "", "10.0.0.9")};
  EXPECT_EQ(plan(has), "10.0.0.8 ");
  view.services.clear();
  view.given = {{"d/b", {ip("10.0.0.9")}}};
  EXPECT_EQ(plan(has), "10.0.0.8 ") << "what was given here is not for who writes a status";
  view.given = {{"d/a", {ip("10.0.0.10")}}};
  EXPECT_EQ(plan(service("a", 5)), "10.0.0.10 ") << "given, and not heard of yet";
  view.given.clear();
  view.nodes = {ip("10.0.0.9")};
  EXPECT_EQ(plan(has), "10.0.0.8 ") << "never a node's";
  view.nodes.clear();
  EXPECT_EQ(plan(service("a", 5, "", "192.168.1.1")), "10.0.0.8 ") << "never another's";
}

TEST_F(PoolPlans, WhatItAsksFor) {
  struct Row {
    const char *spec, *wants, *planned;
  };
  view.services = {service("b", 9, "", "10.0.0.9")};
  for (const Row& r : std::initializer_list<Row>{
           {", loadBalancerIP: 10.0.0.10", "", "10.0.0.10 "},
           {"", "10.0.0.10", "10.0.0.10 "},
           {", ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack", "10.0.0.10,fd00::9",
            "fd00::9 10.0.0.10 "},
           {", ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack", "10.0.0.10",
            "fd00::8 10.0.0.10 "},
           {", loadBalancerIP: 10.0.0.9", "",
            "10.0.0.8 ! requested address 10.0.0.9 is taken by service d/b"},
           {", loadBalancerIP: 10.0.1.9", "",
            "10.0.0.8 ! requested address 10.0.1.9 is not in the pool (--load-balancer-pool)"},
           {", loadBalancerIP: 10.0.0.10", "10.0.0.10",
            "10.0.0.8 ! addresses are requested by spec.loadBalancerIP and by "
            "keles.dev/load-balancer-ips: want one of them"},
           {"", "ten", "10.0.0.8 ! requested address \"ten\" is none"},
           {"", "fd00::9",
            "10.0.0.8 ! requested address fd00::9 is IPv6, which is not among "
            "spec.ipFamilies"},
           {"", "10.0.0.8,10.0.0.10", "10.0.0.8 ! two IPv4 addresses are requested"},
       }) {
    EXPECT_EQ(plan(service("a", 5, r.spec, "10.0.0.8", r.wants)), r.planned) << r.spec << r.wants;
  }
}

TEST_F(PoolPlans, OneOfEachFamily) {
  EXPECT_EQ(plan(service("a", 5, kDual + "RequireDualStack")), "fd00::8 10.0.0.8 ");
  EXPECT_EQ(plan(service("a", 5, ", ipFamilies: [IPv6]", "10.0.0.8")), "fd00::8 ");
  pool = *AddressPool::parse("10.0.0.8/31");
  EXPECT_EQ(plan(service("a", 5, kDual + "PreferDualStack")), "10.0.0.8 ");
  EXPECT_EQ(plan(service("a", 5, kDual + "RequireDualStack", "10.0.0.8")),
            "10.0.0.8 ! the pool has no IPv6 addresses (--load-balancer-pool)");
  EXPECT_EQ(plan(service("a", 5, ", ipFamilies: [IPv6]")),
            "! the pool has no IPv6 addresses (--load-balancer-pool)");
}

Ref<Node> node(const std::string& name, const std::string& ready = "True") {
  return parse<Node>("{metadata: {name: " + name +
                     "}, status: {conditions: [{type: Ready, status: '" + ready + "'}]}}");
}

TEST(Announcer, IsOneNodeThatCan) {
  const std::vector<Ref<Node>> nodes = {node("a"), node("b"), node("c"), node("down", "Unknown")};
  auto announced = [](const std::string& name, const std::string& by,
                      const std::string& more = "") {
    return parse<Service>("{metadata: {name: " + name +
                          ", namespace: d, annotations: {keles.dev/announced-by: '" + by +
                          "'}}, spec: {type: LoadBalancer" + more + "}}");
  };
  for (const char* n : {"a", "b", "c"}) EXPECT_EQ(plan_announcer(*announced("s", n), nodes, {}), n);
  EXPECT_NE(plan_announcer(*announced("s", "down"), nodes, {}), "down");
  EXPECT_NE(plan_announcer(*announced("s", "gone"), nodes, {}), "gone");
  EXPECT_EQ(plan_announcer(*announced("s", ""), {node("x", "False")}, {}), "");
  const std::string local = ", externalTrafficPolicy: Local";
  EXPECT_EQ(plan_announcer(*announced("s", "a", local), nodes, {"b", "down"}), "b");
  EXPECT_EQ(plan_announcer(*announced("s", "a", local), nodes, {}), "");
  std::map<std::string, int> of;
  for (int i = 0; i < 300; ++i) {
    const auto s = announced("s" + std::to_string(i), "");
    const std::string by = plan_announcer(*s, nodes, {});
    ++of[by];
    // Where another node goes, it stays.
    for (size_t gone = 0; gone < 3; ++gone) {
      auto left = nodes;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(gone));
      if (nodes[gone]->metadata().name() == by) continue;
      EXPECT_EQ(plan_announcer(*s, left, {}), by);
    }
  }
  EXPECT_EQ(of.size(), 3u);
  for (const auto& [n, count] : of) EXPECT_GT(count, 60) << n;
}

struct PoolCluster : TestCluster {
  explicit PoolCluster(const std::string& pool) : TestCluster({"service-lb-controller"}) {
    options.load_balancer_pool = *AddressPool::parse(pool);
    for (const char* n : {"n1", "n2"}) put_node(n, "True");
  }
  void put_node(const std::string& n, const std::string& ready, const std::string& address = "") {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: " + n +
                    "}, status: {conditions: [{type: Ready, status: '" + ready +
                    "'}], addresses: [{type: InternalIP, address: '" + address + "'}]}}");
  }
  void put_service(const std::string& name, const std::string& spec = "") {
    client.put_yaml("{apiVersion: v1, kind: Service, metadata: {name: " + name +
                    ", namespace: d, uid: u-" + name + "}, spec: {type: LoadBalancer" + spec +
                    ", ports: [{port: 80}]}}");
    loop.advance(1s);
  }
  void set_type(const std::string& name, const std::string& type) {
    Draft<api::core_v1::ServiceEdit> d(*get(name));
    d->edit_spec().set_type(type);
    client.put(kind_of<Service>(), d.take());
    loop.advance(1s);
  }
  Ref<Service> get(const std::string& name) { return client.now<Service>("d", name); }
  std::string addresses(const std::string& name) {
    std::string out;
    for (auto i : get(name)->status().load_balancer().ingress())
      out += std::string(i.ip()) + "/" + std::string(i.ip_mode()) + " ";
    return out;
  }
  std::string announcer(const std::string& name) {
    return std::string(get(name)->metadata().annotations().get(kAnnouncedBy));
  }
};

Task<void> remove_service(Context ctx, FakeClient* client, std::string name) {
  (void)co_await client->remove<Service>(ctx, "d", std::move(name));
}

TEST(LoadBalancerPool, AddressesAreGivenKeptAndReleased) {
  PoolCluster c("10.0.0.8/31");
  c.start();
  // At once: no informer has shown one's address when the next is given.
  c.put_service("a");
  c.put_service("b");
  EXPECT_EQ(c.addresses("a"), "10.0.0.8/VIP ");
  EXPECT_EQ(c.addresses("b"), "10.0.0.9/VIP ");
  c.put_service("c");
  EXPECT_EQ(c.addresses("c"), "");
  EXPECT_TRUE(c.told().contains(
      "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: no "
      "IPv4 address of the pool is free (--load-balancer-pool)"));
  c.restart();
  EXPECT_EQ(c.addresses("a") + c.addresses("b") + c.addresses("c"), "10.0.0.8/VIP 10.0.0.9/VIP ");
  const int64_t quiet = c.client.revision();
  c.loop.advance(30s);
  EXPECT_EQ(c.client.revision(), quiet) << "who waits writes nothing";
  spawn(c.loop, remove_service(c.ctx, &c.client, "a"));
  c.loop.advance(5s);
  EXPECT_EQ(c.addresses("c"), "10.0.0.8/VIP ") << "at once, not when it is tried again";
  c.put_service("e");
  c.set_type("b", "NodePort");
  EXPECT_EQ(c.addresses("b"), "");
  EXPECT_EQ(c.announcer("b"), "");
  EXPECT_EQ(c.addresses("e"), "10.0.0.9/VIP ");
}

TEST(LoadBalancerPool, ANodeAnnouncesAndAnotherTakesOver) {
  PoolCluster c("10.0.0.8/31");
  c.start();
  c.put_service("a");
  const std::string first = c.announcer("a"), other = first == "n1" ? "n2" : "n1";
  EXPECT_TRUE(c.told().contains("NodeAssigned: Announcing from node \"" + first + "\""));
  c.put_node(first, "Unknown");
  c.loop.advance(1s);
  EXPECT_EQ(c.announcer("a"), other);
  c.put_node(first, "True");
  c.loop.advance(1s);
  EXPECT_EQ(c.announcer("a"), other) << "nothing moves that need not";
  EXPECT_EQ(c.addresses("a"), "10.0.0.8/VIP ");
  // A node that comes to have the address has it.
  c.put_node("n3", "False", "10.0.0.8");
  c.loop.advance(1s);
  EXPECT_EQ(c.addresses("a"), "10.0.0.9/VIP ");
  for (const char* n : {"n1", "n2"}) c.put_node(n, "False");
  c.loop.advance(1s);
  EXPECT_EQ(c.announcer("a"), "");
  EXPECT_EQ(c.addresses("a"), "10.0.0.9/VIP ");
}

TEST(LoadBalancerPool, WhatIsSomebodyElsesIsLeftAlone) {
  PoolCluster c("10.0.0.8/31");
  c.start();
  c.put_service("a", ", loadBalancerClass: example.com/mine");
  EXPECT_EQ(c.addresses("a"), "");
  EXPECT_EQ(c.get("a")->metadata().finalizers().size(), 0u);
}

}  // namespace
}  // namespace keles::controllers
