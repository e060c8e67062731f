// What keeps the proxy's routing table as the cluster's Ingresses and Gateways say, and tells them
// where they are reached, and what of them cannot be honoured (Events, conditions).
//
// It reads Ingresses, their classes, Services and their EndpointSlices, and Secrets of type
// kubernetes.io/tls; the Gateway API's kinds, where their definitions are installed, and
// namespaces' labels; it writes the status of what is of its classes, and the ports of Gateways
// ("gateway-8000") into the Service before the proxy, and nothing else.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controllers/controller.h"
#include "ingress/gateway_kinds.h"
#include "ingress/gateway_status.h"
#include "ingress/ingress_plan.h"
#include "ingress/proxy_process.h"

namespace keles::ingress {

constexpr char kControllerName[] = "keles.dev/ingress";

struct ControllerOptions {
  ControllerOptions() = default;
  std::string name = kControllerName;              // whose IngressClasses are ours
  std::vector<KindRef> gateway_kinds;              // of the Gateway API; none: it is not served
  std::string publish_namespace, publish_service;  // the Service before the proxy; "": none
};

std::vector<Address> addresses_of(const api::core_v1::Service& published);
// The Service with these listeners' ports beside its own; none when it has them already, and no
// others of ours.
std::optional<Document> with_ports(const api::core_v1::Service& published,
                                   const std::set<uint16_t>& ports, const Proxy& proxy);

// One key: the whole table. At most one new table a second.
class IngressController final : public controllers::Controller {
 public:
  IngressController(controllers::Deps deps, ControllerOptions options, Proxy& proxy);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Ingress = api::networking_v1::Ingress;
  using Class = api::networking_v1::IngressClass;
  using Service = api::core_v1::Service;
  using Secret = api::core_v1::Secret;
  using Slice = api::discovery_v1::EndpointSlice;

  void started(Context ctx) override;
  Task<void> stopped() override;
  template <class T>
  void wake_on(const Informer<T>& informer);
  Cluster view() const;
  // Takes out of the plan what the proxy would not serve.
  Task<void> try_certificates(Context ctx, IngressPlan* plan, std::set<std::string>* refused);
  // True: some were refused that were not before.
  Task<bool> try_expressions(Context ctx, const IngressPlan* plan, std::set<std::string>* refused);
  Task<Status> publish_ports(Context ctx, const RoutingTable* table);
  void tell(const std::set<Problem>& problems);
  Task<Status> write_addresses(Context ctx, const Cluster* cluster);
  Ref<Service> published_service() const;
  std::vector<Address> addresses() const;
  GatewayCluster gateway_view(const Cluster& others) const;
  Task<Status> write_gateways(Context ctx, const GatewayPlan* plan);
  Task<Status> write_one(Context ctx, const char* plural, std::optional<Document> body);

  ControllerOptions options_;
  Proxy& proxy_;
  Informer<Ingress> ingresses_;
  Informer<Class> classes_;
  Informer<Service> services_;
  Informer<Slice> slices_;
  Informer<Secret> secrets_;
  Informer<api::core_v1::Namespace> namespaces_;
  GatewayKinds gateway_kinds_;
  std::set<Problem> told_;
  TimePoint next_;  // not before then
};

}  // namespace keles::ingress
