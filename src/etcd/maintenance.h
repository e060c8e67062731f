// What is asked of a member beside its keys: its hash, its snapshot.
#pragma once

#include <string>

#include "base/context.h"
#include "etcd/disk.h"
#include "etcd/mvcc.h"
#include "net/grpc_calls.h"

namespace keles::etcdserver {

// CRC-32C (Castagnoli), as etcd hashes.
class Crc32c {
 public:
  void add(std::string_view bytes);
  uint32_t value() const { return ~state_; }

 private:
  uint32_t state_ = ~0U;
};

// etcd's hash of the keys up to a revision, as of a compaction (mvcc/hash.go's form): members, and
// a member and its restored snapshot, are compared by it. Blocking.
Result<uint32_t> hash_keys(const Disk& disk, int64_t compacted, int64_t revision);
// Of everything stored, which only says whether anything changed. Blocking.
Result<uint32_t> hash_all(const Disk& disk);

struct SnapshotFacts {
  SnapshotFacts() = default;
  int64_t revision = 0, compacted = 0;
  std::string version;
  std::string directory;  // where a file without a name lies meanwhile
};
// Sends the state of now as a file of etcd's, and its SHA-256 after it. `header`: the answers'
// first field.
Task<Status> send_snapshot(Context ctx, const Disk* disk, SnapshotFacts facts, std::string header,
                           net::GrpcCall* call);

}  // namespace keles::etcdserver
