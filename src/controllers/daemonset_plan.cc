// The pure half of the DaemonSet controller.
#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

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

std::optional<int64_t> number(std::string_view s) {
  int64_t v = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size()) return std::nullopt;
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
  if (!has || e.values().size() != 1) return false;
  auto is = number(value), bound = number(e.values()[0]);
  if (!is || !bound) return false;
  return op == "Gt" ? *is > *bound : op == "Lt" && *is < *bound;
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

// The node that a pod is on, or asks for; "": it asks for none by name.
std::string node_of(const Pod& pod) {
  if (!pod.spec().node_name().empty()) return std::string(pod.spec().node_name());
  auto required =
      pod.spec().affinity().node_affinity().required_during_scheduling_ignored_during_execution();
  for (NodeSelectorTerm term : required.node_selector_terms()) {
    for (auto e : term.match_fields()) {
      if (e.key() != "metadata.name" || e.operator_() != "In") continue;
      return e.values().size() == 1 ? std::string(e.values()[0]) : std::string();
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
    auto own = spec.edit_tolerations();  // one of the template's lasts for ever too
    for (size_t i = 0; i < own.size(); ++i) {
      auto e = own[i];
      if (e.key() != t.key || e.effect() != t.effect) continue;
      if (e.operator_() != "Exists" || !e.value().empty()) continue;
      e.clear_toleration_seconds();
      return;
    }
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

bool is_marked(const Pod& pod) { return !pod.metadata().deletion_timestamp().empty(); }

// Which of a node's pods counts: a bound one before others, then the oldest.
bool counts_before(const Ref<Pod>& a, const Ref<Pod>& b) {
  auto order = [](const Pod& p) {
    return std::make_tuple(p.spec().node_name().empty(), p.metadata().creation_timestamp(),
                           p.metadata().name());
  };
  return order(*a) < order(*b);
}

class Planner {
 public:
  Planner(const DaemonSet& set, const std::string& hash, WallTime now,
          const std::function<bool(const std::string&)>& held)
      : set_(set), hash_(hash), now_(now), held_(held) {}
  void add(const Node& node);
  void add(const Ref<Pod>& pod);
  DaemonSetPlan run();

 private:
  struct Place {
    bool is_there = false;  // the node is
    DaemonFit fit;
    std::vector<Ref<Pod>> pods;  // in the order of counts_before
  };
  // Of the pods that are not marked; `clear`: not two of one sort.
  struct Sorts {
    Ref<Pod> fresh, old;
    bool clear = true;
  };

  bool rolling() const { return set_.spec().update_strategy().type() != "OnDelete"; }
  int64_t limit(const Value& value, int64_t total) const {
    return rolling() ? scaled_value(value, total, true, 0) : 0;
  }
  bool surges() const {
    return limit(set_.spec().update_strategy().rolling_update().max_surge(), 1) > 0;
  }
  bool available(const Ref<Pod>& p) const {
    return pod_is_available(*p, set_.spec().min_ready_seconds(), now_);
  }
  bool is_current(const Ref<Pod>& p) const { return daemon_pod_is_current(set_, *p, hash_); }
  Sorts sort(const std::vector<Ref<Pod>>& pods) const;

  void count(const Place& at);
  void manage(const std::string& node, const Place& at);
  bool remove_finished(const std::string& node, const Place& at, std::vector<Ref<Pod>>* running);
  void prune_surged(const std::vector<Ref<Pod>>& running);
  void roll(int64_t may_miss);
  void roll_surging(int64_t may_surge);

  const DaemonSet& set_;
  const std::string& hash_;
  WallTime now_;
  const std::function<bool(const std::string&)>& held_;
  std::map<std::string, Place> places_;
  DaemonSetPlan plan_;
};

void Planner::add(const Node& node) {
  Place& at = places_[std::string(node.metadata().name())];
  at.is_there = true;
  at.fit = daemon_fits(set_, node);
}

void Planner::add(const Ref<Pod>& pod) {
  if (is_marked(*pod) && pod_has_finished(*pod)) return;  // done with: others take it away
  std::string node = node_of(*pod);
  if (!node.empty()) places_[node].pods.push_back(pod);
}

Planner::Sorts Planner::sort(const std::vector<Ref<Pod>>& pods) const {
  Sorts out;
  for (const auto& p : pods) {
    if (is_marked(*p)) continue;
    Ref<Pod>& place = is_current(p) ? out.fresh : out.old;
    if (place) return {{}, {}, false};
    place = p;
  }
  return out;
}

void Planner::count(const Place& at) {
  if (!at.is_there) return;
  if (!at.fit.run) {
    plan_.misscheduled += at.pods.empty() ? 0 : 1;
    return;
  }
  ++plan_.desired;
  if (at.pods.empty()) return;
  const Ref<Pod>& pod = at.pods.front();
  ++plan_.current;
  plan_.ready += pod_is_ready(*pod) ? 1 : 0;
  plan_.available += available(pod) ? 1 : 0;
  plan_.updated += is_current(pod) ? 1 : 0;
}

// Of those that have ended: one that failed may go once its node is not held any more. Whether any
// failed one has to stay.
bool Planner::remove_finished(const std::string& node, const Place& at,
                              std::vector<Ref<Pod>>* running) {
  bool held = held_ && held_(node), stays = false;
  for (const auto& p : at.pods) {
    if (is_marked(*p)) continue;
    const bool failed = p->status().phase() == "Failed";
    if (!failed && p->status().phase() != "Succeeded") {
      running->push_back(p);
    } else if (failed && held) {
      stays = true;
    } else {
      plan_.remove.push_back(p);
      plan_.finished.emplace_back(node, p);
      held = held || failed;
    }
  }
  if (stays) plan_.held.push_back(node);
  return stays;
}

// Two may be there while the newer one does not serve yet and the older one does.
void Planner::prune_surged(const std::vector<Ref<Pod>>& running) {
  Ref<Pod> fresh, old;
  for (const auto& p : running) {
    const bool newer = p->metadata().labels().get(kRevisionHashLabel) == hash_;
    Ref<Pod>& place = newer ? fresh : old;
    if (place) {
      plan_.remove.push_back(p);
    } else {
      place = p;
    }
  }
  if (fresh && old && (!pod_is_ready(*old) || available(fresh))) plan_.remove.push_back(old);
}

// What a node has too much or too little, whatever is being rolled out.
void Planner::manage(const std::string& node, const Place& at) {
  if (!at.is_there) {
    // Nobody binds these any more, and the collector of pods minds bound ones alone.
    for (const auto& p : at.pods) {
      if (p->spec().node_name().empty() && !is_marked(*p)) plan_.remove.push_back(p);
    }
    return;
  }
  if (at.fit.run && at.pods.empty()) {
    plan_.create.push_back(node);
    return;
  }
  if (!at.fit.stay) {
    for (const auto& p : at.pods) {
      if (!is_marked(*p)) plan_.remove.push_back(p);
    }
    return;
  }
  std::vector<Ref<Pod>> running;
  const bool held = remove_finished(node, at, &running);
  if (running.empty()) {
    // Surging, a marked one is not waited for; what a node refuses is not tried in a circle.
    if (surges() && at.fit.run && !held) plan_.create.push_back(node);
  } else if (surges()) {
    prune_surged(running);
  } else {
    plan_.remove.insert(plan_.remove.end(), running.begin() + 1, running.end());
  }
}

// An old pod goes, and its node is without until the new one serves.
void Planner::roll(int64_t may_miss) {
  int64_t missing = 0;
  std::vector<Ref<Pod>> outdated;
  for (const auto& [node, at] : places_) {
    if (at.pods.empty() && !at.fit.run) continue;
    Sorts has = sort(at.pods);
    if (!has.clear || static_cast<bool>(has.fresh) == static_cast<bool>(has.old)) {
      ++missing;
    } else if (has.fresh) {
      missing += available(has.fresh) ? 0 : 1;
    } else if (available(has.old)) {
      outdated.push_back(has.old);
    } else {
      plan_.remove.push_back(has.old);  // serves nobody
      ++missing;
    }
  }
  for (const auto& p : outdated) {
    if (missing++ >= may_miss) break;
    plan_.remove.push_back(p);
  }
}

// The new pod starts beside the old one, which goes once the new one serves. A node that is not to
// run any more keeps its pod until enough others serve.
void Planner::roll_surging(int64_t may_surge) {
  int64_t surging = 0, serving = 0;
  std::vector<std::string> next;
  std::vector<Ref<Pod>> misplaced;
  for (const auto& [node, at] : places_) {
    Sorts has = sort(at.pods);
    if (!has.clear) ++surging;
    if (const Ref<Pod>& first = has.old ? has.old : has.fresh) serving += available(first) ? 1 : 0;
    if (!has.old || !at.is_there) continue;
    if (has.fresh && available(has.fresh)) {
      plan_.remove.push_back(has.old);
    } else if (has.fresh) {
      ++surging;
    } else if (!at.fit.run) {
      (available(has.old) ? misplaced : plan_.remove).push_back(has.old);
    } else if (available(has.old)) {
      next.push_back(node);
    } else {
      plan_.create.push_back(node);
    }
  }
  for (const auto& p : misplaced) {
    if (serving-- <= plan_.desired) break;
    plan_.remove.push_back(p);
  }
  for (const std::string& node : next) {
    if (surging++ >= may_surge) break;
    plan_.create.push_back(node);
  }
}

DaemonSetPlan Planner::run() {
  for (auto& [node, at] : places_) {
    std::sort(at.pods.begin(), at.pods.end(), counts_before);
    count(at);
    manage(node, at);
  }
  // A rollout goes on where nothing else is to be done.
  if (!rolling() || !plan_.create.empty() || !plan_.remove.empty()) return std::move(plan_);
  auto how = set_.spec().update_strategy().rolling_update();
  const int64_t may_surge = limit(how.max_surge(), plan_.desired);
  int64_t may_miss = limit(how.max_unavailable(), plan_.desired);
  if (may_surge > 0) {
    roll_surging(may_surge);
  } else {
    roll(may_miss == 0 && plan_.desired > 0 ? 1 : may_miss);
  }
  return std::move(plan_);
}

}  // namespace

DaemonSetPlan plan_daemon_set(const DaemonSet& set, const std::vector<Ref<Node>>& nodes,
                              const std::vector<Ref<Pod>>& pods, const std::string& hash,
                              WallTime now, const std::function<bool(const std::string&)>& held) {
  Planner planner(set, hash, now, held);
  for (const auto& n : nodes) planner.add(*n);
  for (const auto& p : pods) planner.add(p);
  return planner.run();
}

}  // namespace keles::controllers
