// Removes service account tokens that were made by themselves long ago and that nobody uses
// (Secrets of type service-account-token which their account names; upstream: the legacy service
// account token cleaner, KEP-2799): one that was not used for a year is marked invalid, and goes
// after another. When a token was used is the API server's to note
// (kubernetes.io/legacy-token-last-used), since when it does, in
// kube-system/kube-apiserver-legacy-service-account-token-tracking.
#pragma once

#include <optional>
#include <string>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// Dates are "2006-01-02", of UTC.
struct LegacyTokenPlan {
  bool mark = false;  // as invalid since today
  bool remove = false;
};
// `mounted`: a pod of the namespace refers to it. `account`: the one that it is for, if there.
LegacyTokenPlan plan_legacy_token(const api::core_v1::Secret& secret,
                                  const Ref<api::core_v1::ServiceAccount>& account, bool mounted,
                                  Duration unused_for, WallTime now);
// Whether uses have been noted for long enough to tell who is unused.
bool tracked_long_enough(std::string_view since, Duration unused_for, WallTime now);

class LegacyTokenCleaner final : public Controller {
 public:
  explicit LegacyTokenCleaner(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // one key, every day

 private:
  void started(Context) override { queue().add("clean"); }
  bool is_mounted(const api::core_v1::Secret& secret) const;
  Task<Status> carry_out(Context ctx, Ref<api::core_v1::Secret> secret, LegacyTokenPlan plan);
  Informer<api::core_v1::Secret> secrets_;
  Informer<api::core_v1::ServiceAccount> accounts_;
  Informer<api::core_v1::Pod> pods_;
};

}  // namespace keles::controllers
