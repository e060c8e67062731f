// Disruption controller: says in every PodDisruptionBudget's status how many of its pods may be
// evicted now, and takes back DisruptionTarget conditions that came to nothing (upstream:
// pkg/controller/disruption). The eviction API takes from disruptionsAllowed and notes the pod in
// disruptedPods; here the pod is counted as gone until it is, for at most two minutes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "api/policy_v1.h"
#include "controllers/controller.h"
#include "controllers/selector_index.h"

namespace keles::controllers {

// How many pods the controllers of a budget's pods want, together.
struct ExpectedScale {
  int64_t count = 0;
  bool unmanaged = false;    // some pods have no controller
  std::string error;         // a pod whose controller nobody knows
  std::string ill_selector;  // why the budget's selector is none: nothing is known then
};

struct BudgetPlan {
  // The budget with its new status; nothing when it is level.
  std::optional<Draft<api::policy_v1::PodDisruptionBudgetEdit>> update;
  bool failed = false;                                // the status says so, and allows none
  Duration requeue_after{0};                          // when the next disruption is forgotten
  std::vector<Ref<api::core_v1::Pod>> never_deleted;  // evicted long ago, and still there
};

// `pods`: those that the budget selects. `scale` is read only where the budget needs it
// (maxUnavailable, or a percentage).
BudgetPlan plan_budget(const api::policy_v1::PodDisruptionBudget& budget,
                       const std::vector<Ref<api::core_v1::Pod>>& pods, const ExpectedScale& scale,
                       WallTime now);
bool needs_scale(const api::policy_v1::PodDisruptionBudget& budget);

// How long the pod's DisruptionTarget condition may stand yet; nothing when it has none that could
// be taken back.
std::optional<Duration> stale_disruption(const api::core_v1::Pod& pod, WallTime now);

class DisruptionController final : public Controller {
 public:
  explicit DisruptionController(Deps deps);
  // Keys: "ns/name" of a budget, or "pod|ns/name".
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Pod = api::core_v1::Pod;
  using Budget = api::policy_v1::PodDisruptionBudget;
  using OwnerReference = api::meta_v1::OwnerReference;
  void pod_changed(const Ref<Pod>& before, const Ref<Pod>& now);
  std::vector<Ref<Budget>> budgets_of(const Pod& pod) const;
  void tell_of_several(const Ref<Pod>& pod);
  std::optional<int64_t> watched_scale(std::string_view ns, const OwnerReference& ref,
                                       std::string* uid) const;
  Task<Result<std::optional<int64_t>>> asked_scale(Context ctx, std::string ns, OwnerReference ref);
  Task<ExpectedScale> expected_scale(Context ctx, std::vector<Ref<Pod>> pods);
  Task<ReconcileResult> reconcile_pod(Context ctx, std::string key);
  void report(const Ref<Budget>& budget, const std::vector<Ref<Pod>>& pods,
              const ExpectedScale& scale, const BudgetPlan& plan);

  Informer<Budget> budgets_;
  Informer<Pod> pods_;
  LabelIndex by_label_{pods_.base()};
  Informer<api::apps_v1::ReplicaSet> replica_sets_;
  Informer<api::apps_v1::Deployment> deployments_;
  Informer<api::apps_v1::StatefulSet> stateful_sets_;
  Informer<api::core_v1::ReplicationController> replication_controllers_;
};

}  // namespace keles::controllers
