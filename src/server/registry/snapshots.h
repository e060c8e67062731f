// States of the past: those that outstanding continue tokens refer to (the store keeps them), and
// those that the store's recent events still tell.
//
// What was newest more than five minutes ago is forgotten however often it is used, as upstream's
// compaction does: a client that never ends its list learns it by 410.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/context.h"
#include "base/loop.h"
#include "store/store.h"

namespace keles::registry {

// How far back the past goes. Shared by all loops: readers take an immutable list, writers replace
// it (compare and swap), nobody waits.
class Horizon {
 public:
  // To be told what is newest; answers with the oldest revision that may still be asked for.
  int64_t oldest(int64_t newest, WallTime now);

 private:
  struct Mark {  // `revision` was the newest at that time
    WallTime when;
    int64_t revision = 0;
  };
  struct State {
    std::vector<Mark> marks;  // in the order of time
    int64_t oldest = 0;
  };
  std::atomic<std::shared_ptr<const State>> state_{std::make_shared<const State>()};
};

// The keys with `prefix` as they were at `revision`, by the store's events since; nothing else is
// in it. kExpired when those have left its window. `revision` is not newer than the store's.
Task<Result<std::shared_ptr<const StoreSnapshot>>> past_snapshot(Context ctx, Store* store,
                                                                 std::string prefix,
                                                                 int64_t revision);

// A snapshot not older than `revision`; kTimeout "Too large resource version" when the store does
// not get there within three seconds.
Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_for(Context ctx, Store* store,
                                                                int64_t revision);
// The same for a request's resourceVersion and what it parses to: "" means the newest state that
// there is, "0" any.
Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_for(Context ctx, Store* store,
                                                                std::string_view resource_version,
                                                                int64_t revision);
// "" and "0" are 0. What is no number is an error without a reason (500), as upstream has it; a
// list makes it a BadRequest.
Result<int64_t> parse_revision(std::string_view text);
Status too_large(int64_t wanted, int64_t current, int retry_after_seconds = 1);

}  // namespace keles::registry
