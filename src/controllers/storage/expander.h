// Tells a claim that asks for more than its volume has, that somebody else must see to it: no
// volume of today is grown by a plug-in of the control plane (upstream:
// pkg/controller/volume/expand).
#pragma once

#include <optional>
#include <string>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

struct ExpandPlan {
  bool wanted = false;
  std::string event;    // of the reason ExternalExpanding
  std::string resizer;  // to be named by the claim's annotation; "": none
  Status error;
};
ExpandPlan plan_expand(const api::core_v1::PersistentVolumeClaim& claim,
                       const api::core_v1::PersistentVolume& volume);

class VolumeExpander final : public Controller {
 public:
  explicit VolumeExpander(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a claim

 private:
  Informer<api::core_v1::PersistentVolumeClaim> claims_;
};

}  // namespace keles::controllers
