#include "controllers/replicas.h"

#include <algorithm>

#include "api/apps_v1.h"
#include "base/log.h"
#include "controllers/claims.h"
#include "controllers/ownership.h"
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

// "ns/name" of the object of that kind that controls the pod, "" when there is none.
std::string owner_key(const KindDesc& kind, const Pod& pod) {
  auto ref = controller_of(pod.metadata());
  if (!ref || ref.kind() != kind.kind) return {};
  std::string_view version = ref.api_version(), group;
  if (size_t slash = version.find('/'); slash != version.npos) group = version.substr(0, slash);
  if (group != kind.group) return {};
  return std::string(pod.metadata().namespace_()) + "/" + std::string(ref.name());
}

}  // namespace

template <class O>
ReplicasController<O>::ReplicasController(Deps deps)
    : Controller(deps, names<O>().queue, names<O>().component, 5),
      sets_(watch_own<O>()),
      pods_(watch<Pod>()),
      expectations_(deps.client.loop()) {
  index_by_controller(sets_.base());
  index_by_controller(pods_.base());
  sets_.on_change([this](const Ref<O>& before, const Ref<O>& now) {
    if (before && !now) {
      expectations_.forget(std::string(before->metadata().namespace_()) + "/" +
                           std::string(before->metadata().name()));
    }
  });
  pods_.on_change(
      [this](const Ref<Pod>& before, const Ref<Pod>& now) { pod_changed(before, now); });
}

template <class O>
void ReplicasController<O>::pod_changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  std::string old_owner = before ? owner_key(kind_of<O>(), *before) : "";
  std::string owner = now ? owner_key(kind_of<O>(), *now) : "";
  if (!before && now && !owner.empty()) expectations_.creation_settled(owner);
  if (!old_owner.empty()) {
    // A pod counts as deleted as soon as it is marked for deletion.
    bool was = !before->metadata().deletion_timestamp().empty();
    bool is = !now || !now->metadata().deletion_timestamp().empty();
    if (is && !was) {
      expectations_.deletion_settled(old_owner, std::string(before->metadata().uid()));
    }
    if (old_owner != owner) queue().add(old_owner);
  }
  if (!owner.empty()) {
    queue().add(owner);
    // It becomes available without a further event: come back then.
    bool now_ready = pod_is_ready(*now) && !(before && pod_is_ready(*before));
    auto [ns, name] = split_key(owner);
    Ref<O> rs = now_ready ? sets_.get(ns, name) : Ref<O>();
    if (rs && rs->spec().min_ready_seconds() > 0) {
      queue().add_after(owner, std::chrono::seconds(rs->spec().min_ready_seconds()) + 1s);
    }
  } else if (now && !controller_of(now->metadata())) {
    wake_claimants(sets_, queue(), now->metadata());
  }
}

template <class O>
Task<ReconcileResult> ReplicasController<O>::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<O> rs = sets_.get(parts.first, parts.second);
  if (!rs) {
    expectations_.forget(key);
    co_return Status();
  }
  bool may_act = expectations_.satisfied(key);
  Claimant owner = claimant(*rs);
  const std::vector<Ref<Pod>> mine = candidates(pods_, parts.first, rs->metadata().uid());
  ReplicasPlan plan = plan_replicas(owner, wanted_replicas(*rs), mine, loop().wall_now());
  Status claimed = co_await write_claims(ctx, &client(), owner, &plan.claims);
  if (!claimed.ok()) co_return claimed;
  Status managed;
  if (may_act && plan.create > 0) managed = co_await create_pods(ctx, rs, plan.create);
  if (may_act && !plan.remove.empty()) managed = co_await delete_pods(ctx, rs, plan.remove);
  Status s = co_await update_status(ctx, rs, &plan, managed);
  if (!managed.ok()) co_return managed;
  if (!s.ok()) co_return s;
  // What is never seen must not block for ever.
  co_return ReconcileResult::after(expectations_.remaining(key));
}

template <class O>
Task<Status> ReplicasController<O>::create_pods(Context ctx, Ref<O> rs, int n) {
  std::string key =
      std::string(rs->metadata().namespace_()) + "/" + std::string(rs->metadata().name());
  if (log::v(2)) {
    log::info("Too few replicas",
              {{names<O>().log, key}, {"need", rs->spec().replicas()}, {"creating", n}});
  }
  expectations_.expect_creations(key, n);
  // Batches of 1, 2, 4, ...: when every create fails (quota, a bad template), few are tried.
  for (int batch = 1, left = n; left > 0; batch *= 2) {
    int size = std::min(batch, left);
    std::vector<std::function<Task<Status>()>> tasks(static_cast<size_t>(size), [this, ctx, rs] {
      Document body =
          pod_from_template(rs->spec().template_(), kind_of<O>(), rs->metadata()).take();
      return pod_control_.create(ctx, rs, std::move(body));
    });
    Status s = co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
    left -= size;
    if (!s.ok()) {
      expectations_.creation_settled(key, left);
      co_return s;
    }
  }
  co_return Status();
}

template <class O>
Task<Status> ReplicasController<O>::delete_pods(Context ctx, Ref<O> rs,
                                                std::vector<Ref<Pod>> pods) {
  std::string key =
      std::string(rs->metadata().namespace_()) + "/" + std::string(rs->metadata().name());
  std::vector<std::string> uids;
  std::vector<std::function<Task<Status>()>> tasks;
  for (const Ref<Pod>& pod : pods) {
    uids.emplace_back(pod->metadata().uid());
    tasks.push_back([this, ctx, rs, pod] { return pod_control_.remove(ctx, rs, pod); });
  }
  expectations_.expect_deletions(key, uids);
  co_return co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
}

namespace {

template <class StatusEdit>
void set_failure_condition(StatusEdit status, const ReplicasPlan& plan, const Status& managed,
                           const std::string& now) {
  auto conditions = status.edit_conditions();
  size_t at = 0;
  while (at < conditions.size() && conditions[at].type() != "ReplicaFailure") ++at;
  if (managed.ok()) {
    if (at < conditions.size()) conditions.erase_at(at);
    if (conditions.empty()) status.clear_conditions();
    return;
  }
  if (at < conditions.size()) return;  // stands since its first failure
  auto c = conditions.add();
  c.set_type("ReplicaFailure");
  c.set_status("True");
  c.set_reason(plan.create > 0 ? "FailedCreate" : "FailedDelete");
  c.set_message(managed.message());
  c.set_last_transition_time(now);
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
  s.set_observed_generation(rs->metadata().generation());
  set_failure_condition(s, *plan, managed, format_time(now));
  auto old = rs->status();
  bool same = old.replicas() == s.replicas() &&
              old.fully_labeled_replicas() == s.fully_labeled_replicas() &&
              old.ready_replicas() == ready && old.available_replicas() == available &&
              old.observed_generation() == s.observed_generation() &&
              old.conditions().size() == s.conditions().size();
  if (same) co_return Status();
  auto r = co_await client().template update_status<O>(ctx, d.take());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

template class ReplicasController<ReplicaSet>;
template class ReplicasController<ReplicationController>;

}  // namespace keles::controllers
