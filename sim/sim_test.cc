#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "sim/scenario.h"
#include "sim/world.h"

namespace keles::sim {
namespace {

class Sim : public testing::Test {
 protected:
  void SetUp() override { log::set_output(-1); }
  void TearDown() override { log::set_output(2); }
};

TEST_F(Sim, SameSeedGivesTheSameTrace) {
  for (uint64_t seed : {1, 2, 3}) {
    WorldOptions o;
    o.seed = seed;
    o.chaos = 2min;
    Outcome first = World(o).run();
    Outcome second = World(o).run();
    EXPECT_EQ(first.hash, second.hash) << "seed " << seed;
    EXPECT_EQ(first.events, second.events);
    EXPECT_GT(first.events, 100u);
  }
}

TEST_F(Sim, APerfectDayConvergesAndFallsQuiet) {
  WorldOptions o;
  o.seed = 5;
  o.faults = false;
  Outcome outcome = World(o).run();
  EXPECT_TRUE(outcome.ok()) << outcome.violations.front();
  EXPECT_LT(outcome.healed_after, 3min);
}

// The checker must notice: a disk that says "synced" and has not is the worst thing there is.
TEST_F(Sim, ADiskThatLiesIsCaught) {
  int caught = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Status s = run_scenario(
        "deploy web 5\nexpect converged\nfaults lie=1\nscale web 8\nadvance 20s\ncrash server\n",
        seed, false);
    caught += !s.ok() && (s.message().find("lost") != std::string::npos ||
                          s.message().find("before the acknowledged") != std::string::npos ||
                          s.message().find("another revision") != std::string::npos);
  }
  EXPECT_GE(caught, 4);  // what was not synced may survive a crash by luck
}

// Everything over connections, on two servers, with every kind of work: still one history a seed.
TEST_F(Sim, WiresReplayToo) {
  WorldOptions o;
  o.seed = 4;
  o.chaos = 1min;
  o.servers = 2;
  o.over_wires = 1;
  o.workloads.emplace();
  for (auto& kind : workload_kinds()) o.workloads->push_back(kind.name);
  Outcome first = World(o).run();
  Outcome second = World(o).run();
  EXPECT_TRUE(first.ok()) << first.violations.front();
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(first.events, second.events);
}

// A fault point that never fires proves nothing. Some are rare, and which seed fires them changes
// with any change of what is drawn: seed after seed, until all have.
TEST_F(Sim, EveryFaultPointFires) {
  const std::vector<std::string> kPoints = {"container.crashes",   "cri.event_lost",
                                            "cri.events_end",      "cri.fails",
                                            "cri.reply_lost",      "cri.slow",
                                            "host.fails",          "front.busy",
                                            "http.new_connection", "http2.short_write",
                                            "http2.small_frame",   "informer.relist",
                                            "informer.watch_ends", "registry.watch_expired",
                                            "registry.write_late", "store.write_late",
                                            "work_queue.again",    "work_queue.late"};
  auto fired = [](const std::string& point) {
    auto at = Buggify::counts().find(point);
    return at != Buggify::counts().end() && at->second.fired > 0;
  };
  constexpr uint64_t kMostSeeds = 300;
  for (uint64_t seed = 1; seed <= kMostSeeds; ++seed) {
    if (std::all_of(kPoints.begin(), kPoints.end(), fired)) break;
    WorldOptions o;
    o.seed = seed;
    o.chaos = 20s;
    o.over_wires = 1;
    o.workloads = std::vector<std::string>{"deployments"};
    (void)World(o).run();
  }
  for (const std::string& point : kPoints) EXPECT_TRUE(fired(point)) << point;
}

TEST_F(Sim, AScriptThatExpectsTooMuchFails) {
  Status s = run_scenario("deploy web 2\nexpect converged\nexpect pods web 3\n", 1, false);
  EXPECT_EQ(s.message(), "line 3: expect pods web 3: there are 2, not 3");
}

}  // namespace
}  // namespace keles::sim
