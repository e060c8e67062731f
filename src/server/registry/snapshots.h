// Snapshots that outstanding continue tokens refer to. Shared by all loops: readers take an
// immutable list, writers replace it (compare and swap), nobody waits.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/context.h"
#include "base/loop.h"
#include "store/store.h"

namespace keles::registry {

class SnapshotCache {
 public:
  // Null when it was never kept or has been forgotten.
  std::shared_ptr<const StoreSnapshot> find(int64_t revision) const;
  // Keeps it for five minutes, at most 64 of them.
  void keep(std::shared_ptr<const StoreSnapshot> snapshot, WallTime now);

 private:
  struct Kept {
    WallTime since;
    std::shared_ptr<const StoreSnapshot> snapshot;
  };
  using Keeps = std::vector<Kept>;
  std::atomic<std::shared_ptr<const Keeps>> kept_{std::make_shared<const Keeps>()};
};

// A snapshot not older than `revision`; kTimeout "Too large resource version" when the store does
// not get there within three seconds.
Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_for(Context ctx, Store* store,
                                                                int64_t revision);
// "" and "0" are 0.
Result<int64_t> parse_revision(std::string_view text);
Status too_large(int64_t wanted, int64_t current);

}  // namespace keles::registry
