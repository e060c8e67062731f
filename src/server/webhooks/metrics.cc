#include "server/webhooks/metrics.h"

#include <algorithm>
#include <string>

#include "base/metrics.h"

namespace keles::webhooks {
namespace {

std::string type_of(const Hook& hook) { return hook.mutating ? "admit" : "validating"; }

}  // namespace

void observe(const Measured& m) {
  static metrics::Histogram& durations = metrics::histogram(
      "apiserver_admission_webhook_admission_duration_seconds",
      "Admission webhook latency histogram in seconds, identified by name and broken out for each "
      "operation and API resource and type (validate or admit).",
      {"name", "type", "operation", "rejected"}, {0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25});
  static metrics::Counter& requests = metrics::counter(
      "apiserver_admission_webhook_request_total",
      "Admission webhook request total, identified by name and broken out for each admission type "
      "(validating or admit) and operation. Additional labels specify whether the request was "
      "rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to "
      "keep the metrics cardinality bounded.",
      {"name", "type", "operation", "code", "rejected"});
  static metrics::Counter& rejections = metrics::counter(
      "apiserver_admission_webhook_rejection_count",
      "Admission webhook rejection count, identified by name and broken out for each admission "
      "type (validating or admit) and operation. Additional labels specify an error type "
      "(calling_webhook_error or apiserver_internal_error if an error occurred; no_error "
      "otherwise) and optionally a non-zero rejection code if the webhook rejects the request with "
      "an HTTP status code (honored by the apiserver when the code is greater or equal to 400). "
      "Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
      {"name", "type", "operation", "error_type", "rejection_code"});
  const std::string type = type_of(*m.hook), operation(m.operation),
                    code = std::to_string(std::min(m.code, 600)),
                    rejected = m.rejected ? "true" : "false";
  requests.with({m.hook->name, type, operation, code, rejected}).add(1);
  durations.with({m.hook->name, type, operation, rejected}).observe(m.seconds);
  if (m.rejected && !m.error_type.empty()) {
    rejections.with({m.hook->name, type, operation, std::string(m.error_type), code}).add(1);
  }
}

void observe_fail_open(const Hook& hook) {
  static metrics::Counter& opened = metrics::counter(
      "apiserver_admission_webhook_fail_open_count",
      "Admission webhook fail open count, identified by name and broken out for each admission "
      "type (validating or admit).",
      {"name", "type"});
  opened.with({hook.name, type_of(hook)}).add(1);
}

}  // namespace keles::webhooks
