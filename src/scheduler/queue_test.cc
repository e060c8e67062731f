#include "scheduler/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "scheduler/decide_test.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Pod;

TEST(Queue, WaitsForTheRightEvent) {
  SimLoop loop(1);
  SchedulingQueue q(loop);
  PodPtr p = extract_pod(*yaml<Pod>(pod_text("p")));
  q.add(p);
  std::vector<std::string> got;
  Context ctx = Context::root(loop);
  Context stop = ctx.child();
  spawn(loop, [](Context c, SchedulingQueue* queue, std::vector<std::string>* out) -> Task<void> {
    for (;;) {
      auto next = co_await queue->next(c);
      if (!next.ok()) co_return;
      out->push_back((*next)->name + "@" + std::to_string(c.loop().now().ns / 1'000'000'000));
      queue->park(*next, {}, kNodeLabels);
    }
  }(stop, &q, &got));
  loop.advance(5s);
  auto happens = [&q](Events bits) {
    Event e;
    e.bits = bits;
    q.on_event(e);
  };
  happens(kNodeTaints);
  loop.advance(1s);
  EXPECT_THAT(got, testing::ElementsAre("p@0"));
  happens(kNodeLabels);
  loop.advance(1s);
  EXPECT_THAT(got, testing::ElementsAre("p@0", "p@6"));
  // Too soon, but there is nothing better to do.
  happens(kNodeLabels);
  loop.advance(1s);
  EXPECT_EQ(got.size(), 3u);
  stop.cancel();
  loop.advance(1s);
}

// A plugin that rejects, waits for `events_` and answers `hint_`.
class Waiting final : public Plugin {
 public:
  Waiting(Events events, Hint hint) : events_(events), hint_(hint) {}
  std::string_view name() const override { return "Waiting"; }
  uint32_t points() const override { return kFilter | kPreEnqueue; }
  Events events() const override { return events_; }
  Hint hint(const PodInfo&, const Event&) override {
    ++asked;
    return hint_;
  }
  void answer(Hint h) { hint_ = h; }
  int asked = 0;

 private:
  Events events_;
  Hint hint_;
};

Event event_of(Events bits) {
  Event e;
  e.bits = bits;
  return e;
}

class QueueTest : public testing::Test {
 protected:
  SimLoop loop{1};
  std::vector<std::unique_ptr<Waiting>> made;  // outlive the queue
  Waiting& make(Events events, Hint hint) {
    made.push_back(std::make_unique<Waiting>(events, hint));
    return *made.back();
  }
  Plugin* gate = nullptr;  // lets nobody in, when set
  SchedulingQueue q{loop, QueueOptions{1s, 10s, 300s, [this](const PodInfo&, Plugin** by) {
                                         *by = gate;
                                         return gate ? Verdict::unresolvable("no") : Verdict{};
                                       }}};
  PodPtr pod(const std::string& name, int priority = 0) {
    return extract_pod(
        *yaml<Pod>(pod_text(name, "  priority: " + std::to_string(priority) + "\n")));
  }
  // The next pod's name; "" when none comes at once.
  std::string next() {
    std::string out;
    PodPtr got;
    Context ctx = Context::root(loop).child();
    spawn(loop, [](Context c, SchedulingQueue* queue, PodPtr* into) -> Task<void> {
      auto r = co_await queue->next(c);
      if (r.ok()) *into = *r;
    }(ctx, &q, &got));
    loop.advance(1ms);
    ctx.cancel();
    loop.advance(1ms);
    last = got;
    return got ? got->name : "";
  }
  PodPtr last;
};

TEST_F(QueueTest, TheMostImportantFirstThenTheOldest) {
  q.add(pod("a"));
  loop.advance(1s);
  q.add(pod("b"));
  q.add(pod("c", 5));
  EXPECT_EQ(next(), "c");
  EXPECT_EQ(next(), "a");
  EXPECT_EQ(next(), "b");
  EXPECT_EQ(next(), "");
}

TEST_F(QueueTest, AHintDecidesAndIsAskedForItsOwnEventsAlone) {
  Waiting& plugin = make(kPodRemoved, Hint::kSkip);
  q.add(pod("p"));
  EXPECT_EQ(next(), "p");
  q.park(last, {&plugin});
  q.on_event(event_of(kNodeLabels));
  EXPECT_EQ(plugin.asked, 0);
  q.on_event(event_of(kPodRemoved));
  EXPECT_EQ(plugin.asked, 1);
  EXPECT_EQ(q.unschedulable(), 1u);
  plugin.answer(Hint::kQueue);
  q.on_event(event_of(kPodRemoved));
  EXPECT_EQ(q.unschedulable(), 0u);
  EXPECT_EQ(next(), "p");
}

TEST_F(QueueTest, AnErrorBacksOffAndIsNotHurriedAlong) {
  q.add(pod("p"));
  EXPECT_EQ(next(), "p");
  q.retry(last);
  EXPECT_EQ(q.backing_off(), 1u);
  EXPECT_EQ(next(), "");
  loop.advance(1s);
  q.flush();
  EXPECT_EQ(next(), "p");
  q.retry(last);
  loop.advance(1s);
  q.flush();
  EXPECT_EQ(next(), "");  // two seconds now
  loop.advance(1s);
  q.flush();
  EXPECT_EQ(next(), "p");
}

TEST_F(QueueTest, WhatIsHandedBackIsTriedNext) {
  q.add(pod("p"));
  EXPECT_EQ(next(), "p");
  const PodPtr fresher = pod("p");
  q.retry(fresher);
  EXPECT_EQ(q.get(fresher->uid), fresher);
  loop.advance(1s);
  q.flush();
  EXPECT_EQ(next(), "p");
  EXPECT_EQ(last, fresher);
  const PodPtr freshest = pod("p");
  q.park(freshest, {});
  EXPECT_EQ(q.get(freshest->uid), freshest);
}

TEST_F(QueueTest, AnEventDuringTheDecisionIsNotMissed) {
  Waiting& plugin = make(kPodRemoved, Hint::kQueue);
  q.add(pod("p"));
  EXPECT_EQ(next(), "p");
  q.on_event(event_of(kPodRemoved));
  q.park(last, {&plugin});
  EXPECT_EQ(q.unschedulable(), 0u);
  EXPECT_EQ(next(), "p");
  q.binding(last->uid);
  q.on_event(event_of(kPodRemoved));
  q.park(last, {&plugin});  // Permit said no: what happened since does not count
  EXPECT_EQ(q.unschedulable(), 1u);
}

TEST_F(QueueTest, WhoIsNotLetInWaitsForThatPluginHoweverLong) {
  Waiting& plugin = make(kSelfGatesGone, Hint::kQueue);
  gate = &plugin;
  q.add(pod("p"));
  EXPECT_EQ(q.gated(), 1u);
  EXPECT_EQ(next(), "");
  loop.advance(10min);
  q.flush();
  q.on_event(event_of(kNodeAdded));
  EXPECT_EQ(q.gated(), 1u);
  q.update(pod("p"), kSelfGatesGone);  // the plugin still does not let it in
  EXPECT_EQ(q.gated(), 1u);
  gate = nullptr;
  q.update(pod("p"), kSelfGatesGone);
  EXPECT_EQ(q.gated(), 0u);
  EXPECT_EQ(next(), "p");
}

TEST_F(QueueTest, FiveMinutesAreEnough) {
  Waiting& plugin = make(kPodRemoved, Hint::kSkip);
  q.add(pod("p"));
  EXPECT_EQ(next(), "p");
  q.park(last, {&plugin});
  loop.advance(299s);
  q.flush();
  EXPECT_EQ(q.unschedulable(), 1u);
  loop.advance(2s);
  q.flush();
  EXPECT_EQ(next(), "p");
  EXPECT_TRUE(q.done(last->uid).flushed);
}

TEST_F(QueueTest, WhoIsDeletedIsForgottenWhereverItIs) {
  Waiting& plugin = make(kPodRemoved, Hint::kQueue);
  for (const char* name : {"active", "parked", "backoff", "inflight"}) q.add(pod(name));
  std::map<std::string, PodPtr> got;
  while (!next().empty()) got[last->name] = last;
  q.park(got["parked"], {&plugin});
  q.retry(got["backoff"]);
  q.add(pod("active2"));
  for (const auto& [name, p] : got) q.remove(p->uid);
  q.remove("uid-active2");
  q.park(got["inflight"], {&plugin});
  EXPECT_EQ(q.active() + q.backing_off() + q.unschedulable() + q.gated(), 0u);
}

}  // namespace
}  // namespace keles::scheduler
