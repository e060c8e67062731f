#include "store/rocks_log.h"

#include <rocksdb/db.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "store/rocks_directory.h"

namespace keles {
namespace {

constexpr auto kReopenEvery = std::chrono::milliseconds(500);
class RocksLog final : public Log {
 public:
  // `db` null: nothing is appended before recover() is done.
  RocksLog(std::string directory, std::unique_ptr<DirectoryLock> lock,
           std::unique_ptr<Acknowledged> acknowledged, DatabasePtr db)
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
    Status s = close_database(db_);
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
    TRY(write_batch(*db_, batch));
    acknowledged_->write(batch.back().revision);
    return Status();
  }

  // Opening writes what the write-ahead log holds to new files and syncs them: what is read after
  // it is on the disk.
  Result<int64_t> reopen() {
    (void)close_database(db_);
    TRY_ASSIGN(db, open_database(directory_));
    TRY_ASSIGN(revision, read_revision(*db));
    TRY(write_revision(*db, revision));
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

  const std::string directory_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<Acknowledged> acknowledged_;  // the thread's, like the database
  DatabasePtr db_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::function<void()> job_;
  bool stop_ = false;
  std::thread thread_;
};

// What an operator does about a store that is refused.
std::string remedy(const std::string& directory) {
  return ": " + store_command(directory, "check") +
         " shows what is wrong; restore a backup, or let " + store_command(directory, "repair") +
         " save what can be read";
}

Status refused(const std::string& directory, const Status& why) {
  return Status(Reason::kInternalError, why.message() + remedy(directory));
}

Status check_revisions(const std::string& directory, const Acknowledged& file,
                       const Contents& contents) {
  for (const Change& r : contents.records) {
    if (r.revision > contents.revision)
      return refused(directory, Status::internal("key " + *r.key + " is from the future"));
  }
  auto acknowledged = file.read();
  if (!acknowledged.ok()) return refused(directory, acknowledged.status());
  if (contents.revision >= *acknowledged) return Status();
  return refused(directory, Status::internal("the store in " + directory + " ends at revision " +
                                             std::to_string(contents.revision) + ", but " +
                                             std::to_string(*acknowledged) +
                                             " was acknowledged: its write-ahead log (" +
                                             directory + "/db/*.log) was cut or removed"));
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
    db =
        open_database_to_read(directory);  // a disk that takes no writes may still give what it has
    if (!db.ok()) return refused(directory, out.read_only);
  }
  auto contents = read_database(**db);
  if (!contents.ok()) return refused(directory, contents.status());
  out.contents = std::move(*contents);
  TRY(check_revisions(directory, *acknowledged, out.contents));
  if (out.read_only.ok() && out.contents.identity.empty())
    out.read_only = write_marks(**db, out.contents.identity);
  if (!out.read_only.ok()) db->reset();
  out.log = std::make_unique<RocksLog>(directory, std::move(lock), std::move(acknowledged),
                                       std::move(*db));
  return out;
}

}  // namespace keles
