// From GatewayClasses, Gateways, HTTPRoutes and ReferenceGrants (gateway.networking.k8s.io/v1) and
// what they name to rules of the routing table, and to what each is told. Pure.
//
// A Gateway's listeners are at the ports of the proxy: HTTP at 80, HTTPS at 443. What is not done
// is told in conditions: a route that asks for it is not accepted, as a whole.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ingress/ingress_plan.h"
#include "machinery/value.h"

namespace keles::ingress {

constexpr char kGatewayController[] = "keles.dev/gateway";
constexpr char kGatewayGroup[] = "gateway.networking.k8s.io";

struct Condition {
  std::string type;
  bool status = true;
  std::string reason, message;
};

struct ListenerState {
  std::string name;
  std::vector<Condition> conditions;
  bool http_routes = true;  // what it takes: those, or nothing
  int64_t attached = 0;
};

struct ParentState {
  const Value* ref = nullptr;  // the route's own words
  std::vector<Condition> conditions;
};

// What is told to whom; objects live as long as the GatewayCluster's.
struct ClassState {
  const Value* object = nullptr;
  std::vector<Condition> conditions;
};
struct GatewayState {
  const Value* object = nullptr;
  std::vector<Condition> conditions;
  std::vector<ListenerState> listeners;
};
struct RouteState {
  const Value* object = nullptr;
  std::vector<ParentState> parents;  // of our Gateways
};

struct GatewayCluster {
  std::vector<DocumentPtr> classes, gateways, routes, grants;
  const Cluster* others = nullptr;  // Services, endpoints, Secrets
  // A namespace as an object; null when there is none.
  std::function<DocumentPtr(std::string_view name)> ns;
  std::set<std::string> refused;  // Secrets ("ns/name") that the proxy would not serve
  bool has_address = false;
};

struct GatewayPlan {
  std::vector<ClassState> classes;
  std::vector<GatewayState> gateways;
  std::vector<RouteState> routes;
};
// Adds rules, backends and certificates to the table.
GatewayPlan plan_gateways(const GatewayCluster& cluster, RoutingTable* table);

// --- of gateway_route.cc ---

// What a route's rules say, without hosts and listeners; or what of it is not done.
Result<std::vector<Rule>> read_rule(const Value& rule);

}  // namespace keles::ingress
