// WorkQueue: keys to reconcile. A key waiting is held once; a key being worked on is not given out
// again until done() (it is then requeued if it was added meanwhile). Failures back off
// exponentially per key (5 ms to 1000 s, as upstream's default rate limiter).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/context.h"
#include "base/sync.h"
#include "base/task.h"

namespace keles {

class WorkQueue {
 public:
  explicit WorkQueue(Loop& loop, Duration base_delay = 5ms, Duration max_delay = 1000s);
  ~WorkQueue();
  void add(std::string key);
  void add_after(std::string key, Duration d);
  void add_rate_limited(std::string key);
  void forget(const std::string& key);
  int requeues(const std::string& key) const;
  Task<Result<std::string>> next(Context ctx);  // the caller must call done()
  void done(const std::string& key);
  size_t size() const { return ready_.size(); }
  // From now on counts into the workqueue_* metrics under this name.
  void set_name(const std::string& name);

 private:
  struct Metrics;
  void push(const std::string& key);
  void watch_unfinished();
  Loop& loop_;
  Duration base_delay_, max_delay_;
  std::deque<std::string> ready_;
  std::set<std::string> dirty_, working_;
  std::map<std::string, int> failures_;
  std::map<std::string, TimePoint> delayed_;
  WaitList waiting_;
  std::shared_ptr<bool> alive_;
  std::unique_ptr<Metrics> metrics_;
  bool watching_ = false;                      // a look at what is being worked on is due
  std::map<std::string, TimePoint> added_at_;  // when it began to wait, then when work began
};

// What a reconcile answers: OK (nothing more until something changes), an error (retried with
// backoff), or OK with a time to come back.
struct ReconcileResult {
  Status status;
  Duration requeue_after{0};
  ReconcileResult() = default;
  ReconcileResult(Status s) : status(std::move(s)) {}  // NOLINT(implicit)
  static ReconcileResult after(Duration d) {
    ReconcileResult r;
    r.requeue_after = d;
    return r;
  }
};

// Runs `workers` loops of: next key, reconcile(ctx, key), done. Ends when ctx ends and all have
// stopped.
Task<void> run_workers(Context ctx, WorkQueue* queue, std::string name, int workers,
                       std::function<Task<ReconcileResult>(Context, std::string)> reconcile);

}  // namespace keles
