#include "controllers/disruption.h"

#include <map>

#include "client/pod_condition.h"
#include "controllers/ownership.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kPodKey = "pod|";

}  // namespace

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
