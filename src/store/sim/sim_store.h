// The simulated store: a replica of a local backend whose log is a file on a simulated disk, in
// virtual time.
//
// The disk keeps what was synced and forgets, in a crash, some suffix of the rest, perhaps tearing
// or scrambling its last bytes. Its faults are drawn from the loop's seed.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "store/local_backend.h"
#include "store/replica.h"
#include "store/store.h"

namespace keles {

struct SimDiskFaults {
  Duration sync_min = 200us, sync_max = 2ms;
  double slow_sync = 0;  // chance of a sync that takes up to slow_max
  Duration slow_max = 3s;
  double fail_sync = 0;   // chance that a sync reports an error: its bytes may be on disk or not
  double lie = 0;         // chance that a sync reports success and has synced nothing
  double lost_reply = 0;  // chance that the bytes are on disk and the sync yet reports an error
};

// One file of appended bytes. Outlives the stores that are opened on it.
class SimDisk {
 public:
  explicit SimDisk(Loop& loop) : loop_(loop) {}
  SimDiskFaults faults;

  // What survives a crash now: the synced bytes, and of the others a random, perhaps damaged, part.
  void crash();
  const std::string& bytes() const { return file_; }
  size_t synced_bytes() const { return synced_; }
  uint64_t syncs() const { return syncs_; }

 private:
  friend class SimLog;
  Loop& loop_;
  std::string file_;
  size_t synced_ = 0;
  uint64_t syncs_ = 0;
};

// Replays the disk's log; a torn tail is cut off. The store must be destroyed before the disk. To
// crash it: destroy the store, then disk.crash(). Never blocks; runs on the disk's loop only.
Result<std::unique_ptr<Store>> open_sim_store(SimDisk& disk, ReplicaOptions options = {});

}  // namespace keles
