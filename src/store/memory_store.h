// MemoryStore: the store's core, common to all backends: the memory map, the event window, the
// order of writes and their conditions. A backend differs only in its Log: how a batch of writes
// is made durable.
//
// Writers queue; while one batch is being made durable the next one gathers, so that concurrent
// writers share one sync (group commit). Conditions are judged in queue order against the state
// that includes the batches before. A batch becomes visible, whole, once it is durable.
//
// When the log reports failure, nobody knows what of the batch is on the disk: after a failed
// fsync the kernel may have dropped the dirty pages and marked them clean, so that trying again
// proves nothing. The batch's writers get kOutcomeUnknown, the store goes on serving reads of what
// was durable before, and refuses every further write (kServiceUnavailable). Meanwhile the log
// opens the disk anew until it can be written again, and says what it really holds: the batch in
// doubt, which is then published, or not, and writes are taken again. A disk that holds less than
// was acknowledged is told of and never written again.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "store/event_window.h"
#include "store/memory_map.h"
#include "store/store.h"

namespace keles {

// One write of a batch, for a Log.
struct LogRecord {
  KeyPtr key;
  Bytes stored;  // null: the key is deleted
  int64_t revision = 0;
  int64_t create_revision = 0;
  int64_t version = 0;
};

class Log {
 public:
  virtual ~Log() = default;  // `done` of an append still under way is not called after this
  // Makes the batch durable as a whole and in order, then calls `done` once, from any thread, or
  // from inside append. The store has one append under way at a time.
  virtual void append(std::vector<LogRecord> batch, std::function<void(Status)> done) = 0;
  // After a failed append: opens the disk anew, again and again until it can be read and written,
  // then calls `done` once, from any thread or from inside, with the revision of the last batch
  // that the disk holds. Nothing is appended meanwhile.
  virtual void recover(std::function<void(int64_t revision)> done) = 0;
  // Waits for an append under way (its `done` is called), gives a recovery up (its `done` is not)
  // and releases the disk. Blocking.
  virtual Status close() = 0;
};

// What a backend found when it was opened; in key order.
struct LogContents {
  std::vector<LogRecord> records;
  std::vector<UnreadableRecord> damaged;  // in no record
  int64_t revision = 1;                   // as etcd, which starts at 1
};

// The kind that a stored object is of; null when unknown. A custom resource's is known only later.
using KindResolver =
    std::function<const KindDesc*(std::string_view api_version, std::string_view kind)>;

struct MemoryStoreOptions {
  EventWindow::Limits window;
  KindResolver find_kind;  // empty: the built-in kinds
  size_t max_queued_writes = 16'384;
  size_t max_batch = 1'024;
};

class MemoryStore final : public Store {
 public:
  // What cannot be read is left on the disk, out of every snapshot, and told of (unreadable()).
  static Result<std::unique_ptr<MemoryStore>> make(MemoryStoreOptions options,
                                                   std::unique_ptr<Log> log, LogContents contents);
  // For a disk that can be read and not written: starts as after a failed append, for reason `s`.
  void start_failed(Status s);
  ~MemoryStore() override;
  MemoryStore(const MemoryStore&) = delete;

  Task<Result<ObjectPtr>> write(Context ctx, StoreWrite w) override;
  std::shared_ptr<const StoreSnapshot> snapshot() const override { return window_->snapshot(); }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at_least(Context ctx,
                                                                       int64_t revision) override {
    return window_->snapshot_at_least(std::move(ctx), revision);
  }
  Result<std::unique_ptr<StoreWatch>> watch(Loop& loop, std::string prefix,
                                            int64_t revision) override {
    return window_->watch(loop, std::move(prefix), revision);
  }
  int64_t revision() const override { return window_->revision(); }
  int64_t oldest_revision() const override { return window_->oldest_revision(); }
  void compact(int64_t revision) override { window_->compact(revision); }
  Status writable() const override;
  std::vector<UnreadableRecord> unreadable(std::string_view prefix) const override;
  Task<Status> remove_unreadable(Context ctx, std::string key) override;
  Task<Status> close(Context ctx) override;

 private:
  struct Request;
  struct Queue;  // shared with the requests, which may outlive the store
  using RequestPtr = std::shared_ptr<Request>;
  struct Batch;
  struct Submit;

  MemoryStore(MemoryStoreOptions options, std::unique_ptr<Log> log, MemoryMap map,
              int64_t revision);
  void pump(std::unique_lock<std::mutex>& lock);
  Result<ObjectPtr> apply(Request& r, MemoryMap::Edit& edit, int64_t revision, Batch& batch);
  void durable(Status s);
  void recovered(int64_t revision);
  Task<Status> wait_idle(Context ctx);
  Task<Result<ObjectPtr>> submit(Context ctx, RequestPtr r);

  MemoryStoreOptions options_;
  std::unique_ptr<Log> log_;
  std::shared_ptr<EventWindow> window_;
  std::shared_ptr<Queue> queue_;
};

// apiVersion and kind of a stored object (protobuf envelope), without decoding it; views into
// `stored`.
struct StoredKind {
  std::string_view api_version, kind;
};
Result<StoredKind> stored_kind(std::string_view stored);

}  // namespace keles
