// What a priority level remembers of itself: histograms of events, histograms of time, and how much
// was asked for since somebody looked. Plain values, under the lock of who owns them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/loop.h"

namespace keles::flow {

inline double in_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

inline constexpr std::array<double, 8> kQueueLengths{0, 10, 25, 50, 100, 250, 500, 1000};
inline constexpr std::array<double, 13> kSeconds{0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5,
                                                 1, 2,     5,    10,   15,  30};
inline constexpr std::array<double, 6> kWatchCounts{0, 1, 10, 100, 1000, 10000};
inline constexpr std::array<double, 8> kSeatCounts{1, 2, 4, 8, 16, 32, 64, 100};
inline constexpr std::array<double, 13> kSeatParts{0,   0.1, 0.2, 0.3,  0.4,  0.5, 0.6,
                                                   0.7, 0.8, 0.9, 0.95, 0.99, 1};
inline constexpr std::array<double, 10> kRequestParts{0,   0.001, 0.003, 0.01, 0.03,
                                                      0.1, 0.25,  0.5,   0.75, 1};
inline constexpr std::array<double, 15> kReadWriteParts{0,   0.001, 0.01, 0.1, 0.2,  0.3,  0.4, 0.5,
                                                        0.6, 0.7,   0.8,  0.9, 0.95, 0.99, 1};
inline constexpr std::array<double, 12> kDemandParts{0.2, 0.4, 0.6, 0.8, 1, 1.2,
                                                     1.4, 1.7, 2,   2.8, 4, 6};
inline constexpr size_t kMostBounds = 15;

// Observations by size, each with a weight: 1, or the nanoseconds that it lasted.
class Counts {
 public:
  explicit Counts(std::span<const double> bounds) : bounds_(bounds) {}
  void observe(double x, uint64_t weight = 1) {
    const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), x) - bounds_.begin();
    counts_[static_cast<size_t>(at)] += weight;
    sum_ += x * static_cast<double>(weight);
    any_ = true;
  }
  std::span<const double> bounds() const { return bounds_; }
  uint64_t count(size_t i) const { return counts_[i]; }  // above bound i-1, up to bound i
  double sum() const { return sum_; }
  bool any() const { return any_; }

 private:
  std::span<const double> bounds_;
  std::array<uint64_t, kMostBounds + 1> counts_{};
  double sum_ = 0;
  bool any_ = false;
};

// A number over time as a part of another: for how many nanoseconds it was how much of it.
class Gauge {
 public:
  Gauge(std::span<const double> bounds, TimePoint now) : counts_(bounds), since_(now) {}
  void set(double x, TimePoint now) {
    note(now);
    x_ = x;
  }
  void add(double d, TimePoint now) { set(x_ + d, now); }
  void set_whole(double whole, TimePoint now) {
    note(now);
    whole_ = whole > 0 ? whole : 1;
  }
  const Counts& counts() const { return counts_; }

 private:
  void note(TimePoint now) {
    if (now > since_) counts_.observe(x_ / whole_, static_cast<uint64_t>((now - since_).count()));
    since_ = now;
  }
  Counts counts_;
  TimePoint since_;
  double x_ = 0, whole_ = 1;
};

// The mean, deviation and peak of a number over the time since take().
class Integrator {
 public:
  struct Results {
    double seconds = 0, average = 0, deviation = 0, max = 0;
  };
  explicit Integrator(TimePoint now) : since_(now) {}
  void set(double x, TimePoint now) {
    note(now);
    x_ = x;
    max_ = std::max(max_, x);
  }
  Results take(TimePoint now) {
    note(now);
    Results out;
    out.seconds = seconds_;
    out.max = max_;
    if (seconds_ > 0) {
      out.average = sum_ / seconds_;
      out.deviation = std::sqrt(std::max(0.0, squares_ / seconds_ - out.average * out.average));
    }
    seconds_ = sum_ = squares_ = 0;
    max_ = x_;
    return out;
  }

 private:
  void note(TimePoint now) {
    if (now <= since_) return;
    const double dt = in_seconds(now - since_);
    since_ = now;
    seconds_ += dt;
    sum_ += x_ * dt;
    squares_ += x_ * x_ * dt;
  }
  TimePoint since_;
  double x_ = 0, max_ = 0, seconds_ = 0, sum_ = 0, squares_ = 0;
};

// Of one flow schema at one level.
struct SchemaStats {
  uint64_t dispatched = 0, over_limit = 0, queue_full = 0, timed_out = 0, no_room = 0;
  int64_t waiting = 0, waiting_seats = 0, executing = 0, executing_seats = 0;
  Counts queue_length{kQueueLengths};
  Counts waited{kSeconds}, waited_in_vain{kSeconds};
  Counts executed{kSeconds}, watch_started{kSeconds};
  Counts watchers{kWatchCounts};
  Counts seats{kSeatCounts};
};

}  // namespace keles::flow
