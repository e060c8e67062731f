#include "controllers/daemonset.h"

#include <algorithm>
#include <charconv>

#include "controllers/ownership.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

constexpr int kBurst = 250;

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

Draft<PodEdit> daemon_pod(const DaemonSet& set, const std::string& node, const std::string& hash) {
  auto pod = pod_from_template(set.spec().template_(), kind_of<DaemonSet>(), set.metadata());
  pod->edit_metadata().edit_labels().set(kRevisionHashLabel, hash);
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

DaemonSetPlan plan_daemon_set(const DaemonSet& set, const std::vector<Ref<Node>>& nodes,
                              const std::vector<Ref<Pod>>& pods, const std::string& hash,
                              WallTime now) {
  DaemonSetPlan plan;
  std::map<std::string, std::vector<Ref<Pod>>> on_node;
  for (const auto& p : pods) on_node[node_of(*p)].push_back(p);
  std::vector<Ref<Pod>> outdated_ready;
  int64_t unavailable = 0;
  for (const auto& node : nodes) {
    std::string name(node->metadata().name());
    DaemonFit fit = daemon_fits(set, *node);
    std::vector<Ref<Pod>> here = std::move(on_node[name]);
    on_node.erase(name);
    Ref<Pod> kept;
    bool leaving = false;
    for (const auto& p : here) {
      if (!p->metadata().deletion_timestamp().empty()) {
        leaving = true;
      } else if (!fit.stay || pod_has_finished(*p)) {
        plan.remove.push_back(p);
        leaving = true;
      } else if (!kept) {
        kept = p;
      } else {  // two of them: the older stays
        bool older = p->metadata().creation_timestamp() < kept->metadata().creation_timestamp();
        plan.remove.push_back(older ? kept : p);
        if (older) kept = p;
      }
    }
    if (!fit.run) {
      if (kept) ++plan.misscheduled;
      continue;
    }
    ++plan.desired;
    if (!kept) {
      ++unavailable;
      if (!leaving) plan.create.push_back(name);
      continue;
    }
    ++plan.current;
    bool available = pod_is_available(*kept, set.spec().min_ready_seconds(), now);
    plan.ready += pod_is_ready(*kept) ? 1 : 0;
    plan.available += available ? 1 : 0;
    bool updated = kept->metadata().labels().get(kRevisionHashLabel) == hash;
    plan.updated += updated ? 1 : 0;
    if (!available) ++unavailable;
    if (updated || set.spec().update_strategy().type() == "OnDelete") continue;
    if (available) {
      outdated_ready.push_back(kept);
    } else {
      plan.remove.push_back(kept);  // serves nobody
    }
  }
  for (auto& [name, left] : on_node) {  // of nodes that are gone; the pod collector's
    plan.misscheduled += static_cast<int64_t>(left.size());
  }
  int64_t may_miss = scaled_value(set.spec().update_strategy().rolling_update().max_unavailable(),
                                  plan.desired, true, 1);
  may_miss = std::max<int64_t>(may_miss, 1);
  for (const auto& p : outdated_ready) {
    if (unavailable >= may_miss) break;
    plan.remove.push_back(p);
    ++unavailable;
  }
  return plan;
}

DaemonSetController::DaemonSetController(Deps deps)
    : Controller(deps, "daemonset", "daemonset-controller", 2),
      sets_(watch_own<DaemonSet>()),
      nodes_(watch<Node>()),
      pods_(watch<Pod>()),
      revisions_(watch<ControllerRevision>()),
      expectations_(deps.client.loop()) {
  index_by_controller(pods_.base());
  index_by_controller(revisions_.base());
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    for (const auto& s : sets_.list()) {
      // Heartbeats change nothing about who fits.
      DaemonFit was = before ? daemon_fits(*s, *before) : DaemonFit();
      DaemonFit is = now ? daemon_fits(*s, *now) : DaemonFit();
      if (before && now && was.run == is.run && was.stay == is.stay) continue;
      queue().add(std::string(s->metadata().namespace_()) + "/" +
                  std::string(s->metadata().name()));
    }
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    const Ref<Pod>& any = now ? now : before;
    auto ref = controller_of(any->metadata());
    if (!ref || ref.kind() != "DaemonSet") return;
    std::string key = std::string(any->metadata().namespace_()) + "/" + std::string(ref.name());
    if (!before) expectations_.creation_settled(key);
    bool gone = !now || !now->metadata().deletion_timestamp().empty();
    if (gone) expectations_.deletion_settled(key, std::string(any->metadata().uid()));
    queue().add(key);
  });
}

Task<Status> DaemonSetController::create_pod(Context ctx, Ref<DaemonSet> set, std::string node,
                                             std::string hash) {
  Document body = daemon_pod(*set, node, hash).take();
  auto r = co_await create_once(ctx, &client(), &kind_of<Pod>(), std::move(body));
  Status s = r.status();
  if (s.ok()) {
    events().normal(reference_to(set), "SuccessfulCreate",
                    "Created pod: " + std::string((*r)->name()));
  } else if (!s.is(Reason::kOutcomeUnknown) && !ctx.done()) {
    expectations_.creation_settled(std::string(set->metadata().namespace_()) + "/" +
                                   std::string(set->metadata().name()));
    events().warning(reference_to(set), "FailedCreate", "Error creating: " + s.message());
  }
  co_return s;
}

Task<Status> DaemonSetController::remove_pod(Context ctx, Ref<DaemonSet> set, Ref<Pod> pod) {
  auto meta = pod->metadata();
  DeleteOptions o;
  o.uid = std::string(meta.uid());
  Status s = co_await remove_once(ctx, &client(), &kind_of<Pod>(), std::string(meta.namespace_()),
                                  std::string(meta.name()), o);
  if (s.ok()) {
    events().normal(reference_to(set), "SuccessfulDelete",
                    "Deleted pod: " + std::string(meta.name()));
  } else if (!ctx.done()) {
    expectations_.deletion_settled(
        std::string(set->metadata().namespace_()) + "/" + std::string(set->metadata().name()),
        std::string(meta.uid()));
  }
  co_return s;
}

Task<Status> DaemonSetController::carry_out(Context ctx, Ref<DaemonSet> set,
                                            const DaemonSetPlan* plan, std::string hash) {
  std::string key =
      std::string(set->metadata().namespace_()) + "/" + std::string(set->metadata().name());
  std::vector<std::function<Task<Status>()>> tasks;
  std::vector<std::string> uids;
  for (const auto& p : plan->remove) {
    if (tasks.size() >= kBurst) break;
    uids.emplace_back(p->metadata().uid());
    tasks.push_back([this, ctx, set, p] { return remove_pod(ctx, set, p); });
  }
  int creating = 0;
  for (const std::string& node : plan->create) {
    if (tasks.size() >= kBurst) break;
    ++creating;
    tasks.push_back([this, ctx, set, node, hash] { return create_pod(ctx, set, node, hash); });
  }
  if (tasks.empty()) co_return Status();
  expectations_.expect_deletions(key, uids);
  expectations_.expect_creations(key, creating);
  co_return co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
}

Task<Status> DaemonSetController::update_status(Context ctx, Ref<DaemonSet> set,
                                                const DaemonSetPlan* plan) {
  Draft<DaemonSetEdit> d(*set);
  auto s = d->edit_status();
  s.set_observed_generation(set->metadata().generation());
  s.set_desired_number_scheduled(plan->desired);
  s.set_current_number_scheduled(plan->current);
  s.set_number_misscheduled(plan->misscheduled);
  s.set_number_ready(plan->ready);
  s.set_updated_number_scheduled(plan->updated);
  s.set_number_available(plan->available);
  s.set_number_unavailable(plan->desired - plan->available);
  auto old = set->status();
  bool same = old.observed_generation() == s.observed_generation() &&
              old.desired_number_scheduled() == plan->desired &&
              old.current_number_scheduled() == plan->current &&
              old.number_misscheduled() == plan->misscheduled &&
              old.number_ready() == plan->ready &&
              old.updated_number_scheduled() == plan->updated &&
              old.number_available() == plan->available &&
              old.number_unavailable() == s.number_unavailable();
  if (same) co_return Status();
  auto r = co_await client().update_status<DaemonSet>(ctx, d.take());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

Task<ReconcileResult> DaemonSetController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<DaemonSet> set = sets_.get(parts.first, parts.second);
  if (!set) {
    expectations_.forget(key);
    co_return Status();
  }
  if (!set->metadata().deletion_timestamp().empty()) co_return Status();
  std::vector<Ref<Pod>> pods = pods_.by_index(kControllerIndex, set->metadata().uid());
  std::vector<std::string> in_use;
  for (const auto& p : pods) in_use.emplace_back(p->metadata().labels().get(kRevisionHashLabel));
  RevisionOwner owner{
      &kind_of<DaemonSet>(),
      set->metadata(),
      set->spec().template_(),
      set->spec().selector().match_labels(),
      set->status().collision_count(),
      set->spec().has_revision_history_limit() ? set->spec().revision_history_limit() : 10};
  RevisionPlan history =
      plan_revisions(owner, revisions_.by_index(kControllerIndex, set->metadata().uid()), in_use);
  Status recorded = co_await write_revisions(ctx, &client(), &history);
  if (!recorded.ok()) co_return recorded;
  DaemonSetPlan plan = plan_daemon_set(*set, nodes_.list(), pods, history.hash, loop().wall_now());
  Status done;
  if (expectations_.satisfied(key)) done = co_await carry_out(ctx, set, &plan, history.hash);
  Status s = co_await update_status(ctx, set, &plan);
  if (!done.ok()) co_return done;
  if (!s.ok()) co_return s;
  Duration again = expectations_.remaining(key);
  if (again == Duration(0) && plan.ready > plan.available) {
    again = std::chrono::seconds(set->spec().min_ready_seconds());
  }
  co_return ReconcileResult::after(again);
}

}  // namespace keles::controllers
