#include "node/pods/plan.h"

#include <algorithm>
#include <cstdio>

#include "base/encoding.h"
#include "machinery/time.h"
#include "node/pods/labels.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;
using cri::ContainerState;

bool Backoff::waiting(WallTime failed, WallTime now) const {
  if (delay.count() == 0 || failed - last > 2 * kMax) return false;
  return now - failed < delay;
}

void Backoff::next(WallTime failed, WallTime now) {
  if (delay.count() == 0 || failed - last > 2 * kMax) {
    delay = kInitial;
  } else {
    delay = std::min(delay * 2, kMax);
  }
  last = now;
}

const cri::Sandbox* PodRuntime::ready_sandbox() const {
  for (const cri::Sandbox& s : sandboxes)
    if (s.state == cri::SandboxState::kReady) return &s;
  return nullptr;
}

const cri::Container* PodRuntime::latest(std::string_view name, std::string_view sandbox_id) const {
  for (const cri::Container& c : containers)
    if (c.name == name && (sandbox_id.empty() || c.sandbox_id == sandbox_id)) return &c;
  return nullptr;
}

const cri::Container* PodRuntime::exited_before(std::string_view name,
                                                const cri::Container* than) const {
  for (const cri::Container& c : containers)
    if (c.name == name && c.state == ContainerState::kExited && &c != than &&
        (!than || c.attempt < than->attempt))
      return &c;
  return nullptr;
}

std::string PodRuntime::pod_ip() const {
  return sandboxes.empty() ? std::string() : sandboxes.front().ip;
}

std::vector<std::string> PodRuntime::pod_ips(std::string_view host_ip) const {
  if (sandboxes.empty() || sandboxes.front().ip.empty()) return {};
  auto v6 = [](std::string_view ip) { return ip.find(':') != ip.npos; };
  std::vector<std::string> all = sandboxes.front().additional_ips, out;
  all.insert(all.begin(), sandboxes.front().ip);
  for (bool family : {v6(host_ip), !v6(host_ip)}) {
    auto found = std::find_if(all.begin(), all.end(),
                              [&](const std::string& ip) { return v6(ip) == family; });
    if (found != all.end()) out.push_back(*found);
  }
  return out;
}

bool is_sidecar(const Container& c) { return c.restart_policy() == "Always"; }

namespace {

constexpr int64_t kKilled = 137;  // what a container that runs now would exit with

bool matches(const api::core_v1::ContainerRestartRule& rule, int64_t exit_code) {
  auto codes = rule.exit_codes();
  bool named = false;
  for (int64_t code : codes.values()) named = named || code == exit_code;
  return (codes.operator_() == "In" && named) || (codes.operator_() == "NotIn" && !named);
}

// What the first of its rules that matches says; "": none does.
std::string_view rule_action(const Container& c, int64_t exit_code) {
  for (auto rule : c.restart_policy_rules())
    if (matches(rule, exit_code)) return rule.action();
  return {};
}

}  // namespace

bool restarts_all(const Container& c, int64_t exit_code) {
  return rule_action(c, exit_code) == "RestartAllContainers";
}

bool may_restart_all(const Pod& pod) {
  auto any = [](auto containers) {
    for (Container c : containers)
      for (auto rule : c.restart_policy_rules())
        if (rule.action() == "RestartAllContainers") return true;
    return false;
  };
  return any(pod.spec().init_containers()) || any(pod.spec().containers());
}

bool restarts(const Pod& pod, const Container& c, int64_t exit_code) {
  std::string_view policy = c.restart_policy();
  if (!policy.empty()) {
    const std::string_view action = rule_action(c, exit_code);
    if (action == "Restart" || action == "RestartAllContainers") return true;
  } else {
    policy = pod.spec().restart_policy();
  }
  if (policy == "Never") return false;
  return policy == "OnFailure" ? exit_code != 0 : true;
}

bool should_run(const Pod& pod, const Container& c, const cri::Container* latest) {
  if (!latest) return true;
  if (latest->state == ContainerState::kRunning) return false;
  if (latest->state != ContainerState::kExited) return true;
  return restarts(pod, c, latest->exit_code);
}

std::string container_hash(const Container& c) {
  constexpr std::string_view kEnd("\0", 1);
  uint32_t h = fnv1a_32(c.name());
  for (std::string_view more : {kEnd, c.image(), kEnd}) h = fnv1a_32(more, h);
  char text[12];
  std::snprintf(text, sizeof text, "%x", h);
  return text;
}

std::string backoff_key(std::string_view name, std::string_view hash) {
  return std::string(name) + "/" + std::string(hash);
}

namespace {

WallTime at(int64_t ns) { return WallTime{ns}; }

class Planner {
 public:
  explicit Planner(const PlanInput& in) : in_(in), pod_(*in.pod), actual_(*in.actual) {}

  PodPlan run() {
    std::string_view phase = pod_.status().phase();
    if (phase == "Succeeded" || phase == "Failed") {  // for good, whatever the runtime has
      finish();
      return std::move(out_);
    }
    plan_reset();
    if (!out_.reset.empty()) return std::move(out_);
    choose_sandbox();
    if (!sandbox_ && !anything_to_run()) {
      finish();
      return std::move(out_);
    }
    if (!sandbox_) {
      // Stopping a dead one too gives its address back.
      out_.stop_sandboxes.clear();
      for (const cri::Sandbox& s : actual_.sandboxes) out_.stop_sandboxes.push_back(s.id);
      out_.create_sandbox = true;
      out_.sandbox_attempt = actual_.sandboxes.empty() ? 0 : actual_.sandboxes.front().attempt + 1;
    }
    if (plan_init()) plan_main();
    if (out_.finished) {
      finish();
    } else if (sandbox_) {
      plan_ephemeral();
    }
    return std::move(out_);
  }

 private:
  // A container exited with what restarts them all.
  void plan_reset() {
    std::vector<PodPlan::Reset> causes[2], others[2];
    bool due = false;
    auto gather = [&](auto containers, size_t kind) {
      for (Container c : containers) {
        const cri::Container* latest = actual_.latest(c.name());
        for (const cri::Container& r : actual_.containers) {
          if (r.name != c.name()) continue;
          const bool cause = r.state == ContainerState::kExited && restarts_all(c, r.exit_code);
          due = due || (cause && &r == latest);
          (cause ? causes : others)[kind].push_back(
              {r.id, r.name, r.attempt, r.state == ContainerState::kRunning});
        }
      }
    };
    gather(pod_.spec().containers(), 0);
    gather(pod_.spec().init_containers(), 1);
    if (!due) return;
    for (const auto& list : {others[0], others[1], causes[0], causes[1]})
      out_.reset.insert(out_.reset.end(), list.begin(), list.end());
  }
  // They were taken away, and the pod goes through all of them again. An agent that was restarted
  // meanwhile knows it from the status.
  bool being_reset(std::string_view name) const {
    if (in_.reset.contains(std::string(name))) return true;
    for (auto c : pod_.status().conditions())
      if (c.type() == "AllContainersRestarting") return c.status() == "True";
    return false;
  }

  // The sandbox to use: ready, with an address unless it is on the host's network.
  void choose_sandbox() {
    for (const cri::Sandbox& s : actual_.sandboxes) {
      bool usable = s.state == cri::SandboxState::kReady && !sandbox_ &&
                    (pod_.spec().host_network() || !s.ip.empty());
      if (usable) {
        sandbox_ = &s;
      } else if (s.state == cri::SandboxState::kReady || holds_running(s.id)) {
        out_.stop_sandboxes.push_back(s.id);
      }
    }
  }
  bool holds_running(std::string_view sandbox_id) const {
    for (const cri::Container& c : actual_.containers)
      if (c.sandbox_id == sandbox_id && c.state == ContainerState::kRunning) return true;
    return false;
  }

  // What has become of a container as far as its restart is concerned: one that runs in a sandbox
  // that is given up will be dead by then.
  bool will_run(const Container& c) const {
    const cri::Container* latest = actual_.latest(c.name());
    if (latest && latest->state == ContainerState::kRunning) return restarts(pod_, c, kKilled);
    return wanted(c, latest);
  }
  // Of a main container. What ended for good stays so when the runtime has lost its record.
  bool wanted(const Container& c, const cri::Container* latest) const {
    if (latest) return should_run(pod_, c, latest);
    if (being_reset(c.name())) return true;
    for (auto s : pod_.status().container_statuses()) {
      if (s.name() != c.name() || !s.state().terminated()) continue;
      return restarts(pod_, c, s.state().terminated().exit_code());
    }
    return true;
  }
  bool anything_to_run() const {
    for (Container c : pod_.spec().containers())
      if (will_run(c)) return !init_failed_for_good();
    return false;
  }
  bool init_failed_for_good() const {
    for (Container c : pod_.spec().init_containers()) {
      const cri::Container* latest = actual_.latest(c.name());
      if (!is_sidecar(c) && latest && latest->state == ContainerState::kExited &&
          latest->exit_code != 0 && !restarts(pod_, c, latest->exit_code))
        return true;
    }
    return false;
  }

  std::string_view sandbox_id() const { return sandbox_ ? std::string_view(sandbox_->id) : "-"; }

  // The pod has got past its init containers in this sandbox.
  bool initialized() const {
    for (Container c : pod_.spec().containers())
      if (actual_.latest(c.name(), sandbox_id())) return true;
    return false;
  }

  // False: the main containers are not to start yet.
  bool plan_init() {
    bool done_before = initialized();
    for (Container c : pod_.spec().init_containers()) {
      const cri::Container* latest = actual_.latest(c.name(), sandbox_id());
      if (is_sidecar(c)) {
        bool up = plan_sidecar(c, latest);
        if (!up && !done_before) return false;
        continue;
      }
      if (done_before) continue;
      if (latest && latest->state == ContainerState::kExited && latest->exit_code == 0) continue;
      if (latest && latest->state == ContainerState::kRunning) {
        check_running(c, latest, true);
        return false;
      }
      if (latest && latest->state == ContainerState::kExited &&
          !restarts(pod_, c, latest->exit_code)) {
        out_.finished = true;
        return false;
      }
      start(c, true);
      return false;
    }
    return true;
  }

  // True once it is up (running, and its startup probe has passed).
  bool plan_sidecar(const Container& c, const cri::Container* latest) {
    if (!latest || latest->state != ContainerState::kRunning) {
      if (main_finished()) return true;  // it is not restarted for the sake of nobody
      start(c, true);
      return false;
    }
    check_running(c, latest, true);
    return in_.started.contains(latest->id);
  }

  bool main_finished() const {
    for (Container c : pod_.spec().containers()) {
      const cri::Container* latest = actual_.latest(c.name());
      if (wanted(c, latest)) return false;
      if (latest && latest->state == ContainerState::kRunning) return false;
    }
    return true;
  }

  void plan_main() {
    bool keep = false;
    for (Container c : pod_.spec().containers()) {
      const cri::Container* latest = actual_.latest(c.name());
      bool running = latest && latest->state == ContainerState::kRunning;
      if (running && latest->sandbox_id == sandbox_id()) {
        keep = true;
        check_running(c, latest, false);
        continue;
      }
      bool again = running ? restarts(pod_, c, kKilled) : wanted(c, latest);
      if (!again) continue;
      keep = true;
      start(c, false);
    }
    out_.finished = !keep;
  }

  // Each is started once, beside whatever the pod is doing, and never again.
  void plan_ephemeral() {
    for (auto e : pod_.spec().ephemeral_containers()) {
      const cri::Container* latest = actual_.latest(e.name());
      bool began = latest && latest->state != ContainerState::kCreated;
      for (auto s : pod_.status().ephemeral_container_statuses())
        began = began || (s.name() == e.name() && (s.state().running() || s.state().terminated()));
      if (!began) out_.start.push_back({std::string(e.name()), false, 0, {}});
    }
  }

  // A running container that must be replaced: its definition changed, or a probe gave it up.
  void check_running(const Container& c, const cri::Container* now, bool init) {
    std::string name(c.name()), why, reason;
    bool restart = restarts(pod_, c, kKilled);
    auto hash = now->annotations.find(kHashAnnotation);
    if (!init && hash != now->annotations.end() && hash->second != container_hash(c)) {
      why = "Container " + name + " definition changed";
      restart = true;
    } else if (in_.startup_failed.contains(now->id)) {
      why = "Container " + name + " failed startup probe";
      reason = "Unhealthy";
    } else if (in_.liveness_failed.contains(now->id)) {
      why = "Container " + name + " failed liveness probe";
      reason = "Unhealthy";
    } else {
      return;
    }
    if (restart) why += ", will be restarted";
    out_.kill.push_back({now->id, name, why, reason});
    if (restart) start(c, init);
  }

  // Starts it, or says why it waits.
  void start(const Container& c, bool init) {
    std::string name(c.name());
    const cri::Container* latest = actual_.latest(name);
    const cri::Container* dead = latest && latest->state == ContainerState::kExited
                                     ? latest
                                     : actual_.exited_before(name, latest);
    WallTime failed = dead ? at(dead->finished_at_ns) : WallTime{};
    auto backoff = in_.backoff.find(backoff_key(name, container_hash(c)));
    if (dead && backoff != in_.backoff.end() && backoff->second.waiting(failed, in_.now)) {
      const Backoff& b = backoff->second;
      out_.waiting[name] = {"CrashLoopBackOff", "back-off " + format_duration(b.delay) +
                                                    " restarting failed container=" + name +
                                                    " pod=" + pod_key()};
      WallTime until = b.until(failed);
      if (!out_.wake_at || until < *out_.wake_at) out_.wake_at = until;
      return;
    }
    out_.start.push_back({name, init, next_attempt(name, latest), failed});
  }

  // Restart counts go on from what the API knows when the runtime has lost its records.
  uint32_t next_attempt(std::string_view name, const cri::Container* latest) const {
    if (latest) return latest->attempt + 1;
    if (auto taken = in_.reset.find(std::string(name)); taken != in_.reset.end())
      return taken->second + 1;
    auto known = [&](auto list) -> uint32_t {
      for (auto s : list) {
        if (s.name() != name) continue;
        const auto count = static_cast<uint32_t>(s.restart_count());
        if (s.state().running() || s.state().terminated()) return count + 1;
        if (s.state().waiting().reason() == kRestartingAll) return count;
      }
      return 0;
    };
    return std::max(known(pod_.status().container_statuses()),
                    known(pod_.status().init_container_statuses()));
  }

  std::string pod_key() const {
    return std::string(pod_.metadata().name()) + "_" + std::string(pod_.metadata().namespace_()) +
           "(" + std::string(pod_.metadata().uid()) + ")";
  }

  void finish() {
    out_.finished = true;
    out_.create_sandbox = false;
    out_.start.clear();
    out_.waiting.clear();
    out_.stop_sandboxes.clear();
    for (const cri::Sandbox& s : actual_.sandboxes)
      if (s.state == cri::SandboxState::kReady || holds_running(s.id))
        out_.stop_sandboxes.push_back(s.id);
  }

  const PlanInput& in_;
  const Pod& pod_;
  const PodRuntime& actual_;
  const cri::Sandbox* sandbox_ = nullptr;
  PodPlan out_;
};

}  // namespace

PodPlan plan(const PlanInput& in) { return Planner(in).run(); }

}  // namespace keles::node
