// Snapshots that a running server takes of its store into a directory, by a schedule: the newest
// are kept. And what a snapshot (a file of backup.h) says of itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"
#include "store/store.h"

namespace keles {

struct SnapshotSchedule {
  SnapshotSchedule() = default;
  std::string cron;       // machinery/cron.h, in UTC unless it says otherwise; "": none are taken
  std::string directory;  // made when it is not there
  std::string node;       // whose they are: servers may share a directory
  int64_t retention = 5;  // as many are kept; 0: all
};
// kBadRequest names the server's flag (--snapshot-...).
Status check_snapshot_schedule(const SnapshotSchedule& schedule);

// "snapshot-NODE-1795000000": the one that the schedule takes at that moment.
std::string snapshot_name(const std::string& node, WallTime t);
// Of the names in the directory those that go: what this node's schedule took beyond the newest
// `retention`, and what it left half written. Files of any other name are somebody else's.
std::vector<std::string> plan_snapshot_removal(const std::vector<std::string>& names,
                                               const SnapshotSchedule& schedule);

// Writes a new file, whole or not at all.
using SaveSnapshot = std::function<Task<Status>(Context ctx, std::string path)>;
// Of the store's state at that time, as it is stored. The store outlives it; the file is written on
// the pool of blocking calls.
SaveSnapshot snapshots_of(const Store& store);

// Until ctx ends: one at each moment of the schedule (those that pass meanwhile, or while no server
// runs, are not made up for), then what is beyond the retention goes. What fails is logged and
// counted (keles_snapshots_total), and the next is taken at its time. `schedule` has been checked.
Task<void> keep_snapshots(Context ctx, SnapshotSchedule schedule, SaveSnapshot save);

struct SnapshotStatus {
  SnapshotStatus() = default;
  // SHA-256 (hex) at the end of the chain that vouches for each byte before it.
  std::string hash;
  int64_t revision = 0;
  size_t keys = 0, damaged = 0;  // what was damaged already when it was taken is not among the keys
  uint64_t bytes = 0;            // of the file
};
// Reads all of it, in pieces. An error: it is no snapshot, or not a whole one. Blocking.
Result<SnapshotStatus> snapshot_status(const std::string& path);

struct SnapshotFile {
  SnapshotFile() = default;
  std::string name;
  int64_t revision = 0;
  uint64_t bytes = 0;
  WallTime written;
};
// The files of a directory that begin as snapshots do, by their time; whether they are whole is not
// looked at. kNotFound when there is no such directory. Blocking.
Result<std::vector<SnapshotFile>> list_snapshots(const std::string& directory);

}  // namespace keles
