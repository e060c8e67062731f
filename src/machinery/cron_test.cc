#include "machinery/cron.h"

#include <gtest/gtest.h>

#include "machinery/time.h"

namespace keles {
namespace {

std::string next(const std::string& schedule, const std::string& after, const TimeZone& zone) {
  auto s = CronSchedule::parse(schedule);
  if (!s.ok()) return s.status().message();
  auto t = s->next(*parse_time(after), zone);
  return t ? format_time(*t) : "never";
}

TEST(CronSchedule, FiresAtTheNextMomentThatFits) {
  struct Case {
    const char *schedule, *after, *expected;
  };
  const Case cases[] = {
      {"* * * * *", "2026-01-01T12:00:00Z", "2026-01-01T12:01:00Z"},
      {"* * * * *", "2026-01-01T12:00:59.5Z", "2026-01-01T12:01:00Z"},
      {"*/15 * * * *", "2026-01-01T12:46:00Z", "2026-01-01T13:00:00Z"},
      {"5/20 * * * *", "2026-01-01T12:26:00Z", "2026-01-01T12:45:00Z"},
      {"0 6-16/4 * * 1-5", "2026-01-02T14:00:00Z", "2026-01-05T06:00:00Z"},  // over the weekend
      {"30 4 1,15 * *", "2026-01-15T04:30:00Z", "2026-02-01T04:30:00Z"},
      {"30 4 1,15 * 5", "2026-01-15T04:30:00Z", "2026-01-16T04:30:00Z"},  // either day
      {"30 4 */2 * 5", "2026-01-15T04:30:00Z", "2026-01-16T04:30:00Z"},
      {"30 4 */1 * 5", "2026-01-15T04:30:00Z", "2026-01-16T04:30:00Z"},  // a star: both
      {"0 0 31 * ?", "2026-02-01T00:00:00Z", "2026-03-31T00:00:00Z"},
      {"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
      {"59 23 31 2 *", "2026-01-01T00:00:00Z", "never"},
      {", * * * *", "2026-01-01T00:00:00Z", "never"},
      {"0 0 * DEC sun", "2026-01-01T00:00:00Z", "2026-12-06T00:00:00Z"},
      {"@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
      {"@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
      {"@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"},
      {"@midnight", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
      {"@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"},
      {"@every 90m", "2026-01-01T00:00:00.25Z", "2026-01-01T01:30:00Z"},
      {"@every 1ms", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"},
      {"@every 2540400h", "2026-01-01T00:00:00Z", "never"},
      {" 0\t12 * * * ", "2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z"},
      {"TZ=UTC 0 12 * * *", "2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(next(c.schedule, c.after, TimeZone()), c.expected) << c.schedule << " " << c.after;
  }
}

TEST(CronSchedule, SaysWhatIsWrong) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "empty spec string"},
      {"* * *", "expected exactly 5 fields, found 3: [* * *]"},
      {"60 * * * *", "end of range (60) above maximum (59): 60"},
      {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
      {"* * * * 7", "end of range (7) above maximum (6): 7"},
      {"5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"},
      {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
      {"1/2/3 * * * *", "too many slashes: 1/2/3"},
      {"*/0 * * * *", "step of range should be a positive number: */0"},
      {"x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
      {"-1 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"},
      {"99999999999999999999 * * * *",
       "failed to parse int from 99999999999999999999: strconv.Atoi: parsing "
       "\"99999999999999999999\": value out of range"},
      {"@often", "unrecognized descriptor: @often"},
      {"@every x", "failed to parse duration @every x: time: invalid duration \"x\""},
      {"TZ=0", "invalid schedule format: nothing follows the time zone"},
      {"TZ=No/Where 0 * * * *", "provided bad location No/Where: unknown time zone No/Where"},
      {std::string(1025, '*'), "the schedule is longer than 1024 characters"},
  };
  for (const auto& [schedule, why] : cases) {
    EXPECT_EQ(next(schedule, "2026-01-01T00:00:00Z", TimeZone()), why) << schedule;
  }
}

std::vector<std::string> fired(const std::string& schedule, const std::string& from,
                               const std::string& until, const TimeZone& zone) {
  std::vector<std::string> out;
  auto s = CronSchedule::parse(schedule);
  for (auto t = s->next(*parse_time(from), zone); t && *t < *parse_time(until);) {
    out.push_back(format_time(*t).substr(5, 11));
    t = s->next(*t, zone);
  }
  return out;
}

TEST(CronSchedule, GoesByTheClocksOfItsZone) {
  if (!has_time_zones()) GTEST_SKIP() << "this machine has no zones";
  using Times = std::vector<std::string>;
  const TimeZone& berlin = *find_time_zone("Europe/Berlin");
  // The clocks skip 02:30 on the 29th of March: not that day.
  EXPECT_EQ(fired("30 2 * * *", "2026-03-27T12:00:00Z", "2026-03-31T00:00:00Z", berlin),
            (Times{"03-28T01:30", "03-30T00:30"}));
  // They show 02:30 twice on the 25th of October.
  EXPECT_EQ(fired("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", berlin),
            (Times{"10-25T00:30", "10-25T01:30", "10-26T01:30"}));
  EXPECT_EQ(fired("0 */6 * * *", "2026-03-28T22:30:00Z", "2026-03-29T23:00:00Z", berlin),
            (Times{"03-28T23:00", "03-29T04:00", "03-29T10:00", "03-29T16:00", "03-29T22:00"}));
  // Where midnight was skipped (Sao Paulo, 4th of November 2018).
  EXPECT_EQ(fired("0 0 * * *", "2018-11-02T12:00:00Z", "2018-11-05T12:00:00Z",
                  *find_time_zone("America/Sao_Paulo")),
            (Times{"11-03T03:00", "11-05T02:00"}));
}

// Through a year, against a walk over all its minutes.
TEST(CronSchedule, LeavesNothingOutOfAYear) {
  if (!has_time_zones()) GTEST_SKIP() << "this machine has no zones";
  for (const char* name : {"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"}) {
    const TimeZone& zone = *find_time_zone(name);
    size_t walked = 0;
    for (int64_t t = parse_time("2026-01-01T00:01:00Z")->ns / 1'000'000'000;
         t < parse_time("2027-01-01T00:00:00Z")->ns / 1'000'000'000; t += 60) {
      const int64_t local = t + zone.offset(t);
      const int64_t weekday = (local / 86400 + 4) % 7;
      walked += local % 3600 == 45 * 60 && local / 3600 % 24 < 4 && weekday > 0 && weekday < 6;
    }
    EXPECT_EQ(
        fired("45 0-3 * * mon-fri", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", zone).size(),
        walked)
        << name;
  }
}

}  // namespace
}  // namespace keles
