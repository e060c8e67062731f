#include "base/budget.h"

#include <algorithm>
#include <iterator>

namespace keles {

struct Budget::Entry {
  Entry* before = nullptr;
  Entry* after = nullptr;
  std::shared_ptr<const void> what;  // null: it was let go, or is reserved
  size_t bytes = 0;
  uint32_t born = 0;
  Side side = Side::kForms;
  bool reserved = false;  // in no list
};

namespace {
size_t index_of(Budget::Side side) { return static_cast<size_t>(side); }
}  // namespace

Budget::~Budget() {
  for (List& list : sides_) {
    for (Entry* e = list.first; e != nullptr;) delete std::exchange(e, e->after);
  }
}

void Budget::unlink(List& list, Entry* e) {
  (e->before ? e->before->after : list.first) = e->after;
  (e->after ? e->after->before : list.last) = e->before;
  e->before = e->after = nullptr;
  list.bytes -= e->bytes;
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
    Entry* oldest = list.first;
    unlink(list, oldest);
    out.push_back(std::move(oldest->what));
  }
}

Budget::Charge Budget::hold(Side side, std::shared_ptr<const void> what, size_t bytes) {
  auto* e = new Entry{nullptr, nullptr, std::move(what), bytes, 0, side, false};
  Dropped dropped;
  std::lock_guard lock(mutex_);
  List& list = sides_[index_of(side)];
  e->before = list.last;
  (list.last ? list.last->after : list.first) = e;
  list.last = e;
  list.bytes += bytes;
  e->born = now_;
  shed(dropped);
  return Charge(this, e);
}

Budget::Charge Budget::reserve(size_t bytes) {
  auto* e = new Entry{nullptr, nullptr, nullptr, bytes, 0, Side::kForms, true};
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
  size_t& sum = e->reserved ? reserved_ : sides_[index_of(e->side)].bytes;
  sum = sum - e->bytes + bytes;
  e->bytes = bytes;
  shed(dropped);
}

void Budget::release(Entry* e) {
  std::unique_ptr<Entry> owned(e);  // what it holds goes after the lock does
  std::lock_guard lock(mutex_);
  if (e->reserved) {
    reserved_ -= e->bytes;
    return;
  }
  if (e->what) unlink(sides_[index_of(e->side)], e);
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
    while ((more = list.bytes > floor && now_ - list.first->born >= ticks) &&
           dropped.size() < kAtOnce) {
      Entry* oldest = list.first;
      unlink(list, oldest);
      freed += oldest->bytes;
      dropped.push_back(std::move(oldest->what));
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
