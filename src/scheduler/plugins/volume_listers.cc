#include "scheduler/plugins/volume_listers.h"

namespace keles::scheduler {

using namespace api::core_v1;

VolumeListers::VolumeListers(Handle& handle)
    : volumes(handle.watch<PersistentVolume>(Watched::kVolume)),
      claims(handle.watch<PersistentVolumeClaim>(Watched::kVolumeClaim)),
      classes(handle.watch<api::storage_v1::StorageClass>(Watched::kStorageClass)) {}

std::string claim_not_found(std::string_view claim) {
  return "persistentvolumeclaim \"" + std::string(claim) + "\" not found";
}

bool is_about_claim_of(const PodInfo& waiting, const Event& event, bool ephemeral_too) {
  const ObjectPtr& claim = event.now ? event.now : event.before;
  if (!claim || claim->namespace_() != waiting.ns) return false;
  for (const PodVolume& v : waiting.volumes) {
    if (!ephemeral_too && v.kind == PodVolume::Kind::kEphemeral) continue;
    if (claim_of(v) == claim->name()) return true;
  }
  return false;
}

Status check_made_for(const PodInfo& pod, const PersistentVolumeClaim& claim) {
  for (auto owner : claim.metadata().owner_references())
    if (owner.controller() && owner.uid() == pod.uid) return {};
  return Status(Reason::kInvalid, "PVC " + std::string(claim.metadata().namespace_()) + "/" +
                                      std::string(claim.metadata().name()) +
                                      " was not created for pod " + pod.key() +
                                      " (pod is not owner)");
}

}  // namespace keles::scheduler
