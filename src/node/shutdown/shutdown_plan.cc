#include "node/shutdown/shutdown_plan.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <string_view>

#include "base/text_parts.h"
#include "machinery/time.h"

namespace keles::node {
namespace {

constexpr int64_t kSystemCritical = 2'000'000'000;

Status wrong(const std::string& what) {
  return Status::bad_request("invalid configuration: " + what);
}

Status check_period(const char* field, Duration d) {
  if (d.count() == 0 || d >= 1s) return {};
  return wrong(std::string(field) + " " + format_duration(d) +
               " must be either zero or otherwise >= 1 sec");
}

bool parse(std::string_view text, int64_t* out) {
  const char* end = text.data() + text.size();
  const auto r = std::from_chars(text.data(), end, *out);
  return r.ec == std::errc() && r.ptr == end;
}

Result<ShutdownPeriods> parse_by_priority(std::string_view text) {
  ShutdownPeriods out;
  for (std::string_view one : split_list(text)) {
    const size_t colon = std::min(one.find(':'), one.size());
    ShutdownPeriod p;
    if (!parse(one.substr(0, colon), &p.priority) || p.priority < INT32_MIN ||
        p.priority > INT32_MAX || !parse(one.substr(std::min(colon + 1, one.size())), &p.seconds) ||
        p.seconds < 0 || p.seconds > INT32_MAX)
      return wrong("shutdownGracePeriodByPodPriority: \"" + std::string(one) +
                   "\": want a priority and the seconds that its pods have");
    out.push_back(p);
  }
  std::stable_sort(out.begin(), out.end(), [](const ShutdownPeriod& a, const ShutdownPeriod& b) {
    return a.priority < b.priority;
  });
  return out;
}

}  // namespace

Result<ShutdownPeriods> shutdown_periods(const ShutdownSettings& s) {
  if (s.critical > s.whole)
    return wrong("shutdownGracePeriodCriticalPods " + format_duration(s.critical) +
                 " must be <= shutdownGracePeriod " + format_duration(s.whole));
  TRY(check_period("shutdownGracePeriod", s.whole));
  TRY(check_period("shutdownGracePeriodCriticalPods", s.critical));
  if (!s.by_priority.empty() && s.whole.count() > 0)
    return wrong(
        "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same "
        "time");
  if (!s.by_priority.empty()) return parse_by_priority(s.by_priority);
  if (s.whole.count() == 0) return ShutdownPeriods{};
  constexpr int64_t kSecond = 1'000'000'000;
  return ShutdownPeriods{{0, (s.whole - s.critical).count() / kSecond},
                         {kSystemCritical, s.critical.count() / kSecond}};
}

Duration whole_period(const ShutdownPeriods& periods) {
  return std::accumulate(
      periods.begin(), periods.end(), Duration(0),
      [](Duration sum, const ShutdownPeriod& p) { return sum + std::chrono::seconds(p.seconds); });
}

std::vector<ShutdownGroup> shutdown_groups(const ShutdownPeriods& periods,
                                           const std::vector<Ref<api::core_v1::Pod>>& pods) {
  std::vector<ShutdownGroup> out;
  for (const ShutdownPeriod& p : periods) out.push_back({p.seconds, {}});
  if (out.empty()) return out;
  for (const auto& pod : pods) {
    const int64_t priority = pod->spec().priority();
    const auto above =
        std::upper_bound(periods.begin(), periods.end(), priority,
                         [](int64_t value, const ShutdownPeriod& p) { return value < p.priority; });
    const auto index = std::max<std::ptrdiff_t>(above - periods.begin() - 1, 0);
    out[static_cast<size_t>(index)].pods.push_back(pod);
  }
  return out;
}

int64_t shutdown_grace(const ShutdownGroup& group, const api::core_v1::Pod& pod) {
  const auto spec = pod.spec();
  if (!spec.has_termination_grace_period_seconds()) return group.seconds;
  return std::min(group.seconds, int64_t{spec.termination_grace_period_seconds()});
}

}  // namespace keles::node
