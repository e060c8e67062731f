// KeptSnapshots: states of the past that somebody will come back to, by a continue token or because
// a backup of one is still being written, each charged to a budget for what it holds beyond the
// newest state.
//
// A state that a write replaced is charged to the newest kept snapshot that shows it: older ones
// may hold it, too, newer ones do not. So once the oldest goes, all that it was charged with is
// free. When another goes first, its charge goes to the next older one, which may hold as much.
// Not thread-safe: the event window's, under its mutex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "base/budget.h"
#include "store/memory_map.h"
#include "store/store.h"

namespace keles {

// What a state of a key costs, roughly: its record, its object, its stored bytes.
size_t state_cost(const Object& state);

class KeptSnapshots {
 public:
  using SnapshotPtr = std::shared_ptr<const StoreSnapshot>;
  static constexpr size_t kLeast = 4096;  // of each, which so bounds how many there are

  explicit KeptSnapshots(Budget& budget) : budget_(budget) {}
  // Kept until the budget wants the room, the oldest first, or until it is forgotten. `map` is the
  // snapshot's own. False: one of that revision is kept already.
  bool keep(SnapshotPtr snapshot, const MemoryMap& map);
  // Counts the objects that somebody holds of the state of `revision`, and `bytes` of his own,
  // until let_go(the ticket). The budget cannot let it go.
  uint64_t hold(int64_t revision, size_t bytes);
  void let_go(uint64_t ticket);

  SnapshotPtr find(int64_t revision) const;
  // Forgets those kept of before `revision`, not those held.
  void forget(int64_t revision);
  void clear() { forget(INT64_MAX); }

  // The write of `revision` replaced this state.
  void replaced(int64_t revision, const Object& before);
  // The same of a write that came before the snapshot of revision `kept` was kept. What an older
  // one shows, too, is counted twice.
  void replaced_since(int64_t kept, int64_t revision, const Object& before);
  // It left map nodes of so many bytes behind that the newest kept one shows.
  void nodes_replaced(int64_t revision, size_t bytes);
  // After the writes of a batch: tells the budget.
  void settle();
  // Map nodes of this edit and before are shown by the newest kept one; 0: there is none.
  uint64_t newest_edit() const;

 private:
  struct Kept {
    uint64_t edit = 0;    // the map's last; 0: no map is held
    uint64_t ticket = 0;  // 0: kept; else held
    size_t own = kLeast, beyond = 0;
    bool told = true;  // the budget knows both
    std::weak_ptr<const StoreSnapshot> snapshot;
    Budget::Charge charge;
    void count(size_t bytes);
  };
  using Map = std::multimap<int64_t, Kept>;  // by revision
  Map::iterator shown_before(int64_t revision);
  Map::iterator drop(Map::iterator at);
  void drop_let_go();

  Budget& budget_;
  Map all_;
  uint64_t last_ticket_ = 0;
};

}  // namespace keles
