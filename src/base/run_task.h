// Runs one task from outside of a loop, on the calling thread, until it has ended: for tests and
// tools. The loop must not be running; what else is ready on it runs, too. On virtual time a task
// that has not ended within `limit` ends the process.
#pragma once

#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/loop.h"
#include "base/sim_loop.h"
#include "base/task.h"

namespace keles {
namespace detail {
template <class T>
Task<void> keep_result(Task<T> t, std::optional<T>* out, RealLoop* stopped) {
  T r = co_await std::move(t);
  out->emplace(std::move(r));
  if (stopped) stopped->stop();
}
inline Task<bool> to_end(Task<void> t) {
  co_await std::move(t);
  co_return true;
}
}  // namespace detail

template <class T>
T run_task(RealLoop& loop, Task<T> t) {
  std::optional<T> out;
  spawn(loop, detail::keep_result(std::move(t), &out, &loop));
  loop.run();
  return std::move(*out);
}
inline void run_task(RealLoop& loop, Task<void> t) { run_task(loop, detail::to_end(std::move(t))); }

template <class T>
T run_task(SimLoop& loop, Task<T> t, Duration limit = std::chrono::hours(1)) {
  std::optional<T> out;
  spawn(loop, detail::keep_result(std::move(t), &out, nullptr));
  if (!loop.run_until([&out] { return out.has_value(); }, limit)) std::abort();
  return std::move(*out);
}
inline void run_task(SimLoop& loop, Task<void> t) { run_task(loop, detail::to_end(std::move(t))); }

}  // namespace keles
