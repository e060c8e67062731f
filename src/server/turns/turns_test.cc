// Turns on virtual processor time: a loop whose clock moves by the work that is done on it.
#include "server/turns/turns.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/sim_loop.h"
#include "base/task.h"

namespace keles::server {
namespace {

class BusyLoop final : public Loop {
 public:
  TimePoint now() const override { return sim.now() + worked; }
  WallTime wall_now() const override { return sim.wall_now(); }
  Random& random() override { return sim.random(); }
  void post(std::function<void()> fn) override { sim.post(std::move(fn)); }
  TimerId schedule(TimePoint when, std::function<void()> fn) override {
    return sim.schedule(when, std::move(fn));
  }
  void cancel(TimerId id) override { sim.cancel(id); }
  bool in_loop_thread() const override { return true; }

  SimLoop sim{1};
  Duration worked{};
  LoopTurns all;
  Turns* turns = all.of_this_thread();
};

struct Client {
  BusyLoop* loop;
  const void* level;
  int weight;
  Duration work;
  int pieces = 1;
  bool* over;
  std::vector<Duration> latencies;
  Duration served{};
};

// One request after the other, as a client on a connection of its own: what it sends is read when
// the loop comes to it.
Task<void> keep_asking(Client* c) {
  while (!*c->over) {
    co_await yield_to(*c->loop);
    const TimePoint came = c->loop->now();
    Turn turn(c->loop->turns, c->loop, c->level, c->weight);
    co_await turn.begin(came);
    for (int i = 0; i < c->pieces; ++i) {
      if (i > 0) co_await turn.next();
      c->loop->worked += c->work;
      c->served += c->work;
    }
    note_work(c->loop->turns, c->loop->now());
    c->latencies.push_back(c->loop->now() - came);
  }
}

struct Crowd {
  Crowd(BusyLoop* l, int n, const void* level, int weight, Duration work, int pieces = 1) {
    for (int i = 0; i < n; ++i) {
      clients.push_back(
          std::make_unique<Client>(Client{l, level, weight, work, pieces, &over, {}, {}}));
      spawn(*l, keep_asking(clients.back().get()));
    }
  }
  Duration served() const {
    Duration sum{};
    for (const auto& c : clients) sum += c->served;
    return sum;
  }
  bool over = false;
  std::vector<std::unique_ptr<Client>> clients;
};

const char kFlood = 'f', kOther = 'o';

void work_for(BusyLoop& loop, Duration d) {
  const Duration until = loop.worked + d;
  while (loop.worked < until && loop.sim.run_ready(1) > 0) {
  }
}

// One request of another level in the midst of a flood, seen from when it is read.
Duration one_request(BusyLoop& loop, const void* level) {
  bool over = true;
  Client c{&loop, level, 1, 50us, 1, &over, {}, {}};
  auto once = [](Client* c) -> Task<void> {
    const TimePoint came = c->loop->now();
    co_await yield_to(*c->loop);  // it lies in the socket until the loop reads it
    Turn turn(c->loop->turns, c->loop, c->level, c->weight);
    co_await turn.begin(c->loop->now());
    c->loop->worked += c->work;
    c->latencies.push_back(c->loop->now() - came);
  };
  spawn(loop, once(&c));
  while (c.latencies.empty() && loop.sim.run_ready(1) > 0) {
  }
  return c.latencies.at(0);
}

TEST(Turns, WhoComesToAnIdleLoopGoesOnAtOnce) {
  BusyLoop loop;
  Turn turn(loop.turns, &loop, &kOther, 1);
  loop.sim.advance(1s);
  EXPECT_TRUE(turn.begin(loop.now()).await_ready());
  note_work(loop.turns, loop.now());
  EXPECT_FALSE(turn.begin(loop.now()).await_ready()) << "it has just worked: others may have come";
  loop.sim.advance(1ms);
  EXPECT_TRUE(turn.begin(loop.now()).await_ready());
  EXPECT_TRUE(Turn().begin(loop.now()).await_ready());
  EXPECT_TRUE(Turn().next().await_ready());
}

TEST(Turns, AFloodHoldsAnotherLevelForARoundAtMost) {
  BusyLoop loop;
  Crowd flood(&loop, 200, &kFlood, 10, 120us);
  work_for(loop, 100ms);
  for (int i = 0; i < 50; ++i) {
    work_for(loop, 7ms + std::chrono::microseconds(i * 31));
    // What is worked on when it comes, what may be in front of its reading, and its own.
    EXPECT_LE(one_request(loop, &kOther), 120us + 120us + 100us + 50us);
  }
  // Of its own level it waits like everybody.
  EXPECT_GT(one_request(loop, &kFlood), 10ms);
  flood.over = true;
  loop.sim.run_ready();
}

TEST(Turns, LongWorkStopsForOthers) {
  BusyLoop loop;
  Crowd flood(&loop, 50, &kFlood, 10, 150us, 100);
  work_for(loop, 100ms);
  for (int i = 0; i < 50; ++i) {
    work_for(loop, 3ms);
    EXPECT_LE(one_request(loop, &kOther), 150us + 150us + 100us + 50us);
  }
  flood.over = true;
  loop.sim.run_ready();
}

TEST(Turns, LevelsShareByTheirWeights) {
  BusyLoop loop;
  Crowd narrow(&loop, 100, &kFlood, 5, 200us);
  Crowd wide(&loop, 20, &kOther, 20, 100us);
  work_for(loop, 2s);
  const double ratio =
      static_cast<double>(wide.served().count()) / static_cast<double>(narrow.served().count());
  EXPECT_GT(ratio, 3.6);
  EXPECT_LT(ratio, 4.4);
  for (const auto& c : narrow.clients) EXPECT_GT(c->latencies.size(), 0u) << "nobody starves";
  narrow.over = wide.over = true;
  loop.sim.run_ready();
}

// A clock that stands still: rounds end all the same, and what is ready runs between them.
TEST(Turns, NeedNoClock) {
  SimLoop loop(1);
  bool over = false;
  int pieces = 0;
  LoopTurns all;
  auto work = [](SimLoop* loop, Turns* turns, bool* over, int* pieces) -> Task<void> {
    Turn turn(turns, loop, &kFlood, 1);
    while (!*over) {
      co_await turn.next();
      ++*pieces;
    }
  };
  spawn(loop, work(&loop, all.of_this_thread(), &over, &pieces));
  loop.run_ready(20);
  loop.post([&] { over = true; });
  loop.run_ready(200);
  EXPECT_TRUE(over);
  EXPECT_LT(pieces, 1000);
}

// A loop that ends with somebody waiting leaves the next loop of the thread as new; servers have
// turns of their own.
TEST(Turns, EndWithTheirLoop) {
  LoopTurns all, other;
  EXPECT_EQ(all.of_this_thread(), all.of_this_thread());
  EXPECT_NE(all.of_this_thread(), other.of_this_thread());
  Turns* turns = all.of_this_thread();
  auto wait = [](Turns* turns, Loop* loop, bool* went) -> Task<void> {
    Turn turn(turns, loop, &kFlood, 1);
    co_await turn.next();
    *went = true;
  };
  bool first = false, second = false;
  {
    SimLoop loop(1);
    // Run no further than to its wait. (Its coroutine is lost with the loop, as all are.)
    spawn(loop, wait(turns, &loop, &first));
    loop.run_ready(1);
  }
  SimLoop loop(2);
  spawn(loop, wait(turns, &loop, &second));
  loop.run_ready();
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
}

}  // namespace
}  // namespace keles::server
