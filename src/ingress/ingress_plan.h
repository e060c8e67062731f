// From Ingresses and what they name to a routing table. Pure.
//
// Where two Ingresses want the same, the older has it (of one age: by namespace and name).
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "api/networking_v1.h"
#include "ingress/routing_table.h"
#include "machinery/object.h"

namespace keles::ingress {

// What there is in the cluster.
struct Cluster {
  std::vector<Ref<api::networking_v1::Ingress>> ingresses;
  std::set<std::string> classes;  // the IngressClasses that are ours
  using Name = std::string_view;
  std::function<Ref<api::core_v1::Service>(Name ns, Name name)> service;
  std::function<Ref<api::core_v1::Secret>(Name ns, Name name)> tls_secret;
  // Of a Service.
  std::function<std::vector<Ref<api::discovery_v1::EndpointSlice>>(Name ns, Name name)> slices;
};

// What of an Ingress cannot be honoured.
struct Problem {
  std::string ns, name;  // the Ingress
  std::string reason, message;
  auto operator<=>(const Problem&) const = default;
};

struct IngressPlan {
  RoutingTable table;
  std::set<Problem> problems;
};

// By its class, or by the annotation of old where it has none.
bool is_ours(const api::networking_v1::Ingress& ingress, const std::set<std::string>& classes);
IngressPlan plan_ingresses(const Cluster& cluster);
// A Service's endpoints at that port (by its name in the slices): those that are ready, or, where
// none is, those that still serve while they end.
std::vector<Target> targets_of(const std::vector<Ref<api::discovery_v1::EndpointSlice>>& slices,
                               std::string_view port_name);
// How its pods are spoken to (appProtocol), and which there are.
Backend backend_of(const api::core_v1::ServicePort& port,
                   const std::vector<Ref<api::discovery_v1::EndpointSlice>>& slices);
// A Secret's certificate, made of what was parsed of it; or why it is none.
Result<net::TlsIdentity> identity_of(const api::core_v1::Secret& secret);

}  // namespace keles::ingress
