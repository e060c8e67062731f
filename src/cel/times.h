// Moments and spans of time as CEL has them: texts, calendar fields in a time zone, arithmetic that
// tells overflow. Moments lie between the years 1 and 9999, spans in 64 bits of nanoseconds.
// Pure but for the system's time zones, which are read once each; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cel/val.h"
#include "machinery/instant.h"

namespace keles::cel {

struct ZonedTime {
  Instant at;
  int64_t offset = 0;  // seconds east of UTC
};

inline constexpr int64_t kFirstMoment = -62'135'596'800, kLastMoment = 253'402'300'799;

// RFC 3339, as Go reads it. An error for what is no time, or beyond CEL's years.
bool parse_rfc3339(std::string_view text, ZonedTime& out);
// RFC 3339 with as many digits as the fraction has.
std::string format_time(const ZonedTime& t);
// As formats "date", "date-time" and "duration" of a schema take them.
bool parse_date(std::string_view text, ZonedTime& out);
bool parse_schema_time(std::string_view text, ZonedTime& out);
bool parse_schema_duration(std::string_view text, int64_t& nanos);
// "1h2m0s".
std::string format_go_duration(int64_t nanos);
// "3720s": how CEL's string() writes it.
std::string format_seconds(int64_t nanos);

struct Calendar {
  int64_t year;
  int month;        // 0 to 11
  int day;          // 1 to 31
  int day_of_year;  // 0 to 365
  int day_of_week;  // 0: Sunday
  int hour, minute, second;
};
Calendar calendar(int64_t seconds);

// Seconds east of UTC at that moment of "UTC", "Europe/Berlin", "-08:00", "02:00".
Result<int64_t> zone_offset(std::string_view zone, int64_t seconds);

// Of timestamps; errors are overflows.
Val add_duration(const Val& timestamp, int64_t nanos);
Val difference(const Val& a, const Val& b);

}  // namespace keles::cel
