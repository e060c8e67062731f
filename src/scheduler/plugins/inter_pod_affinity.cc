#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

// spec.affinity.podAffinity and podAntiAffinity, of the pod itself and of those already placed.
class InterPodAffinity final : public Plugin {
 public:
  std::string_view name() const override { return "InterPodAffinity"; }
  uint32_t events() const override {
    return kNodeAdded | kNodeLabels | kPodAssigned | kPodRemoved | kPodLabels | kNamespaceLabels;
  }

  bool wants_filter(const PodInfo& pod, const ClusterView& view) override {
    affinity_.assign(pod.affinity.size(), {});
    anti_.assign(pod.anti_affinity.size(), {});
    existing_anti_.clear();
    bool own_terms = !pod.affinity.empty() || !pod.anti_affinity.empty();
    any_match_ = false;
    for (const NodeInfo* node : view.with_anti_affinity) {
      forbid_by_existing(pod, *node, *view.namespaces);
    }
    if (own_terms) {
      for (const NodeInfo* node : view.nodes) count_own(pod, *node, *view.namespaces);
    }
    // The first pod of a group that wants to be together has nobody to join: it may go anywhere.
    first_of_group_ = !any_match_ && std::all_of(pod.affinity.begin(), pod.affinity.end(),
                                                 [&](const AffinityTerm& t) {
                                                   return selects(t, pod, *view.namespaces);
                                                 });
    return own_terms || !existing_anti_.empty();
  }

  std::optional<Rejection> filter(const PodInfo& pod, const NodeInfo& node) override {
    for (size_t i = 0; i < pod.affinity.size(); ++i) {
      auto label = node.labels.find(pod.affinity[i].topology_key);
      bool there = label != node.labels.end() && affinity_[i].contains(label->second);
      bool alone = label != node.labels.end() && first_of_group_;
      if (!there && !alone) return Rejection{false, {"node(s) didn't match pod affinity rules"}};
    }
    for (size_t i = 0; i < pod.anti_affinity.size(); ++i) {
      auto label = node.labels.find(pod.anti_affinity[i].topology_key);
      if (label != node.labels.end() && anti_[i].contains(label->second)) {
        return Rejection{true, {"node(s) didn't match pod anti-affinity rules"}};
      }
    }
    for (const auto& [key, values] : existing_anti_) {
      auto label = node.labels.find(key);
      if (label != node.labels.end() && values.contains(label->second)) {
        return Rejection{true, {"node(s) didn't satisfy existing pods anti-affinity rules"}};
      }
    }
    return std::nullopt;
  }

  int weight() const override { return 2; }
  bool wants_score(const PodInfo& pod, const ClusterView& view,
                   const std::vector<const NodeInfo*>&) override {
    weights_.clear();
    bool own = !pod.preferred_affinity.empty() || !pod.preferred_anti_affinity.empty();
    for (const NodeInfo* node : own ? view.nodes : view.with_affinity) {
      for (const PodPtr& other : node->pods) weigh(pod, *other, *node, *view.namespaces);
    }
    return !weights_.empty();
  }
  int64_t score(const PodInfo&, const NodeInfo& node) override {
    int64_t sum = 0;
    for (const auto& [key, by_value] : weights_) {
      auto label = node.labels.find(key);
      if (label == node.labels.end()) continue;
      auto it = by_value.find(label->second);
      if (it != by_value.end()) sum += it->second;
    }
    return sum;
  }
  void normalize(std::vector<int64_t>& scores) override {
    if (scores.empty()) return;
    auto [low_at, high_at] = std::minmax_element(scores.begin(), scores.end());
    int64_t low = *low_at, spread = *high_at - low;
    for (int64_t& s : scores) s = spread > 0 ? kMaxScore * (s - low) / spread : 0;
  }

 private:
  using Values = std::set<std::string, std::less<>>;

  void forbid_by_existing(const PodInfo& pod, const NodeInfo& node, const Namespaces& namespaces) {
    for (const PodPtr& other : node.pods) {
      for (const AffinityTerm& t : other->anti_affinity) {
        auto label = node.labels.find(t.topology_key);
        if (label != node.labels.end() && selects(t, pod, namespaces)) {
          existing_anti_[t.topology_key].insert(label->second);
        }
      }
    }
  }
  void count_own(const PodInfo& pod, const NodeInfo& node, const Namespaces& namespaces) {
    for (const PodPtr& other : node.pods) {
      if (other->terminating) continue;
      // Affinity counts a pod only when it matches every term.
      bool all = !pod.affinity.empty() &&
                 std::all_of(pod.affinity.begin(), pod.affinity.end(),
                             [&](const AffinityTerm& t) { return selects(t, *other, namespaces); });
      for (size_t i = 0; all && i < pod.affinity.size(); ++i) {
        auto label = node.labels.find(pod.affinity[i].topology_key);
        if (label == node.labels.end()) continue;
        affinity_[i].insert(label->second);
        any_match_ = true;
      }
    }
    for (const PodPtr& other : node.pods) {
      for (size_t i = 0; i < pod.anti_affinity.size(); ++i) {
        auto label = node.labels.find(pod.anti_affinity[i].topology_key);
        if (label != node.labels.end() && selects(pod.anti_affinity[i], *other, namespaces)) {
          anti_[i].insert(label->second);
        }
      }
    }
  }
  void add_weight(const AffinityTerm& t, const PodInfo& target, const NodeInfo& node,
                  const Namespaces& namespaces, int64_t weight) {
    auto label = node.labels.find(t.topology_key);
    if (label == node.labels.end() || !selects(t, target, namespaces)) return;
    weights_[t.topology_key][label->second] += weight;
  }
  // What `other`, placed on `node`, adds to that node's topology for `pod`.
  void weigh(const PodInfo& pod, const PodInfo& other, const NodeInfo& node,
             const Namespaces& namespaces) {
    for (const AffinityTerm& t : pod.preferred_affinity)
      add_weight(t, other, node, namespaces, t.weight);
    for (const AffinityTerm& t : pod.preferred_anti_affinity) {
      add_weight(t, other, node, namespaces, -t.weight);
    }
    for (const AffinityTerm& t : other.preferred_affinity)
      add_weight(t, pod, node, namespaces, t.weight);
    for (const AffinityTerm& t : other.preferred_anti_affinity) {
      add_weight(t, pod, node, namespaces, -t.weight);
    }
    for (const AffinityTerm& t : other.affinity) add_weight(t, pod, node, namespaces, 1);
  }

  std::vector<Values> affinity_, anti_;  // per term: topology values where it holds
  std::map<std::string, Values> existing_anti_;
  bool first_of_group_ = false, any_match_ = false;
  std::map<std::string, std::map<std::string, int64_t, std::less<>>> weights_;
};

}  // namespace

std::unique_ptr<Plugin> make_inter_pod_affinity() { return std::make_unique<InterPodAffinity>(); }

}  // namespace keles::scheduler
