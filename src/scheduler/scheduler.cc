#include "scheduler/scheduler.h"

#include <algorithm>

#include "base/log.h"
#include "client/pod_condition.h"
#include "machinery/time.h"
#include "scheduler/attempt.h"
#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Namespace;
using api::core_v1::Node;
using api::core_v1::PodEdit;

bool ended(const api::core_v1::Pod& pod) {
  return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

bool any_less(const Resources& before, const Resources& now) {
  if (now.milli_cpu < before.milli_cpu || now.memory < before.memory ||
      now.ephemeral_storage < before.ephemeral_storage)
    return true;
  return std::any_of(before.scalar.begin(), before.scalar.end(), [&](const auto& b) {
    auto at = now.scalar.find(b.first);
    return (at == now.scalar.end() ? 0 : at->second) < b.second;
  });
}

// What of a waiting pod changed that may let it in.
Events self_changes(const PodInfo& before, const PodInfo& now) {
  Events out = 0;
  if (before.labels != now.labels) out |= kSelfLabels;
  if (any_less(before.requests, now.requests)) out |= kSelfScaledDown;
  if (before.tolerations.size() != now.tolerations.size()) out |= kSelfTolerations;
  if (!before.gates.empty() && now.gates.empty()) out |= kSelfGatesGone;
  if (before.generation != now.generation && out == 0) out |= kSelfOther;
  return out;
}

bool claims_differ(const api::core_v1::Pod& before, const api::core_v1::Pod& now) {
  for (std::string_view field : {"resourceClaimStatuses", "extendedResourceClaimStatus"})
    if (!before.status().value()[field].equals(now.status().value()[field])) return true;
  return false;
}

Event of_pod(Events bits, const PodInfo* before, const PodInfo* now) {
  Event e;
  e.bits = bits;
  e.pod_before = before;
  e.pod = now;
  return e;
}

constexpr size_t kLongestNote = 1024;  // of an event

std::string cut(std::string message) {
  if (message.size() <= kLongestNote) return message;
  message.resize(kLongestNote - 4);
  return message + " ...";
}

}  // namespace

Scheduler::Scheduler(Client& client, InformerFactory& informers, EventRecorder& recorder,
                     SchedulerOptions options)
    : client_(client),
      informers_(informers),
      recorder_(recorder),
      options_(std::move(options)),
      pods_(informers.informer<Pod>()),
      nodes_(informers.informer<Node>()),
      namespaces_(informers.informer<Namespace>()),
      context_(Context::root(client.loop()).child()),
      queue_(client.loop(),
             QueueOptions{options_.initial_backoff, options_.max_backoff, 300s,
                          [this](const PodInfo& p, Plugin** by) { return pre_enqueue(p, by); }}),
      decider_(options_.percentage_of_nodes_to_score),
      bindings_(options_.max_bindings_in_flight),
      tasks_(client.loop()) {
  make_profiles();
  if (!options_.extenders.empty())
    extended_ = std::make_unique<ExtendedDecider>(*this, decider_, options_.extenders);
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) { on_node(before, now); });
  namespaces_.on_change([this](const Ref<Namespace>& before, const Ref<Namespace>& now) {
    if (!now) {
      cache_.remove_namespace(before->metadata().name());
      return;
    }
    Event e;
    e.bits = cache_.set_namespace(*now);
    queue_.on_event(e);
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) { on_pod(before, now); });
}

Scheduler::~Scheduler() = default;

void Scheduler::make_profiles() {
  for (const ProfileOptions& o : options_.profiles) {
    auto args_of = [&o](std::string_view plugin) {
      auto at = o.args.find(std::string(plugin));
      return at == o.args.end() ? Value() : at->second->root;
    };
    const Layout layout = o.layout.entries.empty() ? default_layout() : o.layout;
    auto profile = make_profile(o.name, layout, args_of, this);
    if (!profile.ok()) {
      status_ = profile.status();
      return;
    }
    (*profile)->percentage = o.percentage;
    auto meters = std::make_unique<meters::OfProfile>(o.name);
    (*profile)->measure(client_.loop(), *meters);
    profiles_[o.name] = {std::move(*profile), std::move(meters)};
  }
}

Scheduler::Named* Scheduler::profile_of(std::string_view scheduler_name) {
  auto at = profiles_.find(scheduler_name);
  return at == profiles_.end() ? nullptr : &at->second;
}

Verdict Scheduler::pre_enqueue(const PodInfo& pod, Plugin** by) {
  Named* named = profile_of(pod.scheduler_name);
  return named ? named->profile->pre_enqueue(pod, by) : Verdict{};
}

// --- what the API shows ---

std::shared_ptr<InformerBase> Scheduler::watch(const KindDesc* kind, Watched as) {
  std::shared_ptr<InformerBase>& informer = watched_[kind];
  if (informer) return informer;
  informer = informers_.informer(kind, "", "", "");
  auto tell = [this](Events bits, const ObjectPtr& before, const ObjectPtr& now) {
    Event e;
    e.bits = bits;
    e.before = before;
    e.now = now;
    queue_.on_event(e);
  };
  InformerBase::Handler h;
  h.added = [tell, as](const ObjectPtr& now) { tell(added(as), nullptr, now); };
  h.updated = [tell, as](const ObjectPtr& before, const ObjectPtr& now) {
    tell(updated(as), before, now);
  };
  h.deleted = [tell, as](const ObjectPtr& last) { tell(deleted(as), last, nullptr); };
  informer->add_handler(std::move(h));
  return informer;
}

void Scheduler::on_node(const Ref<Node>& before, const Ref<Node>& now) {
  Event e;
  if (!now) {
    std::unique_ptr<NodeInfo> was = cache_.remove_node(before->metadata().name());
    if (!was) return;
    e.bits = kNodeDeleted;
    e.node_before = was.get();
    queue_.on_event(e);
    return;
  }
  Cache::NodeChange change = cache_.set_node(*now);
  e.bits = change.bits;
  e.node_before = change.before.get();
  e.node = change.now;
  queue_.on_event(e);
}

void Scheduler::on_pod(const Ref<Pod>& before, const Ref<Pod>& now) {
  if (!now || ended(*now)) {
    on_gone((now ? now : before)->metadata().uid());
  } else if (!now->spec().node_name().empty()) {
    on_placed(*now);
  } else {
    on_waiting(before, *now);
  }
}

void Scheduler::on_gone(std::string_view uid) {
  PodPtr waiting = queue_.get(uid), placed = cache_.placed(uid);
  queue_.remove(uid);
  const bool nominated = !cache_.nominated_node(uid).empty();
  cache_.take_back_nomination(uid);
  if (auto it = waiting_.find(uid); it != waiting_.end()) {
    it->second->refused = Verdict::unresolvable("the pod was deleted");
    it->second->woken.set();
  }
  if (placed) {
    cache_.remove_pod(uid);
    queue_.on_event(of_pod(kPodRemoved, placed.get(), nullptr));
  } else if (nominated && waiting) {
    queue_.on_event(of_pod(kPodRemoved, waiting.get(), nullptr));  // its room is free again
  }
}

void Scheduler::on_placed(const Pod& now) {
  PodPtr pod = extract_placed_pod(now);
  PodPtr was = cache_.placed(pod->uid);
  const bool ours = was && cache_.holds_assumed(pod->uid);
  cache_.set_pod(pod);
  cache_.take_back_nomination(pod->uid);
  if (!was || ours) {
    if (!ours) queue_.remove(pod->uid);  // the binding's end sees to ours
    queue_.on_event(of_pod(kPodAssigned, nullptr, pod.get()));
    return;
  }
  Events bits = 0;
  if (was->labels != pod->labels) bits |= kPodLabels;
  if (any_less(was->requests, pod->requests)) bits |= kPodScaledDown;
  queue_.on_event(of_pod(bits, was.get(), pod.get()));
}

void Scheduler::on_waiting(const Ref<Pod>& before, const Pod& now) {
  const std::string_view uid = now.metadata().uid();
  if (now.metadata().has_deletion_timestamp() || !profile_of(now.spec().scheduler_name())) {
    on_gone(uid);
    return;
  }
  if (cache_.holds(uid)) return;  // assumed: its binding is under way
  PodPtr pod = extract_pod(now), known = queue_.get(uid);
  Events self = known ? self_changes(*known, *pod) : 0;
  if (known && before && claims_differ(*before, now)) self |= kSelfClaims;
  follow_nomination(known, pod);
  queue_.update(pod, self);
}

// What this scheduler decided stands until the API shows another decision: an update that has been
// under way meanwhile says nothing.
void Scheduler::follow_nomination(const PodPtr& before, const PodPtr& now) {
  const std::string held = cache_.nominated_node(now->uid);
  if (!now->nominated_node.empty()) {
    cache_.nominate(now, now->nominated_node);
  } else if (before && !before->nominated_node.empty()) {
    cache_.take_back_nomination(now->uid);
    if (!held.empty()) queue_.on_event(of_pod(kPodRemoved, now.get(), nullptr));
  } else if (!held.empty()) {
    cache_.nominate(now, held);
  }
}

void Scheduler::nominate(const PodPtr& pod, const std::string& node) { cache_.nominate(pod, node); }

Ref<api::core_v1::Pod> Scheduler::object_of(const PodInfo& pod) {
  Ref<Pod> object = pods_.get(pod.ns, pod.name);
  if (object && object->metadata().uid() != pod.uid) return Ref<Pod>();
  return object;
}

// For events: as the informer knows the pod, while it does.
ObjectReference Scheduler::reference(const PodInfo& pod) const {
  ObjectPtr object = pods_.base().get(pod.ns, pod.name);
  if (object && object->uid() == pod.uid) return reference_to(*object);
  ObjectReference r;
  r.api_version = "v1";
  r.kind = "Pod";
  r.ns = pod.ns;
  r.name = pod.name;
  r.uid = pod.uid;
  return r;
}

// --- decisions ---

Task<void> Scheduler::run(Context ctx) {
  context_ = ctx;
  Status s = status_;
  if (!s.ok()) log::error("The scheduler does not start", {{"err", s}});
  if (s.ok()) s = co_await pods_.base().wait_synced(ctx);
  if (s.ok()) s = co_await nodes_.base().wait_synced(ctx);
  if (s.ok()) s = co_await namespaces_.base().wait_synced(ctx);
  if (s.ok()) s = co_await informers_.wait_synced(ctx);
  if (s.ok()) tasks_.spawn(flush_regularly(ctx));
  if (s.ok() && extended_) tasks_.spawn(decide_with_extenders(ctx));
  while (s.ok()) {
    Result<PodPtr> next = co_await queue_.next(ctx);
    if (!next.ok()) break;
    if (goes_to_extenders(*next)) {
      co_await yield_to(ctx.loop());
      continue;
    }
    s = co_await bindings_.acquire(ctx);
    if (!s.ok()) break;
    if (PodPtr pod = still_queued((*next)->uid)) {
      schedule_one(ctx, pod);
    } else {
      bindings_.release();
    }
    co_await yield_to(ctx.loop());
  }
  co_await tasks_.join();
}

// The pod as it is now: the wait for a slot may have been long. Null when it is none of ours any
// more.
PodPtr Scheduler::still_queued(std::string_view uid) {
  if (cache_.holds(uid)) queue_.remove(uid);
  return queue_.get(uid);
}

void Scheduler::schedule_one(Context ctx, PodPtr pod) {
  Named* by = profile_of(pod->scheduler_name);
  const TimePoint started = ctx.loop().now();
  auto attempt = std::make_shared<Attempt>(by, std::make_shared<Cycle>(pod, *by->profile), started);
  Cycle& cycle = *attempt->cycle;
  cycle.nominated_node = cache_.nominated_node(pod->uid);
  Decision d = decider_.decide(cycle, cache_.view(), ctx.loop().random());
  meters::algorithm_seconds().observe(seconds_since(started, ctx.loop().now()));
  if (d.error.code == Code::kError) {
    fail_attempt(ctx, attempt, d.error.message());
  } else if (d.node.empty()) {
    no_node(ctx, attempt, d);
  } else {
    attempt->node = std::move(d.node);
    take_node(ctx, attempt);
  }
  cycle.view = nullptr;
}

// Counts the pod on its node from now on, and begins the binding.
void Scheduler::take_node(Context ctx, AttemptPtr attempt) {
  Attempt& a = *attempt;
  const PodPtr& pod = a.cycle->pod;
  cache_.assume(pod, a.node);
  Plugin* by = nullptr;
  Verdict v = a.by->profile->reserve(*a.cycle, a.node, &by);
  if (v.ok()) v = a.by->profile->permit(*a.cycle, a.node, &by, &a.waits);
  if (v.ok() || v.code == Code::kWait) {
    cache_.take_back_nomination(pod->uid);
    if (v.ok()) queue_.binding(pod->uid);
    tasks_.spawn(bind(ctx, attempt));
    return;
  }
  give_back(a);
  if (v.rejected()) {
    reject_attempt(ctx, attempt, v, by);
  } else {
    fail_attempt(ctx, attempt, v.message());
  }
}

void Scheduler::no_node(Context ctx, AttemptPtr attempt, Decision& d) {
  Attempt& a = *attempt;
  std::optional<std::string> nominated = "";
  if (d.failure.nodes_total > 0 && a.by->profile->has(kPostFilter)) {
    PostFilter r = a.by->profile->post_filter(*a.cycle, d.failure);
    nominated = r.nominated_node;
  }
  end_without_node(ctx, attempt, d, std::move(nominated));
}

// The pod goes back to the queue, and its owner is told why.
void Scheduler::end_without_node(Context ctx, AttemptPtr attempt, Decision& d,
                                 std::optional<std::string> nominated) {
  Attempt& a = *attempt;
  const PodPtr& pod = a.cycle->pod;
  if (nominated) cache_.nominate(pod, *nominated);
  leave_slot(a);
  a.by->meters->attempt("unschedulable", seconds_since(a.started, ctx.loop().now()));
  const bool no_nodes = d.failure.nodes_total == 0;
  queue_.park(pod, std::move(d.failure.rejected_by),
              no_nodes                ? kNodeAdded
              : d.failure.by_extender ? kAnyEvent
                                      : 0);
  tasks_.spawn(report_failure(ctx, pod, "Unschedulable", d.failure.message(), nominated));
}

void Scheduler::leave_slot(Attempt& a) {
  if (a.in_slot) bindings_.release();
  a.in_slot = false;
}

// Undoes assume and reserve.
void Scheduler::give_back(Attempt& a) {
  a.by->profile->unreserve(*a.cycle, a.node);
  cache_.forget(a.pod().uid);
}

// As the API shows it now, for the next attempt: what happened to a pod while it was assumed has
// been passed over. Null, and out of the queue, when it has gone or has a node.
PodPtr Scheduler::still_waiting(const PodInfo& pod) {
  Ref<Pod> object = object_of(pod);
  if (object && object->spec().node_name().empty() && !ended(*object) &&
      !object->metadata().has_deletion_timestamp())
    return extract_pod(*object);
  queue_.remove(pod.uid);
  return nullptr;
}

// Reserve or Permit would not have it on its node.
void Scheduler::reject_attempt(Context ctx, AttemptPtr attempt, const Verdict& why, Plugin* by) {
  Attempt& a = *attempt;
  leave_slot(a);
  a.by->meters->attempt("unschedulable", seconds_since(a.started, ctx.loop().now()));
  PodPtr pod = still_waiting(a.pod());
  if (!pod) return;
  Failure f;
  f.nodes_total = 1;
  if (why.reasons)
    for (const std::string& text : *why.reasons) ++f.reasons[text];
  std::vector<Plugin*> rejected;
  if (by) rejected.push_back(by);
  queue_.park(pod, std::move(rejected));
  tasks_.spawn(report_failure(ctx, pod, "Unschedulable", f.message(), ""));
}

void Scheduler::fail_attempt(Context ctx, AttemptPtr attempt, const std::string& what) {
  Attempt& a = *attempt;
  leave_slot(a);
  a.by->meters->attempt("error", seconds_since(a.started, ctx.loop().now()));
  PodPtr pod = still_waiting(a.pod());
  if (!pod) return;
  log::warn("Error scheduling pod; retrying",
            {{"pod", pod->key()}, {"node", a.node}, {"err", what}});
  queue_.retry(pod);
  tasks_.spawn(report_failure(ctx, pod, "SchedulerError", what, ""));
}

// --- bindings ---

bool Scheduler::allow(std::string_view uid, const Plugin& by) {
  auto it = waiting_.find(uid);
  if (it == waiting_.end()) return false;
  Attempt& a = *it->second;
  if (std::erase_if(a.waits, [&](const auto& w) { return w.first == &by; }) == 0) return false;
  if (a.waits.empty()) a.woken.set();
  return true;
}

bool Scheduler::reject(std::string_view uid, const Plugin& by, std::string reason) {
  auto it = waiting_.find(uid);
  if (it == waiting_.end()) return false;
  it->second->refused = Verdict::unschedulable(std::move(reason));
  it->second->refused_by = const_cast<Plugin*>(&by);
  it->second->woken.set();
  return true;
}

bool Scheduler::cancel_binding(std::string_view uid, std::string reason) {
  if (auto it = waiting_.find(uid); it != waiting_.end()) {
    it->second->refused = Verdict::unschedulable(std::move(reason));
    it->second->woken.set();
    return true;
  }
  auto it = pre_binding_.find(uid);
  if (it == pre_binding_.end()) return false;
  it->second->refused = Verdict::error(std::move(reason));
  it->second->context->cancel();
  return true;
}

Task<Verdict> Scheduler::wait_on_permit(Context ctx, AttemptPtr attempt) {
  Attempt& a = *attempt;
  const TimePoint began = ctx.loop().now();
  const std::string uid = a.pod().uid;
  auto least = std::min_element(a.waits.begin(), a.waits.end(),
                                [](const auto& x, const auto& y) { return x.second < y.second; });
  Plugin* first = least->first;
  waiting_[uid] = attempt;
  Context limited = ctx.with_timeout(least->second);
  Status s = co_await a.woken.wait(limited);
  waiting_.erase(uid);
  Verdict out = a.refused;
  if (out.ok() && !s.ok()) {
    a.refused_by = first;
    out = Verdict::unschedulable("rejected due to timeout after waiting at plugin " +
                                 std::string(first->name()));
  }
  meters::permit_wait(out.ok() ? "Success" : "Unschedulable")
      .observe(seconds_since(began, ctx.loop().now()));
  co_return out;
}

// Says where it goes, because that will take a while, and has the plugins do what is to be done.
Task<Status> Scheduler::prepare_binding(Context ctx, AttemptPtr attempt) {
  Attempt& a = *attempt;
  const std::string uid = a.pod().uid;
  a.context = ctx.child();
  pre_binding_[uid] = attempt;
  Draft<PodEdit> draft;
  Document patch = draft.take();
  Value& status = patch.root.set(patch.arena, "status", Value::map());
  status.set(patch.arena, "nominatedNodeName", Value::string(patch.arena.copy(a.node)));
  Context limited = ctx.with_timeout(30s);
  Status told =
      co_await patch_pod_status(limited, &client_, a.pod().ns, a.pod().name, std::move(patch));
  if (!told.ok()) log::warn("Nomination not written", {{"pod", a.pod().key()}, {"err", told}});
  Status s = co_await a.by->profile->pre_bind(*a.context, a.cycle, a.node);
  pre_binding_.erase(uid);
  if (!a.refused.ok()) co_return Status::cancelled(a.refused.message());
  co_return s;
}

// The call that binds, and no more, is what a slot is for: those before it may take minutes.
Task<Status> Scheduler::bind_in_slot(Context ctx, AttemptPtr attempt) {
  Attempt& a = *attempt;
  if (!a.in_slot) TRY_CO(bindings_.acquire(ctx));
  a.in_slot = true;
  std::optional<Status> by_extender;
  if (extended_) by_extender = co_await extended_->bind(ctx, a.cycle, a.node);
  Status s;
  if (by_extender) {
    s = *by_extender;
  } else {
    s = co_await a.by->profile->bind(ctx, a.cycle, a.node);
  }
  leave_slot(a);
  co_return s;
}

Task<void> Scheduler::bind(Context ctx, AttemptPtr attempt) {
  Attempt& a = *attempt;
  if (!a.waits.empty()) {
    leave_slot(a);
    Verdict v = co_await wait_on_permit(ctx, attempt);
    if (!v.ok()) {
      give_back(a);
      reject_attempt(ctx, attempt, v, a.refused_by);
      queue_.on_event(of_pod(kPodRemoved, &a.pod(), nullptr));
      co_return;
    }
    queue_.binding(a.pod().uid);
  }
  Status s;
  if (a.by->profile->wants_pre_bind(*a.cycle, a.node)) {
    leave_slot(a);
    s = co_await prepare_binding(ctx, attempt);
  }
  if (s.ok()) s = co_await bind_in_slot(ctx, attempt);
  if (s.ok()) {
    bound(a);
    co_return;
  }
  // An unknown outcome too: if the binding did happen, the informer will show it and end the
  // retries. Whether the pod has gone the informer says as well: what was not found may be a
  // volume or a claim.
  give_back(a);
  queue_.on_event(of_pod(kPodRemoved, &a.pod(), nullptr));
  if (ctx.done()) {
    leave_slot(a);
    queue_.remove(a.pod().uid);
    co_return;
  }
  fail_attempt(ctx, attempt, s.to_string());
}

void Scheduler::bound(Attempt& a) {
  const PodInfo& pod = a.pod();
  const TimePoint now = client_.loop().now();
  const SchedulingQueue::Waited waited = queue_.done(pod.uid);
  a.by->meters->attempt("scheduled", seconds_since(a.started, now));
  if (waited.attempts > 0) {
    meters::pod_attempts().observe(waited.attempts);
    meters::observe_sli(waited.attempts, seconds_since(waited.first_attempt, now));
    if (waited.flushed) meters::scheduled_after_flush().add();
  }
  recorder_.event(reference(pod), "Normal", "Scheduled",
                  "Successfully assigned " + pod.key() + " to " + a.node);
  a.by->profile->post_bind(*a.cycle, a.node);
}

Task<void> Scheduler::report_failure(Context ctx, PodPtr pod, std::string reason,
                                     std::string message, std::optional<std::string> nominated) {
  recorder_.event(reference(*pod), "Warning", "FailedScheduling", cut(message));
  Ref<Pod> object = object_of(*pod);
  if (!object) co_return;  // it has gone
  PodConditionWrite condition{"PodScheduled", "False", reason, message};
  std::optional<Document> patch = pod_condition_patch(*object, condition, ctx.loop().wall_now());
  if (nominated && object->status().nominated_node_name() != *nominated) {
    if (!patch) patch = Draft<PodEdit>().take();
    Value* status = patch->root.find("status");
    if (!status) status = &patch->root.set(patch->arena, "status", Value::map());
    const Value name = nominated->empty() ? Value() : Value::string(patch->arena.copy(*nominated));
    status->set(patch->arena, "nominatedNodeName", name);
  }
  if (!patch) co_return;
  Context limited = ctx.with_timeout(30s);
  Status s = co_await patch_pod_status(limited, &client_, pod->ns, pod->name, std::move(*patch));
  if (!s.ok() && !ctx.done()) {
    log::warn("Pod condition not written", {{"pod", pod->key()}, {"err", s}});
  }
}

Task<void> Scheduler::flush_regularly(Context ctx) {
  for (;;) {
    Status s = co_await ctx.sleep(1s);
    if (!s.ok()) co_return;
    queue_.flush();
    meters::pending("active").set(static_cast<double>(queue_.active()));
    meters::pending("backoff").set(static_cast<double>(queue_.backing_off()));
    meters::pending("unschedulable").set(static_cast<double>(queue_.unschedulable()));
    meters::pending("gated").set(static_cast<double>(queue_.gated()));
    meters::cache_size("nodes").set(static_cast<double>(cache_.nodes()));
    meters::cache_size("pods").set(static_cast<double>(cache_.pods()));
    meters::cache_size("assumed_pods").set(static_cast<double>(cache_.assumed()));
  }
}

}  // namespace keles::scheduler
