// The history of a pod template as ControllerRevisions, for DaemonSets and StatefulSets: what
// `kubectl rollout history|undo` reads (upstream: pkg/controller/history).
#pragma once

#include <string>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

struct RevisionOwner {
  const KindDesc* kind = nullptr;
  api::meta_v1::ObjectMeta meta;
  api::core_v1::PodTemplateSpec pod_template;
  Map<std::string_view> labels;  // of the revisions: the selector's
  int64_t collision_count = 0;
  int64_t history_limit = 10;
};

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

Task<Status> write_revisions(Context ctx, Client* client, RevisionPlan* plan);

inline constexpr std::string_view kRevisionHashLabel = "controller-revision-hash";

}  // namespace keles::controllers
