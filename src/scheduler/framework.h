// A scheduler plugin judges nodes for one pod. To add one: a file in plugins/, a line in
// plugins.cc.
//
// Life of a decision: prepare() once per pod (false: nothing to do for this pod, neither filter()
// nor score() is called), filter() per node, then score() per node that passed, then normalize().
// A plugin may keep what prepare() worked out in members: there is one decision at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/types.h"

namespace keles::scheduler {

// What can make an unschedulable pod schedulable; a pod waits only for events that its rejecting
// plugins name.
enum ClusterEvent : uint32_t {
  kNodeAdded = 1,
  kNodeAllocatable = 2,
  kNodeLabels = 4,
  kNodeTaints = 8,
  kPodAssigned = 16,
  kPodRemoved = 32,  // an assigned pod was deleted or ended
  kPodLabels = 64,   // an assigned pod's labels changed
  kNamespaceLabels = 128,
  kAnyEvent = ~0u,
};

// With what few pods or nodes have listed apart, so that no plugin walks every node to find none.
struct ClusterView {
  std::vector<const NodeInfo*> nodes;               // present ones, in name order
  std::vector<const NodeInfo*> with_affinity;       // of those: any pod there has a term
  std::vector<const NodeInfo*> with_anti_affinity;  // a required anti-affinity term
  const std::map<std::string, int64_t, std::less<>>* image_nodes;  // how many have the image
  const Namespaces* namespaces;
};

struct Rejection {
  bool resolvable;  // false: evicting other pods would not help
  std::vector<std::string> reasons;
};

class Plugin {
 public:
  virtual ~Plugin() = default;
  virtual std::string_view name() const = 0;
  virtual uint32_t events() const { return kAnyEvent; }

  virtual bool wants_filter(const PodInfo& pod, const ClusterView& view) {
    (void)pod, (void)view;
    return false;
  }
  virtual std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) {
    (void)pod, (void)node;
    return std::nullopt;
  }

  virtual int weight() const { return 0; }  // 0: does not score
  virtual bool wants_score(const PodInfo& pod, const ClusterView& view,
                           const std::vector<const NodeInfo*>& feasible) {
    (void)pod, (void)view, (void)feasible;
    return weight() > 0;
  }
  virtual int64_t score(const PodInfo& pod, const NodeInfo& node) {
    (void)pod, (void)node;
    return 0;
  }
  // Brings raw scores to 0..100.
  virtual void normalize(std::vector<int64_t>& scores) { (void)scores; }
};

inline constexpr int64_t kMaxScore = 100;

// Scales so that the largest becomes 100; `reverse` turns the scale round.
void scale_to_max(std::vector<int64_t>& scores, bool reverse);

// The default profile, in filter order.
std::vector<std::unique_ptr<Plugin>> default_plugins();

}  // namespace keles::scheduler
