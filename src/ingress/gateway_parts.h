// What the planner of Gateways (gateway_listeners.cc) and that of routes (gateway_plan.cc) share.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingress/gateway_plan.h"

namespace keles::ingress {

inline std::string text(const Value& v) { return std::string(v.as_string()); }
inline std::string ns_of(const Value& object) { return text(object["metadata"]["namespace"]); }
inline std::string name_of(const Value& object) { return text(object["metadata"]["name"]); }
// Namespace and group of a reference, which may leave them out.
inline std::string text_or(const Value& v, std::string_view otherwise) {
  return v.is_null() ? std::string(otherwise) : text(v);
}

Condition condition(std::string type, bool status, std::string reason, std::string message = "");

// The older first.
void sort_by_age(std::vector<const Value*>* objects);
std::vector<const Value*> in_order(const std::vector<DocumentPtr>& all);

// Whether an object of that kind may name one of the core group's there, by a ReferenceGrant.
bool granted(const GatewayCluster& cluster, std::string_view from_kind, const std::string& from_ns,
             std::string_view to_kind, const std::string& to_ns, const std::string& name);

// A listener that may have routes.
struct Listener {
  enum class Protocol : uint8_t { kHttp, kHttps, kPassthrough };

  const Value* gateway = nullptr;
  const Value* spec = nullptr;
  ListenerState* state = nullptr;
  bool accepted = true, programmed = true;
  Protocol protocol = Protocol::kHttp;
  uint16_t port = 0;
  Host host;
  // Of which kind a route is that has a host here.
  std::vector<std::pair<std::string, Host>> claims;

  bool tls() const { return protocol != Protocol::kHttp; }
};

// Gateways of our classes, the older first: their listeners, and their ports and certificates in
// the table. The states of `plan` are pointed into.
std::vector<Listener> plan_listeners(const GatewayCluster& cluster, GatewayPlan* plan,
                                     RoutingTable* table);

}  // namespace keles::ingress
