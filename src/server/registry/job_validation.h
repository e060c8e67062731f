// Checks of Jobs and CronJobs. Messages and order are upstream's
// (k8s.io/kubernetes/pkg/apis/batch/validation). `before` is null on a create. Pure, any thread.
#pragma once

#include <optional>
#include <string>

#include "api/batch_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

void validate_job(FieldErrors& e, const api::batch_v1::Job& now, const api::batch_v1::Job* before);
void validate_job_status(FieldErrors& e, const api::batch_v1::Job& now,
                         const api::batch_v1::Job& before);
void validate_cron_job(FieldErrors& e, const api::batch_v1::CronJob& now,
                       const api::batch_v1::CronJob* before);

// Indexes of an Indexed Job, "0-3,5", below `completions`: how many they are, or what is wrong.
struct JobIndexes {
  int64_t total = 0;
  std::string error;
};
JobIndexes count_job_indexes(std::string_view text, int64_t completions);

}  // namespace keles::registry
