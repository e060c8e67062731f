// The metrics that an autoscaler asks for: of its pods' resources (metrics.k8s.io/v1beta1), of its
// pods or another object (custom.metrics.k8s.io), of something outside (external.metrics.k8s.io).
// Errors are worded as upstream's. One loop's thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/autoscaling_v2.h"
#include "client/client.h"
#include "client/paths_client.h"
#include "controllers/autoscaling/replica_count.h"
#include "machinery/labels.h"

namespace keles::controllers::hpa {

class Metrics {
 public:
  // `elsewhere`: what extension API servers serve; null: there are none. Both outlive it.
  Metrics(Client& client, PathsClient* elsewhere) : client_(client), elsewhere_(elsewhere) {}

  // Of each pod that the selector picks; `container` "": what all its containers use together.
  Task<Result<PodMetrics>> resource(Context ctx, std::string ns, std::string selector,
                                    std::string resource, std::string container);
  Task<Result<PodMetrics>> pods(Context ctx, std::string ns, std::string selector,
                                std::string metric, std::string metric_selector);
  // `resource`: that of the object, "ingresses.networking.k8s.io"; "namespaces" is the namespace
  // itself.
  Task<Result<int64_t>> object(Context ctx, std::string ns, std::string resource, std::string name,
                               std::string metric, std::string metric_selector);
  // The sum of all that the selector picks.
  Task<Result<int64_t>> external(Context ctx, std::string ns, std::string metric,
                                 std::string selector);

 private:
  Task<Result<std::vector<DocumentPtr>>> pod_metrics(Context ctx, std::string ns,
                                                     std::string selector);
  Task<Result<Document>> ask(Context ctx, std::string path, std::string query, std::string what);
  Task<Result<Document>> custom(Context ctx, std::string rest, std::string query, std::string what);
  Client& client_;
  PathsClient* elsewhere_;
};

// What is measured of each pod, from PodMetrics; what lacks the resource is left out.
PodMetrics read_pod_metrics(const std::vector<DocumentPtr>& all, std::string_view resource,
                            std::string_view container);
// From a MetricValueList (v1beta1 and v1beta2 of custom.metrics.k8s.io).
PodMetrics read_metric_values(const Value& list);
// From an ExternalMetricValueList.
int64_t sum_external(const Value& list);

}  // namespace keles::controllers::hpa
