// Nodes, Namespaces, Leases, Events.
#include <algorithm>
#include <set>

#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/pod_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

// --- Node ---------------------------------------------------------------------------------------

void validate_node(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  validate_taints(e, kSpec["taints"], spec["taints"]);
  size_t i = 0;
  for (const Value& c : spec["podCIDRs"].items()) {
    field::invalid_each(e, kSpec["podCIDRs"][i++], c.as_string(), check_cidr(c.as_string()));
  }
  const Value& status = now["status"];
  for (std::string_view list : {"capacity", "allocatable"}) {
    for (const Member& m : status[list].members()) {
      validate_quantity(e, FieldPath("status")[list].key(m.key()), m.value);
    }
  }
}

void validate_node_update(const HookContext&, const Value& now, const Value& before,
                          FieldErrors& e) {
  const Value &spec = now["spec"], &old = before["spec"];
  if (!old["podCIDRs"].empty() && !spec["podCIDRs"].equals(old["podCIDRs"])) {
    field::forbidden(e, kSpec["podCIDRs"],
                     "node updates may not change podCIDR except from \"\" to valid");
  }
  if (!old["providerID"].as_string().empty() && !spec["providerID"].equals(old["providerID"])) {
    field::forbidden(e, kSpec["providerID"],
                     "node updates may not change providerID except from \"\" to valid");
  }
}

std::string roles_text(const Value& labels) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  for (const Member& m : labels.members()) {
    if (m.key().substr(0, kPrefix.size()) == kPrefix && m.key().size() > kPrefix.size()) {
      roles.emplace(m.key().substr(kPrefix.size()));
    } else if (m.key() == "kubernetes.io/role" && !m.value.as_string().empty()) {
      roles.emplace(m.value.as_string());
    }
  }
  return or_none(joined(std::vector<std::string>(roles.begin(), roles.end())));
}

std::string node_address(const Value& status, std::string_view type) {
  for (const Value& a : status["addresses"].items()) {
    if (a["type"].as_string() == type) return std::string(a["address"].as_string());
  }
  return "<none>";
}

void node_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &status = o["status"], &info = status["nodeInfo"];
  const Value& ready = find_condition(status["conditions"], "Ready");
  std::string text = ready.is_null()                         ? "Unknown"
                     : ready["status"].as_string() == "True" ? "Ready"
                                                             : "NotReady";
  if (o["spec"]["unschedulable"].as_bool()) text += ",SchedulingDisabled";
  w.text("Status", text);
  w.text("Roles", roles_text(o["metadata"]["labels"]));
  w.text("Internal-IP", node_address(status, "InternalIP"));
  w.text("External-IP", node_address(status, "ExternalIP"));
  w.text("OS-Image", or_else(info["osImage"].as_string(), "<unknown>"));
  w.text("Kernel-Version", or_else(info["kernelVersion"].as_string(), "<unknown>"));
  w.text("Container-Runtime", or_else(info["containerRuntimeVersion"].as_string(), "<unknown>"));
}

// --- Namespace ----------------------------------------------------------------------------------

void prepare_namespace(const HookContext&, Document& now) {
  Value& spec = now.root.get_or_add(now.arena, "spec");
  if (!spec.is_map()) spec = Value::map();
  Value& finalizers = spec.get_or_add(now.arena, "finalizers");
  if (!finalizers.is_list()) finalizers = Value::list();
  auto items = finalizers.items();
  bool has = std::any_of(items.begin(), items.end(),
                         [](const Value& f) { return f.as_string() == "kubernetes"; });
  if (!has) finalizers.append(now.arena, Value::string("kubernetes"));
  Value status = Value::map();
  status.set(now.arena, "phase", Value::string("Active"));
  now.root.set(now.arena, "status", status);
}

// Finalizers of the spec change only through the finalize subresource.
void prepare_namespace_update(const HookContext&, Document& now, const Value& before) {
  Value& spec = now.root.get_or_add(now.arena, "spec");
  if (!spec.is_map()) spec = Value::map();
  const Value& old = before["spec"]["finalizers"];
  if (old.is_null()) {
    spec.erase("finalizers");
  } else {
    spec.set(now.arena, "finalizers", deep_copy(now.arena, old));
  }
}

void validate_namespace(const HookContext&, const Value& now, FieldErrors& e) {
  size_t i = 0;
  for (const Value& f : now["spec"]["finalizers"].items()) {
    FieldPath at = kSpec["finalizers"][i++];
    std::string_view s = f.as_string();
    field::invalid_each(e, at, s, check_qualified_name(s));
    if (s.find('/') == std::string_view::npos && s != "kubernetes") {
      field::invalid(e, at, s,
                     "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}

// --- Lease --------------------------------------------------------------------------------------

void validate_lease(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  if (!spec["leaseDurationSeconds"].is_null() && spec["leaseDurationSeconds"].as_int() <= 0) {
    field::invalid(e, kSpec["leaseDurationSeconds"], spec["leaseDurationSeconds"].as_int(),
                   "must be greater than 0");
  }
  if (!spec["leaseTransitions"].is_null() && spec["leaseTransitions"].as_int() < 0) {
    field::invalid(e, kSpec["leaseTransitions"], spec["leaseTransitions"].as_int(),
                   "must be greater than or equal to 0");
  }
}

// --- Event --------------------------------------------------------------------------------------

void validate_event(const HookContext& ctx, const Value& now, FieldErrors& e) {
  std::string_view name = now["involvedObject"].is_null() ? "regarding" : "involvedObject";
  std::string_view theirs = now[name]["namespace"].as_string();
  // An object of no namespace is told of in "default".
  bool fits = theirs == ctx.namespace_ ||
              (theirs.empty() && (ctx.namespace_ == "default" || ctx.namespace_ == "kube-system"));
  if (!fits) {
    field::invalid(e, FieldPath(name)["namespace"], theirs, "does not match event.namespace");
  }
  if (now["message"].as_string().size() > 1024 && !now["eventTime"].is_null()) {
    field::invalid(e, FieldPath("message"), "", "can have at most 1024 characters");
  }
}

std::string event_source(const Value& o) {
  const Value& source = o["source"].is_null() ? o["deprecatedSource"] : o["source"];
  std::string_view component = source["component"].as_string(), host = source["host"].as_string();
  if (component.empty()) {
    component = o["reportingComponent"].as_string();
    if (component.empty()) component = o["reportingController"].as_string();
  }
  if (host.empty()) host = o["reportingInstance"].as_string();
  return host.empty() ? std::string(component) : std::string(component) + ", " + std::string(host);
}

std::string trimmed(std::string_view s) {
  size_t a = s.find_first_not_of(" \t\r\n"), b = s.find_last_not_of(" \t\r\n");
  return a == std::string_view::npos ? "" : std::string(s.substr(a, b - a + 1));
}

void event_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  // The events.k8s.io form says the same with other names.
  auto either = [&](std::string_view a, std::string_view b) -> const Value& {
    return o[a].is_null() ? o[b] : o[a];
  };
  std::string_view first = either("firstTimestamp", "deprecatedFirstTimestamp").as_string(),
                   last = either("lastTimestamp", "deprecatedLastTimestamp").as_string();
  if (first.empty()) first = o["eventTime"].as_string();
  if (last.empty()) last = first;
  int64_t count = either("count", "deprecatedCount").as_int();
  if (const Value& series = o["series"]; !series.is_null()) {
    last = series["lastObservedTime"].as_string();
    count = series["count"].as_int();
  }
  const Value& about = either("involvedObject", "regarding");
  std::string target(about["kind"].as_string());
  for (char& c : target) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  if (!about["name"].as_string().empty()) target += "/" + std::string(about["name"].as_string());
  w.text("Last Seen", w.age(last));
  w.text("Object", target);
  w.text("Source", event_source(o));
  w.text("Message", trimmed(either("message", "note").as_string()));
  w.text("First Seen", w.age(first));
  w.number("Count", count == 0 ? 1 : count);
}

// `source` and `reportingComponent` select by whichever field the reporter filled.
std::string event_field(const Value& o, std::string_view path) {
  if (path == "source") {
    std::string_view s = o["source"]["component"].as_string();
    return std::string(s.empty() ? o["reportingComponent"].as_string() : s);
  }
  const Value* v = &o;
  for (std::string_view rest = path; !rest.empty();) {
    size_t dot = rest.find('.');
    v = &(*v)[rest.substr(0, dot)];
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return std::string(v->as_string());
}

void component_status_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& healthy = find_condition(o["conditions"], "Healthy");
  std::string_view status = healthy["status"].as_string();
  CellWriter w(ctx, out);
  w.text("Status", status == "True" ? "Healthy" : status == "False" ? "Unhealthy" : "Unknown");
  w.text("Message", std::string(healthy["message"].as_string()));
  w.text("Error", std::string(healthy["error"].as_string()));
}

struct Rename {
  std::string_view core, events;
};
// v1 Event and events.k8s.io/v1 Event hold the same under other names.
constexpr Rename kEventFields[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

void convert_event(const KindDesc&, const KindDesc& to, Document& d) {
  const bool to_core = to.group.empty();
  Document out;
  out.root = Value::map();
  for (const Member& m : d.root.members()) {
    std::string_view key = m.key();
    for (const Rename& r : kEventFields) {
      if (key == (to_core ? r.events : r.core)) {
        key = to_core ? r.core : r.events;
        break;
      }
    }
    out.root.set(out.arena, out.arena.copy(key), deep_copy(out.arena, m.value));
  }
  d = std::move(out);
}

}  // namespace

extern const Strategy kComponentStatusStrategy{.cells = component_status_cells};
extern const Strategy kNodeStrategy{.warnings = node_warnings,
                                    .validate = validate_node,
                                    .validate_update = validate_node_update,
                                    .cells = node_cells};
extern const Strategy kNamespaceStrategy{.prepare_for_create = prepare_namespace,
                                         .prepare_for_update = prepare_namespace_update,
                                         .validate = validate_namespace};
extern const Strategy kLeaseStrategy{.validate = validate_lease};
extern const Strategy kEventStrategy{.validate = validate_event,
                                     .convert = convert_event,
                                     .selectable_field = event_field,
                                     .cells = event_cells};
extern const Strategy kEventsEventStrategy{
    .validate = validate_event, .convert = convert_event, .cells = event_cells};

}  // namespace keles::registry
