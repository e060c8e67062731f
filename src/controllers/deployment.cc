#include "controllers/deployment.h"

#include "base/log.h"
#include "controllers/claims.h"
#include "controllers/ownership.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::apps_v1;

DeploymentController::DeploymentController(Deps deps)
    : ControllerFor(deps, "deployment", "deployment-controller", 5),
      sets_(owns<ReplicaSet>()),
      pods_(watch<Pod>()) {
  index_by_controller(pods_.base());
  // A Recreate rollout waits for the last old pod to go.
  pods_.base().add_handler({nullptr, nullptr, [this](const ObjectPtr& last) { pod_gone(last); }});
}

void DeploymentController::pod_gone(const ObjectPtr& last) {
  DocumentPtr tree = last->metadata();
  auto above = controller_of(api::meta_v1::ObjectMeta(tree->root["metadata"]));
  if (!above || above.kind() != "ReplicaSet") return;
  auto set = sets_.get(last->namespace_(), above.name());
  if (!set || set->metadata().uid() != above.uid()) return;
  auto ref = controller_of(set->metadata());
  auto d = objects().get(last->namespace_(), ref.name());
  if (!d || d->metadata().uid() != ref.uid()) return;
  if (d->spec().strategy().type() == "Recreate") queue().add(key_of(d->metadata()));
}

bool DeploymentController::old_pods_live(const Deployment& d,
                                         const std::vector<Ref<ReplicaSet>>& sets) const {
  if (d.spec().strategy().type() != "Recreate") return false;
  Ref<ReplicaSet> current = find_new_replica_set(d, sets);
  for (const auto& rs : sets) {
    if (current && rs->metadata().uid() == current->metadata().uid()) continue;
    for (const auto& pod : pods_.by_index(kControllerIndex, rs->metadata().uid())) {
      if (!pod_has_finished(*pod)) return true;
    }
  }
  return false;
}

Task<ReconcileResult> DeploymentController::reconcile(Context ctx, std::string key) {
  Ref<Deployment> d = find(key);
  if (!d) co_return Status();
  auto s = d->spec().selector();
  if (s.match_labels().empty() && s.match_expressions().empty()) {
    events().warning(reference_to(d), "SelectingAll",
                     "This deployment is selecting all pods. A non-empty selector is required.");
    if (d->status().observed_generation() >= d->metadata().generation()) co_return Status();
    Draft<DeploymentEdit> seen(*d);
    seen->edit_status().set_observed_generation(d->metadata().generation());
    Status told = co_await write_status(ctx, seen.take());
    co_return told;
  }
  Claimant owner = claimant(*d);
  auto claims = plan_claims(owner, candidates(sets_, owner));
  auto settled = co_await settle_claims(ctx, &client(), owner, &claims);
  if (!settled.ok() || !*settled) co_return settled.status();
  std::vector<Ref<ReplicaSet>> sets = std::move(claims.owned);
  if (auto back = plan_rollback(*d, sets)) {
    Status rolled = co_await roll_back(ctx, d, &*back);
    co_return rolled;
  }
  DeploymentPlan plan = plan_deployment(*d, sets, old_pods_live(*d, sets), loop().wall_now());
  if (plan.create) {
    Status made = co_await create_set(ctx, d, &plan);
    if (!made.ok()) co_return made;
  }
  Status written = co_await write_sets(ctx, d, &plan);
  if (!written.ok()) co_return written;
  Status self = co_await write_self(ctx, d, &plan);
  if (!self.ok()) co_return self;
  co_return ReconcileResult::after(plan.requeue_after);
}

Task<Status> DeploymentController::create_set(Context ctx, Ref<Deployment> d,
                                              DeploymentPlan* plan) {
  ReplicaSet wanted = **plan->create;
  std::string name(wanted.metadata().name()), ns(wanted.metadata().namespace_());
  int64_t replicas = wanted.spec().replicas();
  auto r = co_await client().create<ReplicaSet>(ctx, plan->create->document().clone());
  if (r.ok()) {
    if (replicas > 0) {
      events().normal(reference_to(d), "ScalingReplicaSet",
                      "Scaled up replica set " + name + " from 0 to " + std::to_string(replicas));
    }
    co_return Status();
  }
  if (!r.status().is(Reason::kAlreadyExists)) {
    co_return co_await create_failed(ctx, d, name, r.status());
  }
  auto there = co_await client().get<ReplicaSet>(ctx, ns, name);
  if (!there.ok()) co_return there.status();
  bool ours = is_controlled_by((*there)->metadata(), d->metadata().uid());
  if (ours && find_new_replica_set(*d, {*there})) {
    // Our cache lags behind, and may never see it: it may be gone before.
    co_return Status(Reason::kConflict, "the cache does not have " + name + " yet");
  }
  Draft<DeploymentEdit> again(*d);
  again->edit_status().set_collision_count(d->status().collision_count() + 1);
  auto written = co_await client().update_status<Deployment>(ctx, again.take());
  if (!written.ok()) co_return written.status();
  co_return Status(Reason::kConflict, "the hash of the pod template collides with that of " + name);
}

Task<Status> DeploymentController::create_failed(Context ctx, Ref<Deployment> d, std::string name,
                                                 Status why) {
  if (namespace_is_ending(why) || why.is(Reason::kOutcomeUnknown) || ctx.done()) co_return why;
  std::string message = "Failed to create new replica set \"" + name + "\": " + why.message();
  events().warning(reference_to(d), "ReplicaSetCreateError", message);
  if (!has_progress_deadline(*d)) co_return why;
  Draft<DeploymentEdit> told(*d);
  auto conditions = told->edit_status().edit_conditions();
  const ConditionWrite failed{"Progressing", "False", "ReplicaSetCreateError", message};
  auto before = find_condition(d->status().conditions(), failed.type);
  if (before.reason() == failed.reason && before.status() == failed.status) co_return why;
  set_condition(conditions, failed, loop().wall_now());
  (void)co_await write_status(ctx, told.take());  // what failed matters more
  co_return why;
}

Task<Status> DeploymentController::roll_back(Context ctx, Ref<Deployment> d, RollbackPlan* plan) {
  auto r = co_await client().update<Deployment>(ctx, plan->update.take());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  if (r.ok()) events().event(reference_to(d), plan->type, plan->reason, plan->message);
  co_return r.status();
}

Task<Status> DeploymentController::write_sets(Context ctx, Ref<Deployment> d,
                                              DeploymentPlan* plan) {
  for (auto& u : plan->updates) {
    auto r = co_await client().update<ReplicaSet>(ctx, u.now.take());
    if (!r.ok()) co_return r.status();
    if (u.from == u.to) continue;
    events().normal(reference_to(d), "ScalingReplicaSet",
                    std::string(u.to > u.from ? "Scaled up" : "Scaled down") + " replica set " +
                        std::string(u.before->metadata().name()) + " from " +
                        std::to_string(u.from) + " to " + std::to_string(u.to));
  }
  for (const auto& rs : plan->remove) {
    DeleteOptions o;
    o.uid = std::string(rs->metadata().uid());
    Status s = co_await client().remove<ReplicaSet>(ctx, std::string(rs->metadata().namespace_()),
                                                    std::string(rs->metadata().name()), o);
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
  }
  co_return Status();
}

Task<Status> DeploymentController::write_self(Context ctx, Ref<Deployment> d,
                                              DeploymentPlan* plan) {
  if (plan->status_changed) {
    TRY_CO(write_status(ctx, plan->status.take()));
  }
  if (plan->revision.empty()) co_return Status();
  Document patch;
  patch.root = Value::map();
  patch.root.set(patch.arena, "metadata", Value::map())
      .set(patch.arena, "annotations", Value::map())
      .set(patch.arena, "deployment.kubernetes.io/revision",
           Value::string(patch.arena.copy(plan->revision)));
  // By way of the status: an annotation that others write raises the generation.
  WriteOptions options;
  options.subresource = "status";
  auto r = co_await client().patch(
      ctx, &kind_of<Deployment>(), std::string(d->metadata().namespace_()),
      std::string(d->metadata().name()), PatchType::kMerge, std::move(patch), options);
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

}  // namespace keles::controllers
