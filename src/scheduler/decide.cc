#include "scheduler/decide.h"

#include <algorithm>

namespace keles::scheduler {
namespace {

constexpr size_t kMinFeasible = 100;

// Large clusters: enough good nodes will do.
size_t feasible_wanted(size_t nodes, int percentage) {
  if (nodes < kMinFeasible) return nodes;
  size_t percent = static_cast<size_t>(percentage);
  if (percentage == 0) percent = nodes / 125 < 45 ? 50 - nodes / 125 : 5;
  return std::max(kMinFeasible, nodes * percent / 100);
}

// Of thousands of nodes, the next are rarely in a cache: they are asked for while others are looked
// at. Only speed depends on it.
void ask_for(const NodeInfo* node) {
  const char* at = reinterpret_cast<const char*>(node);
  for (size_t i = 0; i < NodeInfo::kLookedAt; i += 64) __builtin_prefetch(at + i);
}
constexpr size_t kAhead = 6;

void note_rejection(Failure& f, Plugin* by) {
  if (by && std::find(f.rejected_by.begin(), f.rejected_by.end(), by) == f.rejected_by.end())
    f.rejected_by.push_back(by);
}

// Reasons as they are met: nodes mostly say the same, by the same texts.
class Tally {
 public:
  void add(const Reasons& r) {
    if (!r) return;
    for (auto& [seen, n] : counts_) {
      if (seen != r) continue;
      ++n;
      return;
    }
    if (counts_.size() >= kMost) flush();
    counts_.emplace_back(r, 1);
  }
  std::map<std::string, int> take() {
    flush();
    return std::move(out_);
  }

 private:
  static constexpr size_t kMost = 32;
  void flush() {
    for (const auto& [reasons, n] : counts_)
      for (const std::string& text : *reasons) out_[text] += n;
    counts_.clear();
  }
  std::vector<std::pair<Reasons, int>> counts_;
  std::map<std::string, int> out_;
};

std::string bracketed(const std::vector<Plugin*>& plugins) {
  std::vector<std::string> names;
  for (Plugin* p : plugins) names.emplace_back(p->name());
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& n : names) out += (out.empty() ? "" : " ") + n;
  return "[" + out + "]";
}

}  // namespace

std::vector<NodeInfo*> Decider::scan(Cycle& cycle, const std::vector<NodeInfo*>& nodes,
                                     Decision& d) {
  Profile::Timed timed(cycle.profile, "Filter");
  std::vector<NodeInfo*> feasible;
  const size_t n = nodes.size();
  const bool choosing = cycle.extended || cycle.profile.has(kScore);
  const size_t wanted = choosing
                            ? feasible_wanted(n, cycle.profile.percentage.value_or(percentage_))
                            : std::min<size_t>(n, 1);
  if (n == 0) return feasible;
  size_t at = start_ % n;
  feasible.reserve(wanted);
  Tally tally;
  for (; d.nodes_tried < n && feasible.size() < wanted; ++d.nodes_tried) {
    NodeInfo* node = nodes[at];
    if (++at == n) at = 0;
    ask_for(nodes[at + kAhead < n ? at + kAhead : 0]);
    Plugin* by = nullptr;
    Verdict v = cycle.profile.filter(cycle, *node, &by);
    if (v.ok()) {
      feasible.push_back(node);
      continue;
    }
    if (v.code == Code::kError) {
      d.error = std::move(v);
      timed.ended(Code::kError);
      feasible.clear();
      break;
    }
    tally.add(v.reasons);
    note_rejection(d.failure, by);
    if (v.code == Code::kUnschedulable) d.failure.resolvable.push_back(node);
  }
  d.failure.reasons = tally.take();
  return feasible;
}

// What pre_filter() says; nothing when there is no node for the pod.
std::optional<Profile::Prepared> Decider::prepare(Cycle& cycle, const ClusterView& view,
                                                  Decision& d) {
  cycle.view = &view;
  d.failure.nodes_total = view.nodes.size();
  if (view.nodes.empty()) return std::nullopt;
  Profile::Prepared prepared = cycle.profile.pre_filter(cycle);
  if (prepared.verdict.code == Code::kError) {
    d.error = std::move(prepared.verdict);
    return std::nullopt;
  }
  if (prepared.verdict.ok()) return prepared;
  d.failure.pre_filter_message = prepared.verdict.message();
  note_rejection(d.failure, prepared.by);
  for (Plugin* p : prepared.narrowed) note_rejection(d.failure, p);
  if (prepared.verdict.code == Code::kUnschedulable) d.failure.resolvable = view.nodes;
  return std::nullopt;
}

std::vector<NodeInfo*> Decider::look_again(Cycle& cycle, const ClusterView& view,
                                           const std::vector<std::string>& names, Decision& d) {
  std::vector<NodeInfo*> left;
  const std::optional<Profile::Prepared> prepared = prepare(cycle, view, d);
  if (!prepared) return left;
  for (const std::string& name : names) {
    NodeInfo* node = view.find(name);
    if (!node || (prepared->nodes && !prepared->nodes->contains(name))) continue;
    Plugin* by = nullptr;
    Verdict v = cycle.profile.filter(cycle, *node, &by);
    if (v.ok()) {
      left.push_back(node);
      continue;
    }
    if (v.code == Code::kError) {
      d.error = std::move(v);
      return {};
    }
    if (v.reasons)
      for (const std::string& text : *v.reasons) ++d.failure.reasons[text];
    note_rejection(d.failure, by);
    if (v.code == Code::kUnschedulable) d.failure.resolvable.push_back(node);
  }
  return left;
}

std::vector<NodeInfo*> Decider::find(Cycle& cycle, const ClusterView& view, Decision& d) {
  const std::optional<Profile::Prepared> made = prepare(cycle, view, d);
  if (!made) return {};
  const Profile::Prepared& prepared = *made;
  // Room was made there: it is likely the only one.
  if (NodeInfo* node = cycle.nominated_node.empty() ? nullptr : view.find(cycle.nominated_node)) {
    Plugin* by = nullptr;
    if (cycle.profile.filter(cycle, *node, &by).ok()) {
      d.nodes_tried = 1;
      return {node};
    }
  }
  if (!prepared.nodes) {
    std::vector<NodeInfo*> feasible = scan(cycle, view.nodes, d);
    start_ = (start_ + d.nodes_tried) % view.nodes.size();
    return feasible;
  }
  std::vector<NodeInfo*> nodes;
  for (const std::string& name : *prepared.nodes) {
    if (NodeInfo* node = view.find(name)) nodes.push_back(node);
  }
  std::vector<NodeInfo*> feasible = scan(cycle, nodes, d);
  start_ = (start_ + d.nodes_tried) % view.nodes.size();
  if (feasible.empty() && nodes.size() < view.nodes.size()) {
    d.failure.reasons["node(s) didn't satisfy plugin(s) " + bracketed(prepared.narrowed)] +=
        static_cast<int>(view.nodes.size() - nodes.size());
    for (Plugin* p : prepared.narrowed) note_rejection(d.failure, p);
  }
  return feasible;
}

std::string Decider::choose(Cycle& cycle, const std::vector<NodeInfo*>& feasible, Random& random,
                            const std::vector<int64_t>& extra) {
  if (feasible.size() == 1) return feasible[0]->name;
  std::vector<int64_t> total = cycle.profile.score(cycle, feasible);
  if (total.empty()) total.assign(feasible.size(), 1);
  for (size_t i = 0; i < extra.size(); ++i) total[i] += extra[i];
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

Decision Decider::decide(Cycle& cycle, const ClusterView& view, Random& random) {
  Decision d;
  std::vector<NodeInfo*> feasible = find(cycle, view, d);
  d.nodes_feasible = feasible.size();
  if (!feasible.empty()) d.node = choose(cycle, feasible, random);
  return d;
}

}  // namespace keles::scheduler
