#include "server/registry/cron_text.h"

#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "machinery/time.h"

namespace keles::registry {
namespace {

struct Bounds {
  int least, most;
  std::string_view names;  // of three letters, from `least` on
};

constexpr std::array<Bounds, 5> kFields{{
    {0, 59, ""},
    {0, 23, ""},
    {1, 31, ""},
    {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {0, 6, "sunmontuewedthufrisat"},
}};

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

std::optional<int> number(std::string_view s, const Bounds& b) {
  int v = 0;
  auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (!s.empty() && ec == std::errc() && end == s.data() + s.size()) return v;
  if (s.size() != 3) return std::nullopt;
  for (size_t i = 0; i + 3 <= b.names.size(); i += 3) {
    bool same = true;
    for (size_t j = 0; j < 3; ++j) same = same && (s[j] | 0x20) == b.names[i + j];
    if (same) return b.least + static_cast<int>(i / 3);
  }
  return std::nullopt;
}

// a, a-b, *, each with an optional /step.
std::string check_range_text(std::string_view text, const Bounds& b) {
  std::string_view range = text.substr(0, text.find('/'));
  auto bad = [&](std::string_view what) { return std::string(what) + ": " + std::string(text); };
  if (range.size() != text.size()) {
    auto step = number(text.substr(range.size() + 1), {0, 0, ""});
    if (!step) return bad("failed to parse int from");
    if (*step <= 0) return bad("step of range should be a positive number");
  }
  if (range == "*" || range == "?") return {};
  size_t dash = range.find('-');
  auto low = number(range.substr(0, dash), b);
  auto high = dash == std::string_view::npos ? low : number(range.substr(dash + 1), b);
  if (!low || !high) return "failed to parse int from " + std::string(range);
  if (*low < b.least) return bad("beginning of range below minimum");
  if (*high > b.most) return bad("end of range above maximum");
  if (*low > *high) return bad("beginning of range beyond end of range");
  return {};
}

}  // namespace

std::string check_cron_schedule(std::string_view schedule) {
  if (schedule.size() > 1024) return "the schedule is longer than 1024 characters";
  if (!schedule.empty() && schedule[0] == '@') {
    for (std::string_view name :
         {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}) {
      if (schedule == name) return {};
    }
    if (schedule.substr(0, 7) == "@every ") {
      auto d = parse_duration(schedule.substr(7));
      return d.ok() ? "" : "failed to parse duration " + std::string(schedule);
    }
    return "unrecognized descriptor: " + std::string(schedule);
  }
  auto fields = split(schedule, " \t");
  if (fields.size() != kFields.size()) {
    return "expected exactly 5 fields, found " + std::to_string(fields.size()) + ": [" +
           std::string(schedule) + "]";
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    for (std::string_view part : split(fields[i], ",")) {
      if (std::string why = check_range_text(part, kFields[i]); !why.empty()) return why;
    }
  }
  return {};
}

}  // namespace keles::registry
