#include "store/replica.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "base/buggify.h"
#include "base/log.h"
#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "store/record_format.h"

namespace keles {

// A write on its way: what the stream finishes when it tells it.
struct Replica::Pending : Origin {
  const KindDesc* kind = nullptr;
  std::string key;
  std::optional<Object::Draft> draft;  // none: a deletion
  // Set by the stream before the commit is answered, when it tells it before that.
  ObjectPtr result;
};

namespace {

std::string_view last_element(std::string_view key) {
  auto slash = key.rfind('/');
  return slash == std::string_view::npos ? key : key.substr(slash + 1);
}

Status refusal(Committed::Verdict verdict, const KindDesc* kind, const std::string& key) {
  const std::string_view group = kind ? kind->group : "", resource = kind ? kind->plural : "keys";
  const std::string_view name = last_element(key);
  switch (verdict) {
    case Committed::Verdict::kExists:
      return Status::already_exists(group, resource, name);
    case Committed::Verdict::kMissing:
      return Status::not_found(group, resource, name);
    case Committed::Verdict::kChanged:
      return Status::conflict(group, resource, name,
                              "the object has been modified; please apply your changes to the "
                              "latest version and try again");
    case Committed::Verdict::kDone:
      break;
  }
  return Status();
}

// What another server stored may lack what has a default here: upstream's fills that in whenever it
// decodes, and so leaves out of the store what an older one did not know. The same object where
// nothing is missing. Custom resources get theirs when they are shown as a kind.
Result<ObjectPtr> completed(Result<ObjectPtr> read) {
  if (!read.ok()) return read;
  const ObjectPtr& object = *read;
  const KindDesc& kind = object->kind();
  if (kind.owner || !kind.type->has_defaults || object->stored()->starts_with('{')) return read;
  const DocumentPtr tree = object->tree();
  Document filled = tree->clone();
  apply_defaults(kind, filled);
  if (filled.root.equals(tree->root)) return read;
  if (Value* meta = filled.root.find("metadata")) meta->erase("resourceVersion");
  return Object::from_stored(kind,
                             std::make_shared<const std::string>(encode_object(kind, filled.root)),
                             object->revision());
}

// The objects of the records, in their order. A start waits for it, and to look at every byte of
// 35,000 pods takes some 70 ms: a large state is shared out among the processors.
std::vector<Result<ObjectPtr>> read_records(const KindResolver& find_kind,
                                            const std::vector<Change>& records, bool complete) {
  constexpr size_t kWorthAThread = 4096;
  std::vector<Result<ObjectPtr>> out(records.size(), ObjectPtr());
  auto read = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) {
      out[i] = read_stored(find_kind, records[i].stored, records[i].revision);
      if (complete) out[i] = completed(std::move(out[i]));
    }
  };
  const size_t most = std::max(1u, std::thread::hardware_concurrency());
  const size_t parts = std::clamp<size_t>(records.size() / kWorthAThread, 1, most);
  std::vector<std::thread> others;
  for (size_t p = 1; p < parts; ++p)
    others.emplace_back(read, records.size() * p / parts, records.size() * (p + 1) / parts);
  read(0, records.size() / parts);
  for (std::thread& t : others) t.join();
  return out;
}

}  // namespace

Result<ObjectPtr> read_stored(const KindResolver& find_kind, Bytes stored, int64_t revision) {
  if (stored->starts_with('{')) return Object::from_json(find_kind, std::move(stored), revision);
  TRY_ASSIGN(name, stored_kind(*stored));
  const KindDesc* kind = find_kind(name.api_version, name.kind);
  if (!kind) {
    return Status::internal("unknown kind " + std::string(name.kind) + " of " +
                            std::string(name.api_version));
  }
  return Object::from_stored(*kind, std::move(stored), revision);
}

Replica::Replica(ReplicaOptions options, std::unique_ptr<Backend> backend)
    : options_(std::move(options)),
      window_(std::make_shared<EventWindow>(options_.window, MemoryMap(), 0)),
      backend_(std::move(backend)),
      sealing_(dynamic_cast<const Sealing*>(backend_.get())),
      shared_(backend_->shared()) {
  if (!options_.find_kind) {
    options_.find_kind = [](std::string_view api_version, std::string_view kind) {
      return keles::find_kind(api_version, kind);
    };
  }
  backend_->watch(*this);
}

Replica::~Replica() {
  backend_.reset();
  window_->close(Status::unavailable("store is closed"));
}

Task<Result<ObjectPtr>> Replica::write(Context ctx, StoreWrite w) {
  if (!w.stored && w.condition == StoreWrite::If::kAbsent)
    co_return Status::bad_request("store: a deletion needs the revision that it deletes");
  if (buggify(ctx.loop(), "store.write_late", 0.02)) {
    Duration late(ctx.loop().random().between(0, 500'000'000));
    Status s = co_await ctx.sleep(late);
    if (!s.ok()) co_return s;
  }
  auto hidden = why_unreadable(w.key);
  if (hidden)
    co_return Status::internal("key " + w.key + " holds an object that cannot be read (" + *hidden +
                               ")");
  auto pending = std::make_shared<Pending>();
  pending->kind = w.kind;
  if (!pending->kind) {
    ObjectPtr now = window_->snapshot()->get(w.key);
    if (now) pending->kind = &now->kind();
  }
  if (w.stored && !pending->kind)
    co_return Status::internal("store: a write of key " + w.key + " names no kind");
  if (w.stored && w.tree) {
    pending->draft = Object::Draft::trust(*pending->kind, w.stored, std::move(*w.tree));
  } else if (w.stored) {
    auto checked = Object::Draft::check(*pending->kind, w.stored);
    if (!checked.ok()) co_return checked.status();
    pending->draft = std::move(*checked);
  }
  pending->key = w.key;
  Transaction t;
  t.key = std::move(w.key);
  t.condition = w.condition == StoreWrite::If::kAbsent ? Transaction::If::kAbsent
                                                       : Transaction::If::kRevision;
  t.revision = w.revision;
  t.stored = std::move(w.stored);
  t.patient = w.patient;
  t.origin = pending;
  auto done = co_await backend_->commit(ctx, std::move(t));
  if (!done.ok()) co_return done.status();
  if (pending->result) co_return std::move(pending->result);
  if (done->verdict != Committed::Verdict::kDone && done->revision <= window_->revision())
    co_return refusal(done->verdict, pending->kind, pending->key);
  co_return co_await after_commit(std::move(ctx), std::move(pending), *done);
}

// For an answer that came before the stream told its revision: whoever is answered reads, from
// here, what was answered.
Task<Result<ObjectPtr>> Replica::after_commit(Context ctx, std::shared_ptr<Pending> pending,
                                              Committed committed) {
  auto followed = co_await window_->snapshot_at_least(ctx, committed.revision);
  if (!followed.ok()) {
    co_return Status(Reason::kOutcomeUnknown, "the write is done, but its change was not seen: " +
                                                  followed.status().message());
  }
  if (committed.verdict != Committed::Verdict::kDone)
    co_return refusal(committed.verdict, pending->kind, pending->key);
  if (pending->draft) co_return std::move(*pending->draft).finish(committed.revision);
  if (!committed.previous) co_return Status::internal("store: a deletion without what it deleted");
  co_return read_stored(options_.find_kind, committed.previous, committed.revision);
}

Task<Result<std::shared_ptr<const StoreSnapshot>>> Replica::newest(Context ctx) {
  auto revision = co_await backend_->read(ctx);
  if (!revision.ok()) co_return revision.status();
  co_return co_await window_->snapshot_at_least(std::move(ctx), *revision);
}

Task<Status> Replica::remove_unreadable(Context ctx, std::string key) {
  Transaction t;
  t.key = key;
  t.condition = Transaction::If::kPresent;
  if (!why_unreadable(key)) co_return refusal(Committed::Verdict::kMissing, nullptr, key);
  auto done = co_await backend_->commit(ctx, std::move(t));
  if (!done.ok()) co_return done.status();
  auto followed = co_await window_->snapshot_at_least(std::move(ctx), done->revision);
  if (!followed.ok()) co_return followed.status();
  co_return refusal(done->verdict, nullptr, key);
}

EventWindow::Hidden Replica::hidden() const {
  std::lock_guard lock(mutex_);
  if (unreadable_.empty()) return nullptr;
  auto out = std::make_shared<std::vector<UnreadableRecord>>();
  for (const auto& [key, u] : unreadable_) out->push_back({key, u.reason});
  return out;
}

std::optional<std::string> Replica::why_unreadable(const std::string& key) const {
  std::lock_guard lock(mutex_);
  auto it = unreadable_.find(key);
  if (it == unreadable_.end()) return std::nullopt;
  return it->second.reason;
}

Contents Replica::contents() const {
  Contents out;
  {
    std::lock_guard lock(mutex_);
    out.identity = identity_;
    for (const auto& [key, u] : unreadable_) {
      if (u.change.key) {
        out.records.push_back(u.change);
      } else {
        out.damaged.push_back({key, u.value, u.reason});
      }
    }
  }
  const auto unread = static_cast<ptrdiff_t>(out.records.size());
  out.revision = window_->records([&out](const Record& r) {
    out.records.push_back(
        {r.key, r.object->stored(), r.object->revision(), r.create_revision, r.version, nullptr});
  });
  std::inplace_merge(out.records.begin(), out.records.begin() + unread, out.records.end(),
                     [](const Change& a, const Change& b) { return *a.key < *b.key; });
  size_t own = out.records.capacity() * sizeof(Change);
  for (const DamagedRecord& d : out.damaged) own += sizeof d + d.key.size() + d.value.size();
  out.held = window_->hold(out.revision, own);
  return out;
}

void Replica::hide(Change c, std::string reason) {
  log::error("Stored object cannot be read", {{"key", *c.key}, {"reason", reason}});
  std::string key = *c.key;
  c.origin.reset();
  std::lock_guard lock(mutex_);
  unreadable_[std::move(key)] = {std::move(reason), std::move(c), {}};
}

bool Replica::forget_unreadable(const std::string& key) {
  std::lock_guard lock(mutex_);
  return !unreadable_.empty() && unreadable_.erase(key) > 0;
}

void Replica::restart(Contents contents) {
  {
    std::lock_guard lock(mutex_);
    identity_ = std::move(contents.identity);
    unreadable_.clear();
    for (DamagedRecord& d : contents.damaged) {
      log::error("Stored object cannot be read", {{"key", d.key}, {"reason", d.reason}});
      unreadable_[d.key] = {std::move(d.reason), Change(), std::move(d.value)};
    }
  }
  MemoryMap::Edit edit{MemoryMap()};
  auto objects = read_records(options_.find_kind, contents.records, shared_);
  for (size_t i = 0; i < objects.size(); ++i) {
    Change& c = contents.records[i];
    Result<ObjectPtr>& object = objects[i];
    if (!object.ok()) {
      hide(std::move(c), object.status().message());
      continue;
    }
    edit.put(std::make_shared<Record>(
        Record{std::move(c.key), std::move(*object), c.create_revision, c.version}));
  }
  map_ = edit.finish();
  window_->restart(map_, contents.revision, hidden());
}

void Replica::apply(std::vector<Change> changes, int64_t revision) {
  MemoryMap::Edit edit(map_, window_->watched_edit());
  std::vector<StoreEventPtr> events;
  events.reserve(changes.size());
  bool told = true;
  for (Change& c : changes) told &= take(c, edit, events);
  map_ = edit.finish();
  if (told) {
    window_->publish(map_, revision, std::move(events), edit.left_behind());
  } else {
    window_->restart(map_, revision, hidden());
  }
}

// Carries the change out on the map. False when it cannot be told as an event, because what is
// there now, or was there, cannot be read: then whoever watches must list anew.
bool Replica::take(Change& c, MemoryMap::Edit& edit, std::vector<StoreEventPtr>& events) {
  const KeyPtr key = c.key;
  bool told = !forget_unreadable(*key);
  const bool made_now = c.stored && c.version == 1;  // then there was none
  RecordPtr now = made_now ? nullptr : edit.find(*key);
  auto* pending = static_cast<Pending*>(c.origin.get());
  if (!c.stored) {
    if (!now) return told;
    ObjectPtr last = Object::at_revision(*now->object, c.revision);
    edit.erase(*key);
    events.push_back(make_store_event(StoreEvent::Type::kDeleted, now->key, last, now->object));
    if (pending) pending->result = std::move(last);
    return told;
  }
  ObjectPtr object = make_object(c);
  if (!object) {
    if (now) edit.erase(*key);
    return false;
  }
  auto record = std::make_shared<Record>();
  record->key = now ? now->key : key;
  record->object = object;
  record->create_revision = c.create_revision;
  record->version = c.version;
  events.push_back(make_store_event(now ? StoreEvent::Type::kModified : StoreEvent::Type::kAdded,
                                    record->key, object, now ? now->object : nullptr));
  edit.put(std::move(record));
  if (pending) pending->result = std::move(object);
  return told;
}

// Null when it cannot be read; it is then among the unreadable.
ObjectPtr Replica::make_object(Change& c) {
  auto* pending = static_cast<Pending*>(c.origin.get());
  if (pending && pending->draft) return std::move(*pending->draft).finish(c.revision);
  auto made = read_stored(options_.find_kind, c.stored, c.revision);
  if (shared_) made = completed(std::move(made));
  if (made.ok()) return std::move(*made);
  hide(std::move(c), made.status().message());
  return nullptr;
}

Task<Status> Replica::close(Context ctx) {
  Status s = co_await backend_->close(std::move(ctx));
  window_->close(Status::unavailable("store is closed"));
  co_return s;
}

}  // namespace keles
