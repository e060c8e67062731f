// Which pods end when, and for how long the machine waits for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/metrics.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "node/shutdown/shutdown_manager.h"
#include "node/testing.h"

namespace keles::node {
namespace {

using api::core_v1::Pod;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Ref<Pod> pod(const std::string& name, int64_t priority, int64_t grace = -1) {
  std::string spec = "\"priority\":" + std::to_string(priority);
  if (grace >= 0) spec += ",\"terminationGracePeriodSeconds\":" + std::to_string(grace);
  return pod_from("{\"metadata\":{\"name\":\"" + name + "\",\"uid\":\"" + name + "\"},\"spec\":{" +
                  spec + "}}");
}

TEST(ShutdownPlan, SettingsBecomePeriods) {
  struct Row {
    ShutdownSettings settings;
    ShutdownPeriods periods;
    std::string error;
  };
  const Row rows[] = {
      {{}, {}, ""},
      {{30s, 10s, ""}, {{0, 20}, {2'000'000'000, 10}}, ""},
      {{30s, 0s, ""}, {{0, 30}, {2'000'000'000, 0}}, ""},
      {{0s, 0s, "1000:10,-5:60,0:20"}, {{-5, 60}, {0, 20}, {1000, 10}}, ""},
      {{10s, 30s, ""},
       {},
       "shutdownGracePeriodCriticalPods 30s must be <= shutdownGracePeriod 10s"},
      {{500ms, 0s, ""}, {}, "shutdownGracePeriod 500ms must be either zero or otherwise >= 1 sec"},
      {{2s, 10ms, ""},
       {},
       "shutdownGracePeriodCriticalPods 10ms must be either zero or otherwise >= 1 sec"},
      {{30s, 0s, "0:1"},
       {},
       "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same "
       "time"},
      {{0s, 0s, "x:1"}, {}, "\"x:1\": want a priority and the seconds that its pods have"},
      {{0s, 0s, "1"}, {}, "\"1\": want a priority and the seconds that its pods have"},
      {{0s, 0s, "1:-2"}, {}, "\"1:-2\": want a priority and the seconds that its pods have"},
  };
  for (const Row& r : rows) {
    auto got = shutdown_periods(r.settings);
    if (r.error.empty()) {
      ASSERT_TRUE(got.ok()) << got.status().message();
      EXPECT_EQ(*got, r.periods);
    } else {
      EXPECT_THAT(got.status().message(), HasSubstr(r.error));
    }
  }
  EXPECT_EQ(whole_period({{0, 20}, {2'000'000'000, 10}}), Duration(30s));
}

std::vector<std::string> names(const ShutdownGroup& g) {
  std::vector<std::string> out;
  for (const auto& p : g.pods) out.emplace_back(p->metadata().name());
  return out;
}

TEST(ShutdownPlan, PodsBelongToTheLastPeriodThatTheyReach) {
  const ShutdownPeriods periods{{0, 60}, {1000, 30}, {2'000'000'000, 10}};
  const auto groups =
      shutdown_groups(periods, {pod("low", -1), pod("zero", 0), pod("most", 999), pod("edge", 1000),
                                pod("critical", 2'000'000'000), pod("above", 2'000'001'000)});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_THAT(names(groups[0]), ElementsAre("low", "zero", "most"));
  EXPECT_THAT(names(groups[1]), ElementsAre("edge"));
  EXPECT_THAT(names(groups[2]), ElementsAre("critical", "above"));
  EXPECT_EQ(groups[1].seconds, 30);
  EXPECT_EQ(shutdown_grace(groups[1], *pod("p", 0, 5)), 5);
  EXPECT_EQ(shutdown_grace(groups[1], *pod("p", 0, 50)), 30);
  EXPECT_EQ(shutdown_grace(groups[1], *pod("p", 0)), 30);
  EXPECT_THAT(shutdown_groups({}, {pod("p", 0)}), IsEmpty());
}

// logind, as a test tells it to be.
class FakeNotice final : public ShutdownNotice {
 public:
  Task<Status> connect(Context) override {
    ++connects;
    Status s = down_bus ? Status::unavailable("no bus") : Status();
    co_return s;
  }
  Task<Result<Duration>> longest_delay(Context) override { co_return delay; }
  Task<Status> extend_delay(Context, Duration most) override {
    asked = most;
    if (grows) delay = most;
    co_return Status();
  }
  Task<Status> hold(Context) override {
    held = true;
    ++holds;
    co_return Status();
  }
  void release() override { held = false; }
  Task<Result<bool>> next(Context ctx) override { co_return co_await words.pop(ctx); }

  bool down_bus = false, grows = true, held = false;
  int connects = 0, holds = 0;
  Duration delay = 5s, asked{0};
  Channel<bool> words{8};
};

class FakeNode final : public ShutdownHost {
 public:
  explicit FakeNode(Loop& loop) : loop_(loop) {}
  std::vector<Ref<Pod>> running_pods() const override { return pods; }
  void end_pod(const Ref<Pod>& p, int64_t grace) override {
    const std::string uid(p->metadata().uid());
    said.push_back("end " + uid + " " + std::to_string(grace) + "s at " +
                   std::to_string((loop_.now() - began).count() / 1'000'000'000));
    auto takes = lasts.find(uid);
    if (takes == lasts.end()) return;
    loop_.schedule(loop_.now() + takes->second, [this, uid] {
      ended.insert(uid);
      if (manager) manager->poke();
    });
  }
  bool is_at_rest(const std::string& uid) const override { return ended.contains(uid); }
  void shutting_down(bool now) override { said.push_back(now ? "down" : "up"); }
  void node_event(std::string, std::string reason, std::string message) override {
    events.push_back(reason + ": " + message);
  }
  Task<Status> keep_shutdown_state(Context, std::string json) override {
    kept = std::move(json);
    co_return Status();
  }
  Task<std::string> kept_shutdown_state(Context) override { co_return kept; }

  std::vector<Ref<Pod>> pods;
  std::map<std::string, Duration> lasts;  // from being told to being at rest; absent: for ever
  std::set<std::string> ended;
  std::vector<std::string> said, events;
  std::string kept;
  TimePoint began{};
  ShutdownManager* manager = nullptr;

 private:
  Loop& loop_;
};

class Shutdown : public ::testing::Test {
 protected:
  void start(ShutdownPeriods periods) {
    auto notice = std::make_unique<FakeNotice>();
    logind_ = notice.get();
    if (prepare_) prepare_(*logind_);
    manager_ = std::make_unique<ShutdownManager>(std::move(periods), std::move(notice), node_);
    node_.manager = manager_.get();
    tasks_.spawn(manager_->run(ctx_));
    loop_.run_ready();
  }
  void TearDown() override {
    ctx_.cancel();
    run_task(loop_, tasks_.join());
  }
  double metric(const std::string& name) {
    const std::string all = metrics::expose(), line = "\n" + name + " ";
    const size_t at = all.find(line);
    return at == std::string::npos ? -1 : std::strtod(all.c_str() + at + line.size(), nullptr);
  }

  SimLoop loop_{1};
  Context ctx_ = Context::root(loop_).child();
  TaskGroup tasks_{loop_};
  FakeNode node_{loop_};
  std::function<void(FakeNotice&)> prepare_;
  FakeNotice* logind_ = nullptr;
  std::unique_ptr<ShutdownManager> manager_;
};

TEST_F(Shutdown, LowPrioritiesEndFirstAndEachGroupHasItsPeriod) {
  node_.pods = {pod("critical", 2'000'000'000, 30), pod("quick", 0, 30), pod("slow", 0, 5)};
  node_.lasts = {{"quick", 2s}, {"critical", 1s}};
  start({{0, 20}, {2'000'000'000, 10}});
  EXPECT_TRUE(logind_->held);
  EXPECT_EQ(logind_->asked, Duration(30s));
  node_.began = loop_.now();
  ASSERT_TRUE(logind_->words.try_push(true));
  loop_.run_ready();
  EXPECT_TRUE(manager_->shutting_down());
  EXPECT_TRUE(logind_->held);
  EXPECT_GT(metric("kubelet_graceful_shutdown_start_time_seconds"), 1.6e9);
  EXPECT_EQ(metric("kubelet_graceful_shutdown_end_time_seconds"), 0);
  loop_.advance(20500ms);  // "slow" never ends: its group's time runs out
  EXPECT_TRUE(logind_->held);
  loop_.advance(1s);
  EXPECT_FALSE(logind_->held);
  EXPECT_THAT(node_.said, ElementsAre("down", "end quick 20s at 0", "end slow 5s at 0",
                                      "end critical 10s at 20"));
  EXPECT_THAT(node_.events, ElementsAre("NodeShutdown: Shutdown manager detected shutdown event"));
  EXPECT_EQ(metric("kubelet_graceful_shutdown_end_time_seconds") -
                metric("kubelet_graceful_shutdown_start_time_seconds"),
            21);
  EXPECT_THAT(node_.kept, HasSubstr("\"startTime\":\"2023-11-14T22:13:20.000000Z\""));
  EXPECT_THAT(node_.kept, HasSubstr("\"endTime\":\"2023-11-14T22:13:41.000000Z\""));
}

TEST_F(Shutdown, OneThatIsCalledOffIsWaitedForAgain) {
  start({{0, 2}});
  EXPECT_EQ(logind_->asked.count(), 0);  // logind waits long enough as it is
  ASSERT_TRUE(logind_->words.try_push(true));
  loop_.run_ready();
  EXPECT_FALSE(logind_->held);  // there was no pod to wait for
  ASSERT_TRUE(logind_->words.try_push(false));
  loop_.run_ready();
  EXPECT_TRUE(logind_->held);
  EXPECT_FALSE(manager_->shutting_down());
  EXPECT_THAT(node_.said, ElementsAre("down", "up"));
  EXPECT_THAT(node_.events.back(), "NodeShutdown: Shutdown manager detected shutdown cancellation");
}

TEST_F(Shutdown, WithoutPeriodsNobodyIsAsked) {
  start({});
  loop_.advance(1h);
  EXPECT_EQ(logind_->connects, 0);
}

TEST_F(Shutdown, WhereThereIsNoBusItIsLookedForEverMoreRarely) {
  prepare_ = [](FakeNotice& n) { n.down_bus = true; };
  start({{0, 2}});
  loop_.advance(1h);
  EXPECT_GT(logind_->connects, 10);
  EXPECT_LT(logind_->connects, 25);
  logind_->down_bus = false;
  loop_.advance(6min);
  EXPECT_TRUE(logind_->held);
  logind_->words.close(Status::unavailable("the bus went away"));
  loop_.run_ready();
  loop_.advance(1100ms);  // soon again, then
  EXPECT_EQ(logind_->holds, 2);
}

TEST_F(Shutdown, ADelayThatDoesNotGrowIsNoShutdownThatWaits) {
  prepare_ = [](FakeNotice& n) { n.grows = false; };
  start({{0, 30}});
  loop_.advance(4s);
  EXPECT_FALSE(logind_->held);
  EXPECT_EQ(logind_->holds, 0);
}

TEST_F(Shutdown, TheLastOneIsRemembered) {
  node_.kept = R"({"startTime":"2024-01-01T00:00:00Z","endTime":"0001-01-01T00:00:00Z"})";
  start({{0, 2}});
  EXPECT_EQ(metric("kubelet_graceful_shutdown_start_time_seconds"), 1704067200);
  EXPECT_EQ(metric("kubelet_graceful_shutdown_end_time_seconds"), 0);
}

}  // namespace
}  // namespace keles::node
