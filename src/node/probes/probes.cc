#include "node/probes/probes.h"

#include <algorithm>

#include "base/log.h"
#include "node/pods/containers.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;
using api::core_v1::Probe;

namespace {

constexpr const char* kKindNames[] = {"Startup", "Readiness", "Liveness"};

}  // namespace

Probes::Probes(Context ctx, cri::Runtime& runtime, Events& events,
               std::function<void(const std::string&)> changed)
    : ctx_(ctx),
      runtime_(runtime),
      events_(events),
      changed_(std::move(changed)),
      tasks_(ctx.loop()) {}

Probe Probes::probe_of(const Container& c, Kind kind) {
  if (kind == Kind::kStartup) return c.startup_probe();
  return kind == Kind::kReadiness ? c.readiness_probe() : c.liveness_probe();
}

void Probes::update(const Ref<Pod>& pod, const std::vector<Target>& running, bool ending) {
  std::string uid(pod->metadata().uid());
  auto& states = pods_[uid];
  std::set<std::string> ids;
  for (const Target& t : running) ids.insert(t.container_id);
  for (auto it = states.begin(); it != states.end();) {
    if (ids.contains(it->first)) {
      ++it;
      continue;
    }
    it->second->ctx.cancel();
    it = states.erase(it);
  }
  for (auto& [id, state] : states) {
    if (!ending) break;
    state->restarting_ctx.cancel();
    state->started = true;
  }
  for (const Target& t : running) {
    if (states.contains(t.container_id)) continue;
    Container c = find_container(*pod, t.container_name).container;
    auto state = std::make_shared<State>(ctx_.child());
    state->started = ending || !c.startup_probe();
    state->has_readiness = static_cast<bool>(c.readiness_probe());
    state->ready = !state->has_readiness;
    states[t.container_id] = state;
    for (Kind k : {Kind::kStartup, Kind::kReadiness, Kind::kLiveness})
      if (probe_of(c, k) && (!ending || k == Kind::kReadiness))
        tasks_.spawn(probe_loop(this, {pod, uid, t.container_name, t, k, state}));
  }
  if (states.empty()) pods_.erase(uid);
}

void Probes::stop(const std::string& uid) {
  metrics_.forget(uid);
  auto it = pods_.find(uid);
  if (it == pods_.end()) return;
  for (auto& [id, state] : it->second) state->ctx.cancel();
  pods_.erase(it);
}

Probes::Results Probes::results(const std::string& uid) const {
  Results r;
  auto it = pods_.find(uid);
  if (it == pods_.end()) return r;
  for (const auto& [id, s] : it->second) {
    if (s->started) r.started.insert(id);
    if (s->started && s->ready) r.ready.insert(id);
    if (s->liveness_failed) r.liveness_failed.insert(id);
    if (s->startup_failed) r.startup_failed.insert(id);
  }
  return r;
}

void Probes::acknowledge(const std::string& uid, const std::string& container_id) {
  auto it = pods_.find(uid);
  if (it == pods_.end()) return;
  auto state = it->second.find(container_id);
  if (state == it->second.end()) return;
  state->second->ctx.cancel();
  it->second.erase(state);
}

void Probes::report(const Run& run, const ProbeOutcome& o) {
  std::string output = o.output.substr(0, 1024);
  std::string text =
      std::string(kKindNames[static_cast<int>(run.kind)]) +
      (o.errored ? " probe errored and resulted in unknown state: " : " probe failed: ") + output;
  events_.pod(run.pod, run.container_name, "Warning", "Unhealthy", text);
}

void Probes::warn(const Run& run, const ProbeOutcome& o) {
  std::string text =
      std::string(kKindNames[static_cast<int>(run.kind)]) + " probe warning: " + o.warning;
  events_.pod(run.pod, run.container_name, "Warning", "ProbeWarning", text.substr(0, 1024));
}

// True when the result is news.
bool Probes::apply(const Run& run, bool success) {
  State& s = *run.state;
  if (run.kind == Kind::kStartup) {
    if (success) {
      s.started = true;
    } else {
      s.startup_failed = true;
    }
    return true;
  }
  if (run.kind == Kind::kLiveness) {
    if (success) return false;
    s.liveness_failed = true;
    return true;
  }
  if (s.ready == success) return false;
  s.ready = success;
  return true;
}

Task<void> Probes::probe_loop(Probes* self, Run run) {
  Container c = find_container(*run.pod, run.container_name).container;
  Probe p = probe_of(c, run.kind);
  Context ctx = run.kind == Kind::kReadiness ? run.state->ctx : run.state->restarting_ctx;
  Loop& loop = ctx.loop();
  Duration period = std::chrono::seconds(p.period_seconds() > 0 ? p.period_seconds() : 10);
  Duration timeout = std::chrono::seconds(p.timeout_seconds() > 0 ? p.timeout_seconds() : 1);
  int64_t failure = p.failure_threshold() > 0 ? p.failure_threshold() : 3;
  int64_t success = p.success_threshold() > 0 ? p.success_threshold() : 1;
  Duration until =
      run.target.started_at + std::chrono::seconds(p.initial_delay_seconds()) - loop.wall_now();
  if (until.count() > 0) {
    Status s = co_await ctx.sleep(until);
    if (!s.ok()) co_return;
  }
  int64_t in_row = 0;
  bool last = false;
  const ProbeMetrics::Of about = {kKindNames[static_cast<int>(run.kind)], run.container_name,
                                  std::string(run.pod->metadata().name()),
                                  std::string(run.pod->metadata().namespace_()), run.uid};
  // Before the start-up probe has passed the others wait; it is looked at more often than a period
  // so that readiness follows at once.
  while (!ctx.done()) {
    if (run.kind != Kind::kStartup && !run.state->started) {
      Status s = co_await ctx.sleep(std::min<Duration>(period, 100ms));
      if (!s.ok()) co_return;
      continue;
    }
    TimePoint began = loop.now();
    ProbeOutcome o = co_await run_probe(ctx.with_timeout(timeout), p, c, run.target.container_id,
                                        run.target.pod_ip, &self->runtime_);
    if (ctx.done()) co_return;
    if (o.success && !o.warning.empty()) self->warn(run, o);
    if (!o.success) self->report(run, o);
    if (!o.errored) {
      self->metrics_.observe(about, o.success, loop.now() - began);
      in_row = o.success == last && in_row > 0 ? in_row + 1 : 1;
      last = o.success;
      if (in_row >= (o.success ? success : failure)) {
        bool news = self->apply(run, o.success);
        if (news) self->changed_(run.uid);
        if (run.kind == Kind::kStartup) co_return;
        if (run.kind == Kind::kLiveness && !o.success) co_return;
      }
    }
    Duration rest = period - (loop.now() - began);
    if (rest.count() > 0) {
      Status s = co_await ctx.sleep(rest);
      if (!s.ok()) co_return;
    }
  }
}

}  // namespace keles::node
