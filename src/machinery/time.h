// Time and duration texts of the API: RFC 3339 for Time and MicroTime, Go's duration text for
// Duration, and the short age that `kubectl get` shows. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/status.h"

namespace keles {

// RFC 3339 with an optional fraction ("2006-01-02T15:04:05.9Z", "...+02:00"). The error is worded
// as upstream's: parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006".
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
