// Budget: how many bytes the caches of a process may hold together. A cache keeps what it has made
// by a weak pointer; the budget alone keeps it alive, and lets the oldest go when room is wanted.
//
// There are two sides, what was made for readers (encoded forms, trees) and what is remembered for
// them (events, states of the past). Each may use what the other leaves; when there is no room, the
// one that holds more than its half gives its oldest: a burst of reading does not make watchers
// begin anew. Thread-safe; nothing is destroyed under its lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace keles {

class Budget {
 public:
  enum class Side : uint8_t { kForms, kHistory };
  class Charge;

  explicit Budget(size_t limit) : limit_(limit) {}
  ~Budget();
  Budget(const Budget&) = delete;

  // Holds `what`, which costs so many bytes, until it is the oldest and room is wanted, or until
  // the charge is destroyed. The budget outlives the charge.
  Charge hold(Side side, std::shared_ptr<const void> what, size_t bytes);
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
    Entry* first = nullptr;  // the oldest
    Entry* last = nullptr;
    size_t bytes = 0;
  };
  using Dropped = std::vector<std::shared_ptr<const void>>;  // destroyed without the lock
  static void unlink(List& list, Entry* e);
  void shed(Dropped& out);
  void release(Entry* e);
  bool holds(const Entry* e) const;

  mutable std::mutex mutex_;
  size_t limit_;
  uint32_t now_ = 0;
  List sides_[2];
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
