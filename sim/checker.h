// Checker: what must hold in every world at every moment, seen straight at the store; and
// RecordingStore, which stands between the API server and its store and tells the checker of every
// acknowledgement.
//
// Always: acknowledged writes survive; revisions rise; the watch misses nothing; a pod is bound
// once; no two live pods of the cluster have one address; the pods bound to a node fit it; no quota
// is exceeded; no device is allocated twice, no volume attached to two nodes; a uid names one
// object for ever; a budget of disruption is spent for every ready pod that is evicted, one at a
// time and never below nothing; what a Job has completed stays completed, and no pod is made for an
// index that is. It also folds every event into the seed's trace hash.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "machinery/labels.h"
#include "store/store.h"

namespace keles::sim {

class Checker {
 public:
  explicit Checker(Loop& loop) : loop_(loop) {}

  // A new life of the store begins: it must hold what was acknowledged.
  void opened(const Store& store);
  // Follows the store's events until ctx ends.
  Task<void> follow(Context ctx, Store* store);
  // The followed state must be the store's (call when follow() is level).
  void compare(const Store& store);

  // By RecordingStore.
  void acknowledged(const std::string& key, int64_t revision, bool deleted);
  void in_doubt(const std::string& key) { in_doubt_.insert(key); }

  void violation(std::string what);
  const std::vector<std::string>& violations() const { return violations_; }
  uint64_t trace_hash() const { return hash_; }
  size_t events() const { return events_; }
  // Writes since mark_quiet() to anything but Leases, as "resource key".
  void mark_quiet() {
    quiet_writes_.clear();
    quiet_ = true;
  }
  const std::vector<std::string>& quiet_writes() const { return quiet_writes_; }
  // Prints every event.
  bool verbose = false;
  std::string show;  // with the whole object, of keys that hold this
  // Requests may act long after their senders gave up, bindings too: then a node may be promised
  // too much, and only what runs there must fit.
  bool late_requests = false;
  // Servers hear of each other's writes late, and so does who makes up its mind by what they tell.
  bool late_news = false;

 private:
  struct Seen {
    int64_t revision = 0;
    std::string uid;
  };
  struct Pod {
    std::string uid, node, ip;
    bool live = false;  // neither Succeeded nor Failed
    bool runs = false;
    bool ready = false, evicted = false, succeeded = false, leaving = false;
    std::string job_index;  // "UID of its Job/index", or ""
    ObjectPtr object;
    int64_t cpu_milli = 0, memory = 0;
  };
  struct Node {
    int64_t cpu_milli = 0, memory = 0, pods = 0;
  };
  struct Budget {
    std::string uid;
    Selector selector;
    TimePoint since;  // of this selector
    int64_t allowed = 0;
    std::set<std::string> disrupted;
  };
  void on_event(const StoreEvent& e);
  void put(std::string_view key, const ObjectPtr& object);
  void take_away(std::string_view key);
  void check_pod(const std::string& key, const Pod* before, const Pod& now);
  void check_eviction(const std::string& key, const Pod& before, const Pod& now);
  void check_index(const std::string& key, const Pod& now);
  void check_budget(const std::string& key, const ObjectPtr& object);
  void check_job(const std::string& key, const ObjectPtr& object);
  void check_fit(const std::string& node);
  void check_devices(const std::string& key, const ObjectPtr& object);
  void check_attachment(const std::string& key, const ObjectPtr& object);
  void check_quotas(const std::string& key, const ObjectPtr& object);
  void fold(std::string_view bytes);
  void fold(int64_t number);

  Loop& loop_;
  std::map<std::string, Seen, std::less<>> model_;
  bool reopening_ = false;  // what is put was made before
  std::map<std::string, Pod, std::less<>> pods_;
  std::map<std::string, Node, std::less<>> nodes_;
  std::map<std::string, Budget, std::less<>> budgets_;
  std::map<std::string, int64_t> completed_;  // by a Job's uid
  // By a claim's key: the devices that it has; by an attachment's key: the volume, if attached.
  std::map<std::string, std::set<std::string>> devices_;
  std::map<std::string, std::string> attached_;
  // The most that there may be below a key's prefix ("/registry/secrets/NS/"), by some quota.
  std::map<std::string, int64_t> rations_;
  std::map<std::string, std::string> uids_;   // uid -> key, for ever
  std::map<std::string, std::string> bound_;  // pod uid -> node, for ever
  int64_t revision_ = 0;
  struct Ack {
    int64_t revision = 0;
    bool deleted = false;
  };
  std::map<std::string, Ack> acknowledged_;
  std::set<std::string> in_doubt_;
  int64_t highest_acknowledged_ = 0;
  std::vector<std::string> violations_;
  bool quiet_ = false;
  std::vector<std::string> quiet_writes_;
  size_t events_ = 0;
  uint64_t hash_ = fnv1a_64("");
};

// Passes everything on. Must outlive the calls made through it.
class RecordingStore final : public Store {
 public:
  RecordingStore(std::unique_ptr<Store> store, Checker* checker)
      : store_(std::move(store)), checker_(checker) {}
  Task<Result<ObjectPtr>> write(Context ctx, StoreWrite w) override;
  std::shared_ptr<const StoreSnapshot> snapshot() const override { return store_->snapshot(); }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> snapshot_at_least(Context ctx,
                                                                       int64_t revision) override {
    return store_->snapshot_at_least(std::move(ctx), revision);
  }
  Result<std::unique_ptr<StoreWatch>> watch(Loop& loop, std::string prefix, int64_t revision,
                                            WatchPart part) override {
    return store_->watch(loop, std::move(prefix), revision, std::move(part));
  }
  Task<Result<std::shared_ptr<const StoreSnapshot>>> newest(Context ctx) override {
    return store_->newest(std::move(ctx));
  }
  bool shared() const override { return store_->shared(); }
  int64_t revision() const override { return store_->revision(); }
  int64_t oldest_revision() const override { return store_->oldest_revision(); }
  void keep(std::shared_ptr<const StoreSnapshot> snapshot) override {
    store_->keep(std::move(snapshot));
  }
  std::shared_ptr<const StoreSnapshot> kept(int64_t revision) const override {
    return store_->kept(revision);
  }
  void forget_kept(int64_t revision) override { store_->forget_kept(revision); }
  void compact(int64_t revision) override { store_->compact(revision); }
  Status writable() const override { return store_->writable(); }
  Task<Status> remove_unreadable(Context ctx, std::string key) override {
    return store_->remove_unreadable(std::move(ctx), std::move(key));
  }
  Contents contents() const override { return store_->contents(); }
  Task<Status> close(Context ctx) override { return store_->close(std::move(ctx)); }
  Store& inner() { return *store_; }
  // Lets the inner store go, as a crash does: writes under way report failure to their writers.
  void crash() { store_.reset(); }

 private:
  std::unique_ptr<Store> store_;
  Checker* checker_;
};

}  // namespace keles::sim
