#include "controllers/replicas.h"

#include <algorithm>

#include "base/log.h"
#include "controllers/options.h"
#include "controllers/workload_metrics.h"
#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

// How a kind's controller is called: its queue, its events' source, and in its log.
struct Names {
  const char *queue, *component, *log;
};
template <class O>
Names names();
template <>
Names names<ReplicaSet>() {
  return {"replicaset", "replicaset-controller", "replicaSet"};
}
template <>
Names names<ReplicationController>() {
  return {"replicationmanager", "replication-controller", "replicationController"};
}

}  // namespace

template <class O>
ReplicasController<O>::ReplicasController(Deps deps)
    : ControllerFor<O>(deps, names<O>().queue, names<O>().component, 5),
      pods_(this->template owns<Pod>()),
      pod_control_(client(), events(), expectations()) {
  index_by_controller(this->objects().base());
}

template <class O>
std::vector<Ref<Pod>> ReplicasController<O>::related_pods(const Ref<O>& rs) const {
  std::vector<Ref<Pod>> out;
  auto above = controller_of(rs->metadata());
  if (!above) return out;
  for (const auto& set : this->objects().by_index(kControllerIndex, above.uid())) {
    for (auto& pod : pods_.by_index(kControllerIndex, set->metadata().uid())) {
      out.push_back(std::move(pod));
    }
  }
  return out;
}

template <class O>
Task<ReconcileResult> ReplicasController<O>::reconcile(Context ctx, std::string key) {
  Ref<O> rs = this->find(key);
  if (!rs) co_return Status();
  const std::string uid(rs->metadata().uid());
  bool may_act = expectations().satisfied(uid);
  Claimant owner = claimant(*rs);
  const std::vector<Ref<Pod>> mine = candidates(pods_, owner);
  const RelatedPods related = [this, rs] { return related_pods(rs); };
  ReplicasPlan plan = plan_replicas(owner, wanted_replicas(*rs), mine, related, loop().wall_now());
  Status claimed = co_await write_claims(ctx, &client(), owner, &plan.claims);
  if (!claimed.ok()) co_return claimed;
  Status managed;
  if (may_act && plan.create > 0) managed = co_await create_pods(ctx, rs, plan.create);
  if (may_act) count_scaled_down(plan.claims.owned, plan.remove, loop().wall_now());
  if (may_act && !plan.remove.empty()) managed = co_await delete_pods(ctx, rs, plan.remove);
  Status s = co_await update_status(ctx, rs, &plan, managed);
  if (!managed.ok()) co_return managed;
  if (!s.ok()) co_return s;
  // What is never seen must not block for ever; and a pod becomes available without an event.
  Duration again = expectations().remaining(uid);
  Duration ripe =
      until_next_available(plan.claims.owned, rs->spec().min_ready_seconds(), loop().wall_now());
  if (ripe > Duration(0) && (again == Duration(0) || ripe < again)) again = ripe;
  co_return ReconcileResult::after(again);
}

template <class O>
Task<Status> ReplicasController<O>::create_pods(Context ctx, Ref<O> rs, int n) {
  const std::string uid(rs->metadata().uid());
  if (log::v(2)) {
    log::info("Too few replicas", {{names<O>().log, key_of(rs->metadata())},
                                   {"need", rs->spec().replicas()},
                                   {"creating", n}});
  }
  expectations().expect_creations(uid, n);
  std::vector<std::function<Task<Status>()>> tasks(static_cast<size_t>(n), [this, ctx, rs] {
    Document body = pod_from_template(rs->spec().template_(), kind_of<O>(), rs->metadata()).take();
    return pod_control_.create(ctx, rs, std::move(body));
  });
  int left = 0;
  Status s = co_await run_slow_start(ctx, options().parallel_writes, std::move(tasks), &left);
  if (left > 0) expectations().creation_settled(uid, left);
  if (namespace_is_ending(s)) s = Status();  // none of the others can be made either
  co_return s;
}

template <class O>
Task<Status> ReplicasController<O>::delete_pods(Context ctx, Ref<O> rs,
                                                std::vector<Ref<Pod>> pods) {
  std::vector<std::string> uids;
  std::vector<std::function<Task<Status>()>> tasks;
  for (const Ref<Pod>& pod : pods) {
    uids.emplace_back(pod->metadata().uid());
    tasks.push_back([this, ctx, rs, pod] { return pod_control_.remove(ctx, rs, pod); });
  }
  expectations().expect_deletions(std::string(rs->metadata().uid()), uids);
  co_return co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
}

namespace {

template <class StatusEdit>
void set_failure_condition(StatusEdit status, const ReplicasPlan& plan, const Status& managed,
                           WallTime now) {
  auto conditions = status.edit_conditions();
  if (managed.ok()) {
    remove_condition(conditions, "ReplicaFailure");
    if (conditions.empty()) status.clear_conditions();
    return;
  }
  if (find_condition(status.conditions(), "ReplicaFailure")) return;  // since its first failure
  const std::string_view reason = plan.create > 0 ? "FailedCreate" : "FailedDelete";
  set_condition(conditions, {"ReplicaFailure", "True", reason, managed.message()}, now);
}

}  // namespace

template <class O>
Task<Status> ReplicasController<O>::update_status(Context ctx, Ref<O> rs, const ReplicasPlan* plan,
                                                  Status managed) {
  WallTime now = loop().wall_now();
  Selector of_template = Selector::from_set(rs->spec().template_().metadata().labels());
  int64_t labeled = 0, ready = 0, available = 0;
  for (const Ref<Pod>& pod : plan->claims.owned) {
    if (of_template.matches(pod->metadata().labels())) ++labeled;
    if (!pod_is_ready(*pod)) continue;
    ++ready;
    if (pod_is_available(*pod, rs->spec().min_ready_seconds(), now)) ++available;
  }
  Draft<Edit> d(*rs);
  auto s = d->edit_status();
  s.set_replicas(static_cast<int64_t>(plan->claims.owned.size()));
  s.set_fully_labeled_replicas(labeled);
  s.set_ready_replicas(ready);
  s.set_available_replicas(available);
  if constexpr (kTellsTerminating) s.set_terminating_replicas(plan->terminating);
  s.set_observed_generation(rs->metadata().generation());
  set_failure_condition(s, *plan, managed, now);
  auto old = rs->status();
  bool same = old.replicas() == s.replicas() &&
              old.fully_labeled_replicas() == s.fully_labeled_replicas() &&
              old.ready_replicas() == ready && old.available_replicas() == available &&
              old.observed_generation() == s.observed_generation() &&
              old.conditions().size() == s.conditions().size();
  if constexpr (kTellsTerminating) {
    same =
        same && old.has_terminating_replicas() && old.terminating_replicas() == plan->terminating;
  }
  if (same) co_return Status();
  co_return co_await this->write_status(ctx, d.take());
}

template class ReplicasController<ReplicaSet>;
template class ReplicasController<ReplicationController>;

}  // namespace keles::controllers
