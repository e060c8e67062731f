// Namespaces, Leases, component statuses.
#include <algorithm>

#include "api/core_v1.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using api::core_v1::Namespace;

const FieldPath kSpec("spec");

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

void validate_spec_finalizers(FieldErrors& e, const Value& now, bool numbered) {
  const FieldPath p = kSpec["finalizers"];
  size_t i = 0;
  for (std::string_view s : Namespace(now).spec().finalizers()) {
    const FieldPath at = numbered ? p[i++] : p;
    field::invalid_each(e, at, s, check_qualified_name(s));
    if (s.find('/') == s.npos && !is_one_of(s, {"kubernetes", "orphan", "foregroundDeletion"})) {
      field::invalid(e, at, s,
                     "name is neither a standard finalizer name nor is it fully qualified");
    }
  }
}

void validate_namespace(const HookContext&, const Value& now, FieldErrors& e) {
  validate_spec_finalizers(e, now, false);
}

void validate_namespace_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  const FieldPath at = FieldPath("status")["Phase"];  // upstream's own spelling
  const std::string_view phase = Namespace(now).status().phase();
  if (Namespace(now).metadata().deletion_timestamp().empty()) {
    if (phase != "Active") {
      field::invalid(e, at, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    }
  } else if (phase != "Terminating") {
    field::invalid(e, at, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
  }
}

void validate_finalize(const HookContext&, std::string_view, const Value& now, const Value& before,
                       FieldErrors& e) {
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  validate_spec_finalizers(e, now, true);
}

// --- Lease --------------------------------------------------------------------------------------

// Coordinated election is an alpha feature, off: what only it reads is not kept.
void prepare_lease(const HookContext&, Document& now) {
  Value* spec = now.root.find("spec");
  if (!spec || !spec->is_map()) return;
  for (std::string_view name : {"strategy", "preferredHolder"}) spec->erase(name);
}
void prepare_lease_update(const HookContext&, Document& now, const Value& before) {
  Value* spec = now.root.find("spec");
  if (!spec || !spec->is_map()) return;
  for (std::string_view name : {"strategy", "preferredHolder"}) {
    if (before["spec"][name].is_null()) spec->erase(name);
  }
}

void component_status_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& healthy = find_condition(o["conditions"], "Healthy");
  std::string_view status = healthy["status"].as_string();
  CellWriter w(ctx, out);
  w.text("Status", status == "True" ? "Healthy" : status == "False" ? "Unhealthy" : "Unknown");
  w.text("Message", std::string(healthy["message"].as_string()));
  w.text("Error", std::string(healthy["error"].as_string()));
}

}  // namespace

extern const Strategy kComponentStatusStrategy{.cells = component_status_cells};
extern const Strategy kNamespaceStrategy{.prepare_for_create = prepare_namespace,
                                         .prepare_for_update = prepare_namespace_update,
                                         .validate = validate_namespace,
                                         .validate_status_update = validate_namespace_status,
                                         .validate_subresource = validate_finalize,
                                         .described = false,
                                         .metadata_again = MetadataAgain::kWholeThenChange,
                                         .status_metadata_again = MetadataAgain::kChange};
extern const Strategy kLeaseStrategy{.prepare_for_create = prepare_lease,
                                     .prepare_for_update = prepare_lease_update,
                                     .metadata_again = MetadataAgain::kChange};

}  // namespace keles::registry
