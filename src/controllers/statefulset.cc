#include "controllers/statefulset.h"

#include <algorithm>

#include "controllers/workload_metrics.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

StatefulSetController::StatefulSetController(Deps deps)
    : ControllerFor(deps, "statefulset", "statefulset-controller", 5),
      pods_(owns<Pod>()),
      claims_(watch<PersistentVolumeClaim>()),
      revisions_(owns<ControllerRevision>()) {
  // Whoever's a pod was that has gone: its name is free again. So may a claim have been waited for.
  auto wake = [this](std::string_view ns, std::string_view pod) {
    pod = pod.substr(0, std::min(pod.rfind('-'), pod.size()));
    if (auto waiting = objects().base().get(ns, pod)) queue().add(waiting->key());
  };
  pods_.base().add_handler({nullptr, nullptr, [wake](const ObjectPtr& last) {
                              wake(last->namespace_(), last->name());
                            }});
  claims_.base().add_handler({nullptr, nullptr, [this](const ObjectPtr& last) {
                                for (auto& key : sets_of_claim(last->namespace_(), last->name()))
                                  queue().add(std::move(key));
                              }});
}

Keys StatefulSetController::sets_of_claim(std::string_view ns, std::string_view claim) const {
  Keys out;
  for (auto [from, name] : claim_name_readings(claim)) {
    auto set = objects().get(ns, name);
    if (set && has_claim_template(*set, from)) out.push_back(key_of(set->metadata()));
  }
  return out;
}

void StatefulSetController::tell(const Ref<StatefulSet>& set, std::string_view verb,
                                 std::string_view pod, const Status& outcome) {
  std::string what = std::string(verb) + " Pod " + std::string(pod) + " in StatefulSet " +
                     std::string(set->metadata().name());
  if (outcome.ok()) {
    events().normal(reference_to(set), "Successful" + std::string(verb), what + " successful");
  } else {
    events().warning(reference_to(set), "Failed" + std::string(verb),
                     what + " failed error: " + outcome.message());
  }
}

Task<Status> StatefulSetController::make_claims(Context ctx, Ref<StatefulSet> set,
                                                int64_t ordinal) {
  std::string ns(set->metadata().namespace_());
  const std::string pod = std::string(set->metadata().name()) + "-" + std::to_string(ordinal);
  const std::string of_set = " in StatefulSet " + std::string(set->metadata().name());
  Status first;
  for (PersistentVolumeClaim from : set->spec().volume_claim_templates()) {
    std::string name = stateful_claim_name(*set, from, ordinal);
    Status s;
    if (auto there = claims_.get(ns, name)) {
      if (there->metadata().deletion_timestamp().empty()) continue;
      s = Status(Reason::kConflict, "pvc " + name + " is being deleted");
    } else {
      Document body = stateful_claim(*set, from, ordinal).take();
      auto r = co_await client().create<PersistentVolumeClaim>(ctx, std::move(body));
      if (r.ok()) {
        events().normal(reference_to(set), "SuccessfulCreate",
                        "Create Claim " + name + " Pod " + pod + of_set + " success");
        continue;
      }
      s = r.status().with_prefix("failed to create PVC " + name);
      // One that our cache does not have yet may be gone before we see it: tried again.
      if (!r.status().is(Reason::kAlreadyExists) && !namespace_is_ending(r.status())) {
        events().warning(reference_to(set), "FailedCreate",
                         "Create Claim " + name + " for Pod " + pod + of_set +
                             " failed error: " + r.status().message());
      }
    }
    if (first.ok()) first = s;
  }
  co_return first;
}

Task<Status> StatefulSetController::create_pod(Context ctx, Ref<StatefulSet> set,
                                               Ref<StatefulSet> from, int64_t ordinal,
                                               std::string revision) {
  const std::string name = std::string(set->metadata().name()) + "-" + std::to_string(ordinal);
  Status claims = co_await make_claims(ctx, set, ordinal);
  if (!claims.ok()) {
    if (!claims.is(Reason::kAlreadyExists)) tell(set, "Create", name, claims);
    co_return claims;
  }
  Document body = stateful_pod(*from, ordinal, revision).take();
  auto r = co_await client().create<Pod>(ctx, std::move(body));
  // By us and not seen yet, or a stranger's: tried again until our cache knows of it, for it may be
  // gone before we see it.
  if (!r.status().is(Reason::kAlreadyExists)) tell(set, "Create", name, r.status());
  co_return r.status();
}

Task<Status> StatefulSetController::mend_pod(Context ctx, Ref<StatefulSet> set, Document pod) {
  const std::string name(Pod(pod.root).metadata().name());
  TRY_CO(make_claims(ctx, set, ordinal_of(set->metadata().name(), name)));
  auto r = co_await client().update<Pod>(ctx, std::move(pod));
  if (r.status().is(Reason::kNotFound)) co_return Status();
  tell(set, "Update", name, r.status());
  co_return r.status();
}

Task<Status> StatefulSetController::write_owners(Context ctx, Ref<StatefulSet> set,
                                                 StatefulSetPlan* plan) {
  for (auto& o : plan->owners) {
    const std::string name(o.claim->metadata().name());
    if (o.conflict) {
      events().warning(reference_to(set), "ConflictingController",
                       "PersistentVolumeClaim " + name +
                           " has a conflicting OwnerReference that acts as a manging controller, "
                           "the retention policy is ignored for this claim");
    }
    auto r = co_await client().update<PersistentVolumeClaim>(ctx, o.claim.take());
    if (r.ok() || r.status().is(Reason::kNotFound)) continue;
    co_return r.status().with_prefix("could not update claim " + name +
                                     " for delete policy ownerRefs");
  }
  co_return Status();
}

Task<Status> StatefulSetController::remove_pod(Context ctx, Ref<StatefulSet> set, Ref<Pod> pod) {
  DeleteOptions o;
  o.uid = std::string(pod->metadata().uid());
  std::string name(pod->metadata().name());
  Status s = co_await remove_once(ctx, &client(), &kind_of<Pod>(),
                                  std::string(pod->metadata().namespace_()), name, o);
  tell(set, "Delete", name, s);
  co_return s;
}

Task<Status> StatefulSetController::carry_out(Context ctx, Ref<StatefulSet> set,
                                              StatefulSetPlan* plan, std::string current,
                                              std::string update) {
  Status first;
  auto keep = [&first](const Status& s) {
    if (first.ok()) first = s;
  };
  for (const auto& c : plan->create) {
    const bool old = c.as_it_was && current != update;
    // As it is, when what it was then is not known any more.
    auto then = revisions_.get(set->metadata().namespace_(), old ? current : update);
    Ref<StatefulSet> from = old && then ? stateful_set_as_of(set, *then) : set;
    const std::string revision = old ? current : update;
    Status s = co_await create_pod(ctx, set, from, c.ordinal, revision);
    keep(s);
  }
  for (const auto& pod : plan->lack_claims) {
    int64_t n = ordinal_of(set->metadata().name(), pod->metadata().name());
    Status s = co_await make_claims(ctx, set, n);
    keep(s);
  }
  for (auto& pod : plan->mend) {
    Status s = co_await mend_pod(ctx, set, pod.take());
    keep(s);
  }
  // A pod that is not to keep its claims must own them before it goes.
  Status owned = co_await write_owners(ctx, set, plan);
  keep(owned);
  if (!owned.ok()) co_return first;
  for (const auto& p : plan->remove) {
    Status s = co_await remove_pod(ctx, set, p);
    keep(s);
  }
  co_return first;
}

Task<Status> StatefulSetController::update_status(Context ctx, Ref<StatefulSet> set,
                                                  const StatefulSetPlan* plan, std::string current,
                                                  std::string update) {
  auto old = set->status();
  bool same = old.observed_generation() == set->metadata().generation() &&
              old.replicas() == plan->replicas && old.ready_replicas() == plan->ready &&
              old.available_replicas() == plan->available &&
              old.current_replicas() == plan->current && old.updated_replicas() == plan->updated &&
              old.current_revision() == current && old.update_revision() == update;
  if (same) co_return Status();
  Draft<StatefulSetEdit> d(*set);
  auto s = d->edit_status();
  s.set_observed_generation(set->metadata().generation());
  s.set_replicas(plan->replicas);
  s.set_ready_replicas(plan->ready);
  s.set_available_replicas(plan->available);
  s.set_current_replicas(plan->current);
  s.set_updated_replicas(plan->updated);
  s.set_current_revision(current);
  s.set_update_revision(update);
  if (!s.has_collision_count()) s.set_collision_count(0);
  co_return co_await write_status(ctx, d.take());
}

Task<ReconcileResult> StatefulSetController::reconcile(Context ctx, std::string key) {
  Ref<StatefulSet> set = find(key);
  if (!set) co_return Status();
  Claimant claims_as = claimant(*set);
  std::string_view set_name = set->metadata().name();
  auto claimed = plan_claims<Pod>(
      claims_as, candidates(pods_, claims_as),
      [set_name](const Pod& p) { return ordinal_of(set_name, p.metadata().name()) >= 0; });
  auto revisions = plan_claims(claims_as, candidates(revisions_, claims_as));
  auto settled = co_await settle_claims(ctx, &client(), claims_as, &claimed, &revisions);
  if (!settled.ok() || !*settled) co_return settled.status();
  const std::vector<Ref<Pod>>& pods = claimed.owned;
  std::string current(set->status().current_revision());
  std::vector<std::string> in_use{current};
  for (const auto& p : pods) {
    in_use.emplace_back(p->metadata().labels().get(kRevisionHashLabel));
  }
  const RevisionOwner owner = revision_owner(*set, kHashLabel);
  RevisionPlan history = plan_revisions(owner, revisions.owned, in_use);
  if (claims_as.dying) {  // only its status is kept
    history.create.reset();
    history.update.reset();
    history.remove.clear();
  }
  Status recorded = co_await write_revisions(ctx, &client(), &owner, &history);
  if (!recorded.ok()) co_return recorded;
  const bool known =
      history.name == current || revisions_.get(set->metadata().namespace_(), current);
  if (current.empty() || !known) current = history.name;
  WallTime now = loop().wall_now();
  const std::string ns(set->metadata().namespace_());
  StatefulSetView view{*set,
                       pods,
                       current,
                       history.name,
                       [this, ns](const std::string& name) { return claims_.get(ns, name); },
                       now};
  StatefulSetPlan plan = plan_stateful_set(view);
  count_away(*set, plan);
  Status done = co_await carry_out(ctx, set, &plan, current, history.name);
  if (plan.rolled_out) current = history.name;
  Status s = co_await update_status(ctx, set, &plan, current, history.name);
  if (!done.ok()) co_return done;
  if (!s.ok()) co_return s;
  co_return ReconcileResult::after(
      until_next_available(pods, set->spec().min_ready_seconds(), now));
}

}  // namespace keles::controllers
