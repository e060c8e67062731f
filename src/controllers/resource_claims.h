// Resource claims (resource.k8s.io/v1, KEP-4381; upstream: pkg/controller/resourceclaim): claims
// that pods want by template are made and named in the pod's status; who is done with a claim loses
// its reservation, and what nobody reserves any more is given back.
//
// Keys: "pod:NS/NAME" and "claim:NS/NAME".
#pragma once

#include <map>
#include <set>
#include <string>

#include "api/core_v1.h"
#include "api/resource_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// What is to become of a claim. `is_user_gone` is asked of each pod it is reserved for.
struct ClaimPlan {
  std::vector<std::string> keep;  // uids of who it stays reserved for
  bool changed = false;           // somebody left
  bool deallocate = false, unguard = false;
};
ClaimPlan plan_claim(const api::resource_v1::ResourceClaim& claim,
                     const std::set<std::string>& gone_users);

// A claim that the pod's entry wants, by this template.
Document claim_from_template(const api::core_v1::Pod& pod, std::string_view entry,
                             const api::resource_v1::ResourceClaimTemplate& from);

bool is_pod_done(const api::core_v1::Pod& pod);

class ResourceClaimController final : public Controller {
 public:
  explicit ResourceClaimController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Pod = api::core_v1::Pod;
  using Claim = api::resource_v1::ResourceClaim;
  using Template = api::resource_v1::ResourceClaimTemplate;

  void pod_changed(const Ref<Pod>& before, const Ref<Pod>& now);
  void claim_changed(const Ref<Claim>& before, const Ref<Claim>& now);
  void count(const Ref<Claim>& claim, int by);
  Task<Status> reconcile_pod(Context ctx, std::string ns, std::string name);
  Task<Status> reconcile_claim(Context ctx, std::string ns, std::string name);
  Task<Result<std::string>> make_claim(Context ctx, Ref<Pod> pod, std::string entry);
  Task<Status> reserve(Context ctx, Ref<Pod> pod);
  Task<Result<bool>> is_gone(Context ctx, std::string ns, std::string name, std::string uid);
  Task<Status> carry_out(Context ctx, Ref<Claim> claim, const ClaimPlan* plan);
  std::string made_for(const Pod& pod, std::string_view entry) const;

  Informer<Pod> pods_;
  Informer<Claim> claims_;
  Informer<Template> templates_;
  // Claims that were made and are not seen yet: by the pod's uid and its entry, their names.
  std::map<std::pair<std::string, std::string>, std::string> made_;
  std::map<std::vector<std::string>, int64_t> counts_;  // by the labels of the metric
};

}  // namespace keles::controllers
