#include "base/sim_loop.h"

namespace keles {

SimLoop::SimLoop(uint64_t seed, WallTime start) : wall_offset_(start.ns), random_(seed) {}

void SimLoop::post(std::function<void()> fn) {
  std::lock_guard lock(mutex_);
  ready_.push_back(std::move(fn));
}

TimerId SimLoop::schedule(TimePoint when, std::function<void()> fn) {
  TimerId id = ++last_;
  timers_.emplace(std::pair(when, id), std::move(fn));
  due_.emplace(id, when);
  return id;
}

void SimLoop::cancel(TimerId id) {
  auto it = due_.find(id);
  if (it == due_.end()) return;
  timers_.erase({it->second, id});
  due_.erase(it);
}

size_t SimLoop::run_ready(size_t limit) {
  size_t n = 0;
  while (n < limit) {
    std::function<void()> fn;
    {
      std::lock_guard lock(mutex_);
      if (ready_.empty()) break;
      fn = std::move(ready_.front());
      ready_.pop_front();
    }
    ++n;
    ++steps_;
    fn();
  }
  return n;
}

bool SimLoop::step() {
  if (run_ready(1)) return true;
  if (timers_.empty()) return false;
  auto it = timers_.begin();
  if (it->first.first > now_) now_ = it->first.first;
  auto fn = std::move(it->second);
  due_.erase(it->first.second);
  timers_.erase(it);
  ++steps_;
  fn();
  return true;
}

void SimLoop::advance(Duration d) {
  TimePoint end = now_ + d;
  for (;;) {
    run_ready();
    if (timers_.empty() || timers_.begin()->first.first > end) break;
    step();
  }
  now_ = end;
}

bool SimLoop::run_until(const std::function<bool()>& done, Duration limit) {
  TimePoint end = now_ + limit;
  for (;;) {
    if (done()) return true;
    if (run_ready(1)) continue;
    if (timers_.empty() || timers_.begin()->first.first > end) {
      now_ = end;
      return done();
    }
    step();
  }
}

}  // namespace keles
