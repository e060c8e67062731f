#include "base/budget.h"

namespace keles {

struct Budget::Entry {
  Entry* before = nullptr;
  Entry* after = nullptr;
  std::shared_ptr<const void> what;  // null: it was let go
  size_t bytes = 0;
  uint32_t born = 0;
  Side side = Side::kForms;
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

void Budget::shed(Dropped& out) {
  while (sides_[0].bytes + sides_[1].bytes > limit_) {
    List& list = sides_[0].bytes > limit_ / 2 ? sides_[0] : sides_[1];
    Entry* oldest = list.first;
    unlink(list, oldest);
    out.push_back(std::move(oldest->what));
  }
}

Budget::Charge Budget::hold(Side side, std::shared_ptr<const void> what, size_t bytes) {
  auto* e = new Entry{nullptr, nullptr, std::move(what), bytes, 0, side};
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

void Budget::release(Entry* e) {
  std::unique_ptr<Entry> owned(e);  // what it holds goes after the lock does
  std::lock_guard lock(mutex_);
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
  return e->what != nullptr;
}

size_t Budget::used() const {
  std::lock_guard lock(mutex_);
  return sides_[0].bytes + sides_[1].bytes;
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
