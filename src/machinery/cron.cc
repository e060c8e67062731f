#include "machinery/cron.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <vector>

#include "machinery/time.h"

namespace keles {
namespace {

struct Bounds {
  unsigned least, most;
  std::string_view names;  // of three letters each, from `least` on
};

constexpr std::array<Bounds, 5> kBounds{{
    {0, 59, ""},
    {0, 23, ""},
    {1, 31, ""},
    {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {0, 6, "sunmontuewedthufrisat"},
}};

constexpr std::string_view kBlanks = " \t\n\v\f\r";

Status wrong(std::string why) { return Status(Reason::kInvalid, std::move(why)); }

std::vector<std::string_view> split(std::string_view s, std::string_view separators) {
  std::vector<std::string_view> out;
  while (!s.empty()) {
    size_t n = s.find_first_of(separators);
    if (n != 0) out.push_back(s.substr(0, n));
    if (n == std::string_view::npos) break;
    s.remove_prefix(n + 1);
  }
  return out;
}

// Between separators, empty parts included.
std::vector<std::string_view> parts_of(std::string_view s, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    size_t n = s.find(separator);
    out.push_back(s.substr(0, n));
    if (n == s.npos) return out;
    s.remove_prefix(n + 1);
  }
}

Result<unsigned> read_number(std::string_view s) {
  std::string_view digits = s;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  unsigned v = 0;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), v);
  const bool whole = !digits.empty() && end == digits.data() + digits.size();
  if (whole && ec == std::errc()) return v;
  const char* why =
      whole && ec == std::errc::result_out_of_range ? "value out of range" : "invalid syntax";
  return wrong("failed to parse int from " + std::string(s) + ": strconv.Atoi: parsing \"" +
               std::string(s) + "\": " + why);
}

Result<unsigned> read_number_or_name(std::string_view s, const Bounds& b) {
  for (size_t i = 0; s.size() == 3 && i + 3 <= b.names.size(); i += 3) {
    bool same = true;
    for (size_t j = 0; j < 3; ++j) same = same && (s[j] | 0x20) == b.names[i + j];
    if (same) return b.least + static_cast<unsigned>(i / 3);
  }
  return read_number(s);
}

struct Range {
  uint64_t bits = 0;
  bool star = false;
};

// a, a-b, *, each with an optional /step.
Result<Range> read_range(std::string_view text, const Bounds& b) {
  const auto halves = parts_of(text, '/');
  const auto ends = parts_of(halves[0], '-');
  unsigned first = b.least, last = b.most, step = 1;
  const bool star = ends[0] == "*" || ends[0] == "?";
  if (!star) {
    TRY_ASSIGN(low, read_number_or_name(ends[0], b));
    first = last = low;
    if (ends.size() > 2) return wrong("too many hyphens: " + std::string(text));
    if (ends.size() == 2) {
      TRY_ASSIGN(high, read_number_or_name(ends[1], b));
      last = high;
    }
  }
  if (halves.size() > 2) return wrong("too many slashes: " + std::string(text));
  if (halves.size() == 2) {
    TRY_ASSIGN(by, read_number(halves[1]));
    step = by;
    if (ends.size() == 1) last = b.most;  // "5/10" is "5-59/10"
  }
  const auto told = [](unsigned v) { return " (" + std::to_string(v) + ")"; };
  const std::string tail = ": " + std::string(text);
  if (first < b.least) {
    return wrong("beginning of range" + told(first) + " below minimum" + told(b.least) + tail);
  }
  if (last > b.most) {
    return wrong("end of range" + told(last) + " above maximum" + told(b.most) + tail);
  }
  if (first > last) {
    return wrong("beginning of range" + told(first) + " beyond end of range" + told(last) + tail);
  }
  if (step == 0) return wrong("step of range should be a positive number" + tail);
  Range out;
  for (uint64_t i = first; i <= last; i += step) out.bits |= uint64_t{1} << i;
  out.star = star && step == 1;
  return out;
}

}  // namespace

Status CronSchedule::parse_fields(std::string_view text) {
  const auto fields = split(text, kBlanks);
  if (fields.size() != kBounds.size()) {
    std::string all;
    for (std::string_view f : fields) all += (all.empty() ? "" : " ") + std::string(f);
    return wrong("expected exactly 5 fields, found " + std::to_string(fields.size()) + ": [" + all +
                 "]");
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    for (std::string_view part : split(fields[i], ",")) {
      TRY_ASSIGN(range, read_range(part, kBounds[i]));
      bits_[i] |= range.bits;
      star_[i] = star_[i] || range.star;
    }
  }
  return Status();
}

Status CronSchedule::parse_name(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
      {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
      {"@hourly", "0 * * * *"},
  };
  for (const auto& [name, fields] : kNames) {
    if (text == name) return parse_fields(fields);
  }
  if (!text.starts_with("@every ")) return wrong("unrecognized descriptor: " + std::string(text));
  const Result<Duration> d = parse_duration(text.substr(7));
  if (!d.ok()) {
    return wrong("failed to parse duration " + std::string(text) + ": " + d.status().message());
  }
  every_ = std::max<Duration>(1s, *d - *d % 1s);
  return Status();
}

Result<CronSchedule> CronSchedule::parse(std::string_view text) {
  if (text.empty()) return wrong("empty spec string");
  if (text.size() > 1024) return wrong("the schedule is longer than 1024 characters");
  CronSchedule out;
  if (text.starts_with("TZ=") || text.starts_with("CRON_TZ=")) {
    const size_t is = text.find('='), end = text.find(' ');
    if (end == text.npos) return wrong("invalid schedule format: nothing follows the time zone");
    out.zone_ = text.substr(is + 1, end - is - 1);
    if (!find_time_zone(out.zone_)) {
      return wrong("provided bad location " + out.zone_ + ": unknown time zone " + out.zone_);
    }
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks, end), text.size()));
    text = text.substr(0, text.find_last_not_of(kBlanks) + 1);
  }
  Status s = text.starts_with('@') ? out.parse_name(text) : out.parse_fields(text);
  if (!s.ok()) return s;
  return out;
}

// Both days must fit when one of them is a star, and either when both are said.
bool CronSchedule::matches_day(unsigned day, unsigned weekday) const {
  const bool a = matches(kDay, day), b = matches(kWeekday, weekday);
  return star_[kDay] || star_[kWeekday] ? a && b : a || b;
}

std::optional<WallTime> CronSchedule::next(WallTime t, const TimeZone& zone) const {
  using namespace std::chrono;
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kLast = INT64_MAX / kSecond - 1;  // what WallTime can hold
  const int64_t after = t.ns / kSecond - (t.ns % kSecond < 0 ? 1 : 0);
  if (every_ > Duration(0)) {
    const int64_t then = after + every_.count() / kSecond;
    return then > kLast ? std::nullopt : std::optional(WallTime{then * kSecond});
  }
  if (bits_[kMinute] == 0 || bits_[kHour] == 0) return std::nullopt;  // "," is accepted
  const auto local_day = [&](int64_t at) { return floor<days>(seconds(at + zone.offset(at))); };
  const auto date = [](days d) { return year_month_day(sys_days(d)); };
  int64_t at = after + 1;
  const year limit = date(local_day(at)).year() + years(5);
  for (;;) {
    const days today = local_day(at);
    const year_month_day d = date(today);
    if (d.year() > limit || at > kLast) return std::nullopt;
    const auto midnight_of = [&](days day) { return zone.first_moment(seconds(day).count()); };
    if (!matches(kMonth, static_cast<unsigned>(d.month()))) {
      const year_month_day first = (d.year() / d.month() + months(1)) / 1;
      at = std::max(at + 1, midnight_of(sys_days(first).time_since_epoch()));
      continue;
    }
    if (!matches_day(static_cast<unsigned>(d.day()), weekday(sys_days(today)).c_encoding())) {
      at = std::max(at + 1, midnight_of(today + days(1)));
      continue;
    }
    const int64_t of_day = at + zone.offset(at) - seconds(today).count();
    if (!matches(kHour, static_cast<unsigned>(of_day / 3600))) {
      at += 3600 - of_day % 3600;
    } else if (!matches(kMinute, static_cast<unsigned>(of_day / 60 % 60)) || of_day % 60 != 0) {
      at += 60 - of_day % 60;
    } else {
      return WallTime{at * kSecond};
    }
  }
}

}  // namespace keles
