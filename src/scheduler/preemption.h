// Preemption as arithmetic: which pods would have to go from a node for another to fit, and which
// node is the best to clear. Pure, but for taking pods off nodes and putting them back meanwhile.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/profile.h"

namespace keles::scheduler {

// What preemption asks of a PodDisruptionBudget.
struct Budget {
  std::string ns;
  Selector selector;
  int64_t allowed = 0;                           // status.disruptionsAllowed
  std::set<std::string, std::less<>> disrupted;  // status.disruptedPods: counted already
};

// Descending priority, then who started first. Pods without a start time count as just started.
bool more_important(const PodInfo& a, const PodInfo& b);

// The candidates among failure.resolvable, tried from `offset` on until `wanted` are found of which
// one at least violates no budget; those without violations first. Of the others `why` counts the
// reasons: text -> number of nodes.
std::vector<Candidate> find_candidates(Cycle& cycle, const Failure& failure,
                                       const std::vector<Budget>& budgets, size_t offset,
                                       size_t wanted, std::map<std::string, int>* why);

// The fewest violations, the least important first victim, the smallest sum of priorities, the
// fewest victims, whose most important victims started last; the first of equals. Null for none.
const Candidate* pick_candidate(const std::vector<Candidate>& candidates, WallTime now);

// How many candidates are enough among `nodes`.
size_t candidates_wanted(size_t nodes, int64_t percentage, int64_t absolute);

}  // namespace keles::scheduler
