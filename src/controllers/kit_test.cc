// The kit: whom a change wakes, and what it settles.
#include "controllers/kit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using namespace api::apps_v1;
using namespace api::core_v1;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Recorder final : public ControllerFor<ReplicaSet> {
 public:
  explicit Recorder(Deps deps)
      : ControllerFor(deps, "recorder", "recorder", 1),
        pods_(owns<Pod>()),
        nodes_(watches<Node>([](const Ref<Node>& n) -> Keys {
          return {"default/" + std::string(n->metadata().name())};
        })),
        maps_(
            watches<ConfigMap>([](const Ref<ConfigMap>& before, const Ref<ConfigMap>& now) -> Keys {
              return {std::string(before ? "was" : "") + (now ? "is" : "")};
            })) {}
  Task<ReconcileResult> reconcile(Context, std::string key) override {
    woken.insert(std::move(key));
    co_return Status();
  }
  void forget(std::string_view uid) override { forgotten.insert(std::string(uid)); }
  using ControllerFor::expectations;
  std::set<std::string> woken, forgotten;

 private:
  Informer<Pod> pods_;
  Informer<Node> nodes_;
  Informer<ConfigMap> maps_;
};

class KitTest : public testing::Test {
 protected:
  KitTest() : loop(3), client(loop), informers(client), ctx(Context::root(loop)) {
    log::set_output(-1);
    set("a", "ua");
    set("b", "ub");
    recorder = std::make_unique<Recorder>(Deps{client, informers, options});
    informers.start(ctx);
    spawn(loop,
          [](Context c, Recorder* r) -> Task<void> { co_await r->run(c); }(ctx, recorder.get()));
    woken();
  }
  ~KitTest() override {
    ctx.cancel();
    loop.advance(1min);
  }
  void set(const std::string& name, const std::string& uid) {
    client.put_yaml("{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: " + name +
                    ", namespace: default, uid: " + uid +
                    "}, spec: {selector: {matchLabels: {app: " + name + "}}}}");
  }
  // `owner` is "KIND NAME UID" or empty; `more` goes into the metadata.
  void pod(const std::string& name, const std::string& app, const std::string& owner,
           const std::string& more = "") {
    std::string refs;
    if (!owner.empty()) {
      size_t x = owner.find(' '), y = owner.rfind(' ');
      refs = ", ownerReferences: [{apiVersion: apps/v1, controller: true, kind: " +
             owner.substr(0, x) + ", name: " + owner.substr(x + 1, y - x - 1) +
             ", uid: " + owner.substr(y + 1) + "}]";
    }
    client.put_yaml("{apiVersion: v1, kind: Pod, metadata: {name: " + name +
                    ", namespace: default, labels: {app: " + app + "}" + refs + more + "}}");
  }
  std::set<std::string> woken() {
    loop.advance(100ms);
    return std::exchange(recorder->woken, {});
  }
  bool open(const std::string& uid) { return !recorder->expectations().satisfied(uid); }

  SimLoop loop;
  FakeClient client;
  InformerFactory informers;
  Options options;
  Context ctx;
  std::unique_ptr<Recorder> recorder;
};

TEST_F(KitTest, AChildWakesItsOwnerAndSettlesWhatWasExpectedOfThatOwnerAlone) {
  recorder->expectations().expect_creations("ua", 1);
  recorder->expectations().expect_creations("u-before", 1);
  pod("p", "a", "ReplicaSet a u-before");  // of an older set of that name
  EXPECT_THAT(woken(), ElementsAre("default/a"));
  EXPECT_TRUE(open("ua"));
  EXPECT_FALSE(open("u-before"));
  pod("q", "a", "ReplicaSet a ua");
  woken();
  EXPECT_FALSE(open("ua"));
  pod("r", "a", "StatefulSet a ux");  // another kind's
  EXPECT_THAT(woken(), IsEmpty());
}

TEST_F(KitTest, AChildCountsAsDeletedOnceItIsMarkedOrGoneOrReplaced) {
  for (std::string way : {"marked", "gone", "replaced"}) {
    pod("p", "a", "ReplicaSet a ua", ", uid: p1");
    woken();
    recorder->expectations().expect_deletions("ua", {"p1"});
    if (way == "marked") {
      pod("p", "a", "ReplicaSet a ua", ", uid: p1, deletionTimestamp: '2026-01-01T00:00:00Z'");
    } else if (way == "replaced") {
      pod("p", "a", "ReplicaSet a ua", ", uid: p2");
    } else {
      client.drop(kind_of<Pod>(), "default", "p");
    }
    EXPECT_THAT(woken(), ElementsAre("default/a")) << way;
    EXPECT_FALSE(open("ua")) << way;
    client.drop(kind_of<Pod>(), "default", "p");
    woken();
  }
}

TEST_F(KitTest, AnOrphanWakesWhomItsLabelsSuitWhenItComesAndWhenTheyChange) {
  pod("p", "b", "");
  EXPECT_THAT(woken(), ElementsAre("default/b"));
  pod("p", "b", "", ", annotations: {x: y}");
  EXPECT_THAT(woken(), IsEmpty());
  pod("p", "a", "", ", annotations: {x: y}");
  EXPECT_THAT(woken(), ElementsAre("default/a"));
  pod("p", "a", "ReplicaSet b ub");
  EXPECT_THAT(woken(), ElementsAre("default/b"));
  pod("p", "a", "");  // let go
  EXPECT_THAT(woken(), UnorderedElementsAre("default/a", "default/b"));
}

TEST_F(KitTest, WhatIsWatchedWakesWhatTheMapNames) {
  client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n1}}");
  EXPECT_THAT(woken(), ElementsAre("default/n1"));
  client.put_yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: default}}");
  EXPECT_THAT(woken(), ElementsAre("is"));
  client.drop(kind_of<ConfigMap>(), "default", "m");
  EXPECT_THAT(woken(), ElementsAre("was"));
}

TEST_F(KitTest, AnOwnerThatGoesTakesItsExpectationsAlong) {
  recorder->expectations().expect_creations("ua", 1);
  set("a", "ua2");  // gone, and made anew at once
  EXPECT_THAT(woken(), ElementsAre("default/a"));
  EXPECT_THAT(recorder->forgotten, ElementsAre("ua"));
  EXPECT_FALSE(open("ua"));
  client.drop(kind_of<ReplicaSet>(), "default", "b");
  woken();
  EXPECT_THAT(recorder->forgotten, UnorderedElementsAre("ua", "ub"));
}

// Whoever's selector picks the labels is found; of the others as few as one pair tells apart.
TEST_F(KitTest, TheIndexOfSelectorsFindsAllThatMaySelect) {
  const std::map<std::string, std::string> sets = {
      {"pairs", "{matchLabels: {tier: web, app: long-name-of-its-own}}"},
      {"all", "{}"},
      {"expression", "{matchExpressions: [{key: app, operator: Exists}]}"},
      {"other", "{matchLabels: {tier: web, app: another-long-name}}"},
      {"none", "null"}};
  for (const auto& [name, selector] : sets) {
    client.put_yaml(
        "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {namespace: default, name: " + name +
        "}, spec: {selector: " + selector + "}}");
  }
  woken();
  Informer<ReplicaSet> i = informers.informer<ReplicaSet>();
  auto found = [&](std::string_view yaml) {
    auto p = parse<Pod>("{metadata: {labels: " + std::string(yaml) + "}}");
    std::set<std::string> out;
    for (const auto& s : may_select(i, "default", p->metadata().labels())) {
      out.insert(std::string(s->metadata().name()));
    }
    return out;
  };
  EXPECT_THAT(found("{app: long-name-of-its-own, tier: web}"),
              UnorderedElementsAre("pairs", "all", "expression"));
  EXPECT_THAT(found("{app: a}"), UnorderedElementsAre("a", "all", "expression"));
  EXPECT_THAT(found("{}"), UnorderedElementsAre("all", "expression"));
}

// The other way: the same as walking the namespace, whatever the selector asks for.
TEST_F(KitTest, TheIndexOfLabelsFindsWhatASelectorPicks) {
  for (int i = 0; i < 20; ++i) {
    std::string n = std::to_string(i);
    client.put_yaml("{apiVersion: v1, kind: Pod, metadata: {name: p" + n +
                    ", namespace: default, "
                    "labels: {app: a" +
                    std::to_string(i % 3) + ", tier: t" + std::to_string(i % 2) + ", k" + n +
                    ": v}}}");
  }
  client.put_yaml(
      "{apiVersion: v1, kind: Pod, metadata: {name: far, namespace: other, labels: {app: a1}}}");
  woken();
  Informer<Pod> pods = informers.informer<Pod>();
  LabelIndex index(pods.base());
  std::vector<std::string> selectors = {"app=a1", "app=a1,tier=t0", "app in (a1,a2)",  "app=none",
                                        "",       "tier!=t0",       "app in (a2),tier"};
  for (int i = 0; i < 20; ++i) selectors.push_back("k" + std::to_string(i) + "=v");
  for (int round = 0; round < 2; ++round) {
    for (const std::string& text : selectors) {
      auto selector = Selector::parse(text);
      ASSERT_TRUE(selector.ok());
      std::vector<std::string> expected, found;
      for (const auto& p : pods.list("default")) {
        if (selector->matches(p->metadata().labels())) expected.push_back(key_of(p->metadata()));
      }
      for (const auto& o : index.select("default", *selector)) found.push_back(o->key());
      EXPECT_EQ(found, expected) << text;
    }
    pod("late", "a1", "");  // what comes later is found too
    woken();
  }
  EXPECT_THAT(index.select("default", Selector::nothing()), IsEmpty());
}

TEST(Conditions, TheTimeOfTransitionMovesWithTheStatusAlone) {
  Draft<DeploymentEdit> d;
  auto list = d->edit_status().edit_conditions();
  EXPECT_TRUE(set_condition(list, {"Available", "True", "R", "m"}, kNow));
  EXPECT_FALSE(set_condition(list, {"Available", "True", "R", "m"}, kNow + 1min));
  EXPECT_TRUE(set_condition(list, {"Available", "True", "R2", "m"}, kNow + 1min));
  auto c = find_condition(d->status().conditions(), "Available");
  EXPECT_EQ(c.last_transition_time(), "2026-01-01T12:00:00Z");
  EXPECT_EQ(c.last_update_time(), "2026-01-01T12:01:00Z");
  EXPECT_TRUE(set_condition(list, {"Available", "False", "R2", "m"}, kNow + 2min));
  EXPECT_EQ(find_condition(d->status().conditions(), "Available").last_transition_time(),
            "2026-01-01T12:02:00Z");
  EXPECT_TRUE(condition_is_true(d->status().conditions(), "Available") == false);
  EXPECT_TRUE(remove_condition(list, "Available"));
  EXPECT_FALSE(remove_condition(list, "Available"));
  EXPECT_FALSE(find_condition(d->status().conditions(), "Available"));
}

}  // namespace
}  // namespace keles::controllers
