#include <algorithm>
#include <map>
#include <set>

#include "api/policy_v1.h"
#include "base/log.h"
#include "base/sync.h"
#include "client/pod_condition.h"
#include "scheduler/metrics.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/preemption.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Pod;
using api::core_v1::PodEdit;
using api::policy_v1::PodDisruptionBudget;

// Makes room for a pod by evicting less important ones from one node (KEP 268, KEP 4832: the
// evictions run beside the decisions, and the pod waits until they are on their way).
class DefaultPreemption final : public Plugin {
 public:
  DefaultPreemption(Handle* handle, std::string profile, int64_t percentage, int64_t absolute)
      : handle_(handle),
        profile_(std::move(profile)),
        percentage_(percentage),
        absolute_(absolute) {
    if (handle) budgets_.emplace(handle->informers().informer<PodDisruptionBudget>());
  }
  std::string_view name() const override { return "DefaultPreemption"; }
  uint32_t points() const override { return kPreEnqueue | kPostFilter; }
  // What lets the pod in again are the plugins that rejected it; and this one when it is done.
  Events events() const override { return kPodRemoved; }

  Verdict pre_enqueue(const PodInfo& pod) override {
    auto it = under_way_.find(pod.uid);
    if (it == under_way_.end() || is_over(it->second)) return {};
    return Verdict::unresolvable("waiting for the preemption for this pod to be finished");
  }

  PostFilter post_filter(Cycle& cycle, const PodInfo& pod, const Failure& failure) override {
    meters::preemption_attempts().add();
    return in_words(preempt(cycle, pod, failure));
  }

  // Extenders may have left none, which is no reason to give up the nomination that there is.
  PostFilter settle(Cycle& cycle, const std::vector<Candidate>& candidates) override {
    const WallTime now = handle_ ? handle_->context().loop().wall_now() : WallTime();
    const Candidate* best = pick_candidate(candidates, now);
    if (!best)
      return in_words({Verdict::unschedulable("no candidate node for preemption"), std::nullopt});
    if (handle_) begin_eviction(cycle.pod, *best);
    return {Verdict{}, best->node};
  }

 private:
  static PostFilter in_words(PostFilter out) {
    std::string text = out.verdict.message();
    if (!text.empty()) out.verdict.reasons = make_reasons({"preemption: " + text});
    return out;
  }

  // Of an eviction under way: whom it waits for last, once only that one is left.
  struct UnderWay {
    PodPtr last;
  };

  bool is_over(const UnderWay& u) const {
    if (!u.last) return false;
    Ref<Pod> object = handle_->object_of(*u.last);
    return !object || object->metadata().has_deletion_timestamp();
  }

  std::vector<Budget> budgets() const {
    std::vector<Budget> out;
    if (!budgets_) return out;
    for (const Ref<PodDisruptionBudget>& b : budgets_->list()) {
      auto selector = Selector::from_label_selector(b->spec().selector().value());
      if (!selector.ok() || selector->is_nothing()) continue;
      Budget one{std::string(b->metadata().namespace_()),
                 *selector,
                 b->status().disruptions_allowed(),
                 {}};
      for (auto [pod, when] : b->status().disrupted_pods()) one.disrupted.emplace(pod);
      out.push_back(std::move(one));
    }
    return out;
  }

  PostFilter preempt(Cycle& cycle, const PodInfo& pod, const Failure& failure) {
    if (!pod.may_preempt)
      return {Verdict::unschedulable("not eligible due to preemptionPolicy=Never."), std::nullopt};
    if (waits_for_victims(cycle, pod, failure)) {
      return {
          Verdict::unschedulable("not eligible due to a terminating pod on the nominated node."),
          std::nullopt};
    }
    std::map<std::string, int> why;
    std::vector<Candidate> candidates;
    const size_t possible = failure.resolvable.size();
    if (possible > 0) {
      const size_t offset =
          handle_ ? static_cast<size_t>(handle_->context().loop().random().below(possible)) : 0;
      candidates = find_candidates(cycle, failure, budgets(), offset,
                                   candidates_wanted(possible, percentage_, absolute_), &why);
    }
    if (candidates.empty()) {
      Failure hopeless;
      hopeless.nodes_total = failure.nodes_total;
      hopeless.reasons = std::move(why);
      const size_t others = failure.nodes_total - possible;
      if (others > 0)
        hopeless.reasons["Preemption is not helpful for scheduling"] += static_cast<int>(others);
      return {Verdict::unschedulable(hopeless.message()), ""};
    }
    if (!cycle.victims_are_asked_about) return settle(cycle, candidates);
    PostFilter out{Verdict{Code::kWait, nullptr}, std::nullopt};
    out.candidates = std::move(candidates);
    return out;
  }

  // Those that were preempted for it are still on their way out of its node.
  static bool waits_for_victims(const Cycle& cycle, const PodInfo& pod, const Failure& failure) {
    if (cycle.nominated_node.empty()) return false;
    NodeInfo* node = cycle.view->find(cycle.nominated_node);
    if (!node) return false;
    const auto& cured = failure.resolvable;
    // Another reason than those pods keeps it away: it may preempt elsewhere.
    if (std::find(cured.begin(), cured.end(), node) == cured.end()) return false;
    return std::any_of(node->pods.begin(), node->pods.end(),
                       [&](const PodPtr& p) { return p->preempted && p->priority < pod.priority; });
  }

  void begin_eviction(const PodPtr& pod, const Candidate& chosen) {
    Eviction work{pod, chosen.node, {}, {}};
    for (const PodPtr& v : chosen.victims)
      if (!v->terminating) work.victims.push_back(v);
    if (work.victims.empty()) return;
    if (NodeInfo* node = handle_->view().find(chosen.node)) {
      for (const PodPtr& p : node->nominated)
        if (p->priority < pod->priority) work.displaced.push_back(p);
    }
    meters::preemption_victims().observe(static_cast<double>(chosen.victims.size()));
    under_way_[pod->uid] = UnderWay{};
    handle_->spawn(evict_all(std::move(work)));
  }

  struct Eviction {
    PodPtr preemptor;
    std::string node;
    std::vector<PodPtr> victims;
    std::vector<PodPtr> displaced;  // less important pods that were nominated to the node
  };

  Task<void> evict_all(Eviction work) {
    Context ctx = handle_->context();
    bool ok = true, cleared = true;  // without the latter there may be room all the same
    for (const PodPtr& p : work.displaced) {
      PodPtr held = p;
      cleared &= co_await clear_nomination(ctx, held);
    }
    std::vector<std::shared_ptr<bool>> done;
    TaskGroup group(ctx.loop());
    for (size_t i = 0; i + 1 < work.victims.size(); ++i) {
      done.push_back(std::make_shared<bool>(false));
      group.spawn(evict_into(ctx, work.preemptor, work.victims[i], work.node, done.back()));
    }
    co_await group.join();
    for (const auto& d : done) ok &= *d;
    if (ok) {
      PodPtr last = work.victims.back();
      if (auto it = under_way_.find(work.preemptor->uid); it != under_way_.end())
        it->second.last = last;
      auto result = std::make_shared<bool>(false);
      co_await evict_into(ctx, work.preemptor, last, work.node, result);
      ok = *result;
    }
    under_way_.erase(work.preemptor->uid);
    if (ok && cleared) {
      handle_->ask_again(work.preemptor->uid);
    } else {
      handle_->activate(*work.preemptor);
    }
  }

  Task<bool> clear_nomination(Context ctx, PodPtr pod) {
    Ref<Pod> object = handle_->object_of(*pod);
    if (!object || object->status().nominated_node_name().empty()) co_return true;
    handle_->nominate(pod, "");
    Draft<PodEdit> draft;
    Document patch = draft.take();
    Value& status = patch.root.set(patch.arena, "status", Value::map());
    status.set(patch.arena, "nominatedNodeName", Value());
    Context limited = ctx.with_timeout(30s);
    Status s = co_await patch_pod_status(limited, &handle_->client(), pod->ns, pod->name,
                                         std::move(patch));
    if (!s.ok()) log::warn("Nomination not taken back", {{"pod", pod->key()}, {"err", s}});
    co_return s.ok();
  }

  Task<void> evict_into(Context ctx, PodPtr preemptor, PodPtr victim, std::string node,
                        std::shared_ptr<bool> ok) {
    *ok = co_await evict(ctx, preemptor, victim, node);
  }

  Task<bool> evict(Context ctx, PodPtr preemptor, PodPtr victim, std::string node) {
    std::string event = "Preempted by pod " + preemptor->uid + " on node " + node;
    Ref<Pod> object = handle_->object_of(*victim);
    if (!object) co_return true;  // it has gone by itself
    if (handle_->cancel_binding(victim->uid, "preempted by DefaultPreemption")) {
      handle_->recorder().event(reference_to(*handle_->pods().base().get(victim->ns, victim->name)),
                                "Normal", "Preempted", event + " (in kube-scheduler memory).");
      co_return true;
    }
    Context limited = ctx.with_timeout(30s);
    const std::string why = profile_ + ": preempting to accommodate a higher priority pod";
    PodConditionWrite disrupted{kDisruptionTarget, "True", "PreemptionByScheduler", why};
    std::optional<Document> patch = pod_condition_patch(*object, disrupted, ctx.loop().wall_now());
    if (patch) {
      Status marked = co_await patch_pod_status(limited, &handle_->client(), victim->ns,
                                                victim->name, std::move(*patch));
      // As in deletion: the patch names the uid, and one that has gone passes for done.
      if (marked.is(Reason::kConflict) && !handle_->object_of(*victim)) co_return true;
      if (!marked.ok()) {
        log::warn("Could not add DisruptionTarget condition due to preemption",
                  {{"pod", preemptor->key()}, {"victim", victim->key()}, {"err", marked}});
        co_return false;
      }
    }
    ObjectPtr known = handle_->pods().base().get(victim->ns, victim->name);
    DeleteOptions options;
    options.uid = victim->uid;
    Status s = co_await handle_->client().remove<Pod>(limited, victim->ns, victim->name, options);
    // A conflict: another pod has its name, it went by itself.
    if (s.is(Reason::kNotFound) || s.is(Reason::kConflict)) co_return true;
    if (!s.ok()) {
      log::warn("Preemption failed",
                {{"pod", preemptor->key()}, {"victim", victim->key()}, {"err", s}});
      co_return false;
    }
    if (known) handle_->recorder().event(reference_to(*known), "Normal", "Preempted", event);
    co_return true;
  }

  Handle* handle_;
  const std::string profile_;
  const int64_t percentage_, absolute_;
  std::optional<Informer<PodDisruptionBudget>> budgets_;
  std::map<std::string, UnderWay, std::less<>> under_way_;  // by the preemptor's uid
};

}  // namespace

MadePlugin make_default_preemption(const PluginContext& context) {
  auto number = [&](std::string_view field, int64_t otherwise) {
    const Value& v = context.args[field];
    return v.is_null() ? otherwise : v.as_int();
  };
  return std::unique_ptr<Plugin>(std::make_unique<DefaultPreemption>(
      context.handle, context.profile, number("minCandidateNodesPercentage", 10),
      number("minCandidateNodesAbsolute", 100)));
}

}  // namespace keles::scheduler
