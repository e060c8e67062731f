// Context: what every operation that waits is given: a loop, a deadline, and a way to be told to
// stop. It is Go's context.Context in shape. Copies share one state; a child ends when its parent
// does.
//
// One loop's thread only: a Context belongs to the loop that it was made on.
// Errors: a wait that ends early reports Reason::kCancelled (cancel()) or Reason::kTimeout
// (deadline).
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"

namespace keles {

class Context {
 public:
  // Never ends by itself; the parent of everything on `loop`.
  static Context root(Loop& loop);

  Context child() const;  // can be cancelled on its own
  Context with_timeout(Duration d) const { return with_deadline(loop().now() + d); }
  Context with_deadline(TimePoint when) const;

  // Ends this context and its children; waiters are resumed from the loop, not from inside
  // cancel().
  void cancel(Status why = Status::cancelled()) const;
  bool done() const;
  Status status() const;  // OK while not done
  TimePoint deadline() const;
  Loop& loop() const;

  // OK after `d`, or the context's status if it ends first.
  Task<Status> sleep(Duration d) const;

  // Calls `fn` once when the context ends (at once if it has). remove() takes it back.
  class Hook;
  std::shared_ptr<Hook> on_done(std::function<void()> fn) const;

 private:
  struct State;
  explicit Context(std::shared_ptr<State> s) : state_(std::move(s)) {}
  std::shared_ptr<State> state_;
  friend class Hook;
};

// Destroying the Hook withdraws the callback.
class Context::Hook {
 public:
  Hook(std::weak_ptr<State> state, std::list<std::function<void()>>::iterator it, bool live);
  ~Hook();
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;

 private:
  std::weak_ptr<State> state_;
  std::list<std::function<void()>>::iterator it_;
  bool live_;
};

}  // namespace keles
