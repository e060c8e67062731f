// Node lifecycle controller: notices nodes that have fallen silent, says so in their conditions,
// and taints nodes by their conditions, so that nothing new lands on them and (by taint_eviction)
// what runs there is made anew elsewhere (upstream: pkg/controller/nodelifecycle).
//
// A node lives while its Lease or its Ready condition changes, by this process's monotonic clock:
// jumps and skew of wall clocks kill nobody.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// The node with its conditions Unknown; nothing when they are that already.
std::optional<Draft<api::core_v1::NodeEdit>> plan_silent_node(const api::core_v1::Node& node,
                                                              WallTime now);
// The node with the taints that its conditions call for (NoExecute only when `may_evict`; taints
// that are there stay); nothing when it has them. `*wants_eviction`: a NoExecute taint is missing.
std::optional<Draft<api::core_v1::NodeEdit>> plan_node_taints(const api::core_v1::Node& node,
                                                              bool may_evict, bool disrupted,
                                                              WallTime now, bool* wants_eviction);
// "True", "False", "Unknown"; "" when the node has never said.
std::string_view node_condition(const api::core_v1::Node& node, std::string_view type);

class NodeLifecycleController final : public Controller {
 public:
  explicit NodeLifecycleController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  using Pod = api::core_v1::Pod;
  struct Health {
    TimePoint seen;  // when its lease or condition last changed
    std::string lease, heartbeat;
    bool known = false;
    bool pods_to_mark = false;  // Ready has gone: its pods are to be marked
  };
  struct Zone {
    int ready = 0, not_ready = 0;
    bool partly_disrupted(const controllers::Options& o) const;
  };
  bool note_lease(const std::string& node, std::string_view renewed);
  Duration observe(const Ref<Node>& node);
  void count(const Node& node, int by);
  bool everybody_unwell() const;
  // What of the zones decides about evictions, as one value to compare.
  std::string shape_of_zones() const;
  // How long until a node of this zone may be tainted NoExecute: 0 is now, nothing is never.
  std::optional<Duration> eviction_delay(const Node& node, bool* disrupted);
  Task<Status> mark_pods(Context ctx, std::string node);

  Informer<Node> nodes_;
  Informer<Pod> pods_;
  Informer<api::coordination_v1::Lease> leases_;
  std::map<std::string, Health> health_;
  std::map<std::string, Zone> zones_;  // kept level with nodes_: counting anew is O(nodes)
  std::set<std::string> unwell_;       // nodes whose Ready is not True
  std::map<std::string, TimePoint> next_eviction_;  // by zone
};

}  // namespace keles::controllers
