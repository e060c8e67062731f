#include "cel/times.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/loop.h"
#include "cel/libraries.h"
#include "cel/numbers.h"
#include "cel/run.h"
#include "machinery/time.h"
#include "machinery/time_zone.h"

namespace keles::cel {
namespace {

using Tag = Val::Tag;
constexpr int64_t kSecond = 1'000'000'000;

// Days since 1970 of a civil date, and back (H. Hinnant's algorithms, proleptic Gregorian).
int64_t days_of(int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

bool read_int(std::string_view s, int64_t& out) {
  if (s.starts_with('+')) s.remove_prefix(1);
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
  return error == std::errc() && end == s.data() + s.size();
}

// --- the library ---------------------------------------------------------------------------------

enum class Field : uint8_t {
  kYear,
  kMonth,
  kDayOfYear,
  kDayOfMonth,
  kDate,
  kDayOfWeek,
  kHours,
  kMinutes,
  kSeconds,
  kMilliseconds
};

template <Field kField>
Val field_in_zone(Run& run, std::span<const Val> args) {
  const Instant at = args[0].as_timestamp();
  int64_t offset = 0;
  if (args.size() == 2) {
    const Result<int64_t> zone = zone_offset(args[1].text(), at.seconds);
    if (!zone.ok()) return run.error(zone.status().message());
    offset = *zone;
  }
  const Calendar c = calendar(at.seconds + offset);
  switch (kField) {
    case Field::kYear:
      return Val::integer(c.year);
    case Field::kMonth:
      return Val::integer(c.month);
    case Field::kDayOfYear:
      return Val::integer(c.day_of_year);
    case Field::kDayOfMonth:
      return Val::integer(c.day - 1);
    case Field::kDate:
      return Val::integer(c.day);
    case Field::kDayOfWeek:
      return Val::integer(c.day_of_week);
    case Field::kHours:
      return Val::integer(c.hour);
    case Field::kMinutes:
      return Val::integer(c.minute);
    case Field::kSeconds:
      return Val::integer(c.second);
    case Field::kMilliseconds:
      return Val::integer(at.nanos / 1'000'000);
  }
  return no_such_overload();
}

template <int64_t kUnit>
Val span_in(Run&, std::span<const Val> args) {
  return Val::integer(args[0].as_int() / kUnit);
}

}  // namespace

// --- texts ---------------------------------------------------------------------------------------

bool parse_rfc3339(std::string_view text, ZonedTime& out) {
  const Result<Instant> at = parse_instant(text);
  if (!at.ok()) return false;
  out.at = *at;
  out.offset = 0;
  if (text.size() >= 6 && (text[text.size() - 6] == '+' || text[text.size() - 6] == '-')) {
    const std::string_view zone = text.substr(text.size() - 6);
    int64_t hours = 0, minutes = 0;
    if (!read_int(zone.substr(1, 2), hours) || !read_int(zone.substr(4, 2), minutes)) return false;
    out.offset = (zone[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  }
  return true;
}

std::string format_time(const ZonedTime& t) {
  const Calendar c = calendar(t.at.seconds + t.offset);
  std::array<char, 64> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%04lld-%02d-%02dT%02d:%02d:%02d",
                static_cast<long long>(c.year), c.month + 1, c.day, c.hour, c.minute, c.second);
  std::string out(buffer.data());
  if (t.at.nanos != 0) {
    std::snprintf(buffer.data(), buffer.size(), ".%09lld", static_cast<long long>(t.at.nanos));
    std::string fraction(buffer.data());
    fraction.erase(fraction.find_last_not_of('0') + 1);
    out += fraction;
  }
  if (t.offset == 0) return out + "Z";
  const int64_t minutes = (t.offset < 0 ? -t.offset : t.offset) / 60;
  std::snprintf(buffer.data(), buffer.size(), "%c%02lld:%02lld", t.offset < 0 ? '-' : '+',
                static_cast<long long>(minutes / 60), static_cast<long long>(minutes % 60));
  return out + buffer.data();
}

bool parse_date(std::string_view text, ZonedTime& out) {
  return text.size() == 10 && parse_rfc3339(std::string(text) + "T00:00:00Z", out);
}

bool parse_schema_time(std::string_view text, ZonedTime& out) {
  if (text.empty()) {
    out = {};
    return true;
  }
  std::string s(text);
  // A blank or a small letter in T's or Z's place, and a time without a zone, are taken too.
  if (s.size() > 10 && (s[10] == 't' || s[10] == ' ')) s[10] = 'T';
  if (s.ends_with('z')) s.back() = 'Z';
  return parse_rfc3339(s, out) || parse_rfc3339(s + "Z", out);
}

bool parse_schema_duration(std::string_view text, int64_t& nanos) {
  if (const Result<Duration> d = parse_duration(text); d.ok()) {
    nanos = d->count();
    return true;
  }
  // "3 days", "1 week 2h": numbers and units.
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {{"ns", 1},
                                                             {"us", 1000},
                                                             {"\u00b5s", 1000},
                                                             {"ms", 1'000'000},
                                                             {"s", kSecond},
                                                             {"sec", kSecond},
                                                             {"second", kSecond},
                                                             {"seconds", kSecond},
                                                             {"m", 60 * kSecond},
                                                             {"min", 60 * kSecond},
                                                             {"minute", 60 * kSecond},
                                                             {"minutes", 60 * kSecond},
                                                             {"h", 3600 * kSecond},
                                                             {"hr", 3600 * kSecond},
                                                             {"hour", 3600 * kSecond},
                                                             {"hours", 3600 * kSecond},
                                                             {"d", 86400 * kSecond},
                                                             {"day", 86400 * kSecond},
                                                             {"days", 86400 * kSecond},
                                                             {"w", 7 * 86400 * kSecond},
                                                             {"wk", 7 * 86400 * kSecond},
                                                             {"week", 7 * 86400 * kSecond},
                                                             {"weeks", 7 * 86400 * kSecond}};
  int64_t sum = 0;
  bool any = false;
  for (size_t i = 0; i < text.size();) {
    const auto digit = [&] { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
    const auto blank = [&] { return i < text.size() && (text[i] == ' ' || text[i] == '\t'); };
    while (blank()) ++i;
    const size_t from = i;
    while (digit()) ++i;
    int64_t n = 0;
    if (!read_int(text.substr(from, i - from), n)) return false;
    while (blank()) ++i;
    const size_t unit = i;
    while (i < text.size() && !digit() && !blank()) ++i;
    int64_t scale = 0;
    for (const auto& [name, value] : kUnits) {
      if (name == text.substr(unit, i - unit)) scale = value;
    }
    int64_t part = 0;
    if (scale == 0 || __builtin_mul_overflow(n, scale, &part) ||
        __builtin_add_overflow(sum, part, &sum)) {
      return false;
    }
    any = true;
    while (blank()) ++i;
  }
  nanos = sum;
  return any;
}

std::string format_go_duration(int64_t nanos) { return format_duration(Duration(nanos)); }

std::string format_seconds(int64_t nanos) {
  return format_plain(static_cast<double>(nanos / kSecond) +
                      static_cast<double>(nanos % kSecond) / 1e9) +
         "s";
}

// --- calendar ------------------------------------------------------------------------------------

Calendar calendar(int64_t seconds) {
  const int64_t days = floor_divide(seconds, 86400);
  const int64_t of_day = seconds - days * 86400;
  const int64_t z = days + 719468;
  const int64_t era = floor_divide(z, 146097);
  const int64_t of_era = z - era * 146097;
  const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * of_year + 2) / 153;
  Calendar c{};
  c.day = static_cast<int>(of_year - (153 * shifted + 2) / 5 + 1);
  c.month = static_cast<int>(shifted < 10 ? shifted + 2 : shifted - 10);
  c.year = year_of_era + era * 400 + (c.month <= 1 ? 1 : 0);
  c.day_of_year = static_cast<int>(days - days_of(c.year, 1, 1));
  c.day_of_week = static_cast<int>(((days % 7) + 11) % 7);
  c.hour = static_cast<int>(of_day / 3600);
  c.minute = static_cast<int>(of_day / 60 % 60);
  c.second = static_cast<int>(of_day % 60);
  return c;
}

Result<int64_t> zone_offset(std::string_view zone, int64_t seconds) {
  const size_t colon = zone.find(':');
  if (colon == zone.npos) {
    if (zone.empty() || zone == "UTC" || zone == "Local") return int64_t{0};
    const std::shared_ptr<const TimeZone> z = find_time_zone(zone);
    if (z == nullptr) return Status(Reason::kInvalid, "unknown time zone " + std::string(zone));
    return z->offset(seconds);
  }
  const auto bad = [](std::string_view s) {
    return Status(Reason::kInvalid,
                  "strconv.Atoi: parsing \"" + std::string(s) + "\": invalid syntax");
  };
  int64_t hours = 0, minutes = 0;
  if (!read_int(zone.substr(0, colon), hours)) return bad(zone.substr(0, colon));
  if (!read_int(zone.substr(colon + 1), minutes)) return bad(zone.substr(colon + 1));
  constexpr int64_t kMost = 1'000'000;
  if (hours > kMost || hours < -kMost || minutes > kMost || minutes < -kMost) return bad(zone);
  return (hours * 60 + (zone[0] == '-' ? -minutes : minutes)) * 60;
}

// --- arithmetic ----------------------------------------------------------------------------------

Val add_duration(const Val& timestamp, int64_t nanos) {
  const Instant t = timestamp.as_timestamp();
  int64_t seconds = t.seconds + nanos / kSecond;
  int64_t rest = t.nanos + nanos % kSecond;
  seconds += floor_divide(rest, kSecond);
  rest -= floor_divide(rest, kSecond) * kSecond;
  if (seconds < kFirstMoment || seconds > kLastMoment) return Val::error("timestamp overflow");
  return Val::timestamp({seconds, rest}, timestamp.zone_offset());
}

Val difference(const Val& a, const Val& b) {
  int64_t nanos = 0;
  const int64_t seconds = a.as_timestamp().seconds - b.as_timestamp().seconds;
  if (__builtin_mul_overflow(seconds, kSecond, &nanos) ||
      __builtin_add_overflow(nanos, a.as_timestamp().nanos - b.as_timestamp().nanos, &nanos)) {
    return Val::error("integer overflow");
  }
  return Val::duration(nanos);
}

void add_times(Library& lib) {
  const auto field = [&](std::string_view name, std::string_view id, std::string_view id_zone,
                         Function f) {
    lib.member(name, id, {timestamp_type()}, int_type(), f);
    lib.member(name, id_zone, {timestamp_type(), string_type()}, int_type(), f);
  };
  field("getFullYear", "timestamp_to_year", "timestamp_to_year_with_tz",
        field_in_zone<Field::kYear>);
  field("getMonth", "timestamp_to_month", "timestamp_to_month_with_tz",
        field_in_zone<Field::kMonth>);
  field("getDayOfYear", "timestamp_to_day_of_year", "timestamp_to_day_of_year_with_tz",
        field_in_zone<Field::kDayOfYear>);
  field("getDayOfMonth", "timestamp_to_day_of_month", "timestamp_to_day_of_month_with_tz",
        field_in_zone<Field::kDayOfMonth>);
  field("getDate", "timestamp_to_day_of_month_1_based", "timestamp_to_day_of_month_1_based_with_tz",
        field_in_zone<Field::kDate>);
  field("getDayOfWeek", "timestamp_to_day_of_week", "timestamp_to_day_of_week_with_tz",
        field_in_zone<Field::kDayOfWeek>);
  field("getHours", "timestamp_to_hours", "timestamp_to_hours_with_tz",
        field_in_zone<Field::kHours>);
  field("getMinutes", "timestamp_to_minutes", "timestamp_to_minutes_with_tz",
        field_in_zone<Field::kMinutes>);
  field("getSeconds", "timestamp_to_seconds", "timestamp_to_seconds_tz",
        field_in_zone<Field::kSeconds>);
  field("getMilliseconds", "timestamp_to_milliseconds", "timestamp_to_milliseconds_with_tz",
        field_in_zone<Field::kMilliseconds>);
  lib.member("getHours", "duration_to_hours", {duration_type()}, int_type(),
             span_in<3600 * kSecond>);
  lib.member("getMinutes", "duration_to_minutes", {duration_type()}, int_type(),
             span_in<60 * kSecond>);
  lib.member("getSeconds", "duration_to_seconds", {duration_type()}, int_type(), span_in<kSecond>);
  lib.member("getMilliseconds", "duration_to_milliseconds", {duration_type()}, int_type(),
             span_in<1'000'000>);
}

}  // namespace keles::cel
