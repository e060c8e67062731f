// The persistent volume binder: brings claims and volumes together, gives back what was let go
// (upstream: pkg/controller/volume/persistentvolume; the decisions are binder_plan.h's).
//
// One worker, as upstream has for each kind: what it decides of one claim takes a volume from the
// others. A claim is looked at again when a volume of its class comes free or is reserved for it,
// when such a volume changes in what a claim may ask for, when its class changes, and when its pods
// do. By the clock is only tried again what could not be deleted or recycled.
#pragma once

#include <map>
#include <string>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "controllers/controller.h"
#include "controllers/storage/binder_metrics.h"
#include "controllers/storage/binder_plan.h"
#include "controllers/storage/newest.h"

namespace keles::controllers {

class VolumeBinder final : public Controller {
 public:
  explicit VolumeBinder(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // "ns/claim" or "volume"

 private:
  using Claim = api::core_v1::PersistentVolumeClaim;
  using Volume = api::core_v1::PersistentVolume;
  using Class = api::storage_v1::StorageClass;

  void learnt_volume(const std::string& name, const ObjectPtr& now);
  void learnt_claim(const std::string& key, const ObjectPtr& now);
  void class_changed(const Class& c);
  void pod_changed(const Ref<api::core_v1::Pod>& pod);
  void wake_claims(std::string_view concern);
  ClaimWorld world_of(const Claim& claim) const;
  std::vector<std::string> waiting_pods(const Claim& claim) const;
  std::string users_of(const Volume& volume) const;

  // Each writes what is to be written, if anything is, and answers the newest state.
  Task<Result<Ref<Claim>>> write_claim(Context ctx, Ref<Claim> claim, std::optional<Document> next,
                                       bool status);
  Task<Result<Ref<Volume>>> write_volume(Context ctx, Ref<Volume> volume,
                                         std::optional<Document> next, bool status);

  Task<Status> sync_claim(Context ctx, Ref<Claim> claim);
  Task<Status> carry_out(Context ctx, Ref<Claim> claim, BindingPlan plan);
  Task<Status> set_claim_phase(Context ctx, Ref<Claim> claim, std::string phase);
  Task<Status> assign_class(Context ctx, Ref<Claim> claim, std::string storage_class);
  Task<Status> provision(Context ctx, Ref<Claim> claim, BindingPlan plan);
  Task<Status> bind(Context ctx, Ref<Volume> volume, Ref<Claim> claim);

  Task<Status> sync_volume(Context ctx, Ref<Volume> volume);
  // The claim of the volume's claimRef, asked of the server if need be; empty: it has gone.
  Task<Result<Ref<Claim>>> claim_of(Context ctx, Ref<Volume> volume);
  Task<Status> unbind(Context ctx, Ref<Volume> volume);
  Task<Status> release(Context ctx, Ref<Volume> volume);
  Task<Status> remove_storage(Context ctx, Ref<Volume> volume);
  Task<Status> recycle(Context ctx, Ref<Volume> volume);
  Task<Status> fail_volume(Context ctx, Ref<Volume> volume, EventText event);
  Task<Result<bool>> is_still_released(Context ctx, Ref<Volume> volume);
  // The volume could not be given back: it is tried again later, each time twice as late. Whatever
  // wakes the volume before that (its status, the end of its recycler) does not hasten it.
  void set_back(const std::string& volume);
  struct Setback {
    int times = 0;
    TimePoint until;
  };

  volumes::VolumeIndex index_;
  BinderMetrics metrics_;
  std::map<std::string, Setback> setbacks_;  // by volume, until it is given back or has gone
  Newest<Claim> claims_;
  Newest<Volume> volumes_;
  Informer<Class> classes_;
  Informer<api::core_v1::Pod> pods_;
};

}  // namespace keles::controllers
