#include "base/budget.h"

#include <algorithm>
#include <iterator>
#include <memory>

namespace keles {

struct Budget::Entry final : Item {
  std::shared_ptr<const void> what;  // null: it was let go, or is reserved
  bool reserved = false;             // in no list
  std::shared_ptr<const void> let_go() override { return std::move(what); }
};

namespace {
size_t index_of(Budget::Side side) { return static_cast<size_t>(side); }
}  // namespace

// Entries are their charges'; items of other kinds, their caches'.
Budget::~Budget() = default;

void Budget::link(Side side, Item* item, size_t bytes) {
  List& list = sides_[index_of(side)];
  item->before_ = list.last;
  item->bytes_ = bytes;
  item->born_ = now_;
  item->side_ = side;
  (list.last ? list.last->after_ : list.first) = item;
  list.last = item;
  list.bytes += bytes;
}

void Budget::unlink(Item* item) {
  List& list = sides_[index_of(item->side_)];
  (item->before_ ? item->before_->after_ : list.first) = item->after_;
  (item->after_ ? item->after_->before_ : list.last) = item->before_;
  item->before_ = item->after_ = nullptr;
  list.bytes -= item->bytes_;
}

size_t Budget::total() const {
  size_t sum = reserved_;
  for (const List& list : sides_) sum += list.bytes;
  return sum;
}

void Budget::shed(Dropped& out) {
  while (total() > limit_) {
    List& list = *std::max_element(std::begin(sides_), std::end(sides_),
                                   [](const List& a, const List& b) { return a.bytes < b.bytes; });
    if (list.bytes == 0) return;  // what is reserved is more than all
    Item* oldest = list.first;
    unlink(oldest);
    out.push_back(oldest->let_go());
  }
}

Budget::Charge Budget::hold(Side side, std::shared_ptr<const void> what, size_t bytes) {
  auto* e = new Entry;
  e->what = std::move(what);
  hold(side, e, bytes);
  return Charge(this, e);
}

void Budget::hold(Side side, Item* item, size_t bytes) {
  Dropped dropped;
  std::lock_guard lock(mutex_);
  link(side, item, bytes);
  shed(dropped);
}

void Budget::release(std::span<std::atomic<Item*>> slots) {
  std::vector<std::unique_ptr<Item>> gone;  // what they hold goes after the lock does
  gone.reserve(slots.size());
  std::lock_guard lock(mutex_);
  for (std::atomic<Item*>& slot : slots) {
    Item* item = slot.exchange(nullptr, std::memory_order_relaxed);
    if (!item) continue;
    unlink(item);
    gone.emplace_back(item);
  }
}

Budget::Charge Budget::reserve(size_t bytes) {
  auto* e = new Entry;
  e->bytes_ = bytes;
  e->reserved = true;
  Dropped dropped;
  std::lock_guard lock(mutex_);
  reserved_ += bytes;
  shed(dropped);
  return Charge(this, e);
}

void Budget::resize(Entry* e, size_t bytes) {
  Dropped dropped;
  std::lock_guard lock(mutex_);
  if (!e->reserved && !e->what) return;
  size_t& sum = e->reserved ? reserved_ : sides_[index_of(e->side_)].bytes;
  sum = sum - e->bytes_ + bytes;
  e->bytes_ = bytes;
  shed(dropped);
}

void Budget::release(Entry* e) {
  std::unique_ptr<Entry> owned(e);  // what it holds goes after the lock does
  std::lock_guard lock(mutex_);
  if (e->reserved) {
    reserved_ -= e->bytes_;
  } else if (e->what) {
    unlink(e);
  }
}

void Budget::tick() {
  std::lock_guard lock(mutex_);
  ++now_;
}

size_t Budget::age(Side side, uint32_t ticks, size_t floor) {
  constexpr size_t kAtOnce = 1024;  // others want the lock, too
  size_t freed = 0;
  for (bool more = true; more;) {
    Dropped dropped;
    std::lock_guard lock(mutex_);
    List& list = sides_[index_of(side)];
    while ((more = list.bytes > floor && now_ - list.first->born_ >= ticks) &&
           dropped.size() < kAtOnce) {
      Item* oldest = list.first;
      unlink(oldest);
      freed += oldest->bytes_;
      dropped.push_back(oldest->let_go());
    }
  }
  return freed;
}

bool Budget::holds(const Entry* e) const {
  std::lock_guard lock(mutex_);
  return e->reserved || e->what != nullptr;
}

size_t Budget::used() const {
  std::lock_guard lock(mutex_);
  return total();
}

size_t Budget::used(Side side) const {
  std::lock_guard lock(mutex_);
  return sides_[index_of(side)].bytes;
}

size_t Budget::limit() const {
  std::lock_guard lock(mutex_);
  return limit_;
}

void Budget::set_limit(size_t limit) {
  Dropped dropped;
  std::lock_guard lock(mutex_);
  limit_ = limit;
  shed(dropped);
}

Budget& process_budget() {
  // Never destroyed: objects with static storage may still hold charges at exit.
  static auto* budget = std::make_unique<Budget>(size_t{16} << 20).release();
  return *budget;
}

}  // namespace keles
