#include "controllers/storage/binder_plan.h"

#include "machinery/volumes/claim_rules.h"
#include "machinery/volumes/plugins.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::storage_v1::StorageClass;

namespace {

using Act = BindingPlan::Act;

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

std::string key_of(std::string_view ns, std::string_view name) {
  return std::string(ns) + "/" + std::string(name);
}

std::string key_of(const PersistentVolumeClaim& claim) {
  return key_of(claim.metadata().namespace_(), claim.metadata().name());
}

BindingPlan act(Act a, std::optional<EventText> event = std::nullopt) {
  BindingPlan p;
  p.act = a;
  p.event = std::move(event);
  return p;
}

BindingPlan bind_to(std::string_view volume) {
  BindingPlan p;
  p.act = Act::kBind;
  p.volume = volume;
  return p;
}

// Nobody has asked for a node yet: for whom is it waiting?
EventText waiting_event(const std::vector<std::string>& pods) {
  if (pods.empty()) {
    return {false, "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding"};
  }
  std::string names = pods[0];
  for (size_t i = 1; i < pods.size(); ++i) names += "," + pods[i];
  return {
      false, "WaitForPodScheduled",
      (pods.size() > 1 ? "waiting for pods " : "waiting for pod ") + names + " to be scheduled"};
}

BindingPlan plan_provision(const PersistentVolumeClaim& claim, const ClaimWorld& world) {
  const std::string name(volumes::class_of(claim));
  const Ref<StorageClass> c = world.storage_class(name);
  if (!c) {
    return act(Act::kNothing,
               EventText{true, "ProvisioningFailed",
                         "storageclass.storage.k8s.io " + quoted(name) + " not found"});
  }
  volumes::Provisioner provisioner = volumes::provisioner_of(c->provisioner());
  if (!provisioner.error.empty()) {
    return act(Act::kNothing, EventText{true, "ProvisioningFailed", std::move(provisioner.error)});
  }
  BindingPlan p = act(Act::kProvision);
  p.provisioner = provisioner.name;
  p.event = EventText{false, "ExternalProvisioning",
                      "Waiting for a volume to be created either by the external provisioner '" +
                          provisioner.name +
                          "' or manually by the system administrator. If volume creation is "
                          "delayed, please verify that the provisioner is running and correctly "
                          "registered."};
  return p;
}

// One that names no volume.
BindingPlan plan_search(const PersistentVolumeClaim& claim, const ClaimWorld& world) {
  const std::string name(volumes::class_of(claim));
  const Ref<StorageClass> c = name.empty() ? Ref<StorageClass>() : world.storage_class(name);
  const bool delayed = c && volumes::waits_for_consumer(*c);
  auto ask = volumes::ask_of(claim);
  if (!ask.ok()) {
    BindingPlan p;
    p.error = ask.status().with_prefix("error finding PV for claim " + quoted(key_of(claim)));
    return p;
  }
  if (const auto* volume = world.volumes->best_for(*ask, delayed)) return bind_to(volume->name);
  if (!volumes::has_class(claim)) {
    if (const Ref<StorageClass> fallback = world.default_class()) {
      BindingPlan p = act(Act::kAssignClass);
      p.storage_class = fallback->metadata().name();
      return p;
    }
  }
  if (delayed && !claim.metadata().annotations().contains(volumes::kSelectedNode))
    return act(Act::kPending, waiting_event(world.waiting_pods()));
  if (!name.empty()) return plan_provision(claim, world);
  return act(Act::kPending,
             EventText{false, "FailedBinding",
                       "no persistent volumes available for this claim and no storage class is "
                       "set"});
}

// One that names a volume and is not bound to it.
BindingPlan plan_named(const PersistentVolumeClaim& claim, const ClaimWorld& world) {
  const std::string name(claim.spec().volume_name());
  const Ref<PersistentVolume> volume = world.volume(name);
  if (!volume) return act(Act::kPending);
  if (!volume->spec().has_claim_ref()) {
    const Status fits = volumes::check_satisfies(*volume, claim);
    if (fits.ok()) return bind_to(name);
    return act(Act::kPending, EventText{true, "VolumeMismatch",
                                        "Cannot bind to requested volume " + quoted(name) + ": " +
                                            fits.message()});
  }
  if (volumes::is_bound_to(*volume, claim)) return bind_to(name);
  const EventText taken{true, "FailedBinding",
                        "volume " + quoted(name) + " already bound to a different claim."};
  if (!claim.metadata().annotations().contains(volumes::kBoundByController))
    return act(Act::kPending, taken);
  BindingPlan p = act(Act::kNothing, taken);
  const ObjectReference other = volume->spec().claim_ref();
  p.error =
      Status(Reason::kConflict, "invalid binding of claim " + quoted(key_of(claim)) +
                                    " to volume " + quoted(name) + ": volume already claimed by " +
                                    quoted(key_of(other.namespace_(), other.name())));
  return p;
}

BindingPlan lost(std::string_view reason, std::string message) {
  return act(Act::kLost, EventText{true, reason, std::move(message)});
}

BindingPlan plan_bound(const PersistentVolumeClaim& claim, const ClaimWorld& world) {
  const std::string name(claim.spec().volume_name());
  if (name.empty()) {
    return lost("ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  }
  const Ref<PersistentVolume> volume = world.volume(name);
  if (!volume)
    return lost("ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  const ObjectReference ref = volume->spec().claim_ref();
  if (!ref || ref.uid() == claim.metadata().uid()) return bind_to(name);
  return lost("ClaimMisbound",
              "Two claims are bound to the same volume, this one is bound incorrectly");
}

}  // namespace

BindingPlan plan_binding(const PersistentVolumeClaim& claim, const ClaimWorld& world) {
  if (claim.metadata().annotations().contains(volumes::kBindCompleted))
    return plan_bound(claim, world);
  return claim.spec().volume_name().empty() ? plan_search(claim, world) : plan_named(claim, world);
}

VolumePlan plan_volume(const PersistentVolume& volume, const PersistentVolumeClaim* claim) {
  VolumePlan p;
  const auto spec = volume.spec();
  if (!spec.has_claim_ref() || spec.claim_ref().uid().empty()) {
    p.act = VolumePlan::Act::kAvailable;
  } else if (claim == nullptr) {
    p.act = VolumePlan::Act::kRelease;
  } else if (claim->spec().volume_name().empty()) {
    if (volumes::is_block(*claim) == volumes::is_block(volume)) {
      p.act = VolumePlan::Act::kSyncClaim;
      return p;
    }
    p.act = VolumePlan::Act::kMismatch;
    p.event = EventText{true, "VolumeMismatch",
                        "Cannot bind PersistentVolume to requested PersistentVolumeClaim " +
                            quoted(claim->metadata().name()) + " due to incompatible volumeMode."};
    p.claim_event = EventText{true, "VolumeMismatch",
                              "Cannot bind PersistentVolume " + quoted(volume.metadata().name()) +
                                  " to requested PersistentVolumeClaim due to incompatible "
                                  "volumeMode."};
  } else if (claim->spec().volume_name() == volume.metadata().name()) {
    p.act = VolumePlan::Act::kBound;
  } else {
    // What was made for a claim that found another volume is of no more use.
    const bool made = volume.metadata().annotations().contains(volumes::kProvisionedBy) &&
                      spec.persistent_volume_reclaim_policy() == "Delete";
    p.act = made ? VolumePlan::Act::kRelease : VolumePlan::Act::kUnbind;
  }
  return p;
}

ReclaimPlan plan_reclaim(const PersistentVolume& volume) {
  using R = ReclaimPlan::Act;
  if (!volume.metadata().annotations().get(volumes::kMigratedTo).empty()) return {};
  const std::string_view policy = volume.spec().persistent_volume_reclaim_policy();
  if (policy == "Retain") return {};
  if (policy == "Recycle") {
    if (volumes::is_recyclable(volume)) return {R::kRecycle, {}};
    return {R::kFail, {true, "VolumeFailedRecycle", "No recycler plugin found for the volume!"}};
  }
  if (policy == "Delete") {
    volumes::Deleter deleter = volumes::deleter_of(volume);
    if (deleter.who == volumes::Deleter::Who::kHostPath) return {R::kDelete, {}};
    if (deleter.who == volumes::Deleter::Who::kNobodyHere) return {};
    return {R::kFail, {true, "VolumeFailedDelete", std::move(deleter.error)}};
  }
  return {R::kFail,
          {true, "VolumeUnknownReclaimPolicy",
           "Volume has unrecognized PersistentVolumeReclaimPolicy"}};
}

}  // namespace keles::controllers
