// The pure halves of the controllers: objects in, what to do out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "controllers/deployment.h"
#include "controllers/endpoints.h"
#include "controllers/endpointslice.h"
#include "controllers/garbage_collector.h"
#include "controllers/namespace.h"
#include "controllers/node_ipam.h"
#include "controllers/node_lifecycle.h"
#include "controllers/ownership.h"
#include "controllers/plan_testing.h"
#include "controllers/pod_gc.h"
#include "controllers/replicas.h"
#include "controllers/taint_eviction.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;
using namespace api::core_v1;
using api::discovery_v1::EndpointSlice;
using testing::ElementsAre;

struct PodSpecs {
  std::string name, node = "n1", phase = "Running", ready_since = "2026-01-01T11:00:00Z";
  int restarts = 0;
  std::string cost, created = "2026-01-01T10:00:00Z";
};

Ref<Pod> pod(const PodSpecs& p) {
  std::string y = "metadata: {name: " + p.name + ", uid: uid-" + p.name + ", creationTimestamp: '" +
                  p.created + "', labels: {app: web}, ";
  if (!p.cost.empty()) {
    y += "annotations: {controller.kubernetes.io/pod-deletion-cost: '" + p.cost + "'}, ";
  }
  y += "ownerReferences: [{kind: ReplicaSet, name: rs, uid: rs1, controller: true}]}\n";
  y += "spec: {nodeName: '" + p.node + "'}\nstatus: {phase: " + p.phase;
  if (!p.ready_since.empty()) {
    y += ", conditions: [{type: Ready, status: 'True', lastTransitionTime: '" + p.ready_since +
         "'}]";
  }
  y += ", containerStatuses: [{restartCount: " + std::to_string(p.restarts) + "}]}\n";
  return parse<Pod>(y);
}

std::vector<std::string> names(const std::vector<Ref<Pod>>& pods) {
  std::vector<std::string> out;
  for (const auto& p : pods) out.emplace_back(p->metadata().name());
  return out;
}

TEST(RankForDeletion, LeastValuableFirst) {
  struct Case {
    std::string why;
    PodSpecs first, second;
  };
  const Case cases[] = {
      {"unassigned before assigned", {.name = "a", .node = ""}, {.name = "b"}},
      {"pending before running",
       {.name = "a", .phase = "Pending", .ready_since = ""},
       {.name = "b", .ready_since = ""}},
      {"not ready before ready", {.name = "a", .ready_since = ""}, {.name = "b"}},
      {"lower cost before higher", {.name = "z", .cost = "-5"}, {.name = "b", .cost = "3"}},
      {"ready for less time first",
       {.name = "z", .ready_since = "2026-01-01T11:59:00Z"},
       {.name = "b"}},
      {"more restarts before fewer", {.name = "z", .restarts = 4}, {.name = "b"}},
      {"of about one time ready, by uid, whatever the restarts",
       {.name = "a", .ready_since = "2026-01-01T11:00:00Z"},
       {.name = "b", .ready_since = "2026-01-01T11:00:01Z", .restarts = 4}},
      {"one whose time is unknown first", {.name = "z", .ready_since = "?"}, {.name = "b"}},
      {"newer before older", {.name = "z", .created = "2026-01-01T11:59:00Z"}, {.name = "b"}},
      {"equals by uid", {.name = "a"}, {.name = "b"}},
  };
  for (const Case& c : cases) {
    std::vector<Ref<Pod>> pods{pod(c.second), pod(c.first)};
    rank_for_deletion(pods, {}, kNow);
    EXPECT_EQ(names(pods)[0], c.first.name) << c.why;
  }
  std::vector<Ref<Pod>> spread{pod({.name = "lone", .node = "n2"}), pod({.name = "x"}),
                               pod({.name = "y"})};
  rank_for_deletion(spread, spread, kNow);
  EXPECT_EQ(names(spread).back(), "lone");  // keep the spread over nodes
  // Of all sets of a Deployment; one that has ended is no companion.
  rank_for_deletion(spread,
                    {pod({.name = "o", .node = "n2"}), pod({.name = "q", .node = "n2"}),
                     pod({.name = "r", .phase = "Failed"})},
                    kNow);
  EXPECT_EQ(names(spread)[0], "lone");
}

template <class O>
ReplicasPlan plan_set(const O& owner, const std::vector<Ref<Pod>>& have) {
  return plan_replicas(
      claimant(owner), wanted_replicas(owner), have, [&] { return have; }, kNow);
}

TEST(PlanReplicas, CreatesDeletesAdoptsAndReleases) {
  auto rs = [](int replicas) {
    return parse<ReplicaSet>("metadata: {name: rs, uid: rs1}\nspec: {replicas: " +
                             std::to_string(replicas) + ", selector: {matchLabels: {app: web}}}\n");
  };
  std::vector<Ref<Pod>> have{pod({.name = "a"}), pod({.name = "b"}), pod({.name = "c"})};
  EXPECT_EQ(plan_set(*rs(5), have).create, 2);
  EXPECT_EQ(names(plan_set(*rs(1), have).remove).size(), 2u);
  EXPECT_EQ(plan_set(*rs(900), have).create, 500);  // a burst at a time
  have.push_back(pod({.name = "done", .phase = "Succeeded"}));
  EXPECT_EQ(plan_set(*rs(3), have).create, 0);
  have.push_back(parse<Pod>("metadata: {name: orphan, uid: o, labels: {app: web}}"));
  have.push_back(parse<Pod>("metadata: {name: stranger, uid: s, labels: {app: other}}"));
  have.push_back(
      parse<Pod>("metadata: {name: theirs, uid: t, labels: {app: web}, ownerReferences: "
                 "[{kind: ReplicaSet, name: x, uid: rs2, controller: true}]}"));
  have.push_back(
      parse<Pod>("metadata: {name: strayed, uid: y, labels: {app: moved}, ownerReferences: "
                 "[{kind: ReplicaSet, name: rs, uid: rs1, controller: true}]}"));
  auto plan = plan_set(*rs(4), have);
  EXPECT_THAT(names(plan.claims.adopt), ElementsAre("orphan"));
  EXPECT_THAT(names(plan.claims.release), ElementsAre("strayed"));
  EXPECT_EQ(plan.claims.owned.size(), 4u);
  EXPECT_EQ(plan.create, 0);
  EXPECT_TRUE(plan.remove.empty());
  have.push_back(
      parse<Pod>("metadata: {name: going, uid: g, labels: {app: web}, deletionTimestamp: "
                 "'2026-01-01T11:00:00Z', ownerReferences: [{kind: ReplicaSet, name: rs, uid: rs1, "
                 "controller: true}]}"));
  EXPECT_EQ(plan_set(*rs(4), have).terminating, 1);
  // The older kind has its selector as labels, and means the same.
  auto older = parse<ReplicationController>(
      "metadata: {name: rs, uid: rs1}\nspec: {replicas: 4, selector: {app: web}}\n");
  auto same = plan_set(*older, have);
  EXPECT_EQ(names(same.claims.adopt), names(plan.claims.adopt));
  EXPECT_EQ(names(same.claims.release), names(plan.claims.release));
  EXPECT_EQ(same.create, plan.create);
  auto unsaid = parse<ReplicationController>("metadata: {name: rs, uid: rs1}\nspec: {}\n");
  EXPECT_TRUE(plan_set(*unsaid, {pod({.name = "a"})}).claims.release.empty());
}

// --- deployment ---

constexpr std::string_view kTemplate =
    "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: 'i:2'}]}}";

Ref<Deployment> deployment(int replicas, std::string surge, std::string unavailable,
                           std::string more = "") {
  return parse<Deployment>(
      "metadata: {name: web, namespace: default, uid: d1, generation: 2}\nspec:\n  replicas: " +
      std::to_string(replicas) +
      "\n  selector: {matchLabels: {app: web}}\n  strategy: {type: RollingUpdate, "
      "rollingUpdate: {maxSurge: " +
      surge + ", maxUnavailable: " + unavailable + "}}\n  " + std::string(kTemplate) + "\n" + more);
}

Ref<ReplicaSet> set(std::string name, std::string image, int replicas, int available,
                    int desired = -1, int max = 0) {
  std::string n = std::to_string(replicas);
  std::string created = image == "i:1" ? "09" : "11";
  std::string y = "metadata: {name: " + name + ", uid: uid-" + name +
                  ", creationTimestamp: '2026-01-01T" + created +
                  ":00:00Z', annotations: {deployment.kubernetes.io/revision: '" +
                  (image == "i:1" ? "1" : "2") + "'";
  if (desired >= 0) {
    y += ", deployment.kubernetes.io/desired-replicas: '" + std::to_string(desired) +
         "', deployment.kubernetes.io/max-replicas: '" + std::to_string(max) + "'";
  }
  y += "}}\nspec:\n  replicas: " + n +
       "\n  template: {metadata: {labels: {app: web, "
       "pod-template-hash: h}}, spec: {containers: [{name: c, image: '" +
       image +
       "'}]}}\n"
       "status: {replicas: " +
       n + ", readyReplicas: " + std::to_string(available) +
       ", availableReplicas: " + std::to_string(available) + "}\n";
  return parse<ReplicaSet>(y);
}

std::string scales(const DeploymentPlan& p) {
  std::string out;
  for (const auto& u : p.updates) {
    if (u.from == u.to) continue;
    out += std::string(u.before->metadata().name()) + ":" + std::to_string(u.from) + "->" +
           std::to_string(u.to) + " ";
  }
  return out;
}

TEST(PlanDeployment, RollsWithinItsBounds) {
  struct Case {
    std::string why;
    Ref<Deployment> d;
    std::vector<Ref<ReplicaSet>> sets;
    std::string scales;
    int create;  // replicas of the new set; -1: none is made
  };
  const Case cases[] = {
      {"a new one starts whole", deployment(3, "1", "0"), {}, "", 3},
      {"a new template starts with the surge",
       deployment(4, "1", "0"),
       {set("old", "i:1", 4, 4)},
       "",
       1},
      {"surge in percent rounds up",
       deployment(10, "25%", "25%"),
       {set("old", "i:1", 10, 10)},
       "",
       3},
      {"the new grows as the old shrinks",
       deployment(4, "1", "0"),
       {set("old", "i:1", 3, 3), set("new", "i:2", 1, 1)},
       "new:1->2 ",
       -1},
      {"old pods go when new ones serve",
       deployment(4, "1", "0"),
       {set("old", "i:1", 4, 4), set("new", "i:2", 1, 1)},
       "old:4->3 ",
       -1},
      {"and not before",
       deployment(4, "1", "0"),
       {set("old", "i:1", 4, 4), set("new", "i:2", 1, 0)},
       "",
       -1},
      {"pods that serve nobody go first",
       deployment(4, "1", "0"),
       {set("old", "i:1", 4, 3), set("new", "i:2", 1, 1)},
       "old:4->3 ",
       -1},
      {"what may be missing goes at once",
       deployment(10, "0", "3"),
       {set("old", "i:1", 10, 10), set("new", "i:2", 0, 0)},
       "old:10->7 ",
       -1},
      {"neither surge nor gap: one may be missing",
       deployment(2, "0", "0"),
       {set("old", "i:1", 2, 2), set("new", "i:2", 0, 0)},
       "old:2->1 ",
       -1},
      {"done", deployment(3, "1", "0"), {set("old", "i:1", 0, 0), set("new", "i:2", 3, 3)}, "", -1},
      {"a change of size is shared out",
       deployment(20, "0", "5"),
       {set("old", "i:1", 6, 6, 10, 10), set("new", "i:2", 4, 4, 10, 10)},
       "old:6->12 new:4->8 ",
       -1},
  };
  for (const Case& c : cases) {
    DeploymentPlan p = plan_deployment(*c.d, c.sets, false, kNow);
    EXPECT_EQ(scales(p), c.scales) << c.why;
    int64_t made = p.create ? (*p.create)->spec().replicas() : -1;
    EXPECT_EQ(made, c.create) << c.why;
  }
}

TEST(PlanDeployment, GoesBackWhenAnAnnotationAsksForIt) {
  struct Case {
    std::string why, to;
    std::vector<Ref<ReplicaSet>> sets;
    std::string reason, image;  // the image that it has then
  };
  const auto old = set("old", "i:1", 0, 0), now = set("new", "i:2", 3, 3);
  const Case cases[] = {
      {"to a revision", "1", {old, now}, "DeploymentRollback", "i:1"},
      {"to the one before", "0", {old, now}, "DeploymentRollback", "i:1"},
      {"none before", "0", {now}, "DeploymentRollbackRevisionNotFound", "i:2"},
      {"none of that number", "7", {old, now}, "DeploymentRollbackRevisionNotFound", "i:2"},
      {"to itself", "2", {old, now}, "DeploymentRollbackTemplateUnchanged", "i:2"},
      {"not a number", "x", {old, now}, "", ""},
      {"its newest set is not there yet", "1", {old}, "", ""},
  };
  for (const Case& c : cases) {
    Draft<DeploymentEdit> d(*deployment(3, "1", "0"));
    auto annotations = d->edit_metadata().edit_annotations();
    annotations.set("deprecated.deployment.rollback.to", c.to);
    annotations.set("kept", "no");
    annotations.set("deployment.kubernetes.io/revision", "2");
    auto plan = plan_rollback(*d, c.sets);
    ASSERT_EQ(plan.has_value(), !c.reason.empty()) << c.why;
    if (!plan) continue;
    EXPECT_EQ(plan->reason, c.reason) << c.why;
    EXPECT_EQ(plan->update->spec().template_().spec().containers()[0].image(), c.image) << c.why;
    auto after = plan->update->metadata().annotations();
    EXPECT_FALSE(after.contains("deprecated.deployment.rollback.to")) << c.why;
    EXPECT_EQ(after.contains("kept"), c.image == "i:2") << c.why;
    EXPECT_EQ(after.get("deployment.kubernetes.io/revision"), "2") << c.why;
    EXPECT_FALSE(
        plan->update->spec().template_().metadata().labels().contains("pod-template-hash"));
  }
}

TEST(PlanDeployment, SumsPodsThatAreGoingWhenAllSetsTell) {
  auto told = [](const char* name, const char* image, const std::string& status) {
    return parse<ReplicaSet>("metadata: {name: " + std::string(name) + ", uid: u-" + name +
                             "}\nspec: {replicas: 1, template: {metadata: {labels: {app: web}}, "
                             "spec: {containers: [{name: c, image: '" +
                             image + "'}]}}}\nstatus: {" + status + "}");
  };
  auto sum = [&](const std::string& a, const std::string& b) {
    auto plan = plan_deployment(*deployment(1, "1", "0"),
                                {told("old", "i:1", a), told("new", "i:2", b)}, false, kNow);
    auto s = plan.status->status();
    return s.has_terminating_replicas() ? s.terminating_replicas() : -1;
  };
  EXPECT_EQ(sum("observedGeneration: 1, terminatingReplicas: 2", "terminatingReplicas: 1"), 3);
  EXPECT_EQ(sum("observedGeneration: 1, terminatingReplicas: 2", ""), 2);  // not looked at yet
  EXPECT_EQ(sum("observedGeneration: 1, terminatingReplicas: 2", "observedGeneration: 1"), -1);
}

TEST(PlanDeployment, HashesAreStableAndSafe) {
  auto d = deployment(1, "1", "0");
  std::string h = template_hash(d->spec().template_(), 0);
  EXPECT_EQ(h, template_hash(deployment(7, "2", "1")->spec().template_(), 0));
  EXPECT_NE(h, template_hash(d->spec().template_(), 1));
  EXPECT_EQ(h.find_first_not_of("bcdfghjklmnpqrstvwxz2456789"), std::string::npos) << h;
  Ref<ReplicaSet> x = set("x", "i:2", 1, 1);
  auto with_hash = x->spec().template_();
  EXPECT_EQ(h, template_hash(with_hash, 0));
}

TEST(PlanDeployment, NewRevisionFollowsTheHighest) {
  auto d = deployment(1, "1", "0");
  auto p = plan_deployment(*d, {set("old", "i:1", 1, 1)}, false, kNow);
  ASSERT_TRUE(p.create);
  EXPECT_EQ((*p.create)->metadata().annotations().get("deployment.kubernetes.io/revision"), "2");
  EXPECT_EQ(p.revision, "2");
  EXPECT_TRUE((*p.create)->spec().selector().match_labels().contains("pod-template-hash"));
}

// --- endpoints ---

TEST(PlanEndpointSlices, HintsSayWhomAnEndpointIsFor) {
  auto pod = [](std::string name, std::string node, bool ready) {
    return parse<Pod>("metadata: {name: " + name + ", namespace: default, uid: u-" + name +
                      "}\nspec: {nodeName: " + node + "}\nstatus: {phase: Running, podIP: 10.0.0." +
                      std::to_string(name[0] - 'a' + 1) + ", conditions: [{type: Ready, status: '" +
                      (ready ? "True" : "False") + "'}]}");
  };
  const std::vector<Ref<Pod>> pods{pod("a", "n1", true), pod("b", "n2", true),
                                   pod("c", "n2", false), pod("d", "bare", true)};
  const ZoneOf zones = [](std::string_view node) {
    return node == "n1" ? "z1" : node == "n2" ? "z2" : "";
  };
  struct Case {
    std::string distribution, hints;  // of each endpoint: zones / nodes
  };
  const Case cases[] = {{"", "/ / / / "},
                        {"PreferClose", "z1/ z2/ / / "},
                        {"PreferSameZone", "z1/ z2/ / / "},
                        {"PreferSameNode", "z1/n1 z2/n2 / /bare "}};
  std::vector<Ref<EndpointSlice>> slices;
  for (const Case& c : cases) {
    auto service = parse<Service>(
        "metadata: {name: web, namespace: default, uid: s1}\nspec: {selector: {app: web}, "
        "clusterIP: 10.96.0.9, ports: [{port: 80, targetPort: 8080, protocol: TCP}]" +
        (c.distribution.empty() ? "" : ", trafficDistribution: " + c.distribution) + "}");
    auto plan = plan_endpoint_slices(*service, pods, slices, 100, zones);
    auto& changed = slices.empty() ? plan.create : plan.update;
    // From one distribution to the next the slice there is changes, and to an equal one it does
    // not.
    const bool same = c.distribution == "PreferSameZone";
    ASSERT_EQ(changed.size(), same ? 0u : 1u) << c.distribution;
    if (!same) {
      if (slices.empty()) changed[0]->edit_metadata().set_name("s");
      slices = {Ref<EndpointSlice>(std::make_shared<const Document>(changed[0].take()))};
    }
    std::string hints;
    for (auto e : slices[0]->endpoints()) {
      for (auto z : e.hints().for_zones()) hints += z.name();
      hints += '/';
      for (auto n : e.hints().for_nodes()) hints += n.name();
      hints += ' ';
    }
    EXPECT_EQ(hints, c.hints) << c.distribution;
    plan = plan_endpoint_slices(*service, pods, slices, 100, zones);
    EXPECT_TRUE(plan.create.empty() && plan.update.empty()) << c.distribution;
  }
}

TEST(PlanEndpointSlices, KeepsEndpointsWhereTheyAre) {
  auto service = parse<Service>(
      "metadata: {name: web, namespace: default, uid: s1}\nspec: {selector: {app: web}, "
      "clusterIP: 10.96.0.9, ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]}");
  auto with_ip = [](std::string name, std::string ip, bool ready) {
    return parse<Pod>("metadata: {name: " + name + ", namespace: default, uid: u-" + name +
                      "}\nspec: {nodeName: n1}\nstatus: {phase: Running, podIP: " + ip +
                      ", conditions: [{type: Ready, status: '" + (ready ? "True" : "False") +
                      "'}]}");
  };
  std::vector<Ref<Pod>> pods{with_ip("a", "10.0.0.1", true), with_ip("b", "10.0.0.2", false),
                             with_ip("c", "10.0.0.3", true)};
  auto plan = plan_endpoint_slices(*service, pods, {}, 2);
  ASSERT_EQ(plan.create.size(), 2u);
  EXPECT_EQ(plan.create[0]->endpoints().size(), 2u);
  EXPECT_EQ(plan.create[1]->endpoints().size(), 1u);
  EXPECT_FALSE(plan.create[0]->endpoints()[1].conditions().ready());
  EXPECT_EQ(plan.create[0]->ports()[0].port(), 8080);
  EXPECT_EQ(plan.create[0]->endpoints()[0].target_ref().name(), "a");
  std::vector<Ref<EndpointSlice>> slices;
  for (auto& s : plan.create) {
    s->edit_metadata().set_name("s" + std::to_string(slices.size()));
    slices.emplace_back(std::make_shared<const Document>(s.take()));
  }
  plan = plan_endpoint_slices(*service, pods, slices, 2);
  EXPECT_TRUE(plan.create.empty() && plan.update.empty() && plan.remove.empty());
  pods[2] = with_ip("d", "10.0.0.4", true);  // c has gone, d has come: one slice changes
  plan = plan_endpoint_slices(*service, pods, slices, 2);
  EXPECT_EQ(plan.update.size(), 1u);
  EXPECT_TRUE(plan.create.empty() && plan.remove.empty());
  pods.resize(2);
  plan = plan_endpoint_slices(*service, pods, slices, 2);
  EXPECT_EQ(plan.remove.size(), 1u);
  pods.clear();
  plan = plan_endpoint_slices(*service, pods, slices, 2);
  EXPECT_EQ(plan.remove.size(), 2u);
  ASSERT_EQ(plan.create.size(), 1u);
  EXPECT_EQ(plan.create[0]->endpoints().size(), 0u);
}

// --- nodes ---

TEST(RangePool, TakesTheLowestFreeRange) {
  auto cidr = [](std::string_view s) { return *IpPrefix::parse(s); };
  auto lowest = [](const RangePool& pool) {
    auto r = pool.lowest_free();
    return r ? r->text() : "none";
  };
  auto next = [&](std::string_view cluster, int bits, std::vector<std::string> used) {
    RangePool pool(cidr(cluster), bits);
    for (const auto& s : used) pool.add(cidr(s));
    return lowest(pool);
  };
  EXPECT_EQ(next("10.244.0.0/16", 24, {}), "10.244.0.0/24");
  EXPECT_EQ(next("10.244.0.0/16", 24, {"10.244.0.0/24", "10.244.2.0/24"}), "10.244.1.0/24");
  EXPECT_EQ(next("10.244.0.0/16", 24, {"10.244.0.0/23"}), "10.244.2.0/24");
  EXPECT_EQ(next("10.244.0.0/16", 24, {"192.168.0.0/16"}), "10.244.0.0/24");
  EXPECT_EQ(next("10.0.0.0/24", 25, {"10.0.0.0/25", "10.0.0.128/25"}), "none");
  EXPECT_EQ(next("10.244.0.0/16", 24, {"10.244.255.0/24", "10.244.0.0/25"}), "10.244.1.0/24");
  EXPECT_EQ(next("10.0.0.0/24", 25, {"10.0.0.0/8"}), "none");
  EXPECT_EQ(next("10.0.0.0/24", 16, {}), "none");
  EXPECT_EQ(next("fd00:10:244::/48", 64, {}), "fd00:10:244::/64");
  EXPECT_EQ(next("fd00:10:244::/48", 64, {"fd00:10:244::/64", "fd00:10:244:2::/64"}),
            "fd00:10:244:1::/64");
  EXPECT_EQ(next("fd00:10:244::/48", 64, {"fd00:10:244::/60"}), "fd00:10:244:10::/64");
  EXPECT_EQ(next("fd00:10:244::/48", 64, {"fd00:10:244:0:8000::/65", "10.0.0.0/8"}),
            "fd00:10:244:1::/64");
  EXPECT_EQ(next("fd00:10:244::/62", 64, {"fd00::/16"}), "none");
  EXPECT_EQ(next("fd00::/8", 64, {}), "fd00::/64") << "more than are counted";

  // What is in use twice is free once both are gone.
  RangePool pool(cidr("10.0.0.0/24"), 26);
  for (const char* s : {"10.0.0.0/26", "10.0.0.0/27", "10.0.0.64/26", "10.0.0.128/25"})
    pool.add(cidr(s));
  EXPECT_EQ(lowest(pool), "none");
  pool.remove(cidr("10.0.0.0/26"));
  EXPECT_EQ(lowest(pool), "none");
  pool.remove(cidr("10.0.0.128/25"));
  EXPECT_EQ(lowest(pool), "10.0.0.128/26");
  pool.remove(cidr("10.0.0.0/27"));
  EXPECT_EQ(lowest(pool), "10.0.0.0/26");
}

TEST(PlanNodeTaints, FollowConditions) {
  auto node = [](std::string ready, std::string more = "") {
    return parse<Node>("metadata: {name: n}\nspec: {" + more +
                       "}\nstatus: {conditions: [{type: Ready, status: '" + ready +
                       "'}, {type: MemoryPressure, status: 'False'}]}");
  };
  auto taints = [](const Ref<Node>& n, bool may_evict, bool disrupted) {
    bool wants = false;
    auto d = plan_node_taints(*n, may_evict, disrupted, kNow, &wants);
    std::string out = wants ? "wants " : "";
    if (!d) return out + "same";
    for (auto t : (*d)->spec().taints()) {
      out += std::string(t.key()).substr(19) + ":" + std::string(t.effect()) + " ";
    }
    return out;
  };
  EXPECT_EQ(taints(node("True"), true, false), "same");
  EXPECT_EQ(taints(node("Unknown"), false, false), "wants unreachable:NoSchedule ");
  EXPECT_EQ(taints(node("Unknown"), true, false),
            "wants unreachable:NoExecute unreachable:NoSchedule ");
  EXPECT_EQ(taints(node("False"), true, true), "not-ready:NoSchedule ");
  EXPECT_EQ(taints(node("True", "unschedulable: true"), true, false), "unschedulable:NoSchedule ");
  EXPECT_EQ(taints(node("True",
                        "taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute}, "
                        "{key: node.kubernetes.io/mine, effect: NoExecute}]"),
                   true, false),
            "mine:NoExecute ");
}

TEST(PlanStay, HonoursTolerations) {
  auto node = parse<Node>(
      "spec: {taints: [{key: a, value: x, effect: NoExecute}, {key: b, effect: NoSchedule}]}");
  auto stay = [&](std::string tolerations) -> std::string {
    auto s = plan_stay(*parse<Pod>("spec: {tolerations: [" + tolerations + "]}"), *node);
    return s ? std::to_string(*s / 1s) : "for ever";
  };
  EXPECT_EQ(stay(""), "0");
  EXPECT_EQ(stay("{operator: Exists}"), "for ever");
  EXPECT_EQ(stay("{key: a, operator: Exists, effect: NoExecute}"), "for ever");
  EXPECT_EQ(stay("{key: a, operator: Equal, value: x, tolerationSeconds: 30}"), "30");
  EXPECT_EQ(stay("{key: a, value: y}"), "0");
  EXPECT_EQ(stay("{key: a, operator: Exists, effect: NoSchedule}"), "0");
  EXPECT_EQ(stay("{key: a, operator: Exists, tolerationSeconds: 60}, "
                 "{operator: Exists, tolerationSeconds: 5}"),
            "5");
}

// --- the rest ---

TEST(PlanCollection, OneLivingOwnerIsEnough) {
  using S = OwnerState::State;
  struct Case {
    std::vector<OwnerState> owners;
    bool dependents, remove, foreground;
    std::vector<std::string> drop;
  };
  const Case cases[] = {
      {{}, false, false, false, {}},
      {{{"a", S::kSolid}}, false, false, false, {}},
      {{{"a", S::kAbsent}}, true, true, false, {}},
      {{{"a", S::kAbsent}, {"b", S::kSolid}}, false, false, false, {"a"}},
      {{{"a", S::kWaiting}}, false, true, false, {}},
      {{{"a", S::kWaiting}}, true, true, true, {}},
      {{{"a", S::kAbsent}, {"b", S::kUnknown}}, false, false, false, {}},
  };
  for (const Case& c : cases) {
    CollectPlan p = plan_collection(c.owners, c.dependents);
    EXPECT_EQ(p.remove, c.remove);
    EXPECT_EQ(p.foreground, c.foreground);
    EXPECT_EQ(p.drop, c.drop);
  }
}

TEST(PlanPodGc, FindsWhatNobodyElseRemoves) {
  auto find_node = [](std::string_view name) {
    if (name == "n1") return parse<Node>("metadata: {name: n1}");
    if (name != "off") return Ref<Node>();
    return parse<Node>(
        "{metadata: {name: off}, spec: {taints: [{key: node.kubernetes.io/out-of-service, "
        "effect: NoExecute}]}}");
  };
  std::vector<Ref<Pod>> pods{
      pod({.name = "fine"}),
      parse<Pod>("{metadata: {name: left, deletionTimestamp: '2026-01-01T00:00:00Z'}, "
                 "spec: {nodeName: off}}"),
      parse<Pod>("{metadata: {name: leaving, deletionTimestamp: '2026-01-01T00:00:00Z'}, "
                 "spec: {nodeName: n1}}"),
      pod({.name = "lost", .node = "n9"}),
      parse<Pod>("metadata: {name: never, deletionTimestamp: '2026-01-01T00:00:00Z'}"),
      pod({.name = "old", .phase = "Succeeded", .created = "2026-01-01T01:00:00Z"}),
      pod({.name = "new", .phase = "Failed", .created = "2026-01-01T02:00:00Z"}),
  };
  auto plan = plan_pod_gc(pods, find_node, 1);
  EXPECT_THAT(names(plan.orphaned), ElementsAre("lost"));
  EXPECT_THAT(names(plan.unserved), ElementsAre("left", "never"));
  EXPECT_THAT(names(plan.finished), ElementsAre("old"));
}

}  // namespace
}  // namespace keles::controllers
