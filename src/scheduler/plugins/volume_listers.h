// What the volume plug-ins know of storage: the informers, once for all of them, and what they say
// in upstream's words. One loop's thread.
#pragma once

#include <string>
#include <string_view>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "scheduler/handle.h"

namespace keles::scheduler {

struct VolumeListers {
  explicit VolumeListers(Handle& handle);
  Informer<api::core_v1::PersistentVolume> volumes;
  Informer<api::core_v1::PersistentVolumeClaim> claims;
  Informer<api::storage_v1::StorageClass> classes;
};

std::string claim_not_found(std::string_view claim);
// The claim that a volume of a pod names, of whatever kind; "": none.
inline std::string_view claim_of(const PodVolume& v) {
  const bool has = v.kind == PodVolume::Kind::kClaim || v.kind == PodVolume::Kind::kEphemeral;
  return has ? std::string_view(v.claim) : std::string_view();
}
// Whether the waiting pod uses the claim that the event is about.
bool is_about_claim_of(const PodInfo& waiting, const Event& event, bool ephemeral_too = true);
// Whether an ephemeral volume's claim was made for the pod; upstream's words if not.
Status check_made_for(const PodInfo& pod, const api::core_v1::PersistentVolumeClaim& claim);

}  // namespace keles::scheduler
