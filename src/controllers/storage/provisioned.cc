#include "controllers/storage/provisioned.h"

#include <string>
#include <utility>

#include "controllers/controller.h"
#include "machinery/volumes/claim_rules.h"

namespace keles::controllers {
namespace {

using api::core_v1::PersistentVolume;
using api::core_v1::PersistentVolumeClaim;
using api::core_v1::PersistentVolumeEdit;

constexpr std::string_view kFinalizer = "external-provisioner.volume.kubernetes.io/finalizer";

}  // namespace

void describe_provisioned(const PersistentVolumeEdit& volume, std::string_view name,
                          std::string_view provisioner, const PersistentVolumeClaim& claim,
                          const api::storage_v1::StorageClass& storage_class) {
  PersistentVolumeEdit v = volume;
  auto meta = v.edit_metadata();
  meta.set_name(name);
  meta.edit_annotations().set(volumes::kProvisionedBy, provisioner);
  const bool deletes = storage_class.reclaim_policy() != "Retain";
  if (deletes) meta.edit_finalizers().add(kFinalizer);
  auto spec = v.edit_spec();
  spec.set_access_modes(claim.spec().access_modes());
  spec.set_persistent_volume_reclaim_policy(deletes ? "Delete" : "Retain");
  spec.set_storage_class_name(volumes::class_of(claim));
  auto ref = spec.edit_claim_ref();
  ref.set_kind("PersistentVolumeClaim");
  ref.set_api_version("v1");
  ref.set_namespace_(claim.metadata().namespace_());
  ref.set_name(claim.metadata().name());
  ref.set_uid(claim.metadata().uid());
  ref.set_resource_version(claim.metadata().resource_version());
}

Task<Status> forget_provisioned(Context ctx, Client* client, Ref<PersistentVolume> volume) {
  const std::string name(volume->metadata().name());
  Draft<PersistentVolumeEdit> next(*volume);
  auto finalizers = next->edit_metadata().edit_finalizers();
  bool changed = false;
  for (size_t i = finalizers.size(); i-- > 0;) {
    if (finalizers[i] != kFinalizer) continue;
    finalizers.erase_at(i);
    changed = true;
  }
  if (changed) {
    auto r = co_await client->update<PersistentVolume>(ctx, next.take());
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (!r.ok()) co_return r.status();
  }
  if (!volume->metadata().deletion_timestamp().empty()) co_return Status();
  DeleteOptions options;
  options.uid = volume->metadata().uid();
  Status s = co_await remove_once(ctx, client, &kind_of<PersistentVolume>(), "", name, options);
  co_return s;
}

}  // namespace keles::controllers
