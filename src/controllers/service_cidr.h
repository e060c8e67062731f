// Service CIDR controller: says which ranges of service addresses are ready to be taken from, and
// keeps each as long as an address of a Service lies in it and in no other range (KEP-1880;
// upstream: pkg/controller/servicecidrs). The API server takes addresses only from ranges that are
// ready and not being deleted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/networking_v1.h"
#include "base/ip.h"
#include "controllers/finalizers.h"
#include "controllers/kit.h"

namespace keles::controllers {

struct ServiceCidrPlan {
  Protection finalizer = Protection::kNothing;
  std::optional<ConditionWrite> ready;
  // When to look again: a range that is free goes only after all servers know that it is going.
  Duration again{0};
};

// `all`: every range, this one too. `taken`: the addresses of Services.
ServiceCidrPlan plan_service_cidr(const api::networking_v1::ServiceCIDR& cidr,
                                  const std::vector<Ref<api::networking_v1::ServiceCIDR>>& all,
                                  const std::vector<IpAddress>& taken, WallTime now);

class ServiceCidrController final : public ControllerFor<api::networking_v1::ServiceCIDR> {
 public:
  explicit ServiceCidrController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using ServiceCIDR = api::networking_v1::ServiceCIDR;
  using IPAddress = api::networking_v1::IPAddress;
  Keys overlapping(const ServiceCIDR& cidr) const;
  Keys waiting_for(const Ref<IPAddress>& address) const;
  std::vector<IpAddress> taken() const;

  Informer<IPAddress> addresses_;
};

}  // namespace keles::controllers
