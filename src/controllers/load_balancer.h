// Service load balancers: what a cloud, or what stands for one in a local cluster, does for
// Services of type LoadBalancer (upstream: staging/src/k8s.io/cloud-provider/controllers/service).
// A Service with a loadBalancerClass is somebody else's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "controllers/kit.h"
#include "controllers/load_balancer_plan.h"

namespace keles::controllers {

// Who has load balancers. Calls are made on the controllers' loop, for one Service at a time; each
// may be repeated. An error is told as an event of the Service, and tried again.
class LoadBalancers {
 public:
  virtual ~LoadBalancers() = default;
  // Makes the Service's balancer as it should be, towards these nodes.
  virtual Task<Result<std::vector<BalancerAddress>>> ensure(
      Context ctx, Ref<api::core_v1::Service> service,
      std::vector<Ref<api::core_v1::Node>> nodes) = 0;
  // Takes it away; OK when there is none.
  virtual Task<Status> remove(Context ctx, Ref<api::core_v1::Service> service) = 0;
};

class LoadBalancerController final : public ControllerFor<api::core_v1::Service> {
 public:
  explicit LoadBalancerController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  using Service = api::core_v1::Service;
  using EndpointSlice = api::discovery_v1::EndpointSlice;
  void wake_balanced();
  Task<Status> ensure(Context ctx, Ref<Service> service);
  Task<Status> remove(Context ctx, Ref<Service> service);
  struct Balance {
    Status status;
    std::vector<BalancerAddress> addresses;  // what it has from now on; with an error: what is left
    std::string announcer;                   // of an address of the pool
  };
  Task<Balance> balance(Context ctx, Ref<Service> service);
  Balance balance_here(const Service& service, const std::vector<Ref<Node>>& nodes);
  Balance balance_by_pool(const Service& service, const std::vector<Ref<Node>>& nodes,
                          const std::set<std::string>& nodes_with_endpoints);
  Task<Status> show(Context ctx, Ref<Service> service, Balance b);
  void release(const std::string& key);

  Informer<Node> nodes_;
  Informer<EndpointSlice> slices_;
  std::set<std::string> failing_;  // keys whose last attempt failed
  // Of the pool, by key: an informer shows late what was written, and no address is given twice.
  std::map<std::string, std::vector<IpAddress>> given_;
};

}  // namespace keles::controllers
