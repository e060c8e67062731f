// EndpointSlice controller: the addresses behind every service with a selector, at most 100 to a
// slice, changed as little as possible (upstream: staging/src/k8s.io/endpointslice).
#pragma once

#include <string>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "client/expectations.h"
#include "controllers/controller.h"
#include "controllers/service_endpoints.h"

namespace keles::controllers {

struct EndpointSlicePlan {
  std::vector<Draft<api::discovery_v1::EndpointSliceEdit>> create, update;
  std::vector<Ref<api::discovery_v1::EndpointSlice>> remove;
};

// `pods`: those that the service selects. `slices`: those of the service that this controller owns.
EndpointSlicePlan plan_endpoint_slices(
    const api::core_v1::Service& service, const std::vector<Ref<api::core_v1::Pod>>& pods,
    const std::vector<Ref<api::discovery_v1::EndpointSlice>>& slices, int per_slice);

class EndpointSliceController final : public Controller {
 public:
  explicit EndpointSliceController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  Informer<api::core_v1::Service> services_;
  Informer<api::core_v1::Pod> pods_;
  Informer<api::discovery_v1::EndpointSlice> slices_;
  Expectations expectations_;
};

}  // namespace keles::controllers
