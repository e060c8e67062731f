// What is counted of ReplicaSets and StatefulSets, by upstream's names.
#pragma once

#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "base/loop.h"
#include "controllers/statefulset.h"

namespace keles::controllers {

// Of a rolling update: how many pods are away, and how many may be.
void count_away(const api::apps_v1::StatefulSet& set, const StatefulSetPlan& plan);
// How old those are that a set gives up, measured by the youngest that is ready.
void count_scaled_down(const std::vector<Ref<api::core_v1::Pod>>& all,
                       const std::vector<Ref<api::core_v1::Pod>>& removed, WallTime now);

}  // namespace keles::controllers
