#include "controllers/job.h"

#include <algorithm>
#include <charconv>

#include "controllers/claims.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::batch_v1;
using namespace api::core_v1;

namespace {

constexpr std::string_view kFinalizer = "batch.kubernetes.io/job-tracking";
constexpr std::string_view kIndex = "batch.kubernetes.io/job-completion-index";
constexpr std::string_view kByJob = "job";
constexpr std::string_view kStray = "pod|";  // keys of pods without a controller
constexpr int kBurst = 500;
constexpr size_t kMaxUncounted = 500;

bool has_finalizer(const Pod& pod) {
  for (std::string_view f : pod.metadata().finalizers()) {
    if (f == kFinalizer) return true;
  }
  return false;
}

int64_t index_of(const Pod& pod) {
  std::string_view s = pod.metadata().annotations().get(kIndex);
  int64_t n = -1;
  std::from_chars(s.data(), s.data() + s.size(), n);
  return s.empty() ? -1 : n;
}

// When the pod's last container ended; its deletion or creation when none says.
WallTime finished_at(const Pod& pod) {
  WallTime latest = kNone;
  for (auto c : pod.status().container_statuses()) {
    latest = std::max(latest, time_or_none(c.state().terminated().finished_at()));
  }
  if (latest == kNone) latest = time_or_none(pod.metadata().deletion_timestamp());
  if (latest == kNone) latest = time_or_none(pod.metadata().creation_timestamp());
  return latest;
}

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
  c.finalizer = kFinalizer;
  c.dying = c.dying || has_ended(job) || !is_ours(job);
  return c;
}

class Planner {
 public:
  Planner(const Job& job, const std::vector<Ref<Pod>>& pods, WallTime now)
      : job_(job), pods_(pods), now_(now) {
    plan_.status = Draft<JobEdit>(job);
  }
  JobPlan run();

 private:
  bool indexed() const { return job_.spec().completion_mode() == "Indexed"; }
  bool is(std::string_view type) const {
    for (JobCondition c : plan_.status->status().conditions()) {
      if (c.type() == type) return c.status() == "True";
    }
    return false;
  }
  void set(std::string_view type, std::string_view status, std::string_view reason,
           std::string_view message);
  void count();
  void decide();
  void finish(bool complete, std::string reason, std::string message);
  void size();

  const Job& job_;
  const std::vector<Ref<Pod>>& pods_;
  WallTime now_;
  JobPlan plan_;
  std::vector<Ref<Pod>> active_;
  std::set<int64_t> done_indexes_;
  int64_t succeeded_ = 0, failed_ = 0, ready_ = 0, terminating_ = 0;
  WallTime last_failure_ = kNone;
};

void Planner::set(std::string_view type, std::string_view status, std::string_view reason,
                  std::string_view message) {
  auto list = plan_.status->edit_status().edit_conditions();
  std::string when = format_time(now_);
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].type() != type) continue;
    if (list[i].status() == status && list[i].reason() == reason) return;
    list.erase_at(i);
    break;
  }
  auto c = list.add();
  c.set_type(type);
  c.set_status(status);
  c.set_last_probe_time(when);
  c.set_last_transition_time(when);
  c.set_reason(reason);
  c.set_message(message);
  plan_.status_changed = true;
}

// Brings the numbers level with the pods.
void Planner::count() {
  std::set<std::string> holding;  // uids of pods that still carry the finalizer
  for (const auto& p : pods_) {
    if (has_finalizer(*p)) holding.insert(std::string(p->metadata().uid()));
  }
  auto old = job_.status().uncounted_terminated_pods();
  std::set<std::string> waiting_good, waiting_bad;
  succeeded_ = job_.status().succeeded();
  failed_ = job_.status().failed();
  auto settle = [&](const List<std::string_view>& uids, std::set<std::string>& waiting,
                    int64_t& total) {
    for (std::string_view uid : uids) {
      if (holding.contains(std::string(uid))) {
        waiting.insert(std::string(uid));
      } else {
        ++total;
      }
    }
  };
  settle(old.succeeded(), waiting_good, succeeded_);
  settle(old.failed(), waiting_bad, failed_);
  done_indexes_ = parse_indexes(job_.status().completed_indexes());
  for (const auto& p : pods_) {
    std::string uid(p->metadata().uid());
    std::string_view phase = p->status().phase();
    bool leaving = !p->metadata().deletion_timestamp().empty();
    if (phase != "Succeeded" && phase != "Failed") {
      if (!leaving) {
        active_.push_back(p);
        ready_ += pod_is_ready(*p) ? 1 : 0;
        continue;
      }
      ++terminating_;
    }
    if (!has_finalizer(*p)) continue;
    plan_.counted.push_back(p);
    if (waiting_good.contains(uid) || waiting_bad.contains(uid)) continue;
    if (waiting_good.size() + waiting_bad.size() >= kMaxUncounted) {
      plan_.counted.pop_back();
      continue;
    }
    if (phase == "Succeeded") {
      waiting_good.insert(uid);
      if (indexed() && index_of(*p) >= 0) done_indexes_.insert(index_of(*p));
    } else {
      waiting_bad.insert(uid);
    }
  }
  for (const auto& p : pods_) {
    if (p->status().phase() == "Failed") last_failure_ = std::max(last_failure_, finished_at(*p));
  }
  auto s = plan_.status->edit_status();
  s.set_succeeded(succeeded_);
  s.set_failed(failed_);
  auto uncounted = s.edit_uncounted_terminated_pods();
  uncounted.edit_succeeded().clear();
  uncounted.edit_failed().clear();
  for (const auto& uid : waiting_good) uncounted.edit_succeeded().add(std::string_view(uid));
  for (const auto& uid : waiting_bad) uncounted.edit_failed().add(std::string_view(uid));
  if (indexed()) s.set_completed_indexes(format_indexes(done_indexes_));
  succeeded_ += static_cast<int64_t>(waiting_good.size());
  failed_ += static_cast<int64_t>(waiting_bad.size());
  if (indexed()) succeeded_ = static_cast<int64_t>(done_indexes_.size());
}

void Planner::finish(bool complete, std::string reason, std::string message) {
  plan_.remove = active_;
  set(complete ? "SuccessCriteriaMet" : "FailureTarget", "True", reason, message);
  if (!active_.empty() || terminating_ > 0) return;  // once its pods have ended
  set(complete ? "Complete" : "Failed", "True", reason, message);
  if (complete) plan_.status->edit_status().set_completion_time(format_time(now_));
  plan_.event_type = complete ? "Normal" : "Warning";
  plan_.event_reason = complete ? "Completed" : reason;
  plan_.event_message = complete ? "Job completed" : message;
}

// How many pods are to run, and which.
void Planner::size() {
  auto spec = job_.spec();
  int64_t parallelism = spec.has_parallelism() ? spec.parallelism() : 1;
  int64_t active = static_cast<int64_t>(active_.size());
  int64_t wanted = parallelism;
  if (spec.has_completions()) {
    wanted = std::min(parallelism, spec.completions() - succeeded_);
  } else if (succeeded_ > 0) {
    wanted = std::min(active, parallelism);  // a work queue that is done takes nobody on
  }
  wanted = std::max<int64_t>(wanted, 0);
  if (indexed()) {  // two with one number: the later goes
    std::set<int64_t> seen;
    for (const auto& p : active_) {
      int64_t i = index_of(*p);
      if (done_indexes_.contains(i) || !seen.insert(i).second) plan_.remove.push_back(p);
    }
    active -= static_cast<int64_t>(plan_.remove.size());
  }
  for (size_t i = active_.size(); i-- > 0 && active > wanted;) {
    if (std::find_if(plan_.remove.begin(), plan_.remove.end(), [&](const auto& p) {
          return p->metadata().uid() == active_[i]->metadata().uid();
        }) != plan_.remove.end()) {
      continue;
    }
    plan_.remove.push_back(active_[i]);
    --active;
  }
  int64_t missing = std::min<int64_t>(wanted - active, kBurst);
  if (missing <= 0) return;
  if (failed_ > 0 && last_failure_ != kNone) {
    Duration delay = 10s;
    for (int64_t i = 1; i < failed_ && delay < 10min; ++i) delay *= 2;
    Duration left = last_failure_ + std::min<Duration>(delay, 10min) - now_;
    if (left > Duration(0)) {
      plan_.requeue_after = left;
      return;
    }
  }
  std::set<int64_t> taken = done_indexes_;
  for (const auto& p : active_) taken.insert(index_of(*p));
  int64_t next = 0;
  while (missing-- > 0) {
    if (!indexed()) {
      plan_.create.push_back(-1);
      continue;
    }
    while (taken.contains(next)) ++next;
    if (next >= spec.completions()) break;
    taken.insert(next);
    plan_.create.push_back(next);
  }
}

void Planner::decide() {
  auto spec = job_.spec();
  auto status = plan_.status->edit_status();
  int64_t limit = spec.has_backoff_limit() ? spec.backoff_limit() : 6;
  if (spec.suspend()) {
    plan_.remove = active_;
    if (!is("Suspended")) {
      set("Suspended", "True", "JobSuspended", "Job suspended");
      status.clear_start_time();
      plan_.event_type = "Normal";
      plan_.event_reason = "Suspended";
      plan_.event_message = "Job suspended";
    }
    return;
  }
  if (is("Suspended")) {
    set("Suspended", "False", "JobResumed", "Job resumed");
    status.set_start_time(format_time(now_));
  }
  if (status.start_time().empty()) {
    status.set_start_time(format_time(now_));
    plan_.status_changed = true;
  }
  WallTime started = time_or_none(status.start_time());
  bool restarts_over = false;
  if (spec.template_().spec().restart_policy() == "OnFailure") {
    int64_t restarts = 0;
    for (const auto& p : active_) {
      for (auto c : p->status().container_statuses()) restarts += c.restart_count();
    }
    restarts_over = limit == 0 ? restarts > 0 : restarts >= limit;
  }
  if (is("FailureTarget")) {
    for (JobCondition c : job_.status().conditions()) {
      if (c.type() == "FailureTarget") {
        finish(false, std::string(c.reason()), std::string(c.message()));
      }
    }
    return;
  }
  if (failed_ > limit || restarts_over) {
    finish(false, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    return;
  }
  if (spec.has_active_deadline_seconds()) {
    Duration left = started + std::chrono::seconds(spec.active_deadline_seconds()) - now_;
    if (left <= Duration(0)) {
      finish(false, "DeadlineExceeded", "Job was active longer than specified deadline");
      return;
    }
    plan_.requeue_after = left;
  }
  bool complete =
      spec.has_completions() ? succeeded_ >= spec.completions() : succeeded_ > 0 && active_.empty();
  if (complete) {
    finish(true, "CompletionsReached", "Reached expected number of succeeded pods");
    return;
  }
  Duration deadline = plan_.requeue_after;
  size();
  if (plan_.requeue_after == Duration(0) ||
      (deadline > Duration(0) && deadline < plan_.requeue_after)) {
    plan_.requeue_after = deadline;
  }
}

JobPlan Planner::run() {
  count();
  bool finished = is("Complete") || is("Failed");
  bool dying = !job_.metadata().deletion_timestamp().empty();
  if (finished) {
    plan_.remove = active_;
  } else if (!dying) {
    decide();
  }
  auto s = plan_.status->edit_status();
  int64_t active = static_cast<int64_t>(active_.size());
  s.set_active(active);
  s.set_ready(ready_);
  s.set_terminating(terminating_);
  auto old = job_.status();
  auto fresh = plan_.status->status();
  plan_.status_changed = plan_.status_changed || old.active() != active || old.ready() != ready_ ||
                         old.terminating() != terminating_ ||
                         old.succeeded() != fresh.succeeded() || old.failed() != fresh.failed() ||
                         old.completed_indexes() != fresh.completed_indexes() ||
                         old.uncounted_terminated_pods().succeeded().size() !=
                             fresh.uncounted_terminated_pods().succeeded().size() ||
                         old.uncounted_terminated_pods().failed().size() !=
                             fresh.uncounted_terminated_pods().failed().size();
  return std::move(plan_);
}

}  // namespace

std::set<int64_t> parse_indexes(std::string_view text) {
  std::set<int64_t> out;
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    int64_t first = 0, last = 0;
    auto [at, error] = std::from_chars(part.data(), part.data() + part.size(), first);
    if (error != std::errc()) continue;
    last = first;
    if (at != part.data() + part.size()) std::from_chars(at + 1, part.data() + part.size(), last);
    for (int64_t i = first; i <= last && out.size() < 1'000'000; ++i) out.insert(i);
  }
  return out;
}

std::string format_indexes(const std::set<int64_t>& indexes) {
  std::string out;
  for (auto it = indexes.begin(); it != indexes.end();) {
    int64_t first = *it, last = first;
    while (++it != indexes.end() && *it == last + 1) last = *it;
    if (!out.empty()) out += ',';
    out += std::to_string(first);
    if (last == first) continue;
    out += (last == first + 1 ? "," : "-") + std::to_string(last);
  }
  return out;
}

JobPlan plan_job(const Job& job, const std::vector<Ref<Pod>>& pods, WallTime now) {
  return Planner(job, pods, now).run();
}

JobController::JobController(Deps deps)
    : Controller(deps, "job", "job-controller", 5),
      jobs_(watch_own<Job>()),
      pods_(watch<Pod>()),
      expectations_(deps.client.loop()) {
  index_by_controller(pods_.base());
  pods_.base().add_index(std::string(kByJob), [](const ObjectPtr& o) -> std::vector<std::string> {
    std::string key = owner_key(*read<Pod>(o));
    if (key.empty()) return {};
    return {std::move(key)};
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    std::string old_owner = before ? owner_key(*before) : "", owner = now ? owner_key(*now) : "";
    if (!before && !owner.empty()) expectations_.creation_settled(owner);
    const Ref<Pod>& any = now ? now : before;
    const std::string& of = owner.empty() ? old_owner : owner;
    if (!of.empty() && (!now || !now->metadata().deletion_timestamp().empty())) {
      expectations_.deletion_settled(of, std::string(any->metadata().uid()));
    }
    if (!owner.empty()) queue().add(owner);
    if (!old_owner.empty() && old_owner != owner) queue().add(old_owner);
    if (now && !controller_of(now->metadata())) {
      queue().add(std::string(kStray) + key_of(now->metadata()));
    }
  });
}

namespace {

Draft<PodEdit> job_pod(const Job& job, int64_t index) {
  auto pod = pod_from_template(job.spec().template_(), kind_of<Job>(), job.metadata());
  pod->edit_metadata().edit_finalizers().add(kFinalizer);
  if (index < 0) return pod;
  std::string n = std::to_string(index), base = std::string(job.metadata().name()) + "-" + n;
  pod->edit_metadata().set_generate_name(base + "-");
  pod->edit_metadata().edit_labels().set(kIndex, n);
  pod->edit_metadata().edit_annotations().set(kIndex, n);
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

Task<Status> JobController::create_pod(Context ctx, Ref<Job> job, int64_t index) {
  Document body = job_pod(*job, index).take();
  auto r = co_await create_once(ctx, &client(), &kind_of<Pod>(), std::move(body));
  Status s = r.status();
  if (s.ok()) {
    events().normal(reference_to(job), "SuccessfulCreate",
                    "Created pod: " + std::string((*r)->name()));
  } else if (!s.is(Reason::kOutcomeUnknown) && !ctx.done()) {
    expectations_.creation_settled(key_of(job->metadata()));
    events().warning(reference_to(job), "FailedCreate", "Error creating: " + s.message());
  }
  co_return s;
}

Task<Status> JobController::remove_pod(Context ctx, Ref<Job> job, Ref<Pod> pod) {
  DeleteOptions o;
  o.uid = std::string(pod->metadata().uid());
  std::string name(pod->metadata().name());
  Status s = co_await remove_once(ctx, &client(), &kind_of<Pod>(),
                                  std::string(pod->metadata().namespace_()), name, o);
  if (s.ok()) {
    events().normal(reference_to(job), "SuccessfulDelete", "Deleted pod: " + name);
  } else if (!ctx.done()) {
    expectations_.deletion_settled(key_of(job->metadata()), o.uid);
  }
  co_return s;
}

// Takes the finalizer off.
Task<Status> JobController::release(Context ctx, Ref<Pod> pod) {
  auto meta = pod->metadata();
  Document patch = finalizer_removal(meta.uid(), kFinalizer);
  auto r = co_await client().patch(ctx, &kind_of<Pod>(), std::string(meta.namespace_()),
                                   std::string(meta.name()), PatchType::kStrategicMerge,
                                   std::move(patch), {});
  if (r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict)) co_return Status();
  co_return r.status();
}

// A pod that nobody controls: a job that would adopt it is woken; when there is none, it does not
// wait to be counted.
Task<Status> JobController::settle_stray(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Pod> pod = pods_.get(parts.first, parts.second);
  if (!pod || controller_of(pod->metadata())) co_return Status();
  for (const auto& job : jobs_.list(parts.first)) {
    if (plan_claim(job_claimant(*job), pod->metadata(), true) != Claim::kAdopt) continue;
    queue().add(key_of(job->metadata()));
    co_return Status();
  }
  if (!has_finalizer(*pod)) co_return Status();
  co_return co_await release(ctx, pod);
}

// Pods of a job that is gone (or of one that had the name before) are nobody's to count.
Task<Status> JobController::release_orphans(Context ctx, std::string key, std::string living_uid) {
  bool checked = false;
  for (const auto& pod : pods_.by_index(kByJob, key)) {
    if (!has_finalizer(*pod)) continue;
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

Task<Status> JobController::carry_out(Context ctx, Ref<Job> job, const JobPlan* plan) {
  std::vector<std::string> uids;
  std::vector<std::function<Task<Status>()>> tasks;
  for (const auto& p : plan->remove) {
    if (!p->metadata().deletion_timestamp().empty()) continue;
    uids.emplace_back(p->metadata().uid());
    tasks.push_back([this, ctx, job, p] { return remove_pod(ctx, job, p); });
  }
  for (int64_t i : plan->create) {
    tasks.push_back([this, ctx, job, i] { return create_pod(ctx, job, i); });
  }
  if (tasks.empty()) co_return Status();
  std::string key = key_of(job->metadata());
  expectations_.expect_deletions(key, uids);
  expectations_.expect_creations(key, static_cast<int>(plan->create.size()));
  co_return co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
}

Task<ReconcileResult> JobController::reconcile(Context ctx, std::string key) {
  if (key.starts_with(kStray)) {
    Status s = co_await settle_stray(ctx, key.substr(kStray.size()));
    co_return s;
  }
  auto parts = split_key(key);
  Ref<Job> job = jobs_.get(parts.first, parts.second);
  std::string uid = job ? std::string(job->metadata().uid()) : std::string();
  Status freed = co_await release_orphans(ctx, key, uid);
  if (!freed.ok()) co_return freed;
  if (!job) {
    expectations_.forget(key);
    co_return Status();
  }
  if (!is_ours(*job)) co_return Status();
  Claimant owner = job_claimant(*job);
  auto claims = plan_claims(owner, candidates(pods_, parts.first, job->metadata().uid()));
  if (!claims.settled()) {  // what is patched brings us back
    Status s = co_await write_claims(ctx, &client(), owner, &claims);
    co_return s;
  }
  const std::vector<Ref<Pod>>& pods = claims.owned;
  JobPlan plan = plan_job(*job, pods, loop().wall_now());
  if (plan.status_changed) {
    auto r = co_await client().update_status<Job>(ctx, plan.status.take());
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (!r.ok()) co_return r.status();
    job = *r;
    if (!plan.event_reason.empty()) {
      events().event(reference_to(job), plan.event_type, plan.event_reason, plan.event_message);
    }
  }
  for (const auto& p : plan.counted) {
    Status s = co_await release(ctx, p);
    if (!s.ok()) co_return s;
  }
  if (expectations_.satisfied(key)) {
    Status s = co_await carry_out(ctx, job, &plan);
    if (!s.ok()) co_return s;
  } else if (plan.requeue_after == Duration(0)) {
    plan.requeue_after = expectations_.remaining(key);
  }
  bool dying = !job->metadata().deletion_timestamp().empty();
  if (has_ended(*job) && !dying && job->spec().has_ttl_seconds_after_finished()) {
    WallTime end = kNone;
    for (JobCondition c : job->status().conditions()) {
      if (c.type() == "Complete" || c.type() == "Failed") {
        end = std::max(end, time_or_none(c.last_transition_time()));
      }
    }
    Duration left =
        end + std::chrono::seconds(job->spec().ttl_seconds_after_finished()) - loop().wall_now();
    if (left > Duration(0)) co_return ReconcileResult::after(left);
    DeleteOptions o;
    o.uid = std::string(job->metadata().uid());
    o.propagation_policy = "Foreground";
    Status s = co_await remove_once(ctx, &client(), &kind_of<Job>(), parts.first, parts.second, o);
    co_return s;
  }
  co_return ReconcileResult::after(plan.requeue_after);
}

}  // namespace keles::controllers
