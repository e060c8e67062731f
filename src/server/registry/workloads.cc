// Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets.
#include <algorithm>
#include <charconv>

#include "base/ascii.h"
#include "machinery/validation.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"
#include "server/registry/typed_hooks.h"
#include "server/registry/warnings.h"
#include "server/registry/workload_validation.h"

namespace keles::registry {
namespace {

namespace apps = api::apps_v1;
namespace core = api::core_v1;

std::string of(int64_t have, int64_t want) {
  return std::to_string(have) + "/" + std::to_string(want);
}

// --- Deployment ---------------------------------------------------------------------------------

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

void deployment_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.text("Ready", of(o["status"]["readyReplicas"].as_int(), spec["replicas"].as_int()));
  template_cells(w, spec["template"]["spec"], selector_text(spec["selector"]));
}

// --- ReplicaSet, ReplicationController ----------------------------------------------------------

void replica_set_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& spec = o["spec"];
  template_cells(CellWriter(ctx, out), spec["template"]["spec"], selector_text(spec["selector"]));
}

void replication_controller_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& spec = o["spec"];
  template_cells(CellWriter(ctx, out), spec["template"]["spec"], labels_text(spec["selector"]));
}

// --- StatefulSet --------------------------------------------------------------------------------

void stateful_set_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.text("Ready", of(o["status"]["readyReplicas"].as_int(), spec["replicas"].as_int()));
  template_cells(w, spec["template"]["spec"], "");
}

// --- DaemonSet ----------------------------------------------------------------------------------

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
    std::string kind = ascii_lower(ref["kind"].as_string());
    std::string_view version = ref["apiVersion"].as_string();
    size_t slash = version.find('/');
    if (slash != std::string_view::npos) kind += "." + std::string(version.substr(0, slash));
    owner = kind + "/" + std::string(ref["name"].as_string());
  }
  w.text("Controller", owner);
}

void validate_replicas(const HookContext&, const Value& now, const Value&, FieldErrors& errors) {
  validate_replicas_status(errors, now["status"]);
}

}  // namespace

extern const Strategy kDeploymentStrategy{
    .warnings = deployment_warnings,
    .prepare_for_status_update = take_deployment_status,
    .validate = validate_created<validate_deployment, apps::Deployment>,
    .validate_update = validate_updated<validate_deployment, apps::Deployment>,
    .validate_status_update = validate_changed<validate_deployment_status, apps::Deployment>,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .status_metadata_again = MetadataAgain::kChange,
    .cells = deployment_cells};
extern const Strategy kReplicaSetStrategy{
    .warnings = replica_set_warnings,
    .validate = validate_created<validate_replica_set, apps::ReplicaSet>,
    .validate_update = validate_updated<validate_replica_set, apps::ReplicaSet>,
    .validate_status_update = validate_replicas,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .status_metadata_again = MetadataAgain::kChange,
    .cells = replica_set_cells};
extern const Strategy kReplicationControllerStrategy{
    .warnings = replication_controller_warnings,
    .validate = validate_created<validate_replication_controller, core::ReplicationController>,
    .validate_update =
        validate_updated<validate_replication_controller, core::ReplicationController>,
    .validate_status_update = validate_replicas,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .status_metadata_again = MetadataAgain::kChange,
    .cells = replication_controller_cells};
extern const Strategy kStatefulSetStrategy{
    .warnings = stateful_set_warnings,
    .validate = validate_created<validate_stateful_set, apps::StatefulSet>,
    .validate_update = validate_updated<validate_stateful_set, apps::StatefulSet>,
    .validate_status_update = validate_changed<validate_stateful_set_status, apps::StatefulSet>,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .cells = stateful_set_cells};
extern const Strategy kDaemonSetStrategy{
    .warnings = daemon_set_warnings,
    .prepare_for_create = prepare_daemon_set,
    .prepare_for_update = prepare_daemon_set_update,
    .validate = validate_created<validate_daemon_set, apps::DaemonSet>,
    .validate_update = validate_updated<validate_daemon_set, apps::DaemonSet>,
    .validate_status_update = validate_changed<validate_daemon_set_status, apps::DaemonSet>,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange,
    .status_metadata_again = MetadataAgain::kChange,
    .cells = daemon_set_cells};
extern const Strategy kControllerRevisionStrategy{
    .validate = validate_created<validate_controller_revision, apps::ControllerRevision>,
    .validate_update = validate_updated<validate_controller_revision, apps::ControllerRevision>,
    .validates_update_whole = true,
    .metadata_again = MetadataAgain::kChangeThenWhole,
    .cells = controller_revision_cells};

}  // namespace keles::registry
