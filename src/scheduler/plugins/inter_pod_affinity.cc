#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

const Reasons kNoAffinity = make_reasons({"node(s) didn't match pod affinity rules"});
const Reasons kAntiAffinity = make_reasons({"node(s) didn't match pod anti-affinity rules"});
const Reasons kExistingAnti =
    make_reasons({"node(s) didn't satisfy existing pods anti-affinity rules"});

// How much is counted for each topology (key and value): classes of pods, each with a weight, and
// what a trial adds and takes off.
class Topologies {
 public:
  void clear() { by_key_.clear(); }
  void add(const std::string& key, const PodClass& pods, int64_t weight) {
    const ValueCounts& counts = pods.by_value(key);
    if (counts.total == 0) return;
    OfKey& of = by_key_.try_emplace(key).first->second;
    of.classes.emplace_back(&counts, weight);
    of.total += counts.total * weight;
  }
  void add(const std::string& key, const NodeInfo& node, int64_t n) {
    auto label = node.labels.find(key);
    if (label == node.labels.end()) return;
    OfKey& of = by_key_.try_emplace(key).first->second;
    of.trial.add(label->second, n);
    of.total += n;
  }
  int64_t at(const std::string& key, const std::string& value) const {
    auto of = by_key_.find(key);
    return of == by_key_.end() ? 0 : of->second.at(value);
  }
  // Nothing at all is counted. Only where all weights are positive.
  bool empty() const {
    return std::all_of(by_key_.begin(), by_key_.end(),
                       [](const auto& e) { return e.second.total == 0; });
  }
  bool has_keys() const { return !by_key_.empty(); }
  // Whether `node` lies in any of them.
  bool touches(const NodeInfo& node) const {
    return std::any_of(by_key_.begin(), by_key_.end(), [&](const auto& e) {
      auto label = node.labels.find(e.first);
      return label != node.labels.end() && e.second.at(label->second) > 0;
    });
  }
  int64_t sum_at(const NodeInfo& node) const {
    int64_t sum = 0;
    for (const auto& [key, of] : by_key_) {
      auto label = node.labels.find(key);
      if (label != node.labels.end()) sum += of.at(label->second);
    }
    return sum;
  }

 private:
  struct OfKey {
    std::vector<std::pair<const ValueCounts*, int64_t>> classes;
    ValueCounts trial;
    int64_t total = 0;
    int64_t at(const std::string& value) const {
      int64_t sum = trial.values.empty() ? 0 : trial.at(value);
      for (const auto& [counts, weight] : classes) sum += counts->at(value) * weight;
      return sum;
    }
  };
  std::map<std::string, OfKey> by_key_;
};

// spec.affinity.podAffinity and podAntiAffinity, of the pod itself and of those already placed.
class InterPodAffinity final : public Plugin {
 public:
  InterPodAffinity(int64_t hard_weight, bool ignore_existing)
      : hard_weight_(hard_weight), ignore_existing_(ignore_existing) {}
  std::string_view name() const override { return "InterPodAffinity"; }
  uint32_t points() const override { return kPreFilter | kFilter | kPreScore | kScore; }
  Events events() const override {
    return kNodeAdded | kNodeLabels | kPodAssigned | kPodRemoved | kPodLabels | kSelfLabels |
           kNamespaceLabels;
  }
  Hint hint(const PodInfo& waiting, const Event& e) override;

  PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) override {
    pod_ = &pod;
    namespaces_ = cycle.view->namespaces;
    affinity_.clear();
    anti_.clear();
    existing_anti_.clear();
    for (const auto& [what, pods] : cycle.view->classes->with_terms())
      count_existing(pods->sample(), *pods, 1);
    if (!pod.affinity.empty() || !pod.anti_affinity.empty()) {
      for (const auto& [what, pods] : cycle.view->classes->all())
        count_own(pods->sample(), *pods, 1);
    } else if (existing_anti_.empty()) {
      return {Verdict::skip(), std::nullopt};
    }
    matches_itself_ = matches_all(pod);
    return {};
  }
  void add_pod(Cycle&, const PodInfo& added, const NodeInfo& node) override {
    count_existing(added, node, 1);
    count_own(added, node, 1);
  }
  void remove_pod(Cycle&, const PodInfo& removed, const NodeInfo& node) override {
    count_existing(removed, node, -1);
    count_own(removed, node, -1);
  }

  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    if (!together(pod, node)) return {Code::kUnresolvable, kNoAffinity};
    for (const AffinityTerm& t : pod.anti_affinity) {
      auto label = node.labels.find(t.topology_key);
      if (label != node.labels.end() && anti_.at(t.topology_key, label->second) > 0)
        return {Code::kUnschedulable, kAntiAffinity};
    }
    if (existing_anti_.touches(node)) return {Code::kUnschedulable, kExistingAnti};
    return {};
  }

  bool pre_score(Cycle& cycle, const PodInfo& pod, const std::vector<NodeInfo*>&) override {
    weights_.clear();
    const bool own = !pod.preferred_affinity.empty() || !pod.preferred_anti_affinity.empty();
    if (ignore_existing_ && !own) return false;
    namespaces_ = cycle.view->namespaces;
    if (own) {
      for (const auto& [what, pods] : cycle.view->classes->all()) weigh(pod, *pods);
    } else {
      for (const auto& [what, pods] : cycle.view->classes->with_terms()) weigh(pod, *pods);
    }
    return weights_.has_keys();
  }
  int64_t score(Cycle&, const PodInfo&, const NodeInfo& node) override {
    return weights_.sum_at(node);
  }
  void normalize(Cycle&, const std::vector<NodeInfo*>&, std::vector<int64_t>& scores) override {
    if (scores.empty()) return;
    auto [low_at, high_at] = std::minmax_element(scores.begin(), scores.end());
    const int64_t low = *low_at, spread = *high_at - low;
    for (int64_t& s : scores) {
      s = spread == 0
              ? 0
              : static_cast<int64_t>(static_cast<double>(kMaxScore) *
                                     (static_cast<double>(s - low) / static_cast<double>(spread)));
    }
  }

 private:
  bool together(const PodInfo& pod, const NodeInfo& node) const {
    bool found = true;
    for (const AffinityTerm& t : pod.affinity) {
      auto label = node.labels.find(t.topology_key);
      if (label == node.labels.end()) return false;
      found &= affinity_.at(t.topology_key, label->second) > 0;
    }
    // The first pod of a group that wants to be together has nobody to join: it may go anywhere.
    return found || (affinity_.empty() && matches_itself_);
  }
  bool matches_all(const PodInfo& other) const {
    return !pod_->affinity.empty() &&
           std::all_of(pod_->affinity.begin(), pod_->affinity.end(),
                       [&](const AffinityTerm& t) { return selects(t, other, *namespaces_); });
  }
  // `where`: a node, or a class of pods.
  template <class Where>
  void count_existing(const PodInfo& other, const Where& where, int64_t n) {
    for (const AffinityTerm& t : other.anti_affinity) {
      if (selects(t, *pod_, *namespaces_)) existing_anti_.add(t.topology_key, where, n);
    }
  }
  template <class Where>
  void count_own(const PodInfo& other, const Where& where, int64_t n) {
    if (matches_all(other)) {  // counted only when it matches every term
      for (const AffinityTerm& t : pod_->affinity) affinity_.add(t.topology_key, where, n);
    }
    for (const AffinityTerm& t : pod_->anti_affinity) {
      if (selects(t, other, *namespaces_)) anti_.add(t.topology_key, where, n);
    }
  }
  void add_weight(const AffinityTerm& t, const PodInfo& target, const PodClass& pods,
                  int64_t weight) {
    if (weight != 0 && selects(t, target, *namespaces_)) weights_.add(t.topology_key, pods, weight);
  }
  // What the pods of a class add to their nodes' topologies for `pod`.
  void weigh(const PodInfo& pod, const PodClass& pods) {
    const PodInfo& other = pods.sample();
    for (const AffinityTerm& t : pod.preferred_affinity) add_weight(t, other, pods, t.weight);
    for (const AffinityTerm& t : pod.preferred_anti_affinity) add_weight(t, other, pods, -t.weight);
    for (const AffinityTerm& t : other.affinity) add_weight(t, pod, pods, hard_weight_);
    for (const AffinityTerm& t : other.preferred_affinity) add_weight(t, pod, pods, t.weight);
    for (const AffinityTerm& t : other.preferred_anti_affinity) add_weight(t, pod, pods, -t.weight);
  }

  const int64_t hard_weight_;
  const bool ignore_existing_;
  // Of the decision under way.
  const PodInfo* pod_ = nullptr;
  const Namespaces* namespaces_ = nullptr;
  bool matches_itself_ = false;
  Topologies affinity_, anti_, existing_anti_, weights_;
};

// A term with a namespace selector may match: the labels of namespaces are not at hand here.
bool may_select(const AffinityTerm& t, const PodInfo& pod) {
  static const Namespaces none;
  return t.namespace_selector ? keles::matches(t.selector, pod.labels) : selects(t, pod, none);
}
bool all_select(const std::vector<AffinityTerm>& terms, const PodInfo& pod) {
  return !terms.empty() && std::all_of(terms.begin(), terms.end(),
                                       [&](const AffinityTerm& t) { return may_select(t, pod); });
}
bool any_selects(const std::vector<AffinityTerm>& terms, const PodInfo& pod) {
  return std::any_of(terms.begin(), terms.end(),
                     [&](const AffinityTerm& t) { return may_select(t, pod); });
}

bool may_help(const PodInfo& waiting, const NodeInfo* before, const NodeInfo& now) {
  auto value = [](const NodeInfo* n, const std::string& key) -> const std::string* {
    if (!n) return nullptr;
    auto it = n->labels.find(key);
    return it == n->labels.end() ? nullptr : &it->second;
  };
  for (const AffinityTerm& t : waiting.affinity) {
    const std::string *was = value(before, t.topology_key), *is = value(&now, t.topology_key);
    if (is && (!was || *was != *is)) return true;
  }
  for (const AffinityTerm& t : waiting.anti_affinity) {
    if (!before) return true;
    const std::string *was = value(before, t.topology_key), *is = value(&now, t.topology_key);
    if (was && (!is || *was != *is)) return true;
  }
  return false;
}

Hint InterPodAffinity::hint(const PodInfo& waiting, const Event& e) {
  auto answer = [](bool yes) { return yes ? Hint::kQueue : Hint::kSkip; };
  if (e.node) {
    // Kept away by pods that are there: any node that appears may be free of them.
    const bool only_existing = waiting.affinity.empty() && waiting.anti_affinity.empty();
    return answer(only_existing || may_help(waiting, e.node_before, *e.node));
  }
  if (!(e.bits & (kPodAssigned | kPodRemoved | kPodLabels))) return Hint::kQueue;
  if (e.pod_before && e.pod) {
    const bool joins =
        !all_select(waiting.affinity, *e.pod_before) && all_select(waiting.affinity, *e.pod);
    const bool leaves = any_selects(waiting.anti_affinity, *e.pod_before) &&
                        !all_select(waiting.anti_affinity, *e.pod);
    return answer(joins || leaves);
  }
  if (e.pod) return answer(all_select(waiting.affinity, *e.pod));
  if (!e.pod_before) return Hint::kQueue;
  return answer(any_selects(waiting.anti_affinity, *e.pod_before) ||
                any_selects(e.pod_before->anti_affinity, waiting));
}

}  // namespace

MadePlugin make_inter_pod_affinity(const PluginContext& context) {
  const Value& weight = context.args["hardPodAffinityWeight"];
  return std::unique_ptr<Plugin>(std::make_unique<InterPodAffinity>(
      weight.is_null() ? 1 : weight.as_int(),
      context.args["ignorePreferredTermsOfExistingPods"].as_bool()));
}

}  // namespace keles::scheduler
