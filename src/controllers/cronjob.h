// CronJob controller: makes a Job at each moment of a schedule (upstream: pkg/controller/cronjob).
//
// A Job's name holds the minute that it is for, so that none is made twice whatever is lost in
// between. Moments that were missed (the controller was away) come down to the last of them. A
// schedule without a time zone goes by UTC.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/batch_v1.h"
#include "controllers/kit.h"
#include "machinery/cron.h"

namespace keles::controllers {

// What a CronJob's schedule and zone mean together.
struct CronTimes {
  CronSchedule schedule;
  std::shared_ptr<const TimeZone> zone;
  std::optional<WallTime> next(WallTime t) const { return schedule.next(t, *zone); }
};

// The last moment of the schedule up to `now` that has not been answered; moments before the
// starting deadline count only without `in_time`.
struct UnmetTime {
  WallTime since{0};  // what was answered last, or when the CronJob was made
  std::optional<WallTime> at;
  bool any_missed = false, many_missed = false;  // more than one; more than 100 (about)
  bool never = false;                            // the schedule has no moments
};
UnmetTime unmet_time(const api::batch_v1::CronJob& cron, const CronTimes& times, WallTime now,
                     bool in_time);
// When to look at it again.
Duration until_next(const api::batch_v1::CronJob& cron, const CronTimes& times, WallTime now);

struct CronJobPlan {
  struct Told {
    std::string type, reason, message;
  };
  struct JobName {
    std::string name, uid;
  };
  Draft<api::batch_v1::CronJobEdit> status;  // the whole object with its new status
  bool status_changed = false;
  std::vector<Told> events;
  std::vector<JobName> remove;     // before anything is made; those removed are not active any more
  std::optional<WallTime> run;     // make the Job of this moment
  std::optional<CronTimes> times;  // unless it is suspended or cannot be read
  Duration requeue_after{0};       // 0: until something changes
};

// `jobs`: those that it controls. `gone`: uids of its active Jobs that the server does not have.
CronJobPlan plan_cron_job(const api::batch_v1::CronJob& cron,
                          const std::vector<Ref<api::batch_v1::Job>>& jobs,
                          const std::vector<std::string>& gone, WallTime now);

// The Job of that moment.
Draft<api::batch_v1::JobEdit> job_of(const api::batch_v1::CronJob& cron, WallTime at);

class CronJobController final : public ControllerFor<api::batch_v1::CronJob> {
 public:
  explicit CronJobController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using CronJob = api::batch_v1::CronJob;
  using Job = api::batch_v1::Job;
  std::optional<Duration> wakes_after(const ObjectPtr& before, const ObjectPtr& now) override;
  Task<Result<std::vector<std::string>>> find_gone(Context ctx, Ref<CronJob> cron,
                                                   std::vector<Ref<Job>> jobs);
  Task<Status> remove(Context ctx, Ref<CronJob> cron, CronJobPlan::JobName job);
  Task<Status> run_job(Context ctx, Ref<CronJob> cron, CronJobPlan* plan);

  Informer<Job> jobs_;
};

}  // namespace keles::controllers
