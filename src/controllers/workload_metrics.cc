#include "controllers/workload_metrics.h"

#include <algorithm>

#include "base/metrics.h"
#include "controllers/ownership.h"

namespace keles::controllers {

using api::apps_v1::StatefulSet;
using api::core_v1::Pod;

void count_away(const StatefulSet& set, const StatefulSetPlan& plan) {
  if (plan.may_be_away == 0) return;
  const std::vector<std::string> names = {"statefulset_namespace", "statefulset_name",
                                          "pod_management_policy"};
  static metrics::Gauge& may = metrics::gauge(
      "statefulset_controller_statefulset_max_unavailable",
      "How many pods of a StatefulSet may be away during its rolling update.", names);
  static metrics::Gauge& are =
      metrics::gauge("statefulset_controller_statefulset_unavailable_replicas",
                     "How many of its pods are away.", names);
  const metrics::LabelValues labels = {std::string(set.metadata().namespace_()),
                                       std::string(set.metadata().name()),
                                       std::string(set.spec().pod_management_policy())};
  may.with(labels).set(static_cast<double>(plan.may_be_away));
  are.with(labels).set(static_cast<double>(plan.away));
}

void count_scaled_down(const std::vector<Ref<Pod>>& all, const std::vector<Ref<Pod>>& removed,
                       WallTime now) {
  if (removed.empty()) return;
  static metrics::Histogram& ratio =
      metrics::histogram("replicaset_controller_sorting_deletion_age_ratio",
                         "Ages of ready pods that were removed, by that of the youngest ready one.",
                         {}, {0.25, 0.5, 1, 2, 4, 8});
  auto age = [now](const Ref<Pod>& p) {
    return std::chrono::duration<double>(now - time_or_none(p->metadata().creation_timestamp()))
        .count();
  };
  double youngest = -1;
  for (const auto& p : all) {
    if (pod_is_ready(*p)) youngest = youngest < 0 ? age(p) : std::min(youngest, age(p));
  }
  for (const auto& p : removed) {
    if (pod_is_ready(*p) && youngest > 0) ratio.observe(age(p) / youngest);
  }
}

}  // namespace keles::controllers
