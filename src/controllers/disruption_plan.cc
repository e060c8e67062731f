// The pure half of the disruption controller.
#include <algorithm>
#include <map>

#include "client/pod_condition.h"
#include "controllers/conditions.h"
#include "controllers/disruption.h"
#include "controllers/ownership.h"
#include "machinery/intstr.h"
#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::policy_v1::PodDisruptionBudget;
using api::policy_v1::PodDisruptionBudgetEdit;
using api::policy_v1::PodDisruptionBudgetStatus;

namespace {

constexpr Duration kDeletionTimeout = 2min;  // from an eviction to the pod's deletion
constexpr Duration kStaleAfter = 2min;       // of a DisruptionTarget condition
constexpr Duration kTryAgain = 30s;          // when a pod's controller was not found
constexpr std::string_view kDisruptionAllowed = "DisruptionAllowed";

class BudgetPlanner {
 public:
  BudgetPlanner(const PodDisruptionBudget& budget, const std::vector<Ref<Pod>>& pods,
                const ExpectedScale& scale, WallTime now)
      : budget_(budget), pods_(pods), scale_(scale), now_(now), next_(budget) {}
  BudgetPlan run();

 private:
  Status count();
  void keep_disrupted();
  void fail(const std::string& why);
  void set_condition(bool allowed, std::string_view reason, std::string_view message);

  const PodDisruptionBudget& budget_;
  const std::vector<Ref<Pod>>& pods_;
  const ExpectedScale& scale_;
  WallTime now_;
  Draft<PodDisruptionBudgetEdit> next_;
  BudgetPlan plan_;
  int64_t expected_ = 0, desired_ = 0, healthy_ = 0;
};

// What the budget expects and wants.
Status BudgetPlanner::count() {
  if (!scale_.ill_selector.empty()) return Status(Reason::kInternalError, scale_.ill_selector);
  auto spec = budget_.spec();
  if (needs_scale(budget_)) {
    if (!scale_.error.empty()) return Status(Reason::kInternalError, scale_.error);
    expected_ = scale_.count;
  } else {
    expected_ = static_cast<int64_t>(pods_.size());
  }
  if (spec.has_max_unavailable()) {
    TRY_ASSIGN(may_miss, scaled_int_or_percent(spec.max_unavailable(), expected_, true));
    desired_ = std::max<int64_t>(0, expected_ - may_miss);
  } else if (spec.has_min_available()) {
    TRY_ASSIGN(wanted, scaled_int_or_percent(spec.min_available(), expected_, true));
    desired_ = wanted;
  } else {
    expected_ = 0;
  }
  return Status();
}

// Evicted pods count as gone from their eviction on; those that are, and those that have been
// waited for in vain, are forgotten.
void BudgetPlanner::keep_disrupted() {
  auto old = budget_.status().disrupted_pods();
  std::map<std::string, std::string> kept;
  for (const auto& pod : pods_) {
    if (!pod->metadata().deletion_timestamp().empty()) continue;
    std::string name(pod->metadata().name());
    bool expected_to_go = false;
    if (std::string_view since = old.get(name); !since.empty()) {
      WallTime t = time_or_none(since);
      Duration left = t == kNone ? Duration(-1) : t + kDeletionTimeout - now_;
      expected_to_go = left >= Duration(0);
      if (expected_to_go) {
        kept[name] = since;
        Duration again = left + 1s;
        plan_.requeue_after =
            plan_.requeue_after == Duration(0) ? again : std::min(plan_.requeue_after, again);
      } else {
        plan_.never_deleted.push_back(pod);
      }
    }
    if (!expected_to_go && pod_is_ready(*pod)) ++healthy_;
  }
  auto status = next_->edit_status();
  status.clear_disrupted_pods();
  for (const auto& [name, since] : kept) {
    status.edit_disrupted_pods().set(name, std::string_view(since));
  }
}

void BudgetPlanner::set_condition(bool allowed, std::string_view reason, std::string_view message) {
  auto status = next_->edit_status();
  controllers::set_condition(status.edit_conditions(),
                             {kDisruptionAllowed, allowed ? "True" : "False", reason, message},
                             now_, status.observed_generation());
}

// Nothing is known: nothing may be evicted.
void BudgetPlanner::fail(const std::string& why) {
  plan_.failed = true;
  plan_.requeue_after = kTryAgain;
  next_->edit_status().set_disruptions_allowed(0);
  set_condition(false, "SyncFailed", why);
}

// Empty and absent texts are the same.
bool same_condition(const PodDisruptionBudgetStatus& a, const PodDisruptionBudgetStatus& b) {
  auto find = [](const PodDisruptionBudgetStatus& s) {
    for (api::meta_v1::Condition c : s.conditions()) {
      if (c.type() == kDisruptionAllowed) return c;
    }
    return api::meta_v1::Condition();
  };
  auto x = find(a), y = find(b);
  return x && y && x.status() == y.status() && x.reason() == y.reason() &&
         x.message() == y.message() && x.observed_generation() == y.observed_generation();
}

BudgetPlan BudgetPlanner::run() {
  Status counted = count();
  if (!counted.ok()) {
    fail(counted.message());
  } else {
    keep_disrupted();
    // A budget that expects no pods allows none: its first pods must not be evicted before they
    // have been counted.
    int64_t allowed = expected_ <= 0 ? 0 : std::max<int64_t>(0, healthy_ - desired_);
    auto status = next_->edit_status();
    status.set_current_healthy(healthy_);
    status.set_desired_healthy(desired_);
    status.set_expected_pods(expected_);
    status.set_disruptions_allowed(allowed);
    status.set_observed_generation(budget_.metadata().generation());
    set_condition(allowed > 0, allowed > 0 ? "SufficientPods" : "InsufficientPods", "");
  }
  auto old = budget_.status(), fresh = next_->status();
  bool same = old.current_healthy() == fresh.current_healthy() &&
              old.desired_healthy() == fresh.desired_healthy() &&
              old.expected_pods() == fresh.expected_pods() &&
              old.disruptions_allowed() == fresh.disruptions_allowed() &&
              old.observed_generation() == fresh.observed_generation() &&
              old.disrupted_pods().value().equals(fresh.disrupted_pods().value()) &&
              same_condition(old, fresh);
  if (!same) plan_.update = std::move(next_);
  return std::move(plan_);
}

}  // namespace

bool needs_scale(const PodDisruptionBudget& budget) {
  auto spec = budget.spec();
  return spec.has_max_unavailable() || spec.min_available().is_string();
}

BudgetPlan plan_budget(const PodDisruptionBudget& budget, const std::vector<Ref<Pod>>& pods,
                       const ExpectedScale& scale, WallTime now) {
  return BudgetPlanner(budget, pods, scale, now).run();
}

std::optional<Duration> stale_disruption(const Pod& pod, WallTime now) {
  if (!pod.metadata().deletion_timestamp().empty() || pod_has_finished(pod)) return std::nullopt;
  PodCondition c = pod_condition(pod, kDisruptionTarget);
  // The agent's own word stands: it may take as long as it likes to end the pod.
  if (!c || c.status() != "True" || c.reason() == "TerminationByKubelet") return std::nullopt;
  WallTime since = time_or_none(c.last_transition_time());
  if (since == kNone) return Duration(0);
  return std::max(Duration(0), since + kStaleAfter - now);
}

}  // namespace keles::controllers
