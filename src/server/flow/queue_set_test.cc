// Fairness in virtual time: shares, hands, limits, seats that linger, floods.
#include "server/flow/queue_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <set>
#include <thread>

#include "base/loop.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "base/sync.h"

namespace keles::flow {
namespace {

const Caller kSomebody;

Digest digest_of(std::string_view verb) {
  Digest d;
  d.caller = &kSomebody;
  d.is_resource = true;
  d.verb = verb;
  return d;
}

struct Level {
  SimLoop loop{1};
  Context ctx = Context::root(loop);
  std::shared_ptr<QueueSet> set;

  Level(Queuing queuing, int seats, SeatSeconds r = 0)
      : set(std::make_shared<QueueSet>(loop.now(), r)) {
    set->configure(loop, queuing, seats, std::max(seats, 1));
  }
  QueueSet::Figures figures() { return set->figures(loop, true); }
};

struct Order {
  std::string flow = "f";
  Work work;
  Duration service = 10ms, patience = 1h;
};

enum class End : uint8_t { kServed, kRefused, kTimedOut };

// One request, from its coming to its end; how long it took.
Task<End> request(Level* level, const Order* o, Duration* took) {
  const TimePoint came = level->loop.now();
  const Digest digest = digest_of("get");
  Ticket ticket;
  QueueSet::Entry e;
  e.about = &digest;
  e.schema = "schema";
  e.distinguisher = o->flow;
  e.hash = flow_hash("schema", o->flow);
  e.stats = level->set->stats("schema");
  e.work = o->work;
  auto out = level->set->enter(level->loop, &ticket, e, level->loop.now());
  if (out == QueueSet::Outcome::kRefused) co_return End::kRefused;
  if (out == QueueSet::Outcome::kWaits) {
    Context limit = level->ctx.with_timeout(o->patience);
    const bool runs = co_await level->set->wait(limit, &ticket);
    if (!runs) co_return End::kTimedOut;
  }
  Status slept = co_await level->ctx.sleep(o->service);
  (void)slept;
  level->set->leave(level->loop, &ticket, level->loop.now());
  *took = level->loop.now() - came;
  co_return End::kServed;
}

// A client that sends one request after the other until it is told to stop.
struct Client {
  Order order;
  Duration think{};
  bool stop = false;
  std::map<End, int> ends;
  std::vector<Duration> times;
};

Task<void> keep_asking(Level* level, Client* c) {
  while (!c->stop) {
    Duration took{};
    const End end = co_await request(level, &c->order, &took);
    ++c->ends[end];
    if (end == End::kServed) c->times.push_back(took);
    const Duration pause = end == End::kServed ? c->think : c->think + 1ms;
    if (pause > Duration()) {
      Status s = co_await level->ctx.sleep(pause);
      (void)s;
    }
  }
}

int served(const std::vector<std::unique_ptr<Client>>& clients, const std::string& flow) {
  int n = 0;
  for (const auto& c : clients) n += c->order.flow == flow ? c->ends[End::kServed] : 0;
  return n;
}

std::vector<std::unique_ptr<Client>> make_clients(int n, Order order) {
  std::vector<std::unique_ptr<Client>> out;
  for (int i = 0; i < n; ++i) {
    out.push_back(std::make_unique<Client>());
    out.back()->order = order;
  }
  return out;
}

void run_for(Level& level, std::vector<std::unique_ptr<Client>>& clients, Duration d) {
  for (auto& c : clients) spawn(level.loop, keep_asking(&level, c.get()));
  level.loop.advance(d);
  for (auto& c : clients) c->stop = true;
  level.loop.advance(2h);
}

Duration quantile(std::vector<Duration> times, double part) {
  if (times.empty()) return Duration::max();
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))];
}

// Two flows whose hands of one card differ from each other's.
std::pair<std::string, std::string> apart(Queuing q) {
  for (int i = 0; i < 100; ++i) {
    std::string other = "flow-" + std::to_string(i);
    const int mine = deal(q.queues, q.hand, flow_hash("schema", "flow")).cards[0];
    if (deal(q.queues, q.hand, flow_hash("schema", other)).cards[0] != mine) return {"flow", other};
  }
  return {};
}

// --- hands ---

TEST(Hands, AreDistinctCardsOfTheDeck) {
  for (auto [deck, hand] : {std::pair{128, 6}, {64, 6}, {16, 4}, {15, 15}, {1, 1}, {5, 5}}) {
    ASSERT_TRUE(may_deal(deck, hand)) << deck << " " << hand;
    std::vector<int> times(static_cast<size_t>(deck));
    for (uint64_t i = 0; i < 20'000; ++i) {
      const Hand h = deal(deck, hand, flow_hash("s", std::to_string(i)));
      std::set<int> seen;
      for (int k = 0; k < h.size; ++k) {
        const int card = h.cards[static_cast<size_t>(k)];
        ASSERT_TRUE(card >= 0 && card < deck);
        ASSERT_TRUE(seen.insert(card).second);
        ++times[static_cast<size_t>(card)];
      }
      ASSERT_EQ(h.size, hand);
    }
    // Each about as often as the others.
    const double usual = 20'000.0 * hand / deck;
    for (int n : times) EXPECT_NEAR(n, usual, usual * 0.15 + 1);
  }
  EXPECT_FALSE(may_deal(4, 5));
  EXPECT_FALSE(may_deal(1 << 27, 1));
  EXPECT_FALSE(may_deal(1 << 10, 7)) << "more than 60 bits of the hash";
}

// The very cards of upstream's dealer.
TEST(Hands, AreUpstreams) {
  const Hand h = deal(9, 3, 8 + 9 * (7 + 8 * 6));
  EXPECT_EQ(h.cards[0], 8);
  EXPECT_EQ(h.cards[1], 7);
  EXPECT_EQ(h.cards[2], 6);
  const Hand low = deal(9, 3, 0);
  EXPECT_EQ(low.cards[0], 0);
  EXPECT_EQ(low.cards[1], 1);
  EXPECT_EQ(low.cards[2], 2);
}

// --- shares ---

TEST(Fairness, AHeavyFlowAndALightOneShareAlike) {
  Level level({16, 1, 50}, 4);
  auto [heavy, light] = apart({16, 1, 50});
  Order a, b;
  a.flow = heavy;
  b.flow = light;
  auto clients = make_clients(20, a);
  for (auto& c : make_clients(6, b)) clients.push_back(std::move(c));
  run_for(level, clients, 10s);
  // Four seats of 10 ms each: 400 a second, half of them each.
  EXPECT_NEAR(served(clients, heavy), 2000, 100);
  EXPECT_NEAR(served(clients, light), 2000, 100);
}

TEST(Fairness, WideRequestsPayForTheirWidth) {
  Level level({16, 1, 50}, 8);
  auto [wide, narrow] = apart({16, 1, 50});
  Order a, b;
  a.flow = wide;
  a.work.seats = 4;
  b.flow = narrow;
  auto clients = make_clients(10, a);
  for (auto& c : make_clients(20, b)) clients.push_back(std::move(c));
  run_for(level, clients, 10s);
  // Half of the seats each: 400 a second one seat wide, 100 a second four wide.
  EXPECT_NEAR(served(clients, narrow), 4000, 400);
  EXPECT_NEAR(served(clients, wide), 1000, 100);
}

// A flow that could not use its share for a while does not get it back later.
TEST(Fairness, WhatWasNotUsedIsNotSaved) {
  Level level({16, 1, 200}, 2);
  auto [first, second] = apart({16, 1, 200});
  Order a, b;
  a.flow = first;
  b.flow = second;
  auto clients = make_clients(20, a);
  for (auto& c : clients) spawn(level.loop, keep_asking(&level, c.get()));
  level.loop.advance(10s);
  const int before = served(clients, first);
  auto late = make_clients(20, b);
  for (auto& c : late) spawn(level.loop, keep_asking(&level, c.get()));
  level.loop.advance(10s);
  EXPECT_NEAR(served(clients, first) - before, 1000, 60);
  EXPECT_NEAR(served(late, second), 1000, 60);
  for (auto* all : {&clients, &late}) {
    for (auto& c : *all) c->stop = true;
  }
  level.loop.advance(1h);
}

// With a hand of several queues a flow finds one that no heavy flow fills, though its first card is
// a heavy flow's.
TEST(Fairness, AHandFindsAQueueThatNobodyFills) {
  constexpr int kHeavy = 3, kLight = 8;
  auto card = [](const std::string& flow) {
    return deal(64, 1, flow_hash("schema", flow)).cards[0];
  };
  std::vector<std::string> heavy, light;
  for (int i = 0; i < kHeavy; ++i) heavy.push_back("heavy-" + std::to_string(i));
  for (int i = 0; light.size() < kLight; ++i) {
    std::string flow = "light-" + std::to_string(i);
    auto meets = [&](const std::string& h) { return card(h) == card(flow); };
    if (std::any_of(heavy.begin(), heavy.end(), meets)) light.push_back(flow);
  }
  std::vector<Duration> by_hand;
  for (int hand : {1, 6}) {
    Level level({64, hand, 50}, 4);
    std::vector<std::unique_ptr<Client>> clients;
    Order o;
    for (const std::string& flow : heavy) {
      o.flow = flow;
      for (auto& c : make_clients(30, o)) clients.push_back(std::move(c));
    }
    for (size_t i = 0; i < light.size(); ++i) {
      o.flow = light[i];
      for (auto& c : make_clients(1, o)) {
        c->think = 1s + static_cast<int>(i) * 37ms;
        clients.push_back(std::move(c));
      }
    }
    run_for(level, clients, 60s);
    std::vector<Duration> times;
    for (const auto& c : clients) {
      if (c->think > Duration()) times.insert(times.end(), c->times.begin() + 1, c->times.end());
    }
    by_hand.push_back(quantile(times, 0.9));
  }
  EXPECT_LT(by_hand[1], by_hand[0] / 2) << "p90 with one queue and with a hand of six";
}

// --- limits ---

TEST(Limits, QueuesAreNoLongerThanTheyMayBe) {
  Level level({1, 1, 3}, 2);
  Order o;
  o.service = 1s;
  auto clients = make_clients(9, o);
  for (auto& c : clients) c->stop = true;  // after one request
  struct Once {
    static Task<void> ask(Level* level, Client* c) {
      Duration took{};
      const End end = co_await request(level, &c->order, &took);
      ++c->ends[end];
      c->times.push_back(took);
    }
  };
  for (auto& c : clients) spawn(level.loop, Once::ask(&level, c.get()));
  level.loop.run_ready();
  auto f = level.figures();
  EXPECT_EQ(f.executing, 2u);
  EXPECT_EQ(f.waiting, 3u);
  EXPECT_EQ(f.refused, 4u);
  EXPECT_EQ(f.schemas.at("schema").queue_full, 4u);
  ASSERT_EQ(f.requests.size(), 5u);
  EXPECT_EQ(f.requests[0].place, 0);
  EXPECT_EQ(f.requests[4].place, -1);
  level.loop.advance(10s);
  f = level.figures();
  EXPECT_EQ(f.dispatched, 5u);
  EXPECT_EQ(f.seats_in_use, 0u);
  EXPECT_TRUE(level.set->idle());
}

TEST(Limits, WhoWaitsTooLongLeaves) {
  Level level({4, 1, 50}, 1);
  Order slow, short_of_time;
  slow.service = 10s;
  short_of_time.patience = 2s;
  Client a, b;
  a.order = slow;
  b.order = short_of_time;
  a.stop = b.stop = false;
  spawn(level.loop, keep_asking(&level, &a));
  level.loop.run_ready();
  spawn(level.loop, keep_asking(&level, &b));
  level.loop.advance(2s);
  EXPECT_EQ(b.ends[End::kTimedOut], 1);
  a.stop = b.stop = true;
  level.loop.advance(1h);
  const auto f = level.figures();
  EXPECT_EQ(f.schemas.at("schema").timed_out, f.timed_out);
  EXPECT_EQ(f.waiting, 0u);
  EXPECT_EQ(f.schemas.at("schema").waiting, 0);
}

TEST(Limits, ALevelWithoutQueuesRefusesAtOnceAndAnExemptOneNever) {
  for (int queues : {0, -1}) {
    Level level({queues, 1, 0}, 2);
    Order o;
    auto clients = make_clients(10, o);
    run_for(level, clients, 1s);
    const auto f = level.figures();
    if (queues == 0) {
      EXPECT_GT(f.schemas.at("schema").over_limit, 0u);
      EXPECT_NEAR(static_cast<double>(f.dispatched), 200, 4);
    } else {
      EXPECT_EQ(f.refused, 0u);
      EXPECT_NEAR(static_cast<double>(f.dispatched), 1000, 20);
    }
  }
}

// One that is wider than the level runs when nothing else does.
TEST(Limits, WhatIsTooWideRunsAlone) {
  Level level({4, 1, 50}, 3);
  Order narrow, wide;
  wide.work.seats = 10;
  auto clients = make_clients(6, narrow);
  for (auto& c : make_clients(1, wide)) clients.push_back(std::move(c));
  run_for(level, clients, 2s);
  EXPECT_GT(clients.back()->ends[End::kServed], 3);
  EXPECT_EQ(clients.back()->ends[End::kRefused], 0);
  EXPECT_TRUE(level.set->idle());
}

// --- seats that linger ---

TEST(Lingering, HoldsSeatsAfterTheAnswer) {
  Level level({4, 1, 50}, 4);
  Order write, read;
  write.service = 1ms;
  write.work.final_seats = 4;
  write.work.extra = 100ms;
  read.service = 1ms;
  struct Once {
    static Task<void> ask(Level* level, const Order* o, TimePoint* done) {
      Duration took{};
      const End end = co_await request(level, o, &took);
      EXPECT_EQ(end, End::kServed);
      *done = level->loop.now();
    }
  };
  TimePoint wrote, was_read;
  spawn(level.loop, Once::ask(&level, &write, &wrote));
  level.loop.run_ready();
  spawn(level.loop, Once::ask(&level, &read, &was_read));
  level.loop.advance(50ms);
  EXPECT_EQ(wrote.ns, Duration(1ms).count()) << "the client does not wait for it";
  EXPECT_EQ(was_read.ns, 0);
  EXPECT_EQ(level.figures().seats_in_use, 4u);
  level.loop.advance(1s);
  EXPECT_EQ(was_read.ns, Duration(102ms).count()) << "the moment that the seats are free";
  EXPECT_EQ(level.figures().seats_in_use, 0u);
  // What demand there was is known as of its time, though nobody looked then.
  const auto demand = level.set->take_demand(level.loop.now());
  EXPECT_EQ(demand.max, 5);
  EXPECT_NEAR(demand.average, (0.101 * 4 + 0.101 * 1 + 0.001) / demand.seconds, 0.01);
}

TEST(Lingering, OnMoreSeatsThanThereAreTakesLonger) {
  Level level({4, 1, 50}, 2);
  Order write;
  write.service = 1ms;
  write.work.final_seats = 10;
  write.work.extra = 10ms;
  auto clients = make_clients(1, write);
  run_for(level, clients, 1s);
  // 10 seats for 10 ms are 2 for 50.
  EXPECT_NEAR(clients[0]->ends[End::kServed], 20, 1);
}

// --- the clock of the virtual world ---

TEST(VirtualTime, IsWoundBackBeforeItOverflows) {
  const SeatSeconds high = std::numeric_limits<SeatSeconds>::max() / 4 * 3 - 10'000'000;
  Level level({16, 1, 50}, 4, high);
  auto [heavy, light] = apart({16, 1, 50});
  Order a, b;
  a.flow = heavy;
  b.flow = light;
  auto clients = make_clients(20, a);
  for (auto& c : make_clients(6, b)) clients.push_back(std::move(c));
  run_for(level, clients, 10s);
  EXPECT_EQ(level.figures().epochs, 1u);
  EXPECT_LT(level.figures().r, high);
  EXPECT_NEAR(served(clients, heavy), 2000, 100);
  EXPECT_NEAR(served(clients, light), 2000, 100);
}

TEST(VirtualTime, QueuesComeAndGo) {
  Level level({64, 2, 50}, 4);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 40; ++i) {
    Order o;
    o.flow = std::to_string(i);
    for (auto& c : make_clients(1, o)) clients.push_back(std::move(c));
  }
  for (auto& c : clients) spawn(level.loop, keep_asking(&level, c.get()));
  level.loop.advance(1s);
  EXPECT_EQ(level.figures().queues.size(), 64u);
  level.set->configure(level.loop, {2, 1, 50}, 4, 4);
  level.loop.advance(5s);
  EXPECT_EQ(level.figures().queues.size(), 2u) << "those too many have drained";
  level.set->configure(level.loop, {0, 1, 50}, 4, 4);
  level.loop.advance(5s);
  EXPECT_EQ(level.figures().queues.size(), 0u);
  level.set->configure(level.loop, {8, 1, 50}, 4, 4);
  level.loop.advance(1s);
  for (auto& c : clients) c->stop = true;
  level.loop.advance(1h);
  EXPECT_TRUE(level.set->idle());
  EXPECT_EQ(level.figures().seats_in_use, 0u);
}

// --- several loops ---

struct Loops {
  static constexpr int kEach = 400, kTasks = 8;
  std::shared_ptr<QueueSet> set;
  std::atomic<int> running{0}, most{0}, served{0}, refused{0}, done{0};

  static Task<void> ask(Loops* self, Loop* loop, int who) {
    Context ctx = Context::root(*loop);
    const Digest digest = digest_of("get");
    for (int i = 0; i < kEach; ++i) {
      Ticket ticket;
      QueueSet::Entry e;
      e.about = &digest;
      e.schema = "schema";
      e.hash = flow_hash("schema", std::to_string(who % 3));
      e.stats = self->set->stats("schema");
      if (i % 7 == 0) {
        e.work.final_seats = 2;
        e.work.extra = 100us;
      }
      auto out = self->set->enter(*loop, &ticket, e, loop->now());
      bool runs = out == QueueSet::Outcome::kRuns;
      if (out == QueueSet::Outcome::kWaits) {
        Context limit = ctx.with_timeout(i % 5 == 0 ? Duration(20us) : Duration(30s));
        runs = co_await self->set->wait(limit, &ticket);
      }
      if (!runs) {
        ++self->refused;
        continue;
      }
      const int now = ++self->running;
      int seen = self->most;
      while (seen < now && !self->most.compare_exchange_weak(seen, now)) {
      }
      co_await yield_to(*loop);
      --self->running;
      self->set->leave(*loop, &ticket, loop->now());
      ++self->served;
    }
  }
  static Task<bool> all(Loops* self, Loop* loop) {
    TaskGroup group(*loop);
    for (int i = 0; i < kTasks; ++i) group.spawn(ask(self, loop, i));
    co_await group.join();
    // A timer of one loop may be what the other's requests wait for.
    ++self->done;
    Status s;
    while (s.ok() && self->done < 2) s = co_await Context::root(*loop).sleep(100us);
    co_return true;
  }
};

TEST(Threads, NobodyIsForgottenAndNoMoreRunThanMay) {
  auto first = make_real_loop();
  auto second = make_real_loop();
  Loops l;
  l.set = std::make_shared<QueueSet>(first->now());
  l.set->configure(*first, {4, 2, 50}, 3, 3);
  std::thread other([&] { run_task(*second, Loops::all(&l, second.get())); });
  run_task(*first, Loops::all(&l, first.get()));
  other.join();
  EXPECT_EQ(l.served + l.refused, 2 * Loops::kEach * Loops::kTasks);
  EXPECT_GT(l.served, 2 * Loops::kEach * Loops::kTasks / 2);
  EXPECT_LE(l.most, 3);
  EXPECT_TRUE(l.set->idle());
  const auto f = l.set->figures(*first);
  EXPECT_EQ(f.dispatched, static_cast<uint64_t>(l.served.load()));
  EXPECT_EQ(f.timed_out, static_cast<uint64_t>(l.refused.load()));
}

}  // namespace
}  // namespace keles::flow
