// How long which pods have when the machine goes down (shutdownGracePeriod,
// shutdownGracePeriodCriticalPods, shutdownGracePeriodByPodPriority). Pure; rules and messages are
// upstream's (pkg/kubelet/nodeshutdown, apis/config/validation).
#pragma once

#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/loop.h"
#include "base/status.h"

namespace keles::node {

// Pods of this priority and above, up to the next one's.
struct ShutdownPeriod {
  int64_t priority = 0, seconds = 0;
  bool operator==(const ShutdownPeriod&) const = default;
};
using ShutdownPeriods = std::vector<ShutdownPeriod>;  // lowest first; empty: no pod is waited for

struct ShutdownSettings {
  Duration whole{0}, critical{0};
  std::string by_priority;  // "100000:10,0:60", in place of the two
};
Result<ShutdownPeriods> shutdown_periods(const ShutdownSettings& settings);
Duration whole_period(const ShutdownPeriods& periods);

struct ShutdownGroup {
  int64_t seconds = 0;  // that all of them have together
  std::vector<Ref<api::core_v1::Pod>> pods;
};
// In the order in which they end; as many as there are periods. Pods below the lowest belong to it.
std::vector<ShutdownGroup> shutdown_groups(const ShutdownPeriods& periods,
                                           const std::vector<Ref<api::core_v1::Pod>>& pods);
// What a pod of this group has: no more than it asks for itself.
int64_t shutdown_grace(const ShutdownGroup& group, const api::core_v1::Pod& pod);

}  // namespace keles::node
