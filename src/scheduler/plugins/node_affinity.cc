#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// spec.nodeSelector and spec.affinity.nodeAffinity.
class NodeAffinity final : public Plugin {
 public:
  std::string_view name() const override { return "NodeAffinity"; }
  uint32_t events() const override { return kNodeAdded | kNodeLabels; }
  bool wants_filter(const PodInfo& pod, const ClusterView&) override {
    return !pod.node_selector.empty() || pod.has_required_node_terms;
  }
  std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) override {
    bool ok =
        std::all_of(pod.node_selector.begin(), pod.node_selector.end(), [&](const auto& want) {
          auto it = node.labels.find(want.first);
          return it != node.labels.end() && it->second == want.second;
        });
    if (ok && pod.has_required_node_terms) {
      ok = std::any_of(pod.required_node_terms.begin(), pod.required_node_terms.end(),
                       [&](const NodeSelectorTerm& t) { return matches(t, node); });
    }
    if (ok) return std::nullopt;
    return Rejection{false, {"node(s) didn't match Pod's node affinity/selector"}};
  }

  int weight() const override { return 2; }
  bool wants_score(const PodInfo& pod, const ClusterView&,
                   const std::vector<const NodeInfo*>&) override {
    return !pod.preferred_node_terms.empty();
  }
  int64_t score(const PodInfo& pod, const NodeInfo& node) override {
    int64_t sum = 0;
    for (const PreferredNodeTerm& t : pod.preferred_node_terms) {
      if (t.weight != 0 && (t.term.empty() || matches(t.term, node))) sum += t.weight;
    }
    return sum;
  }
  void normalize(std::vector<int64_t>& scores) override { scale_to_max(scores, false); }
};

}  // namespace

std::unique_ptr<Plugin> make_node_affinity() { return std::make_unique<NodeAffinity>(); }

}  // namespace keles::scheduler
