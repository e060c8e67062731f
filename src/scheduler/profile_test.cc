// How a profile asks its plugins: in which order, whom it skips, and whose word stops the others.
#include "scheduler/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "scheduler/decide_test.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Pod;
using testing::ElementsAre;

// Answers as it is told, and writes down what it was asked.
class Told final : public Plugin {
 public:
  Told(std::string name, std::vector<std::string>* asked, uint32_t points)
      : name_(std::move(name)), asked_(asked), points_(points) {}
  std::string_view name() const override { return name_; }
  uint32_t points() const override { return points_; }
  PreFilter pre_filter(Cycle&, const PodInfo&) override {
    note("pre_filter");
    return {before, nodes};
  }
  Verdict filter(Cycle&, const PodInfo&, const NodeInfo&) override {
    note("filter");
    return {};
  }
  PostFilter post_filter(Cycle&, const PodInfo&, const Failure&) override {
    note("post_filter");
    return after;
  }
  Verdict reserve(Cycle&, const PodInfo&, const std::string&) override {
    note("reserve");
    return before;
  }
  void unreserve(Cycle&, const PodInfo&, const std::string&) override { note("unreserve"); }
  Permission permit(Cycle&, const PodInfo&, const std::string&) override {
    note("permit");
    return permission;
  }
  bool wants_pre_bind(Cycle&, const PodInfo&, const std::string&) override { return prepares; }
  Task<Status> pre_bind(Context, CyclePtr, std::string) override {
    note("pre_bind");
    co_return prepared;
  }
  Task<std::optional<Status>> bind(Context, CyclePtr, std::string) override {
    note("bind");
    co_return bound;
  }
  Verdict before;
  std::optional<std::set<std::string>> nodes;
  PostFilter after{Verdict::unschedulable("no"), std::nullopt};
  Permission permission;
  bool prepares = false;
  Status prepared;
  std::optional<Status> bound;

 private:
  void note(std::string_view what) { asked_->push_back(name_ + "." + std::string(what)); }
  std::string name_;
  std::vector<std::string>* asked_;
  uint32_t points_;
};

class ProfileTest : public testing::Test {
 protected:
  std::vector<std::string> asked;
  std::vector<Told*> told;
  std::unique_ptr<Profile> make(uint32_t points) {
    std::vector<std::unique_ptr<Plugin>> plugins;
    std::vector<Profile::Stand> stands;
    for (const char* name : {"a", "b", "c"}) {
      auto p = std::make_unique<Told>(name, &asked, points);
      told.push_back(p.get());
      stands.push_back({p.get(), points, 1});
      plugins.push_back(std::move(p));
    }
    return std::make_unique<Profile>("test", std::move(plugins), stands);
  }
  PodPtr pod = extract_pod(*yaml<Pod>(pod_text("p")));
};

TEST_F(ProfileTest, WhoSkipsIsNotAskedToFilter) {
  auto profile = make(kPreFilter | kFilter);
  Cycle cycle(pod, *profile);
  told[1]->before = Verdict::skip();
  EXPECT_TRUE(profile->pre_filter(cycle).verdict.ok());
  asked.clear();
  NodeInfo node;
  Plugin* by = nullptr;
  EXPECT_TRUE(profile->filter(cycle, node, &by).ok());
  EXPECT_THAT(asked, ElementsAre("a.filter", "c.filter"));
}

TEST_F(ProfileTest, NodesThatSeveralNameAreThoseOfAll) {
  auto profile = make(kPreFilter | kFilter);
  Cycle cycle(pod, *profile);
  told[0]->nodes = {{"x", "y"}};
  told[2]->nodes = {{"y", "z"}};
  Profile::Prepared p = profile->pre_filter(cycle);
  ASSERT_TRUE(p.verdict.ok());
  EXPECT_THAT(*p.nodes, ElementsAre("y"));
  told[2]->nodes = {{"z"}};
  p = profile->pre_filter(cycle);
  EXPECT_EQ(p.verdict.message(), "node(s) didn't satisfy plugin(s) [a c] simultaneously");
  EXPECT_EQ(p.verdict.code, Code::kUnresolvable);
}

TEST_F(ProfileTest, ARejectionThatEvictionMayCureLetsTheOthersPrepare) {
  auto profile = make(kPreFilter | kFilter);
  Cycle cycle(pod, *profile);
  told[0]->before = Verdict::unschedulable("later");
  EXPECT_EQ(profile->pre_filter(cycle).verdict.message(), "later");
  EXPECT_THAT(asked, ElementsAre("a.pre_filter", "b.pre_filter", "c.pre_filter"));
  asked.clear();
  told[0]->before = Verdict::unresolvable("never");
  EXPECT_EQ(profile->pre_filter(cycle).verdict.message(), "never");
  EXPECT_THAT(asked, ElementsAre("a.pre_filter"));
}

TEST_F(ProfileTest, WhatCannotBeReservedIsGivenBackInReverse) {
  auto profile = make(kReserve);
  Cycle cycle(pod, *profile);
  told[1]->before = Verdict::unschedulable("taken");
  Plugin* by = nullptr;
  EXPECT_EQ(profile->reserve(cycle, "n1", &by).message(), "taken");
  EXPECT_EQ(by, told[1]);
  profile->unreserve(cycle, "n1");
  EXPECT_THAT(asked,
              ElementsAre("a.reserve", "b.reserve", "c.unreserve", "b.unreserve", "a.unreserve"));
}

TEST_F(ProfileTest, PermitGathersWhomToWaitFor) {
  auto profile = make(kPermit);
  Cycle cycle(pod, *profile);
  told[0]->permission = {Verdict{Code::kWait, nullptr}, 3s};
  told[2]->permission = {Verdict{Code::kWait, nullptr}, 24h};
  Plugin* by = nullptr;
  std::vector<std::pair<Plugin*, Duration>> waits;
  EXPECT_EQ(profile->permit(cycle, "n1", &by, &waits).code, Code::kWait);
  EXPECT_THAT(waits, ElementsAre(testing::Pair(told[0], Duration(3s)),
                                 testing::Pair(told[2], Duration(15min))));
  told[1]->permission = {Verdict::unschedulable("no"), {}};
  waits.clear();
  EXPECT_EQ(profile->permit(cycle, "n1", &by, &waits).message(), "no");
  EXPECT_EQ(by, told[1]);
}

TEST_F(ProfileTest, PostFiltersAreAskedUntilOneHelps) {
  auto profile = make(kPostFilter);
  Cycle cycle(pod, *profile);
  Failure failure;
  failure.nodes_total = 2;
  failure.reasons["Insufficient cpu"] = 2;
  (void)profile->post_filter(cycle, failure);
  EXPECT_EQ(failure.message(), "0/2 nodes are available: 2 Insufficient cpu. no, no, no");
  told[1]->after = {Verdict{}, "n1"};
  asked.clear();
  PostFilter r = profile->post_filter(cycle, failure);
  EXPECT_TRUE(r.verdict.ok());
  EXPECT_EQ(r.nominated_node, "n1");
  EXPECT_THAT(asked, ElementsAre("a.post_filter", "b.post_filter"));
}

TEST_F(ProfileTest, WhoBindsFirstEndsIt) {
  auto profile = make(kPreBind | kBind);
  SimLoop loop(1);
  auto cycle = std::make_shared<Cycle>(pod, *profile);
  Status prepared, bound;
  auto run = [&] {
    spawn(loop, [](Context ctx, Profile* p, CyclePtr c, Status* a, Status* b) -> Task<void> {
      *a = co_await p->pre_bind(ctx, c, "n1");
      *b = co_await p->bind(ctx, c, "n1");
    }(Context::root(loop), profile.get(), cycle, &prepared, &bound));
    loop.advance(1ms);
  };
  told[1]->prepares = true;
  told[1]->bound = Status();
  run();
  EXPECT_THAT(asked, ElementsAre("b.pre_bind", "a.bind", "b.bind"));
  told[1]->prepared = Status::unavailable("the disk is away");
  run();
  EXPECT_THAT(prepared.message(), testing::StartsWith("running PreBind plugin \"b\": "));
}

}  // namespace
}  // namespace keles::scheduler
