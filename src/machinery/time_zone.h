// Time zones: how far a place is from UTC at a moment, as the system's database of zones has it
// (/usr/share/zoneinfo; RFC 9636), with the rule for what lies after its last entry. It is read
// here and not by the standard library, which has no zones in GCC 12. Immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles {

class TimeZone {
 public:
  // A file of the database, of at most 64 KB. Errors say what is wrong with it.
  static Result<TimeZone> parse(std::string_view tzif);
  // UTC.
  TimeZone() = default;

  // Seconds east of UTC at that moment (seconds since 1970, UTC).
  int64_t offset(int64_t seconds) const;
  // The first moment at which the clocks of the place show this local time (seconds since 1970 as
  // if in UTC) or, when they skip it, a later one.
  int64_t first_moment(int64_t local_seconds) const;

 private:
  struct Change {
    int64_t from, offset;
  };
  // One of the two days of the year on which a rule changes the clocks.
  struct RuleDay {
    enum class Form : uint8_t { kMonthWeekDay, kJulian, kDayOfYear } form = Form::kMonthWeekDay;
    int month = 1, week = 1, day = 0;
    int64_t time = 7200;  // seconds of local time into that day; may lie in others
    int64_t in_year(int64_t year) const;
  };
  // What a POSIX TZ text says of the time after the last change.
  struct Rule {
    int64_t standard = 0, summer = 0;
    bool has_summer = false;
    RuleDay start, end;
    int64_t offset(int64_t seconds) const;
  };
  class RuleText;
  std::vector<Change> changes_;
  int64_t first_ = 0;  // before any change
  std::optional<Rule> rule_;
};

// The zone of that name ("UTC", "Europe/Berlin"; "" is UTC); null when the system knows none. Each
// is read once; 64 are kept, of some KB each.
std::shared_ptr<const TimeZone> find_time_zone(std::string_view name);
// Whether the system has the database at all.
bool has_time_zones();

}  // namespace keles
