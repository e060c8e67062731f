#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "scheduler/plugins/plugins.h"
#include "scheduler/plugins/spread_defaults.h"

namespace keles::scheduler {
namespace {

constexpr std::string_view kHostname = "kubernetes.io/hostname";
constexpr std::string_view kZone = "topology.kubernetes.io/zone";

const Reasons kSkewed = make_reasons({"node(s) didn't match pod topology spread constraints"});
const Reasons kNoLabel =
    make_reasons({"node(s) didn't match pod topology spread constraints (missing required label)"});

// Matching pods in each domain (value of the topology key), and the fewest of any.
class Domains {
 public:
  void add(const std::string& value, int64_t n) {
    auto [at, fresh] = counts_.try_emplace(value, 0);
    if (!fresh) take_from_histogram(at->second);
    at->second += n;
    ++histogram_[at->second];
  }
  int64_t at(const std::string& value) const {
    auto it = counts_.find(value);
    return it == counts_.end() ? 0 : it->second;
  }
  bool contains(const std::string& value) const { return counts_.contains(value); }
  size_t size() const { return counts_.size(); }
  int64_t fewest() const {
    return histogram_.empty() ? std::numeric_limits<int32_t>::max() : histogram_.begin()->first;
  }

 private:
  void take_from_histogram(int64_t n) {
    auto it = histogram_.find(n);
    if (--it->second == 0) histogram_.erase(it);
  }
  std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>> counts_;
  std::map<int64_t, size_t> histogram_;  // count -> how many domains have it
};

bool has_all_keys(const std::vector<const SpreadConstraint*>& constraints, const NodeInfo& node) {
  return std::all_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint* c) {
    return node.labels.contains(c->topology_key);
  });
}

// Whether the constraint counts the node at all (KEP 3094).
bool is_counted(const SpreadConstraint& c, const PodInfo& pod, const NodeInfo& node) {
  if (c.honor_affinity && !matches_required_node_terms(pod, node)) return false;
  return !c.honor_taints ||
         !find_untolerated(node.taints, pod.tolerations, {"NoSchedule", "NoExecute"});
}

bool counts(const SpreadConstraint& c, const PodInfo& other, const std::string& ns) {
  return !other.terminating && other.ns == ns && !c.selector.is_everything() &&
         keles::matches(c.selector, other.labels);
}

// Whether a constraint may leave nodes out for this pod, so that they are asked one by one.
bool chooses_nodes(const SpreadConstraint& c, const PodInfo& pod) {
  return c.honor_taints ||
         (c.honor_affinity && (!pod.node_selector.empty() || pod.has_required_node_terms));
}

// Where the pods are that a constraint counts.
class Matching {
 public:
  Matching(const SpreadConstraint& c, const PodClasses& classes, const std::string& ns) {
    for (const PodClass* pods : classes.near(ns, c.selector))
      if (counts(c, pods->sample(), ns)) classes_.push_back(pods);
  }
  int64_t on(const NodeInfo& node) const {
    int64_t sum = 0;
    for (const PodClass* pods : classes_) {
      auto at = pods->nodes().find(&node);
      if (at != pods->nodes().end()) sum += at->second;
    }
    return sum;
  }
  int64_t in(const std::string& key, const std::string& value) const {
    int64_t sum = 0;
    for (const PodClass* pods : classes_) sum += pods->by_value(key).at(value);
    return sum;
  }

 private:
  std::vector<const PodClass*> classes_;
};

// Whether every node that has one of the topology keys has all of them.
bool keys_go_together(const std::vector<const SpreadConstraint*>& constraints,
                      const ClusterView& view) {
  const auto nodes = static_cast<int64_t>(view.nodes.size());
  return constraints.size() == 1 ||
         std::all_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint* c) {
           return view.label_values(c->topology_key).total == nodes;
         });
}

// spec.topologySpreadConstraints, or the cluster's defaults (KEP 895, KEP 1258).
class PodTopologySpread final : public Plugin {
 public:
  PodTopologySpread(std::vector<SpreadConstraint> defaults, bool system,
                    std::unique_ptr<SpreadDefaults> selectors)
      : defaults_(std::move(defaults)), system_(system), selectors_(std::move(selectors)) {}
  std::string_view name() const override { return "PodTopologySpread"; }
  uint32_t points() const override { return kPreFilter | kFilter | kPreScore | kScore; }
  Events events() const override {
    return kPodAssigned | kPodRemoved | kPodLabels | kSelfLabels | kSelfTolerations | kNodeAdded |
           kNodeDeleted | kNodeLabels | kNodeTaints;
  }
  Hint hint(const PodInfo& waiting, const Event& e) override;

  PreFilter pre_filter(Cycle& cycle, const PodInfo& pod) override {
    pod_ = &pod;
    take_constraints(pod, true, hard_);
    if (hard_.empty()) return {Verdict::skip(), std::nullopt};
    domains_.assign(hard_.size(), {});
    matches_itself_.clear();
    for (const SpreadConstraint* c : hard_)
      matches_itself_.push_back(keles::matches(c->selector, pod.labels));
    count_domains(*cycle.view, pod);
    return {};
  }
  void add_pod(Cycle&, const PodInfo& added, const NodeInfo& node) override {
    change(added, node, 1);
  }
  void remove_pod(Cycle&, const PodInfo& removed, const NodeInfo& node) override {
    change(removed, node, -1);
  }
  Verdict filter(Cycle&, const PodInfo&, const NodeInfo& node) override {
    for (size_t i = 0; i < hard_.size(); ++i) {
      const SpreadConstraint& c = *hard_[i];
      auto label = node.labels.find(c.topology_key);
      if (label == node.labels.end()) return {Code::kUnresolvable, kNoLabel};
      // With fewer domains than there must be, an empty one is yet to come.
      const bool few = domains_[i].size() < static_cast<size_t>(c.min_domains);
      const int64_t fewest = few ? 0 : domains_[i].fewest();
      if (domains_[i].at(label->second) + matches_itself_[i] - fewest > c.max_skew)
        return {Code::kUnschedulable, kSkewed};
    }
    return {};
  }

  bool pre_score(Cycle& cycle, const PodInfo& pod,
                 const std::vector<NodeInfo*>& feasible) override {
    take_constraints(pod, false, soft_);
    if (soft_.empty()) return false;
    // The system's defaults spread over hosts where there are no zones.
    const bool all_keys = !pod.spread.empty() || !system_;
    ignored_.assign(feasible.size(), false);
    scored_.assign(soft_.size(), {});
    size_t considered = 0;
    for (size_t n = 0; n < feasible.size(); ++n) {
      if (all_keys && !has_all_keys(soft_, *feasible[n])) {
        ignored_[n] = true;
        continue;
      }
      ++considered;
      for (size_t i = 0; i < soft_.size(); ++i) {
        if (soft_[i]->topology_key == kHostname) continue;
        auto label = feasible[n]->labels.find(soft_[i]->topology_key);
        const std::string& value = label == feasible[n]->labels.end() ? kNone : label->second;
        scored_[i].counts.try_emplace(value, 0);
      }
    }
    for (size_t i = 0; i < soft_.size(); ++i) {
      const bool hosts = soft_[i]->topology_key == kHostname;
      const size_t size = hosts ? considered : scored_[i].counts.size();
      scored_[i].weight = std::log(static_cast<double>(size + 2));
    }
    count_all(cycle, pod, all_keys);
    at_ = 0;
    return true;
  }
  // Nodes are scored in the order in which pre_score() saw them.
  int64_t score(Cycle&, const PodInfo&, const NodeInfo& node) override {
    if (ignored_[at_++]) return 0;
    double sum = 0;
    for (size_t i = 0; i < soft_.size(); ++i) {
      const SpreadConstraint& c = *soft_[i];
      auto label = node.labels.find(c.topology_key);
      if (label == node.labels.end()) continue;
      int64_t n = 0;
      if (c.topology_key == kHostname) {
        n = scored_[i].matching->on(node);
      } else {
        n = scored_[i].counts.find(label->second)->second;
      }
      sum += static_cast<double>(n) * scored_[i].weight + static_cast<double>(c.max_skew - 1);
    }
    return std::llround(sum);
  }
  void normalize(Cycle&, const std::vector<NodeInfo*>&, std::vector<int64_t>& scores) override {
    int64_t low = std::numeric_limits<int64_t>::max(), high = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (ignored_[i]) continue;
      low = std::min(low, scores[i]);
      high = std::max(high, scores[i]);
    }
    for (size_t i = 0; i < scores.size(); ++i) {
      if (ignored_[i]) {
        scores[i] = 0;
      } else {
        scores[i] = high == 0 ? kMaxScore : kMaxScore * (high + low - scores[i]) / high;
      }
    }
  }

 private:
  static inline const std::string kNone;
  struct Scored {
    std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>> counts;
    double weight = 1;
    std::optional<Matching> matching;
  };

  // The pod's own, or else the defaults for who belongs to a service or a set of replicas.
  void take_constraints(const PodInfo& pod, bool hard, std::vector<const SpreadConstraint*>& out) {
    out.clear();
    const std::vector<SpreadConstraint>* from = &pod.spread;
    if (pod.spread.empty()) {
      const bool any = std::any_of(defaults_.begin(), defaults_.end(),
                                   [&](const SpreadConstraint& c) { return c.hard == hard; });
      if (!any || !selectors_) return;
      const Selector selector = selectors_->of(pod);
      if (selector.is_everything()) return;
      for (SpreadConstraint& c : defaults_) c.selector = selector;
      from = &defaults_;
    }
    for (const SpreadConstraint& c : *from)
      if (c.hard == hard) out.push_back(&c);
  }

  // Into domains_, what is in each domain that has a node which counts.
  void count_domains(const ClusterView& view, const PodInfo& pod) {
    const bool together = keys_go_together(hard_, view);
    for (size_t i = 0; i < hard_.size(); ++i) {
      const SpreadConstraint& c = *hard_[i];
      const Matching matching(c, *view.classes, pod.ns);
      if (together && !chooses_nodes(c, pod)) {
        for (const auto& [value, nodes] : view.label_values(c.topology_key).values)
          domains_[i].add(value, matching.in(c.topology_key, value));
        continue;
      }
      for (const NodeInfo* node : view.nodes) {
        if (!has_all_keys(hard_, *node) || !is_counted(c, pod, *node)) continue;
        domains_[i].add(node->labels.find(c.topology_key)->second, matching.on(*node));
      }
    }
  }

  // Into scored_, what is in each domain that a candidate lies in.
  void count_all(Cycle& cycle, const PodInfo& pod, bool all_keys) {
    const ClusterView& view = *cycle.view;
    const bool together = !all_keys || keys_go_together(soft_, view);
    for (size_t i = 0; i < soft_.size(); ++i) {
      const SpreadConstraint& c = *soft_[i];
      Scored& scored = scored_[i];
      scored.matching.emplace(c, *view.classes, pod.ns);
      if (c.topology_key == kHostname) continue;  // counted node by node
      if (together && !chooses_nodes(c, pod)) {
        for (auto& [value, n] : scored.counts) n = scored.matching->in(c.topology_key, value);
        continue;
      }
      for (const NodeInfo* node : view.nodes) {
        if ((all_keys && !has_all_keys(soft_, *node)) || !is_counted(c, pod, *node)) continue;
        auto label = node->labels.find(c.topology_key);
        if (label == node->labels.end()) continue;  // no candidate's score looks at those
        auto at = scored.counts.find(label->second);
        if (at != scored.counts.end()) at->second += scored.matching->on(*node);
      }
    }
  }

  void change(const PodInfo& other, const NodeInfo& node, int64_t n) {
    if (other.ns != pod_->ns || !has_all_keys(hard_, node)) return;
    for (size_t i = 0; i < hard_.size(); ++i) {
      if (!counts(*hard_[i], other, pod_->ns) || !is_counted(*hard_[i], *pod_, node)) continue;
      domains_[i].add(node.labels.find(hard_[i]->topology_key)->second, n);
    }
  }

  std::vector<SpreadConstraint> defaults_;
  const bool system_;
  std::unique_ptr<SpreadDefaults> selectors_;
  // Of the decision under way.
  const PodInfo* pod_ = nullptr;
  std::vector<const SpreadConstraint*> hard_, soft_;
  std::vector<Domains> domains_;
  std::vector<int64_t> matches_itself_;
  std::vector<bool> ignored_;
  std::vector<Scored> scored_;
  size_t at_ = 0;
};

bool labels_differ(const NodeInfo& a, const NodeInfo& b,
                   const std::vector<const SpreadConstraint*>& constraints) {
  return std::any_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint* c) {
    auto x = a.labels.find(c->topology_key), y = b.labels.find(c->topology_key);
    const bool there = x != a.labels.end();
    return there != (y != b.labels.end()) || (there && x->second != y->second);
  });
}

Hint PodTopologySpread::hint(const PodInfo& waiting, const Event& e) {
  auto answer = [](bool yes) { return yes ? Hint::kQueue : Hint::kSkip; };
  std::vector<const SpreadConstraint*> hard;
  take_constraints(waiting, true, hard);
  if (e.bits & (kSelfLabels | kSelfTolerations)) return Hint::kQueue;
  if (e.node || e.node_before) {
    const bool was = e.node_before && has_all_keys(hard, *e.node_before);
    const bool is = e.node && has_all_keys(hard, *e.node);
    if (!e.node_before || !e.node) return answer(was || is);
    return answer(was != is ||
                  (is && ((e.bits & kNodeTaints) || labels_differ(*e.node_before, *e.node, hard))));
  }
  auto involved = [&](const PodInfo* p, const SpreadConstraint* c) {
    return p && p->ns == waiting.ns && keles::matches(c->selector, p->labels);
  };
  return answer(std::any_of(hard.begin(), hard.end(), [&](const SpreadConstraint* c) {
    const bool was = involved(e.pod_before, c), is = involved(e.pod, c);
    return e.pod_before && e.pod ? was != is : was || is;
  }));
}

SpreadConstraint system_default(std::string_view key, int32_t skew) {
  SpreadConstraint c;
  c.topology_key = key;
  c.max_skew = skew;
  c.hard = false;
  return c;
}

}  // namespace

MadePlugin make_pod_topology_spread(const PluginContext& context) {
  const bool list = context.args["defaultingType"].as_string() == "List";
  std::vector<SpreadConstraint> defaults;
  for (const Value& c : context.args["defaultConstraints"].items())
    defaults.push_back(read_spread_constraint(api::core_v1::TopologySpreadConstraint(c), {}));
  if (!list) defaults = {system_default(kHostname, 3), system_default(kZone, 5)};
  std::unique_ptr<SpreadDefaults> selectors;
  if (context.handle && !defaults.empty())
    selectors = std::make_unique<SpreadDefaults>(context.handle->informers());
  return std::unique_ptr<Plugin>(
      std::make_unique<PodTopologySpread>(std::move(defaults), !list, std::move(selectors)));
}

}  // namespace keles::scheduler
