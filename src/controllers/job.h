// Job controller: runs pods until enough of them have succeeded (upstream: pkg/controller/job).
//
// Each pod carries a finalizer until it has been counted: its uid goes into the status first
// (uncountedTerminatedPods), then the finalizer goes, then the uid becomes a number. So none is
// counted twice or missed, whatever is lost in between.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "client/expectations.h"
#include "controllers/controller.h"

namespace keles::controllers {

struct JobPlan {
  Draft<api::batch_v1::JobEdit> status;  // the whole object with its new status
  bool status_changed = false;
  std::vector<Ref<api::core_v1::Pod>> counted;  // their finalizer may go once the status is written
  std::vector<Ref<api::core_v1::Pod>> remove;
  std::vector<int64_t> create;  // completion indexes; -1 for jobs without
  Duration requeue_after{0};
  std::string event_type, event_reason, event_message;
};

JobPlan plan_job(const api::batch_v1::Job& job, const std::vector<Ref<api::core_v1::Pod>>& pods,
                 WallTime now);

// "1,3-5" and back.
std::set<int64_t> parse_indexes(std::string_view text);
std::string format_indexes(const std::set<int64_t>& indexes);

class JobController final : public Controller {
 public:
  explicit JobController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Job = api::batch_v1::Job;
  using Pod = api::core_v1::Pod;
  Task<Status> create_pod(Context ctx, Ref<Job> job, int64_t index);
  Task<Status> remove_pod(Context ctx, Ref<Job> job, Ref<Pod> pod);
  Task<Status> release(Context ctx, Ref<Pod> pod);
  Task<Status> settle_stray(Context ctx, std::string key);
  Task<Status> release_orphans(Context ctx, std::string key, std::string living_uid);
  Task<Status> carry_out(Context ctx, Ref<Job> job, const JobPlan* plan);

  Informer<Job> jobs_;
  Informer<Pod> pods_;
  Expectations expectations_;
};

}  // namespace keles::controllers
