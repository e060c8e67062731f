// EndpointSlice mirroring: Endpoints that somebody writes for a service without a selector appear
// as slices too, which is what proxies and DNS read (upstream:
// pkg/controller/endpointslicemirroring). Not mirrored: those labelled skip-mirror, leader
// elections' records, those of no service.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "controllers/kit.h"
#include "controllers/slice_writer.h"

namespace keles::controllers {

struct MirrorPlan : SlicePlan {
  size_t invalid = 0;  // addresses that are none
  size_t skipped = 0;  // those, and what is beyond `per_subset`
};

// `slices`: those that mirror it now. Ports that lead to the same addresses share a slice of each
// address family, of at most `per_subset` endpoints.
MirrorPlan plan_mirror(const api::core_v1::Endpoints& endpoints,
                       const std::vector<Ref<api::discovery_v1::EndpointSlice>>& slices,
                       size_t per_subset);

class EndpointSliceMirroring final : public ControllerFor<api::core_v1::Endpoints> {
 public:
  explicit EndpointSliceMirroring(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using EndpointSlice = api::discovery_v1::EndpointSlice;
  Keys mirrored_by(const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now);
  void warn(const Ref<api::core_v1::Endpoints>& endpoints, const MirrorPlan& plan);
  Informer<api::core_v1::Service> services_;
  Informer<EndpointSlice> slices_;
  SliceWriter writer_;  // what it makes is expected by the service's key
};

}  // namespace keles::controllers
