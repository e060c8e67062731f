#include "base/budget.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace keles {
namespace {

using Side = Budget::Side;

std::shared_ptr<const std::string> thing() { return std::make_shared<std::string>("x"); }

TEST(Budget, TheOldestGoesWhenRoomIsWanted) {
  Budget budget(100);
  auto a = thing(), b = thing(), c = thing();
  std::weak_ptr<const void> first = a, second = b, third = c;
  auto one = budget.hold(Side::kForms, std::move(a), 40);
  auto two = budget.hold(Side::kForms, std::move(b), 40);
  EXPECT_EQ(budget.used(), 80u);
  auto three = budget.hold(Side::kForms, std::move(c), 40);
  EXPECT_TRUE(first.expired());
  EXPECT_FALSE(one.held());
  EXPECT_TRUE(two.held());
  EXPECT_FALSE(second.expired());
  EXPECT_FALSE(third.expired());
  EXPECT_EQ(budget.used(), 80u);
}

TEST(Budget, AChargeGivesItsBytesBackOnce) {
  Budget budget(100);
  std::weak_ptr<const void> seen;
  {
    auto a = thing();
    seen = a;
    auto charge = budget.hold(Side::kForms, std::move(a), 60);
    auto moved = std::move(charge);
    EXPECT_EQ(budget.used(), 60u);
  }
  EXPECT_TRUE(seen.expired());
  EXPECT_EQ(budget.used(), 0u);
  auto old = budget.hold(Side::kForms, thing(), 60);
  auto young = budget.hold(Side::kForms, thing(), 60);  // the old one has been let go
  old = Budget::Charge();
  EXPECT_EQ(budget.used(), 60u);
}

TEST(Budget, WhatIsLargerThanAllOfItIsNotKept) {
  Budget budget(100);
  auto big = thing();
  std::weak_ptr<const void> seen = big;
  auto charge = budget.hold(Side::kHistory, std::move(big), 101);
  EXPECT_TRUE(seen.expired());
  EXPECT_EQ(budget.used(), 0u);
}

TEST(Budget, ASideKeepsItsHalfAgainstTheOther) {
  Budget budget(100);
  auto past = budget.hold(Side::kHistory, thing(), 50);
  std::vector<Budget::Charge> forms;
  for (int i = 0; i < 20; ++i) forms.push_back(budget.hold(Side::kForms, thing(), 10));
  EXPECT_EQ(budget.used(Side::kHistory), 50u);
  EXPECT_EQ(budget.used(Side::kForms), 50u);
  forms.clear();
  auto more = budget.hold(Side::kHistory, thing(), 45);  // what the other leaves may be used
  EXPECT_EQ(budget.used(), 95u);
  auto form = budget.hold(Side::kForms, thing(), 30);  // and is given back
  EXPECT_EQ(budget.used(Side::kHistory), 45u);
  EXPECT_EQ(budget.used(Side::kForms), 30u);
}

TEST(Budget, TheSideThatHoldsMostGives) {
  Budget budget(90);
  auto events = budget.hold(Side::kHistory, thing(), 30);
  auto state = budget.hold(Side::kSnapshots, thing(), 30);
  std::vector<Budget::Charge> forms;
  for (int i = 0; i < 20; ++i) forms.push_back(budget.hold(Side::kForms, thing(), 10));
  EXPECT_TRUE(events.held());
  EXPECT_TRUE(state.held());
  EXPECT_EQ(budget.used(Side::kForms), 30u);
}

TEST(Budget, WhatGrowsMakesRoomOrGoes) {
  Budget budget(100);
  auto form = budget.hold(Side::kForms, thing(), 40);
  auto old = budget.hold(Side::kSnapshots, thing(), 10);
  auto state = budget.hold(Side::kSnapshots, thing(), 10);
  state.resize(60);  // its side holds most now, and gives its oldest
  EXPECT_FALSE(old.held());
  EXPECT_TRUE(state.held());
  EXPECT_EQ(budget.used(), 100u);
  state.resize(61);
  EXPECT_FALSE(state.held());
  EXPECT_TRUE(form.held());
  EXPECT_EQ(budget.used(), 40u);
  state.resize(5);  // of what was let go, nothing counts any more
  EXPECT_EQ(budget.used(), 40u);
  form.resize(10);
  EXPECT_EQ(budget.used(), 10u);
}

TEST(Budget, WhatIsReservedLeavesTheCachesLess) {
  Budget budget(100);
  std::vector<Budget::Charge> all;
  for (int i = 0; i < 10; ++i) all.push_back(budget.hold(Side::kForms, thing(), 10));
  auto backup = budget.reserve(50);
  EXPECT_TRUE(backup.held());
  EXPECT_EQ(budget.used(), 100u);
  EXPECT_EQ(budget.used(Side::kForms), 50u);
  backup.resize(200);  // nobody can let it go: the caches get nothing
  EXPECT_EQ(budget.used(), 200u);
  EXPECT_EQ(budget.used(Side::kForms), 0u);
  backup = Budget::Charge();
  auto form = budget.hold(Side::kForms, thing(), 100);
  EXPECT_TRUE(form.held());
}

TEST(Budget, ASmallerLimitIsKeptAtOnce) {
  Budget budget(100);
  std::vector<Budget::Charge> all;
  for (int i = 0; i < 10; ++i) all.push_back(budget.hold(Side::kForms, thing(), 10));
  budget.set_limit(35);
  EXPECT_EQ(budget.used(), 30u);
}

TEST(Budget, WhatIsOldGoesDownToAFloor) {
  Budget budget(1000);
  std::vector<Budget::Charge> all;
  for (int i = 0; i < 5; ++i) all.push_back(budget.hold(Side::kForms, thing(), 100));
  budget.tick();
  all.push_back(budget.hold(Side::kForms, thing(), 100));
  EXPECT_EQ(budget.age(Side::kForms, 2, 0), 0u);
  EXPECT_EQ(budget.age(Side::kForms, 1, 300), 300u);
  EXPECT_EQ(budget.used(), 300u);
  EXPECT_EQ(budget.age(Side::kForms, 1, 0), 200u);
  EXPECT_TRUE(all.back().held());
}

// What is let go may itself hold charges of the same budget.
TEST(Budget, ThingsThatHoldCharges) {
  Budget budget(100);
  struct Outer {
    Budget::Charge inner;
  };
  auto outer = std::make_shared<Outer>();
  outer->inner = budget.hold(Side::kForms, thing(), 20);
  auto charge = budget.hold(Side::kHistory, std::move(outer), 60);
  auto next = budget.hold(Side::kHistory, thing(), 80);
  EXPECT_EQ(budget.used(), 80u);
}

TEST(Budget, ThreadsHoldAndRelease) {
  Budget budget(1000);
  auto work = [&budget] {
    std::vector<Budget::Charge> kept(16);
    for (size_t i = 0; i < 5'000; ++i) {
      kept[i % 16] = budget.hold(i % 3 ? Side::kForms : Side::kHistory, thing(), 20 + i % 50);
    }
  };
  std::thread a(work), b(work), c(work);
  a.join(), b.join(), c.join();
  EXPECT_EQ(budget.used(), 0u);
}

}  // namespace
}  // namespace keles
