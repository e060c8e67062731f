#include "base/sync.h"

#include <optional>

namespace keles {

void WaitList::Waiter::wake(Status s) {
  if (woken) return;
  woken = true;
  status = std::move(s);
  if (suspended) loop->resume_soon(h);
}

Task<Status> WaitList::wait(Context ctx) {
  if (ctx.done()) co_return ctx.status();
  Waiter w;
  w.loop = &ctx.loop();
  auto it = waiters_.insert(waiters_.end(), &w);
  std::optional<Context::Hook> hook;
  hook.emplace(ctx, [&w, &ctx] { w.wake(ctx.status()); });
  struct Awaiter {
    Waiter* w;
    bool await_ready() { return w->woken; }
    void await_suspend(std::coroutine_handle<> h) {
      w->h = h;
      w->suspended = true;
    }
    void await_resume() {}
  };
  Awaiter awaiter{&w};
  co_await awaiter;
  hook.reset();
  // wake_one/wake_all null the slot of a waiter that they take, so that the list may die first.
  if (w.status.ok() == false) waiters_.erase(it);
  co_return w.status;
}

bool WaitList::wake_one() {
  while (!waiters_.empty()) {
    Waiter* w = waiters_.front();
    if (w->woken) {  // its context ended; it takes itself off the list when it runs
      bool found = false;
      for (auto it = waiters_.begin(); it != waiters_.end(); ++it) {
        if ((*it)->woken) continue;
        w = *it;
        waiters_.erase(it);
        found = true;
        break;
      }
      if (!found) return false;
    } else {
      waiters_.pop_front();
    }
    w->wake(Status());
    return true;
  }
  return false;
}

void WaitList::wake_all() {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    Waiter* w = *it;
    if (w->woken) {
      ++it;
      continue;
    }
    it = waiters_.erase(it);
    w->wake(Status());
  }
}

Task<Status> Event::wait(Context ctx) {
  if (set_) co_return Status();
  co_return co_await list_.wait(ctx);
}

Task<Status> Semaphore::acquire(Context ctx) {
  while (free_ == 0) {
    Status s = co_await list_.wait(ctx);
    if (!s.ok()) {
      if (free_ > 0) list_.wake_one();
      co_return s;
    }
  }
  --free_;
  co_return Status();
}

void Semaphore::release() {
  ++free_;
  list_.wake_one();
}

void TaskGroup::spawn(Task<void> t) {
  ++running_;
  idle_.reset();
  keles::spawn(loop_, track(std::move(t)));
}

Task<void> TaskGroup::track(Task<void> t) {
  co_await std::move(t);
  if (--running_ == 0) idle_.set();
}

Task<void> TaskGroup::join() {
  Context forever = Context::root(loop_);
  // Again, when a task was added between the last one's end and our turn.
  while (running_ > 0) (void)co_await idle_.wait(forever);
}

}  // namespace keles
