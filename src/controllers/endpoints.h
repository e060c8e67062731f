// Endpoints controller: the older form of endpoint slices, one object a service, for clients that
// still read it (upstream: pkg/controller/endpoint).
#pragma once

#include <optional>
#include <vector>

#include "api/core_v1.h"
#include "controllers/controller.h"
#include "controllers/selector_index.h"
#include "controllers/service_endpoints.h"

namespace keles::controllers {

// The Endpoints object as it should be; nothing when `current` is already that.
std::optional<Draft<api::core_v1::EndpointsEdit>> plan_endpoints(
    const api::core_v1::Service& service, const std::vector<Ref<api::core_v1::Pod>>& pods,
    const Ref<api::core_v1::Endpoints>& current);

class EndpointsController final : public Controller {
 public:
  explicit EndpointsController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  Informer<api::core_v1::Service> services_;
  Informer<api::core_v1::Pod> pods_;
  LabelIndex by_label_{pods_.base()};
  Informer<api::core_v1::Endpoints> endpoints_;
};

}  // namespace keles::controllers
