// Volumes that have grown in the API while their file system on this node has not (upstream:
// pkg/volume/util/operationexecutor/node_expander.go): what is left to do, and how the claim is
// told that it is done. Who grows them: a driver (../csi), or the node itself (local_volume.h).
#pragma once

#include <optional>
#include <string>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "client/client.h"

namespace keles::node {

// What the volume has and its claim does not say yet ("32Mi"); nothing: it is level, or this size
// was found to be out of reach.
std::optional<std::string> pending_expansion(const api::core_v1::PersistentVolume& volume,
                                             const api::core_v1::PersistentVolumeClaim& claim);

// Writes into the claim's status that it has `size`, or, where `infeasible` says why, that it
// cannot have it. Tries again where somebody else has changed the claim.
Task<Status> finish_expansion(Context ctx, Client* client,
                              Ref<api::core_v1::PersistentVolumeClaim> claim, std::string size,
                              std::string infeasible);

}  // namespace keles::node
