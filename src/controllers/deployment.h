// Deployment controller: moves pods from old ReplicaSets to the one of the current template, by a
// rolling update or by recreation (upstream: pkg/controller/deployment).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/kit.h"

namespace keles::controllers {

// What is to be done about one Deployment, in this order.
struct DeploymentPlan {
  struct Update {  // a ReplicaSet to write
    Ref<api::apps_v1::ReplicaSet> before;
    Draft<api::apps_v1::ReplicaSetEdit> now;
    int64_t from = 0, to = 0;  // replicas; an event is told when they differ
  };
  std::optional<Draft<api::apps_v1::ReplicaSetEdit>> create;
  std::vector<Update> updates;
  std::vector<Ref<api::apps_v1::ReplicaSet>> remove;  // beyond the history limit
  std::string revision;                               // the annotation that it is to carry, or ""
  Draft<api::apps_v1::DeploymentEdit> status;         // the whole object with its new status
  bool status_changed = false;
  Duration requeue_after{0};  // to notice a missed progress deadline
};

// `sets`: those that it controls. `old_pods_live`: whether a pod of a set other than the current
// one still lives (only Recreate asks).
DeploymentPlan plan_deployment(const api::apps_v1::Deployment& d,
                               const std::vector<Ref<api::apps_v1::ReplicaSet>>& sets,
                               bool old_pods_live, WallTime now);

// A return to an earlier revision, as clients of the older versions ask for it by annotation (0:
// the one before the last).
struct RollbackPlan {
  Draft<api::apps_v1::DeploymentEdit> update;  // the whole object, the annotation gone
  std::string type, reason, message;           // an event
};
// Nothing when none is asked for, or it has to wait: for its newest set, or until it goes on.
std::optional<RollbackPlan> plan_rollback(const api::apps_v1::Deployment& d,
                                          const std::vector<Ref<api::apps_v1::ReplicaSet>>& sets);

// The set whose template is the Deployment's, the oldest when there are several; empty when none.
Ref<api::apps_v1::ReplicaSet> find_new_replica_set(
    const api::apps_v1::Deployment& d, const std::vector<Ref<api::apps_v1::ReplicaSet>>& sets);

// Whether it says how long it may go without progress.
bool has_progress_deadline(const api::apps_v1::Deployment& d);

// The pod-template-hash of a template: stable across processes, in upstream's safe alphabet.
std::string template_hash(const api::core_v1::PodTemplateSpec& pod_template,
                          int64_t collision_count);

class DeploymentController final : public ControllerFor<api::apps_v1::Deployment> {
 public:
  explicit DeploymentController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Deployment = api::apps_v1::Deployment;
  using ReplicaSet = api::apps_v1::ReplicaSet;
  using Pod = api::core_v1::Pod;
  void pod_gone(const ObjectPtr& last);
  Task<Status> create_set(Context ctx, Ref<Deployment> d, DeploymentPlan* plan);
  Task<Status> roll_back(Context ctx, Ref<Deployment> d, RollbackPlan* plan);
  Task<Status> create_failed(Context ctx, Ref<Deployment> d, std::string name, Status why);
  Task<Status> write_sets(Context ctx, Ref<Deployment> d, DeploymentPlan* plan);
  Task<Status> write_self(Context ctx, Ref<Deployment> d, DeploymentPlan* plan);
  bool old_pods_live(const Deployment& d, const std::vector<Ref<ReplicaSet>>& sets) const;

  Informer<ReplicaSet> sets_;
  Informer<Pod> pods_;
};

}  // namespace keles::controllers
