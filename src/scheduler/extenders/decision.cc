#include "scheduler/extenders/decision.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sync.h"

namespace keles::scheduler {
namespace {

constexpr int kRounds = 3;

std::vector<std::string> names_of(const std::vector<NodeInfo*>& nodes) {
  std::vector<std::string> out;
  out.reserve(nodes.size());
  for (const NodeInfo* n : nodes) out.push_back(n->name);
  return out;
}

}  // namespace

ExtendedDecider::ExtendedDecider(Handle& handle, Decider& decider,
                                 std::vector<ExtenderOptions> extenders)
    : handle_(handle), decider_(decider) {
  std::stable_partition(extenders.begin(), extenders.end(),
                        [](const ExtenderOptions& o) { return !o.ignorable; });
  for (ExtenderOptions& o : extenders)
    extenders_.push_back(std::make_unique<Extender>(std::move(o)));
}

std::vector<Extender*> ExtendedDecider::interested(const PodInfo& pod) const {
  std::vector<Extender*> out;
  Ref<api::core_v1::Pod> object = handle_.object_of(pod);
  if (!object) return out;
  for (const auto& e : extenders_)
    if (e->is_interested(*object)) out.push_back(e.get());
  return out;
}

bool ExtendedDecider::concerns(const PodInfo& pod) const { return !interested(pod).empty(); }

std::shared_ptr<Extender::Question> ExtendedDecider::question(
    const PodInfo& pod, std::vector<std::string> names, const std::vector<Extender*>& asked) const {
  auto q = std::make_shared<Question>();
  q->pod = handle_.pods().base().get(pod.ns, pod.name);
  const bool whole = std::any_of(asked.begin(), asked.end(), [](const Extender* e) {
    return !e->options().node_cache_capable;
  });
  if (!whole) {
    q->names = std::move(names);
    return q;
  }
  for (std::string& name : names) {
    ObjectPtr node = handle_.nodes().base().get("", name);
    if (!node) continue;
    q->names.push_back(std::move(name));
    q->nodes.push_back(std::move(node));
  }
  return q;
}

Task<void> ExtendedDecider::prioritize(Context ctx, Extender* one,
                                       std::shared_ptr<const Question> q,
                                       std::shared_ptr<Opinion> into) {
  auto scores = co_await one->prioritize(ctx, q);
  if (!scores.ok()) {  // the others' opinions are enough
    log::info("No score given by this extender",
              {{"extender", one->name()}, {"err", scores.status()}});
    co_return;
  }
  for (const auto& [node, score] : *scores) into->extra[node] += score;
}

Task<std::shared_ptr<ExtendedDecider::Opinion>> ExtendedDecider::ask(
    Context ctx, PodPtr pod, std::vector<Extender*> asked, std::vector<std::string> names) {
  auto out = std::make_shared<Opinion>();
  out->left = std::move(names);
  std::shared_ptr<Question> q;
  for (Extender* e : asked) {
    if (out->left.empty()) co_return out;
    if (e->options().filter_verb.empty()) continue;
    q = question(*pod, out->left, asked);
    if (!q->pod) co_return out;  // it has gone, which the caller sees
    auto answer = co_await e->filter(ctx, q);
    if (!answer.ok() && e->options().ignorable) {
      log::warn("Skipping extender as it returned error and has ignorable flag set",
                {{"extender", e->name()}, {"err", answer.status()}});
      continue;
    }
    if (!answer.ok()) {
      out->error = Verdict::error(std::string(answer.status().message()));
      co_return out;
    }
    out->left = std::move(answer->left);
    out->failed.merge(answer->failed);
    out->unresolvable.merge(answer->unresolvable);
  }
  if (out->left.size() < 2) co_return out;
  q = question(*pod, out->left, asked);
  if (!q->pod) co_return out;
  TaskGroup group(ctx.loop());
  for (Extender* e : asked) group.spawn(prioritize(ctx, e, q, out));
  co_await group.join();
  co_return out;
}

bool ExtendedDecider::choose(Cycle& cycle, const Opinion& o,
                             const std::vector<std::string>& offered,
                             const std::vector<std::string>& resolvable, Random& random,
                             Decision& d) {
  const ClusterView& view = handle_.view();
  d.error = o.error;
  if (d.error.code == Code::kError) return true;
  std::vector<NodeInfo*> left = decider_.look_again(cycle, view, o.left, d);
  if (d.error.code == Code::kError) return true;
  d.nodes_feasible = left.size();
  if (!left.empty()) {
    std::vector<int64_t> extra(left.size(), 0);
    for (size_t i = 0; i < left.size(); ++i) {
      auto at = o.extra.find(left[i]->name);
      if (at != o.extra.end()) extra[i] = at->second;
    }
    d.node = decider_.choose(cycle, left, random, extra);
    return true;
  }
  for (const std::string& name : resolvable)
    if (NodeInfo* node = view.find(name)) d.failure.resolvable.push_back(node);
  d.failure.by_extender |= o.left.size() < offered.size();
  for (const auto& [name, why] : o.unresolvable) ++d.failure.reasons[why];
  for (const auto& [name, why] : o.failed) {
    if (o.unresolvable.contains(name)) continue;
    ++d.failure.reasons[why];
    if (NodeInfo* node = view.find(name)) d.failure.resolvable.push_back(node);
  }
  return o.left.empty();
}

Task<Decision> ExtendedDecider::decide(Context ctx, CyclePtr cycle) {
  const std::vector<Extender*> asked = interested(*cycle->pod);
  for (const Extender* e : asked) {
    cycle->extended |= !e->options().filter_verb.empty();
    cycle->victims_are_asked_about |= !e->options().preempt_verb.empty();
  }
  const std::string nominated = cycle->nominated_node;
  Decision d;
  bool over = false;
  for (int round = 0; round < kRounds && !over; ++round) {
    d = Decision();
    const std::vector<std::string> offered = names_of(decider_.find(*cycle, handle_.view(), d));
    if (offered.empty()) break;
    const std::vector<std::string> resolvable = names_of(d.failure.resolvable);
    d.failure.resolvable.clear();
    cycle->view = nullptr;
    std::shared_ptr<Opinion> o = co_await ask(ctx, cycle->pod, asked, offered);
    if (offered.size() == 1 && offered[0] == cycle->nominated_node && o->left.empty() &&
        o->error.ok()) {
      cycle->nominated_node.clear();  // not there: then anywhere
      --round;
      continue;
    }
    over = choose(*cycle, *o, offered, resolvable, ctx.loop().random(), d);
  }
  cycle->nominated_node = nominated;
  co_return d;
}

Task<PostFilter> ExtendedDecider::settle(Context ctx, CyclePtr cycle, PostFilter asked) {
  auto p = std::make_shared<Extender::Preemption>();
  p->priority = cycle->pod->priority;
  p->candidates = std::move(asked.candidates);
  p->object_of = [this](const PodInfo& pod) -> ObjectPtr {
    ObjectPtr object = handle_.pods().base().get(pod.ns, pod.name);
    return object && object->uid() == pod.uid ? object : nullptr;
  };
  p->pods_of = [this](const std::string& name) {
    const NodeInfo* node = handle_.view().find(name);
    return node ? node->pods : std::vector<PodPtr>();
  };
  const std::vector<Extender*> all = interested(*cycle->pod);
  for (Extender* e : all) {
    if (e->options().preempt_verb.empty() || p->candidates.empty()) continue;
    p->pod = p->object_of(*cycle->pod);
    if (!p->pod) co_return asked;
    auto left = co_await e->preempt(ctx, p);
    if (left.ok()) {
      p->candidates = std::move(*left);
    } else if (e->options().ignorable) {
      log::warn("Skipped extender as it returned error and has ignorable flag set",
                {{"extender", e->name()}, {"err", left.status()}});
    } else {
      asked.verdict = Verdict::error("preemption: " + std::string(left.status().message()));
      co_return asked;
    }
  }
  asked.verdict = Verdict{Code::kUnschedulable, nullptr};
  if (!p->object_of(*cycle->pod)) co_return asked;  // nobody goes for one that has gone
  PostFilter out = asked.by->settle(*cycle, p->candidates);
  co_return out;
}

Task<Status> ExtendedDecider::look_whether_bound(Context ctx, std::string extender, PodPtr pod) {
  Context limited = ctx.with_timeout(30s);
  auto object = co_await handle_.client().get<api::core_v1::Pod>(limited, pod->ns, pod->name);
  if (!object.ok()) co_return object.status();
  Ref<api::core_v1::Pod> now = *object;
  if (now->metadata().uid() != pod->uid || !now->spec().node_name().empty()) co_return Status();
  co_return Status::internal("extender " + quoted(extender) +
                             " claims to have bound the pod, which has no node");
}

Task<std::optional<Status>> ExtendedDecider::bind(Context ctx, CyclePtr cycle, std::string node) {
  const std::vector<Extender*> all = interested(*cycle->pod);
  for (Extender* e : all) {
    if (e->options().bind_verb.empty()) continue;
    ObjectPtr object = handle_.pods().base().get(cycle->pod->ns, cycle->pod->name);
    if (!object) break;
    Status s = co_await e->bind(ctx, object, node);
    if (s.ok()) s = co_await look_whether_bound(ctx, e->name(), cycle->pod);
    if (!s.ok() && e->options().ignorable) {
      log::warn("Skipping extender in bind as it returned error and has ignorable flag set",
                {{"extender", e->name()}, {"err", s}});
      continue;
    }
    co_return std::optional<Status>(s);
  }
  co_return std::nullopt;
}

}  // namespace keles::scheduler
