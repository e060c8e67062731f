#include "scheduler/metrics.h"

#include <utility>

namespace keles::scheduler::meters {
namespace {

std::vector<double> doubling(double first, int n) {
  std::vector<double> out;
  for (double x = first; n > 0; --n, x *= 2) out.push_back(x);
  return out;
}

// A family's series by one or two texts, looked up in the family once.
template <class Family, class Series>
class Known {
 public:
  explicit Known(Family& family) : family_(family) {}
  Series& of(std::string_view a, std::string_view b) {
    auto some = series_.find(a);
    if (some == series_.end()) some = series_.try_emplace(std::string(a)).first;
    auto at = some->second.find(b);
    if (at == some->second.end()) {
      Series& s = family_.with({std::string(a), std::string(b)});
      at = some->second.emplace(std::string(b), &s).first;
    }
    return *at->second;
  }

 private:
  Family& family_;
  std::map<std::string, std::map<std::string, Series*, std::less<>>, std::less<>> series_;
};

}  // namespace

metrics::Value& preemption_attempts() {
  static metrics::Value& v = metrics::counter("scheduler_preemption_attempts_total",
                                              "Total preemption attempts in the cluster till now")
                                 .with({});
  return v;
}

metrics::Buckets& preemption_victims() {
  static metrics::Buckets& b =
      metrics::histogram("scheduler_preemption_victims", "Number of selected preemption victims",
                         {}, doubling(1, 7))
          .with({});
  return b;
}

metrics::Buckets& pod_attempts() {
  static metrics::Buckets& b =
      metrics::histogram("scheduler_pod_scheduling_attempts",
                         "Number of attempts to successfully schedule a pod.", {}, doubling(1, 5))
          .with({});
  return b;
}

metrics::Value& claims_created(std::string_view status) {
  static metrics::Counter& c =
      metrics::counter("scheduler_resourceclaim_creates_total",
                       "Number of ResourceClaims creation requests within scheduler", {"status"});
  return c.with({std::string(status)});
}

metrics::Value& binding_conditions(std::string_view profile, std::string_view driver,
                                   std::string_view status) {
  static metrics::Counter& c =
      metrics::counter("scheduler_dra_bindingconditions_allocations_total",
                       "Number of allocations using devices with BindingConditions, counted per "
                       "driver per scheduling attempt",
                       {"profile", "driver", "status"});
  return c.with({std::string(profile), std::string(driver), std::string(status)});
}

metrics::Buckets& binding_conditions_wait(std::string_view profile, std::string_view driver,
                                          std::string_view status) {
  static metrics::Histogram& h = metrics::histogram(
      "scheduler_dra_bindingconditions_wait_duration_seconds",
      "Time in seconds spent waiting for BindingConditions to be satisfied during PreBind.",
      {"profile", "driver", "status"}, doubling(0.1, 14));
  return h.with({std::string(profile), std::string(driver), std::string(status)});
}

metrics::Buckets& algorithm_seconds() {
  static metrics::Buckets& b =
      metrics::histogram("scheduler_scheduling_algorithm_duration_seconds",
                         "Scheduling algorithm latency in seconds", {}, doubling(.001, 15))
          .with({});
  return b;
}

metrics::Value& scheduled_after_flush() {
  static metrics::Value& v =
      metrics::counter("scheduler_pod_scheduled_after_flush_total",
                       "Number of pods that were successfully scheduled after being flushed from "
                       "unschedulablePods due to timeout.")
          .with({});
  return v;
}

metrics::Value& pending(std::string_view queue) {
  static metrics::Gauge& g = metrics::gauge(
      "scheduler_pending_pods", "Number of pending pods, by the queue type.", {"queue"});
  return g.with({std::string(queue)});
}

metrics::Value& cache_size(std::string_view type) {
  static metrics::Gauge& g = metrics::gauge(
      "scheduler_cache_size",
      "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.", {"type"});
  return g.with({std::string(type)});
}

metrics::Value& incoming(std::string_view queue, std::string_view event) {
  static Known<metrics::Counter, metrics::Value> k(metrics::counter(
      "scheduler_queue_incoming_pods_total",
      "Number of pods added to scheduling queues by event and queue type.", {"queue", "event"}));
  return k.of(queue, event);
}

metrics::Value& unschedulable_by(std::string_view plugin, std::string_view profile) {
  static Known<metrics::Gauge, metrics::Value> k(metrics::gauge(
      "scheduler_unschedulable_pods",
      "The number of unschedulable pods broken down by plugin name.", {"plugin", "profile"}));
  return k.of(plugin, profile);
}

metrics::Buckets& permit_wait(std::string_view result) {
  static metrics::Histogram& h =
      metrics::histogram("scheduler_permit_wait_duration_seconds", "Duration of waiting on permit.",
                         {"result"}, doubling(.001, 15));
  return h.with({std::string(result)});
}

void observe_sli(int attempts, double seconds) {
  static metrics::Histogram& h =
      metrics::histogram("scheduler_pod_scheduling_sli_duration_seconds",
                         "E2e latency for a pod being scheduled, from the time the pod enters the "
                         "scheduling queue and "
                         "might involve multiple scheduling attempts.",
                         {"attempts"}, doubling(.01, 20));
  static metrics::Buckets& first = h.with({"1"});
  if (attempts <= 1) {
    first.observe(seconds);
    return;
  }
  h.with({attempts >= 15 ? "15+" : std::to_string(attempts)}).observe(seconds);
}

void OfProfile::attempt(std::string_view result, double seconds) {
  static metrics::Counter& counts =
      metrics::counter("scheduler_schedule_attempts_total",
                       "Number of attempts to schedule pods, by the result. 'unschedulable' means "
                       "a pod could not be "
                       "scheduled, while 'error' means an internal scheduler problem.",
                       {"result", "profile"});
  static metrics::Histogram& times =
      metrics::histogram("scheduler_scheduling_attempt_duration_seconds",
                         "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                         {"result", "profile"}, doubling(.001, 15));
  auto at = attempts_.find(result);
  if (at == attempts_.end()) {
    std::string text(result);
    Attempt a{&counts.with({text, name_}), &times.with({text, name_})};
    at = attempts_.emplace(std::move(text), a).first;
  }
  at->second.count->add();
  at->second.seconds->observe(seconds);
}

void OfProfile::point(std::string_view point, std::string_view status, double seconds) {
  static metrics::Histogram& times =
      metrics::histogram("scheduler_framework_extension_point_duration_seconds",
                         "Latency for running all plugins of a specific extension point.",
                         {"extension_point", "status", "profile"}, doubling(.0001, 12));
  // Both texts are literals of the callers.
  auto at = points_.find({point, status});
  if (at == points_.end()) {
    metrics::Buckets& b = times.with({std::string(point), std::string(status), name_});
    at = points_.emplace(std::pair(point, status), &b).first;
  }
  at->second->observe(seconds);
}

}  // namespace keles::scheduler::meters
