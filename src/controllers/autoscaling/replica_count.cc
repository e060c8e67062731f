#include "controllers/autoscaling/replica_count.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "machinery/quota/pod_resources.h"
#include "machinery/time.h"

namespace keles::controllers::hpa {
namespace {

using api::core_v1::Pod;
using Requests = std::map<std::string, int64_t, std::less<>>;

constexpr std::string_view kNoPods = "no pods returned by selector while calculating replica count";

int64_t whole(double replicas) {
  constexpr double kMost = std::numeric_limits<int32_t>::max();
  if (!(replicas < kMost)) return std::numeric_limits<int32_t>::max();  // nor is it a number
  return static_cast<int64_t>(std::ceil(replicas));
}

struct ReadyCondition {
  bool there = false, is_false = false, is_true = false;
  WallTime since;
};

ReadyCondition ready_condition(const Pod& pod) {
  ReadyCondition out;
  for (auto c : pod.status().conditions()) {
    if (c.type() != "Ready") continue;
    out.there = true;
    out.is_false = c.status() == "False";
    out.is_true = c.status() == "True";
    auto at = parse_time(c.last_transition_time());
    if (at.ok()) out.since = *at;
  }
  return out;
}

// Whether what is said of its CPU is of its start, and not to be counted.
bool is_starting(const Pod& pod, const PodMetric& metric, const Readiness& r) {
  const ReadyCondition ready = ready_condition(pod);
  auto started = parse_time(pod.status().start_time());
  if (!ready.there || !started.ok()) return true;
  if (*started + r.cpu_initialization > r.now) {
    // A whole window must have been measured since it became what it is.
    return ready.is_false || metric.at < ready.since + metric.window;
  }
  // It is not ready, and never has been.
  return ready.is_false && *started + r.initial_readiness > ready.since;
}

int64_t bounded(__int128 n) {
  constexpr __int128 kMost = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::clamp<__int128>(n, -kMost, kMost));
}

struct Ratio {
  double ratio = 0;
  int64_t utilization = 0, average = 0;
};

Result<Ratio> utilization_ratio(const PodMetrics& metrics, const Requests& requests,
                                int64_t target) {
  __int128 total = 0, requested = 0, entries = 0;
  for (const auto& [name, m] : metrics) {
    auto request = requests.find(name);
    if (request == requests.end()) continue;
    total += m.value;
    requested += request->second;
    ++entries;
  }
  if (requested == 0) return Status::unavailable("no metrics returned matched known pods");
  Ratio out;
  out.utilization = bounded(total * 100 / requested);
  out.ratio = static_cast<double>(out.utilization) / static_cast<double>(target);
  out.average = bounded(total / entries);
  return out;
}

Ratio average_ratio(const PodMetrics& metrics, int64_t target) {
  __int128 total = 0;
  for (const auto& [name, m] : metrics) total += m.value;
  Ratio out;
  out.average = bounded(total / static_cast<__int128>(metrics.size()));
  out.ratio = static_cast<double>(out.average) / static_cast<double>(target);
  return out;
}

bool has_pod_requests(const Pod& pod) {
  return quota::has_pod_level_resources(pod.value()) &&
         !pod.value()["spec"]["resources"]["requests"].empty();
}

Result<int64_t> requests_of(const Pod& pod, std::string_view container, std::string_view resource) {
  const std::string name(pod.metadata().name());
  if (container.empty() && has_pod_requests(pod)) {
    quota::ResourceList all =
        quota::pod_requests(pod.value(), quota::Actual::kLeftOut, quota::Overhead::kCounted);
    auto at = all.find(resource);
    if (at != all.end()) return at->second.milli_value();
    return Status::unavailable("missing pod-level request for " + std::string(resource) +
                               " in Pod " + name);
  }
  int64_t sum = 0;
  bool found = false;
  std::string missing;
  auto count = [&](const api::core_v1::Container& c) {
    if (found || !missing.empty() || (!container.empty() && c.name() != container)) return;
    const Value& request = c.value()["resources"]["requests"][resource];
    if (request.is_null()) missing = c.name();
    sum += Quantity::parse_or_zero(request.as_string()).milli_value();
    found = !container.empty();
  };
  for (auto c : pod.spec().containers()) count(c);
  for (auto c : pod.spec().init_containers()) {
    if (c.restart_policy() == "Always") count(c);
  }
  if (!missing.empty()) {
    return Status::unavailable("missing request for " + std::string(resource) + " in container " +
                               missing + " of Pod " + name);
  }
  if (!container.empty() && !found) {
    return Status::unavailable("container " + std::string(container) + " not found in Pod " + name);
  }
  return sum;
}

Result<Requests> all_requests(const Pods& pods, std::string_view container,
                              std::string_view resource) {
  Requests out;
  for (const Ref<Pod>& pod : pods) {
    TRY_ASSIGN(request, requests_of(*pod, container, resource));
    out[std::string(pod->metadata().name())] = request;
  }
  return out;
}

// The last step of both kinds: what the pods that are not measured would use is put in, against the
// direction, and nothing is done that this makes doubtful.
template <class Missing, class Again>
Result<int64_t> settle(const Groups& groups, PodMetrics& metrics, double ratio, int64_t current,
                       const Tolerances& tolerances, Missing missing, Again again) {
  const bool up_with_unready = !groups.unready.empty() && ratio > 1.0;
  if (!up_with_unready && groups.missing.empty()) {
    if (tolerances.within(ratio)) return current;
    return whole(ratio * static_cast<double>(groups.ready));
  }
  for (const std::string& name : groups.missing) {
    if (ratio < 1.0) metrics[name].value = missing(name);
    if (ratio > 1.0) metrics[name].value = 0;
  }
  if (up_with_unready) {
    for (const std::string& name : groups.unready) metrics[name].value = 0;
  }
  TRY_ASSIGN(now, again());
  if (tolerances.within(now) || (ratio < 1.0 && now > 1.0) || (ratio > 1.0 && now < 1.0)) {
    return current;
  }
  const int64_t replicas = whole(now * static_cast<double>(metrics.size()));
  if ((now < 1.0 && replicas > current) || (now > 1.0 && replicas < current)) return current;
  return replicas;
}

// What is left to count, or why there is nothing.
Result<Groups> counted(const Pods& pods, PodMetrics& metrics, std::string_view resource,
                       const Readiness& readiness) {
  if (pods.empty()) return Status::unavailable(std::string(kNoPods));
  Groups groups = group_pods(pods, metrics, resource, readiness);
  for (const auto* gone : {&groups.ignored, &groups.unready}) {
    for (const std::string& name : *gone) metrics.erase(name);
  }
  if (metrics.empty()) {
    return Status::unavailable("did not receive metrics for targeted pods (pods might be unready)");
  }
  return groups;
}

}  // namespace

Groups group_pods(const Pods& pods, const PodMetrics& metrics, std::string_view resource,
                  const Readiness& readiness) {
  Groups out;
  for (const Ref<Pod>& pod : pods) {
    const std::string name(pod->metadata().name());
    const std::string_view phase = pod->status().phase();
    auto metric = metrics.find(name);
    if (!pod->metadata().deletion_timestamp().empty() || phase == "Failed") {
      out.ignored.push_back(name);
    } else if (phase == "Pending") {
      out.unready.push_back(name);
    } else if (metric == metrics.end()) {
      out.missing.push_back(name);
    } else if (resource == "cpu" && is_starting(*pod, metric->second, readiness)) {
      out.unready.push_back(name);
    } else {
      ++out.ready;
    }
  }
  return out;
}

Result<Proposal> by_utilization(const Pods& pods, PodMetrics metrics, int64_t current,
                                int64_t target_percent, std::string_view resource,
                                std::string_view container, const Tolerances& tolerances,
                                const Readiness& readiness) {
  TRY_ASSIGN(groups, counted(pods, metrics, resource, readiness));
  TRY_ASSIGN(requests, all_requests(pods, container, resource));
  TRY_ASSIGN(first, utilization_ratio(metrics, requests, target_percent));
  Proposal out;
  out.utilization = first.utilization;
  out.usage = first.average;
  // On the way down a pod of which nothing is known uses all that it requests, or the target.
  const int64_t fallback = std::max<int64_t>(100, target_percent);
  auto missing = [&](const std::string& name) {
    return bounded(__int128{requests[name]} * fallback / 100);
  };
  auto again = [&]() -> Result<double> {
    TRY_ASSIGN(r, utilization_ratio(metrics, requests, target_percent));
    return r.ratio;
  };
  TRY_ASSIGN(replicas, settle(groups, metrics, first.ratio, current, tolerances, missing, again));
  out.replicas = replicas;
  return out;
}

Result<Proposal> by_average(const Pods& pods, PodMetrics metrics, int64_t current, int64_t target,
                            std::string_view resource, const Tolerances& tolerances,
                            const Readiness& readiness) {
  TRY_ASSIGN(groups, counted(pods, metrics, resource, readiness));
  const Ratio first = average_ratio(metrics, target);
  Proposal out;
  out.usage = first.average;
  auto missing = [&](const std::string&) { return target; };
  auto again = [&]() -> Result<double> { return average_ratio(metrics, target).ratio; };
  TRY_ASSIGN(replicas, settle(groups, metrics, first.ratio, current, tolerances, missing, again));
  out.replicas = replicas;
  return out;
}

Result<Proposal> by_value(const Pods& pods, int64_t usage, int64_t current, int64_t target,
                          const Tolerances& tolerances) {
  Proposal out;
  out.usage = usage;
  const double ratio = static_cast<double>(usage) / static_cast<double>(target);
  if (current == 0) {
    out.replicas = whole(ratio);
    return out;
  }
  out.replicas = current;
  if (tolerances.within(ratio)) return out;
  if (pods.empty()) {
    return Status::unavailable("unable to calculate ready pods: " + std::string(kNoPods));
  }
  const auto ready = std::count_if(pods.begin(), pods.end(), [](const Ref<Pod>& pod) {
    return pod->status().phase() == "Running" && ready_condition(*pod).is_true;
  });
  out.replicas = whole(ratio * static_cast<double>(ready));
  return out;
}

Proposal by_value_per_pod(int64_t usage, int64_t observed, int64_t target,
                          const Tolerances& tolerances) {
  Proposal out;
  out.replicas = observed;
  const double all = static_cast<double>(usage), pods = static_cast<double>(observed),
               each = static_cast<double>(target);
  if (!tolerances.within(all / (each * pods))) out.replicas = whole(all / each);
  // Without pods there is no average: the whole of it stands for that.
  const bool most = usage == std::numeric_limits<int64_t>::max();
  out.usage = most || observed == 0 ? usage : static_cast<int64_t>(std::ceil(all / pods));
  return out;
}

}  // namespace keles::controllers::hpa
