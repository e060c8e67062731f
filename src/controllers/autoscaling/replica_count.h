// How many replicas a metric asks for (upstream: replica_calculator). Amounts are thousandths, as
// Quantity::milli_value() has them. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/loop.h"
#include "base/status.h"
#include "machinery/value.h"

namespace keles::controllers::hpa {

struct PodMetric {
  WallTime at;
  Duration window{0};
  int64_t value = 0;
};
using PodMetrics = std::map<std::string, PodMetric>;  // by the pod's name
using Pods = std::vector<Ref<api::core_v1::Pod>>;

// How far usage may be from its target before anything is done, as parts of it.
struct Tolerances {
  double down = 0.1, up = 0.1;
  bool within(double ratio) const { return 1.0 - down <= ratio && ratio <= 1.0 + up; }
};

// When a pod's CPU counts (--horizontal-pod-autoscaler-cpu-initialization-period,
// -initial-readiness-delay).
struct Readiness {
  Duration cpu_initialization = 5min, initial_readiness = 30s;
  WallTime now;
};

struct Proposal {
  int64_t replicas = 0;
  int64_t utilization = 0;  // percent of what is requested; of resources by utilization
  int64_t usage = 0;        // on average
};

// Which pods count.
struct Groups {
  int64_t ready = 0;
  std::vector<std::string> unready, missing, ignored;
};
Groups group_pods(const Pods& pods, const PodMetrics& metrics, std::string_view resource,
                  const Readiness& readiness);

// By the part of what the pods request; `container`: of that one alone, "" the whole pod.
Result<Proposal> by_utilization(const Pods& pods, PodMetrics metrics, int64_t current,
                                int64_t target_percent, std::string_view resource,
                                std::string_view container, const Tolerances& tolerances,
                                const Readiness& readiness);
// By the average of the pods; `resource` "": of a metric that is no resource.
Result<Proposal> by_average(const Pods& pods, PodMetrics metrics, int64_t current, int64_t target,
                            std::string_view resource, const Tolerances& tolerances,
                            const Readiness& readiness);
// By one value for all, which grows less as pods become more.
Result<Proposal> by_value(const Pods& pods, int64_t usage, int64_t current, int64_t target,
                          const Tolerances& tolerances);
// By one value, divided among `observed` pods.
Proposal by_value_per_pod(int64_t usage, int64_t observed, int64_t target,
                          const Tolerances& tolerances);

}  // namespace keles::controllers::hpa
