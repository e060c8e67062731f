// The pod collector on virtual time: what it finds in its indexes is what the plan would find among
// all pods.
#include "controllers/pod_gc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using namespace api::core_v1;
using testing::ElementsAre;
using testing::IsEmpty;

struct PodText {
  std::string name, node, phase = "Running", created = "2026-01-01T00:00:00Z";
  bool leaving = false;
};

std::string yaml(const PodText& p) {
  return "{apiVersion: v1, kind: Pod, metadata: {namespace: default, name: " + p.name +
         ", creationTimestamp: '" + p.created + "'" +
         (p.leaving ? ", deletionTimestamp: '2026-01-01T00:00:00Z'" : "") +
         "}, spec: {nodeName: '" + p.node +
         "', containers: [{name: c}]}, status: {phase: " + p.phase + "}}";
}

std::string node_yaml(const std::string& name, bool given_up) {
  return "{apiVersion: v1, kind: Node, metadata: {name: " + name + "}" +
         (given_up ? ", spec: {taints: [{key: node.kubernetes.io/out-of-service, effect: "
                     "NoExecute}]}"
                   : "") +
         "}";
}

class World {
 public:
  explicit World(int threshold) {
    options.terminated_pod_gc_threshold = threshold;
    controller = std::make_unique<PodGcController>(Deps{client, informers, options});
  }
  ~World() {
    ctx.cancel();
    loop.advance(5min);
  }
  void start() { spawn(loop, run(ctx, &informers, controller.get())); }
  // The names that are left once the collector has looked, and looked again after the quarantine.
  std::set<std::string> left() {
    start();
    loop.advance(options.pod_gc_quarantine + 3 * options.pod_gc_period);
    std::set<std::string> out;
    for (const auto& p : client.all<Pod>()) out.emplace(p->metadata().name());
    return out;
  }

  SimLoop loop{1};
  FakeClient client{loop};
  Options options;
  InformerFactory informers{client};
  Context ctx = Context::root(loop).child();
  std::unique_ptr<PodGcController> controller;

 private:
  static Task<void> run(Context c, InformerFactory* informers, PodGcController* controller) {
    informers->start(c);
    co_await controller->run(c);
    co_await informers->join();
  }
};

TEST(PodGc, LooksOnlyAtThoseThatMayBeDue) {
  struct Row {
    const char* what;
    int threshold;
    std::vector<PodText> pods;
    std::set<std::string> left;
  };
  const Row rows[] = {
      {"a pod that runs", 1, {{"a", "there"}}, {"a"}},
      {"one that waits for a node", 1, {{"a", ""}}, {"a"}},
      {"one that leaves, and its node sees to it", 1, {{"a", "there", "Running", "", true}}, {"a"}},
      {"one that leaves, and is on no node", 1, {{"a", "", "Pending", "", true}}, {}},
      {"one that leaves, and its node is off", 1, {{"a", "dark", "Running", "", true}}, {}},
      {"one that runs where it is off", 1, {{"a", "dark"}}, {"a"}},
      {"its node is not there", 1, {{"a", "gone"}}, {}},
      {"its node is not there, and it leaves", 1, {{"a", "gone", "Running", "", true}}, {}},
      {"its node is not there, and it has ended", 1, {{"a", "gone", "Failed"}}, {}},
      {"as many that ended as may", 1, {{"a", "there", "Failed"}}, {"a"}},
      {"more that ended than may: the oldest",
       1,
       {{"a", "there", "Failed", "2026-01-01T03:00:00Z"},
        {"b", "there", "Succeeded", "2026-01-01T01:00:00Z"},
        {"c", "", "Failed", "2026-01-01T02:00:00Z"}},
       {"a"}},
      {"those that leave count among them",
       1,
       {{"a", "there", "Failed", "2026-01-01T03:00:00Z"},
        {"b", "there", "Failed", "2026-01-01T01:00:00Z", true}},
       {"a"}},
      {"a threshold of nothing is none",
       0,
       {{"a", "there", "Failed"}, {"b", "there", "Failed"}},
       {"a", "b"}},
      {"ended ones of an absent node are no part of the number",
       1,
       {{"a", "gone", "Failed", "2026-01-01T01:00:00Z"},
        {"b", "there", "Failed", "2026-01-01T02:00:00Z"}},
       {"b"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    World w(row.threshold);
    w.client.put_yaml(node_yaml("there", false));
    w.client.put_yaml(node_yaml("dark", true));
    for (PodText p : row.pods) {
      if (p.created.empty()) p.created = "2026-01-01T00:00:00Z";
      w.client.put_yaml(yaml(p));
    }
    EXPECT_EQ(w.left(), row.left);
  }
}

TEST(PodGc, RemovesWhatThePlanWouldOfAllPods) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    auto one_of = [&random](std::vector<std::string> all) { return all[random() % all.size()]; };
    const int threshold = static_cast<int>(random() % 6);
    World w(threshold);
    std::map<std::string, Ref<Node>, std::less<>> nodes;
    for (const char* name : {"n1", "n2", "n3", "n4"}) {
      if (random() % 3 == 0) continue;
      nodes[name] = read<Node>(w.client.put_yaml(node_yaml(name, random() % 4 == 0)));
    }
    std::vector<Ref<Pod>> pods;
    std::set<std::string> left;
    for (int i = 0; i < 20; ++i) {
      PodText p;
      p.name = "p" + std::to_string(i);
      p.node = one_of({"", "n1", "n2", "n3", "n4"});
      p.phase = one_of({"Pending", "Running", "Running", "Succeeded", "Failed"});
      p.created = "2026-01-01T00:" + std::to_string(10 + i) + ":00Z";
      p.leaving = random() % 4 == 0;
      pods.push_back(read<Pod>(w.client.put_yaml(yaml(p))));
      left.insert(p.name);
    }
    auto plan = plan_pod_gc(
        pods,
        [&nodes](std::string_view name) {
          auto at = nodes.find(name);
          return at == nodes.end() ? Ref<Node>() : at->second;
        },
        threshold);
    for (const auto* list : {&plan.orphaned, &plan.unserved, &plan.finished}) {
      for (const auto& pod : *list) left.erase(std::string(pod->metadata().name()));
    }
    EXPECT_EQ(w.left(), left);
  }
}

TEST(PodGc, AnAbsentNodeIsWaitedForAndAskedAfter) {
  World w(1);
  w.client.put_yaml(yaml({"a", "late"}));
  w.start();
  w.loop.advance(w.options.pod_gc_quarantine - 1s);
  EXPECT_TRUE(w.client.now<Pod>("default", "a")) << "in quarantine";
  w.client.put_yaml(node_yaml("late", false));
  w.loop.advance(5min);
  EXPECT_TRUE(w.client.now<Pod>("default", "a"));
  EXPECT_THAT(w.client.writes(), IsEmpty());
  w.client.drop(kind_of<Node>(), "", "late");
  w.loop.advance(w.options.pod_gc_quarantine - 1s);
  EXPECT_TRUE(w.client.now<Pod>("default", "a")) << "the quarantine begins anew";
  w.loop.advance(2 * w.options.pod_gc_period);
  EXPECT_FALSE(w.client.now<Pod>("default", "a"));
  EXPECT_THAT(w.client.writes(),
              ElementsAre("patch pods/status default/a", "delete pods default/a"));
}

}  // namespace
}  // namespace keles::controllers
