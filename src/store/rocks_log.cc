#include "store/rocks_log.h"

#include <errno.h>
#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/file.h"
#include "store/record_format.h"

namespace keles {
namespace {

// Keys of our own start with a zero byte, before every "/registry/...".
const std::string kRevisionKey("\0revision", 9);
const std::string kFormatKey("\0format", 7);
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
    std::string pid = std::to_string(::getpid());
    if (::ftruncate(fd, 0) < 0 ||
        ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
      return Status::internal("write " + path + ": " + strerror(errno));
    return lock;
  }
  explicit DirectoryLock(int fd) : fd_(fd) {}
  ~DirectoryLock() { ::close(fd_); }
  DirectoryLock(const DirectoryLock&) = delete;

 private:
  int fd_;
};

class RocksLog final : public Log {
 public:
  RocksLog(std::unique_ptr<DirectoryLock> lock, std::unique_ptr<rocksdb::DB> db)
      : lock_(std::move(lock)), db_(std::move(db)), thread_([this] { run(); }) {}
  ~RocksLog() override { (void)close(); }

  void append(std::vector<LogRecord> batch, std::function<void(Status)> done) override {
    {
      std::lock_guard lock(mutex_);
      job_.emplace(Job{std::move(batch), std::move(done)});
    }
    wake_.notify_one();
  }

  Status close() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
    Status s;
    if (db_) {
      rocksdb::Status r = db_->Close();
      if (!r.ok()) s = from_rocks("close the store", r);
      db_.reset();
    }
    lock_.reset();
    return s;
  }

 private:
  struct Job {
    std::vector<LogRecord> batch;
    std::function<void(Status)> done;
  };

  void run() {
    for (;;) {
      std::optional<Job> job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return job_ || stop_; });
        if (!job_) return;
        job = std::move(job_);
        job_.reset();
      }
      job->done(write(job->batch));
    }
  }

  Status write(const std::vector<LogRecord>& batch) {
    rocksdb::WriteBatch w;
    for (const LogRecord& r : batch) {
      rocksdb::Status s = r.stored ? w.Put(*r.key, encode_record_value(r)) : w.Delete(*r.key);
      if (!s.ok()) return from_rocks("write to the store", s);
    }
    std::string revision;
    append_varint(revision, static_cast<uint64_t>(batch.back().revision));
    rocksdb::Status s = w.Put(kRevisionKey, revision);
    rocksdb::WriteOptions options;
    options.sync = true;
    if (s.ok()) s = db_->Write(options, &w);
    return s.ok() ? Status() : from_rocks("write to the store", s);
  }

  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<rocksdb::DB> db_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Job> job_;
  bool stop_ = false;
  std::thread thread_;
};

rocksdb::Options rocks_options() {
  rocksdb::Options o;
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
  o.keep_log_file_num = 1;
  o.info_log_level = rocksdb::ERROR_LEVEL;
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

Status read_all(rocksdb::DB& db, LogContents& out) {
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
    } else if (key == kRevisionKey) {
      uint64_t revision = 0;
      if (!take_varint(value, revision)) return Status::internal("stored revision is damaged");
      out.revision = static_cast<int64_t>(revision);
    } else {
      TRY_ASSIGN(record, decode_record_value(value));
      record.key = std::make_shared<const std::string>(key);
      out.records.push_back(std::move(record));
    }
  }
  if (!it->status().ok()) return from_rocks("read the store", it->status());
  for (const LogRecord& r : out.records) {
    if (r.revision > out.revision) return Status::internal("key " + *r.key + " is from the future");
  }
  return Status();
}

}  // namespace

Result<OpenedLog> open_rocks_log(const std::string& directory) {
  TRY(make_directories(directory, 0700));
  TRY_ASSIGN(lock, DirectoryLock::take(directory));
  rocksdb::DB* raw = nullptr;
  rocksdb::Status s = rocksdb::DB::Open(rocks_options(), directory + "/db", &raw);
  if (!s.ok()) return from_rocks("open the store in " + directory, s);
  std::unique_ptr<rocksdb::DB> db(raw);
  OpenedLog out;
  TRY(read_all(*db, out.contents));
  rocksdb::WriteOptions sync;
  sync.sync = true;
  s = db->Put(sync, kFormatKey, std::string(kFormat));
  if (!s.ok()) return from_rocks("write to the store in " + directory, s);
  out.log = std::make_unique<RocksLog>(std::move(lock), std::move(db));
  return out;
}

}  // namespace keles
