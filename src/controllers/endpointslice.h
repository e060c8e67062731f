// EndpointSlice controller: the addresses behind every service with a selector, at most 100 to a
// slice, changed as little as possible (upstream: staging/src/k8s.io/endpointslice).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "client/expectations.h"
#include "controllers/controller.h"
#include "controllers/selector_index.h"
#include "controllers/service_endpoints.h"

namespace keles::controllers {

struct EndpointSlicePlan {
  std::vector<Draft<api::discovery_v1::EndpointSliceEdit>> create, update;
  std::vector<Ref<api::discovery_v1::EndpointSlice>> remove;
};

// The zone of a node, "" when it has none.
using ZoneOf = std::function<std::string(std::string_view node)>;

// `pods`: those that the service selects. `slices`: those of the service that this controller owns.
// Ready endpoints of a service with a trafficDistribution are hinted to their zone, and with
// PreferSameNode to their node (KEP 4444, KEP 3015).
EndpointSlicePlan plan_endpoint_slices(
    const api::core_v1::Service& service, const std::vector<Ref<api::core_v1::Pod>>& pods,
    const std::vector<Ref<api::discovery_v1::EndpointSlice>>& slices, int per_slice,
    const ZoneOf& zone_of = {});

class EndpointSliceController final : public Controller {
 public:
  explicit EndpointSliceController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  Informer<api::core_v1::Service> services_;
  Informer<api::core_v1::Pod> pods_;
  LabelIndex by_label_{pods_.base()};
  Informer<api::core_v1::Node> nodes_;  // their zones
  Informer<api::discovery_v1::EndpointSlice> slices_;
  Expectations expectations_;
};

}  // namespace keles::controllers
