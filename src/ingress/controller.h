// What keeps the proxy's routing table as the cluster's Ingresses say, and tells them where they
// are reached, and what of them cannot be honoured (Events).
//
// It reads Ingresses, their classes, Services and their EndpointSlices, and Secrets of type
// kubernetes.io/tls; it writes the status of the Ingresses of its classes, and nothing else.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controllers/controller.h"
#include "ingress/ingress_plan.h"
#include "ingress/proxy_process.h"

namespace keles::ingress {

constexpr char kControllerName[] = "keles.dev/ingress";

struct ControllerOptions {
  ControllerOptions() = default;
  std::string name = kControllerName;              // whose IngressClasses are ours
  std::string publish_namespace, publish_service;  // the Service before the proxy; "": none
};

// Where the proxy is reached.
struct Address {
  std::string ip, hostname;
  auto operator<=>(const Address&) const = default;
};
std::vector<Address> addresses_of(const api::core_v1::Service& published);

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
  template <class T>
  void wake_on(const Informer<T>& informer);
  Cluster view() const;
  // Takes out of the plan what the proxy would not serve.
  Task<void> try_certificates(Context ctx, IngressPlan* plan);
  void tell(const std::set<Problem>& problems);
  Task<Status> write_addresses(Context ctx, const Cluster* cluster);

  ControllerOptions options_;
  Proxy& proxy_;
  Informer<Ingress> ingresses_;
  Informer<Class> classes_;
  Informer<Service> services_;
  Informer<Slice> slices_;
  Informer<Secret> secrets_;
  std::set<Problem> told_;
  TimePoint next_;  // not before then
};

}  // namespace keles::ingress
