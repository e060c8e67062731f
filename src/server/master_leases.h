// Where the API servers that share a store serve, each as it says itself: an Endpoints object per
// address beneath /registry/masterleases/, which is upstream's place and form. No resource of the
// API leads there: only who has the store itself can name a server.
//
// Upstream's entries go with an etcd lease; ours are told dead by no longer changing (peers.h).
// Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "store/store.h"

namespace keles::server {

struct MasterLease {
  std::string key, address;
  uint16_t port = 0;  // 0: it does not say (upstream's do not)
  int64_t revision = 0;
  WallTime renewed;  // by its own clock; 0: it does not say
};

std::vector<MasterLease> master_leases(const StoreSnapshot& snapshot);
// Makes it, or has it change.
Task<Status> renew_master_lease(Context ctx, Store* store, std::string address, uint16_t port);
// Unless it has changed since `revision`, or is gone.
Task<void> remove_master_lease(Context ctx, Store* store, std::string key, int64_t revision);
std::string master_lease_key(std::string_view address);

}  // namespace keles::server
