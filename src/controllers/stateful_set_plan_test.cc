// The pure half of the StatefulSet controller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "controllers/plan_testing.h"
#include "controllers/statefulset.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;
using namespace api::core_v1;
using testing::ElementsAre;
using testing::IsEmpty;

// A number and a state: "+" serves, "-" is not ready, "y" is young (ready for 5 s), "p" pending,
// "f" failed, "s" succeeded, "x" is being deleted; "~" after it: of the old revision.
std::vector<Ref<Pod>> stateful_pods(const std::string& text) {
  std::vector<Ref<Pod>> out;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == ' ' || text[i] == '~') continue;
    std::string n;
    while (isdigit(text[i])) n += text[i++];
    char state = text[i];
    bool old = i + 1 < text.size() && text[i + 1] == '~';
    std::string name = "s-" + n;
    std::string y = "metadata: {name: " + name + ", uid: u" + n + ", labels: {app: web, " +
                    "statefulset.kubernetes.io/pod-name: " + name +
                    ", controller-revision-hash: " + (old ? "old" : "new") + "}";
    if (state == 'x') y += ", deletionTimestamp: '2026-01-01T11:00:00Z'";
    std::string phase = state == 'p'   ? "Pending"
                        : state == 'f' ? "Failed"
                        : state == 's' ? "Succeeded"
                                       : "Running";
    bool ready = state == '+' || state == 'x' || state == 'y';
    y += "}\nstatus: {phase: " + phase + ", conditions: [{type: Ready, status: '";
    y += ready ? "True" : "False";
    y += "', lastTransitionTime: '2026-01-01T";
    y += state == 'y' ? "11:59:55Z'}]}" : "10:00:00Z'}]}";
    out.push_back(parse<Pod>(y));
  }
  return out;
}

std::vector<std::string> names(const std::vector<Ref<Pod>>& pods) {
  std::vector<std::string> out;
  for (const auto& p : pods) out.emplace_back(p->metadata().name());
  return out;
}

using Claims = std::map<std::string, Ref<PersistentVolumeClaim>>;

StatefulSetPlan plan_of(const std::string& spec, const std::string& pods, const Claims& claims = {},
                        const std::string& more = "") {
  auto set = parse<StatefulSet>("metadata: {name: s, namespace: n, uid: s1, generation: 3" + more +
                                "}\nspec: {selector: {matchLabels: {app: web}}, " + spec + "}");
  auto all = stateful_pods(pods);
  return plan_stateful_set({*set, all, "old", "new",
                            [&](const std::string& name) {
                              auto it = claims.find(name);
                              return it == claims.end() ? Ref<PersistentVolumeClaim>() : it->second;
                            },
                            kNow});
}

std::vector<int64_t> made(const StatefulSetPlan& plan) {
  std::vector<int64_t> out;
  for (const auto& c : plan.create) out.push_back(c.ordinal);
  return out;
}

constexpr const char* kRolling = "updateStrategy: {type: RollingUpdate, rollingUpdate: {}}";

TEST(PlanStatefulSet, GoesInOrderAndHalts) {
  struct Case {
    std::string why, pods;
    int replicas;
    std::string policy;
    std::vector<int64_t> create;
    std::vector<std::string> remove;
  };
  const Case cases[] = {
      {"the first", "", 3, "OrderedReady", {0}, {}},
      {"the next only when those before serve", "0+ 1-", 4, "OrderedReady", {}, {}},
      {"one at a time", "0+ 1+", 4, "OrderedReady", {2}, {}},
      {"a gap is filled first", "1+ 2+", 3, "OrderedReady", {0}, {}},
      {"all at once", "0+ 1-", 4, "Parallel", {2, 3}, {}},
      {"one that goes holds up its number", "0x", 2, "OrderedReady", {}, {}},
      {"and that number alone in parallel", "0x", 2, "Parallel", {1}, {}},
      {"failed ones go", "0f", 2, "OrderedReady", {}, {"s-0"}},
      {"succeeded ones too", "0s 1f", 3, "Parallel", {2}, {"s-0", "s-1"}},
      {"down from the highest", "0+ 1+ 2+", 1, "OrderedReady", {}, {"s-2"}},
      {"down halts while a lower one is unready", "0+ 1- 2-", 1, "OrderedReady", {}, {}},
      {"down halts while one that stays is unready", "0- 1+ 2+", 1, "OrderedReady", {}, {}},
      {"the lowest that is unready may go", "0+ 1+ 2-", 1, "OrderedReady", {}, {"s-2"}},
      {"all unready, down to none", "0- 1- 2-", 0, "OrderedReady", {}, {}},
      {"only one left, unready", "0-", 0, "OrderedReady", {}, {"s-0"}},
      {"one that goes is waited for", "0+ 1+ 2x", 0, "OrderedReady", {}, {}},
      {"a serving one above unready ones goes", "0- 1- 2+", 0, "OrderedReady", {}, {"s-2"}},
      {"in parallel all go", "0- 1- 2-", 0, "Parallel", {}, {"s-2", "s-1", "s-0"}},
      {"ten is above nine", "0+ 9+ 10+", 1, "OrderedReady", {}, {"s-10"}},
      {"an update from the highest", "0+~ 1+~ 2+~", 3, "OrderedReady", {}, {"s-2"}},
      {"an update waits for the one before", "0+~ 1+~ 2-", 3, "OrderedReady", {}, {}},
      {"a broken old one is replaced in parallel", "0+~ 1+~ 2-~", 3, "Parallel", {}, {"s-2"}},
      {"sizes come before an update", "0+~ 1+~ 2+", 2, "OrderedReady", {}, {"s-2"}},
      {"in parallel both at once", "0+~ 1+~ 2+", 2, "Parallel", {}, {"s-2", "s-1"}},
  };
  for (const Case& c : cases) {
    auto plan = plan_of("replicas: " + std::to_string(c.replicas) +
                            ", podManagementPolicy: " + c.policy + ", " + kRolling,
                        c.pods);
    EXPECT_EQ(made(plan), c.create) << c.why;
    EXPECT_EQ(names(plan.remove), c.remove) << c.why;
  }
}

TEST(PlanStatefulSet, UpdatesByItsStrategy) {
  struct Case {
    std::string why, pods, strategy;
    std::vector<std::string> remove;
  };
  const std::string rolling = "type: RollingUpdate, rollingUpdate: ";
  const Case cases[] = {
      {"on delete none", "0+~ 1+~ 2+~", "type: OnDelete", {}},
      {"down to the partition", "0+~ 1+~ 2+", rolling + "{partition: 2}", {}},
      {"and no further", "0+~ 1+~ 2+~ 3+", rolling + "{partition: 2}", {"s-2"}},
      {"a partition beyond all", "0+~ 1+~", rolling + "{partition: 9}", {}},
      {"several at once", "0+~ 1+~ 2+~ 3+~", rolling + "{maxUnavailable: 2}", {"s-3", "s-2"}},
      {"those away count", "0+~ 1+~ 2+~ 3x", rolling + "{maxUnavailable: 2}", {"s-2"}},
      {"as many as may be are away", "0+~ 1+~ 2x 3x", rolling + "{maxUnavailable: 2}", {}},
      {"a share, rounded down",
       "0+~ 1+~ 2+~ 3+~",
       rolling + "{maxUnavailable: '60%'}",
       {"s-3", "s-2"}},
      {"a small share is one", "0+~ 1+~ 2+~ 3+~", rolling + "{maxUnavailable: '1%'}", {"s-3"}},
      {"several, down to the partition",
       "0+~ 1+~ 2+~ 3+~",
       rolling + "{maxUnavailable: 3, partition: 3}",
       {"s-3"}},
  };
  for (const Case& c : cases) {
    int n = static_cast<int>(std::count_if(c.pods.begin(), c.pods.end(), isdigit));
    for (std::string policy : {"OrderedReady", "Parallel"}) {
      if (c.pods.find('x') != std::string::npos && policy == "OrderedReady") continue;
      auto plan = plan_of("replicas: " + std::to_string(n) + ", podManagementPolicy: " + policy +
                              ", updateStrategy: {" + c.strategy + "}",
                          c.pods);
      EXPECT_EQ(names(plan.remove), c.remove) << c.why << " " << policy;
    }
  }
}

TEST(PlanStatefulSet, NumbersBeginWhereItSays) {
  auto plan = plan_of("replicas: 2, ordinals: {start: 3}, " + std::string(kRolling), "1+ 2+ 3+");
  EXPECT_THAT(made(plan), ElementsAre(4));
  plan = plan_of("replicas: 2, ordinals: {start: 3}, " + std::string(kRolling), "1+ 2+ 3+ 4+");
  EXPECT_THAT(names(plan.remove), ElementsAre("s-2"));
  EXPECT_EQ(ordinal_of("s", "s-01"), -1);
  EXPECT_EQ(ordinal_of("s", "s-99999999999"), -1);
  EXPECT_EQ(ordinal_of("s", "s-t-1"), -1);
  EXPECT_EQ(ordinal_of("s-t", "s-t-1"), 1);
}

TEST(PlanStatefulSet, BelowThePartitionAPodIsMadeAsItWas) {
  auto old = [](const std::string& strategy, const std::string& pods) {
    auto plan = plan_of("replicas: 3, podManagementPolicy: Parallel, updateStrategy: {" + strategy +
                            "}}\nstatus: {currentReplicas: 1",
                        pods);
    std::vector<bool> out;
    for (const auto& c : plan.create) out.push_back(c.as_it_was);
    return out;
  };
  EXPECT_THAT(old("type: RollingUpdate, rollingUpdate: {partition: 2}", ""),
              ElementsAre(true, true, false));
  EXPECT_THAT(old("type: RollingUpdate, rollingUpdate: {}", ""), ElementsAre(false, false, false));
  EXPECT_THAT(old("type: RollingUpdate", ""), ElementsAre(true, false, false));
  EXPECT_THAT(old("type: OnDelete", "0+"), ElementsAre(false, false));
}

TEST(PlanStatefulSet, APodCountsOnceItHasServedLongEnough) {
  const std::string spec = "replicas: 3, minReadySeconds: 10, " + std::string(kRolling);
  auto plan = plan_of(spec, "0+ 1y");
  EXPECT_THAT(made(plan), IsEmpty());
  EXPECT_EQ(plan.ready, 2);
  EXPECT_EQ(plan.available, 1);
  EXPECT_THAT(made(plan_of(spec, "0+ 1+")), ElementsAre(2));
  EXPECT_THAT(names(plan_of(spec, "0+~ 1+~ 2y").remove), IsEmpty());
}

TEST(PlanStatefulSet, CountsAndCompletes) {
  const std::string spec = "replicas: 2, " + std::string(kRolling);
  auto plan = plan_of(spec, "0+ 1+~ 2x");
  EXPECT_EQ(plan.replicas, 3);
  EXPECT_EQ(plan.ready, 3);
  EXPECT_EQ(plan.updated, 1);
  EXPECT_EQ(plan.current, 1);
  EXPECT_FALSE(plan.rolled_out);
  plan = plan_of(spec, "0+ 1+~");
  EXPECT_EQ(plan.current, 0);  // the one that goes for the update counts no more
  plan = plan_of(spec, "0+ 1+");
  EXPECT_TRUE(plan.rolled_out);
  EXPECT_EQ(plan.current, 2);
  EXPECT_FALSE(plan_of("replicas: 2, updateStrategy: {type: OnDelete}", "0+ 1+").rolled_out);
}

TEST(PlanStatefulSet, OneThatIsDeletedOnlyCounts) {
  auto plan = plan_of("replicas: 3, " + std::string(kRolling), "0f 1+ 5+", {},
                      ", deletionTimestamp: '2026-01-01T11:00:00Z'");
  EXPECT_THAT(made(plan), IsEmpty());
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_EQ(plan.replicas, 3);
}

constexpr const char* kClaims = ", volumeClaimTemplates: [{metadata: {name: data}}]";

TEST(PlanStatefulSet, APodThatLacksItsIdentityOrVolumesIsMended) {
  auto plan = plan_of("replicas: 1, " + std::string(kRolling), "0+");
  EXPECT_THAT(plan.mend, IsEmpty());
  plan = plan_of("replicas: 1, " + std::string(kRolling) + kClaims, "0+");
  ASSERT_EQ(plan.mend.size(), 1U);
  EXPECT_EQ(plan.mend[0]->spec().volumes()[0].persistent_volume_claim().claim_name(), "data-s-0");
  EXPECT_THAT(plan.lack_claims, IsEmpty());
  plan = plan_of("replicas: 1, " + std::string(kRolling) + kClaims, "0p");
  EXPECT_THAT(names(plan.lack_claims), ElementsAre("s-0"));
}

// KEP 1847. Owners as "KIND NAME UID" joined by ","; "!" after one: not its controller.
TEST(PlanStatefulSet, ClaimsBelongToWhomTheyAreToGoWith) {
  const std::string set = "StatefulSet s s1", pod = "Pod s-1 u1";
  struct Case {
    std::string why, deleted, scaled;
    int replicas;
    std::string owners, expected;  // "=": left as it is
    bool conflict = false;
  };
  const Case cases[] = {
      {"kept", "Retain", "Retain", 2, "", "="},
      {"kept from now on", "Retain", "Retain", 2, set, ""},
      {"kept from now on, of a pod", "Retain", "Retain", 1, pod, ""},
      {"with the set", "Delete", "Retain", 2, "", set},
      {"with the set already", "Delete", "Retain", 2, set, "="},
      {"with the set, the pod beyond its size", "Delete", "Retain", 1, pod, set},
      {"with the pod, within the size", "Retain", "Delete", 2, "", "="},
      {"grown again", "Retain", "Delete", 2, pod, ""},
      {"with the pod", "Retain", "Delete", 1, "", pod},
      {"with the pod, no longer the set", "Retain", "Delete", 1, set, pod},
      {"with both, within", "Delete", "Delete", 2, "", set},
      {"with both, beyond", "Delete", "Delete", 1, set, pod},
      {"with both, grown again", "Delete", "Delete", 2, pod, set},
      {"an older set's", "Delete", "Delete", 2, "StatefulSet s before", "="},
      {"an older pod's", "Retain", "Delete", 1, "Pod s-1 before", "="},
      {"another controller's", "Delete", "Delete", 2, "Box b b1", "=", false},
      {"another's and ours", "Delete", "Delete", 2, "Box b b1," + set, "Box b b1", true},
      {"another's, and kept", "Retain", "Retain", 2, "Box b b1", "="},
      {"beside one that controls nothing", "Delete", "Retain", 2, "Box b b1!", "Box b b1!," + set},
      {"ours without control", "Delete", "Retain", 2, set + "!", set},
  };
  for (const Case& c : cases) {
    auto s =
        parse<StatefulSet>("metadata: {name: s, namespace: n, uid: s1}\nspec: {replicas: " +
                           std::to_string(c.replicas) +
                           ", persistentVolumeClaimRetentionPolicy: {whenDeleted: " + c.deleted +
                           ", whenScaled: " + c.scaled + "}}");
    auto p = parse<Pod>("metadata: {name: s-1, namespace: n, uid: u1}");
    std::string refs;
    std::stringstream in(c.owners);
    for (std::string one; std::getline(in, one, ',');) {
      bool controls = one.back() != '!';
      if (!controls) one.pop_back();
      size_t x = one.find(' '), y = one.rfind(' ');
      std::string kind = one.substr(0, x);
      refs += std::string(refs.empty() ? "" : ", ") +
              "{apiVersion: " + (kind == "Pod" ? "v1" : "apps/v1") + ", kind: " + kind +
              ", name: " + one.substr(x + 1, y - x - 1) + ", uid: " + one.substr(y + 1) +
              ", controller: " + (controls ? "true" : "false") + "}";
    }
    auto claim = parse<PersistentVolumeClaim>(
        "metadata: {name: data-s-1, namespace: n, ownerReferences: [" + refs + "]}");
    auto plan = plan_claim_owners(*s, *p, *claim);
    if (c.expected == "=") {
      EXPECT_FALSE(plan) << c.why;
      continue;
    }
    ASSERT_TRUE(plan) << c.why;
    std::string now;
    for (auto r : plan->claim->metadata().owner_references()) {
      now += std::string(now.empty() ? "" : ",") + std::string(r.kind()) + " " +
             std::string(r.name()) + " " + std::string(r.uid()) + (r.controller() ? "" : "!");
    }
    EXPECT_EQ(now, c.expected) << c.why;
    EXPECT_EQ(plan->conflict, c.conflict) << c.why;
  }
}

TEST(PlanStatefulSet, ANumberWaitsUntilItsLastPodsClaimHasGone) {
  const std::string spec =
      "replicas: 2, persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}, " +
      std::string(kRolling) + kClaims;
  auto claim = [](const std::string& owner) {
    return parse<PersistentVolumeClaim>(
        "metadata: {name: data-s-0, namespace: n, ownerReferences: [" + owner + "]}");
  };
  const Claims stale{{"data-s-0", claim("{apiVersion: v1, kind: Pod, name: s-0, uid: before}")}};
  const Claims free{{"data-s-0", claim("")}};
  EXPECT_THAT(made(plan_of(spec, "", stale)), IsEmpty());
  EXPECT_THAT(made(plan_of(spec, "", free)), ElementsAre(0));
  EXPECT_THAT(made(plan_of(spec + ", podManagementPolicy: Parallel", "", stale)), ElementsAre(1));
}

TEST(PlanStatefulSet, APodBeyondTheSizeOwnsItsClaimsBeforeItGoes) {
  auto plan = plan_of(
      "replicas: 1, persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}, " +
          std::string(kRolling) + kClaims,
      "0+ 1+",
      {{"data-s-1", parse<PersistentVolumeClaim>("metadata: {name: data-s-1, namespace: n}")}});
  // The first one's volumes are not what is asked here.
  ASSERT_EQ(plan.owners.size(), 1U);
  EXPECT_EQ(controller_of(plan.owners[0].claim->metadata()).uid(), "u1");
  EXPECT_THAT(names(plan.remove), ElementsAre("s-1"));
}

}  // namespace
}  // namespace keles::controllers
