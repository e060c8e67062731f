#include "scheduler/scheduler.h"

#include "base/log.h"
#include "base/metrics.h"
#include "client/pod_condition.h"
#include "machinery/time.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Namespace;
using api::core_v1::Node;
using api::core_v1::PodEdit;

metrics::Counter& attempts() {
  static metrics::Counter& m = metrics::counter(
      "scheduler_schedule_attempts_total", "Number of attempts to schedule pods, by the result.",
      {"result", "profile"});
  return m;
}

metrics::Histogram& attempt_seconds() {
  static metrics::Histogram& m =
      metrics::histogram("scheduler_scheduling_attempt_duration_seconds",
                         "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                         {"result", "profile"});
  return m;
}

metrics::Gauge& pending() {
  static metrics::Gauge& m = metrics::gauge(
      "scheduler_pending_pods", "Number of pending pods, by the queue type.", {"queue"});
  return m;
}

bool ended(const api::core_v1::Pod& pod) {
  return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

// What of a waiting pod can change whether it fits: not its status.
bool spec_changed(const Ref<api::core_v1::Pod>& before, const Ref<api::core_v1::Pod>& now) {
  return !before || !before->spec().value().equals(now->spec().value()) ||
         !before->metadata().labels().value().equals(now->metadata().labels().value());
}

}  // namespace

Scheduler::Scheduler(Client& client, InformerFactory& informers, EventRecorder& recorder,
                     SchedulerOptions options)
    : client_(client),
      recorder_(recorder),
      options_(std::move(options)),
      pods_(informers.informer<Pod>()),
      nodes_(informers.informer<Node>()),
      namespaces_(informers.informer<Namespace>()),
      queue_(client.loop()),
      bindings_(options_.max_bindings_in_flight),
      tasks_(client.loop()) {
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    if (now) {
      queue_.on_event(cache_.set_node(*now));
    } else {
      cache_.remove_node(before->metadata().name());
    }
  });
  namespaces_.on_change([this](const Ref<Namespace>& before, const Ref<Namespace>& now) {
    if (!now) {
      cache_.remove_namespace(before->metadata().name());
      return;
    }
    queue_.on_event(cache_.set_namespace(*now));
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) { on_pod(before, now); });
}

bool Scheduler::wants(const Pod& pod) const {
  return pod.spec().scheduler_name() == options_.name && !pod.metadata().has_deletion_timestamp() &&
         pod.spec().scheduling_gates().empty() && !ended(pod);
}

void Scheduler::on_pod(const Ref<Pod>& before, const Ref<Pod>& now) {
  if (!now || ended(*now)) {
    const Ref<Pod>& last = now ? now : before;
    std::string uid(last->metadata().uid());
    queue_.remove(uid);
    if (cache_.holds(uid)) {
      cache_.remove_pod(uid);
      queue_.on_event(kPodRemoved);
    }
    return;
  }
  if (!now->spec().node_name().empty()) {
    PodPtr pod = extract_placed_pod(*now);
    bool known = before && !before->spec().node_name().empty();
    cache_.set_pod(pod);
    if (!known) {
      queue_.remove(pod->uid);
      queue_.on_event(kPodAssigned);
    } else if (!before->metadata().labels().value().equals(now->metadata().labels().value())) {
      queue_.on_event(kPodLabels);
    }
    return;
  }
  PodPtr pod = extract_pod(*now);
  if (!wants(*now)) {
    queue_.remove(pod->uid);
  } else if (!cache_.holds(pod->uid)) {  // assumed: its binding is under way
    queue_.update(pod, spec_changed(before, now));
  }
}

Task<void> Scheduler::run(Context ctx) {
  Status s = co_await pods_.base().wait_synced(ctx);
  if (s.ok()) s = co_await nodes_.base().wait_synced(ctx);
  if (s.ok()) s = co_await namespaces_.base().wait_synced(ctx);
  if (s.ok()) tasks_.spawn(flush_regularly(ctx));
  while (s.ok()) {
    Result<PodPtr> pod = co_await queue_.next(ctx);
    if (!pod.ok()) break;
    s = co_await bindings_.acquire(ctx);
    if (!s.ok()) break;
    schedule_one(ctx, *pod);
    co_await yield_to(ctx.loop());
  }
  co_await tasks_.join();
}

void Scheduler::schedule_one(Context ctx, PodPtr pod) {
  TimePoint started = ctx.loop().now();
  Decision d = decider_.decide(*pod, cache_.view(), ctx.loop().random());
  if (!d.node.empty()) {
    cache_.assume(pod, d.node);
    tasks_.spawn(bind(ctx, pod, d.node, started));
    return;
  }
  bindings_.release();
  std::string message = describe_failure(d.nodes_total, d.reasons);
  Preemption preemption;
  if (d.nodes_total > 0) {
    preemption = decider_.preempt(*pod, cache_.view(), d);
    if (preemption.node.empty()) {
      std::map<std::string, int> why;
      int possible = static_cast<int>(d.preemption_candidates.size());
      int hopeless = static_cast<int>(d.nodes_total) - possible;
      if (hopeless > 0) why["Preemption is not helpful for scheduling"] = hopeless;
      if (possible > 0) {
        why[pod->may_preempt ? "No preemption victims found for incoming pod"
                             : "Preemption is not helpful for scheduling"] += possible;
      }
      message +=
          " no new claims to deallocate, preemption: " + describe_failure(d.nodes_total, why);
    }
  }
  attempts().with({"unschedulable", options_.name}).add();
  queue_.park(pod, d.waits_for);
  tasks_.spawn(report_failure(ctx, pod, std::move(message), std::move(preemption)));
}

// For events: as the informer knows the pod, while it does.
ObjectReference Scheduler::reference(const PodInfo& pod) const {
  ObjectPtr object = pods_.base().get(pod.ns, pod.name);
  if (object && object->uid() == pod.uid) return reference_to(*object);
  ObjectReference r;
  r.api_version = kind_of<Pod>().api_version();
  r.kind = kind_of<Pod>().kind;
  r.ns = pod.ns;
  r.name = pod.name;
  r.uid = pod.uid;
  return r;
}

Task<void> Scheduler::bind(Context ctx, PodPtr pod, std::string node, TimePoint started) {
  Draft<api::core_v1::BindingEdit> body;
  body->edit_metadata().set_name(pod->name);
  body->edit_metadata().set_namespace_(pod->ns);
  body->edit_metadata().set_uid(pod->uid);
  body->edit_target().set_kind("Node");
  body->edit_target().set_name(node);
  WriteOptions options;
  options.subresource = "binding";
  Context limited = ctx.with_timeout(30s);
  Result<ObjectPtr> r =
      co_await client_.create(limited, &kind_of<Pod>(), pod->ns, pod->name, body.take(), options);
  bindings_.release();
  double took = static_cast<double>((ctx.loop().now() - started).count()) / 1e9;
  if (r.ok()) {
    queue_.done(pod->uid);
    attempts().with({"scheduled", options_.name}).add();
    attempt_seconds().with({"scheduled", options_.name}).observe(took);
    recorder_.event(reference(*pod), "Normal", "Scheduled",
                    "Successfully assigned " + pod->key() + " to " + node);
    co_return;
  }
  // An unknown outcome too: if the binding did happen, the informer will show it and end the
  // retries.
  attempts().with({"error", options_.name}).add();
  attempt_seconds().with({"error", options_.name}).observe(took);
  cache_.forget(pod->uid);
  queue_.on_event(kPodRemoved);
  if (r.status().is(Reason::kNotFound) || ctx.done()) {
    queue_.remove(pod->uid);
    co_return;
  }
  log::warn("Binding failed", {{"pod", pod->key()}, {"node", node}, {"err", r.status()}});
  queue_.retry(pod);
}

Task<void> Scheduler::report_failure(Context ctx, PodPtr pod, std::string message,
                                     Preemption preemption) {
  recorder_.event(reference(*pod), "Warning", "FailedScheduling", message);
  Ref<Pod> object = pods_.get(pod->ns, pod->name);
  if (!object || object->metadata().uid() != pod->uid) co_return;  // it has gone
  bool nominated = !preemption.node.empty();
  PodConditionWrite condition{"PodScheduled", "False", "Unschedulable", message};
  std::optional<Document> patch = pod_condition_patch(*object, condition, ctx.loop().wall_now());
  if (nominated && object->status().nominated_node_name() != preemption.node) {
    if (!patch) patch = Draft<PodEdit>().take();
    Value* status = patch->root.find("status");
    if (!status) status = &patch->root.set(patch->arena, "status", Value::map());
    status->set(patch->arena, "nominatedNodeName",
                Value::string(patch->arena.copy(preemption.node)));
  }
  if (patch) {
    Context limited = ctx.with_timeout(30s);
    Status s = co_await patch_pod_status(limited, &client_, pod->ns, pod->name, std::move(*patch));
    if (!s.ok() && !ctx.done()) {
      log::warn("Pod condition not written", {{"pod", pod->key()}, {"err", s}});
    }
  }
  if (nominated) co_await evict(ctx, pod, std::move(preemption));
}

Task<void> Scheduler::evict(Context ctx, PodPtr preemptor, Preemption preemption) {
  std::string why = options_.name + ": preempting to accommodate a higher priority pod";
  for (const PodPtr& victim : preemption.victims) {
    if (victim->terminating) continue;
    Ref<Pod> object = pods_.get(victim->ns, victim->name);
    if (!object || object->metadata().uid() != victim->uid) continue;  // it has gone by itself
    Context limited = ctx.with_timeout(30s);
    PodConditionWrite disrupted{kDisruptionTarget, "True", "PreemptionByScheduler", why};
    std::optional<Document> patch = pod_condition_patch(*object, disrupted, ctx.loop().wall_now());
    if (patch) {
      Status marked =
          co_await patch_pod_status(limited, &client_, victim->ns, victim->name, std::move(*patch));
      if (!marked.ok()) {
        log::warn("Could not add DisruptionTarget condition due to preemption",
                  {{"pod", preemptor->key()}, {"victim", victim->key()}, {"err", marked}});
        continue;
      }
    }
    DeleteOptions options;
    options.uid = victim->uid;
    Status s = co_await client_.remove<Pod>(limited, victim->ns, victim->name, options);
    if (!s.ok() && !s.is(Reason::kNotFound)) {
      log::warn("Preemption failed",
                {{"pod", preemptor->key()}, {"victim", victim->key()}, {"err", s}});
      continue;
    }
    recorder_.event(reference(*victim), "Normal", "Preempted",
                    "Preempted by pod " + preemptor->uid + " on node " + preemption.node);
  }
}

Task<void> Scheduler::flush_regularly(Context ctx) {
  for (;;) {
    Status s = co_await ctx.sleep(1s);
    if (!s.ok()) co_return;
    queue_.flush();
    pending().with({"active"}).set(static_cast<double>(queue_.active()));
    pending().with({"backoff"}).set(static_cast<double>(queue_.backing_off()));
    pending().with({"unschedulable"}).set(static_cast<double>(queue_.unschedulable()));
  }
}

}  // namespace keles::scheduler
