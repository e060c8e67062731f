#include "node/pods/pod_worker.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "machinery/time.h"
#include "node/node_metrics.h"
#include "node/pods/labels.h"
#include "node/static_pods/static_pods.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;
using cri::ContainerState;

namespace {

int64_t revision_of(const Pod& pod) {
  std::string_view text = pod.metadata().resource_version();
  int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

}  // namespace

PodWorker::PodWorker(Context ctx, PodServices& services, Ref<Pod> pod)
    : ctx_(ctx),
      sync_ctx_(ctx.child()),
      s_(services),
      pod_(std::move(pod)),
      uid_(pod_->metadata().uid()),
      key_(std::string(pod_->metadata().namespace_()) + "/" + std::string(pod_->metadata().name())),
      first_seen_(ctx.loop().wall_now()),
      group_(ctx.loop()) {
  if (deleting()) sync_ctx_.cancel();
  static_ = is_static(*pod_);
  take_allocation(Allocation::reported(*pod_));
  actual_whole_ = allocation_.whole();
  cgroup_limits_ = own_limits();
  // What an agent reported on before was taken then, whatever the node has become.
  auto status = pod_->status();
  taken_ = !status.start_time().empty() || (status.phase() != "Pending" && !status.phase().empty());
}

void PodWorker::decide(const Verdict& v) {
  taken_ = v.admit;
  rejected_ = !v.admit;
  if (v.admit) return;
  failed_reason_ = v.reason;
  failed_message_ = "Pod was rejected: " + v.message;
  event("", "Warning", v.reason, v.message);
  log::info("Pod refused", {{"pod", key_}, {"reason", v.reason}, {"message", v.message}});
  publish();
}

bool PodWorker::holds_room() const {
  std::string_view phase =
      status_ ? status_->root["status"]["phase"].as_string() : pod_->status().phase();
  return taken_ && !removed_ && !finished_ && phase != "Succeeded" && phase != "Failed";
}

bool PodWorker::lives() const {
  std::string_view phase =
      status_ ? status_->root["status"]["phase"].as_string() : pod_->status().phase();
  return !rejected_ && !finished_ && phase != "Succeeded" && phase != "Failed";
}

void PodWorker::update(Ref<Pod> pod) {
  pod_ = std::move(pod);
  // Before the node has taken it nothing was given.
  take_allocation(taken_ ? std::move(allocation_) : Allocation::wanted(*pod_));
  if (round_ == "sync") round_ = "update";
  if (!static_) note_shown(*pod_);
  if (deleting()) sync_ctx_.cancel();
  note_grace();
  wake();
}

// Others write over what was reported (whoever takes the node for dead says that its pods are not
// ready): it is said again.
void PodWorker::note_shown(const Pod& shown) {
  if (!sent_ || revision_of(shown) <= sent_revision_) return;
  if (is_reflected(sent_->root["status"], shown.status().value())) return;
  sent_.reset();
  status_dirty_.set();
}

void PodWorker::set_mirror(const Ref<Pod>& mirror) {
  std::string uid(mirror ? mirror->metadata().uid() : std::string_view());
  if (uid != mirror_uid_) sent_.reset();  // it knows nothing yet
  mirror_uid_ = uid;
  status_dirty_.set();
  if (!mirror) return;
  note_shown(*mirror);
  auto copy = std::make_shared<Document>();
  copy->root = deep_copy(copy->arena, pod_->value());
  api::core_v1::PodEdit edit(EditTarget{&copy->root, &copy->arena});
  edit.set_status(mirror->status());
  update(Ref<Pod>(std::move(copy)));
}

void PodWorker::removed() {
  removed_ = true;
  sync_ctx_.cancel();
  wake();
}

void PodWorker::wake() { wake_.set(); }

void PodWorker::container_event(const std::string& id) {
  suspects_.insert(id);
  suspect_tries_ = 0;
  wake();
}

void PodWorker::wake_at(WallTime when) {
  if (when.ns != 0 && (!next_wake_ || when < *next_wake_)) next_wake_ = when;
}

void PodWorker::try_again(const Context& ctx, Duration* pause, Duration least, Duration most) {
  *pause = std::clamp(*pause * 2, least, most);
  wake_at(ctx.loop().wall_now() + *pause);
}

void PodWorker::event(std::string_view name, std::string type, std::string reason,
                      std::string message) {
  s_.events->pod(pod_, std::string(name), std::move(type), std::move(reason), std::move(message));
}

Container PodWorker::container(std::string_view name, Role* role) const {
  FoundContainer found = find_container(*pod_, name);
  if (role) *role = found.role;
  return found.container;
}

PodFacts PodWorker::facts() const {
  PodFacts f;
  f.host_ips = s_.host_ips();
  f.pod_ips = pod_->spec().host_network() ? f.host_ips : actual_.pod_ips(s_.host_ip);
  f.node_name = s_.node_name;
  f.allocatable_cpu = s_.allocatable_cpu;
  f.allocatable_memory = s_.allocatable_memory;
  return f;
}

int64_t PodWorker::grace_seconds() const {
  auto meta = pod_->metadata();
  auto spec = pod_->spec();
  int64_t grace = 30;
  if (meta.has_deletion_grace_period_seconds()) {
    grace = meta.deletion_grace_period_seconds();
  } else if (spec.has_termination_grace_period_seconds()) {
    grace = spec.termination_grace_period_seconds();
  }
  return grace < 0 ? 1 : grace;
}

// --- the loop ---

Task<void> PodWorker::run() {
  group_.spawn(send_status(ctx_));
  if (!decided() && !deleting()) co_await s_.admit(sync_ctx_, uid_);
  while (!ctx_.done()) {
    wake_.reset();
    next_wake_ = ctx_.loop().wall_now() + kResync;
    if (deleting()) {
      co_await terminate(ctx_);
      if (ending_ && s_.ended_early) s_.ended_early(uid_);
      break;
    }
    if (ending_) {
      co_await carry_out_ending(ctx_);
      continue;
    }
    const std::string_view kind = std::exchange(round_, "sync");
    const TimePoint began = ctx_.loop().now();
    Context round_ctx = sync_ctx_;  // replaced when the pod is to end early
    co_await sync(round_ctx);
    node_metrics::worker_round(kind, ctx_.loop().now() - began);
    if (deleting() || ending_) continue;
    Duration rest = *next_wake_ - ctx_.loop().wall_now();
    if (rest.count() > 0) (void)co_await wake_.wait(ctx_.with_timeout(rest));
  }
  finished_ = !ctx_.done();
  s_.probes->stop(uid_);
  ctx_.cancel();
  status_dirty_.set();
  co_await group_.join();
}

// Reads what the runtime has. Statuses that cannot change any more are asked for once.
Task<Status> PodWorker::refresh(Context ctx) {
  TRY_ASSIGN_CO(sandboxes, s_.runtime->list_sandboxes(ctx, uid_));
  TRY_ASSIGN_CO(containers, s_.runtime->list_containers(ctx, uid_));
  PodRuntime fresh;
  std::sort(sandboxes.begin(), sandboxes.end(),
            [](const auto& a, const auto& b) { return a.created_at_ns > b.created_at_ns; });
  for (cri::Sandbox& s : sandboxes) {
    auto it = known_sandboxes_.find(s.id);
    bool known = it != known_sandboxes_.end() && it->second.state == s.state;
    if (!known) {
      auto full = co_await s_.runtime->sandbox_status(ctx, s.id);
      if (full.status().is(Reason::kNotFound)) continue;
      if (!full.ok()) co_return full.status();
      it = known_sandboxes_.insert_or_assign(s.id, std::move(*full)).first;
      s_.register_id(s.id, uid_);
    }
    fresh.sandboxes.push_back(it->second);
  }
  std::sort(containers.begin(), containers.end(), [](const auto& a, const auto& b) {
    return a.attempt != b.attempt ? a.attempt > b.attempt : a.created_at_ns > b.created_at_ns;
  });
  for (cri::Container& c : containers) {
    auto it = known_.find(c.id);
    bool known = it != known_.end() && it->second.state == c.state;
    if (!known) {
      auto full = co_await s_.runtime->container_status(ctx, c.id);
      if (full.status().is(Reason::kNotFound)) continue;
      if (!full.ok()) co_return full.status();
      full->sandbox_id = c.sandbox_id;
      if (full->image_id.empty()) full->image_id = c.image_id;
      it = known_.insert_or_assign(c.id, std::move(*full)).first;
      s_.register_id(c.id, uid_);
      if (it->second.state == ContainerState::kExited) {
        cri::Container ended = it->second;
        std::string last = co_await s_.host->termination_message(ctx, uid_, std::move(ended));
        messages_[c.id] = std::move(last);
      }
    }
    fresh.containers.push_back(known_[c.id]);
  }
  actual_ = std::move(fresh);
  if (!seeded_) seed_resources();
  if (!seeded_) seed_backoff(ctx.loop().wall_now());
  // An event may come before the runtime's own list knows.
  bool unsettled = false;
  for (const cri::Container& c : actual_.containers)
    unsettled = unsettled || (suspects_.contains(c.id) && c.state == ContainerState::kRunning);
  for (const cri::Sandbox& s : actual_.sandboxes)
    unsettled = unsettled || (suspects_.contains(s.id) && s.state == cri::SandboxState::kReady);
  if (unsettled && suspect_tries_ < 8) {
    wake_at(ctx.loop().wall_now() + Duration(10ms) * (1 << suspect_tries_++));
  } else {
    suspects_.clear();
  }
  co_return Status();
}

// An agent that was restarted goes on with the delays that the restart counts tell.
void PodWorker::seed_backoff(WallTime now) {
  seeded_ = true;
  std::set<std::string> seen;
  for (const cri::Container& c : actual_.containers) {
    if (!seen.insert(c.name).second || c.state != ContainerState::kExited || c.attempt == 0)
      continue;
    WallTime failed{c.finished_at_ns};
    if (now - failed > 2 * Backoff::kMax) continue;
    auto hash = c.annotations.find(kHashAnnotation);
    if (hash == c.annotations.end()) continue;
    Backoff& b = backoff_[backoff_key(c.name, hash->second)];
    for (uint32_t i = 0; i < std::min(c.attempt, 8u); ++i) b.next(failed, failed);
  }
}

Task<void> PodWorker::sync(Context ctx) {
  // Each round carries out one plan; a plan that did something is followed by another look.
  for (int round = 0; round < 20 && !ctx.done(); ++round) {
    Status s = co_await refresh(ctx);
    if (!s.ok()) {
      if (!ctx.done() && unread_.news(ctx.loop().now(), s.message())) {
        log::warn("Cannot read the runtime's state", {{"pod", key_}, {"error", s}});
      }
      wake_at(ctx.loop().wall_now() + 1s);
      co_return;
    }
    unread_.over();
    update_probes();
    bool late = co_await past_deadline(ctx);
    if (late) {
      if (!failed_reason_.empty()) co_await give_up_volumes(ctx);
      co_return;
    }
    co_await resize(ctx);
    PlanInput in;
    in.pod = &*pod_;
    in.actual = &actual_;
    in.backoff = backoff_;
    in.now = ctx.loop().wall_now();
    Probes::Results results = s_.probes->results(uid_);
    in.liveness_failed = results.liveness_failed;
    in.startup_failed = results.startup_failed;
    in.started = results.started;
    std::erase_if(reset_, [this](const auto& r) { return actual_.latest(r.first) != nullptr; });
    in.reset = reset_;
    PodPlan next = plan(in);
    restarting_all_ = !next.reset.empty();
    for (auto& [name, w] : next.waiting) {
      auto old = waiting_.find(name);
      if (old == waiting_.end() || old->second.reason != w.reason)
        event(name, "Warning", "BackOff",
              "Back-off restarting failed container " + name + " in pod " + pod_full_name(*pod_));
      waiting_[name] = w;
    }
    for (const cri::Container& c : actual_.containers)
      if (c.state == ContainerState::kRunning) waiting_.erase(c.name);
    if (next.wake_at) wake_at(*next.wake_at);
    // Whoever waits for its claims may have them once it is known to have ended.
    bool released = true;
    if (next.finished) released = co_await release_claims(ctx);
    if (!released) co_return;
    publish();
    bool nothing = !next.create_sandbox && next.reset.empty() && next.start.empty() &&
                   next.kill.empty() && next.stop_sandboxes.empty();
    if (nothing) {
      co_await trim_sandboxes(ctx);
      if (next.finished) co_await give_up_volumes(ctx);
      if (!next.finished && !actual_.sandboxes.empty()) {
        // Configmaps, secrets and tokens are kept fresh while the pod runs.
        Status fresh = co_await prepare(ctx);
        if (fresh.ok()) {
          prepare_pause_ = {};
        } else {
          // A configmap or secret that appears wakes the worker at once; a driver does not.
          try_again(ctx, &prepare_pause_, 500ms, 60s);
          if (!ctx.done()) log::warn("Cannot refresh volumes", {{"pod", key_}, {"error", fresh}});
        }
      }
      co_return;
    }
    s = co_await carry_out(ctx, std::move(next));
    if (!s.ok()) {
      publish();
      co_return;
    }
  }
}

// Ends a pod that has been active longer than spec.activeDeadlineSeconds.
Task<bool> PodWorker::past_deadline(Context ctx) {
  if (!failed_reason_.empty()) co_return true;
  auto spec = pod_->spec();
  if (!spec.has_active_deadline_seconds()) co_return false;
  std::string_view phase = pod_->status().phase();
  if (phase == "Succeeded" || phase == "Failed") co_return false;
  auto started = parse_time(pod_->status().start_time());
  WallTime end = (started.ok() ? *started : first_seen_) +
                 std::chrono::seconds(spec.active_deadline_seconds());
  if (ctx.loop().wall_now() < end) {
    wake_at(end);
    co_return false;
  }
  Ending why;
  why.reason = "DeadlineExceeded";
  why.message = "Pod was active on the node longer than the specified deadline";
  why.grace_seconds = grace_seconds();
  event("", "Normal", why.reason, why.message);
  end_early(std::move(why));
  co_return true;
}

int64_t PodWorker::ending_grace() const {
  int64_t grace = grace_seconds();
  if (ending_) grace = std::min(grace, ending_->grace_seconds);
  return hurry_ ? std::min(grace, *hurry_) : grace;
}

void PodWorker::hurry(int64_t grace_seconds) {
  hurry_ = std::max<int64_t>(std::min(hurry_.value_or(grace_seconds), grace_seconds), 1);
  note_grace();
}

// A grace period only becomes shorter.
void PodWorker::note_grace() {
  if (stopping_ && ending_grace() < stopping_->grace) stopping_->ctx.cancel();
}

// Everything, within the pod's grace period; should that become shorter meanwhile, within what is
// left of it then.
Task<void> PodWorker::stop_within_grace(Context ctx) {
  while (!ctx.done()) {
    int64_t grace = ending_grace();
    if (stopping_) {
      Status s = co_await refresh(ctx);
      if (!s.ok()) break;  // whoever asked looks again
      const auto left =
          std::chrono::duration_cast<std::chrono::seconds>(stopping_->ends - ctx.loop().now());
      grace = std::min<int64_t>(ending_grace(), std::max<int64_t>(left.count(), 1));
    }
    stopping_.emplace(ctx.child(), ending_grace(), ctx.loop().now() + std::chrono::seconds(grace));
    Context round = stopping_->ctx;
    co_await stop_everything(round, grace);
    if (!round.done()) break;
  }
  stopping_.reset();
}

bool PodWorker::end_early(Ending why) {
  if (ends_early() || deleting()) return false;
  why.grace_seconds = std::max<int64_t>(std::min(why.grace_seconds, grace_seconds()), 1);
  ending_ = std::move(why);
  sync_ctx_.cancel();  // a pull or a start under way
  wake();
  return true;
}

// The pod has failed once nothing of it runs: controllers that replace it count on that.
Task<void> PodWorker::carry_out_ending(Context ctx) {
  sync_ctx_ = ctx_.child();
  s_.probes->stop(uid_);
  Duration pause = 100ms;
  bool first = true;
  for (bool running = true; running && !ctx.done();) {
    Status s = co_await refresh(ctx);
    if (s.ok() && first) co_await stop_within_grace(ctx);
    if (s.ok() && !first) co_await stop_everything(ctx, 0);
    known_sandboxes_.clear();
    s = co_await refresh(ctx);
    running = !s.ok();
    for (const cri::Container& c : actual_.containers)
      running = running || c.state == ContainerState::kRunning;
    if (!running) break;
    first = false;
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 5s);
  }
  bool released = false;
  while (!released && !ctx.done()) {
    released = co_await release_claims(ctx);
    if (!released) (void)co_await ctx.sleep(claims_pause_);
  }
  if (ctx.done()) co_return;
  failed_reason_ = ending_->reason;
  failed_message_ = ending_->message;
  disruption_ = ending_->disruption;
  ending_.reset();
  publish();
  if (s_.ended_early) s_.ended_early(uid_);
  co_await give_up_volumes(ctx);
}

// A pod that has ended uses no volume: what it wrote goes, and what others wait for is let go of.
Task<void> PodWorker::give_up_volumes(Context ctx) {
  if (emptied_) co_return;
  Status s = co_await s_.host->give_up_volumes(ctx, uid_);
  emptied_ = s.ok();
  if (emptied_ && !failed_reason_.empty() && s_.ended_early) s_.ended_early(uid_);
  if (s.ok() || ctx.done()) co_return;
  log::warn("Cannot take the pod's volumes down", {{"pod", key_}, {"error", s}});
  try_again(ctx, &empty_pause_, 1s, 30s);
}

// Takes all containers away; the next look starts them anew. Their logs stay until the next time.
Task<Status> PodWorker::reset(Context ctx, std::vector<PodPlan::Reset> all) {
  for (PodPlan::Reset& r : all) {
    if (r.running) {
      s_.probes->acknowledge(uid_, r.id);
      co_await kill(ctx, r.id, r.name, "killing", 0);
    }
    Status s = co_await s_.runtime->remove_container(ctx, r.id);
    if (!s.ok() && !s.is(Reason::kNotFound)) {
      wake_at(ctx.loop().wall_now() + 1s);
      co_return s;
    }
    reset_[r.name] = std::max(reset_[r.name], r.attempt);
    waiting_.erase(r.name);
    std::string old = std::exchange(reset_logs_[r.name], known_[r.id].log_path);
    if (!old.empty() && old != reset_logs_[r.name])
      (void)co_await s_.host->remove_log(ctx, std::move(old));
    known_.erase(r.id);
    messages_.erase(r.id);
  }
  co_return Status();
}

Task<Status> PodWorker::carry_out(Context ctx, PodPlan next) {
  if (!next.reset.empty()) {
    log::info("All containers of the pod are started anew", {{"pod", key_}});
    co_return co_await reset(ctx, std::move(next.reset));
  }
  for (PodPlan::Kill& k : next.kill) {
    s_.probes->acknowledge(uid_, k.id);
    Container c = container(k.name);
    int64_t grace = grace_seconds();
    auto probe =
        k.message.find("startup") != std::string::npos ? c.startup_probe() : c.liveness_probe();
    if (!k.reason.empty() && probe.has_termination_grace_period_seconds())
      grace = probe.termination_grace_period_seconds();
    co_await kill(ctx, k.id, k.name, k.message, grace);
  }
  if (!next.stop_sandboxes.empty() && next.create_sandbox)
    event("", "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
  for (std::string& id : next.stop_sandboxes) co_await stop_sandbox(ctx, id);
  if (next.create_sandbox) {
    Status s = co_await make_sandbox(ctx, next.sandbox_attempt);
    if (!s.ok()) co_return s;
    TRY_CO(refresh(ctx));
  }
  if (!next.start.empty()) TRY_CO(guard_network(ctx));
  Status first;
  for (PodPlan::Start& start : next.start) {
    Status s = co_await start_container(ctx, start);
    if (!s.ok() && first.ok()) first = s;
    if (ctx.done()) co_return ctx.status();
  }
  co_return first;
}

// --- what a pod needs before its containers ---

Task<Status> PodWorker::prepare(Context ctx) {
  s_.objects->use(uid_, referenced_objects(*pod_));
  MountedVolumes known = volumes_ ? *volumes_ : MountedVolumes();
  auto got = co_await s_.host->set_up_volumes(ctx, pod_, facts(), known);
  if (!got.ok()) {
    if (!ctx.done()) event("", "Warning", "FailedMount", got.status().message());
    co_return got.status();
  }
  volumes_ = std::move(*got);
  for (const auto& [name, v] : *volumes_)
    if (!v.trouble.empty() && !ctx.done()) event("", "Warning", "FailedMount", v.trouble);
  wake_at(s_.host->next_refresh(uid_));
  co_return Status();
}

Task<Status> PodWorker::make_sandbox(Context ctx, uint32_t attempt) {
  WallTime now = ctx.loop().wall_now();
  if (sandbox_backoff_.waiting(sandbox_backoff_.last, now)) {
    wake_at(sandbox_backoff_.until(sandbox_backoff_.last));
    co_return Status::unavailable("waiting to try the pod sandbox again");
  }
  const std::string trouble = pod_->spec().host_network() ? "" : s_.network_trouble();
  if (!trouble.empty()) {
    event("", "Warning", "NetworkNotReady", "network is not ready: " + trouble);
    wake_at(now + 500ms);
    co_return Status::unavailable("network is not ready");
  }
  TRY_CO(prepare_claims(ctx));
  Qos qos = qos_of(*pod_);
  cgroup_limits_ = own_limits();
  actual_whole_ = allocation_.whole();
  Status s = co_await s_.host->set_cgroup(ctx, qos, uid_, cgroup_limits_);
  if (s.ok()) s = co_await prepare(ctx);
  if (!s.ok()) {
    try_again(ctx, &prepare_pause_, 500ms, 60s);
    if (!ctx.done()) log::warn("Cannot prepare the pod", {{"pod", key_}, {"error", s}});
    co_return s;
  }
  prepare_pause_ = {};
  DnsDefaults dns = co_await s_.dns(ctx);
  auto config = make_sandbox_config(*pod_, attempt, s_.logs_directory,
                                    s_.host->cgroup_parent(qos, uid_), dns);
  std::string log = pod_log_directory("", *pod_).substr(1);
  s = co_await s_.host->make_log_directory(ctx, std::move(log));
  if (!s.ok()) co_return s;
  auto choice = co_await choose_runtime(ctx);
  Result<std::string> id = Status::unavailable("there is no sandbox yet");
  if (!choice.ok()) id = choice.status();
  if (!config.ok()) id = config.status();
  if (config.ok() && choice.ok()) {
    std::string handler = choice->handler;
    config->namespaces.user_ids = choice->user_ids;
    const TimePoint began = ctx.loop().now();
    id = co_await s_.runtime->run_sandbox(ctx, std::move(*config), handler);
    node_metrics::sandbox_started(handler, ctx.loop().now() - began, id.ok());
  }
  if (!id.ok()) {
    if (ctx.done()) co_return ctx.status();
    event("", "Warning", "FailedCreatePodSandBox",
          "Failed to create pod sandbox: " + id.status().message());
    sandbox_backoff_.delay = std::clamp<Duration>(sandbox_backoff_.delay * 2, 500ms, 30s);
    sandbox_backoff_.last = ctx.loop().wall_now();
    wake_at(sandbox_backoff_.until(sandbox_backoff_.last));
    co_return id.status();
  }
  sandbox_backoff_ = {};
  s_.register_id(*id, uid_);
  co_return Status();
}

// Between the sandbox, which has the addresses, and the containers, which may use them.
Task<Status> PodWorker::guard_network(Context ctx) {
  const cri::Sandbox* sandbox = actual_.ready_sandbox();
  if (!s_.guard_network || !sandbox || sandbox->id == guarded_sandbox_) co_return Status();
  const std::string id = sandbox->id;
  std::vector<std::string> ips = sandbox->additional_ips;
  ips.insert(ips.begin(), sandbox->ip);
  Status s = co_await s_.guard_network(ctx, pod_, id, std::move(ips));
  if (s.ok()) {
    guarded_sandbox_ = id;
  } else {
    if (!ctx.done())
      event("", "Warning", "NetworkNotReady", "network is not ready: " + s.message());
    wake_at(ctx.loop().wall_now() + 500ms);
  }
  co_return s;
}

// The runtime's handler for this pod: its RuntimeClass's, never silently another; and whose users
// it has.
Task<Result<PodWorker::RuntimeChoice>> PodWorker::choose_runtime(Context ctx) {
  RuntimeChoice out;
  std::string name(pod_->spec().runtime_class_name());
  const bool host_users = !pod_->spec().has_host_users() || pod_->spec().host_users();
  if (!name.empty()) {
    TRY_ASSIGN_CO(found, s_.runtime_handler(ctx, name));
    out.handler = found;
  }
  cri::RuntimeStatus runtime = s_.runtime_status();
  auto features = runtime.handlers.find(out.handler);
  if (features != runtime.handlers.end()) out.features = features->second;
  if (host_users) co_return out;
  if (!out.features.user_namespaces) {
    std::string what =
        out.handler.empty() ? "runtime" : "RuntimeClass handler \"" + out.handler + "\"";
    co_return Status(Reason::kUnknown, "can't set `spec.hostUsers: false`, " + what +
                                           " does not support user namespaces");
  }
  TRY_ASSIGN_CO(ids, s_.host->user_ids(ctx, uid_));
  out.user_ids.push_back(ids);
  co_return out;
}

// --- status ---

void PodWorker::publish(bool ended) {
  // What ended under an earlier agent and has left nothing to look at stays as it was reported.
  std::string_view phase = pod_->status().phase();
  bool settled = !status_ && (phase == "Succeeded" || phase == "Failed");
  if (settled && actual_.containers.empty()) return;
  auto fresh = std::make_shared<Document>();
  StatusInput in;
  in.pod = &*pod_;
  api::core_v1::PodStatus last;
  if (status_) {
    last = api::core_v1::PodStatus(status_->root["status"]);
    in.last = &last;
  }
  in.actual = &actual_;
  in.waiting = waiting_;
  in.reset = reset_;
  in.restarting_all = restarting_all_;
  Probes::Results results = s_.probes->results(uid_);
  in.ready = std::move(results.ready);
  in.started = std::move(results.started);
  in.messages = messages_;
  in.host_ips = s_.host_ips();
  in.now = ctx_.loop().wall_now();
  in.start_time = first_seen_;
  in.ended = ended;
  in.rejected = rejected_;
  in.failed_reason = failed_reason_;
  in.failed_message = failed_message_;
  in.disruption = disruption_;
  in.allocation = &allocation_;
  in.actual_resources = &actual_resources_;
  in.actual_whole = &actual_whole_;
  in.resize = resize_;
  const cri::RuntimeStatus runtime = s_.runtime_status();
  in.runtime = runtime.name;
  // The class of a pod says no other handler's features here: only what is shown depends on it.
  auto features = runtime.handlers.find("");
  if (features != runtime.handlers.end())
    in.recursive_read_only = features->second.recursive_read_only_mounts;
  api::core_v1::PodEdit out(EditTarget{&fresh->root, &fresh->arena});
  build_status(in, out.edit_status());
  if (s_.managers) s_.managers->fill_status(*pod_, out.edit_status());
  if (status_ && status_->root.equals(fresh->root)) return;
  const std::string_view was = status_ ? status_->root["status"]["phase"].as_string() : phase;
  if (was == "Pending" && fresh->root["status"]["phase"].as_string() == "Running") {
    node_metrics::pod_started(in.now - first_seen_);
  }
  node_metrics::status_changed(status_ ? status_->root["status"] : pod_->status().value(),
                               fresh->root["status"]);
  status_ = std::move(fresh);
  status_dirty_.set();
}

Document PodWorker::current() const {
  Document tree;
  tree.root = deep_copy(tree.arena, pod_->value());
  if (status_) {
    api::core_v1::PodEdit pod(EditTarget{&tree.root, &tree.arena});
    pod.set_status(api::core_v1::PodStatus(status_->root["status"]));
  }
  return tree;
}

// Writes the newest status; what is overtaken is never sent.
Task<void> PodWorker::send_status(Context ctx) {
  Duration pause = 100ms;
  while (!ctx.done()) {
    (void)co_await status_dirty_.wait(ctx);
    if (ctx.done()) co_return;
    status_dirty_.reset();
    std::shared_ptr<Document> sending = status_;
    if (!sending || removed_ || sending == sent_) {
      sent_event_.set();
      continue;
    }
    if (static_ && mirror_uid_.empty()) {
      sent_event_.set();
      continue;
    }
    // Only before the first one: later the informer's copy may be older than what was sent.
    bool known = !sent_ && sending->root["status"].equals(pod_->status().value());
    if (known) {
      sent_ = sending;
      sent_event_.set();
      continue;
    }
    Document body = status_patch(*sending, sent_ ? sent_->root["status"] : pod_->status().value());
    api::core_v1::PodEdit edit(EditTarget{&body.root, &body.arena});
    edit.edit_metadata().set_uid(static_ ? mirror_uid_ : uid_);
    WriteOptions options;
    options.subresource = "status";
    std::string ns(pod_->metadata().namespace_()), name(pod_->metadata().name());
    auto r =
        co_await s_.client->patch(ctx.with_timeout(30s), &kind_of<Pod>(), ns, name,
                                  PatchType::kStrategicMerge, std::move(body), std::move(options));
    if (r.ok() || r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict)) {
      pause = 100ms;
      sent_ = sending;
      if (r.ok()) sent_revision_ = (*r)->revision();
      sent_event_.set();
      if (status_ != sending) status_dirty_.set();
      continue;
    }
    if (ctx.done()) co_return;
    log::warn("Cannot report the pod's status", {{"pod", key_}, {"error", r.status()}});
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 10s);
    status_dirty_.set();
  }
}

// Until the API has the newest status, or the pod is gone from it.
Task<void> PodWorker::await_sent(Context ctx) {
  while (!ctx.done() && !removed_ && status_ && sent_ != status_) {
    sent_event_.reset();
    status_dirty_.set();
    (void)co_await sent_event_.wait(ctx.with_timeout(1s));
  }
}

void PodWorker::update_probes() {
  std::vector<Probes::Target> targets;
  const cri::Sandbox* sandbox = actual_.ready_sandbox();
  if (sandbox) {
    std::set<std::string> seen;
    for (const cri::Container& c : actual_.containers) {
      if (!seen.insert(c.name).second || c.state != ContainerState::kRunning) continue;
      if (c.sandbox_id != sandbox->id) continue;
      Role role = Role::kMain;
      Container spec = container(c.name, &role);
      bool probed = role == Role::kMain || (role == Role::kInit && is_sidecar(spec));
      if (!spec || !probed) continue;
      targets.push_back({c.id, c.name, pod_->spec().host_network() ? s_.host_ip : sandbox->ip,
                         WallTime{c.started_at_ns}});
    }
  }
  s_.probes->update(pod_, targets, deleting() || ends_early());
}

}  // namespace keles::node
