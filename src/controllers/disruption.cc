#include "controllers/disruption.h"

#include <map>
#include <set>

#include "client/pod_condition.h"
#include "controllers/autoscaling/target.h"
#include "controllers/ownership.h"
#include "machinery/catalog.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kPodKey = "pod|";

// A selector as upstream's events print it.
std::string selector_words(const api::meta_v1::LabelSelector& selector) {
  if (!selector) return "nil";
  std::map<std::string_view, std::string_view> labels;
  for (auto [k, v] : selector.match_labels()) labels[k] = v;
  std::string out = "&LabelSelector{MatchLabels:map[string]string{";
  for (auto [k, v] : labels) out.append(k).append(": ").append(v).append(",");
  out += "},MatchExpressions:[]LabelSelectorRequirement{";
  for (auto e : selector.match_expressions()) {
    out.append("LabelSelectorRequirement{Key:").append(e.key());
    out.append(",Operator:").append(e.operator_()).append(",Values:[");
    bool first = true;
    for (std::string_view v : e.values()) {
      out.append(first ? "" : " ").append(v);
      first = false;
    }
    out += "],},";
  }
  return out + "},}";
}

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

std::vector<Ref<DisruptionController::Budget>> DisruptionController::budgets_of(
    const Pod& pod) const {
  std::vector<Ref<Budget>> out;
  auto labels = pod.metadata().labels();
  for (auto& budget : may_select(budgets_, pod.metadata().namespace_(), labels)) {
    auto selector = Selector::from_label_selector(budget->spec().selector());
    if (selector.ok() && selector->matches(labels)) out.push_back(std::move(budget));
  }
  return out;
}

void DisruptionController::tell_of_several(const Ref<Pod>& pod) {
  auto budgets = budgets_of(*pod);
  if (budgets.size() < 2) return;
  auto meta = pod->metadata();
  events().warning(reference_to(pod), "MultiplePodDisruptionBudgets",
                   "Pod \"" + std::string(meta.namespace_()) + "\"/\"" + std::string(meta.name()) +
                       "\" matches multiple PodDisruptionBudgets.  Chose \"" +
                       std::string(budgets.front()->metadata().name()) + "\" arbitrarily.");
}

void DisruptionController::pod_changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  for (const Ref<Pod>& pod : {before, now}) {
    if (!pod) continue;
    for (const auto& budget : budgets_of(*pod)) queue().add(key_of(budget->metadata()));
  }
  if (!now) return;
  // Told when it begins to be so, not with each change of the pod.
  const bool relabelled =
      !before || !before->metadata().labels().value().equals(now->metadata().labels().value());
  if (relabelled) tell_of_several(now);
  if (auto wait = stale_disruption(*now, loop().wall_now())) {
    queue().add_after(std::string(kPodKey) + key_of(now->metadata()), *wait);
  }
}

// The replicas that the pod's controller asks for, by what is watched anyway; of a Deployment's
// ReplicaSet, the Deployment's. Nothing when it is not among that.
std::optional<int64_t> DisruptionController::watched_scale(std::string_view ns,
                                                           const OwnerReference& ref,
                                                           std::string* uid) const {
  auto wanted = [uid](const auto& owner, const OwnerReference& r) -> std::optional<int64_t> {
    if (!owner || owner->metadata().uid() != r.uid()) return std::nullopt;
    *uid = std::string(r.uid());
    return owner->spec().has_replicas() ? owner->spec().replicas() : 1;
  };
  auto is = [](const OwnerReference& r, std::string_view kind) {
    std::string_view group = r.api_version().substr(0, r.api_version().find('/'));
    return r.kind() == kind && (group == "apps" || group == "extensions");
  };
  if (is(ref, "ReplicaSet")) {
    auto set = replica_sets_.get(ns, ref.name());
    auto scale = wanted(set, ref);
    if (!scale) return scale;
    OwnerReference above = controller_of(set->metadata());
    if (!above || above.kind() != "Deployment") return scale;
    auto whole = is(above, "Deployment") ? wanted(deployments_.get(ns, above.name()), above)
                                         : std::optional<int64_t>();
    return whole ? whole : scale;
  }
  if (is(ref, "StatefulSet")) return wanted(stateful_sets_.get(ns, ref.name()), ref);
  if (ref.api_version() == "v1" && ref.kind() == "ReplicationController") {
    return wanted(replication_controllers_.get(ns, ref.name()), ref);
  }
  return std::nullopt;
}

// The same of what is not watched: any kind with a scale, custom ones too. Nothing when there is no
// such object.
Task<Result<std::optional<int64_t>>> DisruptionController::asked_scale(Context ctx, std::string ns,
                                                                       OwnerReference ref) {
  std::string version(ref.api_version()), kind(ref.kind()), name(ref.name()), uid(ref.uid());
  CatalogPtr catalog = client().kinds().current();
  const KindDesc* desc = catalog->find_kind(version, kind);
  if (!desc || desc->plural.empty()) {
    co_return Status(Reason::kNotFound,
                     "no matches for kind \"" + kind + "\" in version \"" + version + "\"");
  }
  if (!desc->subresource("scale")) {
    co_return Status(Reason::kInternalError, std::string(desc->group_resource()) +
                                                 " does not implement the scale subresource");
  }
  auto scale = co_await hpa::get_scale(ctx, &client(), version, kind, ns, name);
  std::optional<int64_t> out;
  if (scale.status().is(Reason::kNotFound)) co_return out;
  if (!scale.ok()) co_return scale.status();
  if (scale->uid == uid) out = scale->wanted;
  co_return out;
}

Task<ExpectedScale> DisruptionController::expected_scale(Context ctx, std::vector<Ref<Pod>> pods) {
  ExpectedScale out;
  std::map<std::string, int64_t> by_controller;  // its uid
  std::set<std::string, std::less<>> asked;
  for (const auto& pod : pods) {
    OwnerReference ref = controller_of(pod->metadata());
    if (!ref) {
      out.unmanaged = true;
      continue;
    }
    if (!asked.emplace(ref.uid()).second) continue;
    std::string ns(pod->metadata().namespace_()), uid(ref.uid());
    auto scale = watched_scale(ns, ref, &uid);
    if (!scale) {
      auto told = co_await asked_scale(ctx, ns, ref);
      if (!told.ok()) {
        out.error = told.status().message();
        co_return out;
      }
      scale = *told;
    }
    if (!scale) {
      out.error = "found no controllers for pod \"" + std::string(pod->metadata().name()) + "\"";
      co_return out;
    }
    by_controller[uid] = *scale;
  }
  for (const auto& [uid, n] : by_controller) out.count += n;
  co_return out;
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
  if (!scale.ill_selector.empty()) {
    events().warning(about, "NoPods", "Failed to get pods: " + scale.ill_selector);
    return;
  }
  if (pods.empty()) events().normal(about, "NoPods", "No matching pods found");
  if (!scale.error.empty()) {
    events().warning(about, "CalculateExpectedPodCountFailed",
                     "Failed to calculate the number of expected pods: " + scale.error);
  }
  if (!scale.unmanaged) return;
  events().warning(
      about, "UnmanagedPods",
      "Pods selected by this PodDisruptionBudget (selector: " +
          selector_words(budget->spec().selector()) +
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
  ExpectedScale scale;
  auto selector = Selector::from_label_selector(budget->spec().selector());
  if (selector.ok()) {
    pods = by_label_.select_as<Pod>(parts.first, *selector);
    if (needs_scale(*budget)) scale = co_await expected_scale(ctx, pods);
  } else {
    scale.ill_selector = selector.status().message();
  }
  BudgetPlan plan = plan_budget(*budget, pods, scale, loop().wall_now());
  if (plan.update) {  // events go with changes: nothing is said again and again
    report(budget, pods, scale, plan);
    auto r = co_await client().update_status<Budget>(ctx, plan.update->take());
    if (!r.ok() && !r.status().is(Reason::kNotFound)) co_return r.status();
  }
  co_return ReconcileResult::after(plan.requeue_after);
}

}  // namespace keles::controllers
