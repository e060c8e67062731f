#include "base/timers.h"

#include <algorithm>
#include <utility>

namespace keles {

TimerId Timers::add(TimePoint when, std::function<void()> fn) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t at = free_.back();
  free_.pop_back();
  Slot& s = slots_[at];
  s.fn = std::move(fn);
  s.order = ++made_;
  ++s.generation;
  ++live_;
  heap_.push_back({when, s.order, at});
  std::push_heap(heap_.begin(), heap_.end(), later);
  return TimerId{s.generation} << 32 | at;
}

std::function<void()> Timers::free_slot(uint32_t at) {
  Slot& s = slots_[at];
  s.order = 0;
  free_.push_back(at);
  --live_;
  return std::exchange(s.fn, nullptr);
}

void Timers::cancel(TimerId id) {
  constexpr size_t kFew = 64;
  const auto at = static_cast<uint32_t>(id);
  if (at >= slots_.size() || slots_[at].order == 0 || slots_[at].generation != id >> 32) return;
  // What it holds may add and cancel as it is destroyed: last.
  std::function<void()> gone = free_slot(at);
  if (stale() <= live_ + kFew) return;
  std::erase_if(heap_, [this](const Entry& e) { return !live(e); });
  std::make_heap(heap_.begin(), heap_.end(), later);
}

void Timers::drop_first() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  heap_.pop_back();
}

std::optional<TimePoint> Timers::next() {
  while (!heap_.empty() && !live(heap_.front())) drop_first();
  if (heap_.empty()) return std::nullopt;
  return heap_.front().when;
}

std::function<void()> Timers::take(TimePoint now, uint64_t made) {
  auto due = next();
  if (!due || *due > now || heap_.front().order > made) return nullptr;
  const uint32_t at = heap_.front().slot;
  drop_first();
  return free_slot(at);
}

}  // namespace keles
