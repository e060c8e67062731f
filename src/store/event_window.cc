#include "store/event_window.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace keles {
namespace {

struct KeyedEvent : StoreEvent {
  KeyPtr key_owner;
};

class MapSnapshot final : public StoreSnapshot {
 public:
  MapSnapshot(MemoryMap map, int64_t revision, EventWindow::Hidden hidden)
      : map_(std::move(map)), revision_(revision), hidden_(std::move(hidden)) {}
  int64_t revision() const override { return revision_; }
  ObjectPtr get(std::string_view key) const override {
    RecordPtr r = map_.find(key);
    return r ? r->object : nullptr;
  }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, const ObjectPtr&)>& fn) const override {
    map_.scan(prefix, from, [&fn](const RecordPtr& r) { return fn(*r->key, r->object); });
  }
  size_t count(std::string_view prefix) const override { return map_.count(prefix); }
  std::optional<std::vector<ObjectStretch>> stretches(std::string_view prefix) const override {
    return map_.stretches(prefix);
  }
  std::vector<UnreadableRecord> unreadable(std::string_view prefix) const override {
    std::vector<UnreadableRecord> out;
    if (!hidden_) return out;
    for (const UnreadableRecord& r : *hidden_) {
      if (r.key.starts_with(prefix)) out.push_back(r);
    }
    return out;
  }
  const MemoryMap& map() const { return map_; }

 private:
  MemoryMap map_;
  int64_t revision_;
  EventWindow::Hidden hidden_;
};

// What only the window holds of an event, roughly: it, and the state that it replaced.
size_t cost_of(const StoreEvent& e) {
  constexpr size_t kEvent = 256;
  return kEvent + (e.before ? state_cost(*e.before) : 0);
}

}  // namespace

StoreEventPtr make_store_event(StoreEvent::Type type, KeyPtr key, ObjectPtr object,
                               ObjectPtr before) {
  auto e = std::make_shared<KeyedEvent>();
  e->type = type;
  e->key_owner = std::move(key);
  e->key = *e->key_owner;
  e->revision = object->revision();
  e->object = std::move(object);
  e->before = std::move(before);
  return e;
}

// The watchers of one prefix: their pending events, numbered from `first`. Those of its parts are
// groups of their own, by field and value.
struct EventWindow::Group {
  struct Parts {
    std::function<std::string(const Object&)> of;
    std::unordered_map<std::string, std::shared_ptr<Group>> by_value;
  };
  std::string prefix;
  std::map<std::string, Parts> parts;
  std::shared_ptr<Group> whole;  // of which this is a part
  std::string field, value;
  uint64_t first = 0;
  std::deque<StoreEventPtr> events;
  size_t trim_at = 64;                   // how many events make it worth to look for read ones
  std::map<uint64_t, Watcher*> members;  // in the order in which they came
  uint64_t end() const { return first + events.size(); }
};

struct EventWindow::Watcher {
  uint64_t id = 0;
  std::shared_ptr<Group> group;
  std::deque<StoreEventPtr> backlog;  // from before it began
  uint64_t at = 0;                    // its next event in the group
  int64_t after = 0;                  // only events after this revision
  int64_t progress = 0;
  Waiter waiter;
};

// Suspends until wake() or until ctx ends. Entered with the mutex held, which it releases.
struct EventWindow::WaitForWake {
  EventWindow* window;
  Waiter* waiter;
  std::unique_lock<std::mutex>* lock;
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    waiter->h = h;
    waiter->waiting = true;
    lock->unlock();  // from here on the coroutine may go on, though not before its loop turns
  }
  void await_resume() {}
};

class EventWindow::Handle final : public StoreWatch {
 public:
  Handle(std::shared_ptr<EventWindow> window, std::unique_ptr<Watcher> watcher)
      : window_(std::move(window)), watcher_(std::move(watcher)) {}
  ~Handle() override {
    std::lock_guard lock(window_->mutex_);
    window_->leave(watcher_->group, watcher_->id);
  }
  Task<Result<std::vector<StoreEventPtr>>> next(Context ctx, size_t limit) override;
  int64_t progress() const override {
    std::lock_guard lock(window_->mutex_);
    return at_end() ? std::max(window_->revision_, watcher_->progress) : watcher_->progress;
  }

 private:
  bool at_end() const {
    return watcher_->backlog.empty() && watcher_->at == watcher_->group->end();
  }
  // Under the mutex. Takes what is there; an error ends the watch.
  Status take(size_t limit, std::vector<StoreEventPtr>& out);
  std::shared_ptr<EventWindow> window_;
  std::unique_ptr<Watcher> watcher_;
};

Status EventWindow::Handle::take(size_t limit, std::vector<StoreEventPtr>& out) {
  Watcher& w = *watcher_;
  Group& g = *w.group;
  if (w.at < g.first) return expired(w.progress, window_->oldest_);
  auto give = [&](const StoreEventPtr& e) {
    if (e->revision <= window_->oldest_) return false;
    w.progress = e->revision;
    if (e->revision > w.after) out.push_back(e);
    return true;
  };
  while (out.size() < limit && !w.backlog.empty()) {
    if (!give(w.backlog.front())) return expired(w.progress, window_->oldest_);
    w.backlog.pop_front();
  }
  while (out.size() < limit && w.at < g.end()) {
    if (!give(g.events[w.at - g.first])) return expired(w.progress, window_->oldest_);
    ++w.at;
  }
  if (g.whole) window_->trim(g);  // there are many, of few members each
  if (out.empty() && !window_->closed_.ok()) return window_->closed_;
  return Status();
}

Task<Result<std::vector<StoreEventPtr>>> EventWindow::Handle::next(Context ctx, size_t limit) {
  std::vector<StoreEventPtr> out;
  // The hook needs the window alone: it may run when this coroutine is past its wait.
  EventWindow* window = window_.get();
  Waiter* waiter = &watcher_->waiter;
  std::optional<Context::Hook> hook;
  for (;;) {
    std::unique_lock lock(window_->mutex_);
    Status s = take(limit, out);
    if (!s.ok() && out.empty()) co_return s;
    if (!out.empty()) break;
    if (ctx.done()) co_return ctx.status();
    if (!hook) {
      lock.unlock();
      hook.emplace(ctx, [window, waiter] {
        Wakes wakes;
        {
          std::lock_guard guard(window->mutex_);
          window->wake(*waiter, wakes);
        }
        resume(std::move(wakes));
      });
      continue;
    }
    WaitForWake wait{window, waiter, &lock};
    co_await wait;
  }
  hook.reset();
  co_return std::move(out);
}

EventWindow::EventWindow(Limits limits, MemoryMap map, int64_t revision)
    : limits_(limits),
      budget_(limits.budget ? *limits.budget : own_budget_),
      snapshot_(std::make_shared<MapSnapshot>(std::move(map), revision, nullptr)),
      revision_(revision),
      oldest_(revision),
      kept_(budget_) {}

void EventWindow::wake(Waiter& w, Wakes& wakes) {
  if (!w.waiting) return;
  w.waiting = false;
  for (auto& [loop, handles] : wakes) {
    if (loop == w.loop) return handles.push_back(w.h);
  }
  wakes.emplace_back(w.loop, std::vector<std::coroutine_handle<>>{w.h});
}

void EventWindow::resume(Wakes wakes) {
  for (auto& [loop, handles] : wakes) {
    if (handles.size() == 1) {
      loop->resume_soon(handles[0]);
      continue;
    }
    loop->post([all = std::move(handles)] {
      for (auto h : all) h.resume();
    });
  }
}

void EventWindow::show(MemoryMap map, int64_t revision, Hidden hidden) {
  std::shared_ptr<const StoreSnapshot> snapshot =
      std::make_shared<MapSnapshot>(std::move(map), revision, std::move(hidden));
  std::lock_guard lock(snapshot_mutex_);
  snapshot_.swap(snapshot);
}

void EventWindow::wake_revision_waiters(Wakes& wakes) {
  for (auto it = revision_waiters_.begin(); it != revision_waiters_.end();) {
    Waiter* w = *it;
    if (w->revision > revision_) {
      ++it;
      continue;
    }
    it = revision_waiters_.erase(it);
    wake(*w, wakes);
  }
}

void EventWindow::publish(MemoryMap map, int64_t revision, std::vector<StoreEventPtr> events,
                          size_t left_behind) {
  show(std::move(map), revision, hidden_);
  Wakes wakes;
  {
    std::lock_guard lock(mutex_);
    revision_ = revision;
    for (auto& e : events) {
      append_to_groups(e, wakes);
      if (e->before) kept_.replaced(e->revision, *e->before);
      const size_t cost = cost_of(*e);
      bytes_ += cost;
      events_.push_back({e->revision, cost, e, budget_.hold(Budget::Side::kHistory, e, cost)});
    }
    while (events_.size() > limits_.events || (bytes_ > limits_.bytes && events_.size() > 1)) {
      shrink(1);
    }
    shrink_to_held();
    if (!events.empty()) kept_.nodes_replaced(events.front()->revision, left_behind);
    kept_.settle();
    wake_revision_waiters(wakes);
  }
  resume(std::move(wakes));
}

void EventWindow::restart(MemoryMap map, int64_t revision, Hidden hidden) {
  hidden_ = std::move(hidden);
  show(std::move(map), revision, hidden_);
  Wakes wakes;
  {
    std::lock_guard lock(mutex_);
    revision_ = oldest_ = revision;
    events_.clear();
    bytes_ = 0;
    kept_.clear();
    for_each_group([&](Group& g) {
      g.first = g.end() + 1;  // a gap, which no member gets past
      g.events.clear();
      for (auto& [id, w] : g.members) wake(w->waiter, wakes);
    });
    wake_revision_waiters(wakes);
  }
  resume(std::move(wakes));
}

void EventWindow::append(Group& g, const StoreEventPtr& e, Wakes& wakes) {
  if (g.members.empty()) return;
  g.events.push_back(e);
  for (auto& [id, w] : g.members) wake(w->waiter, wakes);
  if (g.events.size() >= g.trim_at) trim(g);
  // Readers that never come must not hold events for ever: they expire with the window.
  while (!g.events.empty() && g.events.front()->revision <= oldest_) {
    g.events.pop_front();
    ++g.first;
  }
}

void EventWindow::append_with_parts(Group& g, const StoreEventPtr& e, Wakes& wakes) {
  append(g, e, wakes);
  for (auto& [field, parts] : g.parts) {
    auto give = [&, &by_value = parts.by_value](const std::string& value) {
      auto it = by_value.find(value);
      if (it != by_value.end()) append(*it->second, e, wakes);
    };
    const std::string now = parts.of(*e->object);
    give(now);
    if (!e->before) continue;
    const std::string was = parts.of(*e->before);
    if (was != now) give(was);
  }
}

void EventWindow::for_each_group(const std::function<void(Group&)>& fn) {
  for (auto& [prefix, g] : groups_) {
    fn(*g);
    for (auto& [field, parts] : g->parts) {
      for (auto& [value, part] : parts.by_value) fn(*part);
    }
  }
}

std::shared_ptr<EventWindow::Group> EventWindow::group_of(const std::string& prefix,
                                                          WatchPart part) {
  auto& whole = groups_[prefix];
  if (!whole) {
    whole = std::make_shared<Group>();
    whole->prefix = prefix;
    if (!prefix.empty() && prefix.back() != '/') odd_groups_[prefix] = whole.get();
  }
  if (part.field.empty()) return whole;
  Group::Parts& parts = whole->parts[part.field];
  if (!parts.of) parts.of = std::move(part.of);
  auto& group = parts.by_value[part.value];
  if (!group) {
    group = std::make_shared<Group>();
    group->whole = whole;
    group->field = std::move(part.field);
    group->value = std::move(part.value);
  }
  return group;
}

void EventWindow::leave(const std::shared_ptr<Group>& group, uint64_t watcher) {
  group->members.erase(watcher);
  if (!group->members.empty()) return;
  const std::shared_ptr<Group> whole = group->whole ? group->whole : group;
  if (group->whole) {
    auto parts = whole->parts.find(group->field);
    parts->second.by_value.erase(group->value);
    if (parts->second.by_value.empty()) whole->parts.erase(parts);
  }
  if (!whole->members.empty() || !whole->parts.empty()) return;
  odd_groups_.erase(whole->prefix);
  groups_.erase(whole->prefix);
}

// Every prefix that ends with a '/' of the key, or is the whole key, has at most one group; the few
// others are tried one by one.
void EventWindow::append_to_groups(const StoreEventPtr& e, Wakes& wakes) {
  if (groups_.empty()) return;
  const std::string_view key = e->key;
  auto look = [&](size_t prefix) {
    auto it = groups_.find(key.substr(0, prefix));
    if (it != groups_.end()) append_with_parts(*it->second, e, wakes);
  };
  look(0);
  for (size_t slash = key.find('/'); slash < key.size(); slash = key.find('/', slash + 1)) {
    if (slash + 1 < key.size()) look(slash + 1);
  }
  if (!key.empty()) look(key.size());
  for (auto& [prefix, g] : odd_groups_) {
    if (e->key.size() > g->prefix.size() && e->key.starts_with(g->prefix) &&
        e->key[g->prefix.size() - 1] != '/') {
      append_with_parts(*g, e, wakes);
    }
  }
}

// Drops the window's first `n` events.
void EventWindow::shrink(size_t n) {
  for (; n > 0 && !events_.empty(); --n) {
    oldest_ = events_.front().revision;
    bytes_ -= events_.front().bytes;
    events_.pop_front();
  }
}

// Drops those that the budget let go, which are the oldest.
void EventWindow::shrink_to_held() {
  while (events_.size() > 1 && !events_.front().held.held()) shrink(1);
}

// Drops what every member has read.
void EventWindow::trim(Group& g) {
  uint64_t least = g.end();
  for (auto& [id, w] : g.members) least = std::min(least, std::max(w->at, g.first));
  while (g.first < least) {
    g.events.pop_front();
    ++g.first;
  }
  g.trim_at = std::max<size_t>(64, 2 * g.events.size());
}

void EventWindow::compact(int64_t revision) {
  std::lock_guard lock(mutex_);
  shrink_to_held();
  revision = std::min(revision, revision_);
  while (!events_.empty() && events_.front().revision <= revision) shrink(1);
  oldest_ = std::max(oldest_, revision);
}

void EventWindow::close(Status why) {
  Wakes wakes;
  {
    std::lock_guard lock(mutex_);
    if (!closed_.ok()) return;
    closed_ = std::move(why);
    for_each_group([&](Group& g) {
      for (auto& [id, w] : g.members) wake(w->waiter, wakes);
    });
    for (Waiter* w : revision_waiters_) wake(*w, wakes);
    revision_waiters_.clear();
  }
  resume(std::move(wakes));
}

std::shared_ptr<const StoreSnapshot> EventWindow::snapshot() const {
  std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

uint64_t EventWindow::watched_edit() const {
  std::lock_guard lock(mutex_);
  return kept_.newest_edit();
}

void EventWindow::keep(const std::shared_ptr<const StoreSnapshot>& snapshot) {
  auto* of_map = dynamic_cast<const MapSnapshot*>(snapshot.get());
  if (!of_map) return;
  std::lock_guard lock(mutex_);
  if (kept_.keep(snapshot, of_map->map())) count_late(snapshot->revision());
}

// A snapshot may be older than what is published by the time that it is kept.
void EventWindow::count_late(int64_t revision) {
  auto from = std::upper_bound(events_.begin(), events_.end(), revision,
                               [](int64_t r, const Remembered& e) { return r < e.revision; });
  for (; from != events_.end(); ++from) {
    StoreEventPtr e = from->event.lock();
    if (e && e->before) kept_.replaced_since(revision, e->revision, *e->before);
  }
  kept_.settle();
}

std::shared_ptr<const StoreSnapshot> EventWindow::kept(int64_t revision) const {
  std::lock_guard lock(mutex_);
  return kept_.find(revision);
}

void EventWindow::forget_kept(int64_t revision) {
  std::lock_guard lock(mutex_);
  kept_.forget(revision);
}

class EventWindow::Hold {
 public:
  Hold(std::shared_ptr<EventWindow> window, uint64_t ticket)
      : window_(std::move(window)), ticket_(ticket) {}
  Hold(const Hold&) = delete;
  ~Hold() {
    std::lock_guard lock(window_->mutex_);
    window_->kept_.let_go(ticket_);
  }

 private:
  std::shared_ptr<EventWindow> window_;
  uint64_t ticket_;
};

std::shared_ptr<const void> EventWindow::hold(int64_t revision, size_t bytes) {
  uint64_t ticket = 0;
  {
    std::lock_guard lock(mutex_);
    ticket = kept_.hold(revision, bytes);
    count_late(revision);
  }
  return std::make_shared<Hold>(shared_from_this(), ticket);
}

int64_t EventWindow::records(const std::function<void(const Record&)>& fn) const {
  auto now = snapshot();
  const MemoryMap& map = static_cast<const MapSnapshot&>(*now).map();
  map.scan("", "", [&fn](const RecordPtr& r) {
    fn(*r);
    return true;
  });
  return now->revision();
}

Task<Result<std::shared_ptr<const StoreSnapshot>>> EventWindow::snapshot_at_least(
    Context ctx, int64_t revision) {
  auto self = shared_from_this();
  Waiter waiter;
  waiter.loop = &ctx.loop();
  waiter.revision = revision;
  std::optional<Context::Hook> hook;
  for (;;) {
    std::unique_lock lock(mutex_);
    if (revision_ >= revision) break;
    if (!closed_.ok()) co_return closed_;
    if (ctx.done()) co_return ctx.status();
    if (!hook) {
      lock.unlock();
      EventWindow* window = this;
      Waiter* w = &waiter;
      hook.emplace(ctx, [window, w] {
        Wakes wakes;
        {
          std::lock_guard guard(window->mutex_);
          window->revision_waiters_.remove(w);
          window->wake(*w, wakes);
        }
        resume(std::move(wakes));
      });
      continue;
    }
    revision_waiters_.push_back(&waiter);
    WaitForWake wait{this, &waiter, &lock};
    co_await wait;
  }
  hook.reset();
  co_return snapshot();
}

Status EventWindow::expired(int64_t revision, int64_t oldest) {
  return Status::expired("too old resource version: " + std::to_string(revision) + " (" +
                         std::to_string(oldest) + ")");
}

Result<std::unique_ptr<StoreWatch>> EventWindow::watch(Loop& loop, std::string prefix,
                                                       int64_t revision, WatchPart part) {
  std::lock_guard lock(mutex_);
  if (!closed_.ok()) return closed_;
  shrink_to_held();
  if (revision < oldest_) return expired(revision, oldest_);
  std::deque<StoreEventPtr> backlog;
  auto from = std::upper_bound(events_.begin(), events_.end(), revision,
                               [](int64_t r, const Remembered& e) { return r < e.revision; });
  for (; from != events_.end(); ++from) {
    StoreEventPtr e = from->event.lock();
    if (!e) return expired(revision, from->revision);  // let go a moment ago
    if (e->key.starts_with(prefix)) backlog.push_back(std::move(e));
  }
  const std::shared_ptr<Group> group = group_of(prefix, std::move(part));
  auto w = std::make_unique<Watcher>();
  w->group = group;
  w->at = group->end();
  w->after = revision;
  w->progress = revision;
  w->waiter.loop = &loop;
  w->backlog = std::move(backlog);
  w->id = ++last_watcher_;
  group->members[w->id] = w.get();
  return std::unique_ptr<StoreWatch>(std::make_unique<Handle>(shared_from_this(), std::move(w)));
}

int64_t EventWindow::revision() const {
  std::lock_guard lock(mutex_);
  return revision_;
}

int64_t EventWindow::oldest_revision() const {
  std::lock_guard lock(mutex_);
  return oldest_;
}

}  // namespace keles
