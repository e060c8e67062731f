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

// --- create
// ---------------------------------------------------------------------------------------

// Labels of the pod whose keys a term names become part of its selector: `In` for those that are to
// match, `NotIn` for the others.
void add_label_keys(Arena& a, Value* selector, const Value& keys, const Value& labels,
                    std::string_view op) {
  if (!selector || !selector->is_map()) return;
  for (const Value& key : keys.items()) {
    const Value* label = labels.find(key.as_string());
    if (!label) continue;
    Value values = Value::list();
    values.append(a, deep_copy(a, *label));
    Value expression = Value::map();
    expression.set(a, "key", deep_copy(a, key));
    expression.set(a, "operator", Value::string(op));
    expression.set(a, "values", values);
    Value& all = selector->get_or_add(a, "matchExpressions");
    if (!all.is_list()) all = Value::list();
    all.append(a, expression);
  }
}

void apply_label_keys(Document& pod) {
  Arena& a = pod.arena;
  Value* spec = pod.root.find("spec");
  if (!spec) return;
  const Value labels = pod.root["metadata"]["labels"];
  auto apply = [&](Value* term) {
    if (!term || !term->is_map()) return;
    Value* selector = term->find("labelSelector");
    add_label_keys(a, selector, (*term)["matchLabelKeys"], labels, "In");
    add_label_keys(a, selector, (*term)["mismatchLabelKeys"], labels, "NotIn");
  };
  if (Value* list = spec->find("topologySpreadConstraints")) {
    for (Value& c : list->items()) apply(&c);
  }
  Value* affinity = spec->find("affinity");
  if (!affinity) return;
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    Value* terms = affinity->find(kind);
    if (!terms) continue;
    if (Value* list = terms->find("preferredDuringSchedulingIgnoredDuringExecution")) {
      for (Value& t : list->items()) apply(t.find("podAffinityTerm"));
    }
    if (Value* list = terms->find("requiredDuringSchedulingIgnoredDuringExecution")) {
      for (Value& t : list->items()) apply(&t);
    }
  }
}

void prepare_for_create(const HookContext& ctx, Document& now) {
  take_app_armor_annotations(ctx, now);
  apply_label_keys(now);
  Value status = Value::map();
  status.set(now.arena, "phase", Value::string("Pending"));
  status.set(now.arena, "qosClass", Value::string(qos_class(core::PodSpec(now.root["spec"]))));
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

// Who does not know what they have seen does not make others forget it.
void keep_observed(Arena& a, Value& status, const Value& before) {
  constexpr std::string_view kSeen = "observedGeneration";
  auto keep = [&](Value& now, const Value& old) {
    if (now[kSeen].as_int() == 0 && !old.is_null()) now.set(a, kSeen, old);
  };
  keep(status, before[kSeen]);
  Value* conditions = status.find("conditions");
  if (!conditions) return;
  for (Value& c : conditions->items()) {
    for (const Value& old : before["conditions"].items()) {
      if (!old["type"].equals(c["type"])) continue;
      keep(c, old[kSeen]);
      break;
    }
  }
}

void prepare_for_status_update(const HookContext&, Document& now, const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  Arena& a = made.arena;
  Value status = deep_copy(a, now.root["status"]);
  if (!status.is_map()) status = Value::map();
  const Value& qos = before["status"]["qosClass"];
  if (status["qosClass"].as_string().empty() && !qos.is_null()) {
    status.set(a, "qosClass", deep_copy(a, qos));
  }
  keep_observed(a, status, before["status"]);
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
  validate_pod_create(errors, core::Pod(now));
}

void validate_update(const HookContext&, const Value& now, const Value& before,
                     FieldErrors& errors) {
  validate_pod_update(errors, core::Pod(now), core::Pod(before));
}

void validate_status_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& errors) {
  validate_pod_status(errors, core::Pod(now), core::Pod(before));
}

// --- subresources -------------------------------------------------------------------------------

// False when the containers are not the same ones: validation says so.
bool take_resources(Arena& a, Value& spec, const Value& sent, std::string_view list) {
  Value* containers = spec.find(list);
  const Value& others = sent[list];
  const size_t n = containers ? containers->size() : 0;
  if (others.size() != n) return false;
  for (size_t i = 0; i < n; ++i) {
    if (!others.at(i)["name"].equals(containers->items()[i]["name"])) {
      spec.set(a, list, deep_copy(a, others));
      return true;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    Value& c = containers->items()[i];
    for (std::string_view key : {"resources", "resizePolicy"}) {
      if (const Value* v = others.at(i).find(key)) {
        c.set(a, key, deep_copy(a, *v));
      } else {
        c.erase(key);
      }
    }
  }
  return true;
}

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
      if (!take_resources(a, spec, sent, list)) return;
    }
    if (const Value* own = sent.find("resources")) {
      spec.set(a, "resources", deep_copy(a, *own));
    } else {
      spec.erase("resources");
    }
  }
  now = std::move(made);
}

void validate_subresource(const HookContext&, std::string_view subresource, const Value& now,
                          const Value& before, FieldErrors& errors) {
  if (subresource == "ephemeralcontainers") {
    validate_pod_ephemeral(errors, core::Pod(now), core::Pod(before));
  } else if (subresource == "resize") {
    validate_pod_resize(errors, core::Pod(now), core::Pod(before));
  }
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
  validate_pod_template(errors, FieldPath("template"), core::PodTemplate(now).template_(), {});
}

void validate_template_update(const HookContext&, const Value& now, const Value& before,
                              FieldErrors& errors) {
  const core::PodTemplateSpec stored = core::PodTemplate(before).template_();
  validate_pod_template(errors, FieldPath("template"), core::PodTemplate(now).template_(),
                        template_options(&stored));
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
                                   .validates_update_whole = true,
                                   .described = false,
                                   .metadata_again = MetadataAgain::kChangeThenWhole,
                                   .status_metadata_again = MetadataAgain::kChange,
                                   .grace_period_seconds = grace_period_seconds,
                                   .cells = cells};

extern const Strategy kPodTemplateStrategy{.warnings = pod_template_warnings,
                                           .validate = validate_template,
                                           .validate_update = validate_template_update,
                                           .validates_update_whole = true,
                                           .described = false,
                                           .metadata_again = MetadataAgain::kChange,
                                           .cells = template_columns};

// Guaranteed: every container limits cpu and memory, and requests as much; BestEffort: none names
// either; Burstable otherwise.
std::string_view qos_class(const core::PodSpec& spec) {
  bool any = false, guaranteed = true;
  auto counted = [](std::string_view name) { return name == "cpu" || name == "memory"; };
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
  const Value& v = spec.value();
  if (const Value& own = v["resources"]; !own["limits"].empty() || !own["requests"].empty()) {
    look(own);
  } else {
    for (std::string_view list : {"containers", "initContainers"}) {
      for (const Value& c : v[list].items()) look(c["resources"]);
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

}  // namespace keles::registry
