// What is to be done about one CronJob: which Jobs have ended, which are too many, and whether a
// moment of the schedule has come.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <tuple>

#include "controllers/cronjob.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::batch_v1;

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr Duration kPadding = 100ms;  // clocks of machines differ a little
constexpr int64_t kMany = 100;        // missed moments
constexpr std::string_view kAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";

// "Complete", "Failed", or "" of one that goes on.
std::string_view ending_of(const Job& job) {
  for (JobCondition c : job.status().conditions()) {
    if ((c.type() == "Complete" || c.type() == "Failed") && c.status() == "True") return c.type();
  }
  return {};
}

std::string job_name(const CronJob& cron, WallTime at) {
  return std::string(cron.metadata().name()) + "-" + std::to_string(at.ns / kSecond / 60);
}

// RFC 3339 by the clocks of a zone.
std::string zoned_time(WallTime t, const TimeZone& zone) {
  const int64_t offset = zone.offset(t.ns / kSecond);
  if (offset == 0) return format_time(t);
  std::string out = format_time(t + std::chrono::seconds(offset));
  char buffer[16];
  const int64_t minutes = std::abs(offset) / 60;
  std::snprintf(buffer, sizeof buffer, "%c%02d:%02d", offset < 0 ? '-' : '+',
                static_cast<int>(minutes / 60), static_cast<int>(minutes % 60));
  return out.substr(0, out.size() - 1) + buffer;
}

// "Thu, 01 Jan 2026 12:00:00 UTC".
std::string rfc1123(WallTime t) {
  using namespace std::chrono;
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const seconds at(t.ns / kSecond);
  const sys_days day(floor<days>(at));
  const year_month_day d(day);
  const std::string text = format_time(t);
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%s, %02u %s ", kDays[weekday(day).c_encoding()],
                static_cast<unsigned>(d.day()), kMonths[static_cast<unsigned>(d.month()) - 1]);
  return buffer + text.substr(0, 4) + " " + text.substr(11, 8) + " UTC";
}

std::string_view zone_of(const CronJob& cron, const CronSchedule& schedule) {
  return schedule.zone().empty() ? cron.spec().time_zone() : std::string_view(schedule.zone());
}

// Builds a plan, step by step.
class Planner {
 public:
  Planner(const CronJob& cron, const std::vector<Ref<Job>>& jobs, WallTime now)
      : cron_(cron), jobs_(jobs), now_(now) {
    plan_.status = Draft<CronJobEdit>(cron);
  }

  CronJobPlan plan(const std::vector<std::string>& gone) {
    keep_history("Complete", cron_.spec().has_successful_jobs_history_limit(),
                 cron_.spec().successful_jobs_history_limit());
    keep_history("Failed", cron_.spec().has_failed_jobs_history_limit(),
                 cron_.spec().failed_jobs_history_limit());
    for (const Ref<Job>& job : jobs_) see(*job);
    see_missing(gone);
    if (cron_.metadata().deletion_timestamp().empty()) schedule();
    return std::move(plan_);
  }

 private:
  void tell(std::string type, std::string reason, std::string message) {
    plan_.events.push_back({std::move(type), std::move(reason), std::move(message)});
  }
  void warn(std::string reason, std::string message) {
    tell("Warning", std::move(reason), std::move(message));
  }

  bool is_active(std::string_view uid) const {
    for (auto a : plan_.status->status().active()) {
      if (a.uid() == uid) return true;
    }
    return false;
  }
  bool drop_active(std::string_view uid) {
    auto active = plan_.status->edit_status().edit_active();
    bool any = false;
    for (size_t i = active.size(); i-- > 0;) {
      if (active[i].uid() != uid) continue;
      active.erase_at(i);
      any = plan_.status_changed = true;
    }
    if (active.empty()) plan_.status->edit_status().clear_active();
    return any;
  }
  void remove(std::string_view name, std::string_view uid) {
    plan_.remove.push_back({std::string(name), std::string(uid)});
    drop_active(uid);
  }

  // Of those that ended so, the oldest go.
  void keep_history(std::string_view ending, bool limited, int64_t limit) {
    if (!limited) return;
    std::vector<Ref<Job>> ended;
    for (const Ref<Job>& job : jobs_) {
      if (ending_of(*job) == ending) ended.push_back(job);
    }
    auto age = [](const Ref<Job>& job) {  // those that never began are the youngest
      std::string_view start = job->status().start_time();
      return std::tuple(start.empty(), time_or_none(start), job->metadata().name());
    };
    std::sort(ended.begin(), ended.end(),
              [&](const auto& a, const auto& b) { return age(a) < age(b); });
    for (size_t i = 0; i + static_cast<size_t>(limit) < ended.size(); ++i) {
      if (!ended[i]->metadata().deletion_timestamp().empty()) continue;
      remove(ended[i]->metadata().name(), ended[i]->metadata().uid());
    }
  }

  void see(const Job& job) {
    std::string_view uid = job.metadata().uid(), ending = ending_of(job);
    std::string name(job.metadata().name());
    if (ending.empty()) {
      if (is_active(uid)) return;
      warn("UnexpectedJob", "Saw a job that the controller did not create or forgot: " + name);
      return;
    }
    if (drop_active(uid)) {
      tell("Normal", "SawCompletedJob",
           "Saw completed job: " + name + ", condition: " + std::string(ending));
    }
    if (ending != "Complete") return;
    WallTime done = time_or_none(job.status().completion_time());
    if (done <= time_or_none(plan_.status->status().last_successful_time())) return;
    plan_.status->edit_status().set_last_successful_time(job.status().completion_time());
    plan_.status_changed = true;
  }

  void see_missing(const std::vector<std::string>& gone) {
    for (auto a : cron_.status().active()) {
      if (std::find(gone.begin(), gone.end(), a.uid()) == gone.end()) continue;
      if (!drop_active(a.uid())) continue;
      tell("Normal", "MissingJob", "Active job went missing: " + std::string(a.name()));
    }
  }

  std::optional<CronTimes> times() {
    std::string zone(cron_.spec().time_zone());
    if (cron_.spec().has_time_zone() && !find_time_zone(zone)) {
      warn("UnknownTimeZone", "invalid timeZone: \"" + zone + "\": unknown time zone " + zone);
      return std::nullopt;
    }
    if (cron_.spec().suspend()) return std::nullopt;
    std::string text(cron_.spec().schedule());
    if (text.find("TZ") != text.npos) {
      warn("UnsupportedSchedule",
           "CRON_TZ or TZ used in schedule \"" + text +
               "\" is not officially supported, see "
               "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more "
               "details");
    }
    auto schedule = CronSchedule::parse(text);
    if (!schedule.ok()) {
      warn("UnparseableSchedule",
           "unparseable schedule: \"" + text + "\" : " + schedule.status().message());
      return std::nullopt;
    }
    auto found = find_time_zone(zone_of(cron_, *schedule));
    return CronTimes{std::move(*schedule), std::move(found)};
  }

  void schedule() {
    plan_.times = times();
    if (!plan_.times) return;
    UnmetTime unmet = unmet_time(cron_, *plan_.times, now_, true);
    if (unmet.never) {
      warn("InvalidSchedule", "invalid schedule: " + std::string(cron_.spec().schedule()) +
                                  " : time difference between two schedules is less than 1 second");
      return;
    }
    if (unmet.at && unmet.many_missed) {
      warn("TooManyMissedTimes",
           "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
           "clock skew");
    }
    if (unmet.at && is_due(*unmet.at)) {
      plan_.run = unmet.at;
    } else {
      plan_.requeue_after = until_next(cron_, *plan_.times, now_);
    }
  }

  bool is_due(WallTime at) {
    const auto spec = cron_.spec();
    if (spec.has_starting_deadline_seconds() &&
        at + std::chrono::seconds(spec.starting_deadline_seconds()) < now_) {
      warn("MissSchedule", "Missed scheduled time to start a job: " + rfc1123(at));
      return false;
    }
    const auto status = plan_.status->status();
    for (auto a : status.active()) {
      if (a.name() == job_name(cron_, at)) return false;
    }
    if (time_or_none(status.last_schedule_time()) == at) return false;
    if (spec.concurrency_policy() == "Forbid" && !status.active().empty()) {
      tell("Normal", "JobAlreadyActive",
           "Not starting job because prior execution is running and concurrency policy is Forbid");
      return false;
    }
    if (spec.concurrency_policy() == "Replace") {
      std::vector<CronJobPlan::JobName> active;
      for (auto a : status.active())
        active.push_back({std::string(a.name()), std::string(a.uid())});
      for (const auto& a : active) remove(a.name, a.uid);
    }
    return true;
  }

  const CronJob& cron_;
  const std::vector<Ref<Job>>& jobs_;
  WallTime now_;
  CronJobPlan plan_;
};

}  // namespace

UnmetTime unmet_time(const CronJob& cron, const CronTimes& times, WallTime now, bool in_time) {
  WallTime earliest = time_or_none(cron.metadata().creation_timestamp());
  if (cron.status().has_last_schedule_time()) {
    earliest = time_or_none(cron.status().last_schedule_time());
  }
  if (earliest == kNone) earliest = now;
  if (in_time && cron.spec().has_starting_deadline_seconds()) {
    // A deadline of centuries is none.
    int64_t seconds = std::min<int64_t>(cron.spec().starting_deadline_seconds(), 1'000'000'000);
    earliest = std::max(earliest, now - std::chrono::seconds(seconds));
  }
  UnmetTime out;
  out.since = earliest;
  auto first = times.next(earliest);
  if (first && now < *first) return out;
  auto second = first ? times.next(*first) : std::nullopt;
  if (!second) {
    out.never = true;
    return out;
  }
  if (now < *second) {
    out.at = first;
    return out;
  }
  // Where the moments are as far apart as the first two, this is one before the last.
  const int64_t apart = (*second - *first).count() / kSecond;
  const int64_t missed = (now - *first).count() / kSecond / apart + 1;
  const WallTime from = *first + std::chrono::seconds((missed - 2) * apart);
  for (auto t = times.next(from); t && *t <= now; t = times.next(*t)) out.at = t;
  out.any_missed = true;
  out.many_missed = missed > kMany;
  return out;
}

Duration until_next(const CronJob& cron, const CronTimes& times, WallTime now) {
  UnmetTime unmet = unmet_time(cron, times, now, false);
  WallTime from = unmet.since;
  if (unmet.at) from = *unmet.at;
  if (unmet.never || (!unmet.at && unmet.any_missed)) from = now;
  auto next = times.next(from);
  return next ? std::max<Duration>(*next + kPadding - now, 1ms) : Duration(0);
}

CronJobPlan plan_cron_job(const CronJob& cron, const std::vector<Ref<Job>>& jobs,
                          const std::vector<std::string>& gone, WallTime now) {
  return Planner(cron, jobs, now).plan(gone);
}

Draft<JobEdit> job_of(const CronJob& cron, WallTime at) {
  Draft<JobEdit> job;
  auto meta = job->edit_metadata();
  meta.set_namespace_(cron.metadata().namespace_());
  meta.set_name(job_name(cron, at));
  const auto from = cron.spec().job_template();
  for (auto [k, v] : from.metadata().labels()) meta.edit_labels().set(k, v);
  for (auto [k, v] : from.metadata().annotations()) meta.edit_annotations().set(k, v);
  auto zone = find_time_zone(cron.spec().time_zone());
  meta.edit_annotations().set(kAnnotation, zoned_time(at, zone ? *zone : TimeZone()));
  set_controller_reference(meta, kind_of<CronJob>(), cron.metadata());
  job->set_spec(from.spec());
  return job;
}

}  // namespace keles::controllers
