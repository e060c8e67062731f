#include "controllers/disruption.h"

#include <algorithm>
#include <map>

#include "client/pod_condition.h"
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
constexpr std::string_view kPodKey = "pod|";

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
  auto spec = budget_.spec();
  if (needs_scale(budget_)) {
    if (!scale_.error.empty()) return Status::internal(scale_.error);
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
  auto list = status.edit_conditions();
  size_t at = 0;
  while (at < list.size() && list[at].type() != kDisruptionAllowed) ++at;
  auto c = at == list.size() ? list.add() : list[at];
  std::string_view value = allowed ? "True" : "False";
  if (c.status() != value) c.set_last_transition_time(format_time(now_));
  c.set_type(kDisruptionAllowed);
  c.set_status(value);
  c.set_reason(reason);
  c.set_message(message);
  c.set_observed_generation(status.observed_generation());
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

DisruptionController::DisruptionController(Deps deps)
    : Controller(deps, "disruption", "controllermanager", 1),
      budgets_(watch_own<Budget>()),
      pods_(watch<Pod>()),
      replica_sets_(watch<api::apps_v1::ReplicaSet>()),
      deployments_(watch<api::apps_v1::Deployment>()),
      stateful_sets_(watch<api::apps_v1::StatefulSet>()),
      replication_controllers_(watch<ReplicationController>()) {
  index_by_selector(budgets_);
  pods_.on_change(
      [this](const Ref<Pod>& before, const Ref<Pod>& now) { pod_changed(before, now); });
}

void DisruptionController::pod_changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  for (const Ref<Pod>& pod : {before, now}) {
    if (!pod) continue;
    auto labels = pod->metadata().labels();
    for (const auto& budget : may_select(budgets_, pod->metadata().namespace_(), labels)) {
      auto selector = Selector::from_label_selector(budget->spec().selector());
      if (selector.ok() && selector->matches(labels)) queue().add(key_of(budget->metadata()));
    }
  }
  if (!now) return;
  if (auto wait = stale_disruption(*now, loop().wall_now())) {
    queue().add_after(std::string(kPodKey) + key_of(now->metadata()), *wait);
  }
}

// The replicas that the pod's controller asks for; of a Deployment's ReplicaSet, the Deployment's.
// Nothing when no such controller is known.
std::optional<int64_t> DisruptionController::scale_of(std::string_view ns,
                                                      const OwnerReference& ref,
                                                      std::string* uid) const {
  auto wanted = [uid](const auto& owner, const OwnerReference& r) -> std::optional<int64_t> {
    if (!owner || owner->metadata().uid() != r.uid()) return std::nullopt;
    *uid = std::string(r.uid());
    return owner->spec().has_replicas() ? owner->spec().replicas() : 1;
  };
  bool apps = ref.api_version().starts_with("apps/");
  if (apps && ref.kind() == "ReplicaSet") {
    auto set = replica_sets_.get(ns, ref.name());
    auto scale = wanted(set, ref);
    if (!scale) return scale;
    OwnerReference above = controller_of(set->metadata());
    if (!above || above.kind() != "Deployment") return scale;
    auto whole = wanted(deployments_.get(ns, above.name()), above);
    return whole ? whole : scale;
  }
  if (apps && ref.kind() == "StatefulSet") return wanted(stateful_sets_.get(ns, ref.name()), ref);
  if (apps && ref.kind() == "Deployment") return wanted(deployments_.get(ns, ref.name()), ref);
  if (ref.api_version() == "v1" && ref.kind() == "ReplicationController") {
    return wanted(replication_controllers_.get(ns, ref.name()), ref);
  }
  return std::nullopt;
}

ExpectedScale DisruptionController::expected_scale(const std::vector<Ref<Pod>>& pods) const {
  ExpectedScale out;
  std::map<std::string, int64_t> by_controller;  // its uid
  std::map<std::string, bool, std::less<>> asked;
  for (const auto& pod : pods) {
    OwnerReference ref = controller_of(pod->metadata());
    if (!ref) {
      out.unmanaged = true;
      continue;
    }
    if (!asked.emplace(std::string(ref.uid()), true).second) continue;
    std::string uid;
    auto scale = scale_of(pod->metadata().namespace_(), ref, &uid);
    if (!scale) {
      const KindDesc* kind = find_kind(ref.api_version(), ref.kind());
      out.error =
          kind && !kind->subresource("scale")
              ? std::string(kind->group_resource()) + " does not implement the scale subresource"
              : "found no controllers for pod \"" + std::string(pod->metadata().name()) + "\"";
      return out;
    }
    by_controller[uid] = *scale;
  }
  for (const auto& [uid, n] : by_controller) out.count += n;
  return out;
}

// A disruption that was announced and has not come: the pod lives on, and its condition says so.
Task<ReconcileResult> DisruptionController::reconcile_pod(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Pod> pod = pods_.get(parts.first, parts.second);
  std::optional<Duration> wait;
  if (pod) wait = stale_disruption(*pod, loop().wall_now());
  if (!wait) co_return Status();
  if (*wait > Duration(0)) co_return ReconcileResult::after(*wait);
  PodConditionWrite nothing_came{kDisruptionTarget, "False", "", ""};
  std::optional<Document> patch = pod_condition_patch(*pod, nothing_came, loop().wall_now());
  if (!patch) co_return Status();
  Status s =
      co_await patch_pod_status(ctx, &client(), parts.first, parts.second, std::move(*patch));
  co_return s;
}

void DisruptionController::report(const Ref<Budget>& budget, const std::vector<Ref<Pod>>& pods,
                                  const ExpectedScale& scale, const BudgetPlan& plan) {
  auto about = reference_to(budget);
  for (const auto& pod : plan.never_deleted) {
    events().warning(
        reference_to(pod), "NotDeleted",
        "Pod was expected by PDB " + key_of(budget->metadata()) + " to be deleted but it wasn't");
  }
  if (pods.empty()) events().normal(about, "NoPods", "No matching pods found");
  if (!scale.error.empty()) {
    events().warning(about, "CalculateExpectedPodCountFailed",
                     "Failed to calculate the number of expected pods: " + scale.error);
  }
  if (!scale.unmanaged) return;
  auto selector = Selector::from_label_selector(budget->spec().selector());
  events().warning(
      about, "UnmanagedPods",
      "Pods selected by this PodDisruptionBudget (selector: " +
          (selector.ok() ? selector->to_string() : std::string()) +
          ") were found to be unmanaged. As a result, the status of the PDB cannot be calculated "
          "correctly, which may result in undefined behavior. To account for these pods please "
          "set \".spec.minAvailable\" field of the PDB to an integer value.");
}

Task<ReconcileResult> DisruptionController::reconcile(Context ctx, std::string key) {
  if (key.starts_with(kPodKey)) {
    ReconcileResult r = co_await reconcile_pod(ctx, key.substr(kPodKey.size()));
    co_return r;
  }
  auto parts = split_key(key);
  Ref<Budget> budget = budgets_.get(parts.first, parts.second);
  if (!budget) co_return Status();
  std::vector<Ref<Pod>> pods;
  auto selector = Selector::from_label_selector(budget->spec().selector());
  if (selector.ok()) {
    pods = by_label_.select_as<Pod>(parts.first, *selector);
  }
  ExpectedScale scale;
  if (needs_scale(*budget)) scale = expected_scale(pods);
  BudgetPlan plan = plan_budget(*budget, pods, scale, loop().wall_now());
  if (plan.update) {  // events go with changes: nothing is said again and again
    report(budget, pods, scale, plan);
    auto r = co_await client().update_status<Budget>(ctx, plan.update->take());
    if (!r.ok() && !r.status().is(Reason::kNotFound)) co_return r.status();
  }
  co_return ReconcileResult::after(plan.requeue_after);
}

}  // namespace keles::controllers
