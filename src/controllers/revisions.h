// The history of a pod template as ControllerRevisions, for DaemonSets and StatefulSets: what
// `kubectl rollout history|undo` reads (upstream: pkg/controller/history).
#pragma once

#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/claims.h"
#include "controllers/controller.h"

namespace keles::controllers {

struct RevisionOwner {
  const KindDesc* kind = nullptr;
  api::meta_v1::ObjectMeta meta;
  api::core_v1::PodTemplateSpec pod_template;
  // Under which its revisions carry their hash; the other labels are the template's.
  std::string_view hash_label;
  int64_t collision_count = 0;
  int64_t history_limit = 10;
  bool limit_counts_live = false;  // those that pods are of are among the ones that are kept
};

// The owner's; it must outlive what is made from it (a view).
template <class O>
RevisionOwner revision_owner(const O& owner, std::string_view hash_label) {
  return {&kind_of<O>(),
          owner.metadata(),
          owner.spec().template_(),
          hash_label,
          owner.status().collision_count(),
          owner.spec().has_revision_history_limit() ? owner.spec().revision_history_limit() : 10};
}

struct RevisionPlan {
  std::string name;  // of the template's revision, "OWNER-HASH"
  std::string hash;
  // At most one of these writes: a template that is new, or one that is current again.
  std::optional<Draft<api::apps_v1::ControllerRevisionEdit>> create, update;
  std::vector<Ref<api::apps_v1::ControllerRevision>> remove;  // beyond the limit, not in use
};

// `in_use`: hashes and names that live pods carry in their controller-revision-hash label.
RevisionPlan plan_revisions(const RevisionOwner& owner,
                            const std::vector<Ref<api::apps_v1::ControllerRevision>>& revisions,
                            const std::vector<std::string>& in_use);

// Carries the plan out. A stranger that has the new revision's name raises the owner's collision
// count, so that the next plan has another; that is a conflict, as is one of ours that the cache
// does not have yet: tried again. `owner` outlives the task.
Task<Status> write_revisions(Context ctx, Client* client, const RevisionOwner* owner,
                             RevisionPlan* plan);

// Of pods, and of a DaemonSet's revisions.
inline constexpr std::string_view kRevisionHashLabel = "controller-revision-hash";
// Of a StatefulSet's revisions.
inline constexpr std::string_view kHashLabel = "controller.kubernetes.io/hash";

}  // namespace keles::controllers
