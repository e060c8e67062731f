#include <gtest/gtest.h>

#include "base/log.h"
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

}  // namespace
}  // namespace keles::sim
