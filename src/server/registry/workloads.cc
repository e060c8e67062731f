// Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets.
#include <algorithm>
#include <charconv>

#include "machinery/equality.h"
#include "machinery/intstr.h"
#include "machinery/labels.h"
#include "machinery/validation.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/pod_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

// The parts that every workload shares: selector, template, restart policy.
void validate_selector_and_template(FieldErrors& e, const Value& spec, std::string_view kind) {
  const Value &selector = spec["selector"], &tmpl = spec["template"];
  if (selector.is_null()) {
    field::required(e, kSpec["selector"]);
  } else {
    validate_label_selector(e, kSpec["selector"], selector);
    if (selector["matchLabels"].empty() && selector["matchExpressions"].empty()) {
      std::string lower(kind);
      for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      field::invalid(e, kSpec["selector"], selector,
                     "empty selector is invalid for " +
                         (kind == "ReplicaSet" ? std::string("deployment") : lower));
    }
  }
  FieldPath at = kSpec["template"];
  if (tmpl.is_null()) {
    field::required(e, at);
    return;
  }
  auto parsed = Selector::from_label_selector(selector);
  if (parsed.ok() && !selector.is_null() && !parsed->is_everything() &&
      !parsed->matches(tmpl["metadata"]["labels"])) {
    field::invalid(e, at["metadata"]["labels"], tmpl["metadata"]["labels"],
                   "`selector` does not match template `labels`");
  }
  validate_pod_template(e, at, tmpl);
  std::string_view policy = tmpl["spec"]["restartPolicy"].as_string();
  if (policy != "Always" && !policy.empty()) {
    field::not_supported(e, at["spec"]["restartPolicy"], policy, {"Always"});
  }
  if (!tmpl["spec"]["activeDeadlineSeconds"].is_null()) {
    field::forbidden(e, at["spec"]["activeDeadlineSeconds"],
                     "activeDeadlineSeconds in " + std::string(kind) + " is not Supported");
  }
}

void validate_counts(FieldErrors& e, const Value& spec) {
  for (std::string_view f : {"replicas", "minReadySeconds", "revisionHistoryLimit"}) {
    field::nonnegative(e, kSpec[f], spec[f].as_int());
  }
}

// A number or a percentage, none negative.
void validate_int_or_percent(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v.is_string()) {
    field::invalid_each(e, p, v.as_string(), check_percent(v.as_string()));
  } else {
    field::nonnegative(e, p, v.as_int());
  }
}

bool is_zero(const Value& v) {
  return v.is_null() || (v.is_int() && v.as_int() == 0) ||
         (v.is_string() && parse_percent(v.as_string()) == 0);
}

void validate_not_more_than_all(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v.is_string() && parse_percent(v.as_string()) > 100) {
    field::invalid(e, p, v, "must not be greater than 100%");
  }
}

void validate_rolling_update(FieldErrors& e, const FieldPath& p, const Value& rolling) {
  validate_int_or_percent(e, p["maxUnavailable"], rolling["maxUnavailable"]);
  validate_int_or_percent(e, p["maxSurge"], rolling["maxSurge"]);
  if (is_zero(rolling["maxUnavailable"]) && is_zero(rolling["maxSurge"])) {
    field::invalid(e, p["maxUnavailable"], rolling["maxUnavailable"],
                   "may not be 0 when `maxSurge` is 0");
  }
  validate_not_more_than_all(e, p["maxUnavailable"], rolling["maxUnavailable"]);
}

void validate_status_counts(FieldErrors& e, const Value& status,
                            std::initializer_list<std::string_view> fields) {
  for (std::string_view f : fields) {
    field::nonnegative(e, FieldPath("status")[f], status[f].as_int());
  }
}

std::string of(int64_t have, int64_t want) {
  return std::to_string(have) + "/" + std::to_string(want);
}

// --- Deployment ---------------------------------------------------------------------------------

void validate_deployment(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  validate_counts(e, spec);
  validate_selector_and_template(e, spec, "Deployment");
  const Value& strategy = spec["strategy"];
  FieldPath at = kSpec["strategy"];
  if (strategy["type"].as_string() == "Recreate" && !strategy["rollingUpdate"].is_null()) {
    field::forbidden(e, at["rollingUpdate"],
                     "may not be specified when strategy `type` is 'Recreate'");
  } else if (strategy["type"].as_string() == "RollingUpdate") {
    validate_rolling_update(e, at["rollingUpdate"], strategy["rollingUpdate"]);
  }
  if (const Value& deadline = spec["progressDeadlineSeconds"]; !deadline.is_null()) {
    field::nonnegative(e, kSpec["progressDeadlineSeconds"], deadline.as_int());
    if (deadline.as_int() <= spec["minReadySeconds"].as_int()) {
      field::invalid(e, kSpec["progressDeadlineSeconds"], deadline.as_int(),
                     "must be greater than minReadySeconds");
    }
  }
}

void selector_is_immutable(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  field::immutable(e, kSpec["selector"], now["spec"]["selector"], before["spec"]["selector"]);
}

// The controller copies a deployment's annotations to its sets, so a status may bring those, but no
// labels.
void take_deployment_status(const HookContext&, Document& now, const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  copy_member(made, made.root, "status", now.root.find("status"));
  for (std::string_view key :
       {"resourceVersion", "managedFields", "annotations", "finalizers", "ownerReferences"}) {
    copy_member(made, edit_metadata(made), key, metadata(now.root).find(key));
  }
  now = std::move(made);
}

void validate_deployment_status(const HookContext&, const Value& now, const Value&,
                                FieldErrors& e) {
  const Value& s = now["status"];
  validate_status_counts(e, s,
                         {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas",
                          "availableReplicas", "unavailableReplicas"});
  FieldPath at("status");
  int64_t all = s["replicas"].as_int();
  for (std::string_view f : {"updatedReplicas", "readyReplicas", "availableReplicas"}) {
    if (s[f].as_int() > all) {
      field::invalid(e, at[f], s[f].as_int(), "cannot be greater than status.replicas");
    }
  }
  if (s["availableReplicas"].as_int() > s["readyReplicas"].as_int()) {
    field::invalid(e, at["availableReplicas"], s["availableReplicas"].as_int(),
                   "cannot be greater than readyReplicas");
  }
}

void deployment_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.text("Ready", of(o["status"]["readyReplicas"].as_int(), spec["replicas"].as_int()));
  template_cells(w, spec["template"]["spec"], selector_text(spec["selector"]));
}

// --- ReplicaSet, ReplicationController ----------------------------------------------------------

void validate_replica_set(const HookContext&, const Value& now, FieldErrors& e) {
  validate_counts(e, now["spec"]);
  validate_selector_and_template(e, now["spec"], "ReplicaSet");
}

void validate_replica_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  const Value& s = now["status"];
  validate_status_counts(e, s,
                         {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                          "observedGeneration"});
  FieldPath at("status");
  for (std::string_view f : {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"}) {
    if (s[f].as_int() > s["replicas"].as_int()) {
      field::invalid(e, at[f], s[f].as_int(), "cannot be greater than status.replicas");
    }
  }
  if (s["availableReplicas"].as_int() > s["readyReplicas"].as_int()) {
    field::invalid(e, at["availableReplicas"], s["availableReplicas"].as_int(),
                   "cannot be greater than readyReplicas");
  }
}

void replica_set_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& spec = o["spec"];
  template_cells(CellWriter(ctx, out), spec["template"]["spec"], selector_text(spec["selector"]));
}

void validate_replication_controller(const HookContext&, const Value& now, FieldErrors& e) {
  const Value &spec = now["spec"], &tmpl = spec["template"];
  validate_counts(e, spec);
  if (spec["selector"].empty()) field::required(e, kSpec["selector"]);
  if (tmpl.is_null()) {
    field::required(e, kSpec["template"]);
    return;
  }
  if (!Selector::from_set(spec["selector"]).matches(tmpl["metadata"]["labels"])) {
    field::invalid(e, kSpec["template"]["metadata"]["labels"], tmpl["metadata"]["labels"],
                   "`selector` does not match template `labels`");
  }
  validate_pod_template(e, kSpec["template"], tmpl);
}

void replication_controller_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& spec = o["spec"];
  template_cells(CellWriter(ctx, out), spec["template"]["spec"], labels_text(spec["selector"]));
}

// --- StatefulSet --------------------------------------------------------------------------------

void validate_stateful_set(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  validate_counts(e, spec);
  validate_selector_and_template(e, spec, "StatefulSet");
  if (std::string_view service = spec["serviceName"].as_string(); !service.empty()) {
    field::invalid_each(e, kSpec["serviceName"], service, check_dns1123_subdomain(service));
  }
  const Value& strategy = spec["updateStrategy"];
  FieldPath at = kSpec["updateStrategy"]["rollingUpdate"];
  if (strategy["type"].as_string() == "RollingUpdate") {
    field::nonnegative(e, at["partition"], strategy["rollingUpdate"]["partition"].as_int());
  } else if (!strategy["rollingUpdate"].is_null()) {
    field::invalid(e, at, strategy["rollingUpdate"],
                   "only allowed for updateStrategy 'RollingUpdate'");
  }
  field::nonnegative(e, kSpec["ordinals"]["start"], spec["ordinals"]["start"].as_int());
}

void validate_stateful_set_update(const HookContext&, const Value& now, const Value& before,
                                  FieldErrors& e) {
  constexpr std::string_view kMayChange[] = {"replicas",
                                             "ordinals",
                                             "template",
                                             "updateStrategy",
                                             "revisionHistoryLimit",
                                             "persistentVolumeClaimRetentionPolicy",
                                             "minReadySeconds"};
  static const TypeDesc& type = *find_type("io.k8s.api.apps.v1.StatefulSetSpec");
  Document a, b;
  a.root = deep_copy(a.arena, now["spec"]);
  b.root = deep_copy(b.arena, before["spec"]);
  for (std::string_view f : kMayChange) {
    a.root.erase(f);
    b.root.erase(f);
  }
  if (!same_meaning(type, a.root, b.root)) {
    field::forbidden(e, kSpec,
                     "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                     "'template', 'updateStrategy', 'revisionHistoryLimit', "
                     "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
  }
}

void stateful_set_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.text("Ready", of(o["status"]["readyReplicas"].as_int(), spec["replicas"].as_int()));
  template_cells(w, spec["template"]["spec"], "");
}

// --- DaemonSet ----------------------------------------------------------------------------------

void validate_daemon_set(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  validate_counts(e, spec);
  validate_selector_and_template(e, spec, "DaemonSet");
  const Value& strategy = spec["updateStrategy"];
  if (strategy["type"].as_string() == "RollingUpdate") {
    FieldPath at = kSpec["updateStrategy"]["rollingUpdate"];
    if (strategy["rollingUpdate"].is_null()) {
      field::required(e, at);
    } else {
      validate_rolling_update(e, at, strategy["rollingUpdate"]);
    }
  }
}

// How often the template has changed: the pods are labelled with it, and nobody else sets it.
constexpr std::string_view kTemplateGeneration = "deprecated.daemonset.template.generation";

int64_t template_generation(const Value& set) {
  std::string_view s = set["metadata"]["annotations"][kTemplateGeneration].as_string();
  int64_t n = 0;
  std::from_chars(s.data(), s.data() + s.size(), n);
  return n;
}

void set_template_generation(Document& d, int64_t n) {
  Value& annotations = edit_map(d, edit_metadata(d), "annotations");
  set_text(d, annotations, kTemplateGeneration, std::to_string(n));
}

void prepare_daemon_set(const HookContext&, Document& now) {
  set_template_generation(now, std::max<int64_t>(template_generation(now.root), 1));
}

void prepare_daemon_set_update(const HookContext&, Document& now, const Value& before) {
  bool changed = !now.root["spec"]["template"].equals(before["spec"]["template"]);
  set_template_generation(now, template_generation(before) + (changed ? 1 : 0));
}

void validate_daemon_set_status(const HookContext&, const Value& now, const Value&,
                                FieldErrors& e) {
  validate_status_counts(
      e, now["status"],
      {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
       "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable"});
}

void daemon_set_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.text("Node Selector", labels_text(spec["template"]["spec"]["nodeSelector"]));
  template_cells(w, spec["template"]["spec"], selector_text(spec["selector"]));
}

void controller_revision_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  std::string owner = "<none>";
  for (const Value& ref : o["metadata"]["ownerReferences"].items()) {
    if (!ref["controller"].as_bool()) continue;
    std::string kind(ref["kind"].as_string());
    for (char& c : kind) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    std::string_view version = ref["apiVersion"].as_string();
    size_t slash = version.find('/');
    if (slash != std::string_view::npos) kind += "." + std::string(version.substr(0, slash));
    owner = kind + "/" + std::string(ref["name"].as_string());
  }
  w.text("Controller", owner);
}

void validate_controller_revision(const HookContext&, const Value& now, FieldErrors& e) {
  field::nonnegative(e, FieldPath("revision"), now["revision"].as_int());
}

void validate_controller_revision_update(const HookContext&, const Value& now, const Value& before,
                                         FieldErrors& e) {
  field::immutable(e, FieldPath("data"), now["data"], before["data"]);
}

}  // namespace

extern const Strategy kDeploymentStrategy{.warnings = deployment_warnings,
                                          .prepare_for_status_update = take_deployment_status,
                                          .validate = validate_deployment,
                                          .validate_update = selector_is_immutable,
                                          .validate_status_update = validate_deployment_status,
                                          .cells = deployment_cells};
extern const Strategy kReplicaSetStrategy{.warnings = replica_set_warnings,
                                          .validate = validate_replica_set,
                                          .validate_update = selector_is_immutable,
                                          .validate_status_update = validate_replica_status,
                                          .cells = replica_set_cells};
extern const Strategy kReplicationControllerStrategy{
    .warnings = replication_controller_warnings,
    .validate = validate_replication_controller,
    .validate_status_update = validate_replica_status,
    .cells = replication_controller_cells};
extern const Strategy kStatefulSetStrategy{.warnings = stateful_set_warnings,
                                           .validate = validate_stateful_set,
                                           .validate_update = validate_stateful_set_update,
                                           .cells = stateful_set_cells};
extern const Strategy kDaemonSetStrategy{.warnings = daemon_set_warnings,
                                         .prepare_for_create = prepare_daemon_set,
                                         .prepare_for_update = prepare_daemon_set_update,
                                         .validate = validate_daemon_set,
                                         .validate_update = selector_is_immutable,
                                         .validate_status_update = validate_daemon_set_status,
                                         .cells = daemon_set_cells};
extern const Strategy kControllerRevisionStrategy{
    .validate = validate_controller_revision,
    .validate_update = validate_controller_revision_update,
    .cells = controller_revision_cells};

}  // namespace keles::registry
