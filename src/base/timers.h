// Timers of one loop: callbacks by the time at which they are due.
//
// Nearly all are taken back before they are due (deadlines of requests that were answered): taking
// one back costs no search, and what is left of it is thrown away with many others later.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/loop.h"

namespace keles {

class Timers {
 public:
  // Those due at the same time are in the order in which they were added.
  TimerId add(TimePoint when, std::function<void()> fn);
  // One that has been taken, or was never there, is ignored.
  void cancel(TimerId id);
  // When the next is due.
  std::optional<TimePoint> next();
  // Takes the next callback due at `now`, of the first `made` that were added; null: there is none.
  std::function<void()> take(TimePoint now, uint64_t made);
  uint64_t made() const { return made_; }
  size_t size() const { return live_; }
  // Bookkeeping of timers that were taken back: at most as much again as of those there are.
  size_t stale() const { return heap_.size() - live_; }

 private:
  struct Slot {
    std::function<void()> fn;
    uint64_t order = 0;       // of the timer in it; 0: free
    uint32_t generation = 0;  // tells a timer's id from those of others that had this slot
  };
  struct Entry {
    TimePoint when;
    uint64_t order;
    uint32_t slot;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.when != b.when ? a.when > b.when : a.order > b.order;
  }
  bool live(const Entry& e) const { return slots_[e.slot].order == e.order; }
  std::function<void()> free_slot(uint32_t at);
  void drop_first();

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::vector<Entry> heap_;  // the earliest first; those of freed slots are stale
  size_t live_ = 0;
  uint64_t made_ = 0;
};

}  // namespace keles
