// The plugins by cases: what they reject, in whose words, and what they prefer.
#include <gtest/gtest.h>

#include "machinery/codec_yaml.h"
#include "scheduler/decide_test.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Node;
using api::core_v1::Pod;

// One plugin, with arguments.
std::unique_ptr<Profile> profile_of(const std::string& plugin, const std::string& args = "{}") {
  static std::vector<DocumentPtr> held;
  held.push_back(std::make_shared<const Document>(std::move(*parse_yaml(args))));
  Layout layout;
  layout.entries.push_back({plugin, ~0U, 1});
  const DocumentPtr text = held.back();
  auto made = make_profile(
      "test", layout, [text](std::string_view) { return text->root; }, nullptr);
  EXPECT_TRUE(made.ok()) << made.status().to_string();
  return std::move(*made);
}

class PluginsTest : public DecideTest {
 protected:
  // The score of each node, in name order.
  std::vector<int64_t> scores(const std::string& text) {
    Cycle cycle(pod(text), *profile);
    const ClusterView& view = cache.view();
    cycle.view = &view;
    (void)profile->pre_filter(cycle);
    return profile->score(cycle, view.nodes);
  }
  // What the filter says of a node: "" or "code: reasons".
  std::string verdict(const std::string& text, const std::string& name) {
    Cycle cycle(pod(text), *profile);
    const ClusterView& view = cache.view();
    cycle.view = &view;
    Profile::Prepared p = profile->pre_filter(cycle);
    Verdict v = p.verdict;
    Plugin* by = nullptr;
    if (v.ok()) v = profile->filter(cycle, *view.find(name), &by);
    if (v.ok()) return "";
    return (v.code == Code::kUnresolvable ? "never: " : "not now: ") + v.message();
  }
  Hint hint_of(const std::string& text, const Event& e) {
    PodPtr p = pod(text);
    return profile->plugins().front()->hint(*p, e);
  }
};

std::string asks(const std::string& list) { return "  overhead: {" + list + "}\n"; }
std::string with_affinity(const std::string& kind, const std::string& terms) {
  return "  affinity: {" + kind + ": {requiredDuringSchedulingIgnoredDuringExecution: [" + terms +
         "]}}\n";
}

// --- NodeResourcesFit ---

TEST_F(PluginsTest, FitTellsEverythingThatIsLacking) {
  profile = profile_of("NodeResourcesFit");
  cache.set_node(*yaml<Node>(
      "metadata: {name: node}\nstatus: {allocatable: {cpu: '2', memory: 1Gi, pods: '1', "
      "example.com/gpu: '1', ephemeral-storage: 1Gi}}"));
  placed(pod_text("there", "  nodeName: node\n" + asks("cpu: '1'")));
  EXPECT_EQ(verdict(pod_text("p", asks("cpu: '2'")), "node"),
            "not now: Too many pods, Insufficient cpu");
  EXPECT_EQ(verdict(pod_text("p", asks("cpu: '3', memory: 2Gi, ephemeral-storage: 2Gi")), "node"),
            "never: Too many pods, Insufficient cpu, Insufficient memory, Insufficient "
            "ephemeral-storage");
  EXPECT_EQ(verdict(pod_text("p", asks("example.com/gpu: '2'")), "node"),
            "never: Too many pods, Insufficient example.com/gpu");
  EXPECT_EQ(verdict(pod_text("p", asks("example.com/other: '1'")), "node"),
            "never: Too many pods, Insufficient example.com/other");
}

TEST_F(PluginsTest, FitPassesOverWhatItIsToldToIgnore) {
  profile = profile_of("NodeResourcesFit",
                       "{ignoredResources: [example.com/a], ignoredResourceGroups: [other.org]}");
  node(node_text("node"));
  EXPECT_EQ(verdict(pod_text("p", asks("example.com/a: '1', other.org/x: '1'")), "node"), "");
  EXPECT_EQ(verdict(pod_text("p", asks("example.com/b: '1'")), "node"),
            "never: Insufficient example.com/b");
}

TEST_F(PluginsTest, FitCountsInitContainersSidecarsAndThePodAsAWhole) {
  profile = profile_of("NodeResourcesFit");
  node(node_text("node", "4"));
  auto pod_with = [](const std::string& init, const std::string& main,
                     const std::string& more = "") {
    return "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: default, uid: p}\nspec:\n"
           "  initContainers: [" +
           init + "]\n  containers: [" + main + "]\n" + more;
  };
  auto c = [](const std::string& name, const std::string& cpu, const std::string& more = "") {
    return "{name: " + name + ", image: i, resources: {requests: {cpu: '" + cpu + "'}}" + more +
           "}";
  };
  const std::string always = ", restartPolicy: Always";
  // The largest of: all that run together; each init container beside the sidecars before it.
  EXPECT_EQ(verdict(pod_with(c("i", "4"), c("a", "1")), "node"), "");
  EXPECT_EQ(verdict(pod_with(c("i", "5"), c("a", "1")), "node"), "never: Insufficient cpu");
  EXPECT_EQ(verdict(pod_with(c("s", "2", always), c("a", "2")), "node"), "");
  EXPECT_EQ(verdict(pod_with(c("s", "2", always), c("a", "3")), "node"), "never: Insufficient cpu");
  EXPECT_EQ(verdict(pod_with(c("s", "2", always) + ", " + c("i", "3"), c("a", "1")), "node"),
            "never: Insufficient cpu");
  EXPECT_EQ(verdict(pod_with(c("i", "3") + ", " + c("s", "2", always), c("a", "1")), "node"), "");
  // What the pod says as a whole stands for its containers.
  EXPECT_EQ(verdict(pod_with("", c("a", "9"), "  resources: {requests: {cpu: '1'}}\n"), "node"),
            "");
}

TEST_F(PluginsTest, FitScoresByItsStrategy) {
  node(node_text("a", "10"));
  node(node_text("b", "10"));
  placed(pod_text("there", "  nodeName: b\n" + asks("cpu: '4'")));
  struct Case {
    const char* args;
    std::vector<int64_t> want;
  };
  const std::string only_cpu = "resources: [{name: cpu, weight: 1}]";
  // The containers of both pods count as 100m each: nothing was asked of cpu by them.
  const Case cases[] = {
      {"{scoringStrategy: {type: LeastAllocated, resources: [{name: cpu, weight: 1}]}}", {79, 38}},
      {"{scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}", {21, 62}},
      {"{scoringStrategy: {type: RequestedToCapacityRatio, resources: [{name: cpu, weight: 1}], "
       "requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: "
       "10}]}}}",
       {21, 62}},
      {"{scoringStrategy: {type: RequestedToCapacityRatio, resources: [{name: cpu, weight: 1}], "
       "requestedToCapacityRatio: {shape: [{utilization: 0, score: 10}, {utilization: 50, score: "
       "0}]}}}",
       {58, 0}},
  };
  for (const Case& c : cases) {
    profile = profile_of("NodeResourcesFit", c.args);
    EXPECT_EQ(scores(pod_text("p", asks("cpu: '2'"))), c.want) << c.args;
  }
}

TEST_F(PluginsTest, FitIsToldOfWhatMayHelp) {
  profile = profile_of("NodeResourcesFit");
  NodeInfo small, large;
  small.set_node(*yaml<Node>(node_text("node", "1")));
  large.set_node(*yaml<Node>(node_text("node", "8")));
  const std::string wants = pod_text("p", asks("cpu: '4'"));
  Event e;
  e.bits = kNodeAdded;
  e.node = &small;
  EXPECT_EQ(hint_of(wants, e), Hint::kSkip);
  e.node = &large;
  EXPECT_EQ(hint_of(wants, e), Hint::kQueue);
  e.bits = kNodeAllocatable;
  e.node_before = &large;
  EXPECT_EQ(hint_of(wants, e), Hint::kSkip);  // it has no more than it had
  e.node_before = &small;
  EXPECT_EQ(hint_of(wants, e), Hint::kQueue);
  PodPtr big = pod(pod_text("x", asks("cpu: '2'"))), less = pod(pod_text("x", asks("cpu: '1'")));
  Event scaled;
  scaled.bits = kPodScaledDown;
  scaled.pod_before = big.get();
  scaled.pod = less.get();
  EXPECT_EQ(hint_of(wants, scaled), Hint::kQueue);
  EXPECT_EQ(hint_of(pod_text("p", asks("memory: 1Gi")), scaled), Hint::kSkip);
}

TEST_F(PluginsTest, BalanceIsWhatThePodMakesBetter) {
  profile = profile_of("NodeResourcesBalancedAllocation");
  node("metadata: {name: a}\nstatus: {allocatable: {cpu: '10', memory: 10Gi, pods: '10'}}");
  node("metadata: {name: b}\nstatus: {allocatable: {cpu: '10', memory: 10Gi, pods: '10'}}");
  placed(pod_text("there", "  nodeName: b\n" + asks("memory: 5Gi")));
  // On a it makes cpu 50 % against 0; on b it evens out.
  EXPECT_EQ(scores(pod_text("p", asks("cpu: '5'"))), (std::vector<int64_t>{62, 87}));
  EXPECT_EQ(scores(pod_text("p")), (std::vector<int64_t>{0, 0}));  // it changes nothing
}

// --- nodes ---

TEST_F(PluginsTest, NodeAffinityAddsTheProfilesOwn) {
  profile = profile_of("NodeAffinity",
                       "{addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                       "{nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: "
                       "[x]}]}]}, preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, "
                       "preference: {matchExpressions: [{key: ssd, operator: Exists}]}}]}}");
  node(node_text("a", "4", ", pool: x"));
  node(node_text("b", "4", ", pool: y"));
  node(node_text("c", "4", ", pool: x, ssd: '1'"));
  EXPECT_EQ(verdict(pod_text("p"), "a"), "");
  EXPECT_EQ(verdict(pod_text("p"), "b"),
            "never: node(s) didn't match scheduler-enforced node affinity");
  EXPECT_EQ(verdict(pod_text("p", "  nodeSelector: {pool: y}\n"), "a"),
            "never: node(s) didn't match Pod's node affinity/selector");
  EXPECT_EQ(scores(pod_text("p")), (std::vector<int64_t>{0, 0, 100}));
}

TEST_F(PluginsTest, ANodeThatIsNamedIsTheOnlyOneLookedAt) {
  for (const char* name : {"a", "b", "c"}) node(node_text(name));
  auto named = [](const std::string& terms) {
    return pod_text("p",
                    "  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                    "{nodeSelectorTerms: [" +
                        terms + "]}}}\n" + asks("cpu: '64'"));
  };
  auto field = [](const std::string& values) {
    return "{matchFields: [{key: metadata.name, operator: In, values: [" + values + "]}]}";
  };
  EXPECT_EQ(choose(named(field("b"))),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) "
            "[NodeAffinity].");
  EXPECT_EQ(choose(named(field("b") + ", " + field("c"))),
            "0/3 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 2 "
            "Insufficient cpu.");
  EXPECT_EQ(choose(named("{matchFields: [{key: metadata.name, operator: In, values: [a]}, {key: "
                         "metadata.name, operator: In, values: [b]}]}")),
            "0/3 nodes are available: pod affinity terms conflict.");
}

TEST_F(PluginsTest, TaintsKeepAwayOrPutOff) {
  profile = profile_of("TaintToleration");
  node(node_text("a"));
  node(node_text("b", "4", "", "taints: [{key: k, value: v, effect: PreferNoSchedule}]"));
  node(node_text("c", "4", "", "taints: [{key: k, value: v, effect: NoExecute}]"));
  EXPECT_EQ(verdict(pod_text("p"), "b"), "");
  EXPECT_EQ(verdict(pod_text("p"), "c"), "never: node(s) had untolerated taint(s)");
  const std::string tolerant = pod_text("p", "  tolerations: [{key: k, operator: Exists}]\n");
  EXPECT_EQ(verdict(tolerant, "c"), "");
  EXPECT_EQ(scores(pod_text("p")), (std::vector<int64_t>{100, 0, 100}));
  EXPECT_EQ(scores(tolerant), (std::vector<int64_t>{100, 100, 100}));
}

TEST_F(PluginsTest, ImagesThatAreThereCountBySizeAndSpread) {
  profile = profile_of("ImageLocality");
  auto with = [](const std::string& name, const std::string& images) {
    return "metadata: {name: " + name + "}\nstatus: {images: [" + images + "]}";
  };
  node(with("a", "{names: ['i:latest'], sizeBytes: 1000000000}"));
  node(with("b", ""));
  // 1,000,000,000 x 1/2 of 1,000 MiB at most, from 23 MiB on.
  EXPECT_EQ(scores(pod_text("p")), (std::vector<int64_t>{46, 0}));
}

TEST_F(PluginsTest, GatesAreNamed) {
  profile = profile_of("SchedulingGates");
  Plugin* by = nullptr;
  PodPtr gated = pod(pod_text("p", "  schedulingGates: [{name: a}, {name: b}]\n"));
  EXPECT_EQ(profile->pre_enqueue(*gated, &by).message(), "waiting for scheduling gates: [a b]");
  EXPECT_TRUE(profile->pre_enqueue(*pod(pod_text("q")), &by).ok());
}

// --- PodTopologySpread ---

std::string spread(const std::string& more, const std::string& when = "DoNotSchedule",
                   const std::string& key = "zone") {
  return "  topologySpreadConstraints: [{maxSkew: 1, topologyKey: " + key +
         ", whenUnsatisfiable: " + when + ", labelSelector: {matchLabels: {app: web}}" + more +
         "}]\n";
}
const char kWeb[] = ", labels: {app: web, rev: '2'}";

class SpreadTest : public PluginsTest {
 protected:
  void SetUp() override {
    PluginsTest::SetUp();
    profile = profile_of("PodTopologySpread");
    node(node_text("a", "4", ", zone: east"));
    node(node_text("b", "4", ", zone: west"));
    node(node_text("c", "4", ", zone: north", "taints: [{key: k, value: v, effect: NoSchedule}]"));
    node(node_text("d"));
    placed(pod_text("w1", "  nodeName: a\n", kWeb));
  }
  const std::string skewed_ = "not now: node(s) didn't match pod topology spread constraints";
};

TEST_F(SpreadTest, SkewIsAgainstTheFewest) {
  const std::string p = pod_text("p", spread(""), kWeb);
  EXPECT_EQ(verdict(p, "a"), skewed_);
  EXPECT_EQ(verdict(p, "b"), "");
  EXPECT_EQ(verdict(p, "d"),
            "never: node(s) didn't match pod topology spread constraints (missing required label)");
  // A pod that its own constraint does not select adds nothing.
  EXPECT_EQ(verdict(pod_text("p", spread("")), "a"), "");
  // Another namespace's pods and those on their way out do not count.
  placed(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: o, namespace: other, uid: o, labels: {app: "
      "web}}\nspec: {nodeName: b, containers: [{name: c}]}");
  placed(pod_text("gone", "  nodeName: b\n",
                  std::string(kWeb) + ", deletionTimestamp: '2024-01-01T00:00:00Z'"));
  EXPECT_EQ(verdict(p, "b"), "");
  placed(pod_text("w2", "  nodeName: b\n", kWeb));
  EXPECT_EQ(verdict(p, "b"), skewed_);  // north has none
  EXPECT_EQ(verdict(p, "c"), "");
}

TEST_F(SpreadTest, WhichNodesCountIsThePolicies) {
  placed(pod_text("w2", "  nodeName: b\n", kWeb));
  // North is tainted: by default it counts all the same.
  EXPECT_EQ(verdict(pod_text("p", spread(", nodeTaintsPolicy: Honor"), kWeb), "a"), "");
  EXPECT_EQ(verdict(pod_text("p", spread(", nodeTaintsPolicy: Ignore"), kWeb), "a"), skewed_);
  // West and north do not match the selector: they do not count, but where that is to be ignored.
  const std::string selector = "  nodeSelector: {zone: east}\n";
  EXPECT_EQ(verdict(pod_text("p", spread("") + selector, kWeb), "a"), "");
  EXPECT_EQ(verdict(pod_text("p", spread(", nodeAffinityPolicy: Ignore") + selector, kWeb), "a"),
            skewed_);
}

TEST_F(SpreadTest, FewerDomainsThanThereMustBe) {
  placed(pod_text("w2", "  nodeName: b\n", kWeb));
  placed(pod_text("w3", "  nodeName: c\n", kWeb));
  EXPECT_EQ(verdict(pod_text("p", spread(", minDomains: 3"), kWeb), "a"), "");
  EXPECT_EQ(verdict(pod_text("p", spread(", minDomains: 4"), kWeb), "a"), skewed_);
}

TEST_F(SpreadTest, MatchLabelKeysAreThePodsOwnValues) {
  EXPECT_EQ(verdict(pod_text("p", spread(", matchLabelKeys: [rev]"), kWeb), "a"), skewed_);
  EXPECT_EQ(
      verdict(pod_text("p", spread(", matchLabelKeys: [rev]"), ", labels: {app: web, rev: '3'}"),
              "a"),
      "");
}

TEST_F(SpreadTest, WhatPreemptionTakesOffCounts) {
  const std::string text = pod_text("p", spread(""), kWeb);
  Cycle cycle(pod(text), *profile);
  const ClusterView& view = cache.view();
  cycle.view = &view;
  ASSERT_TRUE(profile->pre_filter(cycle).verdict.ok());
  NodeInfo& a = *view.find("a");
  Plugin* by = nullptr;
  PodPtr w1 = a.pods.front();
  EXPECT_FALSE(profile->filter(cycle, a, &by).ok());
  profile->remove_pod(cycle, *w1, a);
  EXPECT_TRUE(profile->filter(cycle, a, &by).ok());
  profile->add_pod(cycle, *w1, a);
  EXPECT_FALSE(profile->filter(cycle, a, &by).ok());
}

TEST_F(SpreadTest, PrefersTheEmptierDomain) {
  // Three zones among the candidates; d has none and is not scored.
  EXPECT_EQ(scores(pod_text("p", spread("", "ScheduleAnyway"), kWeb)),
            (std::vector<int64_t>{0, 100, 100, 0}));
  EXPECT_EQ(scores(pod_text("p", spread("", "ScheduleAnyway", "kubernetes.io/hostname"), kWeb)),
            (std::vector<int64_t>{0, 100, 100, 100}));
  EXPECT_EQ(scores(pod_text("p", "", kWeb)), (std::vector<int64_t>{0, 0, 0, 0}));
}

// --- InterPodAffinity ---

TEST_F(PluginsTest, NamespacesOfATermMayBeSelected) {
  profile = profile_of("InterPodAffinity");
  cache.set_namespace(*yaml<api::core_v1::Namespace>("metadata: {name: blue, labels: {team: b}}"));
  node(node_text("a", "4", ", zone: east"));
  placed(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: o, namespace: blue, uid: o, labels: {app: "
      "web}}\nspec: {nodeName: a, containers: [{name: c}]}");
  const std::string term = "{topologyKey: zone, labelSelector: {matchLabels: {app: web}}";
  auto anti = [&](const std::string& more) {
    return pod_text("p", with_affinity("podAntiAffinity", term + more + "}"));
  };
  EXPECT_EQ(verdict(anti(""), "a"), "");
  EXPECT_EQ(verdict(anti(", namespaces: [blue]"), "a"),
            "not now: node(s) didn't match pod anti-affinity rules");
  EXPECT_EQ(verdict(anti(", namespaceSelector: {matchLabels: {team: b}}"), "a"),
            "not now: node(s) didn't match pod anti-affinity rules");
  EXPECT_EQ(verdict(anti(", namespaceSelector: {matchLabels: {team: c}}"), "a"), "");
  EXPECT_EQ(verdict(anti(", namespaceSelector: {}"), "a"),
            "not now: node(s) didn't match pod anti-affinity rules");
}

TEST_F(PluginsTest, ThoseThatAreThereDrawAndRepel) {
  node(node_text("a", "4", ", zone: east"));
  node(node_text("b", "4", ", zone: west"));
  const std::string term = "{topologyKey: zone, labelSelector: {matchLabels: {app: web}}}";
  placed(pod_text("friend", with_affinity("podAffinity", term) + "  nodeName: a\n", kWeb));
  profile = profile_of("InterPodAffinity");
  EXPECT_EQ(scores(pod_text("p", "", kWeb)), (std::vector<int64_t>{100, 0}));
  profile = profile_of("InterPodAffinity", "{hardPodAffinityWeight: 0}");
  EXPECT_EQ(scores(pod_text("p", "", kWeb)), (std::vector<int64_t>{0, 0}));
  placed(pod_text("shy",
                  "  affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: "
                  "[{weight: 5, podAffinityTerm: " +
                      term + "}]}}\n  nodeName: a\n"));
  EXPECT_EQ(scores(pod_text("p", "", kWeb)), (std::vector<int64_t>{0, 100}));
  profile = profile_of("InterPodAffinity",
                       "{hardPodAffinityWeight: 0, ignorePreferredTermsOfExistingPods: true}");
  EXPECT_EQ(scores(pod_text("p", "", kWeb)), (std::vector<int64_t>{0, 0}));
}

TEST_F(PluginsTest, PreemptionSeesAffinityWithoutItsVictims) {
  node(node_text("a", "4", ", zone: east"));
  const std::string term = "{topologyKey: zone, labelSelector: {matchLabels: {app: web}}}";
  placed(pod_text("low", "  nodeName: a\n  priority: 1\n", kWeb));
  EXPECT_EQ(preempt(pod_text("p", "  priority: 9\n" + with_affinity("podAntiAffinity", term))),
            "a: low");
  placed(
      pod_text("keep", with_affinity("podAntiAffinity", term) + "  nodeName: a\n  priority: 9\n"));
  EXPECT_EQ(preempt(pod_text("p", "  priority: 9\n" + asks("cpu: '1'"), kWeb)),
            "1 node(s) didn't satisfy existing pods anti-affinity rules;");
}

// --- preemption ---

TEST_F(PluginsTest, ChoosesTheNodeAsUpstreamDoes) {
  auto low = [](const std::string& name, const std::string& where, int priority,
                const std::string& cpu, const std::string& status = "") {
    return pod_text(name,
                    "  nodeName: " + where + "\n  priority: " + std::to_string(priority) + "\n" +
                        requests(cpu) + status,
                    ", labels: {app: " + name + "}");
  };
  auto started = [](const std::string& when) { return "status: {startTime: '" + when + "'}\n"; };
  const std::string want = pod_text("p", "  priority: 100\n" + requests("2"));
  node(node_text("a", "2"));
  node(node_text("b", "2"));
  // The least important first victim, whatever their number.
  placed(low("a1", "a", 5, "2"));
  placed(low("b1", "b", 4, "1"));
  placed(low("b2", "b", 4, "1"));
  EXPECT_EQ(preempt(want), "b: b1 b2");
  // The sum, then the number.
  cache.remove_pod("uid-b1");
  placed(low("b1", "b", 5, "1"));
  EXPECT_EQ(preempt(want), "a: a1");
  // A budget that would be overdrawn outweighs all that.
  Budget budget{"default", *Selector::parse("app=a1"), 0, {}};
  EXPECT_EQ(preempt(want, {budget}), "b: b1 b2");
  budget.disrupted = {"a1"};  // counted already
  EXPECT_EQ(preempt(want, {budget}), "a: a1");
  // Who started last.
  cache.remove_pod("uid-b1");
  cache.remove_pod("uid-b2");
  cache.remove_pod("uid-a1");
  placed(low("a1", "a", 5, "2", started("2024-01-01T00:00:00Z")));
  placed(low("b1", "b", 5, "2", started("2024-01-02T00:00:00Z")));
  EXPECT_EQ(preempt(want), "b: b1");
}

TEST_F(PluginsTest, SparesWhomItCanAndThoseUnderABudgetFirst) {
  node(node_text("a", "4"));
  auto low = [](const std::string& name, int priority, const std::string& cpu) {
    return pod_text(name,
                    "  nodeName: a\n  priority: " + std::to_string(priority) + "\n" + requests(cpu),
                    ", labels: {app: " + name + "}");
  };
  placed(low("x", 1, "1"));
  placed(low("w", 2, "1"));
  placed(low("z", 3, "1"));
  placed(low("peer", 100, "1"));
  const std::string want = pod_text("p", "  priority: 100\n" + requests("1"));
  EXPECT_EQ(preempt(want), "a: x");
  EXPECT_EQ(preempt(want, {Budget{"default", *Selector::parse("app=x"), 0, {}}}), "a: w");
  EXPECT_EQ(preempt(pod_text("p", "  priority: 100\n" + requests("3"))), "a: z w x");
  EXPECT_EQ(preempt(pod_text("p", "  priority: 100\n" + requests("4"))), "1 Insufficient cpu;");
}

TEST_F(PluginsTest, NominatedPodsHoldTheirRoomAgainstLesserOnes) {
  node(node_text("a", "2"));
  PodPtr high = pod(pod_text("high", "  priority: 10\n" + requests("2")));
  cache.nominate(high, "a");
  EXPECT_EQ(choose(pod_text("low", "  priority: 1\n" + requests("1"))),
            "0/1 nodes are available: 1 Insufficient cpu.");
  EXPECT_EQ(choose(pod_text("higher", "  priority: 11\n" + requests("1"))), "a");
  Cycle cycle(high, *profile);
  cycle.nominated_node = "a";
  EXPECT_EQ(decider.decide(cycle, cache.view(), random).node, "a");
  EXPECT_EQ(cache.view().find("a")->requested.milli_cpu, 0);
  cache.take_back_nomination(high->uid);
  EXPECT_EQ(choose(pod_text("low", "  priority: 1\n" + requests("1"))), "a");
}

}  // namespace
}  // namespace keles::scheduler
