#include <algorithm>
#include <iterator>

#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

const Reasons kNoMatch = make_reasons({"node(s) didn't match Pod's node affinity/selector"});
const Reasons kNotEnforced =
    make_reasons({"node(s) didn't match scheduler-enforced node affinity"});
const Reasons kConflict = make_reasons({"pod affinity terms conflict"});

bool any_matches(const std::vector<NodeSelectorTerm>& terms, const NodeInfo& node) {
  return std::any_of(terms.begin(), terms.end(),
                     [&](const NodeSelectorTerm& t) { return matches(t, node); });
}

int64_t weigh(const std::vector<PreferredNodeTerm>& terms, const NodeInfo& node) {
  int64_t sum = 0;
  for (const PreferredNodeTerm& t : terms) {
    if (t.weight != 0 && (t.term.empty() || matches(t.term, node))) sum += t.weight;
  }
  return sum;
}

// The nodes that a term names by metadata.name; none: it does not.
std::optional<std::set<std::string>> named(const NodeSelectorTerm& term) {
  std::optional<std::set<std::string>> out;
  for (const NodeRequirement& r : term.fields) {
    if (r.key != "metadata.name" || r.op != NodeRequirement::Op::kIn) continue;
    std::set<std::string> values(r.values.begin(), r.values.end());
    if (!out) {
      out = std::move(values);
    } else {
      std::erase_if(*out, [&](const std::string& v) { return !values.contains(v); });
    }
  }
  return out;
}

// spec.nodeSelector and spec.affinity.nodeAffinity, and what the profile adds (addedAffinity).
class NodeAffinity final : public Plugin {
 public:
  explicit NodeAffinity(NodeTerms added) : added_(std::move(added)) {}
  std::string_view name() const override { return "NodeAffinity"; }
  uint32_t points() const override { return kPreFilter | kFilter | kPreScore | kScore; }
  Events events() const override { return kNodeAdded | kNodeLabels; }
  Hint hint(const PodInfo& waiting, const Event& e) override {
    if (!e.node) return Hint::kQueue;
    if (added_.has_required && !any_matches(added_.required, *e.node)) return Hint::kSkip;
    if (!matches_required_node_terms(waiting, *e.node)) return Hint::kSkip;
    // Of a change of labels only one that makes it match is news, or one that ends the profile's
    // own objection.
    if (!e.node_before || !matches_required_node_terms(waiting, *e.node_before))
      return Hint::kQueue;
    const bool was_kept_away = added_.has_required && !any_matches(added_.required, *e.node_before);
    return was_kept_away ? Hint::kQueue : Hint::kSkip;
  }

  PreFilter pre_filter(Cycle&, const PodInfo& pod) override {
    if (pod.node_selector.empty() && !pod.has_required_node_terms && !added_.has_required)
      return {Verdict::skip(), std::nullopt};
    if (pod.required_node_terms.empty()) return {};
    std::set<std::string> nodes;
    for (const NodeSelectorTerm& t : pod.required_node_terms) {
      std::optional<std::set<std::string>> own = named(t);
      if (!own) return {};  // any node may match this one
      nodes.merge(*own);
    }
    if (nodes.empty()) return {Verdict{Code::kUnresolvable, kConflict}, std::nullopt};
    return {Verdict{}, std::move(nodes)};
  }
  Verdict filter(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    if (added_.has_required && !any_matches(added_.required, node))
      return {Code::kUnresolvable, kNotEnforced};
    if (!matches_required_node_terms(pod, node)) return {Code::kUnresolvable, kNoMatch};
    return {};
  }

  bool pre_score(Cycle&, const PodInfo& pod, const std::vector<NodeInfo*>&) override {
    return !pod.preferred_node_terms.empty() || !added_.preferred.empty();
  }
  int64_t score(Cycle&, const PodInfo& pod, const NodeInfo& node) override {
    return weigh(added_.preferred, node) + weigh(pod.preferred_node_terms, node);
  }
  void normalize(Cycle&, const std::vector<NodeInfo*>&, std::vector<int64_t>& scores) override {
    scale_to_max(scores, false);
  }

 private:
  NodeTerms added_;
};

}  // namespace

MadePlugin make_node_affinity(const PluginContext& context) {
  NodeTerms added = read_node_affinity(api::core_v1::NodeAffinity(context.args["addedAffinity"]));
  return std::unique_ptr<Plugin>(std::make_unique<NodeAffinity>(std::move(added)));
}

}  // namespace keles::scheduler
