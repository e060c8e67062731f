#include "machinery/time_zone.h"

#include <gtest/gtest.h>

#include "machinery/time.h"

namespace keles {
namespace {

int64_t at(std::string_view text) { return parse_time(text)->ns / 1'000'000'000; }

// One part of a TZif file: moments at which the type changes, and the types' offsets.
std::string part(char version, size_t width, const std::vector<std::pair<int64_t, int>>& changes,
                 const std::vector<int32_t>& offsets) {
  const auto number = [](int64_t v, size_t bytes) {
    std::string out;
    for (size_t i = bytes; i-- > 0;) out += static_cast<char>(v >> (8 * i) & 0xff);
    return out;
  };
  std::string out = std::string("TZif") + version + std::string(15, '\0');
  for (size_t n : {size_t{0}, size_t{0}, size_t{0}, changes.size(), offsets.size(), size_t{4}}) {
    out += number(static_cast<int64_t>(n), 4);
  }
  for (const auto& c : changes) out += number(c.first, width);
  for (const auto& c : changes) out += static_cast<char>(c.second);
  for (int32_t o : offsets) out += number(o, 4) + std::string(2, '\0');
  return out + std::string("LMT\0", 4);
}

std::string file(const std::string& footer) {
  return part('2', 4, {}, {0}) + part('2', 8, {{at("2000-01-01T00:00:00Z"), 1}}, {600, 3600}) +
         "\n" + footer + "\n";
}

TEST(TimeZone, HasTheOffsetsOfItsFileAndThenOfItsRule) {
  auto zone = TimeZone::parse(file("CET-1CEST,M3.5.0,M10.5.0/3"));
  ASSERT_TRUE(zone.ok()) << zone.status().to_string();
  const std::pair<const char*, int64_t> cases[] = {
      {"1999-12-31T23:59:59Z", 600},  // of the first type
      {"2000-01-01T00:00:00Z", 3600}, {"2026-03-29T00:59:59Z", 3600},
      {"2026-03-29T01:00:00Z", 7200}, {"2026-10-25T00:59:59Z", 7200},
      {"2026-10-25T01:00:00Z", 3600}, {"2100-07-01T00:00:00Z", 7200},
  };
  for (const auto& [when, offset] : cases) EXPECT_EQ(zone->offset(at(when)), offset) << when;
  // Half an hour is skipped, and shown twice.
  EXPECT_EQ(zone->first_moment(at("2026-03-29T02:30:00Z")), at("2026-03-29T01:00:00Z"));
  EXPECT_EQ(zone->first_moment(at("2026-10-25T02:30:00Z")), at("2026-10-25T00:30:00Z"));
  EXPECT_EQ(zone->first_moment(at("2026-07-01T00:00:00Z")), at("2026-06-30T22:00:00Z"));
}

TEST(TimeZone, ReadsEveryFormOfARule) {
  struct Case {
    const char *rule, *when;
    int64_t offset;  // -1: it cannot be read
  };
  const Case cases[] = {
      {"UTC0", "2026-07-01T00:00:00Z", 0},
      {"<+0330>-3:30", "2026-07-01T00:00:00Z", 12600},
      {"NZST-12NZDT,M9.5.0,M4.1.0/3", "2026-01-01T00:00:00Z", 13 * 3600},  // summer over New Year
      {"NZST-12NZDT,M9.5.0,M4.1.0/3", "2026-07-01T00:00:00Z", 12 * 3600},
      {"EST5EDT4,J60,J300", "2024-02-29T12:00:00Z", -5 * 3600},  // J60 is the 1st of March
      {"EST5EDT4,J60,J300", "2024-03-01T12:00:00Z", -4 * 3600},
      {"EST5EDT,59,300", "2024-02-29T12:00:00Z", -4 * 3600},
      {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -3600},
      {"X5", "2026-07-01T00:00:00Z", -1},
      {"EST5EDT", "2026-07-01T00:00:00Z", -1},
      {"EST5EDT,M13.1.0,M1.1.0", "2026-07-01T00:00:00Z", -1},
      {"EST5EDT,M3.1.0,M1.1.0 ", "2026-07-01T00:00:00Z", -1},
      {"EST25", "2026-07-01T00:00:00Z", -1},
  };
  for (const Case& c : cases) {
    auto zone = TimeZone::parse(file(c.rule));
    ASSERT_EQ(zone.ok(), c.offset != -1) << c.rule;
    if (!zone.ok()) continue;
    EXPECT_EQ(zone->offset(at(c.when)), c.offset) << c.rule << " " << c.when;
  }
}

TEST(TimeZone, RefusesWhatIsNoZone) {
  const std::string whole = file("CET-1");
  for (size_t n = 0; n < whole.size() - 7; ++n) {  // the footer may be missing
    EXPECT_FALSE(TimeZone::parse(whole.substr(0, n)).ok()) << n;
  }
  EXPECT_TRUE(TimeZone::parse(part('\0', 4, {{5, 1}}, {0, 60})).ok());           // an old file
  EXPECT_FALSE(TimeZone::parse(part('\0', 4, {{5, 1}, {5, 0}}, {0, 60})).ok());  // not in order
  EXPECT_FALSE(TimeZone::parse(part('\0', 4, {{5, 2}}, {0, 60})).ok());          // no such type
  EXPECT_FALSE(TimeZone::parse(part('\0', 4, {}, {100 * 3600})).ok());
}

TEST(FindTimeZone, StaysInItsFolder) {
  for (const char* name :
       {"../../etc/passwd", "/etc/localtime", "Europe", "No/Where", "a b", "."}) {
    EXPECT_EQ(find_time_zone(name), nullptr) << name;
  }
  EXPECT_EQ(find_time_zone("UTC")->offset(0), 0);
  if (!has_time_zones()) GTEST_SKIP() << "this machine has no zones";
  auto berlin = find_time_zone("Europe/Berlin");
  ASSERT_NE(berlin, nullptr);
  EXPECT_EQ(berlin->offset(at("2026-07-01T00:00:00Z")), 7200);
  EXPECT_EQ(berlin->offset(at("2090-01-01T00:00:00Z")), 3600);
}

}  // namespace
}  // namespace keles
