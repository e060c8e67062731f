// LocalBackend: a backend whose data is this process's alone. It differs from disk to disk only in
// its Log: how a batch of changes is made durable.
//
// Writers queue; while one batch is being made durable the next one gathers, so that concurrent
// writers share one sync (group commit). Conditions are judged in queue order against the state
// that includes the batches before. A batch is told, whole, once it is durable.
//
// Patient writes begin no batch until one of them has waited for Limits::patience, or there are
// enough of them; any other write takes along, at once, those that wait, in the order in which they
// came. One whose writer's deadline is near is treated like any other.
//
// When the log reports failure, nobody knows what of the batch is on the disk: after a failed
// fsync the kernel may have dropped the dirty pages and marked them clean, so that trying again
// proves nothing. The batch's writers get kOutcomeUnknown and every further write is refused
// (kServiceUnavailable). Meanwhile the log opens the disk anew until it can be written again, and
// says what it really holds: the batch in doubt, which is then told, or not, and writes are taken
// again. A disk that holds less than was acknowledged is told of and never written again.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/backend.h"

namespace keles {

class Log {
 public:
  virtual ~Log() = default;  // `done` of an append still under way is not called after this
  // Makes the batch durable as a whole and in order, then calls `done` once, from any thread, or
  // from inside append. The batch lives until then; one append is under way at a time.
  virtual void append(const std::vector<Change>& batch, std::function<void(Status)> done) = 0;
  // After a failed append: opens the disk anew, again and again until it can be read and written,
  // then calls `done` once, from any thread or from inside, with the revision of the last batch
  // that the disk holds. Nothing is appended meanwhile.
  virtual void recover(std::function<void(int64_t revision)> done) = 0;
  // Waits for an append under way (its `done` is called), gives a recovery up (its `done` is not)
  // and releases the disk. Blocking.
  virtual Status close() = 0;
};

class LocalBackend final : public Backend {
 public:
  struct Limits {
    size_t queued_writes = 16'384;
    size_t batch = 1'024;
    // How long a patient write waits for others. Five thousand nodes' Leases are 500 writes a
    // second, of which six share a batch then; who waits for one has seconds.
    Duration patience = 10ms;
    // As many wait for nobody: what more would share of a sync is less than what their requests
    // hold meanwhile (a seat of priority and fairness each).
    size_t patient_batch = 32;
  };
  // `contents` is what the log's disk holds. `read_only`, when not OK, says why the disk can be
  // read and not written: the backend then begins as after a failed append.
  LocalBackend(Limits limits, std::unique_ptr<Log> log, Contents contents, Status read_only);
  ~LocalBackend() override;
  LocalBackend(const LocalBackend&) = delete;

  void watch(Follower& follower) override;
  Task<Result<Committed>> commit(Context ctx, Transaction t) override;
  Task<Result<int64_t>> read(Context ctx) override;
  Status writable() const override;
  Task<Status> close(Context ctx) override;

 private:
  struct Request;
  struct Queue;  // shared with the requests, which may outlive the backend
  using RequestPtr = std::shared_ptr<Request>;
  struct Batch;
  struct Later;
  struct Turn;
  struct Window;
  struct Submit;
  // What conditions are judged by.
  struct Slot {
    KeyPtr key;
    int64_t revision = 0;  // kDamaged: it has none
    int64_t create_revision = 0;
    int64_t version = 0;
  };
  static constexpr int64_t kDamaged = -1;
  struct Undo {
    KeyPtr key;
    Slot before;  // without a key: there was none
  };

  void pump(std::unique_lock<std::mutex>& lock);
  Committed judge(Transaction& t, int64_t revision, Batch& batch);
  void undo(std::vector<Undo>& changes);
  void tell(Batch& batch);
  void durable(Status s);
  void recovered(int64_t revision);
  Task<Status> wait_idle(Context ctx);

  const Limits limits_;
  std::unique_ptr<Log> log_;
  std::shared_ptr<Queue> queue_;
  Follower* follower_ = nullptr;
  Contents opened_;   // until watch()
  Status read_only_;  // likewise
  // Of whoever has the batch under way, or the recovery: what is durable, and the batch.
  std::unordered_map<std::string_view, Slot> index_;  // by *Slot::key; only looked up
};

}  // namespace keles
