// The flags of a server that takes snapshots of its store by a schedule.
#pragma once

#include <string>

#include "base/flags.h"
#include "store/snapshots.h"

namespace keles {

// Where they are put unless --snapshot-dir says otherwise.
std::string default_snapshot_directory(const std::string& data_dir);
void add_snapshot_flags(Flags& f, SnapshotSchedule& s);
// What the flags left open; `shared`: the store is in an etcd, of which a word is said then.
void complete_snapshot_schedule(const std::string& data_dir, const std::string& node, bool shared,
                                SnapshotSchedule* s);

}  // namespace keles
