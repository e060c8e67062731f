// ReplicaSet controller: keeps as many pods as a ReplicaSet asks for. It adopts matching orphans,
// releases pods that no longer match, creates in batches that double while all goes well, and
// deletes the least valuable pods first (upstream: pkg/controller/replicaset).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "client/expectations.h"
#include "controllers/claims.h"
#include "controllers/controller.h"
#include "controllers/pod_control.h"

namespace keles::controllers {

// What is to be done about one ReplicaSet.
struct ReplicaSetPlan {
  Claims<api::core_v1::Pod> claims;  // on active pods
  int create = 0;
  std::vector<Ref<api::core_v1::Pod>> remove;  // in the order of deletion
};

// `candidates`: the pods that it controls, and the orphans of its namespace.
// `pods_on_node`: active pods of the same owner on each node, for spreading deletions.
ReplicaSetPlan plan_replica_set(const api::apps_v1::ReplicaSet& rs,
                                const std::vector<Ref<api::core_v1::Pod>>& candidates,
                                WallTime now);

// Sorts pods so that those to delete first come first.
void rank_for_deletion(std::vector<Ref<api::core_v1::Pod>>& pods, WallTime now);

class ReplicaSetController final : public Controller {
 public:
  explicit ReplicaSetController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Pod = api::core_v1::Pod;
  using ReplicaSet = api::apps_v1::ReplicaSet;
  void pod_changed(const Ref<Pod>& before, const Ref<Pod>& now);
  Task<Status> create_pods(Context ctx, Ref<ReplicaSet> rs, int n);
  Task<Status> delete_pods(Context ctx, Ref<ReplicaSet> rs, std::vector<Ref<Pod>> pods);
  Task<Status> update_status(Context ctx, Ref<ReplicaSet> rs, const ReplicaSetPlan* plan,
                             Status managed);

  Informer<ReplicaSet> sets_;
  Informer<Pod> pods_;
  Expectations expectations_;
  PodControl pod_control_{client(), events(), expectations_};
};

}  // namespace keles::controllers
