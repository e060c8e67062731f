// Topology hints: which zone's clients each endpoint is for, so that each zone has endpoints by its
// share of the cluster's CPU (service.kubernetes.io/topology-mode: Auto; KEP-2433; upstream:
// staging/src/k8s.io/endpointslice/topologycache). Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "controllers/service_endpoints.h"

namespace keles::controllers {

// What a node counts for.
struct NodeShare {
  std::string zone;
  int64_t milli_cpu = 0;  // allocatable
  bool counts = false;    // it is ready, and no control plane
  bool operator==(const NodeShare&) const = default;
};
NodeShare share_of(const api::core_v1::Node& node);

// Of each zone its part of the whole CPU; empty while that of a node that counts is not known, or
// there are not two zones.
using ZoneShares = std::map<std::string, double>;
ZoneShares zone_shares(const std::map<std::string, NodeShare>& nodes);

bool wants_topology_hints(const api::core_v1::Service& service);

// Gives each endpoint that is ready a hint: its own zone, or another's that has too few. Hints that
// are there (`had`, by the endpoints' id) stay as they are while no zone is overloaded by more than
// a fifth. "", or why there can be none: then no endpoint has one.
std::string assign_zone_hints(const std::vector<EndpointData*>& endpoints,
                              const std::map<std::string, std::string>& had,
                              const ZoneShares& shares);

}  // namespace keles::controllers
