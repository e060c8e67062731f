#include "node/pods/pod_set.h"

#include <algorithm>
#include <tuple>

#include "base/log.h"
#include "machinery/quota/pod_resources.h"
#include "node/static_pods/static_pods.h"

namespace keles::node {

using api::core_v1::Node;
using api::core_v1::Pod;

namespace {

Ref<Pod> without_status(const Ref<Pod>& pod) {
  auto copy = std::make_shared<Document>();
  copy->root = deep_copy(copy->arena, pod->value());
  copy->root.erase("status");
  return Ref<Pod>(std::move(copy));
}

}  // namespace

PodSet::PodSet(Context ctx, PodServices& services, PodSetHost& host)
    : ctx_(ctx), services_(services), host_(host), judging_(1), tasks_(ctx.loop()) {
  services_.admit = [this](Context c, std::string uid) {
    return admit_pod(this, std::move(c), std::move(uid));
  };
  services_.retry_resizes = [this] { retry_resizes(); };
  services_.register_id = [this](const std::string& id, const std::string& uid) { ids_[id] = uid; };
}

void PodSet::changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  if (before && (!now || before->metadata().uid() != now->metadata().uid())) {
    if (PodWorker* w = find(std::string(before->metadata().uid()))) w->removed();
    retry_resizes();
  }
  if (!now) return;
  std::string uid(now->metadata().uid());
  auto& worker = workers_[uid];
  if (worker) {
    worker->update(now);
    retry_resizes();  // it may have given room
    return;
  }
  if (log::v(2)) log::info("Pod added", {{"pod", now->metadata().name()}, {"uid", uid}});
  worker = std::make_shared<PodWorker>(ctx_.child(), services_, now);
  tasks_.spawn(run_worker(this, worker));
}

void PodSet::add_static(Ref<Pod> pod, const Ref<Pod>& mirror) {
  std::string uid(pod->metadata().uid());
  log::info("Static pod added", {{"pod", pod->metadata().name()}, {"uid", uid}});
  auto worker = std::make_shared<PodWorker>(ctx_.child(), services_, std::move(pod));
  workers_[uid] = worker;
  if (mirror) worker->set_mirror(mirror);
  if (!services_.managers) worker->decide({});  // whoever may write the node's files need not ask
  if (services_.managers) tasks_.spawn(admit_static(this, uid));
  tasks_.spawn(run_worker(this, worker));
}

PodWorker* PodSet::find(const std::string& uid) const {
  auto it = workers_.find(uid);
  return it == workers_.end() ? nullptr : it->second.get();
}

void PodSet::wake(const std::string& uid) {
  if (PodWorker* w = find(uid)) w->wake();
}

void PodSet::wake_all() {
  for (auto& [uid, w] : workers_) w->wake();
}

void PodSet::runtime_event(const std::string& id) {
  auto it = ids_.find(id);
  if (it == ids_.end()) return;
  if (PodWorker* w = find(it->second)) w->container_event(id);
}

Task<void> PodSet::run_worker(PodSet* self, std::shared_ptr<PodWorker> worker) {
  const bool of_the_node = is_static(*worker->pod());
  co_await self->host_.wait_startable(self->ctx_, of_the_node);
  co_await worker->run();
  if (self->ctx_.done()) co_return;
  const std::string uid = worker->uid();
  std::erase_if(self->ids_, [&](const auto& e) { return e.second == uid; });
  self->workers_.erase(uid);
  self->host_.pod_gone(uid);
}

std::shared_ptr<PodWorker> PodSet::undecided(const std::string& uid) const {
  auto it = workers_.find(uid);
  return it == workers_.end() || it->second->decided() ? nullptr : it->second;
}

Task<void> PodSet::admit_static(PodSet* self, std::string uid) {
  Status s = co_await self->judging_.acquire(self->ctx_);
  if (!s.ok()) co_return;
  if (std::shared_ptr<PodWorker> worker = self->undecided(uid)) {
    Verdict v = co_await self->give(worker);
    if (!self->ctx_.done()) worker->decide(v);
  }
  self->judging_.release();
}

Task<void> PodSet::admit_pod(PodSet* self, Context ctx, std::string uid) {
  std::shared_ptr<PodWorker> worker = self->undecided(uid);
  if (!worker) co_return;
  if (is_static(*worker->pod())) {
    co_await admit_static(self, uid);
    co_return;
  }
  co_await self->host_.wait_judicable(ctx);
  if (ctx.done()) co_return;
  Status s = co_await self->judging_.acquire(ctx);
  if (!s.ok()) co_return;
  co_await self->decide_all();
  self->judging_.release();
  if (!self->undecided(uid)) co_return;
  // Labels that were set just before the pod may not have come yet.
  Context brief = ctx.with_timeout(10s);
  auto got =
      co_await self->services_.client->get(brief, &kind_of<Node>(), "", self->services_.node_name);
  Ref<Node> node = got.ok() ? read<Node>(*got) : self->host_.node_object();
  s = co_await self->judging_.acquire(ctx);
  if (!s.ok()) co_return;
  worker = self->undecided(uid);
  if (worker && node) co_await self->decide(worker, node, true);
  self->judging_.release();
  self->share_cpu();
}

// In the order in which the pods were created: each may take what a later one would need.
Task<void> PodSet::decide_all() {
  Ref<Node> node = host_.node_object();
  if (!node) co_return;
  std::vector<std::shared_ptr<PodWorker>> open;
  for (const auto& [uid, w] : workers_)
    if (!w->decided() && !is_static(*w->pod()) && w->pod()->metadata().deletion_timestamp().empty())
      open.push_back(w);
  std::stable_sort(open.begin(), open.end(), [](const auto& a, const auto& b) {
    return a->pod()->metadata().creation_timestamp() < b->pod()->metadata().creation_timestamp();
  });
  for (const std::shared_ptr<PodWorker>& w : open) co_await decide(w, node, false);
  if (!open.empty()) share_cpu();
}

// `last`: `node` is as new as it gets.
Task<void> PodSet::decide(std::shared_ptr<PodWorker> worker, Ref<Node> node, bool last) {
  if (worker->decided()) co_return;
  Verdict v = judge(worker->allocated(), *worker, *node);
  if (v.affinity_only && !last) co_return;
  if (v.admit) v = co_await give(worker);
  if (!ctx_.done()) worker->decide(v);
}

// What the pod is to have of its own: CPUs, memory, devices.
Task<Verdict> PodSet::give(std::shared_ptr<PodWorker> worker) {
  Verdict v;
  if (!services_.managers) co_return v;
  Refused why = co_await services_.managers->allocate(ctx_, worker->allocated());
  if (!why) co_return v;
  v.admit = false;
  v.reason = why->reason;
  v.message = why->message;
  co_return v;
}

// Whether the node takes `pod` as it is, beside what all but `self` hold.
Verdict PodSet::judge(const Ref<Pod>& pod, const PodWorker& self, const Node& node) const {
  scheduler::NodeInfo info;
  info.set_node(node);
  for (const auto& [uid, w] : workers_)
    if (w.get() != &self && w->holds_room()) info.add_pod(scheduler::extract_pod(*w->allocated()));
  AdmissionInput in = host_.grounds();
  in.pod = &*pod;
  in.info = scheduler::extract_pod(*pod);
  in.node = &info;
  return admit(in);
}

// Pods whose specs ask for something else than they have been given, in the order of who may have
// it first.
void PodSet::retry_resizes() {
  std::vector<PodWorker*> waiting;
  for (const auto& [uid, w] : workers_)
    if (w->wants_resize()) waiting.push_back(w.get());
  if (waiting.empty()) return;
  Ref<Node> node = host_.node_object();
  if (!node) return;
  auto rank = [](const PodWorker* w) {
    bool more = Allocation::wanted(*w->pod()).asks_more_than(w->allocation());
    return std::make_tuple(more, -w->pod()->spec().priority(),
                           qos_of(*w->pod()) != Qos::kGuaranteed);
  };
  std::stable_sort(waiting.begin(), waiting.end(),
                   [&](const PodWorker* a, const PodWorker* b) { return rank(a) < rank(b); });
  for (PodWorker* w : waiting) {
    std::string never;
    if (services_.managers)
      never = services_.managers->resize_objection(*w->pod(), *w->allocated());
    if (!never.empty()) {
      w->defer(never, true);
      continue;
    }
    Verdict v = judge(without_status(w->pod()), *w, *node);
    if (v.admit) w->allocate();
    if (!v.admit) w->defer(v.message);
  }
  share_cpu();
}

void PodSet::share_cpu() {
  int64_t milli = 0;
  for (const auto& [uid, w] : workers_) {
    if (!w->holds_room() || qos_of(*w->allocated()) != Qos::kBurstable) continue;
    auto requests = quota::pod_requests(w->allocated()->value(), quota::Actual::kLeftOut,
                                        quota::Overhead::kCounted);
    milli += requests["cpu"].milli_value();
  }
  Status s = services_.host->set_burstable_requests(milli);
  if (!s.ok()) log::warn("Cannot set the share of burstable pods", {{"error", s}});
}

}  // namespace keles::node
