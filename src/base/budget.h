// Budget: how many bytes the caches of a process may hold together. A cache keeps what it has made
// by a weak pointer, or by an Item that knows its place; the budget alone keeps it alive, and lets
// the oldest go when room is wanted.
//
// There are three sides: what was made for readers (encoded forms, trees), the events remembered
// for watchers, and the states of the past that paged lists go on with. Each may use what the
// others leave; when there is no room, the one that holds most gives its oldest, so that a burst of
// reading does not make watchers begin anew. Thread-safe; nothing is destroyed under its lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace keles {

class Budget {
 public:
  enum class Side : uint8_t { kForms, kHistory, kSnapshots };
  class Item;
  class Charge;

  explicit Budget(size_t limit) : limit_(limit) {}
  ~Budget();
  Budget(const Budget&) = delete;

  // Holds `what`, which costs so many bytes, until it is the oldest and room is wanted, or until
  // the charge is destroyed. The budget outlives the charge.
  Charge hold(Side side, std::shared_ptr<const void> what, size_t bytes);
  // The same for a cache that has many things and wants nothing left of those that are let go.
  void hold(Side side, Item* item, size_t bytes);
  // Deletes the items that are still there. A slot is emptied by its item's let_go() alone.
  void release(std::span<std::atomic<Item*>> slots);
  // Counts so many bytes that somebody holds and cannot let go (a backup that is under way): the
  // caches have so much less room until the charge is destroyed.
  Charge reserve(size_t bytes);
  // Time, as the budget counts it: what is held from now on is of the next tick.
  void tick();
  // Lets what is at least so many ticks old go, as long as the side holds more than `floor` bytes.
  // Returns the bytes let go.
  size_t age(Side side, uint32_t ticks, size_t floor);
  size_t used() const;
  size_t used(Side side) const;
  size_t limit() const;
  void set_limit(size_t limit);

 private:
  struct Entry;
  struct List {
    Item* first = nullptr;  // the oldest
    Item* last = nullptr;
    size_t bytes = 0;
  };
  using Dropped = std::vector<std::shared_ptr<const void>>;  // destroyed without the lock
  void link(Side side, Item* item, size_t bytes);
  void unlink(Item* item);
  size_t total() const;
  void shed(Dropped& out);
  void resize(Entry* e, size_t bytes);
  void release(Entry* e);
  bool holds(const Entry* e) const;

  mutable std::mutex mutex_;
  size_t limit_;
  uint32_t now_ = 0;
  List sides_[3];
  size_t reserved_ = 0;
};

class Budget::Item {
 public:
  Item() = default;
  Item(const Item&) = delete;
  virtual ~Item() = default;

 private:
  friend class Budget;
  // It is out of the budget: called under the budget's lock, which is to be taken before any other;
  // may delete itself. Gives what is to be destroyed, which is done without the lock.
  virtual std::shared_ptr<const void> let_go() = 0;
  Item* before_ = nullptr;
  Item* after_ = nullptr;
  size_t bytes_ = 0;
  uint32_t born_ = 0;
  Side side_ = Side::kForms;
};

// What a cache holds of a budget, as long as it wants it. Movable; empty when default made.
class Budget::Charge {
 public:
  Charge() = default;
  Charge(Charge&& o) noexcept
      : budget_(std::exchange(o.budget_, nullptr)), entry_(std::exchange(o.entry_, nullptr)) {}
  Charge& operator=(Charge&& o) noexcept {
    Charge old(std::move(*this));
    budget_ = std::exchange(o.budget_, nullptr);
    entry_ = std::exchange(o.entry_, nullptr);
    return *this;
  }
  ~Charge() {
    if (entry_) budget_->release(entry_);
  }
  // It costs so much by now. To make room, anything may be let go, itself included.
  void resize(size_t bytes) {
    if (entry_) budget_->resize(entry_, bytes);
  }
  // Whether the budget still keeps it alive.
  bool held() const { return entry_ && budget_->holds(entry_); }

 private:
  friend class Budget;
  Charge(Budget* budget, Entry* entry) : budget_(budget), entry_(entry) {}
  Budget* budget_ = nullptr;
  Entry* entry_ = nullptr;
};

// The process's own: small until a server says otherwise (16 MB).
Budget& process_budget();

}  // namespace keles
