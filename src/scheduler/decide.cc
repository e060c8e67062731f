#include "scheduler/decide.h"

#include <algorithm>
#include <tuple>

namespace keles::scheduler {
namespace {

constexpr size_t kMinFeasible = 100;
constexpr size_t kMaxPreemptionCandidates = 100;

// Large clusters: enough good nodes will do (upstream's adaptive percentageOfNodesToScore).
size_t feasible_wanted(size_t nodes) {
  if (nodes < kMinFeasible) return nodes;
  size_t percent = nodes / 125 < 45 ? 50 - nodes / 125 : 5;
  return std::max(kMinFeasible, nodes * percent / 100);
}

// Of thousands of nodes, the next are rarely in a cache: they are asked for while others are looked
// at. Only speed depends on it.
void ask_for(const NodeInfo* node) {
  const char* at = reinterpret_cast<const char*>(node);
  for (size_t i = 0; i < NodeInfo::kLookedAt; i += 64) __builtin_prefetch(at + i);
}
constexpr size_t kAhead = 6;

}  // namespace

std::optional<Rejection> Decider::run_filters(const std::vector<Plugin*>& active,
                                              const PodInfo& pod, const NodeInfo& node,
                                              Plugin** rejecting) {
  for (Plugin* p : active) {
    auto r = p->filter(pod, node);
    if (r) {
      *rejecting = p;
      return r;
    }
  }
  return std::nullopt;
}

Decision Decider::decide(const PodInfo& pod, const ClusterView& view, Random& random) {
  Decision d;
  d.nodes_total = view.nodes.size();
  std::vector<Plugin*> filters;
  for (auto& p : plugins_) {
    if (p->wants_filter(pod, view)) filters.push_back(p.get());
  }
  size_t n = view.nodes.size(), wanted = feasible_wanted(n);
  std::vector<const NodeInfo*> feasible;
  if (n > 0) start_ %= n;
  size_t tried = 0;
  for (; tried < n && feasible.size() < wanted; ++tried) {
    const NodeInfo* node = view.nodes[(start_ + tried) % n];
    ask_for(view.nodes[(start_ + tried + kAhead) % n]);
    Plugin* by = nullptr;
    auto rejection = run_filters(filters, pod, *node, &by);
    if (!rejection) {
      feasible.push_back(node);
      continue;
    }
    for (std::string& reason : rejection->reasons) ++d.reasons[std::move(reason)];
    d.waits_for |= by->events();
    if (rejection->resolvable) d.preemption_candidates.push_back(node);
  }
  start_ += tried;
  d.nodes_tried = tried;
  d.nodes_feasible = feasible.size();
  if (n == 0) d.waits_for = kNodeAdded;
  if (feasible.empty()) return d;
  d.node = feasible.size() == 1 ? feasible[0]->name : best(pod, view, feasible, random);
  return d;
}

std::string Decider::best(const PodInfo& pod, const ClusterView& view,
                          const std::vector<const NodeInfo*>& feasible, Random& random) {
  std::vector<int64_t> total(feasible.size()), one(feasible.size());
  for (auto& p : plugins_) {
    if (p->weight() == 0 || !p->wants_score(pod, view, feasible)) continue;
    for (size_t i = 0; i < feasible.size(); ++i) one[i] = p->score(pod, *feasible[i]);
    p->normalize(one);
    for (size_t i = 0; i < feasible.size(); ++i) total[i] += one[i] * p->weight();
  }
  // Among equals any may win, with the same chance.
  size_t chosen = 0;
  uint64_t equals = 1;
  for (size_t i = 1; i < feasible.size(); ++i) {
    if (total[i] > total[chosen]) {
      chosen = i;
      equals = 1;
    } else if (total[i] == total[chosen] && random.below(++equals) == 0) {
      chosen = i;
    }
  }
  return feasible[chosen]->name;
}

bool Decider::fits_on_copy(const PodInfo& pod, const NodeInfo& copy, const ClusterView& view) {
  ClusterView changed = view;
  for (auto* list : {&changed.nodes, &changed.with_affinity, &changed.with_anti_affinity}) {
    for (const NodeInfo*& n : *list) {
      if (n->name == copy.name) n = &copy;
    }
  }
  std::vector<Plugin*> filters;
  for (auto& p : plugins_) {
    if (p->wants_filter(pod, changed)) filters.push_back(p.get());
  }
  Plugin* by = nullptr;
  return !run_filters(filters, pod, copy, &by);
}

Preemption Decider::preempt(const PodInfo& pod, const ClusterView& view, const Decision& failed) {
  Preemption chosen;
  if (!pod.may_preempt) return chosen;
  // Fewer important victims first: highest victim priority, their sum, their number (upstream's
  // order).
  using Cost = std::tuple<int64_t, int64_t, size_t>;
  std::optional<Cost> best;
  size_t looked_at = 0;
  for (const NodeInfo* node : failed.preemption_candidates) {
    std::vector<PodPtr> lower;
    for (const PodPtr& p : node->pods) {
      if (p->priority < pod.priority) lower.push_back(p);
    }
    if (lower.empty()) continue;
    if (++looked_at > kMaxPreemptionCandidates) break;
    NodeInfo copy = *node;
    for (const PodPtr& p : lower) copy.remove_pod(p->uid);
    if (!fits_on_copy(pod, copy, view)) continue;
    // Spare as many as possible, the most important and oldest first.
    std::stable_sort(lower.begin(), lower.end(), [](const PodPtr& a, const PodPtr& b) {
      return a->priority != b->priority ? a->priority > b->priority : a->created < b->created;
    });
    std::vector<PodPtr> victims;
    for (const PodPtr& p : lower) {
      copy.add_pod(p);
      if (fits_on_copy(pod, copy, view)) continue;
      copy.remove_pod(p->uid);
      victims.push_back(p);
    }
    if (victims.empty()) continue;
    int64_t sum = 0;
    for (const PodPtr& v : victims) sum += v->priority;
    Cost cost{victims.front()->priority, sum, victims.size()};
    if (!best || cost < *best) {
      best = cost;
      chosen = {node->name, std::move(victims)};
    }
  }
  return chosen;
}

std::string describe_failure(size_t nodes, const std::map<std::string, int>& reasons) {
  if (nodes == 0) return "no nodes available to schedule pods";
  std::vector<std::string> parts;
  for (const auto& [reason, count] : reasons) parts.push_back(std::to_string(count) + " " + reason);
  std::sort(parts.begin(), parts.end());
  std::string s = "0/" + std::to_string(nodes) + " nodes are available";
  for (size_t i = 0; i < parts.size(); ++i) s += (i ? ", " : ": ") + parts[i];
  return s + ".";
}

}  // namespace keles::scheduler
