#include "controllers/job.h"

#include <algorithm>

#include "controllers/claims.h"
#include "controllers/job_metrics.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::batch_v1;
using namespace api::core_v1;

namespace {

constexpr std::string_view kIndex = "batch.kubernetes.io/job-completion-index";
constexpr std::string_view kByJob = "job";
constexpr std::string_view kStray = "pod|";  // keys of pods without a controller

// "ns/name" of the Job that controls the pod, "" when there is none.
std::string owner_key(const Pod& pod) {
  auto ref = controller_of(pod.metadata());
  if (!ref || ref.kind() != "Job") return "";
  return std::string(pod.metadata().namespace_()) + "/" + std::string(ref.name());
}

bool has_ended(const Job& job) {
  for (JobCondition c : job.status().conditions()) {
    if ((c.type() == "Complete" || c.type() == "Failed") && c.status() == "True") return true;
  }
  return false;
}

bool is_ours(const Job& job) {
  return job.spec().managed_by().empty() ||
         job.spec().managed_by() == "kubernetes.io/job-controller";
}

Claimant job_claimant(const Job& job) {
  Claimant c = claimant(job);
  c.finalizer = kJobFinalizer;
  c.dying = c.dying || has_ended(job) || !is_ours(job);
  return c;
}

}  // namespace

bool is_tracked(const Pod& pod) {
  for (std::string_view f : pod.metadata().finalizers()) {
    if (f == kJobFinalizer) return true;
  }
  return false;
}

JobController::JobController(Deps deps)
    : ControllerFor(deps, "job", "job-controller", 5),
      pods_(owns<Pod>(
          [](const ObjectPtr& orphan) -> Keys { return {std::string(kStray) + orphan->key()}; })) {
  pods_.base().add_index(std::string(kByJob), [](const ObjectPtr& o) -> std::vector<std::string> {
    std::string key = owner_key(*read<Pod>(o));
    if (key.empty()) return {};
    return {std::move(key)};
  });
  pods_.on_change(count_tracked_pod);
  objects().on_change([](const Ref<Job>& before, const Ref<Job>& now) {
    if (now && !before && !is_ours(*now)) count_external_job(now->spec().managed_by());
  });
}

namespace {

Draft<PodEdit> job_pod(const Job& job, const JobPod& what) {
  int64_t index = what.index;
  auto pod = pod_from_template(job.spec().template_(), kind_of<Job>(), job.metadata());
  pod->edit_metadata().edit_finalizers().add(kJobFinalizer);
  if (index < 0) return pod;
  std::string n = std::to_string(index), base = std::string(job.metadata().name()) + "-" + n;
  pod->edit_metadata().set_generate_name(base + "-");
  pod->edit_metadata().edit_labels().set(kIndex, n);
  auto annotations = pod->edit_metadata().edit_annotations();
  annotations.set(kIndex, n);
  constexpr std::string_view kFailures = "batch.kubernetes.io/job-index-failure-count";
  constexpr std::string_view kIgnored = "batch.kubernetes.io/job-index-ignored-failure-count";
  if (what.failures >= 0) annotations.set(kFailures, std::to_string(what.failures));
  if (what.ignored > 0) annotations.set(kIgnored, std::to_string(what.ignored));
  pod->edit_spec().set_hostname(base);
  auto add_env = [](ContainerEdit c) {
    for (EnvVar e : c.env()) {
      if (e.name() == "JOB_COMPLETION_INDEX") return;
    }
    auto e = c.edit_env().add();
    e.set_name("JOB_COMPLETION_INDEX");
    e.edit_value_from().edit_field_ref().set_field_path("metadata.labels['" + std::string(kIndex) +
                                                        "']");
  };
  auto containers = pod->edit_spec().edit_containers();
  for (size_t i = 0; i < containers.size(); ++i) add_env(containers[i]);
  return pod;
}

}  // namespace

// Takes the finalizer off.
Task<Status> JobController::release(Context ctx, Ref<Pod> pod) {
  auto meta = pod->metadata();
  Document patch = finalizer_removal(meta.uid(), kJobFinalizer);
  auto r = co_await client().patch(ctx, &kind_of<Pod>(), std::string(meta.namespace_()),
                                   std::string(meta.name()), PatchType::kStrategicMerge,
                                   std::move(patch), WriteOptions());
  if (r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict)) co_return Status();
  co_return r.status();
}

// A pod that nobody controls: a job that would adopt it is woken; when there is none, it does not
// wait to be counted.
Task<Status> JobController::settle_stray(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Pod> pod = pods_.get(parts.first, parts.second);
  if (!pod || controller_of(pod->metadata())) co_return Status();
  for (const auto& job : may_select(objects(), parts.first, pod->metadata().labels())) {
    if (plan_claim(job_claimant(*job), pod->metadata(), true) != Claim::kAdopt) continue;
    queue().add(key_of(job->metadata()));
    co_return Status();
  }
  if (!is_tracked(*pod)) co_return Status();
  co_return co_await release(ctx, pod);
}

// Pods of a job that is gone (or of one that had the name before) are nobody's to count.
Task<Status> JobController::release_orphans(Context ctx, std::string key, std::string living_uid) {
  bool checked = false;
  for (const auto& pod : pods_.by_index(kByJob, key)) {
    if (!is_tracked(*pod)) continue;
    if (controller_of(pod->metadata()).uid() == living_uid) continue;
    if (!checked && living_uid.empty()) {
      auto parts = split_key(key);
      auto live = co_await client().get<Job>(ctx, parts.first, parts.second);
      if (live.ok()) co_return Status();  // our cache is behind
      if (!live.status().is(Reason::kNotFound)) co_return live.status();
      checked = true;
    }
    TRY_CO(release(ctx, pod));
  }
  co_return Status();
}

// Pods that a job controls and its selector picks no longer are not let go of once the job is going
// or has ended; it counts them no more either, so they do not wait to be counted.
Task<Status> JobController::release_uncounted(Context ctx, std::string key, Claimant owner) {
  for (const auto& pod : pods_.by_index(kByJob, key)) {
    if (!is_tracked(*pod) || controller_of(pod->metadata()).uid() != owner.uid) continue;
    if (plan_claim(owner, pod->metadata(), true) != Claim::kNone) continue;
    TRY_CO(release(ctx, pod));
  }
  co_return Status();
}

Task<Status> JobController::make_pod(Context ctx, Ref<Job> job, JobPod pod) {
  Document body = job_pod(*job, pod).take();
  Status s = co_await pod_control_.create(ctx, job, std::move(body));
  count_job_pod_creation(*job, s.ok());
  co_return s;
}

Task<Status> JobController::carry_out(Context ctx, Ref<Job> job, const JobPlan* plan) {
  std::vector<std::string> uids;
  std::vector<std::function<Task<Status>()>> removals, creations;
  for (const auto& p : plan->remove) {
    if (!p->metadata().deletion_timestamp().empty()) continue;
    uids.emplace_back(p->metadata().uid());
    removals.push_back([this, ctx, job, p] { return pod_control_.remove(ctx, job, p); });
  }
  for (JobPod i : plan->create) {
    creations.push_back([this, ctx, job, i] { return make_pod(ctx, job, i); });
  }
  const std::string uid(job->metadata().uid());
  expectations().expect_deletions(uid, uids);
  expectations().expect_creations(uid, static_cast<int>(creations.size()));
  Status gone = co_await run_bounded(ctx, options().parallel_writes, std::move(removals));
  int left = 0;
  Status made =
      co_await run_slow_start(ctx, options().parallel_writes, std::move(creations), &left);
  if (left > 0) expectations().creation_settled(uid, left);
  co_return gone.ok() ? made : gone;
}

Task<ReconcileResult> JobController::reconcile(Context ctx, std::string key) {
  if (key.starts_with(kStray)) {
    Status s = co_await settle_stray(ctx, key.substr(kStray.size()));
    co_return s;
  }
  Ref<Job> job = find(key);
  std::string uid = job ? std::string(job->metadata().uid()) : std::string();
  Status freed = co_await release_orphans(ctx, key, uid);
  if (!freed.ok()) co_return freed;
  if (!job || !is_ours(*job)) co_return Status();
  std::string_view action = "reconciling";
  const TimePoint began = loop().now();
  ReconcileResult done = co_await sync(ctx, key, job, &action);
  count_job_sync(*job, action, done.status.ok(), loop().now() - began);
  co_return done;
}

Task<ReconcileResult> JobController::sync(Context ctx, std::string key, Ref<Job> job,
                                          std::string_view* action) {
  const std::string uid(job->metadata().uid());
  Claimant owner = job_claimant(*job);
  auto claims = plan_claims(owner, candidates(pods_, owner));
  auto settled = co_await settle_claims(ctx, &client(), owner, &claims);
  if (!settled.ok() || !*settled) co_return settled.status();
  Status strays = co_await release_uncounted(ctx, key, owner);
  if (!strays.ok()) co_return strays;
  JobPlan plan = plan_job(*job, claims.owned, loop().wall_now());
  if (plan.status_changed) {
    auto r = co_await client().update_status<Job>(ctx, plan.status.take());
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (!r.ok()) co_return r.status();
    count_job_progress(*job, **r);
    job = *r;
    wrote(*job);
    if (!plan.event_reason.empty()) {
      events().event(reference_to(job), plan.event_type, plan.event_reason, plan.event_message);
    }
  }
  count_policy_matches(plan.policy_matches);
  for (const auto& p : plan.counted) {
    Status s = co_await release(ctx, p);
    if (!s.ok()) co_return s;
  }
  if (expectations().satisfied(uid)) {
    *action = !plan.create.empty()   ? "pods_created"
              : !plan.remove.empty() ? "pods_deleted"
                                     : "tracking";
    Status s = co_await carry_out(ctx, job, &plan);
    if (namespace_is_ending(s)) {  // there will be no next pod, and pods go before their jobs
      for (const auto& p : plan.kept) {
        s = co_await release(ctx, p);
        if (!s.ok()) co_return s;
      }
      co_return Status();
    }
    if (!s.ok()) co_return s;
  } else if (plan.requeue_after == Duration(0)) {
    plan.requeue_after = expectations().remaining(uid);
  }
  co_return ReconcileResult::after(plan.requeue_after);
}

}  // namespace keles::controllers
