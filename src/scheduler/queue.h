// SchedulingQueue: pods that want a node. Active (highest priority, then oldest, first), backing
// off (1 s doubling to 10 s), or parked: waiting for a change that one of the plugins that rejected
// them takes for a help, five minutes at most. A pod that a plugin does not let in (pre_enqueue) is
// parked for that plugin's changes alone, as long as it takes. One loop's thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/context.h"
#include "base/sync.h"
#include "scheduler/framework.h"

namespace keles::scheduler {

struct QueueOptions {
  Duration initial_backoff = 1s;
  Duration max_backoff = 10s;
  Duration max_parked = 300s;
  // The plugin that does not let a pod in, if any; none given: all are let in.
  std::function<Verdict(const PodInfo& pod, Plugin** by)> pre_enqueue;
};

class SchedulingQueue {
 public:
  explicit SchedulingQueue(Loop& loop, QueueOptions options = {})
      : loop_(loop), options_(std::move(options)) {}
  ~SchedulingQueue();
  SchedulingQueue(const SchedulingQueue&) = delete;
  SchedulingQueue& operator=(const SchedulingQueue&) = delete;

  void add(PodPtr pod);
  // The pod changed while it waits; `self` says in what (kSelf*).
  void update(PodPtr pod, Events self);
  void remove(std::string_view uid);
  bool holds(std::string_view uid) const { return entries_.contains(uid); }
  // As it waits, or is being tried; null when it is not here.
  PodPtr get(std::string_view uid) const;

  // The next to try. When none is active, one that backs off, unless it does for an error.
  Task<Result<PodPtr>> next(Context ctx);
  // After a decision that found no node: by whom it was rejected; by nobody: any change may help.
  // Here and in retry() `pod` is what is tried next time.
  void park(const PodPtr& pod, std::vector<Plugin*> rejected_by, Events also = 0);
  // After an error (API, binding): try again after backoff.
  void retry(const PodPtr& pod);
  // A node is chosen: what happens from now on does not concern it.
  void binding(std::string_view uid);
  // The pod has its node.
  struct Waited {
    int attempts = 0;
    TimePoint first_attempt;
    bool flushed = false;  // it was only tried because five minutes were over
  };
  Waited done(std::string_view uid);

  // Something happened that may help: moves the pods whose plugins think so.
  void on_event(const Event& event);
  // Moves a pod to the active ones, whatever it waits for.
  void activate(std::string_view uid);
  // Asks again whether a pod that was not let in may be tried.
  void ask_again(std::string_view uid);
  // Moves those whose backoff is over; and those that have waited for five minutes.
  void flush();

  size_t active() const { return active_.size(); }
  size_t backing_off() const { return backoff_.size(); }
  size_t unschedulable() const { return parked_count_ - gated_count_; }
  size_t gated() const { return gated_count_; }

 private:
  struct Order {
    int32_t priority;
    TimePoint since;
    uint64_t sequence;
    bool operator<(const Order& o) const {
      if (priority != o.priority) return priority > o.priority;
      if (since != o.since) return since < o.since;
      return sequence < o.sequence;
    }
  };
  enum class Where : uint8_t { kActive, kBackoff, kParked, kInFlight, kBinding };
  struct Entry {
    PodPtr pod;
    Where where = Where::kActive;
    bool gated = false;   // parked, because a plugin does not let it in
    bool failed = false;  // backs off for an error
    bool flushed = false;
    Order order;
    int attempts = 0;
    TimePoint last_attempt, first_attempt;
    std::vector<Plugin*> rejected_by;
    Events waits_for = kAnyEvent;
    TimePoint parked_at;
    TimePoint backoff_until;
  };
  Duration backoff_of(const Entry& e) const;
  void leave(Entry& e);
  bool let_in(Entry& e, std::string_view event);
  void make_active(Entry& e, std::string_view event);
  void back_off_or_activate(Entry& e, std::string_view event);
  void put_aside(Entry& e, std::string_view event);
  static bool helps(const Entry& e, const Event& event);
  Entry& take_next();

  Loop& loop_;
  QueueOptions options_;
  std::unordered_map<std::string, Entry, TextHash, std::equal_to<>> entries_;  // by uid
  std::map<Order, Entry*> active_;
  std::map<std::pair<TimePoint, uint64_t>, Entry*> backoff_;
  // By what they wait for: a change that concerns nobody costs a look at a few words.
  std::map<Events, std::map<uint64_t, Entry*>> parked_;
  size_t parked_count_ = 0, gated_count_ = 0;
  // Changes that came while a decision was under way count for it too, or they would be missed.
  std::map<std::string, Events, std::less<>> missed_;
  uint64_t sequence_ = 0;
  WaitList waiting_;
};

}  // namespace keles::scheduler
