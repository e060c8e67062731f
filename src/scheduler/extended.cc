// Pods on whose place extenders have a say: their own line, so that a slow extender holds up nobody
// else.
#include <algorithm>

#include "scheduler/attempt.h"

namespace keles::scheduler {

bool Scheduler::goes_to_extenders(const PodPtr& pod) {
  if (!extended_ || !extended_->concerns(*pod)) return false;
  // The more important, the smaller: negated in 64 bits it would not fit the key.
  const int32_t rank = ~pod->priority;
  for_extenders_.emplace(std::pair(rank, ++extender_turn_), pod->uid);
  extender_waits_.wake_one();
  return true;
}

Task<void> Scheduler::decide_with_extenders(Context ctx) {
  for (;;) {
    Status s;
    while (for_extenders_.empty() && s.ok()) s = co_await extender_waits_.wait(ctx);
    if (s.ok()) s = co_await bindings_.acquire(ctx);
    if (!s.ok()) co_return;
    // Who is the most important is asked when there is a slot.
    const std::string uid = std::move(for_extenders_.begin()->second);
    for_extenders_.erase(for_extenders_.begin());
    PodPtr pod = still_queued(uid);
    if (pod) {
      co_await schedule_extended(ctx, pod);
    } else {
      bindings_.release();
    }
    co_await yield_to(ctx.loop());
  }
}

Task<void> Scheduler::schedule_extended(Context ctx, PodPtr pod) {
  Named* by = profile_of(pod->scheduler_name);
  const TimePoint started = ctx.loop().now();
  auto attempt = std::make_shared<Attempt>(by, std::make_shared<Cycle>(pod, *by->profile), started);
  CyclePtr cycle = attempt->cycle;
  cycle->nominated_node = cache_.nominated_node(pod->uid);
  auto d = std::make_shared<Decision>();
  *d = co_await extended_->decide(ctx, cycle);
  meters::algorithm_seconds().observe(seconds_since(started, ctx.loop().now()));
  PodPtr still = still_queued(pod->uid);
  if (!still || ctx.done()) {
    leave_slot(*attempt);
  } else if (d->error.code == Code::kError) {
    fail_attempt(ctx, attempt, d->error.message());
  } else if (!d->node.empty()) {
    attempt->node = std::move(d->node);
    take_node(ctx, attempt);
  } else if (cycle->victims_are_asked_about) {
    co_await no_node_extended(ctx, attempt, d);
  } else {
    no_node(ctx, attempt, *d);
  }
  cycle->view = nullptr;
}

// As no_node(), with extenders asked between preemption's two halves.
Task<void> Scheduler::no_node_extended(Context ctx, AttemptPtr attempt,
                                       std::shared_ptr<Decision> d) {
  Attempt& a = *attempt;
  std::optional<std::string> nominated = "";
  if (d->failure.nodes_total > 0 && a.by->profile->has(kPostFilter)) {
    PostFilter r = a.by->profile->post_filter(*a.cycle, d->failure);
    d->failure.resolvable.clear();
    a.cycle->view = nullptr;
    if (r.verdict.code == Code::kWait) {
      r = co_await extended_->settle(ctx, a.cycle, std::move(r));
      d->failure.post_filter_message = r.verdict.message();
      if (!still_queued(a.pod().uid)) {
        leave_slot(a);
        co_return;
      }
    }
    nominated = r.nominated_node;
  }
  end_without_node(ctx, attempt, *d, std::move(nominated));
}

}  // namespace keles::scheduler
