#include "machinery/time_zone.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>

#include "base/file.h"

namespace keles {
namespace {

constexpr std::string_view kFolder = "/usr/share/zoneinfo/";
constexpr size_t kMostBytes = 64 << 10;
constexpr int64_t kDay = 86400;

Status bad(std::string_view why) {
  return Status(Reason::kInvalid, "not a time zone: " + std::string(why));
}

uint64_t big_endian(std::string_view s, size_t at, size_t bytes) {
  uint64_t v = 0;
  for (size_t i = 0; i < bytes; ++i) v = v << 8 | static_cast<unsigned char>(s[at + i]);
  return v;
}

struct Counts {
  size_t utc, standard, leap, times, types, chars;
  size_t size(size_t time_bytes) const {
    return times * (time_bytes + 1) + types * 6 + chars + leap * (time_bytes + 4) + standard + utc;
  }
};
constexpr size_t kHeader = 44;

bool read_counts(std::string_view s, size_t at, Counts& c) {
  if (s.size() < at + kHeader || s.substr(at, 4) != "TZif") return false;
  const auto n = [&](size_t i) { return static_cast<size_t>(big_endian(s, at + 20 + 4 * i, 4)); };
  c = {n(0), n(1), n(2), n(3), n(4), n(5)};
  constexpr size_t kMost = 10000;
  return c.times < kMost && c.types < 256 && c.chars < kMost && c.leap < kMost &&
         c.standard < kMost && c.utc < kMost;
}

int64_t days_of(std::chrono::year_month_day d) {
  return std::chrono::sys_days(d).time_since_epoch().count();
}

int64_t floor_days(int64_t seconds) { return seconds / kDay - (seconds % kDay < 0 ? 1 : 0); }

int64_t year_of(int64_t seconds) {
  const std::chrono::sys_days day{std::chrono::days(floor_days(seconds))};
  return static_cast<int>(std::chrono::year_month_day(day).year());
}

}  // namespace

// Reads "CET-1CEST,M3.5.0,M10.5.0/3".
class TimeZone::RuleText {
 public:
  explicit RuleText(std::string_view s) : s_(s) {}

  std::optional<Rule> read() {
    Rule r;
    if (!name() || !clock(r.standard, 24)) return std::nullopt;
    r.standard = -r.standard;  // it counts west of Greenwich
    if (s_.empty()) return r;
    r.has_summer = true;
    if (!name()) return std::nullopt;
    r.summer = -r.standard - 3600;
    if (!s_.empty() && s_[0] != ',' && !clock(r.summer, 24)) return std::nullopt;
    r.summer = -r.summer;
    if (!day(r.start) || !day(r.end) || !s_.empty()) return std::nullopt;
    return r;
  }

 private:
  bool skip(char c) {
    if (!s_.starts_with(c)) return false;
    s_.remove_prefix(1);
    return true;
  }
  bool name() {
    size_t n = 0;
    if (skip('<')) {
      n = s_.find('>');
      if (n == s_.npos) return false;
      s_.remove_prefix(n + 1);
      return n >= 3;
    }
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    while (n < s_.size() && letter(s_[n])) ++n;
    s_.remove_prefix(n);
    return n >= 3;
  }
  bool number(int most, int64_t& out) {
    size_t n = 0;
    out = 0;
    for (; n < s_.size() && n < 3 && s_[n] >= '0' && s_[n] <= '9'; ++n) {
      out = out * 10 + (s_[n] - '0');
    }
    s_.remove_prefix(n);
    return n > 0 && out <= most;
  }
  // [+-]hh[:mm[:ss]] as seconds.
  bool clock(int64_t& out, int most_hours) {
    const bool minus = skip('-');
    if (!minus) skip('+');
    int64_t hours = 0, minutes = 0, seconds = 0;
    if (!number(most_hours, hours)) return false;
    if (skip(':') && !number(59, minutes)) return false;
    if (skip(':') && !number(59, seconds)) return false;
    out = (hours * 3600 + minutes * 60 + seconds) * (minus ? -1 : 1);
    return true;
  }
  bool day(RuleDay& out) {
    if (!skip(',')) return false;
    int64_t a = 0, b = 0, c = 0;
    if (skip('M')) {
      if (!number(12, a) || !skip('.') || !number(5, b) || !skip('.') || !number(6, c))
        return false;
      if (a < 1 || b < 1) return false;
      out.month = static_cast<int>(a);
      out.week = static_cast<int>(b);
      out.day = static_cast<int>(c);
    } else {
      out.form = skip('J') ? RuleDay::Form::kJulian : RuleDay::Form::kDayOfYear;
      if (!number(365, a) || (out.form == RuleDay::Form::kJulian && a < 1)) return false;
      out.day = static_cast<int>(a);
    }
    return !skip('/') || clock(out.time, 167);
  }
  std::string_view s_;
};

// Seconds of local time since 1970.
int64_t TimeZone::RuleDay::in_year(int64_t year) const {
  using namespace std::chrono;
  const std::chrono::year y(static_cast<int>(year));
  int64_t days = 0;
  if (form == Form::kMonthWeekDay) {
    const year_month ym = y / std::chrono::month(static_cast<unsigned>(month));
    const weekday wd(static_cast<unsigned>(day));
    days = week == 5 ? sys_days(ym / wd[last]).time_since_epoch().count()
                     : sys_days(ym / wd[static_cast<unsigned>(week)]).time_since_epoch().count();
  } else {
    days = days_of(y / January / 1);
    // The Julian form leaves the 29th of February out of its count.
    const bool after = form == Form::kJulian && y.is_leap() && day >= 60;
    days += form == Form::kJulian ? day - 1 + (after ? 1 : 0) : day;
  }
  return days * kDay + time;
}

int64_t TimeZone::Rule::offset(int64_t seconds) const {
  if (!has_summer) return standard;
  const int64_t year = year_of(seconds + standard);
  const int64_t from = start.in_year(year) - standard, until = end.in_year(year) - summer;
  const bool north = from < until;  // where summer is in the middle of the year
  const bool is_summer =
      north ? seconds >= from && seconds < until : seconds >= from || seconds < until;
  return is_summer ? summer : standard;
}

Result<TimeZone> TimeZone::parse(std::string_view s) {
  Counts c{};
  if (s.size() > kMostBytes || !read_counts(s, 0, c)) return bad("no head of a TZif file");
  size_t at = 0, width = 4;
  if (s[4] >= '2') {  // the first part is for older readers; the second has times of 64 bits
    at = kHeader + c.size(4);
    width = 8;
    if (!read_counts(s, at, c)) return bad("no second part");
  }
  if (s.size() < at + kHeader + c.size(width) || c.types == 0) return bad("it is cut off");
  at += kHeader;
  const size_t kinds = at + c.times * width;
  const size_t types = kinds + c.times;
  const auto offset = [&](size_t type) {
    return static_cast<int64_t>(static_cast<int32_t>(big_endian(s, types + type * 6, 4)));
  };
  TimeZone zone;
  for (size_t i = 0; i < c.types; ++i) {
    if (offset(i) > 26 * 3600 || offset(i) < -26 * 3600) return bad("an offset of more than a day");
  }
  zone.first_ = offset(0);
  for (size_t i = 0; i < c.times; ++i) {
    const auto type = static_cast<unsigned char>(s[kinds + i]);
    if (type >= c.types) return bad("a type that it does not have");
    const uint64_t raw = big_endian(s, at + i * width, width);
    const int64_t from =
        width == 8 ? static_cast<int64_t>(raw) : static_cast<int64_t>(static_cast<int32_t>(raw));
    if (i > 0 && from <= zone.changes_.back().from) return bad("its times are not in order");
    zone.changes_.push_back({from, offset(type)});
  }
  if (width == 8) {
    std::string_view footer = s.substr(at + c.size(width));
    if (footer.starts_with('\n')) footer.remove_prefix(1);
    footer = footer.substr(0, footer.find('\n'));
    if (!footer.empty()) {
      zone.rule_ = RuleText(footer).read();
      if (!zone.rule_) return bad("a rule that cannot be read: " + std::string(footer));
    }
  }
  return zone;
}

int64_t TimeZone::offset(int64_t seconds) const {
  const auto after =
      std::upper_bound(changes_.begin(), changes_.end(), seconds,
                       [](int64_t at, const Change& change) { return at < change.from; });
  if (after == changes_.end() && rule_) return rule_->offset(seconds);
  return after == changes_.begin() ? first_ : std::prev(after)->offset;
}

int64_t TimeZone::first_moment(int64_t local) const {
  const int64_t before = offset(local - 2 * kDay), after = offset(local + 2 * kDay);
  // The clocks go back: what they show twice is first shown with the offset from before.
  if (offset(local - before) == before) return local - before;
  if (offset(local - after) == after) return local - after;
  // Skipped: the moment of the change lies between the two.
  int64_t low = local - std::max(before, after), high = local - std::min(before, after);
  while (low + 1 < high) {
    const int64_t middle = low + (high - low) / 2;
    (offset(middle) + middle < local ? low : high) = middle;
  }
  return high;
}

namespace {

// Names lead into the zones' folder and nowhere else.
bool is_zone_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name[0] == '/' || name[0] == '.') return false;
  if (name.find("..") != name.npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '_' || c == '-' || c == '+';
  });
}

}  // namespace

std::shared_ptr<const TimeZone> find_time_zone(std::string_view name) {
  constexpr size_t kMostZones = 64;
  using Zone = std::shared_ptr<const TimeZone>;
  static std::mutex mutex;
  static std::map<std::string, Zone, std::less<>> zones;
  static const Zone utc = std::make_shared<const TimeZone>();
  if (name.empty() || name == "UTC") return utc;
  if (!is_zone_name(name)) return nullptr;
  const std::lock_guard lock(mutex);
  if (const auto at = zones.find(name); at != zones.end()) return at->second;
  const Result<std::string> file = read_file(std::string(kFolder) + std::string(name), kMostBytes);
  if (!file.ok()) return nullptr;
  Result<TimeZone> zone = TimeZone::parse(*file);
  if (!zone.ok()) return nullptr;
  if (zones.size() >= kMostZones) zones.clear();
  return zones.emplace(name, std::make_shared<const TimeZone>(std::move(*zone))).first->second;
}

bool has_time_zones() {
  std::error_code none;
  return std::filesystem::is_directory(kFolder, none);
}

}  // namespace keles
