// What is counted of Jobs: job_controller_* (upstream: pkg/controller/job/metrics).
#pragma once

#include <string_view>

#include "api/batch_v1.h"
#include "api/core_v1.h"
#include "base/loop.h"
#include "controllers/job.h"

namespace keles::controllers {

// A reconcile. `action`: reconciling, tracking, pods_created, pods_deleted.
void count_job_sync(const api::batch_v1::Job& job, std::string_view action, bool ok, Duration took);
// What a status that was written has brought: pods and indexes counted, the Job's end.
void count_job_progress(const api::batch_v1::Job& before, const api::batch_v1::Job& after);
// Failed pods that a rule of the Job's failure policy matched, by the rule's action.
void count_policy_matches(const std::map<std::string, int>& by_action);
void count_job_pod_creation(const api::batch_v1::Job& job, bool ok);
void count_external_job(std::string_view manager);
// A pod that has ended waits to be counted, or does not any more.
void count_tracked_pod(const Ref<api::core_v1::Pod>& before, const Ref<api::core_v1::Pod>& now);

}  // namespace keles::controllers
