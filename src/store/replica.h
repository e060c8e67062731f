// Replica: a Store in memory over a Backend: the memory map, the event window, and what cannot be
// read. It follows the backend's changes and decides nothing: conditions and revisions are the
// backend's. What readers see is what the backend has told, whole batch by whole batch.
//
// An object is prepared on its writer's thread, before it is committed, and gets its revision when
// the change comes back; one that somebody else wrote is made from its bytes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/backend.h"
#include "store/event_window.h"
#include "store/memory_map.h"
#include "store/sealing.h"
#include "store/store.h"

namespace keles {

// The kind that a stored object is of; null when unknown. A custom resource's is not asked for: its
// record (JSON) is read before its definition is, see Object::from_json.
using KindResolver =
    std::function<const KindDesc*(std::string_view api_version, std::string_view kind)>;

struct ReplicaOptions {
  EventWindow::Limits window;
  KindResolver find_kind;  // empty: the built-in kinds
};

// The object that the stored bytes are, or why they cannot be read.
Result<ObjectPtr> read_stored(const KindResolver& find_kind, Bytes stored, int64_t revision);

class Replica final : public Store, public Sealing, private Follower {
 public:
  Replica(ReplicaOptions options, std::unique_ptr<Backend> backend);
  ~Replica() override;
  Replica(const Replica&) = delete;

  Task<Result<ObjectPtr>> write(Context ctx, StoreWrite w) override;
  std::shared_ptr<const StoreSnapshot> snapshot() const override { return window_->snapshot(); }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at_least(Context ctx,
                                                                       int64_t revision) override {
    return window_->snapshot_at_least(std::move(ctx), revision);
  }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> newest(Context ctx) override;
  bool shared() const override { return shared_; }
  Result<std::unique_ptr<StoreWatch>> watch(Loop& loop, std::string prefix, int64_t revision,
                                            WatchPart part = {}) override {
    return window_->watch(loop, std::move(prefix), revision, std::move(part));
  }
  int64_t revision() const override { return window_->revision(); }
  int64_t oldest_revision() const override { return window_->oldest_revision(); }
  void compact(int64_t revision) override { window_->compact(revision); }
  void keep(std::shared_ptr<const StoreSnapshot> snapshot) override { window_->keep(snapshot); }
  std::shared_ptr<const StoreSnapshot> kept(int64_t revision) const override {
    return window_->kept(revision);
  }
  void forget_kept(int64_t revision) override { window_->forget_kept(revision); }
  Status writable() const override { return backend_->writable(); }
  bool stale(std::string_view key) const override { return sealing_ && sealing_->stale(key); }
  Sealer sealer() const override { return sealing_ ? sealing_->sealer() : Sealer(); }
  Task<Status> remove_unreadable(Context ctx, std::string key) override;
  Contents contents() const override;
  Task<Status> close(Context ctx) override;

 private:
  struct Pending;
  struct Unreadable {
    std::string reason;
    Change change;      // what is stored, when the backend could decode that
    std::string value;  // else the damaged bytes
  };
  using UnreadableMap = std::map<std::string, Unreadable, std::less<>>;

  void restart(Contents contents) override;
  void apply(std::vector<Change> changes, int64_t revision) override;
  bool take(Change& c, MemoryMap::Edit& edit, std::vector<StoreEventPtr>& events);
  ObjectPtr make_object(Change& c);
  void hide(Change c, std::string reason);
  bool forget_unreadable(const std::string& key);
  EventWindow::Hidden hidden() const;
  std::optional<std::string> why_unreadable(const std::string& key) const;
  Task<Result<ObjectPtr>> after_commit(Context ctx, std::shared_ptr<Pending> pending,
                                       Committed committed);

  ReplicaOptions options_;
  std::shared_ptr<EventWindow> window_;
  MemoryMap map_;  // the stream's alone
  mutable std::mutex mutex_;
  UnreadableMap unreadable_;  // under the mutex; changed by the stream alone
  std::string identity_;      // likewise
  std::unique_ptr<Backend> backend_;
  const Sealing* const sealing_;  // the backend, if it is one that seals; else null
  const bool shared_;
};

}  // namespace keles
