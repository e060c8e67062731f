#include "controllers/ttl_after_finished.h"

#include "base/metrics.h"

namespace keles::controllers {

using namespace api::batch_v1;

std::optional<WallTime> expires_at(const Job& job) {
  auto spec = job.spec();
  if (!spec.has_ttl_seconds_after_finished()) return std::nullopt;
  if (!job.metadata().deletion_timestamp().empty()) return std::nullopt;
  for (JobCondition c : job.status().conditions()) {
    if ((c.type() != "Complete" && c.type() != "Failed") || c.status() != "True") continue;
    WallTime ended = time_or_none(c.last_transition_time());
    if (ended == kNone) return std::nullopt;
    return ended + std::chrono::seconds(spec.ttl_seconds_after_finished());
  }
  return std::nullopt;
}

TtlAfterFinished::TtlAfterFinished(Deps deps)
    : ControllerFor(deps, "ttl_jobs_to_delete", "ttl-after-finished-controller", 5) {}

Task<ReconcileResult> TtlAfterFinished::reconcile(Context ctx, std::string key) {
  Ref<Job> job = find(key);
  std::optional<WallTime> when;
  if (job) when = expires_at(*job);
  if (!when) co_return Status();
  if (*when > loop().wall_now()) co_return ReconcileResult::after(*when - loop().wall_now());
  // It may have been given longer meanwhile.
  auto parts = split_key(key);
  auto fresh = co_await client().get<Job>(ctx, parts.first, parts.second);
  if (fresh.status().is(Reason::kNotFound)) co_return Status();
  if (!fresh.ok()) co_return fresh.status();
  when = expires_at(**fresh);
  if (!when) co_return Status();
  if (*when > loop().wall_now()) co_return ReconcileResult::after(*when - loop().wall_now());
  DeleteOptions o;
  o.uid = std::string((*fresh)->metadata().uid());
  o.propagation_policy = "Foreground";
  Status s = co_await remove_once(ctx, &client(), &kind_of<Job>(), parts.first, parts.second, o);
  if (s.ok()) {
    static metrics::Histogram& late = metrics::histogram(
        "ttl_after_finished_controller_job_deletion_duration_seconds",
        "How long after a Job might go it was deleted.", {},
        {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2});
    late.observe(std::chrono::duration<double>(loop().wall_now() - *when).count());
  }
  co_return s;
}

}  // namespace keles::controllers
