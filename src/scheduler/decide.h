// The decision itself: which node for this pod, or why none. No API, no waiting.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/profile.h"

namespace keles::scheduler {

struct Decision {
  std::string node;  // "" = none
  size_t nodes_tried = 0, nodes_feasible = 0;
  Verdict error;    // kError: a plugin failed; there is no node then
  Failure failure;  // without a node: why
};

class Decider {
 public:
  // `percentage` of the nodes is enough to choose from (percentageOfNodesToScore); 0: fewer, the
  // more nodes there are (upstream's formula). Of fewer than 100 nodes all are looked at.
  explicit Decider(int percentage = 0) : percentage_(percentage) {}
  Decision decide(Cycle& cycle, const ClusterView& view, Random& random);

  // The two halves of decide(), for who asks others between them. Nodes that pass the filters:
  // the nominated one alone when it does.
  std::vector<NodeInfo*> find(Cycle& cycle, const ClusterView& view, Decision& d);
  // `extra` is added to the scores when given.
  std::string choose(Cycle& cycle, const std::vector<NodeInfo*>& feasible, Random& random,
                     const std::vector<int64_t>& extra = {});
  // After a wait: which of those that find() named pass still, or again. Adds to d.failure.
  std::vector<NodeInfo*> look_again(Cycle& cycle, const ClusterView& view,
                                    const std::vector<std::string>& names, Decision& d);

 private:
  std::optional<Profile::Prepared> prepare(Cycle& cycle, const ClusterView& view, Decision& d);
  std::vector<NodeInfo*> scan(Cycle& cycle, const std::vector<NodeInfo*>& nodes, Decision& d);
  int percentage_;
  size_t start_ = 0;  // where the last scan over nodes stopped
};

}  // namespace keles::scheduler
