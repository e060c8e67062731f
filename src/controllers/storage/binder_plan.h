// What is to become of a claim and of a volume: the decisions of the persistent volume binder
// (https://kubernetes.io/docs/concepts/storage/persistent-volumes; upstream's pv_controller), and
// the objects as they are to be written. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "base/status.h"
#include "machinery/volumes/volume_index.h"

namespace keles::controllers {

struct EventText {
  bool warning = false;
  std::string_view reason;
  std::string message;
};

struct BindingPlan {
  enum class Act : uint8_t {
    kNothing,
    kBind,         // to `volume`
    kPending,      // that is its phase
    kLost,         // likewise, with the event when it becomes so
    kAssignClass,  // `storage_class`, which has become the default
    kProvision,    // by `provisioner`, if its name is not yet written down
  };
  Act act = Act::kNothing;
  std::string volume, storage_class, provisioner;
  std::optional<EventText> event;
  Status error;  // to be tried again
};

// What a claim is judged by.
struct ClaimWorld {
  const volumes::VolumeIndex* volumes = nullptr;
  std::function<Ref<api::core_v1::PersistentVolume>(std::string_view name)> volume;
  std::function<Ref<api::storage_v1::StorageClass>(std::string_view name)> storage_class;
  std::function<Ref<api::storage_v1::StorageClass>()> default_class;
  // Names of the pods that use the claim and have no node yet.
  std::function<std::vector<std::string>()> waiting_pods;
};
BindingPlan plan_binding(const api::core_v1::PersistentVolumeClaim& claim, const ClaimWorld& world);

struct VolumePlan {
  enum class Act : uint8_t {
    kNothing,
    kAvailable,  // that is its phase
    kBound,      // likewise
    kSyncClaim,  // the claim has the next step
    kMismatch,   // the two can never be one: an event for each
    kRelease,    // its claim has gone: Released, then as its policy says
    kUnbind,     // its claim has another volume
  };
  Act act = Act::kNothing;
  std::optional<EventText> event, claim_event;
};
// `claim`: the one of the volume's claimRef, by uid too; null: there is none (any more).
VolumePlan plan_volume(const api::core_v1::PersistentVolume& volume,
                       const api::core_v1::PersistentVolumeClaim* claim);

struct ReclaimPlan {
  enum class Act : uint8_t { kNothing, kDelete, kRecycle, kFail };
  Act act = Act::kNothing;
  EventText event;  // of kFail; its message is the status' too
};
ReclaimPlan plan_reclaim(const api::core_v1::PersistentVolume& volume);

// --- What is to be written, beside volumes::volume_bound_to(); nothing when it is so already. ---

// Free again: for its creator's claim of that name if he reserved it, else for all.
Document volume_unbound(const api::core_v1::PersistentVolume& volume);
std::optional<Document> volume_in_phase(const api::core_v1::PersistentVolume& volume,
                                        std::string_view phase, std::string_view message = {});
// Its migration annotation and the finalizers of who deletes what it holds.
std::optional<Document> volume_annealed(const api::core_v1::PersistentVolume& volume);
std::optional<Document> volume_without_finalizer(const api::core_v1::PersistentVolume& volume);

std::optional<Document> claim_bound_to(const api::core_v1::PersistentVolumeClaim& claim,
                                       std::string_view volume);
// The status of a claim that has the volume, or (null) none.
Result<std::optional<Document>> claim_in_phase(const api::core_v1::PersistentVolumeClaim& claim,
                                               std::string_view phase,
                                               const api::core_v1::PersistentVolume* volume);
std::optional<Document> claim_annealed(const api::core_v1::PersistentVolumeClaim& claim);
std::optional<Document> claim_with_provisioner(const api::core_v1::PersistentVolumeClaim& claim,
                                               std::string_view provisioner);
Document claim_with_class(const api::core_v1::PersistentVolumeClaim& claim,
                          std::string_view storage_class);

}  // namespace keles::controllers
