// How a component writes one condition of a pod, beside the others' (the agent writes most of
// them).
#pragma once

#include <optional>
#include <string_view>

#include "api/core_v1.h"
#include "client/client.h"

namespace keles {

struct PodConditionWrite {
  std::string_view type, status, reason, message;
};

// "The pod is about to go for a reason that is not its own" (KEP 3329); written before the
// deletion. The reasons: PreemptionByScheduler, DeletionByTaintManager, DeletionByPodGC.
inline constexpr std::string_view kDisruptionTarget = "DisruptionTarget";

// The strategic merge patch of the status, guarded by the pod's uid; nothing when the pod has the
// condition already. The transition time changes with the status alone.
std::optional<Document> pod_condition_patch(const api::core_v1::Pod& pod,
                                            const PodConditionWrite& condition, WallTime now);

// Patches the status; that the pod has gone meanwhile is no error.
Task<Status> patch_pod_status(Context ctx, Client* client, std::string ns, std::string name,
                              Document patch);

}  // namespace keles
