// PersistentVolumes.
#include "api/core_v1.h"
#include "machinery/equality.h"
#include "machinery/time.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/node_selector.h"
#include "server/registry/strategy.h"
#include "server/registry/struct_diff.h"
#include "server/registry/volume_sources.h"
#include "server/registry/volume_text.h"
#include "server/registry/warnings.h"

namespace keles::registry {

std::string volume_phase_text(const Value& o) {
  return o["metadata"]["deletionTimestamp"].is_null()
             ? std::string(o["status"]["phase"].as_string())
             : "Terminating";
}

std::string volume_class_text(const Value& o) {
  const Value& old = o["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
  return std::string(old.is_null() ? o["spec"]["storageClassName"].as_string() : old.as_string());
}

namespace {

using api::core_v1::PersistentVolume;
using api::core_v1::PersistentVolumeSource;

const FieldPath kSpec("spec");

void set_phase_time(const HookContext& ctx, Document& now) {
  set_text(now, edit_map(now, now.root, "status"), "lastPhaseTransitionTime", time_text(ctx.now));
}

void prepare_for_create(const HookContext& ctx, Document& now) {
  now.root.erase("status");
  set_text(now, edit_map(now, now.root, "status"), "phase", "Pending");
  set_phase_time(ctx, now);
}

// When the phase changes and its writer does not say since when, it is now.
void prepare_status(const HookContext& ctx, Document& now, const Value& before) {
  copy_member(now, now.root, "spec", before.find("spec"));
  constexpr std::string_view kTime = "lastPhaseTransitionTime";
  const Value &old = before["status"], &status = now.root["status"];
  const bool same = old["phase"].as_string() == status["phase"].as_string();
  if (same && status[kTime].is_null()) {
    if (!old[kTime].is_null()) {
      copy_member(now, edit_map(now, now.root, "status"), kTime, old.find(kTime));
    }
  } else if (!same && (status[kTime].is_null() || status[kTime].equals(old[kTime]))) {
    set_phase_time(ctx, now);
  }
}

// Storage that a node mounts by itself takes no options from its annotation.
void validate_mount_options(FieldErrors& e, const PersistentVolume& volume) {
  constexpr std::string_view kAnnotation = "volume.beta.kubernetes.io/mount-options";
  if (!volume.metadata().annotations().contains(kAnnotation)) return;
  for (std::string_view source :
       {"gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi",
        "cinder", "cephfs", "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk"}) {
    if (!volume.spec().value()[source].is_null()) return;
  }
  field::forbidden(e, FieldPath("metadata")["annotations"][kAnnotation],
                   "may not specify mount options for this volume type");
}

void validate_spec(FieldErrors& e, const PersistentVolume& volume, const PersistentVolume& old) {
  VolumeSpecCheck check{.name = volume.metadata().name()};
  check.label_values = has_ill_node_value(old.spec().node_affinity().required());
  validate_volume_spec(e, kSpec, volume.spec(), check);
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  validate_spec(e, PersistentVolume(now), PersistentVolume());
  validate_mount_options(e, PersistentVolume(now));
}

// A secret for growing may be named later.
Document source_of(const PersistentVolume& volume, const PersistentVolume& other) {
  Document d;
  d.root = Value::map();
  for (const FieldDesc& f : PersistentVolumeSource::descriptor().fields) {
    const Value& v = volume.spec().value()[f.name];
    if (!v.is_null()) d.root.set(d.arena, f.name, deep_copy(d.arena, v));
  }
  if (other.spec().has_csi() && !other.spec().csi().has_controller_expand_secret_ref()) {
    if (Value* csi = d.root.find("csi")) csi->erase("controllerExpandSecretRef");
  }
  return d;
}

void validate_update(const HookContext& ctx, const Value& now, const Value& before,
                     FieldErrors& e) {
  const PersistentVolume volume(now), old(before);
  validate_spec(e, volume, old);
  validate_mount_options(e, volume);
  validate_object_meta(e, now["metadata"], false, name_is_dns_subdomain);
  validate_spec(e, volume, old);
  const Document is = source_of(volume, old), was = source_of(old, PersistentVolume());
  const TypeDesc& type = PersistentVolumeSource::descriptor();
  if (!same_meaning(type, is.root, was.root)) {
    field::forbidden(e, kSpec["persistentvolumesource"],
                     "spec.persistentvolumesource is immutable after creation\n" +
                         json_diff(struct_text(type, was.root), struct_text(type, is.root)));
  }
  field::immutable(e, FieldPath("volumeMode"), now["spec"]["volumeMode"],
                   before["spec"]["volumeMode"]);
  if (old.spec().has_volume_attributes_class_name() &&
      !volume.spec().has_volume_attributes_class_name()) {
    field::forbidden(e, kSpec["volumeAttributesClassName"],
                     "update from non-nil value to nil is forbidden");
  }
  (void)ctx;
}

void validate_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  if (now["metadata"]["resourceVersion"].as_string().empty()) {
    field::required(e, FieldPath("resourceVersion"));
  }
}

void volume_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value &spec = o["spec"], &claim = spec["claimRef"];
  w.text("Access Modes", access_modes_text(spec["accessModes"]));
  w.text("Status", volume_phase_text(o));
  w.text("Claim", claim.is_null() ? ""
                                  : std::string(claim["namespace"].as_string()) + "/" +
                                        std::string(claim["name"].as_string()));
  w.text("StorageClass", volume_class_text(o));
  w.text("VolumeAttributesClass", or_unset(spec["volumeAttributesClassName"].as_string()));
  w.text("VolumeMode", or_unset(spec["volumeMode"].as_string()));
}

}  // namespace

extern const Strategy kPersistentVolumeStrategy{.warnings = persistent_volume_warnings,
                                                .prepare_for_create = prepare_for_create,
                                                .prepare_for_status_update = prepare_status,
                                                .validate = validate,
                                                .validate_update = validate_update,
                                                .validate_status_update = validate_status,
                                                .validates_update_whole = true,
                                                .described = false,
                                                .metadata_again = MetadataAgain::kWhole,
                                                .status_metadata_again = MetadataAgain::kChange,
                                                .cells = volume_cells};

}  // namespace keles::registry
