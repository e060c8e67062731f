#include "machinery/time.h"

#include <gtest/gtest.h>

#include "machinery/instant.h"

namespace keles {
namespace {

TEST(Time, RoundTrip) {
  for (const char* s : {"1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "1999-12-31T12:00:01Z",
                        "1901-01-01T00:00:00Z", "2200-06-15T01:02:03Z"}) {
    auto t = parse_time(s);
    ASSERT_TRUE(t.ok()) << s;
    EXPECT_EQ(format_time(*t), s);
  }
  EXPECT_EQ(format_time(*parse_time("2024-01-01T02:00:00+02:00")), "2024-01-01T00:00:00Z");
  EXPECT_EQ(format_micro_time(*parse_time("2024-01-01T00:00:00.1234567Z")),
            "2024-01-01T00:00:00.123456Z");
  EXPECT_EQ(parse_time("2024-01-01T00:00:00Z")->unix_seconds(), 1704067200);
}

TEST(Time, AnyYear) {
  for (const char* s : {"0000-01-01T00:00:00Z", "0001-01-01T00:00:02Z", "1582-10-15T12:00:00Z",
                        "1677-01-01T00:00:00Z", "2263-06-15T01:02:03Z", "9999-12-31T23:59:59Z"}) {
    auto t = parse_instant(s);
    ASSERT_TRUE(t.ok()) << s;
    EXPECT_EQ(format_time(*t), s);
    ASSERT_TRUE(parse_time(s).ok()) << s;
  }
  EXPECT_EQ(parse_instant("0001-01-01T00:00:00Z").value_or({}), kZeroTime);
  EXPECT_EQ(parse_instant("0000-01-01T00:00:00Z").value_or({}).seconds, kFirstSecond);
  EXPECT_EQ(parse_instant("9999-12-31T23:59:59Z").value_or({}).seconds, kLastSecond);
  EXPECT_EQ(format_micro_time(*parse_instant("0001-01-01T00:00:02.000001Z")),
            "0001-01-01T00:00:02.000001Z");
  // Differences with any present do not overflow.
  WallTime now = *parse_time("2100-01-01T00:00:00Z");
  EXPECT_GT(now - *parse_time("0001-01-01T00:00:00Z"), 0s);
  EXPECT_LT(now - *parse_time("9999-01-01T00:00:00Z"), 0s);
  EXPECT_FALSE(parse_instant("9999-12-31T23:59:59-10:00").ok());
}

TEST(Time, Errors) {
  EXPECT_EQ(parse_time("x").status().message(),
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"");
  EXPECT_EQ(parse_time("2024-13-01T00:00:00Z").status().message(),
            "parsing time \"2024-13-01T00:00:00Z\": month out of range");
  for (const char* s : {"", "2024-02-30T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00",
                        "2024-01-01T00:00:00Zx", "2024-01-01T25:00:00Z"}) {
    EXPECT_FALSE(parse_time(s).ok()) << s;
  }
}

TEST(Time, GoDurations) {
  EXPECT_EQ(*parse_duration("1h2m3.5s"), 3723500ms);
  EXPECT_EQ(*parse_duration("-1.5h"), -90min);
  EXPECT_EQ(*parse_duration("0"), 0s);
  EXPECT_EQ(*parse_duration("100ms"), 100ms);
  EXPECT_EQ(parse_duration("1").status().message(), "time: missing unit in duration \"1\"");
  EXPECT_EQ(parse_duration("1x").status().message(), "time: unknown unit \"x\" in duration \"1x\"");
  EXPECT_EQ(parse_duration("").status().message(), "time: invalid duration \"\"");
  EXPECT_EQ(format_duration(3723500ms), "1h2m3.5s");
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(1500us), "1.5ms");
  EXPECT_EQ(format_duration(5min), "5m0s");
  EXPECT_EQ(format_duration(-1h), "-1h0m0s");
}

TEST(Time, HumanDuration) {
  EXPECT_EQ(human_duration(5s), "5s");
  EXPECT_EQ(human_duration(119s), "119s");
  EXPECT_EQ(human_duration(2min), "2m");
  EXPECT_EQ(human_duration(125s), "2m5s");
  EXPECT_EQ(human_duration(15min), "15m");
  EXPECT_EQ(human_duration(3h), "3h");
  EXPECT_EQ(human_duration(3h + 5min), "3h5m");
  EXPECT_EQ(human_duration(47h), "47h");
  EXPECT_EQ(human_duration(50h), "2d2h");
  EXPECT_EQ(human_duration(24h * 10), "10d");
  EXPECT_EQ(human_duration(24h * 800), "2y70d");
  EXPECT_EQ(human_duration(-5s), "<invalid>");
  EXPECT_EQ(human_duration(-1s), "0s");
}

}  // namespace
}  // namespace keles
