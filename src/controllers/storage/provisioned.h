// What those who provision volumes for claims have in common, the built-in one (local_path.h) and
// the controller side of CSI drivers: as upstream's external-provisioner does it.
#pragma once

#include <string_view>

#include "api/core_v1.h"
#include "api/storage_v1.h"
#include "base/context.h"
#include "client/client.h"

namespace keles::controllers {

// What follows for the claim's volume from the claim and its class: names, the finalizer of one
// that is to be deleted, the reference to the claim. Its source, capacity and mode are the
// caller's.
void describe_provisioned(const api::core_v1::PersistentVolumeEdit& volume, std::string_view name,
                          std::string_view provisioner,
                          const api::core_v1::PersistentVolumeClaim& claim,
                          const api::storage_v1::StorageClass& storage_class);

// Lets the object of a volume go whose storage has gone. OK when it went meanwhile.
Task<Status> forget_provisioned(Context ctx, Client* client,
                                Ref<api::core_v1::PersistentVolume> volume);

}  // namespace keles::controllers
