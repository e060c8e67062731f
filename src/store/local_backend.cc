#include "store/local_backend.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <optional>
#include <utility>

#include "base/log.h"

namespace keles {

struct LocalBackend::Request {
  enum class State : uint8_t { kWaiting, kInBatch, kAnswered };
  Transaction t;
  bool barrier = false;  // writes nothing; answered after everything before it
  bool patient = false;
  TimePoint due;  // by the loop's clock: when it is patient no more
  Loop* loop = nullptr;
  std::coroutine_handle<> h;
  State state = State::kWaiting;  // under the queue's mutex, like the rest below
  std::optional<Result<Committed>> result;
};

struct LocalBackend::Batch {
  std::vector<std::pair<RequestPtr, Committed>> answers;
  std::vector<Change> changes;
  std::vector<Undo> undo;  // beside changes
  int64_t revision = 0;
};

struct LocalBackend::Queue {
  std::mutex mutex;
  std::deque<RequestPtr> waiting;
  bool wanted = false;           // among those waiting is one that does not wait for others
  bool in_flight = false;        // whoever set it owns `batch`, and changes `revision`
  std::vector<Loop*> gathering;  // in whose turn somebody wrote: its end begins the next batch
  std::vector<Loop*> windows;    // that have a timer for patient writes of their own
  size_t pumping = 0;            // by loops' later turns, which the backend has to outlive
  std::condition_variable pumped;
  bool closed = false;
  bool gone = false;  // the backend is
  Status failed;
  Batch in_doubt;        // while failed: what the disk may hold beyond `revision`
  int64_t revision = 0;  // durable and told
  Batch batch;

  // Answers and wakes, one post per loop.
  struct Wakes {
    std::vector<std::pair<Loop*, std::vector<std::coroutine_handle<>>>> loops;
    void add(Request& r) {
      for (auto& [loop, handles] : loops) {
        if (loop == r.loop) return handles.push_back(r.h);
      }
      loops.emplace_back(r.loop, std::vector<std::coroutine_handle<>>{r.h});
    }
    ~Wakes() {
      for (auto& [loop, handles] : loops) {
        if (handles.size() == 1) {
          loop->resume_soon(handles[0]);
          continue;
        }
        loop->post([all = std::move(handles)] {
          for (auto h : all) h.resume();
        });
      }
    }
  };
  void answer(Request& r, Result<Committed> result, Wakes& wakes) {
    if (r.state == Request::State::kAnswered) return;
    r.state = Request::State::kAnswered;
    r.result.emplace(std::move(result));
    wakes.add(r);
  }
};

// What a loop will do for the backend, if both are there by then; forgotten when the loop ends
// before. Each loop's counts for itself: one in a long turn keeps no other's writers waiting.
struct LocalBackend::Later {
  Later(LocalBackend* b, std::vector<Loop*> Queue::*l, Loop* of)
      : backend(b), queue(b->queue_), list(l), loop(of) {}
  Later(const Later&) = delete;
  ~Later() {
    if (ended) return;
    std::lock_guard lock(queue->mutex);
    end();
  }
  void end() {
    ended = true;
    std::erase((*queue).*list, loop);
  }
  void pump(std::unique_lock<std::mutex>& lock) {
    end();
    if (queue->gone) return;
    ++queue->pumping;
    backend->pump(lock);
    lock.lock();
    if (--queue->pumping == 0) queue->pumped.notify_all();
  }
  LocalBackend* backend;
  std::shared_ptr<Queue> queue;
  std::vector<Loop*> Queue::*list;
  Loop* loop;
  bool ended = false;
};

// A turn of a loop in which somebody wrote: a batch is one fsync, however many share it, so it
// begins with whatever else the turn brings.
struct LocalBackend::Turn : Later {
  Turn(LocalBackend* b, Loop* l) : Later(b, &Queue::gathering, l) {}
  static void begin(const std::shared_ptr<Turn>& turn) {
    turn->loop->post([turn] {
      std::unique_lock lock(turn->queue->mutex);
      turn->pump(lock);
    });
  }
};

// While a loop's patient writes wait. They may have been taken along meanwhile, and others come.
struct LocalBackend::Window : Later {
  Window(LocalBackend* b, Loop* l) : Later(b, &Queue::windows, l) {}
  static void begin(const std::shared_ptr<Window>& window, TimePoint due) {
    window->loop->schedule(due, [window] {
      if (auto again = window->look()) begin(window, *again);
    });
  }
  // When to look again.
  std::optional<TimePoint> look() {
    std::unique_lock lock(queue->mutex);
    auto first = std::find_if(
        queue->waiting.begin(), queue->waiting.end(),
        [this](const RequestPtr& r) { return r->loop == loop && r->state == State::kWaiting; });
    if (first == queue->waiting.end()) {
      end();
      return std::nullopt;
    }
    if (loop->now() < (*first)->due) return (*first)->due;
    queue->wanted = true;
    pump(lock);
    return std::nullopt;
  }
  using State = Request::State;
};

// Suspends the writer until its request is answered.
struct LocalBackend::Submit {
  LocalBackend* backend;
  RequestPtr request;
  bool await_ready() { return false; }
  bool await_suspend(std::coroutine_handle<> h) {
    RequestPtr r = request;  // this object may be gone once the request is queued
    LocalBackend* b = backend;
    Queue& q = *b->queue_;
    r->h = h;
    std::unique_lock lock(q.mutex);
    Status refused;
    if (r->state == Request::State::kAnswered) return false;
    if (!q.failed.ok()) {
      refused = q.failed;
    } else if (q.closed && !r->barrier) {
      refused = Status::unavailable("store is closed");
    } else if (q.waiting.size() >= b->limits_.queued_writes) {
      refused = Status(Reason::kTooManyRequests, "store: too many writes are waiting; try again");
    }
    if (!refused.ok()) {
      r->state = Request::State::kAnswered;
      r->result.emplace(refused);
      return false;
    }
    Loop* loop = r->loop;
    const bool patient = r->patient && q.waiting.size() + 1 < b->limits_.patient_batch;
    const TimePoint due = r->due;
    q.waiting.push_back(std::move(r));
    if (!patient) q.wanted = true;
    std::vector<Loop*>& loops = patient ? q.windows : q.gathering;
    if (!patient && q.in_flight) return true;
    if (std::find(loops.begin(), loops.end(), loop) != loops.end()) return true;
    loops.push_back(loop);
    if (patient) {
      auto window = std::make_shared<Window>(b, loop);
      lock.unlock();
      Window::begin(window, due);
    } else {
      auto turn = std::make_shared<Turn>(b, loop);
      lock.unlock();
      Turn::begin(turn);
    }
    return true;
  }
  void await_resume() {}
};

LocalBackend::LocalBackend(Limits limits, std::unique_ptr<Log> log, Contents contents,
                           Status read_only)
    : limits_(limits),
      log_(std::move(log)),
      queue_(std::make_shared<Queue>()),
      opened_(std::move(contents)),
      read_only_(std::move(read_only)) {
  queue_->revision = opened_.revision;
  index_.reserve(opened_.records.size() + opened_.damaged.size());
  for (const Change& c : opened_.records)
    index_.emplace(*c.key, Slot{c.key, c.revision, c.create_revision, c.version});
  for (const DamagedRecord& d : opened_.damaged) {
    auto key = std::make_shared<const std::string>(d.key);
    index_.emplace(*key, Slot{key, kDamaged, kDamaged, 0});
  }
}

LocalBackend::~LocalBackend() {
  {
    std::unique_lock lock(queue_->mutex);
    queue_->closed = queue_->gone = true;
    queue_->pumped.wait(lock, [this] { return queue_->pumping == 0; });
  }
  (void)log_->close();
  log_.reset();
  Queue::Wakes wakes;
  std::lock_guard lock(queue_->mutex);
  for (auto& [r, result] : queue_->batch.answers) {
    queue_->answer(*r, Status(Reason::kOutcomeUnknown, "store was closed during the write"), wakes);
  }
  for (auto& r : queue_->waiting) {
    queue_->answer(*r, Status::unavailable("store is closed"), wakes);
  }
  queue_->batch.answers.clear();
  queue_->waiting.clear();
}

namespace {
Status refusal(const Status& why) {
  return Status(Reason::kServiceUnavailable,
                "store refuses writes since one could not be made durable (" + why.message() +
                    "); they are taken again once the disk can be written");
}
}  // namespace

void LocalBackend::watch(Follower& follower) {
  follower_ = &follower;
  follower_->restart(std::exchange(opened_, Contents()));
  if (read_only_.ok()) return;
  log::error("The store cannot be written; it serves reads until it can be",
             {{"error", read_only_}});
  {
    std::lock_guard lock(queue_->mutex);
    queue_->failed = refusal(read_only_);
    queue_->in_doubt.revision = queue_->revision;
  }
  log_->recover([this](int64_t revision) { recovered(revision); });
}

Task<Result<Committed>> LocalBackend::commit(Context ctx, Transaction t) {
  if (ctx.done()) co_return ctx.status();
  auto r = std::make_shared<Request>();
  r->t = std::move(t);
  r->loop = &ctx.loop();
  r->due = ctx.loop().now() + limits_.patience;
  r->patient = r->t.patient && ctx.deadline() > r->due + 10 * limits_.patience;
  std::weak_ptr<Queue> weak = queue_;
  // A writer that gives up while its write is still waiting takes it back; later, nobody knows.
  std::optional<Context::Hook> hook;
  hook.emplace(ctx, [weak, r, ctx] {
    auto q = weak.lock();
    if (!q) return;
    Queue::Wakes wakes;
    std::lock_guard lock(q->mutex);
    if (!r->h || r->state == Request::State::kAnswered) return;
    bool waiting = r->state == Request::State::kWaiting;
    Status gave_up = waiting ? ctx.status()
                             : Status(Reason::kOutcomeUnknown,
                                      "gave up waiting for the write: " + ctx.status().message());
    q->answer(*r, gave_up, wakes);
  });
  Submit submit{this, r};
  co_await submit;
  hook.reset();
  co_return std::move(*r->result);
}

Task<Result<int64_t>> LocalBackend::read(Context) {
  std::lock_guard lock(queue_->mutex);  // nobody else writes: what was told is all there is
  co_return queue_->revision;
}

// Starts the next batch when none is under way. Called with the lock held; returns without it.
void LocalBackend::pump(std::unique_lock<std::mutex>& lock) {
  Queue& q = *queue_;
  while (!q.gone && !q.in_flight && q.wanted && q.failed.ok()) {
    q.in_flight = true;
    std::vector<RequestPtr> requests;
    while (!q.waiting.empty() && requests.size() < limits_.batch) {
      RequestPtr r = std::move(q.waiting.front());
      q.waiting.pop_front();
      if (r->state != Request::State::kWaiting) continue;  // its writer gave up
      r->state = Request::State::kInBatch;
      requests.push_back(std::move(r));
    }
    q.wanted = !q.waiting.empty();
    Batch batch;
    batch.revision = q.revision;
    lock.unlock();
    batch.answers.reserve(requests.size());
    batch.changes.reserve(requests.size());
    batch.undo.reserve(requests.size());
    for (auto& r : requests) {
      Committed verdict{.revision = batch.revision};
      if (!r->barrier) verdict = judge(r->t, batch.revision, batch);
      batch.revision = verdict.revision;
      batch.answers.emplace_back(std::move(r), verdict);
    }
    lock.lock();
    q.batch = std::move(batch);
    if (!q.batch.changes.empty()) {
      lock.unlock();
      log_->append(q.batch.changes, [this](Status s) { durable(std::move(s)); });
      return;
    }
    Queue::Wakes wakes;  // nothing to write: every condition failed
    for (auto& [r, verdict] : q.batch.answers) q.answer(*r, verdict, wakes);
    q.batch = Batch();
    q.in_flight = false;
  }
  lock.unlock();
}

// Judges one write against the index and carries it out there; `revision` is the last one given.
Committed LocalBackend::judge(Transaction& t, int64_t revision, Batch& batch) {
  using enum Committed::Verdict;
  auto at = index_.find(t.key);
  const bool there = at != index_.end();
  if (t.condition == Transaction::If::kAbsent && there) return {kExists, revision, nullptr};
  if (t.condition != Transaction::If::kAbsent && !there) return {kMissing, revision, nullptr};
  if (t.condition == Transaction::If::kRevision && at->second.revision != t.revision)
    return {kChanged, revision, nullptr};
  Slot before = there ? at->second : Slot();
  Slot after = before;
  if (!there) after.key = std::make_shared<const std::string>(std::move(t.key));
  after.revision = ++revision;
  if (!there || before.revision == kDamaged) after.create_revision = revision;
  after.version = before.version + 1;
  batch.changes.push_back({after.key, std::move(t.stored), revision, after.create_revision,
                           after.version, std::move(t.origin)});
  batch.undo.push_back({after.key, std::move(before)});
  if (!batch.changes.back().stored) {
    index_.erase(at);
  } else if (there) {
    at->second = std::move(after);
  } else {
    index_.emplace(*after.key, after);
  }
  return {kDone, revision, nullptr};
}

void LocalBackend::undo(std::vector<Undo>& changes) {
  for (auto u = changes.rbegin(); u != changes.rend(); ++u) {
    index_.erase(*u->key);
    if (u->before.key) index_.emplace(*u->before.key, u->before);
  }
}

void LocalBackend::tell(Batch& batch) {
  follower_->apply(std::move(batch.changes), batch.revision);
}

Status LocalBackend::writable() const {
  std::lock_guard lock(queue_->mutex);
  return queue_->failed;
}

// What the disk holds, when it can be written again. Nothing is under way, nothing waits.
void LocalBackend::recovered(int64_t revision) {
  Queue& q = *queue_;
  if (revision != q.revision && revision != q.in_doubt.revision) {
    log::error("The disk does not hold what was acknowledged; the store stays read-only",
               {{"acknowledged", q.revision}, {"found", revision}});
    std::lock_guard lock(q.mutex);
    q.failed = Status(Reason::kServiceUnavailable,
                      "store ends at revision " + std::to_string(revision) + " on the disk, but " +
                          std::to_string(q.revision) +
                          " was acknowledged: take a copy of what is served (keles store backup), "
                          "then restore it (keles store restore)");
    return;
  }
  const bool holds_doubtful = revision != q.revision;
  if (holds_doubtful) {
    tell(q.in_doubt);
  } else {
    undo(q.in_doubt.undo);
  }
  log::info("The store takes writes again",
            {{"revision", revision}, {"writes in doubt", holds_doubtful ? "held" : "lost"}});
  std::unique_lock lock(q.mutex);
  q.revision = revision;
  q.in_doubt = Batch();
  q.failed = Status();
  pump(lock);
}

// The log's answer to the batch under way.
void LocalBackend::durable(Status s) {
  Queue& q = *queue_;
  if (s.ok()) {
    tell(q.batch);
  } else {
    log::error(
        "Write could not be made durable; the store refuses writes until the disk takes them",
        {{"error", s}});
  }
  std::unique_lock lock(q.mutex);
  {
    Queue::Wakes wakes;
    if (s.ok()) {
      q.revision = q.batch.revision;
    } else {
      q.failed = refusal(s);
    }
    const Status doubtful(Reason::kOutcomeUnknown,
                          "the write may or may not be durable: " + s.message());
    for (auto& [r, verdict] : q.batch.answers) {
      if (s.ok()) {
        q.answer(*r, verdict, wakes);
      } else {
        const bool wrote = verdict.verdict == Committed::Verdict::kDone && !r->barrier;
        q.answer(*r, wrote ? doubtful : q.failed, wakes);
      }
    }
    q.batch.answers.clear();
    if (!s.ok()) q.in_doubt = std::move(q.batch);
    q.batch = Batch();
    q.in_flight = false;
    if (!s.ok()) {
      for (auto& r : q.waiting) q.answer(*r, q.failed, wakes);
      q.waiting.clear();
      q.wanted = false;
    }
  }
  if (s.ok()) return pump(lock);
  lock.unlock();
  log_->recover([this](int64_t revision) { recovered(revision); });
}

Task<Status> LocalBackend::wait_idle(Context ctx) {
  auto r = std::make_shared<Request>();
  r->barrier = true;
  r->loop = &ctx.loop();
  Submit submit{this, r};
  co_await submit;
  co_return Status();
}

Task<Status> LocalBackend::close(Context ctx) {
  {
    std::lock_guard lock(queue_->mutex);
    queue_->closed = true;
  }
  (void)co_await wait_idle(ctx);
  co_return log_->close();
}

}  // namespace keles
