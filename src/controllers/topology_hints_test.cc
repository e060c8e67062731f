// Which zone's clients an endpoint is for.
#include "controllers/topology_hints.h"

#include <gtest/gtest.h>

#include "controllers/endpointslice.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::core_v1::Node;
using api::core_v1::Pod;
using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;

// "a:2 b:1": so many ready endpoints in each zone; what they are hinted to, in order.
std::string hints(const std::vector<std::pair<std::string, int>>& zones, const ZoneShares& shares,
                  std::map<std::string, std::string> had = {}) {
  std::vector<EndpointData> endpoints;
  for (const auto& [zone, n] : zones) {
    for (int i = 0; i < n; ++i) {
      EndpointData e;
      e.ready = true;
      e.zone = zone;
      e.address = "10.0.0." + std::to_string(endpoints.size());
      endpoints.push_back(e);
    }
  }
  EndpointData not_ready;
  not_ready.zone = "a";
  not_ready.address = "10.0.1.0";
  endpoints.push_back(not_ready);
  std::vector<EndpointData*> all;
  for (EndpointData& e : endpoints) all.push_back(&e);
  std::string why = assign_zone_hints(all, had, shares);
  std::string out;
  for (const EndpointData& e : endpoints) out += e.zone_hint;
  return why.empty() ? out : why + out;
}

TEST(TopologyHints, FollowTheZonesShares) {
  const ZoneShares even = {{"a", 0.5}, {"b", 0.5}}, third = {{"a", 0.33}, {"b", 0.33}, {"c", 0.34}};
  const std::string unknown =
      "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
  EXPECT_EQ(hints({{"a", 2}, {"b", 2}}, even), "aabb");
  EXPECT_EQ(hints({{"a", 3}, {"b", 1}}, even), "baab");
  EXPECT_EQ(hints({{"a", 4}}, even), "bbaa");
  EXPECT_EQ(hints({{"a", 3}, {"b", 3}, {"c", 3}}, third), "aaabbbccc");
  EXPECT_EQ(hints({{"a", 1}}, even), "Insufficient number of endpoints (1 endpoints, 2 zones)");
  EXPECT_EQ(hints({{"a", 2}, {"b", 2}}, {}), unknown);
  EXPECT_EQ(hints({{"a", 1}, {"b", 1}}, {{"a", 0.9}, {"b", 0.1}}),
            "Unable to allocate minimum required endpoints to each zone without exceeding overload "
            "threshold (2 endpoints, 2 zones)");
  EXPECT_EQ(hints({{"a", 2}, {"", 2}}, even), "One or more endpoints do not have a zone specified");
}

TEST(TopologyHints, StayWhileNoZoneIsOverloaded) {
  const ZoneShares even = {{"a", 0.5}, {"b", 0.5}};
  const std::map<std::string, std::string> had = {
      {"10.0.0.0/", "b"}, {"10.0.0.1/", "a"}, {"10.0.0.2/", "a"}, {"10.0.0.3/", "b"}};
  EXPECT_EQ(hints({{"a", 2}, {"b", 2}}, even, had), "baab");
  EXPECT_EQ(hints({{"a", 2}, {"b", 4}}, even, had), "aaabbb") << "one has none";
  auto gone = had;
  gone["10.0.0.1/"] = "c";
  EXPECT_EQ(hints({{"a", 2}, {"b", 2}}, even, gone), "aabb") << "a zone that is no more";
}

TEST(TopologyHints, NodesCountByWhatTheyHave) {
  auto node = [](const std::string& labels, const std::string& cpu, const std::string& ready) {
    return share_of(*parse<Node>("{metadata: {labels: {" + labels + "}}, status: {allocatable: {" +
                                 cpu + "}, conditions: [{type: Ready, status: '" + ready +
                                 "'}]}}"));
  };
  const NodeShare a = node("topology.kubernetes.io/zone: a", "cpu: '1'", "True"),
                  b = node("topology.kubernetes.io/zone: b", "cpu: 3000m", "True"),
                  down = node("topology.kubernetes.io/zone: b", "cpu: '8'", "Unknown"),
                  plane = node("node-role.kubernetes.io/control-plane: ''", "cpu: '8'", "True"),
                  bare = node("", "cpu: '8'", "True"),
                  idle = node("topology.kubernetes.io/zone: b", "memory: 1Gi", "True");
  const ZoneShares quarter = {{"a", 0.25}, {"b", 0.75}};
  EXPECT_EQ(zone_shares({{"1", a}, {"2", b}, {"3", down}, {"4", plane}}), quarter);
  EXPECT_TRUE(zone_shares({{"1", a}, {"2", b}, {"3", bare}}).empty());
  EXPECT_TRUE(zone_shares({{"1", a}, {"2", b}, {"3", idle}}).empty());
  EXPECT_TRUE(zone_shares({{"1", a}}).empty());
}

TEST(TopologyHints, AreTheAnnotationsAndNotTheFields) {
  struct Row {
    const char* annotations;
    bool wants;
  };
  for (const Row& r :
       std::initializer_list<Row>{{"service.kubernetes.io/topology-mode: Auto", true},
                                  {"service.kubernetes.io/topology-mode: auto", true},
                                  {"service.kubernetes.io/topology-mode: Disabled", false},
                                  {"service.kubernetes.io/topology-aware-hints: Auto", true},
                                  {"service.kubernetes.io/topology-aware-hints: Disabled, "
                                   "service.kubernetes.io/topology-mode: Auto",
                                   false},
                                  {"other: Auto", false}}) {
    auto service = parse<Service>(
        "{metadata: {name: web, namespace: default, uid: s, annotations: {" +
        std::string(r.annotations) +
        "}}, spec: {selector: {a: b}, ports: [{port: 80}], trafficDistribution: PreferSameNode}}");
    EXPECT_EQ(wants_topology_hints(*service), r.wants) << r.annotations;
    auto pod = parse<Pod>(
        "{metadata: {name: p, namespace: default, uid: p}, spec: {nodeName: n1}, status: {phase: "
        "Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}}");
    auto plan = plan_endpoint_slices(*service, {pod}, {}, 100,
                                     [](std::string_view) { return std::string("a"); });
    EXPECT_EQ(plan.topology.size(), r.wants ? 1u : 0u);
    ASSERT_EQ(plan.create.size(), 1u);
    EXPECT_EQ(plan.create[0]->endpoints()[0].hints().for_nodes().size(), r.wants ? 0u : 1u);
    EXPECT_EQ(plan.endpoints, 1u);
    EXPECT_EQ(plan.added, 1u);
    EXPECT_EQ(plan.slices, 1u);
  }
}

}  // namespace
}  // namespace keles::controllers
