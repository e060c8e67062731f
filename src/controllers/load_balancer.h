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

namespace keles::controllers {

// One address at which a balancer takes connections.
struct BalancerAddress {
  std::string ip, hostname, mode = "VIP";  // mode: of an ip
  bool operator==(const BalancerAddress&) const = default;
};

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

enum class BalancerWish : uint8_t { kNothing, kEnsure, kRemove };
BalancerWish plan_balancer(const api::core_v1::Service& service);
// Whether a balancer sends anything to the node: it lives, and no label excludes it.
bool takes_balanced(const api::core_v1::Node& node);

// What the balancer of a local cluster knows when it decides.
struct LocalBalancerView {
  std::vector<Ref<api::core_v1::Service>> services;  // all
  std::set<std::string> nodes_with_endpoints;        // ready ones of this Service
  std::set<int64_t> reserved_ports;                  // the nodes' own
};
// The balancer of a local cluster is the nodes themselves: each takes connections to the Service's
// ports at its own address, as its proxy serves them. An error when a port is the node's own, or
// another Service has it (of two that want it, the older one gets it).
Result<std::vector<BalancerAddress>> plan_local_balancer(
    const api::core_v1::Service& service, const std::vector<Ref<api::core_v1::Node>>& nodes,
    const LocalBalancerView& view);

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
  Task<Result<std::vector<BalancerAddress>>> balance(Context ctx, Ref<Service> service);

  Informer<Node> nodes_;
  Informer<EndpointSlice> slices_;
  std::set<std::string> failing_;  // keys whose last attempt failed
};

}  // namespace keles::controllers
