// What a claim becomes in CSI's words, and what a driver's volume becomes as a PersistentVolume
// (upstream: external-provisioner, external-resizer). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "node/plugins/csi/messages.h"

namespace keles::csi {

// A parameter of a class that is the provisioner's own, not the driver's.
inline constexpr std::string_view kOwnParameters = "csi.storage.k8s.io/";

struct SecretName {
  SecretName() = default;
  std::string ns, name;
  bool empty() const { return name.empty(); }
};

struct Provisioning {
  Provisioning() = default;
  std::string name;  // of the volume: "pvc-UID"
  int64_t bytes = 0;
  std::string fs_type;
  std::vector<Access> accesses;  // one for each of the claim's modes
  StringMap parameters;          // the driver's
  SecretName provision, stage, publish, controller_publish, node_expand, controller_expand;
  std::string clone_of;          // a claim of the namespace
  std::string attributes_class;  // a VolumeAttributesClass
};
// kInvalid with the reason when the claim cannot be served.
Result<Provisioning> plan_provisioning(const api::core_v1::PersistentVolumeClaim& claim,
                                       const api::storage_v1::StorageClass& c);

// Whether what is in `source` may be copied for a claim of `of`'s namespace that says it is made of
// `of`: it is that claim's own, by the volume's word. Anybody may name any volume in a claim.
bool may_be_cloned(const api::core_v1::PersistentVolumeClaim& of,
                   const api::core_v1::PersistentVolume& source, std::string_view driver);

// The topology of a node, of the keys that the driver has there.
StringMap topology_of(const api::core_v1::Node& node, const api::storage_v1::CSINode& csi,
                      const std::string& driver);

Document volume_object(const api::core_v1::PersistentVolumeClaim& claim,
                       const api::storage_v1::StorageClass& c, const Provisioning& plan,
                       const std::string& driver, const v1::Volume& made);

// Whether a volume that lies where `topology` says is the one that `volume` asks for: every term of
// its affinity names other places otherwise.
bool lies_at(const api::core_v1::PersistentVolume& volume, const StringMap& topology);

// Whether the driver is to delete it.
bool is_to_be_deleted(const api::core_v1::PersistentVolume& volume, std::string_view driver);
// Whether the claim's status tells that its volume has so many bytes, or that the node has yet to
// make its file system as large.
bool knows_of(const api::core_v1::PersistentVolumeClaim& claim, int64_t bytes);
// What the claim asks for beyond what its volume has, or beyond what it was told that it has; 0:
// nothing.
int64_t asked_beyond(const api::core_v1::PersistentVolumeClaim& claim,
                     const api::core_v1::PersistentVolume& volume);

}  // namespace keles::csi
