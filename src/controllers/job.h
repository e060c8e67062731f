// Job controller: runs pods until enough of them have succeeded (upstream: pkg/controller/job).
//
// Each pod carries a finalizer until it has been counted: its uid goes into the status first
// (uncountedTerminatedPods), then the finalizer goes, then the uid becomes a number. So none is
// counted twice or missed, whatever is lost in between. Failure policy: KEP 3329; limits per index:
// KEP 3850; success policy: KEP 3998.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "controllers/kit.h"
#include "controllers/pod_control.h"

namespace keles::controllers {

inline constexpr std::string_view kJobFinalizer = "batch.kubernetes.io/job-tracking";
bool is_tracked(const api::core_v1::Pod& pod);  // has it

// A pod to make.
struct JobPod {
  int64_t index = -1;                  // of completion; -1 for jobs without
  int64_t failures = -1, ignored = 0;  // of this index so far; -1 without a limit per index
};

struct JobPlan {
  Draft<api::batch_v1::JobEdit> status;  // the whole object with its new status
  bool status_changed = false;
  std::vector<Ref<api::core_v1::Pod>> counted;  // their finalizer may go once the status is written
  // Failed, and kept for the count of failures that the next pod of their index will carry on.
  std::vector<Ref<api::core_v1::Pod>> kept;
  std::vector<Ref<api::core_v1::Pod>> remove;
  std::vector<JobPod> create;
  Duration requeue_after{0};
  std::string event_type, event_reason, event_message;
  std::map<std::string, int> policy_matches;  // of those newly counted: by the rule's action
};

JobPlan plan_job(const api::batch_v1::Job& job, const std::vector<Ref<api::core_v1::Pod>>& pods,
                 WallTime now);

// What the Job's podFailurePolicy (KEP 3329) says of a failed pod: the action of the first rule
// that matches, "" when none does, and what to tell of it.
struct FailureMatch {
  std::string action, message;
};
FailureMatch match_failure_policy(const api::batch_v1::Job& job, const api::core_v1::Pod& pod);
// Whether these succeeded indexes are enough for the Job's successPolicy (KEP 3998); what to tell.
std::optional<std::string> match_success_policy(const api::batch_v1::Job& job,
                                                const std::set<int64_t>& done);

// "1,3-5" and back.
std::set<int64_t> parse_indexes(std::string_view text);
std::string format_indexes(const std::set<int64_t>& indexes);

class JobController final : public ControllerFor<api::batch_v1::Job> {
 public:
  explicit JobController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Job = api::batch_v1::Job;
  using Pod = api::core_v1::Pod;
  Task<Status> release(Context ctx, Ref<Pod> pod);
  Task<Status> settle_stray(Context ctx, std::string key);
  Task<Status> release_orphans(Context ctx, std::string key, std::string living_uid);
  Task<Status> release_uncounted(Context ctx, std::string key, Claimant owner);
  Task<Status> make_pod(Context ctx, Ref<Job> job, JobPod pod);
  Task<Status> carry_out(Context ctx, Ref<Job> job, const JobPlan* plan);
  Task<ReconcileResult> sync(Context ctx, std::string key, Ref<Job> job, std::string_view* action);

  Informer<Pod> pods_;
  PodControl pod_control_{client(), events(), expectations()};
};

}  // namespace keles::controllers
