// EndpointSlice controller: the addresses behind every service with a selector, at most 100 to a
// slice, changed as little as possible (upstream: staging/src/k8s.io/endpointslice).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "controllers/kit.h"
#include "controllers/service_endpoints.h"
#include "controllers/slice_writer.h"
#include "controllers/topology_hints.h"

namespace keles::controllers {

// What became of the topology hints of a service that asks for them.
struct TopologyVerdict {
  std::string family;
  std::string why_not;  // "": its endpoints have hints
};

struct EndpointSlicePlan : SlicePlan {
  std::vector<TopologyVerdict> topology;
  size_t endpoints = 0, slices = 0;  // when it is carried out
  size_t least_slices = 0;           // that would do
};

// The zone of a node, "" when it has none.
using ZoneOf = std::function<std::string(std::string_view node)>;

// `pods`: those that the service selects. `slices`: those of the service that this controller owns.
// Ready endpoints of a service with a trafficDistribution are hinted to their zone, and with
// PreferSameNode to their node (KEP 4444, KEP 3015); those of one that asks for topology hints, by
// `shares` (topology_hints.h).
EndpointSlicePlan plan_endpoint_slices(
    const api::core_v1::Service& service, const std::vector<Ref<api::core_v1::Pod>>& pods,
    const std::vector<Ref<api::discovery_v1::EndpointSlice>>& slices, int per_slice,
    const ZoneOf& zone_of = {}, const ZoneShares& shares = {});

class EndpointSliceController final : public ControllerFor<api::core_v1::Service> {
 public:
  explicit EndpointSliceController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  using Service = api::core_v1::Service;
  struct Counted {  // of one service
    size_t endpoints = 0, slices = 0, least_slices = 0;
    std::string distribution;
  };
  using EndpointSlice = api::discovery_v1::EndpointSlice;
  Keys services_on(const Ref<Node>& before, const Ref<Node>& now);
  Keys service_of(const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now);
  void tell_topology(const Ref<Service>& service, const std::string& key,
                     const std::vector<TopologyVerdict>& verdicts);
  void count(const std::string& key, const Counted& now);

  Informer<api::core_v1::Pod> pods_;
  LabelIndex by_label_{pods_.base()};
  Informer<Node> nodes_;
  Informer<EndpointSlice> slices_;
  SliceWriter writer_;                          // what it makes is expected by the service's key
  std::map<std::string, NodeShare> shares_of_;  // by node
  ZoneShares shares_;
  std::map<std::string, std::set<std::string>> hinted_;  // by service: families with topology hints
  std::map<std::string, Counted> counted_;
};

}  // namespace keles::controllers
