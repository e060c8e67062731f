// The pure half of the DaemonSet controller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/daemonset.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;
using namespace api::core_v1;
using testing::ElementsAre;

struct DaemonPod {
  std::string name, node, hash;
  bool ready = true;
  std::string phase = "Running", created = "2026-01-01T10:00:00Z", generation, deleted;
  bool bound = true;
};

Ref<Pod> daemon(const DaemonPod& p) {
  std::string y = "metadata: {name: " + p.name + ", uid: u-" + p.name + ", creationTimestamp: '" +
                  p.created + "', labels: {controller-revision-hash: " + p.hash;
  if (!p.generation.empty()) y += ", pod-template-generation: '" + p.generation + "'";
  y += "}";
  if (!p.deleted.empty()) y += ", deletionTimestamp: '" + p.deleted + "'";
  y += p.bound ? "}\nspec: {nodeName: " + p.node + "}"
               : "}\nspec: {affinity: {nodeAffinity: "
                 "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
                 "[{matchFields: [{key: metadata.name, operator: In, values: [" +
                     p.node + "]}]}]}}}}";
  y += "\nstatus: {phase: " + p.phase + ", conditions: [{type: Ready, status: '" +
       (p.ready ? "True" : "False") + "', lastTransitionTime: '2026-01-01T10:00:00Z'}]}";
  return parse<Pod>(y);
}

Ref<DaemonSet> daemon_set(const std::string& rolling, const std::string& annotations = "") {
  return parse<DaemonSet>("metadata: {name: d, namespace: n, uid: d1, annotations: {" +
                          annotations +
                          "}}\nspec: {updateStrategy: {type: RollingUpdate, rollingUpdate: {" +
                          rolling + "}}, template: {metadata: {labels: {app: web}}, spec: {}}}");
}

std::vector<std::string> names(const std::vector<Ref<Pod>>& pods) {
  std::vector<std::string> out;
  for (const auto& p : pods) out.emplace_back(p->metadata().name());
  return out;
}

// Of nodes by name; "b:NoSchedule" has a taint of that effect.
std::vector<Ref<Node>> some_nodes(const std::vector<std::string>& nodes) {
  std::vector<Ref<Node>> out;
  for (const std::string& n : nodes) {
    const size_t colon = n.find(':');
    std::string y = "metadata: {name: " + n.substr(0, colon) + "}";
    if (colon != std::string::npos) {
      y += "\nspec: {taints: [{key: kept, effect: " + n.substr(colon + 1) + "}]}";
    }
    out.push_back(parse<Node>(y));
  }
  return out;
}

const std::string kPlain = "maxUnavailable: 1, maxSurge: 0";
const std::string kSurge = "maxUnavailable: 0, maxSurge: 1";
const std::string kMarked = "2026-01-01T11:59:00Z";

TEST(PlanDaemonSet, ReplacesWithinItsBounds) {
  struct Case {
    std::string why, rolling;
    std::vector<DaemonPod> pods;
    std::vector<std::string> create, remove, finished;
    std::vector<std::string> nodes = {"a", "b", "c"};
    std::string held = "";
  };
  const Case cases[] = {
      {"one for every node", kPlain, {{"p", "a", "new"}}, {"b", "c"}, {}, {}},
      {"old ones one at a time",
       kPlain,
       {{"p", "a", "old"}, {"q", "b", "old"}, {"r", "c", "new"}},
       {},
       {"p"},
       {}},
      {"none while one is missing",
       kPlain,
       {{"p", "a", "old"}, {"q", "b", "old"}, {"r", "c", "new", false}},
       {},
       {},
       {}},
      {"an old one that serves nobody goes at once",
       kPlain,
       {{"p", "a", "old", false}, {"q", "b", "old"}, {"r", "c", "new"}},
       {},
       {"p"},
       {}},
      {"of two the older stays",
       kPlain,
       {{"p", "a", "new"},
        {"q", "a", "new", true, "Running", "2026-01-01T11:00:00Z"},
        {"r", "b", "new"},
        {"s", "c", "new"}},
       {},
       {"q"},
       {}},
      {"one that has ended is replaced, its node waits",
       kPlain,
       {{"p", "a", "new", false, "Failed"}, {"q", "b", "new"}, {"r", "c", "new"}},
       {},
       {"p"},
       {"p"}},
      {"with surge the new one starts first",
       kSurge,
       {{"p", "a", "old"}, {"q", "b", "old"}, {"r", "c", "new"}},
       {"a"},
       {},
       {}},
      {"the surge is bounded",
       kSurge,
       {{"p", "a", "old"}, {"p2", "a", "new", false}, {"q", "b", "old"}, {"r", "c", "new"}},
       {},
       {},
       {}},
      {"the old goes when the new serves",
       kSurge,
       {{"p", "a", "old"}, {"p2", "a", "new"}, {"q", "b", "new"}, {"r", "c", "new"}},
       {},
       {"p"},
       {}},
      {"an old one that is not ready does not wait for its turn",
       kSurge,
       {{"p", "a", "old", false}, {"q", "b", "old", false}, {"r", "c", "new"}},
       {"a", "b"},
       {},
       {}},
      {"what one node lacks is made before a rollout goes on",
       kPlain,
       {{"p", "a", "old", false}, {"q", "b", "new"}},
       {"c"},
       {},
       {}},
      {"one that is going is waited for",
       kPlain,
       {{"p", "a", "new", true, "Running", "", "", kMarked}, {"q", "b", "new"}, {"r", "c", "new"}},
       {},
       {},
       {}},
      {"but not one that has ended and is going",
       kPlain,
       {{"p", "a", "new", true, "Failed", "", "", kMarked}, {"q", "b", "new"}, {"r", "c", "new"}},
       {"a"},
       {},
       {}},
      {"surging, none that is going is waited for",
       kSurge,
       {{"p", "a", "new", true, "Running", "", "", kMarked}, {"q", "b", "new"}, {"r", "c", "new"}},
       {"a"},
       {},
       {}},
      {"a failed one of a node that is held stays",
       kPlain,
       {{"p", "a", "new", false, "Failed"}, {"q", "b", "new"}, {"r", "c", "new"}},
       {},
       {},
       {},
       {"a", "b", "c"},
       "a"},
      {"held or not, what succeeded goes",
       kPlain,
       {{"p", "a", "new", false, "Succeeded"}, {"q", "b", "new"}, {"r", "c", "new"}},
       {},
       {"p"},
       {"p"},
       {"a", "b", "c"},
       "a"},
      {"of two that failed on a node one goes at a time",
       kPlain,
       {{"p", "a", "new", false, "Failed"},
        {"p2", "a", "new", false, "Failed"},
        {"q", "b", "new"},
        {"r", "c", "new"}},
       {},
       {"p"},
       {"p"}},
      {"a failed one of another template is not held",
       kPlain,
       {{"p", "a", "old", false, "Failed"}, {"q", "b", "new"}, {"r", "c", "new"}},
       {},
       {"p"},
       {},
       {"a", "b", "c"},
       "a"},
      {"none begins where it may not run, and none that is there has to go",
       kPlain,
       {{"p", "a", "new"}, {"q", "b", "new"}},
       {},
       {},
       {},
       {"a", "b:NoSchedule", "c:NoSchedule"}},
      {"there too two are one too many",
       kPlain,
       {{"p", "a", "new"},
        {"q", "b", "new"},
        {"q2", "b", "new", true, "Running", "2026-01-01T11:00:00Z"}},
       {},
       {"q2"},
       {},
       {"a", "b:NoSchedule"}},
      {"where it must not stay all go",
       kPlain,
       {{"p", "a", "new"},
        {"q", "b", "new"},
        {"q2", "b", "new", false, "Failed"},
        {"q3", "b", "new", true, "Running", "", "", kMarked}},
       {},
       {"q", "q2"},
       {},
       {"a", "b:NoExecute"}},
      {"an old one is replaced even where no new one begins",
       kPlain,
       {{"p", "a", "new"}, {"q", "b", "old"}},
       {},
       {"q"},
       {},
       {"a", "b:NoSchedule"}},
      {"a bound one stays before an older one that is not",
       kPlain,
       {{"p", "a", "new", false, "Pending", "2026-01-01T09:00:00Z", "", "", false},
        {"q", "a", "new"}},
       {},
       {"p"},
       {},
       {"a"}},
      {"of a node that has gone, what waits for it goes",
       kPlain,
       {{"p", "a", "new"}, {"q", "z", "new", false, "Pending", "", "", "", false}},
       {},
       {"q"},
       {},
       {"a"}},
      {"and what is bound to it is another's",
       kPlain,
       {{"p", "a", "new"}, {"q", "z", "new"}},
       {},
       {},
       {},
       {"a"}},
      {"surging, a node that is sunset keeps its pod while others do not serve",
       kSurge,
       {{"p", "a", "old"}, {"q", "b", "new", false}},
       {},
       {},
       {},
       {"a:NoSchedule", "b"}},
      {"and loses it when they do",
       kSurge,
       {{"p", "a", "old"}, {"q", "b", "new"}},
       {},
       {"p"},
       {},
       {"a:NoSchedule", "b"}},
      {"and at once when it serves nobody",
       kSurge,
       {{"p", "a", "old", false}, {"q", "b", "new", false}},
       {},
       {"p"},
       {},
       {"a:NoSchedule", "b"}},
      {"neither serves: the newer stays",
       kSurge,
       {{"p", "a", "old", false}, {"p2", "a", "new", false}},
       {},
       {"p"},
       {},
       {"a"}},
      {"impossible bounds are one that may be missing",
       "maxUnavailable: 0, maxSurge: 0",
       {{"p", "a", "old"}, {"q", "b", "old"}},
       {},
       {"p"},
       {},
       {"a", "b"}},
      {"percentages are of the nodes that want one, rounded up",
       "maxUnavailable: 34%",
       {{"p", "a", "old"}, {"q", "b", "old"}, {"r", "c", "old"}},
       {},
       {"p", "q"},
       {}},
  };
  for (const Case& c : cases) {
    std::vector<Ref<Pod>> pods;
    for (const auto& p : c.pods) pods.push_back(daemon(p));
    auto plan = plan_daemon_set(*daemon_set(c.rolling), some_nodes(c.nodes), pods, "new", kNow,
                                [&](const std::string& node) { return node == c.held; });
    EXPECT_EQ(plan.create, c.create) << c.why;
    EXPECT_EQ(names(plan.remove), c.remove) << c.why;
    std::vector<std::string> finished;
    for (const auto& f : plan.finished) finished.emplace_back(f.second->metadata().name());
    EXPECT_EQ(finished, c.finished) << c.why;
  }
}

// desired, current, ready, available, updated; misscheduled
TEST(PlanDaemonSet, CountsTheFirstPodOfEachNode) {
  struct Case {
    std::string why, rolling;
    std::vector<DaemonPod> pods;
    std::string counts;
    std::vector<std::string> nodes = {"a", "b", "c"};
  };
  const Case cases[] = {
      {"none yet", kPlain, {}, "3 0 0 0 0; 0"},
      {"all",
       kPlain,
       {{"p", "a", "new"}, {"q", "b", "old"}, {"r", "c", "new", false}},
       "3 3 2 2 2; 0"},
      {"one that is going counts while it is there",
       kPlain,
       {{"p", "a", "new", true, "Running", "", "", kMarked}},
       "3 1 1 1 1; 0"},
      {"one that has ended and is going does not",
       kPlain,
       {{"p", "a", "new", false, "Succeeded", "", "", kMarked}},
       "3 0 0 0 0; 0"},
      {"one that failed does", kPlain, {{"p", "a", "new", false, "Failed"}}, "3 1 0 0 1; 0"},
      {"surging, the older of two is the one",
       kSurge,
       {{"p", "a", "old"}, {"p2", "a", "new", false, "Running", "2026-01-01T11:00:00Z"}},
       "1 1 1 1 0; 0",
       {"a"}},
      {"a node where it is not to run is counted once, whatever is there",
       kPlain,
       {{"p", "a", "new"}, {"q", "b", "new"}, {"q2", "b", "new"}},
       "1 1 1 1 1; 1",
       {"a", "b:NoSchedule"}},
      {"a node that has gone is not counted", kPlain, {{"q", "z", "new"}}, "1 0 0 0 0; 0", {"a"}},
  };
  for (const Case& c : cases) {
    std::vector<Ref<Pod>> pods;
    for (const auto& p : c.pods) pods.push_back(daemon(p));
    auto n = plan_daemon_set(*daemon_set(c.rolling), some_nodes(c.nodes), pods, "new", kNow);
    std::string told;
    for (int64_t i : {n.desired, n.current, n.ready, n.available}) told += std::to_string(i) + " ";
    told += std::to_string(n.updated) + "; " + std::to_string(n.misscheduled);
    EXPECT_EQ(told, c.counts) << c.why;
  }
}

TEST(DaemonPods, CarryTheGenerationOfTheirTemplate) {
  auto set = daemon_set("maxUnavailable: 1", "deprecated.daemonset.template.generation: '7'");
  auto made = daemon_pod(*set, "a", "hash");
  EXPECT_EQ(made->metadata().labels().get("pod-template-generation"), "7");
  EXPECT_EQ(made->metadata().labels().get("controller-revision-hash"), "hash");
  DaemonPod other{"p", "a", "of-another-maker"};
  EXPECT_FALSE(daemon_pod_is_current(*set, *daemon(other), "hash"));
  other.generation = "7";
  EXPECT_TRUE(daemon_pod_is_current(*set, *daemon(other), "hash"));
}

// The template's own tolerations are not said twice, and last as long as a daemon's.
TEST(DaemonPods, TolerateWhatBefallsNodes) {
  auto made = [](const std::string& spec) {
    auto set = parse<DaemonSet>(
        "metadata: {name: d, namespace: n, uid: d1}\nspec: {template: {spec: {" + spec + "}}}");
    Document d = daemon_pod(*set, "a", "hash").take();
    std::vector<std::string> out;
    for (Toleration t : Pod(d.root).spec().tolerations()) {
      std::string said(t.key().substr(t.key().find('/') + 1));
      if (t.has_toleration_seconds()) said += " " + std::to_string(t.toleration_seconds());
      out.push_back(said + ":" + std::string(t.effect()));
    }
    return out;
  };
  EXPECT_THAT(made(""), ElementsAre("not-ready:NoExecute", "unreachable:NoExecute",
                                    "disk-pressure:NoSchedule", "memory-pressure:NoSchedule",
                                    "pid-pressure:NoSchedule", "unschedulable:NoSchedule"));
  EXPECT_EQ(made("hostNetwork: true").back(), "network-unavailable:NoSchedule");
  EXPECT_THAT(
      made("tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: "
           "NoExecute, tolerationSeconds: 5}, {key: node.kubernetes.io/not-ready, operator: "
           "Exists, tolerationSeconds: 7}]"),
      ElementsAre("unreachable:NoExecute", "not-ready 7:", "not-ready:NoExecute",
                  "disk-pressure:NoSchedule", "memory-pressure:NoSchedule",
                  "pid-pressure:NoSchedule", "unschedulable:NoSchedule"));
}

// Which nodes it is for.
TEST(DaemonFits, ByNameLabelsAndTaints) {
  struct Case {
    std::string spec, node, fits;
  };
  const Case cases[] = {
      {"", "{}", "run stay"},
      {"nodeName: n", "{}", "run stay"},
      {"nodeName: other", "{}", ""},
      {"nodeSelector: {disk: ssd}", "{}", ""},
      {"", "{taints: [{key: k, value: v, effect: PreferNoSchedule}]}", "run stay"},
      {"", "{taints: [{key: k, value: v, effect: NoSchedule}]}", "stay"},
      {"", "{taints: [{key: k, value: v, effect: NoExecute}]}", ""},
      {"tolerations: [{key: k, value: v}]", "{taints: [{key: k, value: v, effect: NoExecute}]}",
       "run stay"},
      {"tolerations: [{key: k, value: w}]", "{taints: [{key: k, value: v, effect: NoExecute}]}",
       ""},
      {"tolerations: [{operator: Exists}]", "{taints: [{key: k, value: v, effect: NoExecute}]}",
       "run stay"},
      {"", "{taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}", "run stay"},
      {"", "{taints: [{key: node.kubernetes.io/network-unavailable, effect: NoSchedule}]}", "stay"},
      {"hostNetwork: true",
       "{taints: [{key: node.kubernetes.io/network-unavailable, effect: NoSchedule}]}", "run stay"},
      {"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
       "{nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [n]}]}]}}}",
       "{}", "run stay"},
      {"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
       "{nodeSelectorTerms: [{matchExpressions: [{key: size, operator: Gt, values: ['3']}]}]}}}",
       "{}", "run stay"},
      {"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
       "{nodeSelectorTerms: [{matchExpressions: [{key: name, operator: Lt, values: ['3']}]}]}}}",
       "{}", ""},
      {"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
       "{nodeSelectorTerms: [{}]}}}",
       "{}", ""},
  };
  for (const Case& c : cases) {
    auto set = parse<DaemonSet>("metadata: {name: d}\nspec: {template: {spec: {" + c.spec + "}}}");
    auto node = parse<Node>("metadata: {name: n, labels: {size: '5', name: big}}\nspec: " + c.node);
    DaemonFit fit = daemon_fits(*set, *node);
    std::string told = std::string(fit.run ? "run " : "") + (fit.stay ? "stay" : "");
    EXPECT_EQ(told, c.fits) << c.spec << " on " << c.node;
  }
}

}  // namespace
}  // namespace keles::controllers
