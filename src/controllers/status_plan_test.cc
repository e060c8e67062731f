// The plans that write what others read: Endpoints, conditions of nodes and of namespaces that go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/endpoints.h"
#include "controllers/namespace.h"
#include "controllers/node_lifecycle.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"

namespace keles::controllers {
namespace {

using namespace api::core_v1;

template <class T>
Ref<T> parse(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().to_string();
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

const WallTime kNow = *parse_time("2026-01-01T12:00:00Z");

// "port/protocol: ready | not ready" of each subset.
std::string told(const Endpoints& e) {
  std::string out;
  for (EndpointSubset s : e.subsets()) {
    if (!out.empty()) out += "; ";
    for (EndpointPort p : s.ports()) {
      if (!p.name().empty()) out += std::string(p.name()) + "=";
      out += std::to_string(p.port()) + " ";
    }
    out += ":";
    for (EndpointAddress a : s.addresses()) out += " " + std::string(a.ip());
    out += " |";
    for (EndpointAddress a : s.not_ready_addresses()) out += " " + std::string(a.ip());
  }
  return out;
}

Ref<Pod> pod(const std::string& name, const std::string& more) {
  return parse<Pod>("metadata: {name: " + name + ", namespace: default, uid: u-" + name +
                    (more.find("deleted") != std::string::npos
                         ? ", deletionTimestamp: '2026-01-01T11:59:00Z'"
                         : "") +
                    "}\nspec: {nodeName: n, containers: [{name: c, ports: [{name: web, "
                    "containerPort: 8080}]}]}\nstatus: {phase: " +
                    (more.find("ended") != std::string::npos ? "Failed" : "Running") +
                    (more.find("no address") != std::string::npos
                         ? ""
                         : ", podIP: 10.0.0." + name + ", podIPs: [{ip: 10.0.0." + name + "}]") +
                    ", conditions: [{type: Ready, status: '" +
                    (more.find("unready") != std::string::npos ? "False" : "True") + "'}]}\n");
}

TEST(PlanEndpoints, SaysWhereAServiceLeads) {
  struct Case {
    std::string ports, spec;
    std::vector<std::pair<std::string, std::string>> pods;  // name (last byte), what of it
    std::string expected;
  };
  const Case cases[] = {
      {"{port: 80, targetPort: 8080}", "", {{"1", ""}, {"2", ""}}, "8080 : 10.0.0.1 10.0.0.2 |"},
      {"{port: 80, targetPort: 8080}",
       "",
       {{"1", ""}, {"2", "unready"}},
       "8080 : 10.0.0.1 | 10.0.0.2"},
      {"{port: 80, targetPort: web}", "", {{"1", ""}}, "8080 : 10.0.0.1 |"},
      {"{port: 80, targetPort: none}", "", {{"1", ""}}, ""},
      {"{port: 80, targetPort: 8080}", "", {{"1", "no address"}}, ""},
      {"{port: 80, targetPort: 8080}", "", {{"1", "ended"}}, ""},
      {"{port: 80, targetPort: 8080}", "", {{"1", "deleted"}}, ""},
      {"{port: 80, targetPort: 8080}",
       ", publishNotReadyAddresses: true",
       {{"1", "unready"}, {"2", "deleted"}},
       "8080 : 10.0.0.1 10.0.0.2 |"},
  };
  for (const Case& c : cases) {
    auto service = parse<Service>(
        "metadata: {name: s, namespace: default, labels: {tier: front}}\nspec: {ipFamilies: "
        "[IPv4], "
        "clusterIP: 10.96.0.9, selector: {a: b}, ports: [" +
        c.ports + "]" + c.spec + "}\n");
    std::vector<Ref<Pod>> pods;
    for (auto& [name, more] : c.pods) pods.push_back(pod(name, more));
    auto made = plan_endpoints(*service, pods, {});
    ASSERT_TRUE(made) << c.expected;
    EXPECT_EQ(told(**made), c.expected) << c.ports << c.spec;
    EXPECT_EQ((**made).metadata().labels().get("tier"), "front");
    EXPECT_EQ((**made).metadata().labels().get("endpoints.kubernetes.io/managed-by"),
              "endpoint-controller");
    // What is already so is not written again; what is not, is.
    auto current = parse<Endpoints>("metadata: {name: s, namespace: default}\n");
    Draft<EndpointsEdit> same(**made);
    auto there = Ref<Endpoints>(std::make_shared<const Document>(same.take()));
    EXPECT_FALSE(plan_endpoints(*service, pods, there)) << c.expected;
    EXPECT_TRUE(plan_endpoints(*service, pods, current)) << c.expected;
  }
}

std::string conditions(const Node& n) {
  std::string out;
  for (NodeCondition c : n.status().conditions())
    out += std::string(c.type()) + "=" + std::string(c.status()) + "/" + std::string(c.reason()) +
           "@" + std::string(c.last_transition_time().substr(11, 5)) + " ";
  return out;
}

TEST(PlanSilentNode, NothingIsKnownOfIt) {
  const std::string never = "/NodeStatusNeverUpdated@12:00 ", gone = "/NodeStatusUnknown@12:00 ";
  struct Case {
    std::string status, expected;  // "": nothing to write
  };
  const Case cases[] = {
      {"{}", "Ready=Unknown" + never + "MemoryPressure=Unknown" + never + "DiskPressure=Unknown" +
                 never + "PIDPressure=Unknown" + never},
      {"{conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T09:00:00Z'}, "
       "{type: Other, status: 'True', reason: Mine, lastTransitionTime: '2026-01-01T09:00:00Z'}]}",
       "Ready=Unknown" + gone + "Other=True/Mine@09:00 MemoryPressure=Unknown" + never +
           "DiskPressure=Unknown" + never + "PIDPressure=Unknown" + never},
      {"{conditions: [{type: Ready, status: Unknown}, {type: MemoryPressure, status: Unknown}, "
       "{type: DiskPressure, status: Unknown}, {type: PIDPressure, status: Unknown}]}",
       ""},
  };
  for (const Case& c : cases) {
    auto node = parse<Node>(
        "metadata: {name: n, creationTimestamp: '2026-01-01T08:00:00Z'}\nstatus: " + c.status +
        "\n");
    auto plan = plan_silent_node(*node, kNow);
    EXPECT_EQ(plan ? conditions(**plan) : "", c.expected) << c.status;
  }
}

TEST(PlanNamespaceConditions, TellWhatIsLeft) {
  struct Case {
    NamespaceRemains remains;
    std::string content, finalizers, failure;  // status: message
  };
  const Case cases[] = {
      {{{}, {}, {}},
       "False: All content successfully removed",
       "False: All content-preserving finalizers finished",
       "False: All content successfully deleted, may be waiting on finalization"},
      {{{{"pods", 2}}, {{"example.com/hold", 1}}, {}},
       "True: Some resources are remaining: pods has 2 resource instances",
       "True: Some content in the namespace has finalizers remaining: example.com/hold in 1 "
       "resource instances",
       "False: All content successfully deleted, may be waiting on finalization"},
      {{{{"jobs.batch", 1}, {"pods", 1}}, {}, {"no", "never"}},
       "True: Some resources are remaining: jobs.batch has 1 resource instances, pods has 1 "
       "resource instances",
       "False: All content-preserving finalizers finished",
       "True: Failed to delete all resource types, 2 remaining: no, never"},
  };
  auto fresh = parse<Namespace>("metadata: {name: a}\n");
  for (const Case& c : cases) {
    auto plan = plan_namespace_conditions(*fresh, c.remains, kNow);
    ASSERT_TRUE(plan) << c.content;
    std::map<std::string, std::string> told;
    for (NamespaceCondition n : (**plan).status().conditions())
      told[std::string(n.type())] = std::string(n.status()) + ": " + std::string(n.message());
    EXPECT_EQ(told.size(), 5u);
    EXPECT_EQ(told["NamespaceContentRemaining"], c.content);
    EXPECT_EQ(told["NamespaceFinalizersRemaining"], c.finalizers);
    EXPECT_EQ(told["NamespaceDeletionContentFailure"], c.failure);
    // Said once.
    auto again = Ref<Namespace>(std::make_shared<const Document>(plan->take()));
    EXPECT_FALSE(plan_namespace_conditions(*again, c.remains, kNow + 1h)) << c.content;
  }
}

// An extension API server that does not answer holds its namespaces up, and is named.
TEST(PlanNamespaceConditions, NameWhatIsNotDiscovered) {
  auto fresh = parse<Namespace>("metadata: {name: a}\n");
  NamespaceRemains remains;
  remains.undiscovered = {"fruit.example.com/v1"};
  auto plan = plan_namespace_conditions(*fresh, remains, kNow);
  ASSERT_TRUE(plan);
  auto told = (**plan).status().conditions();
  EXPECT_EQ(told[0].type(), "NamespaceDeletionDiscoveryFailure");
  EXPECT_EQ(told[0].status(), "True");
  EXPECT_EQ(told[0].reason(), "DiscoveryFailed");
  EXPECT_EQ(
      told[0].message(),
      "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of "
      "server APIs: fruit.example.com/v1: stale GroupVersion discovery: fruit.example.com/v1");
}

// A condition that stays as it was keeps its time when its message changes.
TEST(PlanNamespaceConditions, KeepTheirTimes) {
  auto fresh = parse<Namespace>("metadata: {name: a}\n");
  auto first = plan_namespace_conditions(*fresh, {{{"pods", 2}}, {}, {}}, kNow);
  ASSERT_TRUE(first);
  auto told = Ref<Namespace>(std::make_shared<const Document>(first->take()));
  auto next = plan_namespace_conditions(*told, {{{"pods", 1}}, {}, {}}, kNow + 1h);
  ASSERT_TRUE(next);
  for (NamespaceCondition c : (**next).status().conditions()) {
    EXPECT_EQ(c.last_transition_time(), "2026-01-01T12:00:00Z") << c.type();
  }
}

}  // namespace
}  // namespace keles::controllers
