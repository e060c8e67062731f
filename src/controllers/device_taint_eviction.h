// Device taint eviction controller: deletes the pods whose claims have a device with a NoExecute
// taint that the claim does not tolerate, at once or after tolerationSeconds (KEP-5055; upstream:
// pkg/controller/devicetainteviction). Taints are those of ResourceSlices: DeviceTaintRules are a
// feature that is off by default and not served.
//
// Keys: "NS/NAME" of pods.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// Calls `fn` with the taints of a device, as the newest generation of its pool has them.
using EachTaint = std::function<void(const api::resource_v1::DeviceTaint&)>;
using TaintsOfDevice = std::function<void(std::string_view driver, std::string_view pool,
                                          std::string_view device, const EachTaint& fn)>;

// When those who use an allocated claim must go; nothing: they may stay.
std::optional<WallTime> plan_claim_eviction(const api::resource_v1::ResourceClaim& claim,
                                            const TaintsOfDevice& taints_of, WallTime now);

class DeviceTaintEvictionController final : public Controller {
 public:
  explicit DeviceTaintEvictionController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Pod = api::core_v1::Pod;
  using Claim = api::resource_v1::ResourceClaim;
  using Slice = api::resource_v1::ResourceSlice;

  void slice_changed(const Ref<Slice>& before, const Ref<Slice>& now);
  void queue_users(const Claim& claim);
  void taints_of(std::string_view driver, std::string_view pool, std::string_view device,
                 const EachTaint& fn) const;
  std::optional<WallTime> plan(const Pod& pod);
  Task<Status> evict(Context ctx, Ref<Pod> pod, WallTime when);

  Informer<Pod> pods_;
  Informer<Claim> claims_;
  Informer<Slice> slices_;
  std::set<std::string> pending_;  // uids of pods that will have to go
};

}  // namespace keles::controllers
