// The decision itself: which node for this pod, or why none. No API, no time, no waiting.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/framework.h"

namespace keles::scheduler {

struct Decision {
  std::string node;  // "" = none
  size_t nodes_total = 0;
  size_t nodes_tried = 0, nodes_feasible = 0;
  // Without a node: reason -> number of nodes, and the events that the rejecting plugins wait for.
  std::map<std::string, int> reasons;
  uint32_t waits_for = 0;
  std::vector<const NodeInfo*> preemption_candidates;  // rejected in a way that eviction may cure
};

struct Preemption {
  std::string node;
  std::vector<PodPtr> victims;
};

class Decider {
 public:
  explicit Decider(std::vector<std::unique_ptr<Plugin>> plugins = default_plugins())
      : plugins_(std::move(plugins)) {}
  Decision decide(const PodInfo& pod, const ClusterView& view, Random& random);
  // The node where evicting the fewest, least important pods of lower priority lets `pod` in.
  Preemption preempt(const PodInfo& pod, const ClusterView& view, const Decision& failed);

 private:
  std::optional<Rejection> run_filters(const std::vector<Plugin*>& active, const PodInfo& pod,
                                       const NodeInfo& node, Plugin** rejecting);
  bool fits_on_copy(const PodInfo& pod, const NodeInfo& copy, const ClusterView& view);
  std::string best(const PodInfo& pod, const ClusterView& view,
                   const std::vector<const NodeInfo*>& feasible, Random& random);
  std::vector<std::unique_ptr<Plugin>> plugins_;
  size_t start_ = 0;  // where the last scan over nodes stopped
};

// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."
std::string describe_failure(size_t nodes, const std::map<std::string, int>& reasons);

}  // namespace keles::scheduler
