#include "scheduler/preemption.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <tuple>

namespace keles::scheduler {
namespace {

struct Victims {
  Verdict verdict;
  Candidate candidate;
};

// Parts `pods`, in order, into those whose eviction overdraws a budget, and the others.
void split_by_budget(const std::vector<PodPtr>& pods, const std::vector<Budget>& budgets,
                     std::vector<PodPtr>* violating, std::vector<PodPtr>* others) {
  std::vector<int64_t> left;
  left.reserve(budgets.size());
  for (const Budget& b : budgets) left.push_back(b.allowed);
  for (const PodPtr& p : pods) {
    bool overdrawn = false;
    for (size_t i = 0; !p->labels.empty() && i < budgets.size(); ++i) {
      const Budget& b = budgets[i];
      if (b.ns != p->ns || b.selector.is_everything() || b.disrupted.contains(p->name)) continue;
      if (keles::matches(b.selector, p->labels) && --left[i] < 0) overdrawn = true;
    }
    (overdrawn ? violating : others)->push_back(p);
  }
}

// Everything that is taken off a node for a trial, put back when the trial ends.
class Trial {
 public:
  Trial(Cycle& cycle, NodeInfo& node) : cycle_(cycle), node_(node) {}
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial() {
    while (!off_.empty()) put_back(off_.back());
  }
  void take_off(const PodPtr& pod) {
    PodPtr held = pod;
    node_.remove_pod(held->uid);
    cycle_.profile.remove_pod(cycle_, *held, node_);
    off_.push_back(std::move(held));
  }
  void put_back(const PodPtr& pod) {
    PodPtr held = pod;
    std::erase(off_, held);
    node_.add_pod(held);
    cycle_.profile.add_pod(cycle_, *held, node_);
  }
  Verdict fits() {
    Plugin* by = nullptr;
    return cycle_.profile.filter(cycle_, node_, &by);
  }

 private:
  Cycle& cycle_;
  NodeInfo& node_;
  std::vector<PodPtr> off_;
};

void sort_by_importance(std::vector<PodPtr>& pods) {
  std::stable_sort(pods.begin(), pods.end(),
                   [](const PodPtr& a, const PodPtr& b) { return more_important(*a, *b); });
}

// The fewest and least important pods of lower priority without which the pod fits.
Victims select_victims(Cycle& cycle, NodeInfo& node, const std::vector<Budget>& budgets) {
  Victims out;
  std::vector<PodPtr> lower;
  for (const PodPtr& p : node.pods) {
    if (p->priority < cycle.pod->priority) lower.push_back(p);
  }
  if (lower.empty()) {
    static const Reasons none = make_reasons({"No preemption victims found for incoming pod"});
    out.verdict = {Code::kUnresolvable, none};
    return out;
  }
  sort_by_importance(lower);
  Trial trial(cycle, node);
  for (const PodPtr& p : lower) trial.take_off(p);
  out.verdict = trial.fits();
  if (!out.verdict.ok()) return out;
  std::vector<PodPtr> violating, others;
  split_by_budget(lower, budgets, &violating, &others);
  Candidate& c = out.candidate;
  c.node = node.name;
  auto spare = [&](const PodPtr& p) {
    trial.put_back(p);
    if (trial.fits().ok()) return true;
    trial.take_off(p);
    c.victims.push_back(p);
    return false;
  };
  for (const PodPtr& p : violating) c.violations += spare(p) ? 0 : 1;
  for (const PodPtr& p : others) spare(p);
  if (!violating.empty() && !others.empty()) sort_by_importance(c.victims);
  return out;
}

// When the earliest of the most important victims started.
WallTime earliest_start(const Candidate& c, WallTime now) {
  std::optional<WallTime> out;
  for (const PodPtr& p : c.victims) {
    if (p->priority != c.victims.front()->priority) continue;
    const WallTime started = p->started.value_or(now);
    if (!out || started < *out) out = started;
  }
  return out.value_or(now);
}

}  // namespace

bool more_important(const PodInfo& a, const PodInfo& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (!a.started || !b.started) return a.started.has_value() && !b.started.has_value();
  return *a.started < *b.started;
}

size_t candidates_wanted(size_t nodes, int64_t percentage, int64_t absolute) {
  const int64_t n = static_cast<int64_t>(nodes) * percentage / 100;
  return std::min(nodes, static_cast<size_t>(std::max(n, absolute)));
}

std::vector<Candidate> find_candidates(Cycle& cycle, const Failure& failure,
                                       const std::vector<Budget>& budgets, size_t offset,
                                       size_t wanted, std::map<std::string, int>* why) {
  std::vector<Candidate> clean, violating;
  const size_t n = failure.resolvable.size();
  for (size_t i = 0; i < n; ++i) {
    NodeInfo& node = *failure.resolvable[(offset + i) % n];
    Victims found = select_victims(cycle, node, budgets);
    if (found.verdict.ok() && !found.candidate.victims.empty()) {
      (found.candidate.violations == 0 ? clean : violating).push_back(std::move(found.candidate));
      if (!clean.empty() && clean.size() + violating.size() >= wanted) break;
      continue;
    }
    if (found.verdict.ok()) {
      ++(*why)["expected at least one victim pod on node \"" + node.name + "\""];
    } else if (found.verdict.reasons) {
      for (const std::string& reason : *found.verdict.reasons) ++(*why)[reason];
    }
  }
  std::move(violating.begin(), violating.end(), std::back_inserter(clean));
  return clean;
}

const Candidate* pick_candidate(const std::vector<Candidate>& candidates, WallTime now) {
  const Candidate* best = nullptr;
  auto cost = [](const Candidate& c) {
    // Shifted, so that a few pods of negative priority do not outweigh a single one.
    int64_t sum = 0;
    for (const PodPtr& p : c.victims)
      sum += p->priority + int64_t{std::numeric_limits<int32_t>::max()} + 1;
    return std::tuple(c.violations, c.victims.front()->priority, sum, c.victims.size());
  };
  for (const Candidate& c : candidates) {
    if (!best) {
      best = &c;
      continue;
    }
    const auto a = cost(c), b = cost(*best);
    if (a < b || (a == b && earliest_start(c, now) > earliest_start(*best, now))) best = &c;
  }
  return best;
}

}  // namespace keles::scheduler
