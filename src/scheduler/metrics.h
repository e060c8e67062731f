// The scheduler's metrics, under upstream's names. A series that is written for every pod is looked
// up once. One loop's thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/metrics.h"

namespace keles::scheduler::meters {

metrics::Value& preemption_attempts();
metrics::Buckets& preemption_victims();
metrics::Buckets& pod_attempts();  // to a pod's binding
metrics::Buckets& algorithm_seconds();
metrics::Value& scheduled_after_flush();
metrics::Value& pending(std::string_view queue);    // "active", "backoff", "unschedulable", "gated"
metrics::Value& cache_size(std::string_view type);  // "nodes", "pods", "assumed_pods"
metrics::Value& incoming(std::string_view queue, std::string_view event);
metrics::Value& unschedulable_by(std::string_view plugin, std::string_view profile);
metrics::Buckets& permit_wait(std::string_view result);
metrics::Value& claims_created(std::string_view status);  // "success", "failure"
metrics::Value& binding_conditions(std::string_view profile, std::string_view driver,
                                   std::string_view status);
metrics::Buckets& binding_conditions_wait(std::string_view profile, std::string_view driver,
                                          std::string_view status);
void observe_sli(int attempts, double seconds);

// Of one profile.
class OfProfile {
 public:
  explicit OfProfile(std::string name) : name_(std::move(name)) {}
  // `result`: "scheduled", "unschedulable" or "error".
  void attempt(std::string_view result, double seconds);
  // `status`: "Success", "Unschedulable", ...
  void point(std::string_view point, std::string_view status, double seconds);

 private:
  struct Attempt {
    metrics::Value* count;
    metrics::Buckets* seconds;
  };
  std::string name_;
  std::map<std::string, Attempt, std::less<>> attempts_;
  std::map<std::pair<std::string_view, std::string_view>, metrics::Buckets*> points_;
};

}  // namespace keles::scheduler::meters
