// Work: what a request costs, in seats held for a time. Values; any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "base/loop.h"

namespace keles::flow {

// Seat-seconds, in units of 10 ns of one seat (upstream's fixed point, 1e8 to the second). Sums of
// it wrap around only after years: QueueSet moves its origin before that.
using SeatSeconds = uint64_t;
inline constexpr double kSeatScale = 1e8;

inline SeatSeconds seat_seconds(double seats, Duration d) {
  const double units = seats * static_cast<double>(d.count()) / (1e9 / kSeatScale);
  return static_cast<SeatSeconds>(static_cast<int64_t>(std::llround(units)));
}
inline double to_double(SeatSeconds s) { return static_cast<double>(s) / kSeatScale; }
// How long `seats` seats are held for that much.
inline Duration per_seat(SeatSeconds s, double seats) {
  return Duration(static_cast<int64_t>(static_cast<double>(s) / seats * (1e9 / kSeatScale)));
}
// "12.00000345ss"
std::string to_text(SeatSeconds s);

// What a request is expected to take: `seats` while it is worked on, then `final_seats` for `extra`
// longer (watchers being told), which the client does not wait for.
struct Work {
  uint64_t seats = 1, final_seats = 0;
  Duration extra{};
  uint64_t widest() const { return seats >= final_seats ? seats : final_seats; }
};

}  // namespace keles::flow
