#include "client/work_queue.h"

#include <algorithm>

#include "base/buggify.h"
#include "base/log.h"
#include "base/metrics.h"

namespace keles {

namespace {

metrics::Value& series(metrics::Counter& family, const std::string& name) {
  return family.with({name});
}

}  // namespace

struct WorkQueue::Metrics {
  explicit Metrics(const std::string& name)
      : depth(series(metrics::gauge("workqueue_depth", "Current depth of workqueue", {"name"}),
                     name)),
        adds(series(metrics::counter("workqueue_adds_total",
                                     "Total number of adds handled by workqueue", {"name"}),
                    name)),
        retries(series(metrics::counter("workqueue_retries_total",
                                        "Total number of retries handled by workqueue", {"name"}),
                       name)),
        unfinished(series(metrics::gauge("workqueue_unfinished_work_seconds",
                                         "Seconds of work in progress that work_duration has not "
                                         "seen yet, all keys together; looked at twice a second.",
                                         {"name"}),
                          name)),
        longest(series(
            metrics::gauge("workqueue_longest_running_processor_seconds",
                           "Seconds for which the longest work has been in progress.", {"name"}),
            name)),
        waited(metrics::histogram(
                   "workqueue_queue_duration_seconds",
                   "How long in seconds an item stays in workqueue before being requested.",
                   {"name"}, kBounds)
                   .with({name})),
        worked(metrics::histogram("workqueue_work_duration_seconds",
                                  "How long in seconds processing an item from workqueue takes.",
                                  {"name"}, kBounds)
                   .with({name})) {}
  static inline const std::vector<double> kBounds = {
      1e-8, 1e-7, 1e-6, 9.999999999999999e-6, 9.999999999999999e-5, 1e-3, 1e-2, 1e-1, 1, 10};
  metrics::Value &depth, &adds, &retries, &unfinished, &longest;
  metrics::Buckets &waited, &worked;
};

WorkQueue::WorkQueue(Loop& loop, Duration base_delay, Duration max_delay)
    : loop_(loop),
      base_delay_(base_delay),
      max_delay_(max_delay),
      alive_(std::make_shared<bool>(true)) {}

WorkQueue::~WorkQueue() = default;

void WorkQueue::set_name(const std::string& name) { metrics_ = std::make_unique<Metrics>(name); }

void WorkQueue::push(const std::string& key) {
  ready_.push_back(key);
  if (metrics_) {
    metrics_->depth.set(static_cast<double>(ready_.size()));
    added_at_[key] = loop_.now();
  }
  waiting_.wake_one();
}

void WorkQueue::add(std::string key) {
  if (!dirty_.insert(key).second) return;
  if (metrics_) metrics_->adds.add();
  if (working_.contains(key)) return;  // done() brings it back
  push(key);
}

void WorkQueue::add_after(std::string key, Duration d) {
  if (d <= Duration::zero()) {
    add(std::move(key));
    return;
  }
  TimePoint when = loop_.now() + d;
  auto [it, fresh] = delayed_.emplace(key, when);
  if (!fresh) {
    if (it->second <= when) return;  // an earlier timer brings it anyway
    it->second = when;
  }
  std::weak_ptr<bool> alive = alive_;
  loop_.schedule(when, [this, alive, key = std::move(key), when] {
    if (alive.expired()) return;
    auto at = delayed_.find(key);
    if (at == delayed_.end() || at->second != when) return;  // replaced by an earlier one
    delayed_.erase(at);
    add(key);
  });
}

void WorkQueue::add_rate_limited(std::string key) {
  int n = failures_[key]++;
  Duration d = base_delay_;
  for (int i = 0; i < n && d < max_delay_; ++i) d *= 2;
  if (metrics_) metrics_->retries.add();
  add_after(std::move(key), std::min(d, max_delay_));
}

void WorkQueue::forget(const std::string& key) { failures_.erase(key); }

int WorkQueue::requeues(const std::string& key) const {
  auto it = failures_.find(key);
  return it == failures_.end() ? 0 : it->second;
}

// While something is worked on: most work is done before the first look.
void WorkQueue::watch_unfinished() {
  constexpr Duration kEvery = 500ms;
  if (watching_ || !metrics_) return;
  watching_ = true;
  std::weak_ptr<bool> alive = alive_;
  loop_.schedule(loop_.now() + kEvery, [this, alive] {
    if (alive.expired()) return;
    watching_ = false;
    double all = 0, longest = 0;
    for (const std::string& key : working_) {
      auto it = added_at_.find(key);
      if (it == added_at_.end()) continue;
      const double seconds = std::chrono::duration<double>(loop_.now() - it->second).count();
      all += seconds;
      longest = std::max(longest, seconds);
    }
    metrics_->unfinished.set(all);
    metrics_->longest.set(longest);
    if (!working_.empty()) watch_unfinished();
  });
}

Task<Result<std::string>> WorkQueue::next(Context ctx) {
  while (ready_.empty()) {
    Status s = co_await waiting_.wait(ctx);
    if (!s.ok()) {
      if (!ready_.empty()) waiting_.wake_one();  // a wake meant for us goes to the next
      co_return s;
    }
  }
  std::string key = std::move(ready_.front());
  ready_.pop_front();
  dirty_.erase(key);
  working_.insert(key);
  if (metrics_) {
    metrics_->depth.set(static_cast<double>(ready_.size()));
    // One that came before the queue had its name has waited for nobody knows how long.
    auto [it, unknown] = added_at_.emplace(key, loop_.now());
    if (!unknown)
      metrics_->waited.observe(std::chrono::duration<double>(loop_.now() - it->second).count());
    it->second = loop_.now();
    watch_unfinished();
  }
  co_return std::move(key);
}

void WorkQueue::done(const std::string& key) {
  working_.erase(key);
  if (metrics_) {
    auto it = added_at_.find(key);
    if (it != added_at_.end()) {
      metrics_->worked.observe(std::chrono::duration<double>(loop_.now() - it->second).count());
      added_at_.erase(it);
    }
  }
  if (dirty_.contains(key)) push(key);
}

namespace {

using Reconcile = std::function<Task<ReconcileResult>(Context, std::string)>;

Task<void> run_worker(Context ctx, WorkQueue* queue, std::string name,
                      std::shared_ptr<const Reconcile> reconcile) {
  for (;;) {
    auto key = co_await queue->next(ctx);
    if (!key.ok()) co_return;
    if (buggify(ctx.loop(), "work_queue.late")) {
      (void)co_await ctx.sleep(Duration(ctx.loop().random().between(0, 3'000'000'000)));
    }
    ReconcileResult r = co_await (*reconcile)(ctx, *key);
    if (ctx.done()) {
      queue->done(*key);
      co_return;
    }
    if (!r.status.ok()) {
      // Conflicts are the normal way of losing a race: worth a line only when asked for.
      if (!r.status.is(Reason::kConflict) || log::v(4)) {
        log::warn("Reconcile failed, will retry", {{"controller", name},
                                                   {"key", *key},
                                                   {"attempt", queue->requeues(*key) + 1},
                                                   {"err", r.status}});
      }
      queue->add_rate_limited(*key);
    } else {
      queue->forget(*key);
      if (r.requeue_after > Duration::zero()) queue->add_after(*key, r.requeue_after);
      if (buggify(ctx.loop(), "work_queue.again")) queue->add_rate_limited(*key);
    }
    queue->done(*key);
  }
}

}  // namespace

Task<void> run_workers(Context ctx, WorkQueue* queue, std::string name, int workers,
                       Reconcile reconcile) {
  auto shared = std::make_shared<const Reconcile>(std::move(reconcile));
  queue->set_name(name);
  TaskGroup group(ctx.loop());
  for (int i = 0; i < workers; ++i) group.spawn(run_worker(ctx, queue, name, shared));
  co_await group.join();
}

}  // namespace keles
