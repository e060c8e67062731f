// SimLoop: virtual time, one thread, one seed. Time moves only when nothing is ready to run.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "base/loop.h"

namespace keles {

class SimLoop final : public Loop {
 public:
  explicit SimLoop(uint64_t seed, WallTime start = {1'700'000'000'000'000'000});
  TimePoint now() const override { return now_; }
  WallTime wall_now() const override { return {wall_offset_ + now_.ns}; }
  Random& random() override { return random_; }
  void post(std::function<void()> fn) override;
  TimerId schedule(TimePoint when, std::function<void()> fn) override;
  void cancel(TimerId id) override;
  bool in_loop_thread() const override { return true; }

  // Runs what is ready, without moving time. Returns the number of callbacks run.
  size_t run_ready(size_t limit = SIZE_MAX);
  // Runs everything that falls due until `d` from now has passed.
  void advance(Duration d);
  // Runs until `done` holds or `limit` of virtual time has passed; says whether it held.
  bool run_until(const std::function<bool()>& done, Duration limit);
  // The wall clock jumps; the monotonic one does not.
  void jump_wall(Duration d) { wall_offset_ += d.count(); }
  bool idle() const { return ready_.empty() && timers_.empty(); }
  uint64_t steps() const { return steps_; }

 private:
  bool step();  // one callback or one timer; false when there is nothing at all
  TimePoint now_{0};
  int64_t wall_offset_;
  Random random_;
  std::mutex mutex_;  // run_blocking() posts from the pool
  std::deque<std::function<void()>> ready_;
  TimerId last_ = 0;
  uint64_t steps_ = 0;
  std::map<std::pair<TimePoint, TimerId>, std::function<void()>> timers_;
  std::map<TimerId, TimePoint> due_;
};

}  // namespace keles
