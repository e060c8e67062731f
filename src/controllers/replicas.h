// The controller of the kinds that keep a number of equal pods: ReplicaSet and, in the older form,
// ReplicationController. It adopts matching orphans, releases pods that no longer match, creates in
// batches that double while all goes well, and deletes the least valuable pods first (upstream:
// pkg/controller/replicaset, and pkg/controller/replication over it).
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/kit.h"
#include "controllers/pod_control.h"

namespace keles::controllers {

// What is to be done about one owner.
struct ReplicasPlan {
  Claims<api::core_v1::Pod> claims;  // on active pods
  int create = 0;
  std::vector<Ref<api::core_v1::Pod>> remove;  // in the order of deletion
  int64_t terminating = 0;                     // its own, marked and not ended
};

// The pods beside which one of its own is less worth on the same node: those of all ReplicaSets of
// its Deployment. Asked only when some are to go.
using RelatedPods = std::function<std::vector<Ref<api::core_v1::Pod>>()>;

// `candidates`: the pods that it controls, and the orphans of its namespace.
ReplicasPlan plan_replicas(const Claimant& owner, int64_t wanted,
                           const std::vector<Ref<api::core_v1::Pod>>& candidates,
                           const RelatedPods& related, WallTime now);

template <class O>
int64_t wanted_replicas(const O& owner) {
  return owner.spec().has_replicas() ? owner.spec().replicas() : 1;
}

// Sorts pods so that those to delete first come first.
void rank_for_deletion(std::vector<Ref<api::core_v1::Pod>>& pods,
                       const std::vector<Ref<api::core_v1::Pod>>& related, WallTime now);

template <class O>
class ReplicasController final : public ControllerFor<O> {
 public:
  explicit ReplicasController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Pod = api::core_v1::Pod;
  using Edit =
      std::conditional_t<std::is_same_v<O, api::apps_v1::ReplicaSet>, api::apps_v1::ReplicaSetEdit,
                         api::core_v1::ReplicationControllerEdit>;
  using Base = ControllerFor<O>;
  // ReplicationControllers do not (KEP 3973).
  static constexpr bool kTellsTerminating = std::is_same_v<O, api::apps_v1::ReplicaSet>;
  using Base::client, Base::events, Base::expectations, Base::loop, Base::options;
  std::vector<Ref<Pod>> related_pods(const Ref<O>& rs) const;
  Task<Status> create_pods(Context ctx, Ref<O> rs, int n);
  Task<Status> delete_pods(Context ctx, Ref<O> rs, std::vector<Ref<Pod>> pods);
  Task<Status> update_status(Context ctx, Ref<O> rs, const ReplicasPlan* plan, Status managed);

  Informer<Pod> pods_;
  PodControl pod_control_;
};

using ReplicaSetController = ReplicasController<api::apps_v1::ReplicaSet>;
using ReplicationManager = ReplicasController<api::core_v1::ReplicationController>;

}  // namespace keles::controllers
