// Context: what every operation that waits is given: a loop, a deadline, and a way to be told to
// stop. It is Go's context.Context in shape. Copies share one state; a child ends when its parent
// does.
//
// One loop's thread only: a Context belongs to the loop that it was made on.
// Errors: a wait that ends early reports Reason::kCancelled (cancel()) or Reason::kTimeout
// (deadline).
#pragma once

#include <functional>
#include <memory>

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

  class Hook;

 private:
  struct State;
  // Who is told of a context's end: a link of its list, in order of arrival. Every request makes a
  // few and lets them go again: to come and to go takes no memory.
  struct Told {
    Told() = default;
    Told(const Told&) = delete;
    virtual ~Told() { leave(); }
    // Once; it is in no list any more, and may be destroyed by what it does.
    virtual void tell() = 0;
    void enter(Told& end_of_list);
    void leave();
    Told* before = nullptr;
    Told* after = nullptr;
  };
  struct List;
  explicit Context(std::shared_ptr<State> s) : state_(std::move(s)) {}
  std::shared_ptr<State> state_;
};

// Calls `fn` once when the context ends, at once if it has. Destroying the Hook withdraws it.
class Context::Hook final : Told {
 public:
  Hook(const Context& ctx, std::function<void()> fn);

 private:
  void tell() override;
  std::function<void()> fn_;
};

}  // namespace keles
