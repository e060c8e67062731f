// EventWindow: what readers see of a store: the published snapshot, those kept of the past, the
// window of recent events, and the watchers. Writers publish a batch; readers take snapshots and
// wait for events.
//
// An event is made once and shared by everyone. Watchers of one prefix share one queue of pending
// events and differ only in their place in it, so that a further watcher costs an event one pointer
// copy; a batch wakes each loop once. Those of a part of a prefix (WatchPart) are found by the value
// that they wait for. A watcher whose next event has left the window is expired.
// Thread-safe. Held by shared pointer: watchers and waiting coroutines may outlive the store.
#pragma once

#include <coroutine>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/context.h"
#include "store/kept_snapshots.h"
#include "store/memory_map.h"
#include "store/store.h"

namespace keles {

using StoreEventPtr = std::shared_ptr<const StoreEvent>;

// `before` is the state of the key until now (null: added), `after` its new state (deletion: the
// last state with the deletion's revision). `key` is kept alive by the event.
StoreEventPtr make_store_event(StoreEvent::Type type, KeyPtr key, ObjectPtr object,
                               ObjectPtr before);

class EventWindow : public std::enable_shared_from_this<EventWindow> {
 public:
  struct Limits {
    size_t events = 100'000;
    size_t bytes = 32u << 20;  // of the events and of states that only they hold
    // Holds the events, the states that they replaced, and snapshots that are kept; outlives the
    // window. Null: one of the window's own, of kOwnBudget.
    Budget* budget = nullptr;
  };
  static constexpr size_t kOwnBudget = 32u << 20;
  EventWindow(Limits limits, MemoryMap map, int64_t revision);
  // In key order; null when there are none.
  using Hidden = std::shared_ptr<const std::vector<UnreadableRecord>>;

  // Makes a batch visible: the map as it is now, and its events in revision order. `left_behind`:
  // bytes of map nodes that it replaced (MemoryMap::Edit), watched up to watched_edit().
  void publish(MemoryMap map, int64_t revision, std::vector<StoreEventPtr> events,
               size_t left_behind = 0);
  uint64_t watched_edit() const;
  // As if everything before had been forgotten: a state that cannot be told as events. Whoever
  // watches is expired and lists anew; no snapshot is kept. `hidden`: what is stored then and is
  // not in the map.
  void restart(MemoryMap map, int64_t revision, Hidden hidden);
  void compact(int64_t revision);
  // Ends every watcher and waiter with `why`.
  void close(Status why);

  std::shared_ptr<const StoreSnapshot> snapshot() const;
  // Store's members of these names.
  void keep(const std::shared_ptr<const StoreSnapshot>& snapshot);
  std::shared_ptr<const StoreSnapshot> kept(int64_t revision) const;
  void forget_kept(int64_t revision);
  // Calls `fn` for each record of what is published now, in key order; its revision.
  int64_t records(const std::function<void(const Record&)>& fn) const;
  // Counts in the budget, until the pointer goes, what somebody holds of the state of `revision`,
  // which is published or was a moment ago, and `bytes` of his own.
  std::shared_ptr<const void> hold(int64_t revision, size_t bytes);
  Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at_least(Context ctx,
                                                                       int64_t revision);
  Result<std::unique_ptr<StoreWatch>> watch(Loop& loop, std::string prefix, int64_t revision,
                                            WatchPart part = {});
  int64_t revision() const;
  int64_t oldest_revision() const;

 private:
  struct Group;    // the watchers of one prefix, or of one part of it
  struct Watcher;  // one of them
  class Handle;    // what its reader holds
  class Hold;      // what hold() gives
  struct Waiter {  // a suspended coroutine
    Loop* loop = nullptr;
    std::coroutine_handle<> h;
    bool waiting = false;  // under mutex_; cleared by whoever will resume it
    int64_t revision = 0;  // snapshot_at_least
  };
  using Wakes = std::vector<std::pair<Loop*, std::vector<std::coroutine_handle<>>>>;
  struct WaitForWake;

  static void resume(Wakes wakes);
  void wake(Waiter& w, Wakes& wakes);
  void append_to_groups(const StoreEventPtr& e, Wakes& wakes);
  void append(Group& g, const StoreEventPtr& e, Wakes& wakes);
  void append_with_parts(Group& g, const StoreEventPtr& e, Wakes& wakes);
  void for_each_group(const std::function<void(Group&)>& fn);
  std::shared_ptr<Group> group_of(const std::string& prefix, WatchPart part);
  void leave(const std::shared_ptr<Group>& group, uint64_t watcher);
  void shrink(size_t events);
  void show(MemoryMap map, int64_t revision, Hidden hidden);
  void wake_revision_waiters(Wakes& wakes);
  void shrink_to_held();
  void count_late(int64_t revision);
  void trim(Group& g);
  static Status expired(int64_t revision, int64_t oldest);

  // The budget alone keeps an event that no watcher waits to read.
  struct Remembered {
    int64_t revision;
    size_t bytes;
    std::weak_ptr<const StoreEvent> event;
    Budget::Charge held;
  };

  const Limits limits_;
  Budget own_budget_{kOwnBudget};
  Budget& budget_;
  mutable std::mutex snapshot_mutex_;  // held for one pointer copy: reads do not wait for writers
  std::shared_ptr<const StoreSnapshot> snapshot_;
  Hidden hidden_;  // the stream's alone

  mutable std::mutex mutex_;  // everything below
  int64_t revision_;          // published
  int64_t oldest_;            // events after this one are in the window
  std::deque<Remembered> events_;
  size_t bytes_ = 0;  // of events_
  KeptSnapshots kept_;
  Status closed_;
  std::map<std::string, std::shared_ptr<Group>, std::less<>> groups_;
  std::map<std::string, Group*> odd_groups_;  // those whose prefix ends inside a path element
  uint64_t last_watcher_ = 0;
  std::list<Waiter*> revision_waiters_;
};

}  // namespace keles
