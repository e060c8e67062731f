// How long a thread has compared old values with new ones to let pass what was wrong before
// (ratcheting, KEP-4008): upstream has a metric of it. It decides nothing, so it is the processor's
// clock that tells, in the simulator too.
#pragma once

#include <chrono>

namespace keles {

class RatchetTime {
 public:
  RatchetTime() : began_(Clock::now()) {}
  ~RatchetTime() { sum() += Clock::now() - began_; }
  RatchetTime(const RatchetTime&) = delete;
  RatchetTime& operator=(const RatchetTime&) = delete;

  // Seconds on this thread since it was last asked.
  static double take() {
    const std::chrono::duration<double> seconds = sum();
    sum() = {};
    return seconds.count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static Clock::duration& sum() {
    thread_local Clock::duration all{};
    return all;
  }
  Clock::time_point began_;
};

}  // namespace keles
