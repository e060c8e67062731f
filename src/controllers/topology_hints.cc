#include "controllers/topology_hints.h"

#include <algorithm>
#include <cmath>

#include "controllers/conditions.h"
#include "machinery/quantity.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr double kOverload = 0.2;  // beyond its share that an endpoint may be used
constexpr std::string_view kZone = "topology.kubernetes.io/zone";
constexpr std::string_view kControlPlanes[] = {"node-role.kubernetes.io/control-plane",
                                               "node-role.kubernetes.io/master"};

// How many endpoints a zone is to have.
struct Allocation {
  int least = 0, most = 0;
  double desired = 0;
};
using Allocations = std::map<std::string, Allocation>;

std::string allocate(int endpoints, const ZoneShares& shares, Allocations* out) {
  if (shares.empty()) {
    return "Insufficient Node information: allocatable CPU or zone not specified on one or more "
           "nodes";
  }
  const std::string counts =
      " (" + std::to_string(endpoints) + " endpoints, " + std::to_string(shares.size()) + " zones)";
  if (static_cast<int>(shares.size()) > endpoints)
    return "Insufficient number of endpoints" + counts;
  int total = 0;
  for (const auto& [zone, share] : shares) {
    Allocation& a = (*out)[zone];
    a.desired = share * endpoints;
    a.least = static_cast<int>(std::ceil(a.desired / (1 + kOverload)));
    a.desired = std::max(a.desired, static_cast<double>(a.least));
    total += a.least;
  }
  if (total > endpoints) {
    return "Unable to allocate minimum required endpoints to each zone without exceeding overload "
           "threshold" +
           counts;
  }
  for (auto& [zone, a] : *out) a.most = a.least + endpoints - total;
  return "";
}

using Counts = std::map<std::string, int>;

// Whether the hints that there are will do.
bool still_good(const std::vector<EndpointData*>& ready,
                const std::map<std::string, std::string>& had, const Allocations& allocations) {
  Counts now;
  for (const EndpointData* e : ready) {
    auto it = had.find(e->id());
    if (it == had.end() || !allocations.contains(it->second)) return false;
    ++now[it->second];
  }
  return std::all_of(allocations.begin(), allocations.end(), [&](const auto& a) {
    return now[a.first] >= a.second.least && now[a.first] <= a.second.most;
  });
}

std::pair<std::string, double> largest(const std::map<std::string, double>& of) {
  std::pair<std::string, double> out{"", 0};
  for (const auto& [zone, n] : of) {
    if (n > out.second) out = {zone, n};
  }
  return out;
}

// How many each zone gives away, and gets.
void balance(const Allocations& allocations, const Counts& has, Counts* gives, Counts* gets) {
  std::map<std::string, double> over, under;
  for (const auto& [zone, a] : allocations) {
    auto it = has.find(zone);
    const double n = it == has.end() ? 0 : it->second;
    if (n > a.desired) over[zone] = n - a.desired;
    if (n < a.desired) under[zone] = a.desired - n;
  }
  for (const auto& [zone, n] : has) {
    if (!allocations.contains(zone)) over[zone] = n;  // a zone of no node that counts
  }
  for (;;) {
    const auto [giver, to_give] = largest(over);
    const auto [getter, to_get] = largest(under);
    const bool enough = to_give >= 1 || to_get >= 1;
    if (giver.empty() || getter.empty() || !enough || to_give < 0.5 || to_get < 0.5) return;
    ++(*gives)[giver];
    --over[giver];
    ++(*gets)[getter];
    --under[getter];
  }
}

}  // namespace

NodeShare share_of(const Node& node) {
  NodeShare out;
  const auto labels = node.metadata().labels();
  out.zone = labels.get(kZone);
  out.milli_cpu = Quantity::parse_or_zero(node.status().allocatable().get("cpu")).milli_value();
  out.counts = condition_is_true(node.status().conditions(), "Ready");
  for (std::string_view label : kControlPlanes) out.counts = out.counts && !labels.contains(label);
  return out;
}

ZoneShares zone_shares(const std::map<std::string, NodeShare>& nodes) {
  std::map<std::string, int64_t> cpu;
  int64_t total = 0;
  for (const auto& [name, n] : nodes) {
    if (!n.counts) continue;
    if (n.zone.empty() || n.milli_cpu == 0) return {};
    cpu[n.zone] += n.milli_cpu;
    total += n.milli_cpu;
  }
  ZoneShares out;
  if (cpu.size() < 2) return out;
  for (const auto& [zone, n] : cpu) out[zone] = static_cast<double>(n) / static_cast<double>(total);
  return out;
}

bool wants_topology_hints(const Service& service) {
  constexpr std::string_view kOfOld = "service.kubernetes.io/topology-aware-hints",
                             kMode = "service.kubernetes.io/topology-mode";
  const auto annotations = service.metadata().annotations();
  const std::string_view said = annotations.get(annotations.contains(kOfOld) ? kOfOld : kMode);
  return said == "Auto" || said == "auto";
}

std::string assign_zone_hints(const std::vector<EndpointData*>& endpoints,
                              const std::map<std::string, std::string>& had,
                              const ZoneShares& shares) {
  std::vector<EndpointData*> ready;
  for (EndpointData* e : endpoints) {
    e->zone_hint.clear();
    e->node_hint.clear();
    if (e->ready) ready.push_back(e);
  }
  Allocations allocations;
  std::string why = allocate(static_cast<int>(ready.size()), shares, &allocations);
  if (!why.empty()) return why;
  const bool known =
      std::none_of(ready.begin(), ready.end(), [](const auto* e) { return e->zone.empty(); });
  if (!known) return "One or more endpoints do not have a zone specified";
  if (still_good(ready, had, allocations)) {
    for (EndpointData* e : ready) e->zone_hint = had.find(e->id())->second;
    return "";
  }
  Counts has, gives, gets;
  for (EndpointData* e : ready) {
    e->zone_hint = e->zone;
    ++has[e->zone];
  }
  balance(allocations, has, &gives, &gets);
  for (EndpointData* e : ready) {
    auto from = gives.find(e->zone);
    if (from == gives.end() || gets.empty()) continue;
    auto to = gets.begin();
    e->zone_hint = to->first;
    if (--from->second == 0) gives.erase(from);
    if (--to->second == 0) gets.erase(to);
  }
  return "";
}

}  // namespace keles::controllers
