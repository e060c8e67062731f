// The persistent volume behind a claim of a pod, as the API server says it is now, and what this
// node makes of it: hostPath and local block devices, which are where the volume says; nfs, which
// is mounted. CSI: ../csi.
#pragma once

#include <string>

#include "api/core_v1.h"
#include "base/may_hang.h"
#include "client/client.h"
#include "node/volumes/pod_directories.h"

namespace keles::node {

struct ClaimRequest {
  ClaimRequest() = default;
  Ref<api::core_v1::Pod> pod;
  std::string volume;  // its name in the pod
  std::string claim;
  bool ephemeral = false;  // made for the pod
  bool read_only = false;
};

struct ClaimedVolume {
  Ref<api::core_v1::PersistentVolumeClaim> claim;
  Ref<api::core_v1::PersistentVolume> volume;
};
// The claim and the volume that it is bound to. The errors are those of upstream's kubelet ("error
// processing PVC ns/x: PVC is not bound").
Task<Result<ClaimedVolume>> find_claimed(Context ctx, Client* client, ClaimRequest request);

// Where its files (or its device) are on this node, made ready; kInvalid for a type that the node
// has not. Local file systems: local_volume.h. Errors are whole sentences, as upstream's
// FailedMount has them.
Task<Result<std::string>> ready_volume(Context ctx, MayHang* calls, PodDirectories pods,
                                       ClaimRequest request,
                                       Ref<api::core_v1::PersistentVolume> volume);

// Whose all below `path` becomes, `path` included: the group may read, and write unless
// `read_only`; what is made in its directories is its too. Links are not followed. Blocking.
Status give_to_group(const std::string& path, gid_t group, bool read_only,
                     bool only_if_root_differs);

}  // namespace keles::node
