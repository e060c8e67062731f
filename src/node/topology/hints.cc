#include "node/topology/hints.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "node/topology/options.h"

namespace keles::node {

namespace {

constexpr int kUsualNodes = 8;

using HintLists = std::vector<std::vector<TopologyHint>>;

HintLists lists_of(const std::vector<ResourceHints>& providers) {
  HintLists out;
  for (const ResourceHints& hints : providers) {
    if (hints.empty()) out.push_back({TopologyHint(std::nullopt, true)});
    for (const auto& [resource, list] : hints) {
      if (!list) {
        out.push_back({TopologyHint(std::nullopt, true)});
      } else if (list->empty()) {
        out.push_back({TopologyHint(std::nullopt, false)});
      } else {
        out.push_back(*list);
      }
    }
  }
  return out;
}

// Of every resource's narrowest hint, the widest: what cannot be aligned needs that many at least.
int widest_of_narrowest(const HintLists& lists) {
  int most = 0;
  for (const auto& list : lists) {
    std::optional<NumaMask> narrowest;
    for (const TopologyHint& h : list)
      if (h.affinity && (!narrowest || h.affinity->narrower_than(*narrowest)))
        narrowest = h.affinity;
    if (narrowest) most = std::max(most, narrowest->count());
  }
  return most;
}

double average_distance(const std::map<int, NumaMemory>& numa, NumaMask mask) {
  double sum = 0, count = 0;
  for (int from : mask.nodes()) {
    for (int to : mask.nodes()) {
      auto node = numa.find(from);
      // Distances stand in the order of the nodes' numbers.
      const size_t at = static_cast<size_t>(std::distance(numa.begin(), numa.find(to)));
      if (node != numa.end() && at < node->second.distances.size())
        sum += static_cast<double>(node->second.distances[at]);
      ++count;
    }
  }
  return count == 0 ? 0 : sum / count;
}

class Chooser {
 public:
  Chooser(const std::map<int, NumaMemory>& numa, bool closest, int sufficient)
      : numa_(numa), closest_(closest), sufficient_(sufficient) {}

  // The better one of two; `a` when they are alike.
  bool second_is_better(const TopologyHint& a, const TopologyHint& b) const {
    const NumaMask x = *a.affinity, y = *b.affinity;
    if (a.preferred != b.preferred) return b.preferred;
    if (a.preferred || x.count() == y.count()) return better_mask(x, y);
    // Neither can be aligned: as many nodes as are needed; else what has fewer than that but most;
    // else the narrowest.
    const bool x_wide = x.count() > sufficient_, y_wide = y.count() > sufficient_;
    if (x_wide && y_wide) return better_mask(x, y);
    if (x_wide != y_wide) return x_wide;
    return y.count() > x.count();
  }

 private:
  bool better_mask(NumaMask now, NumaMask other) const {
    if (now == other) return false;
    if (closest_ && now.count() == other.count()) {
      const double a = average_distance(numa_, now), b = average_distance(numa_, other);
      if (a != b) return b < a;
    }
    return other.narrower_than(now);
  }

  const std::map<int, NumaMemory>& numa_;
  bool closest_;
  int sufficient_;
};

// What each choice of one hint a list comes to: where all lie, and whether they are aligned. There
// are few such outcomes, however many choices there are.
std::set<std::pair<NumaMask, bool>> outcomes(NumaMask everywhere, const HintLists& lists) {
  struct State {
    NumaMask where;
    bool preferred, bound;  // bound: some hint has an affinity, and while preferred it is `where`
    auto operator<=>(const State&) const = default;
  };
  std::set<State> states = {State{everywhere, true, false}};
  for (const auto& list : lists) {
    std::set<State> next;
    for (const State& s : states) {
      for (const TopologyHint& h : list) {
        State to = s;
        to.preferred = s.preferred && h.preferred;
        if (h.affinity) {
          if (s.bound && (*h.affinity & everywhere) != s.where) to.preferred = false;
          to.where = s.where & *h.affinity;
          to.bound = true;
        }
        next.insert(to);
      }
    }
    states = std::move(next);
  }
  std::set<std::pair<NumaMask, bool>> out;
  for (const State& s : states) out.emplace(s.where, s.preferred);
  return out;
}

}  // namespace

NumaMask NumaMask::of(const std::vector<int>& nodes) {
  uint64_t bits = 0;
  for (int n : nodes)
    if (n >= 0 && n < 64) bits |= uint64_t{1} << n;
  return NumaMask(bits);
}

std::vector<int> NumaMask::nodes() const {
  std::vector<int> out;
  for (int i = 0; i < 64; ++i)
    if (has(i)) out.push_back(i);
  return out;
}

CpuSet NumaMask::set() const {
  const std::vector<int> n = nodes();
  return CpuSet(n.begin(), n.end());
}

void for_each_mask(const std::vector<int>& nodes, const std::function<void(NumaMask)>& fn) {
  std::vector<int> chosen;
  std::function<void(size_t, size_t)> choose = [&](size_t from, size_t want) {
    if (chosen.size() == want) return fn(NumaMask::of(chosen));
    for (size_t i = from; i < nodes.size(); ++i) {
      chosen.push_back(nodes[i]);
      choose(i + 1, want);
      chosen.pop_back();
    }
  };
  for (size_t want = 1; want <= nodes.size(); ++want) choose(0, want);
}

void prefer_smallest(std::vector<TopologyHint>& hints, int smallest) {
  for (TopologyHint& h : hints) h.preferred = h.affinity && h.affinity->count() == smallest;
}

Result<TopologyOptions> parse_topology_options(const std::map<std::string, std::string>& options) {
  TopologyOptions out;
  for (const auto& [name, value] : options) {
    if (name == "prefer-closest-numa-nodes") {
      TRY_ASSIGN(on, parse_switch(name, value));
      out.closest = on;
    } else if (name == "max-allowable-numa-nodes") {
      const char* end = value.data() + value.size();
      auto [at, error] = std::from_chars(value.data(), end, out.most_nodes);
      if (error != std::errc() || at != end)
        return Status::bad_request("unable to convert policy option to integer \"" + name +
                                   "\": " + value);
      if (out.most_nodes < kUsualNodes)
        return Status::bad_request("the minimum value of \"" + name +
                                   "\" should not be less than 8");
    } else {
      return Status::bad_request("unknown Topology Manager Policy option: \"" + name + "\"");
    }
  }
  return out;
}

Merged merge_hints(TopologyPolicy policy, const TopologyOptions& options,
                   const std::map<int, NumaMemory>& numa,
                   const std::vector<ResourceHints>& providers) {
  Merged out;
  HintLists lists = lists_of(providers);
  const bool single = policy == TopologyPolicy::kSingleNuma;
  if (single) {
    for (auto& list : lists)
      std::erase_if(list, [](const TopologyHint& h) {
        return !h.preferred || (h.affinity && h.affinity->count() != 1);
      });
  }
  std::vector<int> nodes;
  for (const auto& [node, memory] : numa) nodes.push_back(node);
  const NumaMask everywhere = NumaMask::of(nodes);
  const Chooser chooser(numa, options.closest && !single, widest_of_narrowest(lists));
  std::optional<TopologyHint> best;
  for (const auto& [where, preferred] : outcomes(everywhere, lists)) {
    if (where.count() == 0) continue;
    const TopologyHint candidate(where, preferred);
    if (!best || chooser.second_is_better(*best, candidate)) best = candidate;
  }
  out.best = best ? *best : TopologyHint(everywhere, false);
  if (single && out.best.affinity == everywhere) out.best.affinity.reset();
  out.admit = policy == TopologyPolicy::kNone || policy == TopologyPolicy::kBestEffort ||
              out.best.preferred;
  return out;
}

}  // namespace keles::node
