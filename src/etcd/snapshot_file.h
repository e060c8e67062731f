// A snapshot as etcd's own tools take it: a database of its form, and a SHA-256 after it.
//
// Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "etcd/bolt_file.h"
#include "store/backend.h"

namespace keles::etcdserver {

struct SnapshotSource {
  SnapshotSource() = default;
  int64_t revision = 1, compacted = -1;
  // Put what there is, in the order of its keys: states under their revisions, leases by number.
  std::function<Status(BoltFile&)> keys, leases;
};
// Into an empty file, the digest included; its size.
Result<int64_t> write_snapshot_file(const SnapshotSource& source, int fd);

// A cluster's state out of another store, every record with the revisions that it has there, as a
// snapshot from which an etcd begins (`etcdctl snapshot restore`). New, 0600, synced; replaces no
// file. What is damaged is not in it.
Status export_snapshot(const std::string& path, const Contents& contents);

}  // namespace keles::etcdserver
