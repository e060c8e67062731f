#include "etcd/disk.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <utility>

#include "base/file.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kCacheBytes = 16u << 20;

rocksdb::Options options_of_rocks() {
  rocksdb::Options o;
  o.create_if_missing = true;
  o.info_log_level = rocksdb::InfoLogLevel::FATAL_LEVEL;
  o.keep_log_file_num = 1;
  o.write_buffer_size = 8u << 20;
  o.compression_per_level = {rocksdb::kNoCompression, rocksdb::kSnappyCompression};
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  o.max_open_files = 64;
  o.max_background_jobs = 2;
  o.max_total_wal_size = 64u << 20;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  // A torn tail is a write that nobody was told of; damage before it is an error to report.
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  o.paranoid_checks = true;
  return o;
}

Status scan_with(rocksdb::DB& db, const rocksdb::ReadOptions& options, std::string_view prefix,
                 std::string_view from, const Disk::Fn& fn) {
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(options));
  for (it->Seek(rocksdb::Slice(from.data(), from.size())); it->Valid(); it->Next()) {
    const std::string_view key = it->key().ToStringView();
    if (!key.starts_with(prefix) || !fn(key, it->value().ToStringView())) break;
  }
  return it->status().ok() ? Status() : from_rocks("read the data directory", it->status());
}

}  // namespace

Result<std::unique_ptr<Disk>> Disk::open(const std::string& directory, Options options) {
  TRY(make_directories(directory, 0700));
  TRY_ASSIGN(lock, DirectoryLock::take(directory));
  rocksdb::DB* raw = nullptr;
  rocksdb::Status s = rocksdb::DB::Open(options_of_rocks(), directory + "/db", &raw);
  if (!s.ok()) return from_rocks("open the data directory " + directory, s);
  DatabasePtr db(raw, [](rocksdb::DB* d) { delete d; });
  return std::unique_ptr<Disk>(new Disk(std::move(lock), std::move(db), options));
}

Disk::Disk(std::unique_ptr<DirectoryLock> lock, DatabasePtr db, Options options)
    : options_(options), lock_(std::move(lock)), db_(std::move(db)), thread_([this] { run(); }) {}

Disk::~Disk() { (void)close(); }

Status Disk::close() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  Status s = close_database(db_);
  lock_.reset();
  return s;
}

Status Disk::scan(std::string_view prefix, std::string_view from, const Fn& fn) const {
  return scan_with(*db_, rocksdb::ReadOptions(), prefix, from, fn);
}

Result<std::string> Disk::get(std::string_view key) const {
  std::string value;
  rocksdb::Status s =
      db_->Get(rocksdb::ReadOptions(), rocksdb::Slice(key.data(), key.size()), &value);
  if (s.IsNotFound()) return Status(Reason::kNotFound, "no such record in the data directory");
  if (!s.ok()) return from_rocks("read the data directory", s);
  return value;
}

Disk::State Disk::hold() const {
  const rocksdb::Snapshot* snapshot = db_->GetSnapshot();
  return std::shared_ptr<const void>(snapshot, [db = db_.get()](const void* s) {
    db->ReleaseSnapshot(static_cast<const rocksdb::Snapshot*>(s));
  });
}

Status Disk::scan_held(const State& state, std::string_view prefix, std::string_view from,
                       const Fn& fn) const {
  rocksdb::ReadOptions options;
  options.snapshot = static_cast<const rocksdb::Snapshot*>(state.get());
  return scan_with(*db_, options, prefix, from, fn);
}

void Disk::write(std::vector<DiskWrite> batch, std::function<void(Status)> done) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(batch), std::move(done)});
  }
  wake_.notify_one();
}

void Disk::run() {
  for (;;) {
    std::vector<Job> jobs;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !jobs_.empty() || stop_; });
      if (jobs_.empty()) return;
      jobs.swap(jobs_);
    }
    rocksdb::WriteBatch all;
    rocksdb::Status s;
    for (const Job& job : jobs) {
      for (const DiskWrite& w : job.batch) {
        if (s.ok()) s = w.value ? all.Put(w.key, *w.value) : all.Delete(w.key);
      }
    }
    rocksdb::WriteOptions how;
    how.sync = options_.sync;
    if (s.ok()) s = db_->Write(how, &all);
    const Status result = s.ok() ? Status() : from_rocks("write to the data directory", s);
    for (Job& job : jobs) job.done(result);
  }
}

Status Disk::compact() {
  rocksdb::Status s = db_->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr);
  return s.ok() ? Status() : from_rocks("compact the data directory", s);
}

int64_t Disk::size() const {
  uint64_t files = 0, buffers = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &files);
  db_->GetIntProperty(rocksdb::DB::Properties::kSizeAllMemTables, &buffers);
  return static_cast<int64_t>(files + buffers);
}

int64_t Disk::size_in_use() const {
  uint64_t live = 0, buffers = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kEstimateLiveDataSize, &live);
  db_->GetIntProperty(rocksdb::DB::Properties::kCurSizeActiveMemTable, &buffers);
  return static_cast<int64_t>(live + buffers);
}

}  // namespace keles::etcdserver
