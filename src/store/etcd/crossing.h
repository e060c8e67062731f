// An answer that is made on one loop and awaited on another. Any thread.
#pragma once

#include <coroutine>
#include <mutex>
#include <optional>
#include <utility>

#include "base/loop.h"

namespace keles::etcd {

template <class T>
class Crossing {
 public:
  explicit Crossing(Loop& awaited_on) : loop_(awaited_on) {}
  // The first answer counts.
  void answer(T value) {
    std::lock_guard lock(mutex_);
    if (value_) return;
    value_.emplace(std::move(value));
    if (waiter_) loop_.resume_soon(waiter_);
  }
  // Awaited once; a shared pointer to this is held meanwhile.
  struct Arrival {
    Crossing& c;
    bool await_ready() { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      std::lock_guard lock(c.mutex_);
      if (c.value_) return false;
      c.waiter_ = h;
      return true;
    }
    T await_resume() { return std::move(*c.value_); }
  };
  Arrival arrival() { return {*this}; }

 private:
  Loop& loop_;
  std::mutex mutex_;
  std::coroutine_handle<> waiter_;
  std::optional<T> value_;
};

}  // namespace keles::etcd
