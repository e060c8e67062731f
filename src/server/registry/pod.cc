// Pods: what is set on create, what an update may change, and the columns of `kubectl get pods`.
#include <algorithm>
#include <array>

#include "machinery/equality.h"
#include "machinery/quantity.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/objects/pod_references.h"
#include "server/registry/cells.h"
#include "server/registry/pod_app_armor.h"
#include "server/registry/pod_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

// --- quality of service -------------------------------------------------------------------------

bool counted(std::string_view resource) { return resource == "cpu" || resource == "memory"; }

// Guaranteed: every container limits cpu and memory, and requests as much; BestEffort: none names
// either; Burstable otherwise.
std::string_view qos_class(const Value& spec) {
  bool any = false, guaranteed = true;
  auto look = [&](const Value& resources) {
    const Value &limits = resources["limits"], &requests = resources["requests"];
    for (const Value* list : {&limits, &requests}) {
      for (const Member& m : list->members()) {
        any = any || (counted(m.key()) && !Quantity::parse_or_zero(m.value.as_string()).is_zero());
      }
    }
    for (std::string_view name : {"cpu", "memory"}) {
      Quantity limit = Quantity::parse_or_zero(limits[name].as_string());
      const Value* request = requests.find(name);
      bool same = !request || Quantity::parse_or_zero(request->as_string()) == limit;
      guaranteed = guaranteed && !limit.is_zero() && same;
    }
  };
  if (const Value& own = spec["resources"]; !own["limits"].empty() || !own["requests"].empty()) {
    look(own);
  } else {
    for (std::string_view list : {"containers", "initContainers"}) {
      for (const Value& c : spec[list].items()) look(c["resources"]);
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

void prepare_for_create(const HookContext& ctx, Document& now) {
  take_app_armor_annotations(ctx, now);
  Value status = Value::map();
  status.set(now.arena, "phase", Value::string("Pending"));
  status.set(now.arena, "qosClass", Value::string(qos_class(now.root["spec"])));
  if (!now.root["spec"]["schedulingGates"].empty()) {
    Value condition = Value::map();
    condition.set(now.arena, "type", Value::string("PodScheduled"));
    condition.set(now.arena, "status", Value::string("False"));
    condition.set(now.arena, "lastTransitionTime",
                  Value::string(now.arena.copy(format_time(ctx.now))));
    condition.set(now.arena, "reason", Value::string("SchedulingGated"));
    condition.set(now.arena, "message",
                  Value::string("Scheduling is blocked due to non-empty scheduling gates"));
    status.set(now.arena, "conditions", Value::list()).append(now.arena, condition);
  }
  now.root.set(now.arena, "status", status);
}

void prepare_for_status_update(const HookContext&, Document& now, const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  Arena& a = made.arena;
  Value status = deep_copy(a, now.root["status"]);
  if (status["qosClass"].as_string().empty()) {
    const Value& old = before["status"]["qosClass"];
    status.set(a, "qosClass",
               old.is_null() ? Value::string(qos_class(before["spec"])) : deep_copy(a, old));
  }
  made.root.set(a, "status", status);
  Value& meta = made.root.get_or_add(a, "metadata");
  for (std::string_view key : {"labels", "annotations", "finalizers"}) {
    const Value* v = now.root["metadata"].find(key);
    if (v && !v->is_null()) {
      meta.set(a, key, deep_copy(a, *v));
    } else {
      meta.erase(key);
    }
  }
  now = std::move(made);
}

// --- validation ---------------------------------------------------------------------------------

void validate(const HookContext&, const Value& now, FieldErrors& errors) {
  validate_pod_annotations(errors, now);
  validate_pod_spec(errors, FieldPath("spec"), now["spec"]);
}

constexpr std::string_view kMayNotChange =
    "pod updates may not change fields other than "
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

bool has_toleration(const Value& list, const Value& wanted) {
  // The seconds of a NoExecute toleration may change.
  auto same = [&](const Value& t) {
    for (std::string_view key : {"key", "operator", "value", "effect"}) {
      if (!t[key].equals(wanted[key])) return false;
    }
    return true;
  };
  return std::any_of(list.items().begin(), list.items().end(), same);
}

// `now` with the fields that may change taken back to what they were, for comparison.
void take_back_images(Arena& a, Value& spec, const Value& before, std::string_view list) {
  Value* containers = spec.find(list);
  if (!containers) return;
  size_t i = 0;
  for (Value& c : containers->items()) {
    c.set(a, "image", deep_copy(a, before[list].at(i++)["image"]));
  }
}

void take_back(Arena& a, Value& spec, const Value& before, std::string_view key) {
  if (const Value* old = before.find(key)) {
    spec.set(a, key, deep_copy(a, *old));
  } else {
    spec.erase(key);
  }
}

void validate_deadline(FieldErrors& e, const Value& now, const Value& before) {
  FieldPath at = FieldPath("spec")["activeDeadlineSeconds"];
  const Value &deadline = now["activeDeadlineSeconds"], &old = before["activeDeadlineSeconds"];
  if (old.is_null() || deadline.equals(old)) return;
  if (deadline.is_null()) {
    field::invalid(e, at, deadline, "must not update from a positive integer to nil value");
  } else if (deadline.as_int() > old.as_int()) {
    field::invalid(e, at, deadline.as_int(), "must be less than or equal to previous value");
  }
}

void validate_update(const HookContext&, const Value& now, const Value& before,
                     FieldErrors& errors) {
  validate_pod_annotation_update(errors, now, before);
  static const TypeDesc& type = *find_type("io.k8s.api.core.v1.PodSpec");
  const Value &spec = now["spec"], &old = before["spec"];
  if (spec.equals(old)) return;
  FieldPath at("spec");
  for (std::string_view list : {"containers", "initContainers"}) {
    if (spec[list].size() != old[list].size()) {
      field::forbidden(errors, at[list],
                       list == "containers" ? "pod updates may not add or remove containers"
                                            : "pod updates may not add or remove init containers");
      return;
    }
  }
  validate_deadline(errors, spec, old);
  for (const Value& t : old["tolerations"].items()) {
    if (!has_toleration(spec["tolerations"], t)) {
      field::forbidden(errors, at["tolerations"],
                       "existing toleration can not be modified except its tolerationSeconds");
      break;
    }
  }
  Document rest;
  rest.root = deep_copy(rest.arena, spec);
  Arena& a = rest.arena;
  take_back_images(a, rest.root, old, "containers");
  take_back_images(a, rest.root, old, "initContainers");
  take_back(a, rest.root, old, "activeDeadlineSeconds");
  take_back(a, rest.root, old, "tolerations");
  if (old["terminationGracePeriodSeconds"].as_int() < 0 &&
      spec["terminationGracePeriodSeconds"].as_int() == 1) {
    take_back(a, rest.root, old, "terminationGracePeriodSeconds");
  }
  if (!old["schedulingGates"].empty()) {
    // A gated pod may lose gates, and narrow where it may run.
    for (const Value& g : spec["schedulingGates"].items()) {
      bool known =
          std::any_of(old["schedulingGates"].items().begin(), old["schedulingGates"].items().end(),
                      [&](const Value& o) { return o["name"].equals(g["name"]); });
      if (!known) {
        field::forbidden(errors, at["schedulingGates"],
                         "only deletion is allowed, but found new scheduling gate '" +
                             std::string(g["name"].as_string()) + "'");
      }
    }
    take_back(a, rest.root, old, "schedulingGates");
    take_back(a, rest.root, old, "nodeSelector");
    take_back(a, rest.root, old, "affinity");
  }
  if (!same_meaning(type, rest.root, old)) field::forbidden(errors, at, std::string(kMayNotChange));
}

void validate_status_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& errors) {
  validate_pod_annotation_update(errors, now, before);
  FieldPath at("status");
  const Value& status = now["status"];
  if (!status["qosClass"].equals(before["status"]["qosClass"]) &&
      !before["status"]["qosClass"].is_null()) {
    field::invalid(errors, at["qosClass"], status["qosClass"], "field is immutable");
  }
  size_t i = 0;
  for (const Value& ip : status["podIPs"].items()) {
    field::invalid_each(errors, at["podIPs"][i++], ip["ip"].as_string(),
                        check_ip(ip["ip"].as_string()));
  }
  static constexpr std::array<std::string_view, 5> kPhases{"Failed", "Pending", "Running",
                                                           "Succeeded", "Unknown"};
  std::string_view phase = status["phase"].as_string();
  if (!phase.empty() && std::find(kPhases.begin(), kPhases.end(), phase) == kPhases.end()) {
    field::not_supported(errors, at["phase"], phase, kPhases);
  }
}

// --- subresources -------------------------------------------------------------------------------

void prepare_for_subresource(const HookContext&, std::string_view subresource, Document& now,
                             const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  Arena& a = made.arena;
  Value& spec = made.root.get_or_add(a, "spec");
  const Value& sent = now.root["spec"];
  if (subresource == "ephemeralcontainers") {
    spec.set(a, "ephemeralContainers", deep_copy(a, sent["ephemeralContainers"]));
  } else if (subresource == "resize") {
    for (std::string_view list : {"containers", "initContainers"}) {
      Value* containers = spec.find(list);
      if (!containers) continue;
      for (Value& c : containers->items()) {
        for (const Value& s : sent[list].items()) {
          if (!s["name"].equals(c["name"])) continue;
          for (std::string_view key : {"resources", "resizePolicy"}) {
            if (s.find(key)) c.set(a, key, deep_copy(a, s[key]));
          }
        }
      }
    }
  }
  now = std::move(made);
}

void validate_subresource(const HookContext&, std::string_view subresource, const Value& now,
                          const Value& before, FieldErrors& errors) {
  // What a node runs from its own files is not the API's to change.
  if (server::is_mirror_pod(before)) {
    field::forbidden(errors, FieldPath(""),
                     subresource == "resize" ? "static pods cannot be resized"
                                             : "static pods do not support ephemeral containers");
    return;
  }
  validate_pod_annotation_update(errors, now, before);
  if (subresource == "ephemeralcontainers") {
    const Value& list = now["spec"]["ephemeralContainers"];
    for (const Value& old : before["spec"]["ephemeralContainers"].items()) {
      bool kept = std::any_of(list.items().begin(), list.items().end(),
                              [&](const Value& c) { return c.equals(old); });
      if (!kept) {
        field::forbidden(errors, FieldPath("spec")["ephemeralContainers"],
                         "existing ephemeral containers " + quoted(old["name"].as_string()) +
                             " may not be removed or changed");
      }
    }
  } else if (subresource == "resize") {
    if (qos_class(now["spec"]) != before["status"]["qosClass"].as_string()) {
      field::invalid(errors, FieldPath("spec"), qos_class(now["spec"]),
                     "Pod QOS Class may not change as a result of resizing");
    }
  }
  PodValidation options;
  options.ephemeral_allowed = true;
  validate_pod_spec(errors, FieldPath("spec"), now["spec"], options);
}

int64_t grace_period_seconds(const Value& object, std::optional<int64_t> requested) {
  int64_t period = 0;
  if (requested) {
    period = *requested;
  } else if (const Value& own = object["spec"]["terminationGracePeriodSeconds"]; own.is_int()) {
    period = own.as_int();
  }
  std::string_view phase = object["status"]["phase"].as_string();
  if (object["spec"]["nodeName"].as_string().empty()) return 0;
  if (phase == "Failed" || phase == "Succeeded") return 0;
  return period < 0 ? 1 : period;
}

// --- columns ------------------------------------------------------------------------------------

// What `kubectl get pods` says of a pod's containers.
struct Summary {
  std::string reason;
  int64_t ready = 0, total = 0, restarts = 0;
  std::string_view last_restart;  // RFC 3339; texts of one form compare as times do
};

void count_restart(const Value& status, int64_t* restarts, std::string_view* last) {
  *restarts += status["restartCount"].as_int();
  std::string_view at = status["lastState"]["terminated"]["finishedAt"].as_string();
  if (at > *last) *last = at;
}

std::string exit_text(const Value& terminated) {
  if (int64_t signal = terminated["signal"].as_int(); signal != 0) {
    return "Signal:" + std::to_string(signal);
  }
  return "ExitCode:" + std::to_string(terminated["exitCode"].as_int());
}

// Init containers that keep running beside the others (sidecars).
bool restartable(const Value& spec, const Value& status) {
  for (const Value& c : spec["initContainers"].items()) {
    if (c["name"].equals(status["name"])) return c["restartPolicy"].as_string() == "Always";
  }
  return false;
}

// True while init containers still have to run; `s` then says which.
bool summarize_init(const Value& pod, Summary* s, int64_t* sidecar_restarts,
                    std::string_view* sidecar_last) {
  const Value& spec = pod["spec"];
  size_t i = 0;
  for (const Value& c : pod["status"]["initContainerStatuses"].items()) {
    count_restart(c, &s->restarts, &s->last_restart);
    bool sidecar = restartable(spec, c);
    if (sidecar) count_restart(c, sidecar_restarts, sidecar_last);
    const Value &terminated = c["state"]["terminated"], &waiting = c["state"]["waiting"];
    size_t at = i++;
    if (!terminated.is_null() && terminated["exitCode"].as_int() == 0) continue;
    if (sidecar && c["started"].as_bool()) {
      if (c["ready"].as_bool()) ++s->ready;
      continue;
    }
    std::string_view why = waiting["reason"].as_string();
    if (!terminated.is_null()) {
      std::string_view reason = terminated["reason"].as_string();
      s->reason = "Init:" + (reason.empty() ? exit_text(terminated) : std::string(reason));
    } else if (!why.empty() && why != "PodInitializing") {
      s->reason = "Init:" + std::string(why);
    } else {
      s->reason =
          "Init:" + std::to_string(at) + "/" + std::to_string(spec["initContainers"].size());
    }
    return true;
  }
  return false;
}

void summarize_containers(const Value& pod, Summary* s) {
  bool running = false;
  auto statuses = pod["status"]["containerStatuses"].items();
  for (size_t i = statuses.size(); i-- > 0;) {
    const Value& c = statuses[i];
    count_restart(c, &s->restarts, &s->last_restart);
    const Value& state = c["state"];
    const Value& terminated = state["terminated"];
    std::string_view waiting = state["waiting"]["reason"].as_string();
    if (!waiting.empty()) {
      s->reason = waiting;
    } else if (!terminated.is_null()) {
      std::string_view reason = terminated["reason"].as_string();
      s->reason = reason.empty() ? exit_text(terminated) : std::string(reason);
    } else if (c["ready"].as_bool() && !state["running"].is_null()) {
      running = true;
      ++s->ready;
    }
  }
  // One that has ended does not hide one that runs.
  if (s->reason == "Completed" && running) {
    s->reason = condition_true(pod["status"]["conditions"], "Ready") ? "Running" : "NotReady";
  }
}

Summary summarize(const Value& pod) {
  const Value &spec = pod["spec"], &status = pod["status"];
  std::string_view phase = status["phase"].as_string(), reason = status["reason"].as_string();
  Summary s;
  s.reason = reason.empty() ? phase : reason;
  for (const Value& c : status["conditions"].items()) {
    if (c["type"].as_string() == "PodScheduled" && c["reason"].as_string() == "SchedulingGated") {
      s.reason = "SchedulingGated";
    }
  }
  s.total = static_cast<int64_t>(spec["containers"].size());
  for (const Value& c : spec["initContainers"].items()) {
    if (c["restartPolicy"].as_string() == "Always") ++s.total;
  }
  int64_t sidecar_restarts = 0;
  std::string_view sidecar_last;
  bool initializing = summarize_init(pod, &s, &sidecar_restarts, &sidecar_last);
  if (!initializing || condition_true(status["conditions"], "Initialized")) {
    s.restarts = sidecar_restarts;
    s.last_restart = sidecar_last;
    summarize_containers(pod, &s);
  }
  bool over = phase == "Failed" || phase == "Succeeded";
  if (!pod["metadata"]["deletionTimestamp"].is_null()) {
    if (reason == "NodeLost") {
      s.reason = "Unknown";
    } else if (!over) {
      s.reason = "Terminating";
    }
  }
  return s;
}

std::string gates_text(const Value& pod) {
  const Value& gates = pod["spec"]["readinessGates"];
  if (gates.empty()) return "<none>";
  size_t ok = 0;
  for (const Value& g : gates.items()) {
    if (condition_true(pod["status"]["conditions"], g["conditionType"].as_string())) ++ok;
  }
  return std::to_string(ok) + "/" + std::to_string(gates.size());
}

void cells(const HookContext& ctx, const Value& pod, Cells& out) {
  CellWriter w(ctx, out);
  Summary s = summarize(pod);
  w.text("Ready", std::to_string(s.ready) + "/" + std::to_string(s.total));
  w.text("Status", s.reason);
  std::string restarts = std::to_string(s.restarts);
  if (s.restarts != 0 && !s.last_restart.empty()) {
    restarts += " (" + w.age(s.last_restart) + " ago)";
  }
  w.text("Restarts", restarts);
  const Value& status = pod["status"];
  std::string_view ip = status["podIPs"].at(0)["ip"].as_string();
  w.text("IP", or_none(ip.empty() ? status["podIP"].as_string() : ip));
  w.text("Node", or_none(pod["spec"]["nodeName"].as_string()));
  w.text("Nominated Node", or_none(status["nominatedNodeName"].as_string()));
  w.text("Readiness Gates", gates_text(pod));
}

void validate_template(const HookContext&, const Value& now, FieldErrors& errors) {
  validate_pod_template(errors, FieldPath("template"), now["template"]);
}

void template_columns(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  template_cells(w, o["template"]["spec"], "");
  w.text("Pod Labels", labels_text(o["template"]["metadata"]["labels"]));
}

}  // namespace

extern const Strategy kPodStrategy{.warnings = pod_warnings,
                                   .status_warnings = pod_status_warnings,
                                   .prepare_for_create = prepare_for_create,
                                   .prepare_for_status_update = prepare_for_status_update,
                                   .validate = validate,
                                   .validate_update = validate_update,
                                   .validate_status_update = validate_status_update,
                                   .prepare_for_subresource = prepare_for_subresource,
                                   .validate_subresource = validate_subresource,
                                   .grace_period_seconds = grace_period_seconds,
                                   .cells = cells};

extern const Strategy kPodTemplateStrategy{
    .warnings = pod_template_warnings, .validate = validate_template, .cells = template_columns};

}  // namespace keles::registry
