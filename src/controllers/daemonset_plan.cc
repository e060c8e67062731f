// The pure half of the DaemonSet controller.
#include <algorithm>
#include <charconv>

#include "controllers/daemonset.h"
#include "controllers/ownership.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

struct DaemonToleration {
  std::string_view key, effect;
};
constexpr DaemonToleration kTolerations[] = {
    {"node.kubernetes.io/not-ready", "NoExecute"},
    {"node.kubernetes.io/unreachable", "NoExecute"},
    {"node.kubernetes.io/disk-pressure", "NoSchedule"},
    {"node.kubernetes.io/memory-pressure", "NoSchedule"},
    {"node.kubernetes.io/pid-pressure", "NoSchedule"},
    {"node.kubernetes.io/unschedulable", "NoSchedule"},
};
constexpr DaemonToleration kHostNetwork = {"node.kubernetes.io/network-unavailable", "NoSchedule"};

bool tolerated(const PodSpec& spec, const Taint& taint) {
  for (const auto& t : kTolerations) {
    if (t.key == taint.key() && t.effect == taint.effect()) return true;
  }
  if (spec.host_network() && kHostNetwork.key == taint.key() &&
      kHostNetwork.effect == taint.effect()) {
    return true;
  }
  for (Toleration t : spec.tolerations()) {
    if (!t.effect().empty() && t.effect() != taint.effect()) continue;
    if (!t.key().empty() && t.key() != taint.key()) continue;
    if (t.operator_() == "Exists" || t.value() == taint.value()) return true;
  }
  return false;
}

int64_t number(std::string_view s) {
  int64_t v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

bool expression_matches(const NodeSelectorRequirement& e, bool has, std::string_view value) {
  bool among = false;
  for (std::string_view v : e.values()) among = among || (has && v == value);
  std::string_view op = e.operator_();
  if (op == "In") return among;
  if (op == "NotIn") return !among;
  if (op == "Exists") return has;
  if (op == "DoesNotExist") return !has;
  if (!has || e.values().empty()) return false;
  if (op == "Gt") return number(value) > number(e.values()[0]);
  if (op == "Lt") return number(value) < number(e.values()[0]);
  return false;
}

bool node_selected(const PodSpec& spec, const Node& node) {
  auto labels = node.metadata().labels();
  for (auto [k, v] : spec.node_selector()) {
    if (!labels.contains(k) || labels.get(k) != v) return false;
  }
  auto required =
      spec.affinity().node_affinity().required_during_scheduling_ignored_during_execution();
  if (!required) return true;
  for (NodeSelectorTerm term : required.node_selector_terms()) {
    if (term.match_expressions().empty() && term.match_fields().empty()) continue;
    bool all = true;
    for (auto e : term.match_expressions()) {
      all = all && expression_matches(e, labels.contains(e.key()), labels.get(e.key()));
    }
    for (auto e : term.match_fields()) {
      all =
          all && e.key() == "metadata.name" && expression_matches(e, true, node.metadata().name());
    }
    if (all) return true;
  }
  return false;
}

// The node that a pod is on, or asks for.
std::string node_of(const Pod& pod) {
  if (!pod.spec().node_name().empty()) return std::string(pod.spec().node_name());
  auto required =
      pod.spec().affinity().node_affinity().required_during_scheduling_ignored_during_execution();
  for (NodeSelectorTerm term : required.node_selector_terms()) {
    for (auto e : term.match_fields()) {
      if (e.key() == "metadata.name" && e.values().size() == 1) return std::string(e.values()[0]);
    }
  }
  return "";
}

}  // namespace

DaemonFit daemon_fits(const DaemonSet& set, const Node& node) {
  auto spec = set.spec().template_().spec();
  if (!spec.node_name().empty() && spec.node_name() != node.metadata().name()) return {};
  if (!node_selected(spec, node)) return {};
  DaemonFit fit{true, true};
  for (Taint t : node.spec().taints()) {
    if (tolerated(spec, t)) continue;
    if (t.effect() == "NoSchedule" || t.effect() == "NoExecute") fit.run = false;
    if (t.effect() == "NoExecute") fit.stay = false;
  }
  return fit;
}

namespace {

constexpr std::string_view kGenerationLabel = "pod-template-generation";

// How often the template has changed, as the API server counts it; "" when it does not.
std::string_view template_generation(const DaemonSet& set) {
  return set.metadata().annotations().get("deprecated.daemonset.template.generation");
}

}  // namespace

bool daemon_pod_is_current(const DaemonSet& set, const Pod& pod, std::string_view hash) {
  auto labels = pod.metadata().labels();
  if (labels.get(kRevisionHashLabel) == hash) return true;
  std::string_view generation = template_generation(set);
  return !generation.empty() && labels.get(kGenerationLabel) == generation;
}

Draft<PodEdit> daemon_pod(const DaemonSet& set, const std::string& node, const std::string& hash) {
  auto pod = pod_from_template(set.spec().template_(), kind_of<DaemonSet>(), set.metadata());
  auto labels = pod->edit_metadata().edit_labels();
  labels.set(kRevisionHashLabel, hash);
  std::string_view generation = template_generation(set);
  if (!generation.empty()) labels.set(kGenerationLabel, generation);
  auto spec = pod->edit_spec();
  auto required = spec.edit_affinity()
                      .edit_node_affinity()
                      .edit_required_during_scheduling_ignored_during_execution();
  required.edit_node_selector_terms().clear();
  auto field = required.edit_node_selector_terms().add().edit_match_fields().add();
  field.set_key("metadata.name");
  field.set_operator_("In");
  field.edit_values().add(std::string_view(node));
  auto add = [&spec](const DaemonToleration& t) {
    auto e = spec.edit_tolerations().add();
    e.set_key(t.key);
    e.set_operator_("Exists");
    e.set_effect(t.effect);
  };
  for (const auto& t : kTolerations) add(t);
  if (spec.host_network()) add(kHostNetwork);
  return pod;
}

namespace {

// What of a rollout is counted over all nodes, before it is decided where it goes on.
class Rollout {
 public:
  Rollout(const DaemonSet& set, const std::string& hash, WallTime now)
      : set_(set), hash_(hash), now_(now) {}
  void visit(const std::string& node, DaemonFit fit, const std::vector<Ref<Pod>>& pods);
  DaemonSetPlan finish();
  void misplaced(size_t pods) { plan_.misscheduled += static_cast<int64_t>(pods); }

 private:
  bool rolling() const { return set_.spec().update_strategy().type() != "OnDelete"; }
  bool surges() const {
    return rolling() && scaled_value(set_.spec().update_strategy().rolling_update().max_surge(),
                                     100, true, 0) > 0;
  }
  int64_t limit(const Value& value, int64_t fallback) const {
    return scaled_value(value, plan_.desired, true, fallback);
  }
  bool available(const Ref<Pod>& p) const {
    return pod_is_available(*p, set_.spec().min_ready_seconds(), now_);
  }
  void count(const Ref<Pod>& pod);
  void replace(const Ref<Pod>& pod);
  void surge(const std::string& node, const Ref<Pod>& old, const Ref<Pod>& fresh);

  const DaemonSet& set_;
  const std::string& hash_;
  WallTime now_;
  DaemonSetPlan plan_;
  std::vector<Ref<Pod>> outdated_;       // available, and to be replaced
  std::vector<std::string> candidates_;  // nodes whose old pod serves: a second one may start there
  int64_t unavailable_ = 0, surging_ = 0;
};

void Rollout::count(const Ref<Pod>& pod) {
  ++plan_.current;
  plan_.ready += pod_is_ready(*pod) ? 1 : 0;
  plan_.available += available(pod) ? 1 : 0;
  plan_.updated += daemon_pod_is_current(set_, *pod, hash_) ? 1 : 0;
}

// Without surge: an old pod goes, and its node is without until the new one serves.
void Rollout::replace(const Ref<Pod>& pod) {
  bool serves = available(pod);
  if (!serves) ++unavailable_;
  if (!rolling() || daemon_pod_is_current(set_, *pod, hash_)) return;
  if (serves) {
    outdated_.push_back(pod);
  } else {
    plan_.remove.push_back(pod);  // serves nobody
  }
}

// With surge: the new pod starts beside the old one, which goes once the new one serves, or as soon
// as it serves nobody itself.
void Rollout::surge(const std::string& node, const Ref<Pod>& old, const Ref<Pod>& fresh) {
  if (!old) return;
  if (!fresh) {
    if (available(old)) {
      candidates_.push_back(node);
    } else {
      plan_.create.push_back(node);
    }
  } else if (!pod_is_ready(*old) || available(fresh)) {
    plan_.remove.push_back(old);
  } else {
    ++surging_;
  }
}

void Rollout::visit(const std::string& node, DaemonFit fit, const std::vector<Ref<Pod>>& pods) {
  std::vector<Ref<Pod>> living;
  bool leaving = false;
  for (const auto& p : pods) {
    bool marked = !p->metadata().deletion_timestamp().empty();
    leaving = leaving || marked || !fit.stay || pod_has_finished(*p);
    if (marked) continue;
    if (!fit.stay) {
      plan_.remove.push_back(p);
    } else if (pod_has_finished(*p)) {
      plan_.finished.emplace_back(node, p);
    } else {
      living.push_back(p);
    }
  }
  std::stable_sort(living.begin(), living.end(), [](const auto& a, const auto& b) {
    return a->metadata().creation_timestamp() < b->metadata().creation_timestamp();
  });
  if (!fit.run) {
    if (!living.empty()) ++plan_.misscheduled;
    return;
  }
  ++plan_.desired;
  if (living.empty()) {
    ++unavailable_;
    bool may_start = surges() ? std::none_of(pods.begin(), pods.end(),
                                             [](const auto& p) {
                                               return pod_has_finished(*p) &&
                                                      p->metadata().deletion_timestamp().empty();
                                             })
                              : !leaving;
    if (may_start) plan_.create.push_back(node);
    return;
  }
  count(living[0]);
  Ref<Pod> old, fresh;  // with surge one of each may stay, else the oldest alone
  for (const auto& p : living) {
    bool current = daemon_pod_is_current(set_, *p, hash_);
    Ref<Pod>& place = current && surges() ? fresh : old;
    if (place) {
      plan_.remove.push_back(p);
    } else {
      place = p;
    }
  }
  if (surges()) {
    surge(node, old, fresh);
  } else {
    replace(old);
  }
}

DaemonSetPlan Rollout::finish() {
  auto how = set_.spec().update_strategy().rolling_update();
  if (surges()) {
    int64_t may_surge = std::max<int64_t>(limit(how.max_surge(), 0), 1);
    for (const std::string& node : candidates_) {
      if (surging_++ >= may_surge) break;
      plan_.create.push_back(node);
    }
    return std::move(plan_);
  }
  int64_t may_miss = std::max<int64_t>(limit(how.max_unavailable(), 1), 1);
  for (const auto& p : outdated_) {
    if (unavailable_++ >= may_miss) break;
    plan_.remove.push_back(p);
  }
  return std::move(plan_);
}

}  // namespace

DaemonSetPlan plan_daemon_set(const DaemonSet& set, const std::vector<Ref<Node>>& nodes,
                              const std::vector<Ref<Pod>>& pods, const std::string& hash,
                              WallTime now) {
  std::map<std::string, std::vector<Ref<Pod>>> on_node;
  for (const auto& p : pods) on_node[node_of(*p)].push_back(p);
  Rollout rollout(set, hash, now);
  for (const auto& node : nodes) {
    std::string name(node->metadata().name());
    rollout.visit(name, daemon_fits(set, *node), on_node[name]);
    on_node.erase(name);
  }
  // Of nodes that are gone; the pod collector's.
  for (auto& [name, left] : on_node) rollout.misplaced(left.size());
  return rollout.finish();
}

}  // namespace keles::controllers
