#include "controllers/daemonset.h"

#include <algorithm>

#include "controllers/options.h"
#include "controllers/ownership.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

constexpr size_t kBurst = 250;  // pods created, and pods deleted, in one reconcile
constexpr Duration kFirstDelay = 1s, kLongestDelay = 15min;

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

Duration DaemonSetController::held_for(const DaemonSet& set, const std::string& node) {
  auto of_set = backoff_.find(std::string(set.metadata().uid()));
  if (of_set == backoff_.end()) return Duration(0);
  auto it = of_set->second.find(node);
  if (it == of_set->second.end() || it->second.generation != set.status().observed_generation()) {
    return Duration(0);
  }
  return std::max(Duration(0), it->second.since + it->second.delay - loop().now());
}

// Tells of those that plan.finished removes; a node whose pod failed is left alone for longer each
// time.
void DaemonSetController::replace_finished(const Ref<DaemonSet>& set, const DaemonSetPlan& plan) {
  TimePoint now = loop().now();
  const int64_t generation = set->status().observed_generation();
  for (const auto& [node, pod] : plan.finished) {
    std::string what = std::string(pod->metadata().namespace_()) + "/" +
                       std::string(pod->metadata().name()) + " on node " + node;
    if (pod->status().phase() != "Failed") {
      events().normal(reference_to(set), "SucceededDaemonPod",
                      "Found succeeded daemon pod " + what + ", will try to delete it");
      continue;
    }
    auto& b = backoff_[std::string(set->metadata().uid())][node];
    const bool begins =
        b.delay == Duration(0) || b.generation != generation || now - b.since > 2 * kLongestDelay;
    b.delay = begins ? kFirstDelay : std::min(2 * b.delay, kLongestDelay);
    b.since = now;
    b.generation = generation;
    events().warning(reference_to(set), "FailedDaemonPod",
                     "Found failed daemon pod " + what + ", will try to kill it");
  }
}

Task<Status> DaemonSetController::carry_out(Context ctx, Ref<DaemonSet> set,
                                            const DaemonSetPlan* plan, std::string hash) {
  const std::string uid(set->metadata().uid());
  std::vector<std::function<Task<Status>()>> removals, creations;
  std::vector<std::string> uids;
  for (const auto& p : plan->remove) {
    if (removals.size() >= kBurst) break;
    uids.emplace_back(p->metadata().uid());
    removals.push_back([this, ctx, set, p] { return pod_control_.remove(ctx, set, p); });
  }
  for (const std::string& node : plan->create) {
    if (creations.size() >= kBurst) break;
    creations.push_back([this, ctx, set, node, hash] {
      Document body = daemon_pod(*set, node, hash).take();
      return pod_control_.create(ctx, set, std::move(body));
    });
  }
  expectations().expect_deletions(uid, uids);
  expectations().expect_creations(uid, static_cast<int>(creations.size()));
  int left = 0;
  Status made =
      co_await run_slow_start(ctx, options().parallel_writes, std::move(creations), &left);
  if (left > 0) expectations().creation_settled(uid, left);
  if (namespace_is_ending(made)) made = Status();  // none of the others can be made either
  Status gone = co_await run_bounded(ctx, options().parallel_writes, std::move(removals));
  co_return made.ok() ? gone : made;
}

// `acted`: what this generation asks for has been done, or at least tried.
Task<Status> DaemonSetController::update_status(Context ctx, Ref<DaemonSet> set,
                                                const DaemonSetPlan* plan, bool acted) {
  const int64_t generation = set->metadata().generation();
  Draft<DaemonSetEdit> d(*set);
  auto s = d->edit_status();
  if (acted) s.set_observed_generation(generation);
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
  const bool may_act = expectations().satisfied(uid);
  DaemonSetPlan plan = plan_daemon_set(
      *set, nodes_.list(), pods, history.hash, loop().wall_now(),
      [this, &set](const std::string& node) { return held_for(*set, node) > Duration(0); });
  Status done;
  if (may_act) {
    replace_finished(set, plan);
    done = co_await carry_out(ctx, set, &plan, history.hash);
  }
  Status s = co_await update_status(ctx, set, &plan, may_act);
  if (!done.ok()) co_return done;
  if (!s.ok()) co_return s;
  Duration again = expectations().remaining(uid);
  if (again == Duration(0)) {
    again = until_next_available(pods, set->spec().min_ready_seconds(), loop().wall_now());
  }
  for (const std::string& node : plan.held) {
    Duration held = std::max<Duration>(held_for(*set, node), 1ms);
    if (again == Duration(0) || held < again) again = held;
  }
  co_return ReconcileResult::after(again);
}

}  // namespace keles::controllers
