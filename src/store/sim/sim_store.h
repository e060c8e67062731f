// The simulated store: a replica of a local backend whose log is a file on a simulated disk, in
// virtual time.
//
// The disk keeps what was synced and forgets, in a crash, some suffix of the rest, perhaps tearing
// or scrambling its last bytes. Its faults are drawn from the loop's seed.
#pragma once

#include <memory>
#include <set>
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
  double short_read = 0;  // chance that an opening reads only a part of the file
  bool full = false;      // nothing can be appended
};

// One file of appended bytes. Outlives the stores that are opened on it.
class SimDisk {
 public:
  explicit SimDisk(Loop& loop) : loop_(loop) {}
  SimDiskFaults faults;

  // What survives a crash now: the synced bytes, and of the others a random, perhaps damaged, part.
  void crash();
  const std::string& bytes() const { return file_; }
  // From the next opening on, the record of this key cannot be read.
  void damage(std::string key) { damaged_.insert(std::move(key)); }

 private:
  friend class SimLog;
  Loop& loop_;
  std::string file_;
  size_t synced_ = 0;
  int64_t acknowledged_ = 0;  // the revision up to which syncs reported success, kept apart
  std::set<std::string> damaged_;
};

// Replays the disk's log; a torn tail is cut off. kUnavailable when what was read ends before what
// was acknowledged: reading went wrong, and nothing was changed. The store must be destroyed before
// the disk. To crash it: destroy the store, then disk.crash(). Never blocks; runs on the disk's
// loop only.
Result<std::unique_ptr<Backend>> open_sim_backend(SimDisk& disk);
Result<std::unique_ptr<Store>> open_sim_store(SimDisk& disk, ReplicaOptions options = {});

}  // namespace keles
