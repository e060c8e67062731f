#include "store/rocks_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/table.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <iterator>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "store/late_memtable.h"
#include "store/record_format.h"

namespace keles {
namespace {

// Keys of our own start with a zero byte, before every "/registry/...".
const std::string kRevisionKey("\0revision", 9);
const std::string kFormatKey("\0format", 7);
const std::string kIdentityKey("\0identity", 9);
constexpr std::string_view kFormat = "keles-store-1";
constexpr int kDigits = 20;  // of DIR/acknowledged

// RocksDB's own log file would lie on the disk that is full or fails, and a second line to a log
// file that could not be written ends the process (an assertion of its writer).
class RocksMessages final : public rocksdb::Logger {
 public:
  RocksMessages() : Logger(rocksdb::InfoLogLevel::ERROR_LEVEL) {}
  void Logv(const char*, va_list) override {}
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    bool error =
        level == rocksdb::InfoLogLevel::ERROR_LEVEL || level == rocksdb::InfoLogLevel::FATAL_LEVEL;
    if (!error || !log::v(2)) return;  // what matters comes back as a status and is told there
    char text[512];
    std::vsnprintf(text, sizeof text, format, arguments);
    log::error("The store's database reports", {{"message", text}});
  }
};

rocksdb::Options rocks_options() {
  rocksdb::Options o;
  o.info_log = std::make_shared<RocksMessages>();
  o.create_if_missing = true;
  // Everything is read once, at opening: keep RocksDB's own memory small. What was last written
  // stays in a write buffer, however long nothing is.
  o.write_buffer_size = 4u << 20;
  o.max_write_buffer_number = 2;
  // Nobody reads while others write: a memtable is sorted when it is written out, or read for a
  // start, not at each write.
  o.memtable_factory = late_memtable_factory();
  o.allow_concurrent_memtable_write = false;  // which that one cannot
  o.writable_file_max_buffer_size = 256u << 10;
  // What is merged with others soon is not worth compressing; what stays is.
  o.compression_per_level = {rocksdb::kNoCompression, rocksdb::kSnappyCompression};
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  o.max_open_files = 64;
  o.max_background_jobs = 2;
  o.max_total_wal_size = 64u << 20;
  o.max_manifest_file_size = 4u << 20;
  // An idle store costs nothing.
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  o.skip_stats_update_on_db_open = true;
  // A torn tail is a write that nobody was told of; damage before it is an error to report.
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  o.paranoid_checks = true;
  return o;
}

DatabasePtr owned(rocksdb::DB* raw) {
  return {raw, [](rocksdb::DB* db) { delete db; }};
}

std::string revision_value(int64_t revision) {
  std::string out;
  append_varint(out, static_cast<uint64_t>(revision));
  return out;
}

Result<int64_t> parse_revision(std::string_view value) {
  uint64_t revision = 0;
  if (!take_varint(value, revision)) return Status::internal("stored revision is damaged");
  return static_cast<int64_t>(revision);
}

rocksdb::WriteOptions synced() {
  rocksdb::WriteOptions o;
  o.sync = true;
  return o;
}

// One entry into `out`.
Status take_entry(std::string_view key, std::string_view value, Contents& out) {
  if (key == kFormatKey) {
    if (value == kFormat) return Status();
    return Status::internal("the store is of format \"" + std::string(value) +
                            "\", which this keles does not read (it reads \"" +
                            std::string(kFormat) +
                            "\"): a later version of keles wrote it; run that one, or restore a "
                            "backup of this one's (keles store restore)");
  }
  if (key == kIdentityKey) {
    out.identity = value;
  } else if (key == kRevisionKey) {
    TRY_ASSIGN(revision, parse_revision(value));
    out.revision = revision;
  } else {
    auto record = decode_record_value(value);
    if (!record.ok()) {
      out.damaged.push_back({std::string(key), std::string(value), record.status().message()});
      return Status();
    }
    record->key = std::make_shared<const std::string>(key);
    out.records.push_back(std::move(*record));
  }
  return Status();
}

}  // namespace

Result<std::unique_ptr<DirectoryLock>> DirectoryLock::take(const std::string& directory) {
  std::string path = directory + "/lock";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Status::internal("open " + path + ": " + strerror(errno));
  auto lock = std::make_unique<DirectoryLock>(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) < 0) {
    char pid[24] = {};
    ssize_t n = ::pread(fd, pid, sizeof pid - 1, 0);
    std::string holder = n > 0 ? " (process " + std::string(pid) + ")" : "";
    return Status(Reason::kServiceUnavailable, "store directory " + directory +
                                                   " is in use by another keles" + holder +
                                                   ": stop it first, or choose another directory");
  }
  // Only told to others: a full disk is no reason not to start.
  std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
  return lock;
}

DirectoryLock::~DirectoryLock() { ::close(fd_); }

Result<std::unique_ptr<Acknowledged>> Acknowledged::open(const std::string& directory) {
  auto out = std::make_unique<Acknowledged>();
  out->path_ = directory + "/acknowledged";
  out->fd_ = ::open(out->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (out->fd_ < 0) return Status::internal("open " + out->path_ + ": " + strerror(errno));
  return out;
}

Acknowledged::~Acknowledged() {
  if (fd_ >= 0) ::close(fd_);
}

Result<int64_t> Acknowledged::read() const {
  char text[kDigits + 1] = {};
  ssize_t n = ::pread(fd_, text, kDigits, 0);
  if (n == 0) return int64_t{0};
  int64_t revision = 0;
  auto r = std::from_chars(text, text + std::max<ssize_t>(n, 0), revision);
  if (n != kDigits || r.ec != std::errc() || r.ptr != text + kDigits)
    return Status::internal(path_ + " is damaged");
  return revision;
}

void Acknowledged::write(int64_t revision) {
  char text[kDigits + 1];
  std::snprintf(text, sizeof text, "%020lld", static_cast<long long>(revision));
  (void)!::pwrite(fd_, text, kDigits, 0);
}

Status from_rocks(std::string_view what, const rocksdb::Status& s) {
  return Status::internal(std::string(what) + ": " + s.ToString());
}

bool has_database(const std::string& directory) { return path_exists(directory + "/db/CURRENT"); }

Result<DatabasePtr> open_database(const std::string& directory) {
  rocksdb::DB* raw = nullptr;
  rocksdb::Status s = rocksdb::DB::Open(rocks_options(), directory + "/db", &raw);
  if (!s.ok()) return from_rocks("open the store in " + directory, s);
  return owned(raw);
}

Result<DatabasePtr> open_database_to_read(const std::string& directory) {
  rocksdb::DB* raw = nullptr;
  rocksdb::Options o = rocks_options();
  o.create_if_missing = false;
  rocksdb::Status s = rocksdb::DB::OpenForReadOnly(o, directory + "/db", &raw);
  if (!s.ok()) return from_rocks("open the store in " + directory, s);
  return owned(raw);
}

Result<Contents> read_database(rocksdb::DB& db) {
  Contents out;
  rocksdb::ReadOptions options;
  options.readahead_size = 1u << 20;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(options));
  for (it->SeekToFirst(); it->Valid(); it->Next())
    TRY(take_entry(it->key().ToStringView(), it->value().ToStringView(), out));
  if (!it->status().ok()) return from_rocks("read the store", it->status());
  return out;
}

Result<Contents> read_what_is_whole(rocksdb::DB& db, std::vector<std::string>& gaps) {
  Contents out, rest;
  std::string last;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(rocksdb::ReadOptions()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    last = it->key().ToString();
    TRY(take_entry(last, it->value().ToStringView(), out));
  }
  if (it->status().ok()) return out;
  const std::string why = it->status().ToString();
  std::string first;
  it.reset(db.NewIterator(rocksdb::ReadOptions()));
  for (it->SeekToLast(); it->Valid() && it->key().ToStringView() > last; it->Prev()) {
    first = it->key().ToString();
    TRY(take_entry(first, it->value().ToStringView(), rest));
  }
  out.records.insert(out.records.end(), std::make_move_iterator(rest.records.rbegin()),
                     std::make_move_iterator(rest.records.rend()));
  out.damaged.insert(out.damaged.end(), rest.damaged.rbegin(), rest.damaged.rend());
  gaps.push_back("what lay between " + (last.empty() ? "the beginning" : last) + " and " +
                 (first.empty() ? "the end" : first) + " (" + why + ")");
  return out;
}

Status rebuild_database(const std::string& directory) {
  rocksdb::Status s = rocksdb::RepairDB(directory + "/db", rocks_options());
  return s.ok() ? Status() : from_rocks("rebuild the store in " + directory, s);
}

Result<int64_t> read_revision(rocksdb::DB& db) {
  std::string value;
  rocksdb::Status s = db.Get(rocksdb::ReadOptions(), kRevisionKey, &value);
  if (s.IsNotFound()) return Contents().revision;
  if (!s.ok()) return from_rocks("read the store", s);
  return parse_revision(value);
}

Status write_batch(rocksdb::DB& db, const std::vector<Change>& batch) {
  rocksdb::WriteBatch w;
  for (const Change& r : batch) {
    rocksdb::Status s = r.stored ? w.Put(*r.key, encode_record_value(r)) : w.Delete(*r.key);
    if (!s.ok()) return from_rocks("write to the store", s);
  }
  rocksdb::Status s = w.Put(kRevisionKey, revision_value(batch.back().revision));
  if (s.ok()) s = db.Write(synced(), &w);
  return s.ok() ? Status() : from_rocks("write to the store", s);
}

Status write_damaged(rocksdb::DB& db, const std::vector<DamagedRecord>& records) {
  rocksdb::WriteBatch w;
  rocksdb::Status s;
  for (const DamagedRecord& r : records) {
    if (s.ok()) s = w.Put(r.key, r.value);
  }
  if (s.ok()) s = db.Write(synced(), &w);
  return s.ok() ? Status() : from_rocks("write to the store", s);
}

Status write_revision(rocksdb::DB& db, int64_t revision) {
  rocksdb::Status s = db.Put(synced(), kRevisionKey, revision_value(revision));
  return s.ok() ? Status() : from_rocks("write to the store", s);
}

Status write_marks(rocksdb::DB& db, std::string& identity) {
  std::string made = identity;
  if (made.empty()) {
    unsigned char bytes[16];
    if (::getentropy(bytes, sizeof bytes) != 0) return Status::internal("no randomness");
    for (unsigned char b : bytes) {
      made += "0123456789abcdef"[b >> 4];
      made += "0123456789abcdef"[b & 15];
    }
  }
  rocksdb::WriteBatch w;
  rocksdb::Status s = w.Put(kFormatKey, std::string(kFormat));
  if (s.ok()) s = w.Put(kIdentityKey, made);
  if (s.ok()) s = db.Write(synced(), &w);
  if (!s.ok()) return from_rocks("write to the store", s);
  identity = std::move(made);
  return Status();
}

Status close_database(DatabasePtr& db) {
  if (!db) return Status();
  rocksdb::Status r = db->Close();
  db.reset();
  return r.ok() ? Status() : from_rocks("close the store", r);
}

std::string store_command(const std::string& directory, std::string_view verb) {
  auto slash = directory.rfind('/');
  std::string data_dir = slash == std::string::npos ? "." : directory.substr(0, slash);
  return "`keles store " + std::string(verb) + " --data-dir " + data_dir + "`";
}

}  // namespace keles
