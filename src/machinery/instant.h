// A moment of any year from 0 to 9999, as Time and MicroTime have it (time.h computes with those
// that a WallTime holds). Pure functions, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles {

struct Instant {
  int64_t seconds = 0;  // since 1970
  int64_t nanos = 0;    // 0 to 999,999,999, after them
  auto operator<=>(const Instant&) const = default;
};
inline constexpr int64_t kFirstSecond = -62'167'219'200;  // 0000-01-01T00:00:00Z
inline constexpr int64_t kLastSecond = 253'402'300'799;   // 9999-12-31T23:59:59Z
// Go's zero time, 0001-01-01T00:00:00Z, which upstream writes as null.
inline constexpr Instant kZeroTime{-62'135'596'800, 0};

// As parse_time, which gives the nearest time between 1811 and 2255, so that differences do not
// overflow; what is to be kept exactly is parsed by this.
Result<Instant> parse_instant(std::string_view text);
std::string format_time(Instant t);
std::string format_micro_time(Instant t);

}  // namespace keles
