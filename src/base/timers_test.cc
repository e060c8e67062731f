#include "base/timers.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace keles {
namespace {

// Everything due at `now`, as it ran.
std::string run(Timers& timers, TimePoint now, std::string& log) {
  log.clear();
  const uint64_t made = timers.made();
  while (auto fn = timers.take(now, made)) fn();
  return log;
}

TEST(Timers, RunInOrderOfTimeThenOfComing) {
  Timers t;
  std::string log;
  auto add = [&](int64_t when, char c) { return t.add({when}, [&log, c] { log += c; }); };
  add(30, 'd');
  add(10, 'a');
  TimerId gone = add(10, 'x');
  add(10, 'b');
  add(20, 'c');
  t.cancel(gone);
  t.cancel(gone);
  t.cancel(0);
  EXPECT_EQ(t.next(), TimePoint{10});
  EXPECT_EQ(run(t, {20}, log), "abc");
  EXPECT_EQ(run(t, {29}, log), "");
  EXPECT_EQ(t.size(), 1u);
  EXPECT_EQ(run(t, {30}, log), "d");
  EXPECT_EQ(t.next(), std::nullopt);
}

// The id of one that is over is not that of another in its place.
TEST(Timers, CancelOfOneThatIsOverIsIgnored) {
  Timers t;
  std::string log;
  TimerId old = t.add({1}, [&log] { log += 'o'; });
  EXPECT_EQ(run(t, {1}, log), "o");
  TimerId next = t.add({2}, [&log] { log += 'n'; });
  EXPECT_NE(old, next);
  t.cancel(old);
  EXPECT_EQ(run(t, {2}, log), "n");
}

TEST(Timers, OneThatAddsAnotherAtOnceRunsItInTheNextTurn) {
  Timers t;
  std::string log;
  std::function<void()> again = [&] {
    log += 'r';
    t.add({1}, again);
  };
  t.add({1}, again);
  EXPECT_EQ(run(t, {1}, log), "r");
  EXPECT_EQ(run(t, {1}, log), "r");
}

// What a callback holds may cancel and add while it is destroyed.
TEST(Timers, CancelledCallbacksMayUseTheTimersAsTheyGo) {
  Timers t;
  std::string log;
  struct Owner {
    Timers* timers;
    TimerId other;
    ~Owner() {
      timers->cancel(other);
      timers->add({1}, [] {});
    }
  };
  TimerId other = t.add({1}, [&log] { log += 'x'; });
  auto owner = std::make_shared<Owner>(Owner{&t, other});
  t.add({1}, [&log] { log += 'k'; });
  TimerId holder = t.add({1}, [owner] {});
  owner.reset();
  t.cancel(holder);
  EXPECT_EQ(run(t, {1}, log), "k");
}

// Against a plain map: many come, most are taken back, and what is left of those stays bounded.
TEST(Timers, AgreeWithAMapAndForgetWhatWasTakenBack) {
  Random random(7);
  Timers t;
  std::map<std::pair<int64_t, int>, TimerId> expected;
  std::vector<int> ran;
  int64_t now = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto when = now + static_cast<int64_t>(random.below(1000));
    expected[{when, i}] = t.add({when}, [&ran, i] { ran.push_back(i); });
    while (expected.size() > 50 || (random.chance(0.9) && !expected.empty())) {
      auto at = std::next(expected.begin(), static_cast<long>(random.below(expected.size())));
      t.cancel(at->second);
      expected.erase(at);
    }
    ASSERT_EQ(t.size(), expected.size());
    ASSERT_LE(t.stale(), t.size() + 64);
    now += static_cast<int64_t>(random.below(20));
    ran.clear();
    std::vector<int> due;
    while (!expected.empty() && expected.begin()->first.first <= now) {
      due.push_back(expected.begin()->first.second);
      expected.erase(expected.begin());
    }
    while (auto fn = t.take({now}, t.made())) fn();
    ASSERT_EQ(ran, due);
  }
}

}  // namespace
}  // namespace keles
