// Task<T>: a lazy coroutine that runs on the Loop of whoever awaits it; and spawn(), which starts
// one.
//
// Contract:
// - A Task starts when it is awaited or spawned, exactly once. It never outlives its completion,
// and
//   it must not be destroyed while suspended: to end one early, cancel the Context that it was
//   given and let it run to its end.
// - Exceptions do not leave a Task: one that escapes ends the process.
// - GCC 12: take parameters by value (or pointers that outlive the task), capture nothing in a
//   coroutine lambda, and never await in a condition, in `?:`, a structured binding, a statement
//   expression or a catch block. In an expression that awaits write no braced list (f({a, b}),
//   f(T{.x = s})), no `?:` and no closure that owns something (f([s] {...})): what they make is
//   destroyed twice. Name it in a local first, or give T a constructor. Use TRY_CO / TRY_ASSIGN_CO
//   (base/status.h). test/lint looks.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/loop.h"

namespace keles {

template <class T>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      return h.promise().continuation;
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept { std::abort(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> h) : h_(h) {}
  Task(Task&& o) noexcept : h_(std::exchange(o.h_, nullptr)) {}
  Task& operator=(Task&& o) noexcept {
    if (this != &o) {
      if (h_) h_.destroy();
      h_ = std::exchange(o.h_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (h_) h_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> h;
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        h.promise().continuation = caller;
        return h;
      }
      T await_resume() { return h.promise().take(); }
    };
    return Awaiter{h_};
  }

 private:
  std::coroutine_handle<promise_type> h_;
};

namespace detail {
template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

struct Detached {
  struct promise_type {
    Detached get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() noexcept { std::abort(); }
  };
  std::coroutine_handle<promise_type> h;
};
inline Detached run_detached(Task<void> t) { co_await std::move(t); }
}  // namespace detail

// Starts `t` on `loop` from any thread, after everything posted before; nobody awaits it.
inline void spawn(Loop& loop, Task<void> t) {
  loop.resume_soon(detail::run_detached(std::move(t)).h);
}

// Continues the awaiting coroutine on `loop`'s thread.
inline auto switch_to(Loop& loop) {
  struct Awaiter {
    Loop& loop;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> h) { loop.resume_soon(h); }
    void await_resume() {}
  };
  return Awaiter{loop};
}

// Lets everything else that is ready on this loop run first.
inline auto yield_to(Loop& loop) { return switch_to(loop); }

// Runs `t` on `there` and comes back to `here` with its result. For crossing between loops.
template <class T>
Task<T> run_on(Loop* there, Loop* here, Task<T> t) {
  co_await switch_to(*there);
  if constexpr (std::is_void_v<T>) {
    co_await std::move(t);
    co_await switch_to(*here);
  } else {
    T result = co_await std::move(t);
    co_await switch_to(*here);
    co_return result;
  }
}

// Runs the blocking call `fn` on the pool and resumes on `loop` with its result.
template <class F, class T = std::invoke_result_t<F>>
Task<T> run_blocking(Loop* loop, F fn) {
  static_assert(!std::is_void_v<T>, "return a Status");
  std::optional<T> out;
  struct Awaiter {
    Loop* loop;
    F* fn;
    std::optional<T>* out;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      post_to_pool([this, h] {
        out->emplace((*fn)());
        loop->resume_soon(h);
      });
    }
    void await_resume() {}
  };
  Awaiter awaiter{loop, &fn, &out};
  co_await awaiter;
  co_return std::move(*out);
}

}  // namespace keles
