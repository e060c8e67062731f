#include "server/policies/metrics.h"

#include "base/metrics.h"

namespace keles::policies {
namespace {

const std::vector<double> kBounds = {0.0000005, 0.001, 0.01, 0.1, 1.0};

}  // namespace

std::string_view error_type(std::string_view message) {
  if (message.empty()) return "no_error";
  if (message.starts_with("compilation")) return "compile_error";
  if (message.starts_with("validation failed due to running out of cost budget")) {
    return "out_of_budget";
  }
  return "invalid_error";
}

void observe_validation(const std::string& policy, const std::string& binding,
                        std::string_view error, std::string_view action, double seconds) {
  const std::vector<std::string> labels = {"policy", "policy_binding", "error_type",
                                           "enforcement_action"};
  static metrics::Counter& checks = metrics::counter(
      "apiserver_validating_admission_policy_check_total",
      "Validation admission policy check total, labeled by policy and further identified by "
      "binding and enforcement action taken.",
      labels);
  static metrics::Histogram& durations = metrics::histogram(
      "apiserver_validating_admission_policy_check_duration_seconds",
      "Validation admission latency for individual validation expressions in seconds, labeled by "
      "policy and further including binding and enforcement action taken.",
      labels, kBounds);
  const metrics::LabelValues values = {policy, binding, std::string(error), std::string(action)};
  checks.with(values).add(1);
  durations.with(values).observe(seconds);
}

void observe_mutation(const std::string& policy, const std::string& binding, std::string_view error,
                      double seconds) {
  const std::vector<std::string> labels = {"policy", "policy_binding", "error_type"};
  static metrics::Counter& checks = metrics::counter(
      "apiserver_mutating_admission_policy_check_total",
      "Mutation admission policy check total, labeled by policy and further identified by binding.",
      labels);
  static metrics::Histogram& durations = metrics::histogram(
      "apiserver_mutating_admission_policy_check_duration_seconds",
      "Mutation admission latency for individual mutation expressions in seconds, labeled by "
      "policy and binding.",
      labels, kBounds);
  const metrics::LabelValues values = {policy, binding, std::string(error)};
  checks.with(values).add(1);
  durations.with(values).observe(seconds);
}

}  // namespace keles::policies
