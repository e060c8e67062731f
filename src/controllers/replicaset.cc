#include "controllers/replicaset.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "controllers/claims.h"
#include "controllers/ownership.h"
#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

constexpr int kBurst = 500;  // pods created or deleted in one reconcile

int phase_rank(std::string_view phase) {
  return phase == "Running" ? 2 : phase == "Pending" ? 0 : 1;
}

// What deletion is decided by; see rank_for_deletion.
struct Rank {
  bool assigned, ready;
  int phase;
  int64_t cost;
  int companions;  // pods of the set on the same node
  int64_t ready_bucket, restarts, created_bucket;
  std::string uid;
};

// Ages fall into buckets that double, so that pods of about one age are chosen from evenly.
int64_t age_bucket(std::string_view since, WallTime now) {
  WallTime t = time_or_none(since);
  if (t == kNone) return -1;
  int64_t ns = (now - t).count();
  int64_t bucket = 0;
  for (; ns > 1; ns >>= 1) ++bucket;
  return bucket;
}

Rank rank_of(const Pod& pod, int companions, WallTime now) {
  Rank r;
  r.assigned = !pod.spec().node_name().empty();
  r.phase = phase_rank(pod.status().phase());
  r.ready = pod_is_ready(pod);
  std::string_view cost =
      pod.metadata().annotations().get("controller.kubernetes.io/pod-deletion-cost");
  r.cost = 0;
  std::from_chars(cost.data(), cost.data() + cost.size(), r.cost);
  r.companions = companions;
  r.ready_bucket =
      r.ready ? age_bucket(pod_condition(pod, "Ready").last_transition_time(), now) : -1;
  r.restarts = 0;
  for (auto c : pod.status().container_statuses()) {
    r.restarts = std::max<int64_t>(r.restarts, c.restart_count());
  }
  r.created_bucket = age_bucket(pod.metadata().creation_timestamp(), now);
  r.uid = std::string(pod.metadata().uid());
  return r;
}

bool goes_first(const Rank& a, const Rank& b) {
  if (a.assigned != b.assigned) return !a.assigned;
  if (a.phase != b.phase) return a.phase < b.phase;
  if (a.ready != b.ready) return !a.ready;
  if (a.cost != b.cost) return a.cost < b.cost;
  if (a.companions != b.companions) return a.companions > b.companions;
  if (a.ready && b.ready && a.ready_bucket != b.ready_bucket)
    return a.ready_bucket < b.ready_bucket;
  if (a.restarts != b.restarts) return a.restarts > b.restarts;
  if (a.created_bucket != b.created_bucket) return a.created_bucket < b.created_bucket;
  return a.uid < b.uid;
}

}  // namespace

void rank_for_deletion(std::vector<Ref<Pod>>& pods, WallTime now) {
  std::map<std::string, int, std::less<>> on_node;
  for (const auto& p : pods) ++on_node[std::string(p->spec().node_name())];
  std::vector<std::pair<Rank, Ref<Pod>>> ranked;
  for (const auto& p : pods) {
    ranked.emplace_back(rank_of(*p, on_node.find(p->spec().node_name())->second, now), p);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return goes_first(a.first, b.first); });
  for (size_t i = 0; i < pods.size(); ++i) pods[i] = ranked[i].second;
}

ReplicaSetPlan plan_replica_set(const ReplicaSet& rs, const std::vector<Ref<Pod>>& candidates,
                                WallTime now) {
  ReplicaSetPlan plan;
  Claimant owner = claimant(rs);
  std::vector<Ref<Pod>> active;
  for (const Ref<Pod>& pod : candidates) {
    if (pod_is_active(*pod)) active.push_back(pod);
  }
  plan.claims = plan_claims(owner, active);
  const std::vector<Ref<Pod>>& owned = plan.claims.owned;
  bool dying = owner.dying;
  if (dying) return plan;
  int64_t wanted = rs.spec().has_replicas() ? rs.spec().replicas() : 1;
  int64_t have = static_cast<int64_t>(owned.size());
  if (have < wanted) plan.create = static_cast<int>(std::min<int64_t>(wanted - have, kBurst));
  if (have > wanted) {
    plan.remove = owned;
    rank_for_deletion(plan.remove, now);
    plan.remove.resize(static_cast<size_t>(std::min<int64_t>(have - wanted, kBurst)));
  }
  return plan;
}

ReplicaSetController::ReplicaSetController(Deps deps)
    : Controller(deps, "replicaset", "replicaset-controller", 5),
      sets_(watch_own<ReplicaSet>()),
      pods_(watch<Pod>()),
      expectations_(deps.client.loop()) {
  index_by_controller(sets_.base());
  index_by_controller(pods_.base());
  sets_.on_change([this](const Ref<ReplicaSet>& before, const Ref<ReplicaSet>& now) {
    if (before && !now) {
      expectations_.forget(std::string(before->metadata().namespace_()) + "/" +
                           std::string(before->metadata().name()));
    }
  });
  pods_.on_change(
      [this](const Ref<Pod>& before, const Ref<Pod>& now) { pod_changed(before, now); });
}

namespace {

// "ns/name" of the ReplicaSet that controls the pod, "" when there is none.
std::string owner_key(const Pod& pod) {
  auto ref = controller_of(pod.metadata());
  if (!ref || ref.kind() != "ReplicaSet" || !ref.api_version().starts_with("apps/")) return {};
  return std::string(pod.metadata().namespace_()) + "/" + std::string(ref.name());
}

}  // namespace

void ReplicaSetController::pod_changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  std::string old_owner = before ? owner_key(*before) : "";
  std::string owner = now ? owner_key(*now) : "";
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
    Ref<ReplicaSet> rs = now_ready ? sets_.get(ns, name) : Ref<ReplicaSet>();
    if (rs && rs->spec().min_ready_seconds() > 0) {
      queue().add_after(owner, std::chrono::seconds(rs->spec().min_ready_seconds()) + 1s);
    }
  } else if (now && !controller_of(now->metadata())) {
    wake_claimants(sets_, queue(), now->metadata());
  }
}

Task<ReconcileResult> ReplicaSetController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<ReplicaSet> rs = sets_.get(parts.first, parts.second);
  if (!rs) {
    expectations_.forget(key);
    co_return Status();
  }
  bool may_act = expectations_.satisfied(key);
  ReplicaSetPlan plan = plan_replica_set(*rs, candidates(pods_, parts.first, rs->metadata().uid()),
                                         loop().wall_now());
  Claimant owner = claimant(*rs);
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

Task<Status> ReplicaSetController::create_pods(Context ctx, Ref<ReplicaSet> rs, int n) {
  std::string key =
      std::string(rs->metadata().namespace_()) + "/" + std::string(rs->metadata().name());
  if (log::v(2)) {
    log::info("Too few replicas",
              {{"replicaSet", key}, {"need", rs->spec().replicas()}, {"creating", n}});
  }
  expectations_.expect_creations(key, n);
  // Batches of 1, 2, 4, ...: when every create fails (quota, a bad template), few are tried.
  for (int batch = 1, left = n; left > 0; batch *= 2) {
    int size = std::min(batch, left);
    std::vector<std::function<Task<Status>()>> tasks(static_cast<size_t>(size), [this, ctx, rs] {
      Document body =
          pod_from_template(rs->spec().template_(), kind_of<ReplicaSet>(), rs->metadata()).take();
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

Task<Status> ReplicaSetController::delete_pods(Context ctx, Ref<ReplicaSet> rs,
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

void set_failure_condition(ReplicaSetStatusEdit status, const ReplicaSetPlan& plan,
                           const Status& managed, const std::string& now) {
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

Task<Status> ReplicaSetController::update_status(Context ctx, Ref<ReplicaSet> rs,
                                                 const ReplicaSetPlan* plan, Status managed) {
  WallTime now = loop().wall_now();
  Selector of_template = Selector::from_set(rs->spec().template_().metadata().labels());
  int64_t labeled = 0, ready = 0, available = 0;
  for (const Ref<Pod>& pod : plan->claims.owned) {
    if (of_template.matches(pod->metadata().labels())) ++labeled;
    if (!pod_is_ready(*pod)) continue;
    ++ready;
    if (pod_is_available(*pod, rs->spec().min_ready_seconds(), now)) ++available;
  }
  Draft<ReplicaSetEdit> d(*rs);
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
  auto r = co_await client().update_status<ReplicaSet>(ctx, d.take());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

}  // namespace keles::controllers
