// What a local cluster's claims are served by: our CSI driver on each node (src/csi), and the
// objects that make it the default: the class "standard", its CSIDriver, and what its identity may.
// Who changes or deletes these objects has done so.
#pragma once

#include <string>

#include "base/loop.h"
#include "base/status.h"
#include "client/kubeconfig.h"
#include "kind/node_spec.h"

namespace keles::kind {

// The group of the drivers' certificates.
constexpr char kStorageGroup[] = "keles:csi-local";

Service storage_service(const NodeSpec& node);
Status install_storage(const KubeconfigEntry& entry, Duration timeout);
// What a node that has ended leaves with the kernel: files of volumes that are block devices.
void release_storage(const std::string& rootfs);

}  // namespace keles::kind
