// The keys and values of an etcd member, at every revision since the last compaction: transactions
// one after the other, each durable before anybody is told of it or sees what it did.
//
// A transaction is decided in memory at once, on what those before it left, durable or not; its
// answer waits (settled()) until its batch is on the disk. Reads go the same way, so that nobody
// reads what may yet be lost. One fsync serves all that came while the one before was under way.
//
// One loop's thread. After a failed write nobody knows what the disk holds: `failed` is called and
// nothing more is answered; who runs the member ends it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/context.h"
#include "base/sync.h"
#include "etcd/disk.h"
#include "etcd/key_index.h"

namespace keles::etcdserver {

// One key's change, as watchers are told of it.
struct Event {
  bool deleted = false;
  Revision at;
  std::string key;
  std::string kv;        // mvccpb.KeyValue
  std::string previous;  // likewise; "": there was none
};
using EventPtr = std::shared_ptr<const Event>;

class Mvcc {
 public:
  struct Hooks {
    Hooks() = default;
    // What became durable, in order, and the revision up to which.
    std::function<void(const std::vector<EventPtr>&, int64_t revision)> told;
    std::function<void(Status)> failed;
    // Which keys a lease holds, as changes are decided; also at the opening. id 0: none.
    std::function<void(std::string_view key, int64_t before, int64_t now)> attached;
  };
  // Reads all keys. Blocking. `disk` outlives it.
  static Result<std::unique_ptr<Mvcc>> open(Loop& loop, Disk& disk, Hooks hooks);
  Mvcc(Loop& loop, Disk& disk, Hooks hooks)
      : loop_(loop), disk_(disk), hooks_(std::move(hooks)), root_(Context::root(loop).child()) {}
  Mvcc(const Mvcc&) = delete;
  // To be awaited before it is destroyed: what was given to the disk has been answered.
  Task<void> stop();

  int64_t revision() const { return revision_; }  // decided
  int64_t durable() const { return durable_; }    // told
  int64_t compacted() const { return compacted_; }
  const KeyIndex& index() const { return index_; }

  // The stored bytes of a version: mvccpb.KeyValue. Reads the disk unless it was written just now.
  Result<std::string> stored(Revision at) const;

  // A transaction: begin() to end(), without a wait in between. All changes have one revision.
  class Write {
   public:
    explicit Write(Mvcc& owner) : owner_(owner) {}
    // Where this transaction's changes are; it sees its own.
    int64_t revision() const { return owner_.revision_ + (events_.empty() ? 0 : 1); }
    void put(std::string_view key, std::string_view value, int64_t lease);
    // How many keys went.
    int64_t remove(const KeyRange& keys);
    // A record that is no key: of a lease, of the member.
    void record(std::string key, std::optional<std::string> value);
    void end();

   private:
    void add(std::string_view key, const Version& v, std::string kv);
    Mvcc& owner_;
    std::vector<EventPtr> events_;
    bool ended_ = false;
  };

  // Until everything that was decided up to now is durable.
  Task<Status> settled(Context ctx);

  // Keeps what is read from being removed beneath the reader by a compaction.
  class Reading {
   public:
    explicit Reading(Mvcc& owner) : owner_(owner), turn_(++owner.turns_) {
      owner_.reading_.insert(turn_);
    }
    Reading(const Reading&) = delete;
    ~Reading() { owner_.reading_.erase(turn_); }

   private:
    Mvcc& owner_;
    const uint64_t turn_;
  };

  // kExpired: it was, or is to come. The states go from the disk by and by.
  Status compact(int64_t revision);
  // Until no compacted state is left on the disk.
  Task<Status> swept(Context ctx);

 private:
  friend class Write;
  struct Batch {
    std::vector<DiskWrite> writes;
    std::vector<EventPtr> events;
    int64_t revision = 0;
    std::shared_ptr<keles::Event> done = std::make_shared<keles::Event>();
  };
  void give_soon();
  void give();
  void written(Status s);
  Task<void> sweep();

  Loop& loop_;
  Disk& disk_;
  Hooks hooks_;
  Context root_;
  KeyIndex index_;
  int64_t revision_ = 1, durable_ = 1, compacted_ = -1;
  Batch gathering_, under_way_;
  bool writing_ = false, scheduled_ = false, failed_ = false;
  std::unordered_map<std::string, std::string> young_;  // stored and not durable yet, by disk key
  uint64_t turns_ = 0;
  std::set<uint64_t> reading_;
  std::deque<std::string> waste_;  // disk keys of compacted states
  bool sweeping_ = false;
  keles::Event clean_;
  std::unique_ptr<TaskGroup> tasks_ = std::make_unique<TaskGroup>(loop_);
  std::shared_ptr<Mvcc*> self_ = std::make_shared<Mvcc*>(this);
};

}  // namespace keles::etcdserver
