// Store: the cluster's state: an ordered map from key to Object with one revision counter and a
// window of recent events. It is a replica in memory (replica.h) of what a backend (backend.h)
// makes durable before it is acknowledged.
//
// The shapes of transaction are the four that Kubernetes uses: create if absent, update if
// unchanged, delete if unchanged, and read. Keys and stored bytes are upstream's
// (/registry/pods/NS/NAME, protobuf envelope), so that data moves between keles and etcd unchanged.
//
// Threads: every member may be called from any thread; coroutines resume on ctx.loop(). Reads never
// wait for writers. A write is visible to reads and watches only once it is durable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"
#include "machinery/object_run.h"
#include "store/backend.h"

namespace keles {

struct StoreWrite {
  enum class If : uint8_t { kAbsent, kRevision };  // the condition
  std::string key;
  If condition = If::kAbsent;
  int64_t revision = 0;  // kRevision: the revision that the key must have now
  const KindDesc* kind = nullptr;
  Bytes stored;                  // null: delete
  std::optional<Document> tree;  // the tree that `stored` was encoded from, to keep warm
  bool patient = false;          // see Transaction
};

struct StoreEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted };
  Type type;
  std::string_view key;  // lives as long as `object` / `before`
  int64_t revision;
  ObjectPtr object;  // deleted: the last state, carrying the revision of its deletion
  ObjectPtr before;  // modified: the state before (selectors need it); deleted: likewise
};

// A stored object that cannot be read (damaged, or of a kind that nobody knows).
struct UnreadableRecord {
  std::string key, reason;
};

// An immutable view of the whole map at one revision; cheap to copy.
class StoreSnapshot {
 public:
  virtual ~StoreSnapshot() = default;
  virtual int64_t revision() const = 0;
  virtual ObjectPtr get(std::string_view key) const = 0;
  // Calls `fn` in key order for keys >= `from` that start with `prefix`, until it returns false.
  virtual void scan(
      std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view key, const ObjectPtr&)>& fn) const = 0;
  virtual size_t count(std::string_view prefix) const = 0;
  // What scan(prefix, prefix) finds, as stretches of objects that lie together: states in which
  // none of a run's objects changed share the run, and with it the forms that lists are made of.
  // nullopt: there are none here, and it is to be scanned.
  virtual std::optional<std::vector<ObjectStretch>> stretches(std::string_view) const {
    return std::nullopt;
  }
  // Those whose keys start with `prefix`, in key order: no get and no scan meets them. Whoever
  // would decide wrongly without them asks unreadable.h.
  virtual std::vector<UnreadableRecord> unreadable(std::string_view prefix) const = 0;
};

// One watcher's queue of events, filled by the store, emptied by its reader.
class StoreWatch {
 public:
  virtual ~StoreWatch() = default;
  // Waits until there are events (or ctx ends) and takes up to `limit` of them, in revision order.
  // kExpired when the watcher fell behind the window; it is then over.
  virtual Task<Result<std::vector<std::shared_ptr<const StoreEvent>>>> next(Context ctx,
                                                                            size_t limit) = 0;
  // Every event up to and including this revision has been handed out (for bookmarks).
  virtual int64_t progress() const = 0;
};

// Of a prefix's events those of objects that have `value` in `field`, or had it before: many
// watchers that differ in the value alone cost a write as much as one does (each node's agent
// watches the pods of its node).
struct WatchPart {
  std::string field;  // names `of`, which is one and the same for a prefix; "": the whole
  std::function<std::string(const Object&)> of;  // pure and quick; any thread
  std::string value;
};

class Store {
 public:
  virtual ~Store() = default;
  // The stored object with its new revision (delete: the deleted object with the deletion's
  // revision). kAlreadyExists / kNotFound / kConflict when the condition does not hold (`current`
  // then holds what is there, in the Status's place: read snapshot()). kOutcomeUnknown when
  // durability is in doubt.
  virtual Task<Result<ObjectPtr>> write(Context ctx, StoreWrite w) = 0;
  virtual std::shared_ptr<const StoreSnapshot> snapshot() const = 0;
  // A snapshot at least as new as `revision`; kTimeout when it is not reached in time.
  virtual Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at_least(
      Context ctx, int64_t revision) = 0;
  // Events of keys that start with `prefix`, after `revision`. kExpired when that is before the
  // window. With a `part`, events of the past may be others', too; what is still to come is not.
  virtual Result<std::unique_ptr<StoreWatch>> watch(Loop& loop, std::string prefix,
                                                    int64_t revision, WatchPart part = {}) = 0;
  // A snapshot that holds every write that anybody was told of before the call. snapshot() is one
  // by itself unless the store is shared with other processes; it is one when this has answered.
  virtual Task<Result<std::shared_ptr<const StoreSnapshot>>> newest(Context ctx) = 0;
  virtual bool shared() const = 0;  // never changes
  virtual int64_t revision() const = 0;
  virtual int64_t oldest_revision() const = 0;  // the window's start
  // Keeps a snapshot for who comes back to it (a list's next page) while the budget has room for
  // what it holds beyond the newest state, the oldest going first. Only one of this store's own.
  virtual void keep(std::shared_ptr<const StoreSnapshot> snapshot) = 0;
  // The kept one of exactly this revision; null when there is none (any more).
  virtual std::shared_ptr<const StoreSnapshot> kept(int64_t revision) const = 0;
  // Forgets those kept that are older.
  virtual void forget_kept(int64_t revision) = 0;
  // Forgets events up to `revision` (what an operator's compaction does; tests use it too).
  virtual void compact(int64_t revision) = 0;
  // The snapshot's. Their keys cannot be written, only removed (kNotFound when there is none of
  // that key). No event tells that one came or went: whoever watches is expired then, and lists
  // anew.
  std::vector<UnreadableRecord> unreadable(std::string_view prefix) const {
    return snapshot()->unreadable(prefix);
  }
  virtual Task<Status> remove_unreadable(Context ctx, std::string key) = 0;
  // The whole state as it is stored, at one revision, what cannot be read included: for a backup.
  virtual Contents contents() const = 0;
  // OK, or why writes are refused (after one that could not be made durable, until the disk can be
  // written again).
  virtual Status writable() const = 0;
  // Flushes and stops; further writes fail.
  virtual Task<Status> close(Context ctx) = 0;
};

// Opens the embedded store in `directory` (made when absent), reading everything into memory.
// Blocking.
struct EmbeddedOptions {
  std::string directory;
  // Names the store's identity, outside of `directory` (beside the certificates): written at the
  // first opening, compared at each later one. "": not looked at.
  std::string identity_file;
  size_t event_window = 100'000;          // events kept for watchers that come back, and at most
  size_t event_window_bytes = 32u << 20;  // this much of states that only those events hold
};
Result<std::unique_ptr<Store>> open_embedded_store(const EmbeddedOptions& options);

// Failures: a write whose fsync failed reports kOutcomeUnknown; the store then serves reads of what
// was durable before and refuses writes (kServiceUnavailable) while it opens the disk anew, because
// after a failed fsync only a fresh read shows what the disk holds. Opened on a full disk, it
// serves reads likewise. A directory that another process has open is refused with
// kServiceUnavailable and that process's id; one that ends before what it acknowledged (a cut or
// missing write-ahead log), or whose store is gone while `identity_file` is there, with the remedy.

// The simulated disk and store live in store/sim/sim_store.h.

}  // namespace keles
