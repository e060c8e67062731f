// The objects that the binder writes.
#include <algorithm>

#include "controllers/storage/binder_plan.h"
#include "machinery/quantity.h"
#include "machinery/volumes/claim_rules.h"
#include "machinery/volumes/plugins.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

// Of who deletes what a volume holds: upstream's own plug-ins, and the provisioners of CSI.
constexpr std::string_view kOwnFinalizer = "kubernetes.io/pv-controller";
constexpr std::string_view kExternalFinalizer =
    "external-provisioner.volume.kubernetes.io/finalizer";

template <class List>
bool has(const List& list, std::string_view text) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] == text) return true;
  }
  return false;
}

template <class MetaEdit>
bool drop_finalizer(MetaEdit meta, std::string_view finalizer) {
  if (!has(meta.finalizers(), finalizer)) return false;
  auto list = meta.edit_finalizers();
  for (size_t i = list.size(); i-- > 0;) {
    if (list[i] == finalizer) list.erase_at(i);
  }
  return true;
}

// Names the driver that a plug-in moved to, or no longer does.
template <class MetaEdit>
bool set_migrated_to(MetaEdit meta, std::string_view provisioner) {
  const std::string to(volumes::csi_successor(provisioner));
  const auto annotations = meta.annotations();
  if (!to.empty()) {
    if (annotations.get(volumes::kMigratedTo) == to) return false;
    meta.edit_annotations().set(volumes::kMigratedTo, to);
    return true;
  }
  if (annotations.get(volumes::kMigratedTo).empty()) return false;
  meta.edit_annotations().erase(volumes::kMigratedTo);
  return true;
}

bool same_list(const List<std::string_view>& a, const List<std::string_view>& b) {
  return a.value().equals(b.value()) || (a.empty() && b.empty());
}

}  // namespace

Document volume_unbound(const PersistentVolume& volume) {
  Draft<PersistentVolumeEdit> next(volume);
  if (!volume.metadata().annotations().contains(volumes::kBoundByController)) {
    next->edit_spec().edit_claim_ref().clear_uid();
    return next.take();
  }
  next->edit_spec().clear_claim_ref();
  auto meta = next->edit_metadata();
  meta.edit_annotations().erase(volumes::kBoundByController);
  if (meta.annotations().empty()) meta.clear_annotations();
  return next.take();
}

std::optional<Document> volume_in_phase(const PersistentVolume& volume, std::string_view phase,
                                        std::string_view message) {
  if (volume.status().phase() == phase) return std::nullopt;
  Draft<PersistentVolumeEdit> next(volume);
  auto status = next->edit_status();
  status.set_phase(phase);
  message.empty() ? status.clear_message() : status.set_message(message);
  return next.take();
}

std::optional<Document> volume_annealed(const PersistentVolume& volume) {
  const auto before = volume.metadata().annotations();
  if (!before.contains(volumes::kProvisionedBy)) return std::nullopt;
  const std::string by(before.get(volumes::kProvisionedBy));
  Draft<PersistentVolumeEdit> next(volume);
  auto meta = next->edit_metadata();
  bool changed = set_migrated_to(meta, by);
  const bool moved = !volumes::csi_successor(by).empty();
  const bool ours = !moved && by.starts_with("kubernetes.io/");
  const bool deletes = volume.spec().persistent_volume_reclaim_policy() == "Delete";
  if (ours && deletes) {
    if (!has(meta.finalizers(), kOwnFinalizer)) {
      meta.edit_finalizers().add(kOwnFinalizer);
      changed = true;
    }
  } else if (ours || moved) {
    changed = drop_finalizer(meta, kOwnFinalizer) || changed;
  }
  if (ours) changed = drop_finalizer(meta, kExternalFinalizer) || changed;
  if (!changed) return std::nullopt;
  return next.take();
}

std::optional<Document> volume_without_finalizer(const PersistentVolume& volume) {
  Draft<PersistentVolumeEdit> next(volume);
  if (!drop_finalizer(next->edit_metadata(), kOwnFinalizer)) return std::nullopt;
  return next.take();
}

std::optional<Document> claim_bound_to(const PersistentVolumeClaim& claim,
                                       std::string_view volume) {
  const auto annotations = claim.metadata().annotations();
  const bool named = claim.spec().volume_name() == volume;
  if (named && annotations.contains(volumes::kBindCompleted)) return std::nullopt;
  Draft<PersistentVolumeClaimEdit> next(claim);
  auto to = next->edit_metadata().edit_annotations();
  if (!named) {
    next->edit_spec().set_volume_name(volume);
    if (!annotations.contains(volumes::kBoundByController))
      to.set(volumes::kBoundByController, "yes");
  }
  if (!annotations.contains(volumes::kBindCompleted)) to.set(volumes::kBindCompleted, "yes");
  return next.take();
}

namespace {

// What a claim's status says of its volume; whether that is new.
Result<bool> set_volume_facts(const PersistentVolumeClaim& claim, std::string_view phase,
                              const PersistentVolume& volume,
                              PersistentVolumeClaimStatusEdit status) {
  bool changed = false;
  const auto spec = volume.spec();
  if (!same_list(claim.status().access_modes(), spec.access_modes())) {
    status.set_access_modes(spec.access_modes());
    changed = true;
  }
  if (claim.status().phase() == phase) return changed;
  if (!spec.capacity().contains("storage")) {
    return Status(Reason::kInvalid, "PersistentVolume \"" + std::string(volume.metadata().name()) +
                                        "\" is without a storage capacity");
  }
  const std::string size(spec.capacity().get("storage"));
  const auto annotations = volume.metadata().annotations();
  if (annotations.contains(volumes::kPreResizeCapacity)) {
    // It has grown before it was bound: the claim grows when the file system has.
    const std::string before(annotations.get(volumes::kPreResizeCapacity));
    status.edit_capacity().set("storage", Quantity::parse(before).ok() ? before : size);
    changed = true;
  } else if (!claim.status().capacity().contains("storage") ||
             Quantity::parse_or_zero(claim.status().capacity().get("storage")) !=
                 Quantity::parse_or_zero(size)) {
    status.set_capacity(spec.capacity());
    changed = true;
  }
  const bool newly = claim.status().phase() == "Pending" && phase == "Bound";
  if (newly && claim.status().current_volume_attributes_class_name() !=
                   spec.volume_attributes_class_name()) {
    status.set_current_volume_attributes_class_name(spec.volume_attributes_class_name());
    changed = true;
  }
  return changed;
}

}  // namespace

Result<std::optional<Document>> claim_in_phase(const PersistentVolumeClaim& claim,
                                               std::string_view phase,
                                               const PersistentVolume* volume) {
  Draft<PersistentVolumeClaimEdit> next(claim);
  auto status = next->edit_status();
  const auto old = claim.status();
  bool changed = old.phase() != phase;
  status.set_phase(phase);
  if (volume == nullptr) {
    changed = changed || old.has_access_modes() || old.has_capacity() ||
              old.has_current_volume_attributes_class_name();
    status.clear_access_modes();
    status.clear_capacity();
    status.clear_current_volume_attributes_class_name();
  } else {
    TRY_ASSIGN(more, set_volume_facts(claim, phase, *volume, status));
    changed = changed || more;
  }
  if (!changed) return std::optional<Document>();
  return std::optional<Document>(next.take());
}

std::optional<Document> claim_annealed(const PersistentVolumeClaim& claim) {
  const auto annotations = claim.metadata().annotations();
  std::string_view key = volumes::kStorageProvisioner;
  if (!annotations.contains(key)) key = volumes::kBetaStorageProvisioner;
  if (!annotations.contains(key)) return std::nullopt;
  Draft<PersistentVolumeClaimEdit> next(claim);
  if (!set_migrated_to(next->edit_metadata(), annotations.get(key))) return std::nullopt;
  return next.take();
}

std::optional<Document> claim_with_provisioner(const PersistentVolumeClaim& claim,
                                               std::string_view provisioner) {
  if (claim.metadata().annotations().get(volumes::kStorageProvisioner) == provisioner)
    return std::nullopt;
  Draft<PersistentVolumeClaimEdit> next(claim);
  auto meta = next->edit_metadata();
  auto to = meta.edit_annotations();
  to.set(volumes::kBetaStorageProvisioner, provisioner);
  to.set(volumes::kStorageProvisioner, provisioner);
  (void)set_migrated_to(meta, provisioner);
  return next.take();
}

Document claim_with_class(const PersistentVolumeClaim& claim, std::string_view storage_class) {
  Draft<PersistentVolumeClaimEdit> next(claim);
  next->edit_spec().set_storage_class_name(storage_class);
  return next.take();
}

}  // namespace keles::controllers
