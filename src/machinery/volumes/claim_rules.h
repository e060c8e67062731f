// What claims and volumes say about each other
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes). Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "base/status.h"

namespace keles::volumes {

inline constexpr std::string_view kBindCompleted = "pv.kubernetes.io/bind-completed";
inline constexpr std::string_view kBoundByController = "pv.kubernetes.io/bound-by-controller";
inline constexpr std::string_view kProvisionedBy = "pv.kubernetes.io/provisioned-by";
inline constexpr std::string_view kMigratedTo = "pv.kubernetes.io/migrated-to";
inline constexpr std::string_view kSelectedNode = "volume.kubernetes.io/selected-node";
inline constexpr std::string_view kStorageProvisioner = "volume.kubernetes.io/storage-provisioner";
inline constexpr std::string_view kBetaStorageProvisioner =
    "volume.beta.kubernetes.io/storage-provisioner";
inline constexpr std::string_view kPreResizeCapacity =
    "volume.alpha.kubernetes.io/pre-resize-capacity";
inline constexpr std::string_view kNoProvisioner = "kubernetes.io/no-provisioner";

// The class of an object that may say it by the annotation of old.
std::string_view class_of(const api::core_v1::PersistentVolumeClaim& claim);
std::string_view class_of(const api::core_v1::PersistentVolume& volume);
// Whether it says one at all; "" is one, and means none.
bool has_class(const api::core_v1::PersistentVolumeClaim& claim);

bool is_fully_bound(const api::core_v1::PersistentVolumeClaim& claim);  // both sides say so
// Whether the volume's claimRef is of this claim; one without a uid is of whoever has the name.
bool is_bound_to(const api::core_v1::PersistentVolume& volume,
                 const api::core_v1::PersistentVolumeClaim& claim);
// The volume as it is to be written when it is given to the claim; nothing: it is the claim's.
std::optional<Document> volume_bound_to(const api::core_v1::PersistentVolume& volume,
                                        const api::core_v1::PersistentVolumeClaim& claim);
bool is_block(const api::core_v1::PersistentVolumeClaim& claim);
bool is_block(const api::core_v1::PersistentVolume& volume);
bool waits_for_consumer(const api::storage_v1::StorageClass& c);

// What keeps a claim from the volume that it names, in upstream's words; ok: nothing.
Status check_satisfies(const api::core_v1::PersistentVolume& volume,
                       const api::core_v1::PersistentVolumeClaim& claim);

bool is_default_class(const api::storage_v1::StorageClass& c);
// The newest of the default ones, the first by name of those of one moment; or none.
Ref<api::storage_v1::StorageClass> default_class(
    const std::vector<Ref<api::storage_v1::StorageClass>>& all);

// The claim that a volume of a pod names, or that is made for it; "": none.
std::string claim_name(const api::core_v1::Pod& pod, const api::core_v1::Volume& volume);
std::vector<std::string> claim_names(const api::core_v1::Pod& pod);
// Whether a claim, which an ephemeral volume of the pod is to use, was made for the pod.
Status check_made_for(const api::core_v1::Pod& pod,
                      const api::core_v1::PersistentVolumeClaim& claim);
// It has ended, or is being deleted and no container of it runs: it lets go of its volumes.
bool is_terminated(const api::core_v1::Pod& pod);

}  // namespace keles::volumes
