// Time and duration texts of the API: RFC 3339 for Time and MicroTime, Go's duration text for
// Duration, and the short age that `kubectl get` shows. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/status.h"

namespace keles {

// A moment of any year from 0 to 9999, as Time and MicroTime have it: seconds since 1970 and
// nanoseconds after them.
struct Instant {
  int64_t seconds = 0;
  int64_t nanos = 0;  // 0 to 999,999,999
  auto operator<=>(const Instant&) const = default;
};
inline constexpr int64_t kFirstSecond = -62'167'219'200;  // 0000-01-01T00:00:00Z
inline constexpr int64_t kLastSecond = 253'402'300'799;   // 9999-12-31T23:59:59Z
// Go's zero time, 0001-01-01T00:00:00Z, which upstream writes as null.
inline constexpr Instant kZeroTime{-62'135'596'800, 0};

// As parse_time, to the whole range.
Result<Instant> parse_instant(std::string_view text);
std::string format_time(Instant t);
std::string format_micro_time(Instant t);

// RFC 3339 with an optional fraction ("2006-01-02T15:04:05.9Z", "...+02:00"). The error is worded
// as upstream's: parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006".
// A time before 1811 or after 2255 becomes the nearest one within, so that differences do not
// overflow; what is to be kept exactly takes parse_instant.
Result<WallTime> parse_time(std::string_view text);
// "2006-01-02T15:04:05Z"; the fraction is dropped (Time).
std::string format_time(WallTime t);
// "2006-01-02T15:04:05.000000Z" (MicroTime).
std::string format_micro_time(WallTime t);

// Go's duration text: "1h2m3.5s", "-300ms", "0". Errors are Go's (time: invalid duration "x").
Result<Duration> parse_duration(std::string_view text);
// As Go's Duration.String(): "1h2m3.5s", "1.5ms", "0s".
std::string format_duration(Duration d);

// The age column: "12s", "3m4s", "25m", "5h10m", "3d4h", "100d", "3y12d"; "<invalid>" when it lies
// more than a second in the future.
std::string human_duration(Duration d);
// As human_duration of the time from `since` (RFC 3339) to `now`; "<unknown>" when it is empty.
std::string human_age(std::string_view since, WallTime now);

}  // namespace keles
