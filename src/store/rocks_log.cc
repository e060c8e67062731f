#include "store/rocks_log.h"

#include <errno.h>
#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/table.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "store/record_format.h"

namespace keles {
namespace {

// Keys of our own start with a zero byte, before every "/registry/...".
const std::string kRevisionKey("\0revision", 9);
const std::string kFormatKey("\0format", 7);
const std::string kIdentityKey("\0identity", 9);
constexpr auto kReopenEvery = std::chrono::milliseconds(500);
constexpr std::string_view kFormat = "keles-store-1";

Status from_rocks(std::string_view what, const rocksdb::Status& s) {
  return Status::internal(std::string(what) + ": " + s.ToString());
}

// An flock on DIR/lock, which ends with the process however it dies; the file names its holder.
class DirectoryLock {
 public:
  static Result<std::unique_ptr<DirectoryLock>> take(const std::string& directory) {
    std::string path = directory + "/lock";
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return Status::internal("open " + path + ": " + strerror(errno));
    auto lock = std::make_unique<DirectoryLock>(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) < 0) {
      char pid[24] = {};
      ssize_t n = ::pread(fd, pid, sizeof pid - 1, 0);
      std::string holder = n > 0 ? " (process " + std::string(pid) + ")" : "";
      return Status(Reason::kServiceUnavailable,
                    "store directory " + directory + " is in use by another keles" + holder +
                        ": stop it first, or choose another directory");
    }
    // Only told to others: a full disk is no reason not to start.
    std::string pid = std::to_string(::getpid());
    if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
    return lock;
  }
  explicit DirectoryLock(int fd) : fd_(fd) {}
  ~DirectoryLock() { ::close(fd_); }
  DirectoryLock(const DirectoryLock&) = delete;

 private:
  int fd_;
};

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
  // Everything is read once, at opening: keep RocksDB's own memory small.
  o.write_buffer_size = 8u << 20;
  o.max_write_buffer_number = 2;
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

// DIR/acknowledged: the revision up to which writers have been answered. Written after the sync, so
// that it is never ahead of the disk; not synced itself: a crash of the machine may set it back,
// which only makes the check weaker.
class Acknowledged {
 public:
  static Result<std::unique_ptr<Acknowledged>> open(const std::string& directory) {
    auto out = std::make_unique<Acknowledged>();
    out->path_ = directory + "/acknowledged";
    out->fd_ = ::open(out->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (out->fd_ < 0) return Status::internal("open " + out->path_ + ": " + strerror(errno));
    return out;
  }
  Acknowledged() = default;
  Acknowledged(const Acknowledged&) = delete;
  ~Acknowledged() {
    if (fd_ >= 0) ::close(fd_);
  }
  // 0 when nothing was ever acknowledged.
  Result<int64_t> read() const {
    char text[kDigits + 1] = {};
    ssize_t n = ::pread(fd_, text, kDigits, 0);
    if (n == 0) return int64_t{0};
    int64_t revision = 0;
    auto r = std::from_chars(text, text + std::max<ssize_t>(n, 0), revision);
    if (n != kDigits || r.ec != std::errc() || r.ptr != text + kDigits)
      return Status::internal(path_ + " is damaged: remove it, if the store beside it is whole");
    return revision;
  }
  void write(int64_t revision) {
    char text[kDigits + 1];
    std::snprintf(text, sizeof text, "%020lld", static_cast<long long>(revision));
    (void)!::pwrite(fd_, text, kDigits, 0);
  }
  const std::string& path() const { return path_; }

 private:
  static constexpr int kDigits = 20;
  std::string path_;
  int fd_ = -1;
};

Result<std::unique_ptr<rocksdb::DB>> open_database(const std::string& directory) {
  rocksdb::DB* raw = nullptr;
  rocksdb::Status s = rocksdb::DB::Open(rocks_options(), directory + "/db", &raw);
  if (!s.ok()) return from_rocks("open the store in " + directory, s);
  return std::unique_ptr<rocksdb::DB>(raw);
}

Result<int64_t> read_revision(rocksdb::DB& db) {
  std::string value;
  rocksdb::Status s = db.Get(rocksdb::ReadOptions(), kRevisionKey, &value);
  if (s.IsNotFound()) return Contents().revision;
  if (!s.ok()) return from_rocks("read the store", s);
  std::string_view rest = value;
  uint64_t revision = 0;
  if (!take_varint(rest, revision)) return Status::internal("stored revision is damaged");
  return static_cast<int64_t>(revision);
}

std::string revision_value(int64_t revision) {
  std::string out;
  append_varint(out, static_cast<uint64_t>(revision));
  return out;
}

class RocksLog final : public Log {
 public:
  // `db` null: nothing is appended before recover() is done.
  RocksLog(std::string directory, std::unique_ptr<DirectoryLock> lock,
           std::unique_ptr<Acknowledged> acknowledged, std::unique_ptr<rocksdb::DB> db)
      : directory_(std::move(directory)),
        lock_(std::move(lock)),
        acknowledged_(std::move(acknowledged)),
        db_(std::move(db)),
        thread_([this] { run(); }) {}
  ~RocksLog() override { (void)close(); }

  void append(const std::vector<Change>& batch, std::function<void(Status)> done) override {
    give([&batch, done = std::move(done), this] { done(write(batch)); });
  }

  void recover(std::function<void(int64_t)> done) override {
    give([done = std::move(done), this] {
      if (auto revision = reopen_until_it_works()) done(*revision);
    });
  }

  Status close() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
    Status s = close_database();
    lock_.reset();
    return s;
  }

 private:
  void give(std::function<void()> job) {
    {
      std::lock_guard lock(mutex_);
      job_ = std::move(job);
    }
    wake_.notify_one();
  }

  void run() {
    for (;;) {
      std::function<void()> job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return job_ || stop_; });
        if (!job_) return;
        job = std::exchange(job_, nullptr);
      }
      job();
    }
  }

  Status write(const std::vector<Change>& batch) {
    rocksdb::WriteBatch w;
    for (const Change& r : batch) {
      rocksdb::Status s = r.stored ? w.Put(*r.key, encode_record_value(r)) : w.Delete(*r.key);
      if (!s.ok()) return from_rocks("write to the store", s);
    }
    int64_t revision = batch.back().revision;
    rocksdb::Status s = w.Put(kRevisionKey, revision_value(revision));
    rocksdb::WriteOptions options;
    options.sync = true;
    if (s.ok()) s = db_->Write(options, &w);
    if (!s.ok()) return from_rocks("write to the store", s);
    acknowledged_->write(revision);
    return Status();
  }

  // Opening writes what the write-ahead log holds to new files and syncs them: what is read after
  // it is on the disk.
  Result<int64_t> reopen() {
    (void)close_database();
    TRY_ASSIGN(db, open_database(directory_));
    TRY_ASSIGN(revision, read_revision(*db));
    rocksdb::WriteOptions sync;
    sync.sync = true;
    rocksdb::Status s = db->Put(sync, kRevisionKey, revision_value(revision));
    if (!s.ok()) return from_rocks("write to the store", s);
    db_ = std::move(db);
    return revision;
  }

  // Nothing when the log is closed meanwhile.
  std::optional<int64_t> reopen_until_it_works() {
    for (int attempt = 0;; ++attempt) {
      auto revision = reopen();
      if (revision.ok()) return *revision;
      if (attempt % 120 == 0)
        log::error("The store cannot be written yet; trying again", {{"error", revision.status()}});
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, kReopenEvery, [this] { return stop_; })) return std::nullopt;
    }
  }

  Status close_database() {
    if (!db_) return Status();
    rocksdb::Status r = db_->Close();
    db_.reset();
    return r.ok() ? Status() : from_rocks("close the store", r);
  }

  const std::string directory_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<Acknowledged> acknowledged_;  // the thread's, like the database
  std::unique_ptr<rocksdb::DB> db_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::function<void()> job_;
  bool stop_ = false;
  std::thread thread_;
};

Status read_all(rocksdb::DB& db, OpenedLog& opened) {
  Contents& out = opened.contents;
  rocksdb::ReadOptions options;
  options.readahead_size = 1u << 20;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(options));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    std::string_view key(it->key().data(), it->key().size());
    std::string_view value(it->value().data(), it->value().size());
    if (key == kFormatKey) {
      if (value != kFormat) {
        return Status::internal("the store is of format \"" + std::string(value) +
                                "\", which this keles does not read (it reads \"" +
                                std::string(kFormat) + "\")");
      }
    } else if (key == kIdentityKey) {
      opened.identity = value;
    } else if (key == kRevisionKey) {
      TRY_ASSIGN(revision, read_revision(db));
      out.revision = revision;
    } else {
      auto record = decode_record_value(value);
      if (!record.ok()) {
        out.damaged.push_back(
            {std::string(key), std::string(value), record.status().message()});
        continue;
      }
      record->key = std::make_shared<const std::string>(key);
      out.records.push_back(std::move(*record));
    }
  }
  if (!it->status().ok()) return from_rocks("read the store", it->status());
  for (const Change& r : out.records) {
    if (r.revision > out.revision) return Status::internal("key " + *r.key + " is from the future");
  }
  return Status();
}

Status check_acknowledged(const std::string& directory, const Acknowledged& file,
                          int64_t revision) {
  TRY_ASSIGN(acknowledged, file.read());
  if (revision >= acknowledged) return Status();
  return Status::internal(
      "the store in " + directory + " ends at revision " + std::to_string(revision) + ", but " +
      std::to_string(acknowledged) + " was acknowledged: its write-ahead log (" + directory +
      "/db/*.log) was cut or removed. Restore the directory from a backup; to go on without the " +
      "writes that are lost, remove " + file.path());
}

// What a store has from its first opening on.
Status write_marks(rocksdb::DB& db, OpenedLog& opened) {
  if (!opened.identity.empty()) return Status();
  unsigned char bytes[16];
  if (::getentropy(bytes, sizeof bytes) != 0) return Status::internal("no randomness");
  for (unsigned char b : bytes) {
    opened.identity += "0123456789abcdef"[b >> 4];
    opened.identity += "0123456789abcdef"[b & 15];
  }
  rocksdb::WriteBatch w;
  rocksdb::Status s = w.Put(kFormatKey, std::string(kFormat));
  if (s.ok()) s = w.Put(kIdentityKey, opened.identity);
  rocksdb::WriteOptions sync;
  sync.sync = true;
  if (s.ok()) s = db.Write(sync, &w);
  if (s.ok()) return Status();
  opened.identity.clear();
  return from_rocks("write to the store", s);
}

// A disk that takes no writes may still give what it has.
Result<std::unique_ptr<rocksdb::DB>> open_to_read(const std::string& directory, const Status& why) {
  rocksdb::DB* raw = nullptr;
  rocksdb::Options o = rocks_options();
  o.create_if_missing = false;
  rocksdb::Status s = rocksdb::DB::OpenForReadOnly(o, directory + "/db", &raw);
  if (!s.ok()) return why;
  return std::unique_ptr<rocksdb::DB>(raw);
}

}  // namespace

Result<OpenedLog> open_rocks_log(const std::string& directory) {
  TRY(make_directories(directory, 0700));
  TRY_ASSIGN(lock, DirectoryLock::take(directory));
  TRY_ASSIGN(acknowledged, Acknowledged::open(directory));
  OpenedLog out;
  auto db = open_database(directory);
  if (!db.ok()) {
    out.read_only = db.status();
    db = open_to_read(directory, out.read_only);
    TRY(db);
  }
  TRY(read_all(**db, out));
  TRY(check_acknowledged(directory, *acknowledged, out.contents.revision));
  if (out.read_only.ok()) out.read_only = write_marks(**db, out);
  if (!out.read_only.ok()) db->reset();
  out.log = std::make_unique<RocksLog>(directory, std::move(lock), std::move(acknowledged),
                                       std::move(*db));
  return out;
}

}  // namespace keles
