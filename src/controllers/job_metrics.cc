#include "controllers/job_metrics.h"

#include <chrono>

#include "base/metrics.h"
#include "controllers/ownership.h"

namespace keles::controllers {

using namespace api::batch_v1;
using api::core_v1::Pod;

namespace {

metrics::Counter& counter(std::string_view name, std::string help,
                          std::vector<std::string> labels) {
  return metrics::counter("job_controller_" + std::string(name), std::move(help),
                          std::move(labels));
}

bool is_indexed(const Job& job) { return job.spec().completion_mode() == "Indexed"; }
std::string mode_of(const Job& job) { return is_indexed(job) ? "Indexed" : "NonIndexed"; }

void add(metrics::Counter& to, const metrics::LabelValues& labels, int64_t n) {
  if (n > 0) to.with(labels).add(static_cast<double>(n));
}

int64_t indexes(std::string_view text) { return static_cast<int64_t>(parse_indexes(text).size()); }

// The condition by which the Job has ended; false in bool context when it has not.
JobCondition end_of(const Job& job) {
  for (JobCondition c : job.status().conditions()) {
    if ((c.type() == "Complete" || c.type() == "Failed") && c.status() == "True") return c;
  }
  return JobCondition();
}

}  // namespace

void count_job_sync(const Job& job, std::string_view action, bool ok, Duration took) {
  static metrics::Counter& syncs =
      counter("job_syncs_total", "Reconciles of Jobs.", {"completion_mode", "result", "action"});
  static metrics::Histogram& seconds = metrics::histogram(
      "job_controller_job_sync_duration_seconds", "How long reconciles of Jobs took.",
      {"completion_mode", "result", "action"},
      {0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
       32.768, 65.536});
  const metrics::LabelValues labels = {mode_of(job), ok ? "success" : "error", std::string(action)};
  syncs.with(labels).add();
  seconds.with(labels).observe(std::chrono::duration<double>(took).count());
}

void count_job_progress(const Job& before, const Job& after) {
  static metrics::Counter& finished = counter("jobs_finished_total", "Jobs that have ended.",
                                              {"completion_mode", "result", "reason"});
  static metrics::Counter& pods =
      counter("job_pods_finished_total", "Pods that have ended and are counted.",
              {"completion_mode", "result"});
  static metrics::Counter& of_indexes = counter(
      "job_finished_indexes_total", "Indexes that are done with.", {"status", "backoffLimit"});
  const std::string mode = mode_of(after);
  auto was = before.status(), is = after.status();
  int64_t succeeded = is.succeeded() - was.succeeded();
  if (is_indexed(after)) {
    const std::string limit = after.spec().has_backoff_limit_per_index() ? "perIndex" : "global";
    succeeded = indexes(is.completed_indexes()) - indexes(was.completed_indexes());
    add(of_indexes, {"succeeded", limit}, succeeded);
    add(of_indexes, {"failed", limit},
        indexes(is.failed_indexes()) - indexes(was.failed_indexes()));
  }
  add(pods, {mode, "succeeded"}, succeeded);
  add(pods, {mode, "failed"}, is.failed() - was.failed());
  JobCondition end = end_of(after);
  if (!end || end_of(before)) return;
  finished
      .with({mode, end.type() == "Complete" ? "succeeded" : "failed", std::string(end.reason())})
      .add();
}

void count_policy_matches(const std::map<std::string, int>& by_action) {
  static metrics::Counter& handled =
      counter("pod_failures_handled_by_failure_policy_total",
              "Failed pods that a rule of a failure policy matched.", {"action"});
  for (const auto& [action, n] : by_action) add(handled, {action}, n);
}

void count_job_pod_creation(const Job& job, bool ok) {
  static metrics::Counter& made =
      counter("job_pods_creation_total", "Pods made for Jobs, and what for.", {"reason", "status"});
  std::string reason = "new";
  auto status = job.status();
  if (job.spec().pod_replacement_policy() == "Failed") {
    if (status.failed() > 0) reason = "recreate_failed";
  } else if (status.failed() > 0 || status.terminating() > 0) {
    reason = "recreate_terminating_or_failed";
  }
  made.with({reason, ok ? "succeeded" : "failed"}).add();
}

void count_external_job(std::string_view manager) {
  static metrics::Counter& external =
      counter("jobs_by_external_controller_total", "Jobs that others manage.", {"controller_name"});
  external.with({std::string(manager)}).add();
}

void count_tracked_pod(const Ref<Pod>& before, const Ref<Pod>& now) {
  static metrics::Counter& waiting =
      counter("terminated_pods_tracking_finalizer_total",
              "Pods that have ended and wait to be counted, as they come and go.", {"event"});
  auto waits = [](const Ref<Pod>& p) { return p && pod_has_finished(*p) && is_tracked(*p); };
  const bool did = waits(before), does = waits(now);
  if (did != does) waiting.with({does ? "add" : "delete"}).add();
}

}  // namespace keles::controllers
