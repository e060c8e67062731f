#include "store/memory_store.h"

#include <map>
#include <utility>

#include "base/log.h"

namespace keles {
namespace {

// The protobuf wire format, as far as the envelope needs it.
struct Wire {
  std::string_view rest;
  bool varint(uint64_t& v) {
    v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest.empty()) return false;
      auto b = static_cast<unsigned char>(rest.front());
      rest.remove_prefix(1);
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) return true;
    }
    return false;
  }
  // The next field; only length-delimited ones are expected here.
  bool field(uint64_t& number, std::string_view& body) {
    uint64_t tag = 0, size = 0;
    if (!varint(tag) || (tag & 7) != 2 || !varint(size) || size > rest.size()) return false;
    number = tag >> 3;
    body = rest.substr(0, size);
    rest.remove_prefix(size);
    return true;
  }
};

std::string_view last_element(std::string_view key) {
  auto slash = key.rfind('/');
  return slash == std::string_view::npos ? key : key.substr(slash + 1);
}

struct Names {
  std::string_view group, resource, name;
};
Names names_of(const StoreWrite& w, const Record* now) {
  const KindDesc* kind = w.kind ? w.kind : now ? &now->object->kind() : nullptr;
  return {kind ? kind->group : "", kind ? kind->plural : "keys", last_element(w.key)};
}

}  // namespace

Result<StoredKind> stored_kind(std::string_view stored) {
  static constexpr std::string_view kMagic("k8s\0", 4);
  if (!stored.starts_with(kMagic)) return Status::internal("stored object has no envelope");
  Wire unknown{stored.substr(kMagic.size())};
  while (!unknown.rest.empty()) {
    uint64_t number = 0;
    std::string_view body;
    if (!unknown.field(number, body)) break;
    if (number != 1) continue;
    StoredKind out;
    Wire type_meta{body};
    while (!type_meta.rest.empty()) {
      if (!type_meta.field(number, body)) return Status::internal("stored envelope is damaged");
      if (number == 1) out.api_version = body;
      if (number == 2) out.kind = body;
    }
    return out;
  }
  return Status::internal("stored envelope names no kind");
}

struct MemoryStore::Request {
  enum class State : uint8_t { kWaiting, kInBatch, kAnswered };
  StoreWrite w;
  bool barrier = false;  // writes nothing; answered after everything before it
  bool purge = false;    // removes what cannot be read
  Loop* loop = nullptr;
  std::coroutine_handle<> h;
  State state = State::kWaiting;  // under the queue's mutex, like the rest below
  std::optional<Result<ObjectPtr>> result;
};

struct MemoryStore::Batch {
  std::vector<std::pair<RequestPtr, Result<ObjectPtr>>> answers;
  std::vector<bool> wrote;  // beside answers
  std::vector<LogRecord> records;
  std::vector<StoreEventPtr> events;
  std::vector<std::string> purged;
  MemoryMap map;
  int64_t revision = 0;
};

struct MemoryStore::Queue {
  std::mutex mutex;
  std::deque<RequestPtr> waiting;
  bool in_flight = false;  // whoever set it owns the members of the second part
  bool closed = false;
  Status failed;
  Batch in_doubt;  // while failed: what the disk may hold beyond `map`

  MemoryMap map;  // durable and published
  int64_t revision = 0;
  Batch batch;
  // Key and reason of what cannot be read. Changed under the mutex, while in flight.
  std::map<std::string, std::string, std::less<>> unreadable;

  void forget(const std::vector<std::string>& purged) {
    if (purged.empty()) return;
    std::lock_guard lock(mutex);
    for (const std::string& key : purged) unreadable.erase(key);
  }

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
  void answer(Request& r, Result<ObjectPtr> result, Wakes& wakes) {
    if (r.state == Request::State::kAnswered) return;
    r.state = Request::State::kAnswered;
    r.result.emplace(std::move(result));
    wakes.add(r);
  }
};

// Suspends the writer until its request is answered.
struct MemoryStore::Submit {
  MemoryStore* store;
  RequestPtr request;
  bool await_ready() { return false; }
  bool await_suspend(std::coroutine_handle<> h) {
    RequestPtr r = request;  // this object may be gone once the request is queued
    MemoryStore* s = store;
    Queue& q = *s->queue_;
    r->h = h;
    std::unique_lock lock(q.mutex);
    Status refused;
    if (r->state == Request::State::kAnswered) return false;
    if (!q.failed.ok()) {
      refused = q.failed;
    } else if (q.closed && !r->barrier) {
      refused = Status::unavailable("store is closed");
    } else if (q.waiting.size() >= s->options_.max_queued_writes) {
      refused = Status(Reason::kTooManyRequests, "store: too many writes are waiting; try again");
    }
    if (!refused.ok()) {
      r->state = Request::State::kAnswered;
      r->result.emplace(refused);
      return false;
    }
    q.waiting.push_back(std::move(r));
    s->pump(lock);
    return true;
  }
  void await_resume() {}
};

Result<std::unique_ptr<MemoryStore>> MemoryStore::make(MemoryStoreOptions options,
                                                       std::unique_ptr<Log> log,
                                                       LogContents contents) {
  if (!options.find_kind) {
    options.find_kind = [](std::string_view api_version, std::string_view kind) {
      return keles::find_kind(api_version, kind);
    };
  }
  MemoryMap::Edit edit{MemoryMap()};
  std::map<std::string, std::string, std::less<>> unreadable;
  for (UnreadableRecord& r : contents.damaged)
    unreadable.emplace(std::move(r.key), std::move(r.reason));
  for (LogRecord& r : contents.records) {
    auto name = stored_kind(*r.stored);
    const KindDesc* kind = name.ok() ? options.find_kind(name->api_version, name->kind) : nullptr;
    Status why = name.status();
    ObjectPtr object;
    if (kind) {
      auto made = Object::from_stored(*kind, std::move(r.stored), r.revision);
      why = made.status();
      if (made.ok()) object = *made;
    }
    if (!object) {
      unreadable.emplace(*r.key, why.ok() ? "unknown kind" : why.message());
      continue;
    }
    edit.put(std::make_shared<Record>(
        Record{std::move(r.key), std::move(object), r.create_revision, r.version}));
  }
  auto store = std::unique_ptr<MemoryStore>(
      new MemoryStore(std::move(options), std::move(log), edit.finish(), contents.revision));
  for (const auto& [key, reason] : unreadable)
    log::error("Stored object cannot be read", {{"key", key}, {"reason", reason}});
  store->queue_->unreadable = std::move(unreadable);
  return store;
}

MemoryStore::MemoryStore(MemoryStoreOptions options, std::unique_ptr<Log> log, MemoryMap map,
                         int64_t revision)
    : options_(std::move(options)),
      log_(std::move(log)),
      window_(std::make_shared<EventWindow>(options_.window, map, revision)),
      queue_(std::make_shared<Queue>()) {
  queue_->map = std::move(map);
  queue_->revision = revision;
}

MemoryStore::~MemoryStore() {
  {
    std::lock_guard lock(queue_->mutex);
    queue_->closed = true;
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
  window_->close(Status::unavailable("store is closed"));
}

Task<Result<ObjectPtr>> MemoryStore::write(Context ctx, StoreWrite w) {
  if (!w.stored && w.condition == StoreWrite::If::kAbsent)
    co_return Status::bad_request("store: a deletion needs the revision that it deletes");
  auto r = std::make_shared<Request>();
  r->w = std::move(w);
  co_return co_await submit(std::move(ctx), std::move(r));
}

Task<Status> MemoryStore::remove_unreadable(Context ctx, std::string key) {
  auto r = std::make_shared<Request>();
  r->w.key = std::move(key);
  r->purge = true;
  auto done = co_await submit(std::move(ctx), std::move(r));
  co_return done.status();
}

std::vector<UnreadableRecord> MemoryStore::unreadable(std::string_view prefix) const {
  std::vector<UnreadableRecord> out;
  std::lock_guard lock(queue_->mutex);
  const auto& all = queue_->unreadable;
  for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix); ++it)
    out.push_back({it->first, it->second});
  return out;
}

Task<Result<ObjectPtr>> MemoryStore::submit(Context ctx, RequestPtr r) {
  if (ctx.done()) co_return ctx.status();
  r->loop = &ctx.loop();
  std::weak_ptr<Queue> weak = queue_;
  // A writer that gives up while its write is still waiting takes it back; later, nobody knows.
  auto hook = ctx.on_done([weak, r, ctx] {
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

// Starts the next batch when none is under way. Called with the lock held; returns without it.
void MemoryStore::pump(std::unique_lock<std::mutex>& lock) {
  Queue& q = *queue_;
  while (!q.in_flight && !q.waiting.empty() && q.failed.ok()) {
    q.in_flight = true;
    std::vector<RequestPtr> requests;
    while (!q.waiting.empty() && requests.size() < options_.max_batch) {
      RequestPtr r = std::move(q.waiting.front());
      q.waiting.pop_front();
      if (r->state != Request::State::kWaiting) continue;  // its writer gave up
      r->state = Request::State::kInBatch;
      requests.push_back(std::move(r));
    }
    Batch batch;
    MemoryMap map = q.map;
    int64_t revision = q.revision;
    lock.unlock();
    MemoryMap::Edit edit(map);
    for (auto& r : requests) {
      size_t before = batch.records.size();
      Result<ObjectPtr> result = ObjectPtr();
      if (!r->barrier) result = apply(*r, edit, revision + 1, batch);
      bool wrote = batch.records.size() > before;
      revision += wrote;
      batch.wrote.push_back(wrote);
      batch.answers.emplace_back(std::move(r), std::move(result));
    }
    batch.map = edit.finish();
    batch.revision = revision;
    std::vector<LogRecord> records = std::move(batch.records);
    lock.lock();
    q.batch = std::move(batch);
    if (!records.empty()) {
      lock.unlock();
      log_->append(std::move(records), [this](Status s) { durable(std::move(s)); });
      return;
    }
    Queue::Wakes wakes;  // nothing to write: every condition failed
    for (auto& [r, result] : q.batch.answers) q.answer(*r, std::move(result), wakes);
    q.batch = Batch();
    q.in_flight = false;
  }
  lock.unlock();
}

// Judges one write against `edit` and carries it out there.
Result<ObjectPtr> MemoryStore::apply(Request& request, MemoryMap::Edit& edit, int64_t revision,
                                     Batch& batch) {
  StoreWrite& w = request.w;
  RecordPtr now = edit.find(w.key);
  Names n = names_of(w, now.get());
  if (auto it = queue_->unreadable.find(w.key); it != queue_->unreadable.end()) {
    if (!request.purge)
      return Status::internal("key " + w.key + " holds an object that cannot be read (" +
                              it->second + ")");
    batch.records.push_back({std::make_shared<const std::string>(w.key), nullptr, revision, 0, 0});
    batch.purged.push_back(w.key);
    return ObjectPtr();
  }
  if (request.purge) return Status::not_found(n.group, n.resource, n.name);
  if (w.condition == StoreWrite::If::kAbsent) {
    if (now) return Status::already_exists(n.group, n.resource, n.name);
  } else if (!now) {
    return Status::not_found(n.group, n.resource, n.name);
  } else if (now->object->revision() != w.revision) {
    return Status::conflict(n.group, n.resource, n.name,
                            "the object has been modified; please apply your changes to the "
                            "latest version and try again");
  }
  if (!w.stored) {
    TRY_ASSIGN(last, Object::from_stored(now->object->kind(), now->object->stored(), revision));
    edit.erase(w.key);
    batch.records.push_back({now->key, nullptr, revision, now->create_revision, now->version});
    batch.events.push_back(
        make_store_event(StoreEvent::Type::kDeleted, now->key, last, now->object));
    return last;
  }
  const KindDesc* kind = w.kind ? w.kind : now ? &now->object->kind() : nullptr;
  if (!kind) return Status::internal("store: a write of key " + w.key + " names no kind");
  ObjectPtr object;
  if (w.tree) {
    object = Object::from_stored_with_tree(*kind, w.stored, revision, std::move(*w.tree));
  } else {
    TRY_ASSIGN(made, Object::from_stored(*kind, w.stored, revision));
    object = made;
  }
  auto record = std::make_shared<Record>();
  record->key = now ? now->key : std::make_shared<const std::string>(std::move(w.key));
  record->object = object;
  record->create_revision = now ? now->create_revision : revision;
  record->version = now ? now->version + 1 : 1;
  batch.records.push_back(
      {record->key, w.stored, revision, record->create_revision, record->version});
  batch.events.push_back(
      make_store_event(now ? StoreEvent::Type::kModified : StoreEvent::Type::kAdded, record->key,
                       object, now ? now->object : nullptr));
  edit.put(std::move(record));
  return object;
}

Status MemoryStore::writable() const {
  std::lock_guard lock(queue_->mutex);
  return queue_->failed;
}

namespace {
Status refusal(const Status& why) {
  return Status(Reason::kServiceUnavailable,
                "store refuses writes since one could not be made durable (" + why.message() +
                    "); they are taken again once the disk can be written");
}
}  // namespace

void MemoryStore::start_failed(Status s) {
  log::error("The store cannot be written; it serves reads until it can be", {{"error", s}});
  {
    std::lock_guard lock(queue_->mutex);
    queue_->failed = refusal(s);
    queue_->in_doubt.revision = queue_->revision;
    queue_->in_doubt.map = queue_->map;
  }
  log_->recover([this](int64_t revision) { recovered(revision); });
}

// What the disk holds, when it can be written again. Nothing is under way, nothing waits.
void MemoryStore::recovered(int64_t revision) {
  Queue& q = *queue_;
  if (revision != q.revision && revision != q.in_doubt.revision) {
    log::error("The disk does not hold what was acknowledged; the store stays read-only",
               {{"acknowledged", q.revision}, {"found", revision}});
    std::lock_guard lock(q.mutex);
    q.failed = Status(Reason::kServiceUnavailable,
                      "store ends at revision " + std::to_string(revision) + " on the disk, but " +
                          std::to_string(q.revision) +
                          " was acknowledged: take a copy of what is served, then restore the "
                          "store's directory from a backup");
    return;
  }
  bool holds_doubtful = revision != q.revision;
  if (holds_doubtful) {
    q.map = q.in_doubt.map;
    q.revision = revision;
    q.forget(q.in_doubt.purged);
    window_->publish(std::move(q.in_doubt.map), revision, std::move(q.in_doubt.events));
  }
  log::info("The store takes writes again",
            {{"revision", revision}, {"writes in doubt", holds_doubtful ? "held" : "lost"}});
  std::unique_lock lock(q.mutex);
  q.in_doubt = Batch();
  q.failed = Status();
  pump(lock);
}

// The log's answer to the batch under way.
void MemoryStore::durable(Status s) {
  Queue& q = *queue_;
  if (s.ok()) {
    Batch& b = q.batch;
    q.map = b.map;
    q.revision = b.revision;
    q.forget(b.purged);
    window_->publish(std::move(b.map), b.revision, std::move(b.events));
  } else {
    log::error(
        "Write could not be made durable; the store refuses writes until the disk takes them",
        {{"error", s}});
  }
  std::unique_lock lock(q.mutex);
  {
    Queue::Wakes wakes;
    if (!s.ok()) q.failed = refusal(s);
    for (size_t i = 0; i < q.batch.answers.size(); ++i) {
      auto& [r, result] = q.batch.answers[i];
      if (!s.ok()) {
        result = q.batch.wrote[i] ? Status(Reason::kOutcomeUnknown,
                                           "the write may or may not be durable: " + s.message())
                                  : q.failed;
      }
      q.answer(*r, std::move(result), wakes);
    }
    q.batch.answers.clear();
    if (!s.ok()) q.in_doubt = std::move(q.batch);
    q.batch = Batch();
    q.in_flight = false;
    if (!s.ok()) {
      for (auto& r : q.waiting) q.answer(*r, q.failed, wakes);
      q.waiting.clear();
    }
  }
  if (s.ok()) return pump(lock);
  lock.unlock();
  log_->recover([this](int64_t revision) { recovered(revision); });
}

Task<Status> MemoryStore::wait_idle(Context ctx) {
  auto r = std::make_shared<Request>();
  r->barrier = true;
  r->loop = &ctx.loop();
  Submit submit{this, r};
  co_await submit;
  co_return Status();
}

Task<Status> MemoryStore::close(Context ctx) {
  {
    std::lock_guard lock(queue_->mutex);
    queue_->closed = true;
  }
  (void)co_await wait_idle(ctx);
  Status s = log_->close();
  window_->close(Status::unavailable("store is closed"));
  co_return s;
}

}  // namespace keles
