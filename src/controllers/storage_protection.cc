#include "controllers/storage_protection.h"

#include <algorithm>
#include <functional>

#include "controllers/ownership.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::meta_v1::ObjectMeta;
using api::storage_v1::VolumeAttributesClass;

namespace {

constexpr std::string_view kClaimFinalizer = "kubernetes.io/pvc-protection";
constexpr std::string_view kVolumeFinalizer = "kubernetes.io/pv-protection";
constexpr std::string_view kClassFinalizer = "kubernetes.io/vac-protection";

bool has_finalizer(const ObjectMeta& object, std::string_view finalizer) {
  for (std::string_view f : object.finalizers()) {
    if (f == finalizer) return true;
  }
  return false;
}

bool is_dying(const ObjectMeta& object) { return !object.deletion_timestamp().empty(); }

// The claim that a pod's volume names, or that is made for it; "": none.
std::string claim_of(const Pod& pod, const Volume& volume) {
  if (volume.has_persistent_volume_claim()) {
    return std::string(volume.persistent_volume_claim().claim_name());
  }
  if (!volume.has_ephemeral()) return "";
  return std::string(pod.metadata().name()) + "-" + std::string(volume.name());
}

// The node is done with it, and it only waits for finalizers: perhaps for its claim to go.
bool is_shut_down(const Pod& pod) {
  auto meta = pod.metadata();
  return is_dying(meta) && meta.has_deletion_grace_period_seconds() &&
         meta.deletion_grace_period_seconds() == 0;
}

bool is_made_for(const PersistentVolumeClaim& claim, const Pod& pod) {
  for (auto r : claim.metadata().owner_references()) {
    if (r.controller() && r.uid() == pod.metadata().uid()) return true;
  }
  return false;
}

}  // namespace

Protection plan_protection(const ObjectMeta& object, std::string_view finalizer, bool in_use) {
  const bool has = has_finalizer(object, finalizer);
  if (is_dying(object)) return has && !in_use ? Protection::kRemove : Protection::kNothing;
  return has ? Protection::kNothing : Protection::kAdd;
}

bool pod_uses_claim(const Pod& pod, const PersistentVolumeClaim& claim) {
  // A node starts no pod whose claim is being deleted: who is on none yet does not count.
  if (pod.spec().node_name().empty() || is_shut_down(pod)) return false;
  for (Volume v : pod.spec().volumes()) {
    if (claim_of(pod, v) != claim.metadata().name()) continue;
    if (v.has_persistent_volume_claim()) return true;
    if (!pod_has_finished(pod) && is_made_for(claim, pod)) return true;
  }
  return false;
}

std::vector<std::string> classes_of_claim(const PersistentVolumeClaim& claim) {
  std::vector<std::string> out;
  for (std::string_view name :
       {claim.spec().volume_attributes_class_name(),
        claim.status().current_volume_attributes_class_name(),
        claim.status().modify_volume_status().target_volume_attributes_class_name()}) {
    if (!name.empty()) out.emplace_back(name);
  }
  return out;
}

ClaimProtection::ClaimProtection(Deps deps)
    : Controller(deps, "pvcprotection", "pvc-protection-controller", 1),
      claims_(watch_own<PersistentVolumeClaim>()),
      pods_(watch<Pod>()) {
  // What a pod lets go of when it goes, or ends.
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    if (!before || (now && !pod_has_finished(*now) && !is_shut_down(*now))) return;
    const std::string ns(before->metadata().namespace_());
    for (Volume v : before->spec().volumes()) {
      const std::string claim = claim_of(*before, v);
      if (!claim.empty() && claims_.get(ns, claim)) queue().add(ns + "/" + claim);
    }
  });
}

Task<ReconcileResult> ClaimProtection::reconcile(Context ctx, std::string key) {
  const auto [ns, name] = split_key(key);
  const Ref<PersistentVolumeClaim> claim = claims_.get(ns, name);
  if (!claim) co_return Status();
  Protection what = plan_protection(claim->metadata(), kClaimFinalizer, false);
  if (what == Protection::kRemove) {
    // From the server: a pod that is bound just now counts.
    auto pods = co_await client().list<Pod>(ctx, ns);
    if (!pods.ok()) co_return pods.status();
    const bool used = std::any_of(pods->begin(), pods->end(),
                                  [&](const Ref<Pod>& p) { return pod_uses_claim(*p, *claim); });
    if (used) what = Protection::kNothing;
  }
  Status s = co_await protect<PersistentVolumeClaim, PersistentVolumeClaimEdit>(
      ctx, &client(), claim, what, std::string(kClaimFinalizer));
  co_return s;
}

VolumeProtection::VolumeProtection(Deps deps)
    : Controller(deps, "pvprotection", "pv-protection-controller", 1),
      volumes_(watch_own<PersistentVolume>()) {}

Task<ReconcileResult> VolumeProtection::reconcile(Context ctx, std::string key) {
  const Ref<PersistentVolume> volume = volumes_.get("", key);
  if (!volume) co_return Status();
  const bool bound = volume->status().phase() == "Bound";
  Status s = co_await protect<PersistentVolume, PersistentVolumeEdit>(
      ctx, &client(), volume, plan_protection(volume->metadata(), kVolumeFinalizer, bound),
      std::string(kVolumeFinalizer));
  co_return s;
}

AttributesClassProtection::AttributesClassProtection(Deps deps)
    : Controller(deps, "vacprotection", "vac-protection-controller", 1),
      classes_(watch_own<VolumeAttributesClass>()),
      claims_(watch<PersistentVolumeClaim>()),
      volumes_(watch<PersistentVolume>()) {
  claims_.on_change(
      [this](const Ref<PersistentVolumeClaim>& before, const Ref<PersistentVolumeClaim>&) {
        if (!before) return;
        for (std::string& name : classes_of_claim(*before)) queue().add(std::move(name));
      });
  volumes_.on_change([this](const Ref<PersistentVolume>& before, const Ref<PersistentVolume>&) {
    if (!before) return;
    std::string name(before->spec().volume_attributes_class_name());
    if (!name.empty()) queue().add(std::move(name));
  });
}

bool AttributesClassProtection::in_use(std::string_view name) const {
  for (const auto& claim : claims_.list()) {
    const auto names = classes_of_claim(*claim);
    if (std::find(names.begin(), names.end(), name) != names.end()) return true;
  }
  for (const auto& volume : volumes_.list()) {
    if (volume->spec().volume_attributes_class_name() == name) return true;
  }
  return false;
}

Task<ReconcileResult> AttributesClassProtection::reconcile(Context ctx, std::string key) {
  const Ref<VolumeAttributesClass> c = classes_.get("", key);
  if (!c) co_return Status();
  Status s = co_await protect<VolumeAttributesClass, api::storage_v1::VolumeAttributesClassEdit>(
      ctx, &client(), c, plan_protection(c->metadata(), kClassFinalizer, in_use(key)),
      std::string(kClassFinalizer));
  co_return s;
}

}  // namespace keles::controllers
