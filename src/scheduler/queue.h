// SchedulingQueue: pods that want a node. Active (highest priority, then oldest, first), backing
// off (1 s doubling to 10 s, as upstream), or unschedulable: waiting for an event that one of the
// plugins that rejected them names, five minutes at most.
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

class SchedulingQueue {
 public:
  explicit SchedulingQueue(Loop& loop) : loop_(loop) {}

  void add(PodPtr pod);
  // The pod object changed while it waits; an unschedulable pod gets another try if `worth_a_try`.
  void update(PodPtr pod, bool worth_a_try);
  void remove(std::string_view uid);

  Task<Result<PodPtr>> next(Context ctx);
  bool has_ready() const { return !active_.empty(); }
  // After a decision that found no node: wait for one of `events`.
  void park(PodPtr pod, uint32_t events);
  // After an error (API, binding): try again after backoff.
  void retry(PodPtr pod);
  // The pod has its node.
  void done(std::string_view uid);

  // Something happened that may help: moves the pods that wait for it.
  void on_event(uint32_t events);
  // Moves those whose backoff is over; and those that have waited for five minutes.
  void flush();

  size_t active() const { return active_.size(); }
  size_t backing_off() const { return backoff_.size(); }
  size_t unschedulable() const { return parked_.size(); }

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
  enum class Where { kActive, kBackoff, kParked, kInFlight };
  struct Entry {
    PodPtr pod;
    Where where;
    Order order;
    int attempts = 0;
    TimePoint last_attempt;
    uint32_t waits_for = kAnyEvent;
    TimePoint parked_at;
  };
  Duration backoff_of(const Entry& e) const;
  void leave(Entry& e);
  void activate(Entry& e);
  void back_off_or_activate(Entry& e);

  Loop& loop_;
  std::unordered_map<std::string, Entry, TextHash, std::equal_to<>> entries_;  // by uid
  std::map<Order, std::string> active_;
  std::map<std::pair<TimePoint, uint64_t>, std::string> backoff_;
  std::set<std::string, std::less<>> parked_;
  // Events that came while a decision was under way count for it too, or they would be missed.
  std::map<std::string, uint32_t, std::less<>> missed_;
  uint64_t sequence_ = 0;
  WaitList waiting_;
};

}  // namespace keles::scheduler
