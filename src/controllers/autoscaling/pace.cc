#include "controllers/autoscaling/pace.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace keles::controllers::hpa {
namespace {

namespace autoscaling = api::autoscaling_v2;

constexpr const char* kSteady = "recommended size matches current size";
constexpr const char* kDownStabilized =
    "recent recommendations were higher than current one, applying the highest recent "
    "recommendation";
constexpr const char* kUpStabilized =
    "recent recommendations were lower than current one, applying the lowest recent recommendation";

struct Limit {
  int64_t replicas;
  const char *reason, *message;
};
constexpr Limit kWithin{0, "DesiredWithinRange",
                        "the desired count is within the acceptable range"};
constexpr Limit kTooFast{0, "ScaleUpLimit",
                         "the desired replica count is increasing faster than the maximum scale "
                         "rate"};
constexpr Limit kTooFastDown{0, "ScaleDownLimit",
                             "the desired replica count is decreasing faster than the maximum "
                             "scale rate"};
constexpr Limit kTooMany{0, "TooManyReplicas",
                         "the desired replica count is more than the maximum replica count"};
constexpr Limit kTooFew{0, "TooFewReplicas",
                        "the desired replica count is less than the minimum replica count"};

Limit at(Limit kind, int64_t replicas) {
  kind.replicas = replicas;
  return kind;
}

// --- what was recommended -----------------------------------------------------------------------

// What is older than every window makes room.
void record(History* h, int64_t replicas, TimePoint now, TimePoint oldest) {
  std::erase_if(h->recommendations, [&](const auto& r) { return r.at < oldest; });
  h->recommendations.push_back({replicas, now});
}

int64_t steady(int64_t wanted, Duration window, TimePoint now, History* h) {
  int64_t most = wanted;
  for (const auto& r : h->recommendations) {
    if (r.at >= now - window) most = std::max(most, r.replicas);
  }
  record(h, wanted, now, now - window);
  return most;
}

int64_t steady(int64_t wanted, int64_t current, Duration up, Duration down, TimePoint now,
               History* h) {
  int64_t least = wanted, most = wanted;
  for (const auto& r : h->recommendations) {
    if (r.at > now - up) least = std::min(least, r.replicas);
    if (r.at > now - down) most = std::max(most, r.replicas);
  }
  record(h, wanted, now, now - std::max(up, down));
  return std::min(std::max(current, least), most);
}

// --- policies -----------------------------------------------------------------------------------

int64_t changed_within(const std::vector<History::Change>& changes, Duration period,
                       TimePoint now) {
  int64_t sum = 0;
  for (const auto& c : changes) {
    if (c.at > now - period) sum += c.replicas;
  }
  return sum;
}

int64_t clamped(double replicas) {
  constexpr double kMost = std::numeric_limits<int32_t>::max();
  return static_cast<int64_t>(std::clamp(replicas, -kMost, kMost));
}

// As far as one policy lets the count go in its period.
int64_t reach(const autoscaling::HPAScalingPolicy& policy, bool up, int64_t current, TimePoint now,
              const History& h) {
  const Duration period = std::chrono::seconds(policy.period_seconds());
  const int64_t start =
      current - changed_within(h.up, period, now) + changed_within(h.down, period, now);
  const int64_t by = policy.value();
  if (policy.type() == "Pods") return up ? start + by : start - by;
  const double part = static_cast<double>(by) / 100;
  // Rounded up on the way up, or a small count would never grow.
  if (up) return clamped(std::ceil(static_cast<double>(start) * (1 + part)));
  return clamped(static_cast<double>(start) * (1 - part));
}

// As far as all of them do: the one that changes most decides, or the one that changes least.
int64_t reach(const autoscaling::HPAScalingRules& rules, bool up, int64_t current, TimePoint now,
              const History& h) {
  if (rules.select_policy() == "Disabled") return current;
  // Stored before its defaults were filled in: four or twice as many, and down at once.
  if (rules.policies().empty()) return up ? std::max(2 * current, current + 4) : 0;
  const bool greatest = (rules.select_policy() == "Min") != up;
  std::optional<int64_t> out;
  for (autoscaling::HPAScalingPolicy policy : rules.policies()) {
    const int64_t one = reach(policy, up, current, now, h);
    out = !out ? one : greatest ? std::max(*out, one) : std::min(*out, one);
  }
  return out.value_or(current);
}

Limit limit(const autoscaling::HorizontalPodAutoscalerBehavior& behavior, const Bounds& b,
            int64_t wanted, TimePoint now, const History& h) {
  if (wanted > b.current) {
    const int64_t pace = std::max(reach(behavior.scale_up(), true, b.current, now, h), b.current);
    const Limit most = b.max > pace ? at(kTooFast, pace) : at(kTooMany, b.max);
    if (wanted > most.replicas) return most;
  } else if (wanted < b.current) {
    const int64_t pace =
        std::min(reach(behavior.scale_down(), false, b.current, now, h), b.current);
    const Limit least = b.min < pace ? at(kTooFastDown, pace) : at(kTooFew, b.min);
    if (wanted < least.replicas) return least;
  }
  return at(kWithin, wanted);
}

// Without a behaviour.
Limit limit(const Bounds& b, int64_t wanted) {
  const int64_t pace = std::max<int64_t>(2 * b.current, 4);
  const Limit most = b.max > pace ? at(kTooFast, pace) : at(kTooMany, b.max);
  if (wanted < b.min) return at(kTooFew, b.min);
  if (wanted > most.replicas) return most;
  return at(kWithin, wanted);
}

Duration window_of(const autoscaling::HPAScalingRules& rules, Duration otherwise) {
  if (!rules.has_stabilization_window_seconds()) return otherwise;
  return std::chrono::seconds(rules.stabilization_window_seconds());
}

}  // namespace

Pace paced(const autoscaling::HorizontalPodAutoscalerBehavior& behavior, const Bounds& bounds,
           int64_t wanted, Duration down_window, TimePoint now, History* history) {
  Pace out;
  int64_t stable;
  const char* why = kDownStabilized;
  const char* reason = "ScaleDownStabilized";
  if (behavior) {
    stable = steady(wanted, bounds.current, window_of(behavior.scale_up(), Duration(0)),
                    window_of(behavior.scale_down(), down_window), now, history);
    if (wanted >= bounds.current) {
      why = kUpStabilized;
      reason = "ScaleUpStabilized";
    }
  } else {
    stable = steady(wanted, down_window, now, history);
  }
  out.able_reason = stable != wanted ? reason : "ReadyForNewScale";
  out.able_message = stable != wanted ? why : kSteady;
  const Limit l = behavior ? limit(behavior, bounds, stable, now, *history) : limit(bounds, stable);
  out.replicas = l.replicas;
  out.limited = l.replicas != stable;
  out.limited_reason = l.reason;
  out.limited_message = l.message;
  return out;
}

void note_change(const autoscaling::HorizontalPodAutoscalerBehavior& behavior, int64_t from,
                 int64_t to, TimePoint now, History* history) {
  if (!behavior) return;
  const bool up = to > from;
  auto& changes = up ? history->up : history->down;
  Duration longest{0};
  for (autoscaling::HPAScalingPolicy p :
       (up ? behavior.scale_up() : behavior.scale_down()).policies()) {
    longest = std::max<Duration>(longest, std::chrono::seconds(p.period_seconds()));
  }
  std::erase_if(changes, [&](const auto& c) { return c.at < now - longest; });
  changes.push_back({std::abs(to - from), now});
}

}  // namespace keles::controllers::hpa
