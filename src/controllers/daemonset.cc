#include "controllers/daemonset.h"

#include <algorithm>

#include "controllers/ownership.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

constexpr int kBurst = 250;  // pods created and deleted in one reconcile

}  // namespace

DaemonSetController::DaemonSetController(Deps deps)
    : ControllerFor(deps, "daemonset", "daemonset-controller", 2),
      nodes_(watches<Node>([this](const Ref<Node>& before, const Ref<Node>& now) {
        return sets_that_care(before, now);
      })),
      pods_(owns<Pod>()),
      revisions_(owns<ControllerRevision>()) {}

// Heartbeats change nothing about who fits.
Keys DaemonSetController::sets_that_care(const Ref<Node>& before, const Ref<Node>& now) const {
  Keys out;
  for (const auto& s : objects().list()) {
    DaemonFit was = before ? daemon_fits(*s, *before) : DaemonFit();
    DaemonFit is = now ? daemon_fits(*s, *now) : DaemonFit();
    if (before && now && was.run == is.run && was.stay == is.stay) continue;
    out.push_back(key_of(s->metadata()));
  }
  return out;
}

// Moves to plan->remove the finished pods whose node may have another one now; says when the next
// of the others may go. A node that refuses every pod must not make us create and delete for ever.
Duration DaemonSetController::replace_finished(const Ref<DaemonSet>& set, DaemonSetPlan* plan) {
  constexpr Duration kFirst = 1s, kLongest = 15min;
  Duration next{0};
  TimePoint now = loop().now();
  for (const auto& [node, pod] : plan->finished) {
    auto& b = backoff_[std::string(set->metadata().uid())][node];
    if (b.pod != pod->metadata().uid()) {
      bool calm = b.delay > Duration(0) && now - b.until > 2 * kLongest;
      b.delay = b.delay == Duration(0) || calm ? Duration(0) : std::min(2 * b.delay, kLongest);
      b.until = now + b.delay;
      if (b.delay == Duration(0)) b.delay = kFirst / 2;  // the first goes at once
      b.pod = pod->metadata().uid();
    }
    if (b.until > now) {
      Duration left = b.until - now;
      next = next == Duration(0) ? left : std::min(next, left);
      continue;
    }
    plan->remove.push_back(pod);
    bool failed = pod->status().phase() == "Failed";
    std::string what = std::string(pod->metadata().namespace_()) + "/" +
                       std::string(pod->metadata().name()) + " on node " + node;
    if (failed) {
      events().warning(reference_to(set), "FailedDaemonPod",
                       "Found failed daemon pod " + what + ", will try to kill it");
    } else {
      events().normal(reference_to(set), "SucceededDaemonPod",
                      "Found succeeded daemon pod " + what + ", will try to delete it");
    }
  }
  return next;
}

Task<Status> DaemonSetController::carry_out(Context ctx, Ref<DaemonSet> set,
                                            const DaemonSetPlan* plan, std::string hash) {
  const std::string uid(set->metadata().uid());
  std::vector<std::function<Task<Status>()>> tasks;
  std::vector<std::string> uids;
  for (const auto& p : plan->remove) {
    if (tasks.size() >= kBurst) break;
    uids.emplace_back(p->metadata().uid());
    tasks.push_back([this, ctx, set, p] { return pod_control_.remove(ctx, set, p); });
  }
  int creating = 0;
  for (const std::string& node : plan->create) {
    if (tasks.size() >= kBurst) break;
    ++creating;
    tasks.push_back([this, ctx, set, node, hash] {
      Document body = daemon_pod(*set, node, hash).take();
      return pod_control_.create(ctx, set, std::move(body));
    });
  }
  if (tasks.empty()) co_return Status();
  expectations().expect_deletions(uid, uids);
  expectations().expect_creations(uid, creating);
  co_return co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
}

Task<Status> DaemonSetController::update_status(Context ctx, Ref<DaemonSet> set,
                                                const DaemonSetPlan* plan) {
  Draft<DaemonSetEdit> d(*set);
  auto s = d->edit_status();
  s.set_observed_generation(set->metadata().generation());
  s.set_desired_number_scheduled(plan->desired);
  s.set_current_number_scheduled(plan->current);
  s.set_number_misscheduled(plan->misscheduled);
  s.set_number_ready(plan->ready);
  s.set_updated_number_scheduled(plan->updated);
  s.set_number_available(plan->available);
  s.set_number_unavailable(plan->desired - plan->available);
  auto old = set->status();
  bool same = old.observed_generation() == s.observed_generation() &&
              old.desired_number_scheduled() == plan->desired &&
              old.current_number_scheduled() == plan->current &&
              old.number_misscheduled() == plan->misscheduled &&
              old.number_ready() == plan->ready &&
              old.updated_number_scheduled() == plan->updated &&
              old.number_available() == plan->available &&
              old.number_unavailable() == s.number_unavailable();
  if (same) co_return Status();
  co_return co_await write_status(ctx, d.take());
}

Task<ReconcileResult> DaemonSetController::reconcile(Context ctx, std::string key) {
  Ref<DaemonSet> set = find(key);
  if (!set || !set->metadata().deletion_timestamp().empty()) co_return Status();
  auto picks = set->spec().selector();
  if (picks.match_labels().empty() && picks.match_expressions().empty()) {
    events().warning(reference_to(set), "SelectingAll",
                     "This daemon set is selecting all pods. A non-empty selector is required.");
    co_return Status();
  }
  const std::string uid(set->metadata().uid());
  Claimant claims_as = claimant(*set);
  auto claimed = plan_claims(claims_as, candidates(pods_, claims_as));
  auto revisions = plan_claims(claims_as, candidates(revisions_, claims_as));
  auto settled = co_await settle_claims(ctx, &client(), claims_as, &claimed, &revisions);
  if (!settled.ok() || !*settled) co_return settled.status();
  const std::vector<Ref<Pod>>& pods = claimed.owned;
  std::vector<std::string> in_use;
  for (const auto& p : pods) in_use.emplace_back(p->metadata().labels().get(kRevisionHashLabel));
  RevisionOwner owner = revision_owner(*set, kRevisionHashLabel);
  owner.limit_counts_live = true;
  RevisionPlan history = plan_revisions(owner, revisions.owned, in_use);
  Status recorded = co_await write_revisions(ctx, &client(), &owner, &history);
  if (!recorded.ok()) co_return recorded;
  DaemonSetPlan plan = plan_daemon_set(*set, nodes_.list(), pods, history.hash, loop().wall_now());
  Duration held{0};
  if (expectations().satisfied(uid)) held = replace_finished(set, &plan);
  Status done;
  if (expectations().satisfied(uid)) done = co_await carry_out(ctx, set, &plan, history.hash);
  Status s = co_await update_status(ctx, set, &plan);
  if (!done.ok()) co_return done;
  if (!s.ok()) co_return s;
  Duration again = expectations().remaining(uid);
  if (again == Duration(0)) {
    again = until_next_available(pods, set->spec().min_ready_seconds(), loop().wall_now());
  }
  if (held > Duration(0) && (again == Duration(0) || held < again)) again = held;
  co_return ReconcileResult::after(again);
}

}  // namespace keles::controllers
