// Run: one evaluation. It holds the variables' values, the memory of what is made, and counts the
// cost as Kubernetes does, so that limits mean the same.
//
// One thread. Nothing is allocated until something is made (a list, a text, an optional): an
// expression that reads and compares runs on the Run itself.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "cel/val.h"
#include "machinery/value.h"

namespace keles::cel {

class Env;

// Units of cost; see docs of Kubernetes' CEL limits.
inline constexpr uint64_t kPerCallLimit = 1'000'000;
inline constexpr uint64_t kRunBudget = 10'000'000;             // all rules over one object
inline constexpr uint64_t kMatchConditionsBudget = 2'500'000;  // all match conditions of one hook
inline constexpr int64_t kMaxRequestBytes = 3 * 1024 * 1024;   // what estimates assume
inline constexpr size_t kMaxMessageBytes = 5 * 1024;           // of a messageExpression
inline constexpr size_t kMaxRunBytes = size_t{128} * 1024 * 1024;  // beyond upstream: it has none

struct Limits {
  uint64_t cost = kPerCallLimit;
  // Looked at now and then; true ends the evaluation. May be null.
  const std::atomic<bool>* cancelled = nullptr;
};

class Run {
 public:
  static constexpr size_t kMaxVariables = 16;

  explicit Run(Limits limits = {}) : limits_(limits) {}
  Run(const Run&) = delete;

  // Variables by their number in the Env (Env::index_of). Values stay bound over evaluations.
  void bind(size_t variable, Val v) { variables_[variable] = v; }
  const Val& variable(size_t i) const { return variables_[i]; }

  // Before each evaluation: cost from zero; what was made stays readable.
  void restart(uint64_t cost_limit) {
    cost_ = 0;
    limits_.cost = cost_limit;
    stop_ = nullptr;
    ticks_ = 0;
  }
  uint64_t cost() const { return cost_; }
  uint64_t cost_limit() const { return limits_.cost; }

  // `v`, after its cost is added; an error from then on when that is more than may be spent.
  Val charged(uint64_t cost, const Val& v) {
    cost_ += cost;
    if (cost_ <= limits_.cost) [[likely]] {
      return v;
    }
    return out_of_budget();
  }
  void uncharge(uint64_t cost) { cost_ -= cost; }
  // What a call will cost is known before it is made: false when it is beyond the limit.
  bool can_afford(uint64_t cost) const { return cost <= limits_.cost - cost_; }
  Val out_of_budget() { return stop("operation cancelled: actual cost limit exceeded"); }
  Val stop(std::string_view why) {
    if (stop_ == nullptr) {
      stop_ = why.data();
      stop_size_ = why.size();
    }
    return Val::error({stop_, stop_size_});
  }
  // The evaluation ends: no operator absorbs this error.
  bool stopped() const { return stop_ != nullptr; }
  Val stop_error() const { return Val::error({stop_, stop_size_}); }
  // Once an iteration: false when the evaluation was cancelled.
  bool tick() {
    if (++ticks_ % 100 != 0 || limits_.cancelled == nullptr) return true;
    if (!limits_.cancelled->load(std::memory_order_relaxed)) return true;
    stop("operation interrupted");
    return false;
  }

  // --- memory -----------------------------------------------------------------------------------

  Arena& arena() { return arena_; }
  std::string_view copy(std::string_view s) { return has_room(s.size()) ? arena_.copy(s) : ""; }
  Val string(std::string_view s) { return Val::string(copy(s)); }
  Val error(std::string_view message) { return Val::error(arena_.copy(message)); }
  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (arena_.allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  Val opaque(const Opaque* o) const { return Val::opaque(o); }
  Val some(const Val& v) { return Val::optional(make<Val>(v)); }
  // False (and the evaluation ends) when `bytes` more would be too much.
  bool has_room(size_t bytes) {
    if (arena_.bytes_reserved() + bytes <= kMaxRunBytes) [[likely]] {
      return true;
    }
    stop("operation cancelled: too much memory is used");
    return false;
  }

  // A list that can be appended to; see ListBody.
  Val make_list(size_t capacity = 0);
  Val append(const Val& list, const Val& element);
  Val make_map(size_t capacity = 0);
  // Replaces the value of a key that is there only where `replace` says so; otherwise an error.
  Val insert(const Val& map, const Val& key, const Val& value, bool replace);

  // A member of an API object; large maps are indexed on the way.
  const Value* member(const Value& map, std::string_view key);

  // --- the evaluator's --------------------------------------------------------------------------

  Val* slots(size_t count);

 private:
  struct Index;
  Limits limits_;
  uint64_t cost_ = 0;
  uint64_t ticks_ = 0;
  const char* stop_ = nullptr;
  size_t stop_size_ = 0;
  std::array<Val, kMaxVariables> variables_{};
  static constexpr size_t kInlineSlots = 12;
  std::array<Val, kInlineSlots> slots_{};
  Val* more_slots_ = nullptr;
  size_t more_count_ = 0;
  Arena arena_;
  std::unordered_map<const void*, std::unordered_map<std::string_view, const Value*>> members_;
};

}  // namespace keles::cel
