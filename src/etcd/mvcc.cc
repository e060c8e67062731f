#include "etcd/mvcc.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "etcd/errors.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kSweep = 1000;  // states that go with one write
const std::string kCompactedKey = std::string(kFacts) + "compacted";
const std::string kRevisionKey = std::string(kFacts) + "revision";

Result<int64_t> read_number(const Disk& disk, const std::string& key, int64_t otherwise) {
  auto text = disk.get(key);
  if (!text.ok()) {
    if (text.status().reason() == Reason::kNotFound) return otherwise;
    return text.status();
  }
  int64_t out = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out);
  if (error != std::errc() || end != text->data() + text->size())
    return Status::internal("the data directory's record " + key + " is damaged");
  return out;
}

}  // namespace

Result<std::unique_ptr<Mvcc>> Mvcc::open(Loop& loop, Disk& disk, Hooks hooks) {
  auto out = std::make_unique<Mvcc>(loop, disk, std::move(hooks));
  TRY_ASSIGN(revision, read_number(disk, kRevisionKey, 1));
  TRY_ASSIGN(compacted, read_number(disk, kCompactedKey, -1));
  Status broken;
  TRY(disk.scan(kKeys, kKeys, [&](std::string_view key, std::string_view value) {
    auto at = parse_revision_key(key);
    auto kv = decode(value);
    if (!at || !kv.ok() || at->at.main > revision) {
      broken = Status::internal("the data directory holds a damaged state of a key");
      return false;
    }
    Version v;
    v.at = at->at;
    const Version* before = out->index_.newest(kv->key);
    if (out->hooks_.attached && (kv->lease != 0 || (before && before->lease != 0)))
      out->hooks_.attached(kv->key, before ? before->lease : 0, at->deleted ? 0 : kv->lease);
    if (!at->deleted) {
      v.create_revision = kv->create_revision;
      v.version = kv->version;
      v.lease = kv->lease;
    }
    out->index_.add(kv->key, v);
    return true;
  }));
  TRY(broken);
  out->revision_ = out->durable_ = revision;
  out->compacted_ = compacted;
  // What a compaction had not swept when the member ended.
  if (compacted > 0) {
    out->index_.compact(compacted, [&out](const Version& v) {
      out->waste_.push_back(revision_key(v.at, v.deleted()));
    });
  }
  if (!out->waste_.empty()) {
    out->sweeping_ = true;
    Mvcc* self = out.get();
    loop.post([self] { self->tasks_->spawn(self->sweep()); });
  } else {
    out->clean_.set();
  }
  return out;
}

Task<void> Mvcc::stop() {
  root_.cancel();
  co_await tasks_->join();
  while (writing_) {
    auto done = under_way_.done;
    Context last = Context::root(loop_);
    Status s = co_await done->wait(last);
    if (!s.ok() || failed_) break;
  }
  *self_ = nullptr;
}

Result<std::string> Mvcc::stored(Revision at) const {
  const std::string key = revision_key(at, false);
  if (auto it = young_.find(key); it != young_.end()) return it->second;
  return disk_.get(key);
}

void Mvcc::Write::put(std::string_view key, std::string_view value, int64_t lease) {
  const Version* before = owner_.index_.newest(key);
  Version v;
  v.at = Revision{owner_.revision_ + 1, static_cast<int64_t>(events_.size())};
  const bool there = before && !before->deleted();
  v.create_revision = there ? before->create_revision : v.at.main;
  v.version = there ? before->version + 1 : 1;
  v.lease = lease;
  KeyValue kv;
  kv.key = key;
  kv.value = value;
  kv.create_revision = v.create_revision;
  kv.mod_revision = v.at.main;
  kv.version = v.version;
  kv.lease = lease;
  add(key, v, encode(kv));
}

int64_t Mvcc::Write::remove(const KeyRange& keys) {
  std::vector<std::string> gone;
  const int64_t now = owner_.revision_ + 1;  // with what this transaction has put
  owner_.index_.range(keys, now, [&gone](const KeyIndex::Found& f) {
    gone.emplace_back(f.key);
    return true;
  });
  for (const std::string& key : gone) {
    Version v;
    v.at = Revision{now, static_cast<int64_t>(events_.size())};
    KeyValue kv;
    kv.key = key;
    add(key, v, encode(kv));
  }
  return static_cast<int64_t>(gone.size());
}

void Mvcc::Write::add(std::string_view key, const Version& v, std::string kv) {
  const Version* before = owner_.index_.newest(key);
  const bool there = before && !before->deleted();
  if (owner_.hooks_.attached && (v.lease != 0 || (there && before->lease != 0)))
    owner_.hooks_.attached(key, there ? before->lease : 0, v.lease);
  auto e = std::make_shared<Event>();
  e->deleted = v.deleted();
  e->at = v.at;
  e->key = key;
  e->kv = kv;
  if (v.deleted()) put_int(e->kv, 3, v.at.main);  // watchers are told when it went
  // What it was before the transaction.
  if (const Version* was = owner_.index_.at(key, v.at.main - 1)) {
    if (auto previous = owner_.stored(was->at); previous.ok()) e->previous = *previous;
  }
  owner_.index_.add(key, v);
  std::string disk_key = revision_key(v.at, v.deleted());
  if (!v.deleted()) owner_.young_.emplace(disk_key, kv);
  owner_.gathering_.writes.push_back({std::move(disk_key), std::move(kv)});
  events_.push_back(std::move(e));
}

void Mvcc::Write::record(std::string key, std::optional<std::string> value) {
  owner_.gathering_.writes.push_back({std::move(key), std::move(value)});
}

void Mvcc::Write::end() {
  if (!events_.empty()) {
    ++owner_.revision_;
    for (EventPtr& e : events_) owner_.gathering_.events.push_back(std::move(e));
    events_.clear();
  }
  if (!owner_.gathering_.writes.empty()) owner_.give_soon();
}

// With whatever else this turn of the loop brings.
void Mvcc::give_soon() {
  if (writing_ || scheduled_) return;
  scheduled_ = true;
  std::weak_ptr<Mvcc*> weak = self_;
  loop_.post([weak] {
    if (auto self = weak.lock(); self && *self) (*self)->give();
  });
}

void Mvcc::give() {
  scheduled_ = false;
  if (writing_ || failed_ || gathering_.writes.empty()) return;
  writing_ = true;
  gathering_.revision = revision_;
  gathering_.writes.push_back({kRevisionKey, std::to_string(revision_)});
  under_way_ = std::exchange(gathering_, Batch());
  Loop* loop = &loop_;
  std::weak_ptr<Mvcc*> weak = self_;
  disk_.write(std::move(under_way_.writes), [loop, weak](Status s) {
    loop->post([weak, s] {
      if (auto self = weak.lock(); self && *self) (*self)->written(s);
    });
  });
}

void Mvcc::written(Status s) {
  writing_ = false;
  Batch batch = std::exchange(under_way_, Batch());
  if (!s.ok()) {
    failed_ = true;
    batch.done->set();
    hooks_.failed(std::move(s));
    return;
  }
  for (const EventPtr& e : batch.events) {
    if (!e->deleted) young_.erase(revision_key(e->at, false));
  }
  durable_ = batch.revision;
  if (hooks_.told) hooks_.told(batch.events, durable_);
  batch.done->set();
  give();
}

Task<Status> Mvcc::settled(Context ctx) {
  std::shared_ptr<keles::Event> done;
  if (!gathering_.writes.empty()) {
    done = gathering_.done;
  } else if (writing_) {
    done = under_way_.done;
  }
  if (done) TRY_CO(done->wait(ctx));
  if (failed_) co_return Status(Reason::kOutcomeUnknown, "the disk cannot be written");
  co_return Status();
}

Status Mvcc::compact(int64_t revision) {
  if (revision <= compacted_) return etcdserver::compacted();
  if (revision > revision_) return future_revision();
  compacted_ = revision;
  index_.compact(revision,
                 [this](const Version& v) { waste_.push_back(revision_key(v.at, v.deleted())); });
  Write w(*this);
  w.record(kCompactedKey, std::to_string(revision));
  w.end();
  if (!waste_.empty() && !sweeping_) {
    sweeping_ = true;
    clean_.reset();
    tasks_->spawn(sweep());
  }
  return Status();
}

Task<Status> Mvcc::swept(Context ctx) { co_return co_await clean_.wait(ctx); }

Task<void> Mvcc::sweep() {
  // Who began to read before this may still be on the way to what goes.
  while (!waste_.empty()) {
    const uint64_t turn = ++turns_;
    size_t n = std::min(waste_.size(), kSweep);
    while (!reading_.empty() && *reading_.begin() < turn) {
      Status s = co_await root_.sleep(10ms);
      if (!s.ok()) co_return;
    }
    Write w(*this);
    for (; n > 0; --n) {
      w.record(std::move(waste_.front()), std::nullopt);
      waste_.pop_front();
    }
    w.end();
    Status s = co_await settled(root_);
    if (!s.ok()) co_return;
  }
  sweeping_ = false;
  clean_.set();
}

}  // namespace keles::etcdserver
