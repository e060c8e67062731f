// A store's directory on disk, for those who run on it (rocks_log.h) and those who look after it
// (maintenance.h):
//   DIR/lock           held by whoever has it open; names its process
//   DIR/db/            RocksDB: "/registry/..." records and three keys of our own
//   DIR/acknowledged   the revision up to which writers were answered
// Blocking.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/backend.h"

namespace rocksdb {
class DB;
class Status;
}  // namespace rocksdb

namespace keles {

using DatabasePtr = std::unique_ptr<rocksdb::DB, void (*)(rocksdb::DB*)>;

// An flock on DIR/lock, which ends with the process however it dies.
class DirectoryLock {
 public:
  // kServiceUnavailable, with the holder's process id, when another process has it.
  static Result<std::unique_ptr<DirectoryLock>> take(const std::string& directory);
  explicit DirectoryLock(int fd) : fd_(fd) {}
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;

 private:
  int fd_;
};

// DIR/acknowledged. Written after the sync, so that it is never ahead of the disk; not synced
// itself: a crash of the machine may set it back, which only makes the check weaker.
class Acknowledged {
 public:
  static Result<std::unique_ptr<Acknowledged>> open(const std::string& directory);
  Acknowledged() = default;
  Acknowledged(const Acknowledged&) = delete;
  ~Acknowledged();
  // 0 when nothing was ever acknowledged.
  Result<int64_t> read() const;
  void write(int64_t revision);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
};

Status from_rocks(std::string_view what, const rocksdb::Status& s);
bool has_database(const std::string& directory);
// Made when absent.
Result<DatabasePtr> open_database(const std::string& directory);
// Changes nothing on the disk.
Result<DatabasePtr> open_database_to_read(const std::string& directory);

// Everything in it. A record that cannot be decoded is among the damaged; a failure to read on is
// an error.
Result<Contents> read_database(rocksdb::DB& db);
// As read_database, of a database that cannot be read through: from its beginning up to the first
// block that is damaged, and from its end down to the last; what lies between is told in `gaps`.
Result<Contents> read_what_is_whole(rocksdb::DB& db, std::vector<std::string>& gaps);
// RocksDB's own repair of files that do not open together: it takes what it finds.
Status rebuild_database(const std::string& directory);
Result<int64_t> read_revision(rocksdb::DB& db);
// One synced write.
Status write_batch(rocksdb::DB& db, const std::vector<Change>& batch);
Status write_damaged(rocksdb::DB& db, const std::vector<DamagedRecord>& records);
Status write_revision(rocksdb::DB& db, int64_t revision);
// The format, and the identity, made when `identity` is empty. What a store has from its first
// opening on.
Status write_marks(rocksdb::DB& db, std::string& identity);
Status close_database(DatabasePtr& db);

// "keles store VERB --data-dir D", for the directory D/store.
std::string store_command(const std::string& directory, std::string_view verb);

}  // namespace keles
