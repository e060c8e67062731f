// The provisioner of local clusters: a volume is a directory on the node that the pod goes to, made
// and removed there by a helper pod (what rancher.io/local-path does in kind; same names, so that
// its manifests and users find what they know). Works like any external provisioner: by the claim's
// annotations, beside the binder.
//
// Runs where StorageSettings::local_path_directory is set. On the first start it makes its
// namespace and the default class "standard"; who deletes the class has deleted it.
#pragma once

#include <string>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

inline constexpr std::string_view kLocalPathProvisioner = "rancher.io/local-path";
inline constexpr std::string_view kLocalPathNamespace = "local-path-storage";

// What keeps a claim from a directory; ok: nothing.
Status check_local_path(const api::core_v1::PersistentVolumeClaim& claim);
// "DIRECTORY/pvc-UID_NS_NAME".
std::string local_path_of(const std::string& directory,
                          const api::core_v1::PersistentVolumeClaim& claim);
Document local_path_volume(const api::core_v1::PersistentVolumeClaim& claim,
                           const api::storage_v1::StorageClass& storage_class,
                           const api::core_v1::Node& node, const std::string& path);
// The pod that makes (or removes) the directory `path` on the node. `wakes`: the key whose turn it
// is when it has ended.
Document local_path_helper(const std::string& name, bool make, const std::string& path,
                           const std::string& node, const std::string& wakes);
Document local_path_class();
// Whether a volume of ours is to be removed from its node, and with that from the API.
bool wants_removal(const api::core_v1::PersistentVolume& volume);

class LocalPathProvisioner final : public Controller {
 public:
  explicit LocalPathProvisioner(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // "ns/claim" or "volume"

 private:
  using Claim = api::core_v1::PersistentVolumeClaim;
  using Volume = api::core_v1::PersistentVolume;
  using Pod = api::core_v1::Pod;
  void started(Context ctx) override;
  Task<void> set_up(Context ctx);
  Task<Status> provision(Context ctx, Ref<Claim> claim);
  Task<Status> finish(Context ctx, Ref<Claim> claim, Ref<api::storage_v1::StorageClass> c,
                      Ref<Pod> helper, std::string node);
  Task<Status> remove_volume(Context ctx, Ref<Volume> volume);
  // Gives the claim back to the scheduler.
  Task<Status> give_up(Context ctx, Ref<Claim> claim, std::string why);
  Task<Status> drop_helper(Context ctx, Ref<Pod> helper);
  // Those made for what had this key and has gone: all but `kept`.
  Task<Status> drop_helpers(Context ctx, std::string key, std::string kept);

  Informer<Claim> claims_;
  Informer<Volume> volumes_;
  Informer<api::storage_v1::StorageClass> classes_;
  Informer<api::core_v1::Node> nodes_;
  Informer<Pod> helpers_;  // of our namespace
  TaskGroup group_;

 protected:
  Task<void> stopped() override;
};

}  // namespace keles::controllers
