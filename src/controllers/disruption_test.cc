// The controllers of budgets and of daemons at work.
#include "controllers/disruption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/cluster_testing.h"

namespace keles::controllers {
namespace {

using api::apps_v1::DaemonSet;
using api::core_v1::Pod;
using api::policy_v1::PodDisruptionBudget;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct BudgetCluster : TestCluster {
  BudgetCluster() : TestCluster({"disruption-controller"}) {}
  void budget(const std::string& name, const std::string& spec) {
    client.put_yaml("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: " + name +
                    ", namespace: d}, spec: {" + spec + "}}");
  }
  void pod(const std::string& name, const std::string& owner) {
    client.put_yaml("{apiVersion: v1, kind: Pod, metadata: {name: " + name +
                    ", namespace: d, labels: {app: web}, ownerReferences: [" +
                    (owner.empty() ? "" : "{controller: true, " + owner + "}") +
                    "]}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}");
  }
  void owned(const std::string& kind, const std::string& meta, int replicas) {
    client.put_yaml("{apiVersion: apps/v1, kind: " + kind + ", metadata: {namespace: d, " + meta +
                    "}, spec: {replicas: " + std::to_string(replicas) +
                    ", selector: {matchLabels: {app: web}}}}");
  }
  // "healthy/desired of expected", or what its condition says went wrong.
  std::string says(const std::string& name) {
    auto s = client.now<PodDisruptionBudget>("d", name)->status();
    for (auto c : s.conditions()) {
      if (c.reason() == "SyncFailed") return std::string(c.message());
    }
    return std::to_string(s.current_healthy()) + "/" + std::to_string(s.desired_healthy()) +
           " of " + std::to_string(s.expected_pods());
  }
};

const std::string kHalf = "minAvailable: 50%, selector: {matchLabels: {app: web}}";

// How many pods there should be is asked of whoever controls those that there are.
TEST(Budgets, ExpectWhatControllersWant) {
  struct Case {
    std::string why, owner;
    std::string says;
  };
  const Case cases[] = {
      {"a ReplicaSet", "apiVersion: apps/v1, kind: ReplicaSet, name: lone, uid: u1", "1/2 of 4"},
      {"its Deployment", "apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u2", "1/4 of 8"},
      {"a ReplicaSet whose Deployment has gone",
       "apiVersion: apps/v1, kind: ReplicaSet, name: left, uid: u3", "1/3 of 6"},
      {"a StatefulSet", "apiVersion: apps/v1, kind: StatefulSet, name: db, uid: u4", "1/1 of 2"},
      {"a Deployment itself", "apiVersion: apps/v1, kind: Deployment, name: web, uid: u5",
       "1/4 of 8"},
      {"one that has gone", "apiVersion: apps/v1, kind: ReplicaSet, name: none, uid: u9",
       "found no controllers for pod \"p\""},
      {"one of the same name", "apiVersion: apps/v1, kind: StatefulSet, name: db, uid: u9",
       "found no controllers for pod \"p\""},
      {"a kind without a scale", "apiVersion: batch/v1, kind: Job, name: j, uid: u9",
       "jobs.batch does not implement the scale subresource"},
      {"a kind that nobody knows", "apiVersion: x.io/v1, kind: Thing, name: t, uid: u9",
       "no matches for kind \"Thing\" in version \"x.io/v1\""},
  };
  for (const Case& c : cases) {
    BudgetCluster k;
    k.owned("ReplicaSet", "name: lone, uid: u1", 4);
    k.owned("ReplicaSet",
            "name: web-1, uid: u2, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: "
            "web, uid: u5, controller: true}]",
            1);
    k.owned("ReplicaSet",
            "name: left, uid: u3, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: "
            "gone, uid: u8, controller: true}]",
            6);
    k.owned("StatefulSet", "name: db, uid: u4", 2);
    k.owned("Deployment", "name: web, uid: u5", 8);
    k.pod("p", c.owner);
    k.budget("b", kHalf);
    k.start();
    EXPECT_EQ(k.says("b"), c.says) << c.why;
    if (c.says.find(" of ") != std::string::npos) continue;
    EXPECT_EQ(k.client.now<PodDisruptionBudget>("d", "b")->status().disruptions_allowed(), 0);
    EXPECT_THAT(k.told(), Contains("CalculateExpectedPodCountFailed: Failed to calculate the "
                                   "number of expected pods: " +
                                   c.says));
  }
}

TEST(Budgets, TellOfWhatTheyCannotKnow) {
  BudgetCluster k;
  k.budget("none", "minAvailable: 1, selector: {matchLabels: {app: other}}");
  k.budget("b",
           "maxUnavailable: 1, selector: {matchLabels: {app: web}, matchExpressions: [{key: app, "
           "operator: In, values: [web, front]}]}");
  k.start();
  k.pod("p", "");
  k.loop.advance(1s);
  EXPECT_EQ(k.says("b"), "1/0 of 0");
  EXPECT_THAT(k.told(), Contains("NoPods: No matching pods found"));
  EXPECT_THAT(k.told(), Contains(HasSubstr(
                            "(selector: &LabelSelector{MatchLabels:map[string]string{app: web,},"
                            "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{"
                            "Key:app,Operator:In,Values:[web front],},},}) were found to be "
                            "unmanaged.")));
  EXPECT_THAT(k.told(), Not(Contains(HasSubstr("matches multiple"))));
  k.budget("c", "minAvailable: 1, selector: {}");
  k.loop.advance(1s);
  k.pod("q", "");
  k.loop.advance(1s);
  EXPECT_THAT(k.told(),
              Contains(HasSubstr("MultiplePodDisruptionBudgets: Pod \"d\"/\"q\" matches multiple "
                                 "PodDisruptionBudgets.  Chose \"")));
}

// A node that refuses every pod has its failed ones replaced ever more rarely; a new template is
// tried at once.
TEST(Daemons, AreReplacedEverMoreRarelyWhereTheyFail) {
  TestCluster k({"daemonset-controller"});
  k.client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n1}}");
  auto put = [&](int generation, const std::string& image) {
    Ref<DaemonSet> old = k.client.now<DaemonSet>("d", "a");
    k.client.put_yaml(
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a, namespace: d, uid: u1, "
        "generation: " +
        std::to_string(generation) +
        "}, spec: {selector: {matchLabels: {app: a}}, updateStrategy: {type: RollingUpdate, "
        "rollingUpdate: {maxUnavailable: 1}}, template: {metadata: {labels: {app: a}}, spec: "
        "{containers: [{name: c, image: '" +
        image + "'}]}}}, status: {observedGeneration: " + std::to_string(old ? 1 : 0) + "}}");
  };
  put(1, "i:1");
  k.start();
  std::set<std::string> uids;
  auto fail_for = [&](Duration time) {  // how many have failed by then
    uids.clear();
    for (Duration t(0); t < time; t += 100ms) {
      for (const auto& p : k.client.all<Pod>()) {
        if (!p->metadata().deletion_timestamp().empty()) {
          k.client.drop(kind_of<Pod>(), "d", p->metadata().name());
          continue;
        }
        if (!uids.insert(std::string(p->metadata().uid())).second) continue;
        Draft<api::core_v1::PodEdit> d(*p);
        d->edit_status().set_phase("Failed");
        k.client.put(kind_of<Pod>(), d.take());
      }
      k.loop.advance(100ms);
    }
    return uids.size();
  };
  EXPECT_EQ(fail_for(20s), 6u);  // at once, and 1, 2, 4, 8 s after the one before
  EXPECT_THAT(k.told(), Contains(HasSubstr("on node n1, will try to kill it")));
  const size_t later = fail_for(10min);
  EXPECT_LE(later, 7u);
  put(2, "i:2");
  EXPECT_GE(fail_for(5s), 3u);
  EXPECT_EQ(k.client.now<DaemonSet>("d", "a")->status().observed_generation(), 2);
}

}  // namespace
}  // namespace keles::controllers
