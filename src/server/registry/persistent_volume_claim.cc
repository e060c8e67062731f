// PersistentVolumeClaims.
#include "api/core_v1.h"
#include "machinery/equality.h"
#include "machinery/quantity.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/struct_diff.h"
#include "server/registry/volume_sources.h"
#include "server/registry/volume_text.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::core_v1::PersistentVolumeClaim;
using api::core_v1::PersistentVolumeClaimSpec;

const FieldPath kSpec("spec");
constexpr std::string_view kClassAnnotation = "volume.beta.kubernetes.io/storage-class";

// --- where the contents come from (KEP-1495) ----------------------------------------------------

bool is_claim_or_snapshot(const Value& source) {
  const std::string_view kind = source["kind"].as_string(), group = source["apiGroup"].as_string();
  return (kind == "PersistentVolumeClaim" && group.empty()) ||
         (kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io");
}

void copy_reference(Document& d, Value& spec, std::string_view to, const Value& from) {
  Value ref = Value::map();
  for (std::string_view name : {"apiGroup", "kind", "name"}) {
    if (!from[name].is_null()) ref.set(d.arena, name, deep_copy(d.arena, from[name]));
  }
  spec.set(d.arena, to, ref);
}

// Each of the two fields says what the other does, as far as it can.
void normalize_sources(Document& d, Value& spec) {
  const Value source = spec["dataSource"], ref = spec["dataSourceRef"];
  if (!source.is_null() && ref.is_null()) {
    copy_reference(d, spec, "dataSourceRef", source);
  } else if (source.is_null() && !ref.is_null() && ref["namespace"].as_string().empty()) {
    copy_reference(d, spec, "dataSource", ref);
  }
}

// `before`: null on a create.
void prepare_sources(Document& now, const Value* before) {
  Value& spec = edit_map(now, now.root, "spec");
  auto crosses = [](const Value& s) {
    return !s["dataSourceRef"]["namespace"].as_string().empty();
  };
  const bool had_ref = before && !(*before)["spec"]["dataSourceRef"].is_null();
  if (crosses(spec) && !had_ref) spec.erase("dataSourceRef");  // an alpha feature, off
  const bool had = had_ref || (before && !(*before)["spec"]["dataSource"].is_null());
  if (!had && spec["dataSourceRef"].is_null() && !is_claim_or_snapshot(spec["dataSource"])) {
    spec.erase("dataSource");
  }
  normalize_sources(now, spec);
}

void prepare_for_create(const HookContext&, Document& now) {
  now.root.erase("status");
  set_text(now, edit_map(now, now.root, "status"), "phase", "Pending");
  prepare_sources(now, nullptr);
}

void prepare_for_update(const HookContext&, Document& now, const Value& before) {
  prepare_sources(now, &before);
}

// --- validation ---------------------------------------------------------------------------------

struct Tolerance {
  bool label_values = false, source_groups = false;
};

void validate_source(FieldErrors& e, const FieldPath& p, const Value& source,
                     const Tolerance& tolerance) {
  const std::string_view kind = source["kind"].as_string(), group = source["apiGroup"].as_string();
  if (source["name"].as_string().empty()) field::required(e, p["name"]);
  if (kind.empty()) field::required(e, p["kind"]);
  if (group.empty()) {
    if (kind != "PersistentVolumeClaim") {
      field::invalid(e, p, kind,
                     "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
  } else if (!tolerance.source_groups) {
    field::invalid_each(e, p["apiGroup"], group, check_dns1123_subdomain(group));
  }
  if (std::string_view ns = source["namespace"].as_string(); !ns.empty()) {
    field::invalid_each(e, p["namespace"], ns, check_dns1123_label(ns));
  }
}

void validate_sources(FieldErrors& e, const PersistentVolumeClaimSpec& spec,
                      const Tolerance& tolerance) {
  const Value &source = spec.value()["dataSource"], &ref = spec.value()["dataSourceRef"];
  if (!source.is_null()) validate_source(e, kSpec["dataSource"], source, tolerance);
  if (!ref.is_null()) validate_source(e, kSpec["dataSourceRef"], ref, tolerance);
  if (source.is_null() || ref.is_null()) return;
  if (!ref["namespace"].as_string().empty()) {
    invalid_as(e, kSpec, "{}", "may not be specified when dataSourceRef.namespace is specified");
  } else if (!source["apiGroup"].equals(ref["apiGroup"]) || !source["kind"].equals(ref["kind"]) ||
             !source["name"].equals(ref["name"])) {
    invalid_as(e, kSpec, "{}", "must match dataSourceRef");
  }
}

void validate_spec(FieldErrors& e, const PersistentVolumeClaimSpec& spec,
                   const Tolerance& tolerance) {
  const FieldPath modes = kSpec["accessModes"];
  if (spec.access_modes().empty()) {
    field::required(e, modes, "at least 1 access mode is required");
  }
  validate_selector(e, kSpec["selector"], spec.selector().value(), tolerance.label_values);
  validate_access_modes(e, modes, spec.access_modes());
  const FieldPath at = kSpec["resources"].key("storage");
  const auto requests = spec.resources().requests();
  if (requests.contains("storage")) {
    positive_quantity(e, at, requests.get("storage"));
  } else {
    field::required(e, at);
  }
  if (std::string_view name = spec.storage_class_name(); !name.empty()) {
    field::invalid_each(e, kSpec["storageClassName"], name, check_dns1123_subdomain(name));
  }
  if (spec.has_volume_mode()) {
    check_known(e, kSpec["volumeMode"], spec.volume_mode(), {"Block", "Filesystem"});
  }
  validate_sources(e, spec, tolerance);
  if (std::string_view name = spec.volume_attributes_class_name(); !name.empty()) {
    field::invalid_each(e, kSpec["volumeAttributesClassName"], name, check_dns1123_subdomain(name));
  }
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  validate_spec(e, PersistentVolumeClaim(now).spec(), {});
}

// --- change -------------------------------------------------------------------------------------

// The class moved from the annotation of old to the field.
bool takes_class_of_annotation(const PersistentVolumeClaim& now, const PersistentVolumeClaim& old) {
  const auto was = old.metadata().annotations(), is = now.metadata().annotations();
  return was.contains(kClassAnnotation) && !old.spec().has_storage_class_name() &&
         now.spec().has_storage_class_name() &&
         now.spec().storage_class_name() == was.get(kClassAnnotation) &&
         (!is.contains(kClassAnnotation) || is.get(kClassAnnotation) == was.get(kClassAnnotation));
}

// A claim that named no class is given one.
bool takes_first_class(const PersistentVolumeClaim& now, const PersistentVolumeClaim& old) {
  const auto was = old.metadata().annotations();
  return now.spec().has_storage_class_name() && !old.spec().has_storage_class_name() &&
         (!was.contains(kClassAnnotation) ||
          was.get(kClassAnnotation) == now.spec().storage_class_name());
}

void equal_member(Document& d, const Value& other, std::string_view name) {
  d.root.erase(name);
  if (const Value* v = other.find(name)) d.root.set(d.arena, name, deep_copy(d.arena, *v));
}

// Both specs without what may change.
void validate_kept(FieldErrors& e, const PersistentVolumeClaim& claim,
                   const PersistentVolumeClaim& before, bool from_annotation) {
  Document is, was;
  is.root = deep_copy(is.arena, claim.spec().value());
  was.root = deep_copy(was.arena, before.spec().value());
  normalize_sources(was, was.root);
  if (before.spec().volume_name().empty()) equal_member(was, is.root, "volumeName");
  if (from_annotation) {
    is.root.erase("storageClassName");
  } else if (takes_first_class(claim, before)) {
    equal_member(is, was.root, "storageClassName");
  }
  if (claim.status().phase() == "Bound") {
    Value* resources = is.root.find("resources");
    Value* requests = resources ? resources->find("requests") : nullptr;
    if (requests && requests->is_map()) {
      const Value& size = was.root["resources"]["requests"]["storage"];
      requests->set(is.arena, "storage",
                    size.is_null() ? Value::string("0") : deep_copy(is.arena, size));
    }
    equal_member(is, was.root, "volumeAttributesClassName");
  }
  const TypeDesc& type = PersistentVolumeClaimSpec::descriptor();
  if (same_meaning(type, is.root, was.root)) return;
  field::forbidden(e, kSpec,
                   "spec is immutable after creation except resources.requests and "
                   "volumeAttributesClassName for bound claims\n" +
                       json_diff(struct_text(type, was.root), struct_text(type, is.root)));
}

Quantity size_of(const Map<std::string_view>& amounts) {
  return Quantity::parse_or_zero(amounts.get("storage"));
}

void validate_update(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  const PersistentVolumeClaim claim(now), old(before);
  const PersistentVolumeClaimSpec spec = claim.spec(), old_spec = old.spec();
  Tolerance tolerance;
  FieldErrors ill;
  validate_label_selector(ill, FieldPath(), old_spec.selector().value());
  tolerance.label_values = !ill.empty();
  tolerance.source_groups =
      old_spec.data_source().has_api_group() || old_spec.data_source_ref().has_api_group();
  validate_spec(e, spec, tolerance);
  const bool from_annotation = takes_class_of_annotation(claim, old);
  if (!from_annotation) {
    const std::string_view is = claim.metadata().annotations().get(kClassAnnotation),
                           was = old.metadata().annotations().get(kClassAnnotation);
    if (is != was) {
      field::invalid(e, FieldPath("metadata")["annotations"][kClassAnnotation], is,
                     "field is immutable");
    }
  }
  validate_kept(e, claim, old, from_annotation);
  const Quantity size = size_of(spec.resources().requests());
  if (size < size_of(old_spec.resources().requests()) && size <= size_of(old.status().capacity())) {
    field::forbidden(e, kSpec["resources"]["requests"]["storage"],
                     "field can not be less than status.capacity");
  }
  field::immutable(e, FieldPath("volumeMode"), now["spec"]["volumeMode"],
                   before["spec"]["volumeMode"]);
  constexpr std::string_view kAttributes = "volumeAttributesClassName";
  const Value& attributes = now["spec"][kAttributes];
  if (attributes.equals(before["spec"][kAttributes]) ||
      !old.status().has_current_volume_attributes_class_name()) {
    return;
  }
  if (attributes.is_null()) {
    field::forbidden(e, kSpec[kAttributes],
                     "update to nil is forbidden when status.currentVolumeAttributesClassName is "
                     "not nil");
  } else if (attributes.as_string().empty()) {
    field::forbidden(e, kSpec[kAttributes],
                     "update to empty string is forbidden when "
                     "status.currentVolumeAttributesClassName is not nil");
  }
}

// --- status -------------------------------------------------------------------------------------

bool validate_resource_key(FieldErrors& e, const FieldPath& p, std::string_view key) {
  if (auto bad = check_qualified_name(key); !bad.empty()) {
    field::invalid_each(e, p, key, std::move(bad));
    return false;
  }
  if (!is_native_resource(key) || key == "storage") return true;
  field::not_supported(e, p, key, {"storage"});
  return false;
}

void validate_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  const PersistentVolumeClaim claim(now);
  const auto status = claim.status();
  const FieldPath p("status");
  if (claim.metadata().resource_version().empty()) field::required(e, FieldPath("resourceVersion"));
  if (claim.spec().access_modes().empty()) field::required(e, FieldPath("Spec")["accessModes"]);
  for (auto [name, amount] : status.capacity()) {
    validate_basic_amount(e, p["capacity"].key(name), amount);
  }
  const FieldPath states = p["allocatedResourceStatuses"];
  for (auto [name, state] : status.allocated_resource_statuses()) {
    validate_resource_key(e, states, name);
    static const Words kStates = {"ControllerResizeInProgress", "ControllerResizeInfeasible",
                                  "NodeResizeInProgress", "NodeResizeInfeasible",
                                  "NodeResizePending"};
    if (!is_one_of(state, kStates)) {
      field::not_supported(e, states, name,
                           {"ControllerResizeInProgress", "ControllerResizeInfeasible",
                            "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"});
    }
  }
  const FieldPath allocated = p["allocatedResources"];
  for (auto [name, amount] : status.allocated_resources()) {
    if (!validate_resource_key(e, allocated, name)) continue;
    const size_t had = e.size();
    validate_basic_amount(e, allocated.key(name), amount);
    if (e.size() == had) validate_amount(e, allocated.key(name), "storage", amount);
  }
}

void claim_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &status = o["status"];
  bool bound = !spec["volumeName"].as_string().empty();
  w.text("Status", volume_phase_text(o));
  w.text("Capacity", bound ? std::string(status["capacity"]["storage"].as_string()) : "");
  w.text("Access Modes", bound ? access_modes_text(status["accessModes"]) : "");
  w.text("StorageClass", volume_class_text(o));
  w.text("VolumeAttributesClass", or_unset(spec["volumeAttributesClassName"].as_string()));
  w.text("VolumeMode", or_unset(spec["volumeMode"].as_string()));
}

}  // namespace

extern const Strategy kPersistentVolumeClaimStrategy{
    .warnings = persistent_volume_claim_warnings,
    .prepare_for_create = prepare_for_create,
    .prepare_for_update = prepare_for_update,
    .validate = validate,
    .validate_update = validate_update,
    .validate_status_update = validate_status,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChangeThenWhole,
    .status_metadata_again = MetadataAgain::kChange,
    .cells = claim_cells};

}  // namespace keles::registry
