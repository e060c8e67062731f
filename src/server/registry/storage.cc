// PersistentVolumes, claims, storage classes, CSI objects.
#include "machinery/equality.h"
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/pod_validation.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");

void set_phase(Document& now, std::string_view phase) {
  Value status = Value::map();
  status.set(now.arena, "phase", Value::string(phase));
  now.root.set(now.arena, "status", status);
}

void prepare_pending(const HookContext&, Document& now) { set_phase(now, "Pending"); }

bool is_source(std::string_view member) {
  constexpr std::string_view kOthers[] = {"capacity",
                                          "accessModes",
                                          "claimRef",
                                          "persistentVolumeReclaimPolicy",
                                          "storageClassName",
                                          "mountOptions",
                                          "volumeMode",
                                          "nodeAffinity",
                                          "volumeAttributesClassName"};
  for (std::string_view o : kOthers) {
    if (member == o) return false;
  }
  return true;
}

void validate_volume(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  if (spec["accessModes"].empty()) field::required(e, kSpec["accessModes"]);
  if (spec["capacity"].empty()) field::required(e, kSpec["capacity"]);
  for (const Member& m : spec["capacity"].members()) {
    FieldPath at = kSpec["capacity"].key(m.key());
    if (m.key() != "storage") field::not_supported(e, kSpec["capacity"], m.key(), {"storage"});
    validate_quantity(e, at, m.value);
  }
  size_t sources = 0;
  for (const Member& m : spec.members()) {
    if (m.value.is_null() || !is_source(m.key())) continue;
    if (++sources > 1) {
      field::forbidden(e, kSpec[m.key()], "may not specify more than 1 volume type");
    }
  }
  if (sources == 0) field::required(e, kSpec, "must specify a volume type");
  if (const Value& required = spec["nodeAffinity"]["required"]; !required.is_null()) {
    validate_node_selector(e, kSpec["nodeAffinity"]["required"], required);
  }
}

void validate_volume_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& e) {
  for (const Member& m : before["spec"].members()) {
    if (is_source(m.key()) && !now["spec"][m.key()].equals(m.value)) {
      field::forbidden(e, kSpec, "spec.persistentvolumesource is immutable after creation");
      break;
    }
  }
  field::immutable(e, kSpec["volumeMode"], now["spec"]["volumeMode"], before["spec"]["volumeMode"]);
}

std::string phase_text(const Value& o) {
  return o["metadata"]["deletionTimestamp"].is_null()
             ? std::string(o["status"]["phase"].as_string())
             : "Terminating";
}

std::string class_text(const Value& o) {
  const Value& old = o["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
  return std::string(old.is_null() ? o["spec"]["storageClassName"].as_string() : old.as_string());
}

void volume_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &claim = spec["claimRef"];
  w.text("Access Modes", access_modes_text(spec["accessModes"]));
  w.text("Status", phase_text(o));
  w.text("Claim", claim.is_null() ? ""
                                  : std::string(claim["namespace"].as_string()) + "/" +
                                        std::string(claim["name"].as_string()));
  w.text("StorageClass", class_text(o));
  w.text("VolumeAttributesClass", or_unset(spec["volumeAttributesClassName"].as_string()));
  w.text("VolumeMode", or_unset(spec["volumeMode"].as_string()));
}

void validate_claim(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& spec = now["spec"];
  if (spec["accessModes"].empty()) {
    field::required(e, kSpec["accessModes"], "at least 1 access mode is required");
  }
  FieldPath at = kSpec["resources"].key("storage");
  const Value& storage = spec["resources"]["requests"]["storage"];
  if (storage.is_null()) {
    field::required(e, at);
  } else {
    validate_quantity(e, at, storage);
  }
  if (std::string_view name = spec["storageClassName"].as_string(); !name.empty()) {
    field::invalid_each(e, kSpec["storageClassName"], name, check_dns1123_subdomain(name));
  }
}

void validate_claim_update(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  static const TypeDesc& type = *find_type("io.k8s.api.core.v1.PersistentVolumeClaimSpec");
  Document a, b;
  a.root = deep_copy(a.arena, now["spec"]);
  b.root = deep_copy(b.arena, before["spec"]);
  for (Document* d : {&a, &b}) {
    d->root.erase("resources");
    d->root.erase("volumeAttributesClassName");
  }
  // An unbound claim may be given its volume, and its class once.
  if (b.root["volumeName"].as_string().empty()) {
    a.root.erase("volumeName");
    b.root.erase("volumeName");
  }
  if (b.root["storageClassName"].is_null()) a.root.erase("storageClassName");
  if (!same_meaning(type, a.root, b.root)) {
    field::forbidden(e, kSpec,
                     "spec is immutable after creation except resources.requests and "
                     "volumeAttributesClassName for bound claims");
  }
}

void claim_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &status = o["status"];
  bool bound = !spec["volumeName"].as_string().empty();
  w.text("Status", phase_text(o));
  w.text("Capacity", bound ? std::string(status["capacity"]["storage"].as_string()) : "");
  w.text("Access Modes", bound ? access_modes_text(status["accessModes"]) : "");
  w.text("StorageClass", class_text(o));
  w.text("VolumeAttributesClass", or_unset(spec["volumeAttributesClassName"].as_string()));
  w.text("VolumeMode", or_unset(spec["volumeMode"].as_string()));
}

void storage_class_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  std::string name(o["metadata"]["name"].as_string());
  const Value& annotations = o["metadata"]["annotations"];
  for (std::string_view a : {"storageclass.kubernetes.io/is-default-class",
                             "storageclass.beta.kubernetes.io/is-default-class"}) {
    if (annotations[a].as_string() == "true") {
      name += " (default)";
      break;
    }
  }
  w.text("Name", name);
  w.text("ReclaimPolicy", or_else(o["reclaimPolicy"].as_string(), "Delete"));
  w.text("VolumeBindingMode", or_unset(o["volumeBindingMode"].as_string()));
  w.text("AllowVolumeExpansion", o["allowVolumeExpansion"].as_bool() ? "true" : "false");
}

void validate_storage_class(const HookContext&, const Value& now, FieldErrors& e) {
  std::string_view name = now["provisioner"].as_string();
  if (name.empty()) {
    if (now.find("provisioner")) field::required(e, FieldPath("provisioner"));
  } else {
    field::invalid_each(e, FieldPath("provisioner"), name, check_qualified_name(name));
  }
}

void validate_storage_class_update(const HookContext&, const Value& now, const Value& before,
                                   FieldErrors& e) {
  for (std::string_view f : {"parameters", "provisioner", "reclaimPolicy"}) {
    if (now[f].equals(before[f])) continue;
    field::forbidden(e, FieldPath(f), "updates to " + std::string(f) + " are forbidden.");
  }
  field::immutable(e, FieldPath("volumeBindingMode"), now["volumeBindingMode"],
                   before["volumeBindingMode"]);
}

void csi_node_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Drivers", static_cast<int64_t>(o["spec"]["drivers"].size()));
}

void csi_driver_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> tokens, modes;
  for (const Value& t : o["spec"]["tokenRequests"].items()) {
    tokens.emplace_back(t["audience"].as_string());
  }
  for (const Value& m : o["spec"]["volumeLifecycleModes"].items()) {
    modes.emplace_back(m.as_string());
  }
  CellWriter w(ctx, out);
  w.text("TokenRequests", or_unset(joined(tokens)));
  w.text("Modes", or_none(joined(modes)));
}

}  // namespace

extern const Strategy kPersistentVolumeStrategy{.warnings = persistent_volume_warnings,
                                                .prepare_for_create = prepare_pending,
                                                .validate = validate_volume,
                                                .validate_update = validate_volume_update,
                                                .cells = volume_cells};
extern const Strategy kPersistentVolumeClaimStrategy{.warnings = persistent_volume_claim_warnings,
                                                     .prepare_for_create = prepare_pending,
                                                     .validate = validate_claim,
                                                     .validate_update = validate_claim_update,
                                                     .cells = claim_cells};
extern const Strategy kStorageClassStrategy{.warnings = storage_class_warnings,
                                            .validate = validate_storage_class,
                                            .validate_update = validate_storage_class_update,
                                            .cells = storage_class_cells};
extern const Strategy kCsiNodeStrategy{.cells = csi_node_cells};
extern const Strategy kCsiDriverStrategy{.warnings = csi_driver_warnings,
                                         .cells = csi_driver_cells};

extern const Strategy kCsiStorageCapacityStrategy{.warnings = csi_storage_capacity_warnings};

}  // namespace keles::registry
