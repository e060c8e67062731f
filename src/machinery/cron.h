// Cron schedules as CronJob has them: five fields (minute, hour, day of the month, month, day of
// the week), a name such as @hourly, or "@every 90m", with an optional time zone in front
// ("TZ=Europe/Berlin 0 6 * * *"). What is accepted, what is refused with which words, and when they
// fire is as with upstream's parser (robfig/cron v3). Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/time_zone.h"

namespace keles {

class CronSchedule {
 public:
  // At most 1024 characters. The error's message is what is wrong.
  static Result<CronSchedule> parse(std::string_view text);
  // What stands behind "TZ=" or "CRON_TZ="; "" when nothing does.
  const std::string& zone() const { return zone_; }

  // The first moment after `t` at which it fires, by the clocks of the zone; none when there is no
  // such moment within five years (the 31st of February). When clocks are set forward, a time that
  // they skip is left out that day; when they are set back, one that they show twice fires twice.
  std::optional<WallTime> next(WallTime t, const TimeZone& zone) const;

 private:
  enum Field : uint8_t { kMinute, kHour, kDay, kMonth, kWeekday, kFields };
  Status parse_fields(std::string_view text);
  Status parse_name(std::string_view text);
  bool matches(Field f, unsigned value) const { return (bits_[f] >> value & 1) != 0; }
  bool matches_day(unsigned day, unsigned weekday) const;
  std::array<uint64_t, kFields> bits_{};
  std::array<bool, kFields> star_{};  // it was written as "*"
  Duration every_{0};                 // of "@every"; 0 otherwise
  std::string zone_;
};

}  // namespace keles
