// Makes the claims of pods' ephemeral volumes from their templates, each owned by its pod
// (upstream: pkg/controller/volume/ephemeral).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// One volume of a pod: what is to be made for it, or why that cannot be.
struct EphemeralClaim {
  std::string volume, claim;
  std::optional<Document> make;
  Status conflict;  // a claim of that name is there, and another's
};
// `find` gives the claim of a name in the pod's namespace, or an empty one.
std::vector<EphemeralClaim> plan_ephemeral(
    const api::core_v1::Pod& pod,
    const std::function<Ref<api::core_v1::PersistentVolumeClaim>(std::string_view)>& find);

class EphemeralVolumes final : public Controller {
 public:
  explicit EphemeralVolumes(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a pod

 private:
  void pod_came(const Ref<api::core_v1::Pod>& pod);
  Informer<api::core_v1::Pod> pods_;
  Informer<api::core_v1::PersistentVolumeClaim> claims_;
};

}  // namespace keles::controllers
