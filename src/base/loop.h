// Loop: the one source of time, chance and scheduling. Everything above base/ gets time, random
// numbers, timers and its turn to run from a Loop, so that the simulator can supply them all.
//
// A Loop runs callbacks one at a time on one thread. post() may be called from any thread; every
// other member only from the loop's own thread (or before run()). Timers that fall due at the same
// instant run in the order in which they were made.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/random.h"

namespace keles {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;  // 5s, 10ms

// Monotonic instant; the epoch is arbitrary.
struct TimePoint {
  int64_t ns = 0;
  auto operator<=>(const TimePoint&) const = default;
  TimePoint operator+(Duration d) const { return {ns + d.count()}; }
  TimePoint operator-(Duration d) const { return {ns - d.count()}; }
  Duration operator-(TimePoint o) const { return Duration(ns - o.ns); }
  static constexpr TimePoint max() { return {INT64_MAX}; }
};

// Wall-clock instant, nanoseconds since the Unix epoch (UTC). It can jump.
struct WallTime {
  int64_t ns = 0;
  auto operator<=>(const WallTime&) const = default;
  WallTime operator+(Duration d) const { return {ns + d.count()}; }
  WallTime operator-(Duration d) const { return {ns - d.count()}; }
  Duration operator-(WallTime o) const { return Duration(ns - o.ns); }
  int64_t unix_seconds() const { return ns / 1'000'000'000; }
};

using TimerId = uint64_t;  // 0 is never a timer

class Loop {
 public:
  virtual ~Loop() = default;
  virtual TimePoint now() const = 0;
  virtual WallTime wall_now() const = 0;
  virtual Random& random() = 0;
  // Runs `fn` soon, after everything posted before it. Any thread.
  virtual void post(std::function<void()> fn) = 0;
  void resume_soon(std::coroutine_handle<> h) {
    post([h] { h.resume(); });
  }
  virtual TimerId schedule(TimePoint when, std::function<void()> fn) = 0;
  // A timer that has fired or was cancelled is ignored.
  virtual void cancel(TimerId id) = 0;
  virtual bool in_loop_thread() const = 0;
};

// A loop of this thread's own on the operating system's clock (Boost.Asio underneath).
class RealLoop : public Loop {
 public:
  // Runs until stop(); callbacks run on the calling thread.
  virtual void run() = 0;
  virtual void stop() = 0;  // any thread
};
std::unique_ptr<RealLoop> make_real_loop();

// Runs `fn` on a shared pool of a few threads and resumes the awaiting coroutine on its own loop:
// for work that blocks (disk, resolver, libraries). See base/task.h for run_blocking().
void post_to_pool(std::function<void()> fn);

}  // namespace keles
