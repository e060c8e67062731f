#include "node/pods/status.h"

#include <vector>

#include "base/list_text.h"
#include "machinery/time.h"
#include "node/cgroup/resources.h"
#include "node/pods/container_config.h"
#include "node/pods/containers.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::ContainerStateEdit;
using api::core_v1::ContainerStatus;
using api::core_v1::ContainerStatusEdit;
using api::core_v1::Pod;
using api::core_v1::PodCondition;
using api::core_v1::PodConditionEdit;
using api::core_v1::PodStatus;
using api::core_v1::PodStatusEdit;
using cri::ContainerState;

namespace {

bool is_own_condition(std::string_view type) {
  return type == "PodReadyToStartContainers" || type == "Initialized" || type == "Ready" ||
         type == "ContainersReady" || type == "PodScheduled" || type == "PodResizePending" ||
         type == "PodResizeInProgress" || type == "AllContainersRestarting";
}

constexpr std::string_view kDisruption = "DisruptionTarget";
constexpr std::string_view kByKubelet = "TerminationByKubelet";

// Others tell of disruptions too.
bool is_own_disruption(std::string_view type, std::string_view reason) {
  return type == kDisruption && reason == kByKubelet;
}

// "SIGRTMIN+3" of the CRI's SIGRTMINPLUS3.
std::string api_signal(std::string name) {
  for (auto [word, sign] : {std::pair("PLUS", "+"), std::pair("MINUS", "-")})
    if (const size_t at = name.find(word); at != std::string::npos)
      name.replace(at, std::string_view(word).size(), sign);
  return name;
}

std::string stamp(int64_t ns) { return format_time(WallTime{ns}); }

class StatusBuilder {
 public:
  StatusBuilder(const StatusInput& in, PodStatusEdit out)
      : in_(in), pod_(*in.pod), old_(in.last ? *in.last : pod_.status()), out_(out) {}

  void build() {
    if (pod_.metadata().generation() > 0)
      out_.set_observed_generation(pod_.metadata().generation());
    if (in_.rejected) return refused();
    auto init = pod_.spec().init_containers();
    if (!init.empty()) {
      auto list = out_.edit_init_container_statuses();
      for (Container c : init) add_container(c, Role::kInit, list.add());
    }
    auto list = out_.edit_container_statuses();
    for (Container c : pod_.spec().containers()) add_container(c, Role::kMain, list.add());
    add_ephemeral();
    bool past_init = in_.ended && initialized();
    for (size_t i = 0; past_init && i < list.size(); ++i) lost(list[i]);
    if (in_.failed_reason.empty()) {
      out_.set_phase(settled_phase());
    } else {
      out_.set_phase("Failed");
      out_.set_reason(in_.failed_reason);
      out_.set_message(in_.failed_message);
    }
    add_conditions();
    add_whole_resources();
    add_addresses();
  }

 private:
  void refused() {
    out_.set_phase("Failed");
    out_.set_reason(in_.failed_reason);
    out_.set_message(in_.failed_message);
    out_.set_qos_class(qos_name(qos_of(pod_)));
    add_start_time();
    for (PodCondition c : pod_.status().conditions()) out_.edit_conditions().add(c);
  }

  // Past its init containers: what is missing then is a failure.
  bool initialized() const {
    if (pod_.spec().init_containers().empty()) return true;
    for (Container c : pod_.spec().containers())
      if (in_.actual->latest(c.name())) return true;
    for (ContainerStatus s : out_.container_statuses())
      if (s.state().running() || s.state().terminated() || s.last_state().terminated()) return true;
    bool done = false;
    size_t i = 0;
    auto list = out_.init_container_statuses();
    for (Container c : pod_.spec().init_containers()) {
      ContainerStatus s = list[i++];
      auto t = s.state().terminated();
      done = is_sidecar(c) ? s.started() : t && t.exit_code() == 0;
    }
    return done;
  }

  // A container of which nobody knows how it ended.
  static void lost(ContainerStatusEdit s) {
    if (s.state().terminated()) return;
    s.clear_state();
    auto t = s.edit_state().edit_terminated();
    t.set_exit_code(137);
    t.set_reason("ContainerStatusUnknown");
    t.set_message("The container could not be located when the pod was terminated");
  }

  // A pod that is being deleted, or has ended, never goes back.
  std::string settled_phase() const {
    if (old_.phase() == "Failed" || old_.phase() == "Succeeded") return std::string(old_.phase());
    if (in_.ended) {
      for (ContainerStatus s : out_.container_statuses())
        if (!s.state().terminated() || s.state().terminated().exit_code() != 0) return "Failed";
      return "Succeeded";
    }
    return std::string(phase_of(pod_, out_));
  }

  ContainerStatus old_status(std::string_view name, Role role) const {
    auto list = role == Role::kMain   ? old_.container_statuses()
                : role == Role::kInit ? old_.init_container_statuses()
                                      : old_.ephemeral_container_statuses();
    for (ContainerStatus s : list)
      if (s.name() == name) return s;
    return {};
  }

  std::string container_id(const cri::Container& c) const { return in_.runtime + "://" + c.id; }

  void terminated(ContainerStateEdit state, const cri::Container& c) {
    auto t = state.edit_terminated();
    t.set_exit_code(c.exit_code);
    t.set_reason(!c.reason.empty() ? c.reason : c.exit_code == 0 ? "Completed" : "Error");
    auto message = in_.messages.find(c.id);
    if (message != in_.messages.end() && !message->second.empty())
      t.set_message(message->second);
    else if (!c.message.empty())
      t.set_message(c.message);
    t.set_started_at(stamp(c.started_at_ns));
    t.set_finished_at(stamp(c.finished_at_ns));
    t.set_container_id(container_id(c));
  }

  // What was reported to have ended and is not started again has no other state any more (the API
  // refuses one), whatever the runtime has forgotten or runs anew in another sandbox.
  bool ended_for_good(const Container& c, Role role, const ContainerStatus& old) const {
    auto t = old.state().terminated();
    return t && (role == Role::kEphemeral || !restarts(pod_, c, t.exit_code()));
  }

  void add_container(const Container& c, Role role, ContainerStatusEdit s) {
    bool init = role == Role::kInit;
    std::string name(c.name());
    const cri::Container* latest = in_.actual->latest(name);
    const cri::Container* last_dead = in_.actual->exited_before(name, latest);
    ContainerStatus old = old_status(name, role);
    auto waiting = in_.waiting.find(name);
    s.set_name(name);
    auto state = s.edit_state();
    auto last = s.edit_last_state();
    bool running = latest && latest->state == ContainerState::kRunning;
    bool exited = latest && latest->state == ContainerState::kExited;
    const auto taken = in_.reset.find(name);  // to be started anew, with all the others
    const bool away = !latest && taken != in_.reset.end();
    if (!away && ended_for_good(c, role, old) && !(exited && waiting == in_.waiting.end())) {
      state.set_terminated(old.state().terminated());
    } else if (running) {
      state.edit_running().set_started_at(stamp(latest->started_at_ns));
    } else if (exited) {
      if (waiting != in_.waiting.end()) {
        wait(state, waiting->second);
        last_dead = latest;
      } else {
        terminated(state, *latest);
      }
    } else if (waiting != in_.waiting.end()) {
      wait(state, waiting->second);
    } else if (away) {
      wait(state, {std::string(kRestartingAll), std::string(kRestartingAllMessage)});
    } else if (!latest && old.state().terminated()) {
      state.set_terminated(old.state().terminated());
    } else {
      wait(state,
           {pod_.spec().init_containers().empty() ? "ContainerCreating" : "PodInitializing", ""});
    }
    if (away) {
      auto t = last.edit_terminated();
      t.set_exit_code(137);
      t.set_reason(kRestartingAll);
      t.set_message(kRestartingAllMessage);
    } else if (last_dead) {
      terminated(last, *last_dead);
    } else if (old.last_state().terminated()) {
      last.set_terminated(old.last_state().terminated());
    }
    bool started = running && in_.started.contains(latest->id);
    bool completed_init = init && !is_sidecar(c) && exited && latest->exit_code == 0;
    bool ready = completed_init || (running && started && in_.ready.contains(latest->id));
    if (init && !is_sidecar(c) && running) ready = false;
    s.set_ready(ready);
    s.set_restart_count(latest ? latest->attempt : away ? taken->second + 1 : old.restart_count());
    s.set_image(latest && !latest->image.empty() && !latest->image.starts_with("sha256:")
                    ? std::string_view(latest->image)
                    : c.image());
    s.set_image_id(latest ? std::string_view(latest->image_ref) : old.image_id());
    if (latest) {
      s.set_container_id(container_id(*latest));
    } else if (!old.container_id().empty()) {
      s.set_container_id(old.container_id());
    }
    s.set_started(started);
    if (role != Role::kEphemeral) add_resources(c, running ? latest : nullptr, s);
    add_mounts(c, s);
    if (!latest) return;
    if (!latest->stop_signal.empty()) s.set_stop_signal(api_signal(latest->stop_signal));
    if (!latest->user) return;
    auto user = s.edit_user().edit_linux();
    user.set_uid(latest->user->uid);
    user.set_gid(latest->user->gid);
    auto groups = user.edit_supplemental_groups();
    for (int64_t group : latest->user->groups) groups.add(group);
  }

  // As what it is mounted, which the runtime does not know by volume.
  void add_mounts(const Container& c, ContainerStatusEdit s) {
    for (auto m : c.volume_mounts()) {
      auto out = s.edit_volume_mounts().add();
      out.set_name(m.name());
      out.set_mount_path(m.mount_path());
      if (!m.read_only()) continue;
      out.set_read_only(true);
      auto recursive = recursive_read_only(m, in_.recursive_read_only);
      out.set_recursive_read_only(recursive.ok() && *recursive ? "Enabled" : "Disabled");
    }
  }

  // What it has been given; of one that runs, what it has of that by now.
  void add_resources(const Container& c, const cri::Container* running, ContainerStatusEdit s) {
    if (!in_.allocation) return;
    const ResourceTexts own = resource_texts(c.resources());  // of what is not resized
    const ResourceTexts* texts = in_.allocation->container(c.name());
    if (!texts) texts = &own;
    s.edit_resources();
    if (c.resources()) s.set_resources(c.resources());
    write_texts(*texts, s.edit_resources());
    auto requests = s.resources().requests();
    if (!requests.empty()) s.set_allocated_resources(requests);
    if (!running || !in_.actual_resources) return;
    auto has = in_.actual_resources->find(running->id);
    if (has != in_.actual_resources->end()) write_texts(has->second, s.edit_resources());
  }

  // The same of the pod as a whole, when it asks as one.
  void add_whole_resources() {
    auto wanted = pod_.spec().resources();
    if (!in_.allocation || !wanted) return;
    out_.set_resources(wanted);
    write_texts(in_.allocation->whole(), out_.edit_resources());
    auto requests = out_.resources().requests();
    if (!requests.empty()) out_.set_allocated_resources(requests);
    if (in_.actual_whole) write_texts(*in_.actual_whole, out_.edit_resources());
  }

  void add_resize_conditions() {
    const ResizeState& r = in_.resize;
    if (out_.phase() == "Succeeded" || out_.phase() == "Failed") return;
    if (!r.pending_reason.empty()) {
      condition("PodResizePending", true, r.pending_reason, r.pending_message);
      last_condition().set_observed_generation(r.pending_generation);
    }
    if (r.in_progress) {
      condition("PodResizeInProgress", true, r.error.empty() ? "" : "Error", r.error);
      last_condition().set_observed_generation(r.generation);
    }
  }
  PodConditionEdit last_condition() {
    auto list = out_.edit_conditions();
    return list[list.size() - 1];
  }

  void add_ephemeral() {
    for (auto e : pod_.spec().ephemeral_containers()) {
      auto s = out_.edit_ephemeral_container_statuses().add();
      add_container(Container(e.value()), Role::kEphemeral, s);
      s.set_ready(false);
      s.clear_started();
    }
  }

  static void wait(ContainerStateEdit state, const Waiting& w) {
    auto e = state.edit_waiting();
    e.set_reason(w.reason);
    if (!w.message.empty()) e.set_message(w.message);
  }

  void add_addresses() {
    out_.set_qos_class(qos_name(qos_of(pod_)));
    if (!in_.host_ips.empty()) out_.set_host_ip(in_.host_ips.front());
    for (const std::string& ip : in_.host_ips) out_.edit_host_ips().add().set_ip(ip);
    const std::string host = in_.host_ips.empty() ? "" : in_.host_ips.front();
    std::vector<std::string> ips = pod_.spec().host_network() && !in_.actual->sandboxes.empty()
                                       ? in_.host_ips
                                       : in_.actual->pod_ips(host);
    // The addresses of a pod that has ended are kept as a record.
    if (ips.empty()) {
      for (auto old : old_.pod_ips()) ips.emplace_back(old.ip());
    }
    if (!ips.empty()) out_.set_pod_ip(ips.front());
    for (const std::string& ip : ips) out_.edit_pod_ips().add().set_ip(ip);
    add_start_time();
  }
  void add_start_time() {
    out_.set_start_time(old_.start_time().empty() ? std::string_view(start_text())
                                                  : old_.start_time());
  }
  const std::string& start_text() {
    start_text_ = format_time(in_.start_time.ns ? in_.start_time : in_.now);
    return start_text_;
  }

  // --- conditions ---

  void condition(std::string_view type, bool value, std::string_view reason,
                 std::string_view message) {
    PodCondition old;
    for (PodCondition c : old_.conditions())
      if (c.type() == type) old = c;
    std::string_view status = value ? "True" : "False";
    auto c = out_.edit_conditions().add();
    c.set_type(type);
    c.set_status(status);
    if (pod_.metadata().generation() > 0) c.set_observed_generation(pod_.metadata().generation());
    if (!reason.empty()) c.set_reason(reason);
    if (!message.empty()) c.set_message(message);
    if (old && old.status() == status) {
      c.set_last_transition_time(old.last_transition_time());
    } else {
      c.set_last_transition_time(format_time(in_.now));
    }
  }

  void add_conditions() {
    bool ended = out_.phase() == "Succeeded" || out_.phase() == "Failed";
    const cri::Sandbox* sandbox = in_.actual->ready_sandbox();
    bool has_sandbox = sandbox && (pod_.spec().host_network() || !sandbox->ip.empty());
    condition("PodReadyToStartContainers", has_sandbox, "", "");
    add_initialized(ended);
    std::string reason, message;
    bool containers_ready = false;
    if (out_.phase() == "Succeeded") {
      reason = "PodCompleted";
    } else if (out_.phase() == "Failed") {
      reason = "PodFailed";
    } else {
      containers_ready = all_ready(&reason, &message);
    }
    bool ready = containers_ready;
    std::string ready_reason = reason, ready_message = message;
    if (containers_ready) ready = gates_open(&ready_reason, &ready_message);
    condition("Ready", ready, ready_reason, ready_message);
    condition("ContainersReady", containers_ready, reason, message);
    for (PodCondition c : pod_.status().conditions())  // of other writers
      if (!is_own_condition(c.type()) && !(in_.disruption && c.type() == kDisruption))
        out_.edit_conditions().add(c);
    add_resize_conditions();
    if (in_.disruption) condition(kDisruption, true, kByKubelet, in_.failed_message);
    condition("PodScheduled", true, "", "");
    if (may_restart_all(pod_)) add_restarting();
  }

  void add_restarting() {
    if (out_.phase() == "Succeeded" || out_.phase() == "Failed") {
      condition("AllContainersRestarting", false,
                out_.phase() == "Failed" ? "PodFailed" : "PodCompleted", "");
    } else if (in_.restarting_all) {
      condition("AllContainersRestarting", true, "RestartAllContainersStarted",
                "container exited with restart policy rule");
    } else {
      condition("AllContainersRestarting", false, "", "");
    }
  }

  // A pod that starts its containers anew stays what it has become.
  bool was_initialized() const {
    if (!may_restart_all(pod_)) return false;
    for (PodCondition c : old_.conditions())
      if (c.type() == "Initialized") return c.status() == "True";
    return false;
  }

  void add_initialized(bool ended) {
    std::vector<std::string> waiting;
    bool main_began = false;
    for (Container c : pod_.spec().containers())
      if (in_.actual->latest(c.name())) main_began = true;
    auto list = out_.init_container_statuses();
    size_t i = 0;
    for (Container c : pod_.spec().init_containers()) {
      ContainerStatus s = list[i++];
      bool ok = is_sidecar(c) ? s.started() : s.state().terminated() && s.ready();
      if (!ok && !main_began) waiting.emplace_back(c.name());
    }
    if (waiting.empty() || was_initialized() || (ended && out_.phase() == "Succeeded")) {
      condition("Initialized", true, ended && out_.phase() == "Succeeded" ? "PodCompleted" : "",
                "");
    } else {
      condition("Initialized", false, "ContainersNotInitialized",
                "containers with incomplete status: " + go_list(waiting));
    }
  }

  bool all_ready(std::string* reason, std::string* message) {
    std::vector<std::string> unready;
    size_t i = 0;
    auto init = out_.init_container_statuses();
    for (Container c : pod_.spec().init_containers()) {
      ContainerStatus s = init[i++];
      if (is_sidecar(c) && !s.ready()) unready.emplace_back(c.name());
    }
    for (ContainerStatus s : out_.container_statuses())
      if (!s.ready()) unready.emplace_back(s.name());
    if (unready.empty()) return true;
    *reason = "ContainersNotReady";
    *message = "containers with unready status: " + go_list(unready);
    return false;
  }

  bool gates_open(std::string* reason, std::string* message) {
    for (auto gate : pod_.spec().readiness_gates()) {
      std::string type(gate.condition_type());
      bool found = false, open = false;
      for (PodCondition c : pod_.status().conditions())
        if (c.type() == type) {
          found = true;
          open = c.status() == "True";
        }
      if (open) continue;
      *reason = "ReadinessGatesNotReady";
      *message =
          found ? "the status of pod readiness gate \"" + type + "\" is not \"True\", but False"
                : "corresponding condition of pod readiness gate \"" + type + "\" does not exist.";
      return false;
    }
    return true;
  }

  const StatusInput& in_;
  const Pod& pod_;
  PodStatus old_;
  PodStatusEdit out_;
  std::string start_text_;
};

}  // namespace

namespace {

// What phase_of counts.
struct Tally {
  bool init_pending = false, init_failed = false, main_began = false, sidecar_runs = false;
  int running = 0, waiting = 0, stopped = 0, succeeded = 0, final = 0;
};

void count_init(const Pod& pod, const Container& c, const ContainerStatus& s, Tally& t) {
  if (is_sidecar(c)) {
    t.sidecar_runs = t.sidecar_runs || s.state().running();
    if (!s.started() && !t.main_began) t.init_pending = true;
    return;
  }
  auto done = s.state().terminated();
  auto last = s.state().waiting() ? s.last_state().terminated() : done;
  if (last && last.exit_code() != 0 && last.reason() != kRestartingAll &&
      !restarts(pod, c, last.exit_code()))
    t.init_failed = true;
  if ((!done || done.exit_code() != 0) && !t.main_began) t.init_pending = true;
}

void count_main(const Pod& pod, const Container& c, const ContainerStatus& s, Tally& t) {
  if (s.state().running()) {
    ++t.running;
    return;
  }
  auto ended = s.state().terminated();
  if (ended && ended.exit_code() == 0) ++t.succeeded;
  if (!ended) ended = s.last_state().terminated();
  if (!ended) {
    ++t.waiting;
    return;
  }
  ++t.stopped;
  if (ended.reason() != kRestartingAll && !restarts(pod, c, ended.exit_code())) ++t.final;
}

}  // namespace

std::string_view phase_of(const Pod& pod, const PodStatus& status) {
  Tally t;
  for (ContainerStatus s : status.container_statuses())
    t.main_began = t.main_began || s.state().running() || s.state().terminated() ||
                   s.last_state().terminated();
  size_t i = 0;
  auto init = status.init_container_statuses();
  for (Container c : pod.spec().init_containers()) count_init(pod, c, init[i++], t);
  i = 0;
  auto list = status.container_statuses();
  for (Container c : pod.spec().containers()) count_main(pod, c, list[i++], t);
  if (t.init_failed) return "Failed";
  if (t.init_pending || t.waiting > 0) return "Pending";
  if (t.running > 0 || t.sidecar_runs) return "Running";
  if (t.stopped == 0) return "Pending";
  if (t.stopped != t.final) return "Running";  // some are about to start again
  return t.stopped == t.succeeded ? "Succeeded" : "Failed";
}

namespace {

// A strategic merge keeps the members of a list that the patch does not name.
void replace_whole(Arena& a, Value& status, std::string_view list) {
  Value* v = status.find(list);
  if (v) v->append(a, Value::map()).set(a, "$patch", Value::string("replace"));
}

}  // namespace

Document status_patch(const Document& tree, const Value& before) {
  Document out = tree.clone();
  Value* status = out.root.find("status");
  if (!status) return out;
  if (Value* conditions = status->find("conditions")) {
    for (size_t i = conditions->items().size(); i-- > 0;) {
      Value& c = conditions->items()[i];
      std::string_view type = c["type"].as_string();
      if (!is_own_condition(type) && !is_own_disruption(type, c["reason"].as_string())) {
        conditions->erase_at(i);
        continue;
      }
      for (std::string_view field : {"reason", "message"})
        if (!c.find(field)) c.set(out.arena, field, Value());
    }
    for (const Value& old : before["conditions"].items()) {
      std::string_view type = old["type"].as_string();
      if (!type.starts_with("PodResize")) continue;
      bool there = false;
      for (const Value& c : conditions->items()) there = there || c["type"].as_string() == type;
      if (there) continue;
      Value& gone = conditions->append(out.arena, Value::map());
      gone.set(out.arena, "type", Value::string(out.arena.copy(type)));
      gone.set(out.arena, "$patch", Value::string("delete"));
    }
    if (conditions->items().empty()) status->erase("conditions");
  }
  replace_whole(out.arena, *status, "podIPs");
  replace_whole(out.arena, *status, "hostIPs");
  return out;
}

namespace {

bool is_empty(const Value& v) {
  return v.is_null() || (v.is_map() && v.members().empty()) || (v.is_list() && v.items().empty());
}

bool says(const Value& shown, const Value& ours) {
  if (is_empty(ours)) return true;
  if (ours.is_map()) {
    if (!shown.is_map()) return false;
    for (const Member& m : ours.members())
      if (!says(shown[m.key()], m.value)) return false;
    return true;
  }
  if (!ours.is_list()) return shown.equals(ours);
  if (!shown.is_list() || shown.items().size() != ours.items().size()) return false;
  for (size_t i = 0; i < ours.items().size(); ++i)
    if (!says(shown.items()[i], ours.items()[i])) return false;
  return true;
}

}  // namespace

bool is_reflected(const Value& ours, const Value& shown) {
  for (const Member& m : ours.members()) {
    if (m.key() != "conditions") {
      if (!says(shown[m.key()], m.value)) return false;
      continue;
    }
    for (const Value& c : m.value.items()) {
      std::string_view type = c["type"].as_string();
      if (!is_own_condition(type) && !is_own_disruption(type, c["reason"].as_string())) continue;
      bool found = false;
      for (const Value& other : shown["conditions"].items())
        found = found || (other["type"].as_string() == type &&
                          other["status"].as_string() == c["status"].as_string());
      if (!found) return false;
    }
  }
  return true;
}

void build_status(const StatusInput& in, PodStatusEdit out) { StatusBuilder(in, out).build(); }

}  // namespace keles::node
