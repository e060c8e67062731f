// From GatewayClasses, Gateways, routes of HTTP, gRPC and TLS and ReferenceGrants
// (gateway.networking.k8s.io) and what they name to rules of the routing table, and to what each is
// told. Pure.
//
// What is not done is told in conditions: a route that asks for it is not accepted, as a whole.
#pragma once

#include <functional>
#include <map>
#include <optional>
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
  std::vector<std::string> kinds;  // of the routes that it takes
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
  const char* plural = "";           // of its kind
  std::vector<ParentState> parents;  // of our Gateways
};

struct GatewayCluster {
  std::vector<DocumentPtr> classes, gateways, grants;
  std::vector<DocumentPtr> routes, grpc_routes, tls_routes;
  const Cluster* others = nullptr;  // Services, endpoints, Secrets
  // A namespace as an object; null when there is none.
  std::function<DocumentPtr(std::string_view name)> ns;
  std::set<std::string> refused;              // Secrets ("ns/name") that the proxy would not serve
  std::set<std::string> refused_expressions;  // likewise
  bool has_address = false;
  // Of the Service before the proxy; none: nobody knows of one.
  std::optional<std::set<uint16_t>> published_ports;
};

struct GatewayPlan {
  std::vector<ClassState> classes;
  std::vector<GatewayState> gateways;
  std::vector<RouteState> routes;
};
// Adds rules, backends and certificates to the table.
GatewayPlan plan_gateways(const GatewayCluster& cluster, RoutingTable* table);

// An Expression's texts in a rule.
std::vector<std::string> expressions_of(const Rule& rule);

// --- of gateway_route.cc ---

// What a route's rules say, without hosts, listeners and backends; or what of it is not done.
Result<std::vector<Rule>> read_rule(const Value& rule, bool grpc);
Status read_share_filters(const Value& filters, Share* share);

}  // namespace keles::ingress
