// Three controllers that keep what storage is in use: a claim stays until no pod of a node uses it,
// a volume until it is not bound, a VolumeAttributesClass until nothing names it (upstream:
// pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}). Admission gives each object a
// finalizer; here those that have none (yet) get it, and those that may go lose it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "controllers/controller.h"
#include "controllers/finalizers.h"

namespace keles::controllers {

// Whether the pod uses the claim: it is on a node and names it, or it was made for the pod, which
// has not ended.
bool pod_uses_claim(const api::core_v1::Pod& pod, const api::core_v1::PersistentVolumeClaim& claim);
// The classes that a claim names, has, or is on its way to.
std::vector<std::string> classes_of_claim(const api::core_v1::PersistentVolumeClaim& claim);

class ClaimProtection final : public Controller {
 public:
  explicit ClaimProtection(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a claim

 private:
  Informer<api::core_v1::PersistentVolumeClaim> claims_;
  Informer<api::core_v1::Pod> pods_;
};

class VolumeProtection final : public Controller {
 public:
  explicit VolumeProtection(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a volume

 private:
  Informer<api::core_v1::PersistentVolume> volumes_;
};

class AttributesClassProtection final : public Controller {
 public:
  explicit AttributesClassProtection(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a class

 private:
  bool in_use(std::string_view name) const;
  Informer<api::storage_v1::VolumeAttributesClass> classes_;
  Informer<api::core_v1::PersistentVolumeClaim> claims_;
  Informer<api::core_v1::PersistentVolume> volumes_;
};

}  // namespace keles::controllers
