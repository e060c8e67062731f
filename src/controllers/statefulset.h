// StatefulSet controller: pods with a number, a name and volumes of their own, made and replaced in
// order (upstream: pkg/controller/statefulset).
#pragma once

#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/kit.h"
#include "controllers/revisions.h"

namespace keles::controllers {

struct StatefulSetPlan {
  std::vector<int64_t> create;                 // ordinals
  std::vector<Ref<api::core_v1::Pod>> remove;  // finished, beyond the size, or out of date
  int64_t replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
};

// The names of the update revision and of the one that older pods have.
StatefulSetPlan plan_stateful_set(const api::apps_v1::StatefulSet& set,
                                  const std::vector<Ref<api::core_v1::Pod>>& pods,
                                  const std::string& current_revision,
                                  const std::string& update_revision, WallTime now);

// -1 when the name is not "SET-NUMBER".
int64_t ordinal_of(std::string_view set, std::string_view pod);

Draft<api::core_v1::PodEdit> stateful_pod(const api::apps_v1::StatefulSet& set, int64_t ordinal,
                                          const std::string& revision);

class StatefulSetController final : public ControllerFor<api::apps_v1::StatefulSet> {
 public:
  explicit StatefulSetController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using StatefulSet = api::apps_v1::StatefulSet;
  using Pod = api::core_v1::Pod;
  using Claim = api::core_v1::PersistentVolumeClaim;
  Task<Status> make_claims(Context ctx, Ref<StatefulSet> set, int64_t ordinal);
  Task<Status> create_pod(Context ctx, Ref<StatefulSet> set, int64_t ordinal, std::string revision);
  Task<Status> remove_pod(Context ctx, Ref<StatefulSet> set, Ref<Pod> pod);
  Task<Status> update_status(Context ctx, Ref<StatefulSet> set, const StatefulSetPlan* plan,
                             std::string current, std::string update);

  Ref<StatefulSet> at_revision(const Ref<StatefulSet>& set, const std::string& revision) const;

  Informer<Pod> pods_;
  Informer<Claim> claims_;
  Informer<api::apps_v1::ControllerRevision> revisions_;
};

}  // namespace keles::controllers
