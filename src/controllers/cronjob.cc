#include "controllers/cronjob.h"

#include <algorithm>

#include "base/metrics.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::batch_v1;

namespace {

bool is_finished(const Job& job) {
  for (JobCondition c : job.status().conditions()) {
    if ((c.type() == "Complete" || c.type() == "Failed") && c.status() == "True") return true;
  }
  return false;
}

bool is_active(const CronJob& cron, std::string_view uid) {
  for (auto a : cron.status().active()) {
    if (a.uid() == uid) return true;
  }
  return false;
}

}  // namespace

CronJobController::CronJobController(Deps deps)
    : ControllerFor(deps, "cronjob", "cronjob-controller", 5), jobs_(owns<Job>()) {}

// Who changes the schedule asks for its next moment, not for those that it would have had by now.
std::optional<Duration> CronJobController::wakes_after(const ObjectPtr& before,
                                                       const ObjectPtr& now) {
  if (!before || !now) return Duration(0);
  Ref<CronJob> was = read<CronJob>(before), is = read<CronJob>(now);
  const auto spec = is->spec();
  if (spec.schedule() == was->spec().schedule() && spec.time_zone() == was->spec().time_zone()) {
    return Duration(0);
  }
  auto schedule = CronSchedule::parse(spec.schedule());
  if (!schedule.ok()) {
    events().warning(reference_to(is), "UnParseableCronJobSchedule",
                     "unparseable schedule for cronjob: " + std::string(spec.schedule()));
    return std::nullopt;
  }
  auto zone = find_time_zone(schedule->zone().empty() ? spec.time_zone() : schedule->zone());
  if (!zone) return Duration(0);  // says what is wrong with it
  CronTimes times{std::move(*schedule), std::move(zone)};
  return std::max<Duration>(until_next(*is, times, loop().wall_now()), 1ms);
}

// Jobs that are active by the status and not in our copy: is the copy behind?
Task<Result<std::vector<std::string>>> CronJobController::find_gone(Context ctx, Ref<CronJob> cron,
                                                                    std::vector<Ref<Job>> jobs) {
  std::vector<std::string> gone;
  for (auto a : cron->status().active()) {
    bool known = false;
    for (const auto& job : jobs) known = known || job->metadata().uid() == a.uid();
    if (known) continue;
    auto live = co_await client().get<Job>(ctx, std::string(cron->metadata().namespace_()),
                                           std::string(a.name()));
    if (live.status().is(Reason::kNotFound)) {
      gone.emplace_back(a.uid());
    } else if (!live.ok()) {
      co_return live.status();
    } else if ((*live)->metadata().uid() != a.uid()) {
      gone.emplace_back(a.uid());  // another has its name
    }
  }
  co_return gone;
}

Task<Status> CronJobController::remove(Context ctx, Ref<CronJob> cron, CronJobPlan::JobName job) {
  DeleteOptions o;
  o.uid = job.uid;
  o.propagation_policy = "Background";
  Status s = co_await remove_once(ctx, &client(), &kind_of<Job>(),
                                  std::string(cron->metadata().namespace_()), job.name, o);
  if (s.ok()) {
    events().normal(reference_to(cron), "SuccessfulDelete", "Deleted job " + job.name);
  } else if (!ctx.done()) {
    events().warning(reference_to(cron), "FailedDelete", "Deleted job: " + s.message());
  }
  co_return s;
}

// Makes the Job and puts it into the status.
Task<Status> CronJobController::run_job(Context ctx, Ref<CronJob> cron, CronJobPlan* plan) {
  Document body = job_of(*cron, *plan->run).take();
  std::string ns(cron->metadata().namespace_());
  std::string name((*body.root.find("metadata"))["name"].as_string());
  auto made = co_await client().create<Job>(ctx, std::move(body));
  if (made.status().is(Reason::kAlreadyExists)) {
    // Ours of an earlier attempt, whose status was lost; or somebody's, whom we leave alone.
    made = co_await client().get<Job>(ctx, ns, name);
    if (!made.ok()) co_return made.status();
    if (!is_controlled_by((*made)->metadata(), cron->metadata().uid())) co_return Status();
    if (is_active(*plan->status, (*made)->metadata().uid())) co_return Status();
  } else if (!made.ok()) {
    if (!namespace_is_ending(made.status()) && !ctx.done()) {
      events().warning(reference_to(cron), "FailedCreate",
                       "Error creating job: " + made.status().message());
    }
    co_return made.status();
  } else {
    events().normal(reference_to(cron), "SuccessfulCreate", "Created job " + name);
    static metrics::Histogram& skew =
        metrics::histogram("cronjob_controller_job_creation_skew_duration_seconds",
                           "How long after its moment a Job of a schedule was made.", {},
                           {1, 2, 4, 8, 16, 32, 64, 128, 256, 512});
    skew.observe(std::chrono::duration<double>(loop().wall_now() - *plan->run).count());
  }
  const ObjectReference job = reference_to(*made);
  auto status = plan->status->edit_status();
  auto ref = status.edit_active().add();
  ref.set_kind(job.kind);
  ref.set_namespace_(job.ns);
  ref.set_name(job.name);
  ref.set_uid(job.uid);
  ref.set_api_version(job.api_version);
  ref.set_resource_version(job.resource_version);
  status.set_last_schedule_time(format_time(*plan->run));
  plan->status_changed = true;
  co_return Status();
}

Task<ReconcileResult> CronJobController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<CronJob> cron = find(key);
  if (!cron) co_return Status();
  const std::vector<Ref<Job>> jobs = jobs_.by_index(kControllerIndex, cron->metadata().uid());
  bool behind = false;  // our own last status may not have come back yet
  for (const auto& job : jobs) {
    behind = behind || (!is_finished(*job) && !is_active(*cron, job->metadata().uid()));
  }
  if (behind) {
    auto live = co_await client().get<CronJob>(ctx, parts.first, parts.second);
    if (live.status().is(Reason::kNotFound)) co_return Status();
    if (!live.ok()) co_return live.status();
    if ((*live)->metadata().uid() != cron->metadata().uid()) co_return Status();
    cron = *live;
  }
  auto gone = co_await find_gone(ctx, cron, jobs);
  if (!gone.ok()) co_return gone.status();
  CronJobPlan plan = plan_cron_job(*cron, jobs, *gone, loop().wall_now());
  for (const auto& e : plan.events) {
    events().event(reference_to(cron), e.type, e.reason, e.message);
  }
  Status failed;
  for (const auto& job : plan.remove) {
    failed = co_await remove(ctx, cron, job);
    if (!failed.ok()) co_return failed;
  }
  if (plan.run) {
    failed = co_await run_job(ctx, cron, &plan);
    if (namespace_is_ending(failed)) co_return Status();
    plan.requeue_after = until_next(*plan.status, *plan.times, loop().wall_now());
  }
  if (plan.status_changed) {
    Status s = co_await write_status(ctx, plan.status.take());
    if (!s.ok()) co_return s;
  }
  if (!failed.ok()) co_return failed;
  co_return ReconcileResult::after(plan.requeue_after);
}

}  // namespace keles::controllers
