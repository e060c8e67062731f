#include "machinery/time.h"

#include <array>
#include <cstdio>

#include "machinery/instant.h"

namespace keles {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr std::string_view kLayout = "2006-01-02T15:04:05Z07:00";

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
int64_t days_from_civil(int64_t y, int m, int d) {
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400;
  int64_t yoe = y - era * 400;
  int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

struct Civil {
  int64_t year;
  int month, day, hour, minute, second;
  int64_t nanos;
};

Instant to_instant(WallTime t) {
  int64_t secs = t.ns / kSecond, nanos = t.ns % kSecond;
  return nanos < 0 ? Instant{secs - 1, nanos + kSecond} : Instant{secs, nanos};
}

Civil to_civil(Instant t) {
  const int64_t secs = t.seconds, nanos = t.nanos;
  int64_t days = secs / 86400, rest = secs % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  int64_t z = days + 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t doe = z - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int64_t mp = (5 * doy + 2) / 153;
  int day = static_cast<int>(doy - (153 * mp + 2) / 5 + 1);
  int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  return {yoe + era * 400 + (month <= 2),
          month,
          day,
          static_cast<int>(rest / 3600),
          static_cast<int>(rest / 60 % 60),
          static_cast<int>(rest % 60),
          nanos};
}

int days_in_month(int64_t y, int m) {
  static constexpr std::array<int, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  return m == 2 && leap ? 29 : kDays[static_cast<size_t>(m - 1)];
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct TimeParser {
  std::string_view all, rest;

  Status cannot(std::string_view what) const {
    return Status::bad_request("parsing time \"" + std::string(all) + "\" as \"" +
                               std::string(kLayout) + "\": cannot parse \"" + std::string(rest) +
                               "\" as \"" + std::string(what) + "\"");
  }
  Status out_of_range(std::string_view what) const {
    return Status::bad_request("parsing time \"" + std::string(all) + "\": " + std::string(what) +
                               " out of range");
  }
  bool number(size_t digits, int* out) {
    if (rest.size() < digits) return false;
    int v = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!is_digit(rest[i])) return false;
      v = v * 10 + (rest[i] - '0');
    }
    rest.remove_prefix(digits);
    *out = v;
    return true;
  }
  bool literal(char c) {
    if (rest.empty() || rest[0] != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  int64_t fraction() {
    if (rest.size() < 2 || (rest[0] != '.' && rest[0] != ',') || !is_digit(rest[1])) return 0;
    rest.remove_prefix(1);
    int64_t nanos = 0, scale = kSecond / 10;
    while (!rest.empty() && is_digit(rest[0])) {
      nanos += (rest[0] - '0') * scale;
      scale /= 10;
      rest.remove_prefix(1);
    }
    return nanos;
  }
  // Seconds east of UTC.
  bool zone(int64_t* out) {
    *out = 0;
    if (literal('Z')) return true;
    if (rest.size() < 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':') return false;
    TimeParser p{rest, rest.substr(1)};
    int h = 0, m = 0;
    if (!p.number(2, &h) || !p.literal(':') || !p.number(2, &m) || h > 24 || m >= 60) return false;
    *out = (rest[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    rest = p.rest;
    return true;
  }
};

// Appends v/10^digits with its trailing zeros dropped: 1500, 3 -> "1.5".
std::string fraction_text(uint64_t v, int digits) {
  std::string frac;
  uint64_t whole = v;
  for (int i = 0; i < digits; ++i) {
    int digit = static_cast<int>(whole % 10);
    whole /= 10;
    if (digit != 0 || !frac.empty()) frac.insert(frac.begin(), static_cast<char>('0' + digit));
  }
  std::string out = std::to_string(whole);
  if (!frac.empty()) out += "." + frac;
  return out;
}

double unit_nanos(std::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us" || unit == "\xC2\xB5s" || unit == "\xCE\xBCs") return 1e3;
  if (unit == "ms") return 1e6;
  if (unit == "s") return 1e9;
  if (unit == "m") return 60e9;
  if (unit == "h") return 3600e9;
  return 0;
}

}  // namespace

Result<Instant> parse_instant(std::string_view text) {
  TimeParser p{text.substr(0, 64), text.substr(0, 64)};
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
  int64_t offset = 0;
  if (!p.number(4, &y)) return p.cannot("2006");
  if (!p.literal('-')) return p.cannot("-");
  if (!p.number(2, &mo)) return p.cannot("01");
  if (mo < 1 || mo > 12) return p.out_of_range("month");
  if (!p.literal('-')) return p.cannot("-");
  if (!p.number(2, &d)) return p.cannot("02");
  if (!p.literal('T')) return p.cannot("T");
  if (!p.number(2, &h)) return p.cannot("15");
  if (h > 23) return p.out_of_range("hour");
  if (!p.literal(':')) return p.cannot(":");
  if (!p.number(2, &mi)) return p.cannot("04");
  if (mi > 59) return p.out_of_range("minute");
  if (!p.literal(':')) return p.cannot(":");
  if (!p.number(2, &s)) return p.cannot("05");
  if (s > 59) return p.out_of_range("second");
  int64_t nanos = p.fraction();
  if (!p.zone(&offset)) return p.cannot("Z07:00");
  if (!p.rest.empty()) {
    return Status::bad_request("parsing time \"" + std::string(p.all) + "\": extra text: \"" +
                               std::string(p.rest) + "\"");
  }
  if (d < 1 || d > days_in_month(y, mo)) return p.out_of_range("day");
  int64_t secs = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset;
  if (secs < kFirstSecond || secs > kLastSecond) return p.out_of_range("year");
  return Instant{secs, nanos};
}

Result<WallTime> parse_time(std::string_view text) {
  TRY_ASSIGN(t, parse_instant(text));
  constexpr int64_t kLow = -5'000'000'000, kHigh = 9'000'000'000;
  if (t.seconds < kLow) return WallTime{kLow * kSecond};
  if (t.seconds > kHigh) return WallTime{kHigh * kSecond};
  return WallTime{t.seconds * kSecond + t.nanos};
}

std::string format_time(WallTime t) { return format_time(to_instant(t)); }
std::string format_micro_time(WallTime t) { return format_micro_time(to_instant(t)); }

namespace {
// `digits` of them, with zeros in front.
void put_number(char* at, int digits, unsigned n) {
  for (int i = digits - 1; i >= 0; --i, n /= 10) at[i] = static_cast<char>('0' + n % 10);
}

// "2026-11-26T20:15:00" where `to` begins; the year has four digits.
void put_civil(char* to, const Civil& c) {
  put_number(to, 4, static_cast<unsigned>(c.year));
  put_number(to + 5, 2, static_cast<unsigned>(c.month));
  put_number(to + 8, 2, static_cast<unsigned>(c.day));
  put_number(to + 11, 2, static_cast<unsigned>(c.hour));
  put_number(to + 14, 2, static_cast<unsigned>(c.minute));
  put_number(to + 17, 2, static_cast<unsigned>(c.second));
}
bool has_plain_year(const Civil& c) { return c.year >= 0 && c.year <= 9999; }
}  // namespace

std::string format_time(Instant t) {
  const Civil c = to_civil(t);
  if (!has_plain_year(c)) {
    char buf[48];
    std::snprintf(buf, sizeof buf, "%04d-%02d-%02dT%02d:%02d:%02dZ", static_cast<int>(c.year),
                  c.month, c.day, c.hour, c.minute, c.second);
    return buf;
  }
  std::string out = "0000-00-00T00:00:00Z";
  put_civil(out.data(), c);
  return out;
}

std::string format_micro_time(Instant t) {
  const Civil c = to_civil(t);
  if (!has_plain_year(c)) {
    char buf[64];
    std::snprintf(buf, sizeof buf, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", static_cast<int>(c.year),
                  c.month, c.day, c.hour, c.minute, c.second, static_cast<int>(c.nanos / 1000));
    return buf;
  }
  std::string out = "0000-00-00T00:00:00.000000Z";
  put_civil(out.data(), c);
  put_number(out.data() + 20, 6, static_cast<unsigned>(c.nanos / 1000));
  return out;
}

Result<Duration> parse_duration(std::string_view text) {
  auto quoted = [&] { return "\"" + std::string(text.substr(0, 128)) + "\""; };
  auto invalid = [&] { return Status::bad_request("time: invalid duration " + quoted()); };
  std::string_view s = text;
  bool negative = false;
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) {
    negative = s[0] == '-';
    s.remove_prefix(1);
  }
  if (s == "0") return Duration(0);
  if (s.empty()) return invalid();
  __int128 total = 0;
  while (!s.empty()) {
    __int128 whole = 0, frac = 0, scale = 1;
    bool any = false;
    for (; !s.empty() && is_digit(s[0]); s.remove_prefix(1)) {
      whole = whole * 10 + (s[0] - '0');
      any = true;
      if (whole > INT64_MAX) return invalid();
    }
    if (!s.empty() && s[0] == '.') {
      s.remove_prefix(1);
      for (; !s.empty() && is_digit(s[0]); s.remove_prefix(1)) {
        any = true;
        if (scale > static_cast<__int128>(1'000'000'000'000'000'000)) continue;
        frac = frac * 10 + (s[0] - '0');
        scale *= 10;
      }
    }
    if (!any) return invalid();
    size_t n = 0;
    while (n < s.size() && s[n] != '.' && !is_digit(s[n])) ++n;
    if (n == 0) return Status::bad_request("time: missing unit in duration " + quoted());
    auto unit = static_cast<int64_t>(unit_nanos(s.substr(0, n)));
    if (unit == 0) {
      return Status::bad_request("time: unknown unit \"" + std::string(s.substr(0, n)) +
                                 "\" in duration " + quoted());
    }
    s.remove_prefix(n);
    total += whole * unit + frac * unit / scale;
    if (total > INT64_MAX) return invalid();
  }
  auto ns = static_cast<int64_t>(total);
  return Duration(negative ? -ns : ns);
}

std::string format_duration(Duration d) {
  if (d.count() == 0) return "0s";
  bool negative = d.count() < 0;
  uint64_t u = negative ? 0 - static_cast<uint64_t>(d.count()) : static_cast<uint64_t>(d.count());
  std::string out = negative ? "-" : "";
  if (u < 1000) return out + std::to_string(u) + "ns";
  if (u < 1000'000) return out + fraction_text(u, 3) + "\xC2\xB5s";
  if (u < 1000'000'000) return out + fraction_text(u, 6) + "ms";
  uint64_t minutes = u / 60'000'000'000;
  if (minutes >= 60) out += std::to_string(minutes / 60) + "h";
  if (minutes > 0) out += std::to_string(minutes % 60) + "m";
  return out + fraction_text(u % 60'000'000'000, 9) + "s";
}

std::string human_duration(Duration d) {
  int64_t seconds = d.count() / kSecond;
  auto n = [](int64_t v) { return std::to_string(v); };
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return n(seconds) + "s";
  int64_t minutes = seconds / 60;
  if (minutes < 10) return n(minutes) + "m" + (seconds % 60 ? n(seconds % 60) + "s" : "");
  if (minutes < 180) return n(minutes) + "m";
  int64_t hours = minutes / 60;
  if (hours < 8) return n(hours) + "h" + (minutes % 60 ? n(minutes % 60) + "m" : "");
  if (hours < 48) return n(hours) + "h";
  int64_t days = hours / 24;
  if (days < 8) return n(days) + "d" + (hours % 24 ? n(hours % 24) + "h" : "");
  if (days < 365 * 2) return n(days) + "d";
  if (days < 365 * 8) return n(days / 365) + "y" + (days % 365 ? n(days % 365) + "d" : "");
  return n(days / 365) + "y";
}

std::string human_age(std::string_view since, WallTime now) {
  if (since.empty()) return "<unknown>";
  auto t = parse_time(since);
  return t.ok() ? human_duration(now - *t) : "<unknown>";
}

}  // namespace keles
