// Ways for coroutines of one Loop to wait for each other. Single-threaded: every member is called
// on the loop's thread (use Loop::post to get there). Every wait takes a Context. Waiters are
// resumed through the loop, in the order in which they came.
#pragma once

#include <coroutine>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles {

// The queue of suspended coroutines beneath the others.
class WaitList {
 public:
  WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  // Suspends until woken (OK) or until ctx ends (its status).
  Task<Status> wait(Context ctx);
  bool wake_one();  // false when nobody waits
  void wake_all();
  bool empty() const { return waiters_.empty(); }

 private:
  struct Waiter {
    std::coroutine_handle<> h;
    Loop* loop = nullptr;
    bool woken = false;
    bool suspended = false;
    Status status;
    void wake(Status s);
  };
  std::list<Waiter*> waiters_;
};

// Stays set until reset; set() wakes every waiter.
class Event {
 public:
  void set() {
    set_ = true;
    list_.wake_all();
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  Task<Status> wait(Context ctx);

 private:
  bool set_ = false;
  WaitList list_;
};

// One value, delivered once to any number of waiters.
template <class T>
class Future {
 public:
  void set(T value) {
    if (value_) return;
    value_.emplace(std::move(value));
    ready_.set();
  }
  bool is_ready() const { return value_.has_value(); }
  Task<Result<T>> wait(Context ctx) {
    Status s = co_await ready_.wait(ctx);
    if (!s.ok()) co_return s;
    co_return *value_;
  }
  const T& get() const { return *value_; }

 private:
  std::optional<T> value_;
  Event ready_;
};

// A bounded first-in first-out queue. push() waits while full; try_push() refuses.
// After close(), pop() drains what is left and then reports kCancelled "channel closed".
template <class T>
class Channel {
 public:
  explicit Channel(size_t capacity) : capacity_(capacity) {}
  bool try_push(T v) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(v));
    readers_.wake_one();
    return true;
  }
  Task<Status> push(Context ctx, T v) {
    while (!closed_ && items_.size() >= capacity_) {
      Status s = co_await writers_.wait(ctx);
      if (!s.ok()) co_return s;
    }
    if (closed_) co_return Status::cancelled("channel closed");
    items_.push_back(std::move(v));
    readers_.wake_one();
    co_return Status();
  }
  Task<Result<T>> pop(Context ctx) {
    while (items_.empty()) {
      if (closed_) co_return closed_why_;
      Status s = co_await readers_.wait(ctx);
      if (!s.ok()) {
        if (!items_.empty()) readers_.wake_one();  // a wake meant for us goes to the next
        co_return s;
      }
    }
    T v = std::move(items_.front());
    items_.pop_front();
    writers_.wake_one();
    if (!items_.empty()) readers_.wake_one();
    co_return std::move(v);
  }
  std::optional<T> try_pop() {
    if (items_.empty()) return std::nullopt;
    T v = std::move(items_.front());
    items_.pop_front();
    writers_.wake_one();
    return v;
  }
  void close(Status why = Status::cancelled("channel closed")) {
    if (closed_) return;
    closed_ = true;
    closed_why_ = std::move(why);
    readers_.wake_all();
    writers_.wake_all();
  }
  bool closed() const { return closed_; }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }

 private:
  size_t capacity_;
  bool closed_ = false;
  Status closed_why_;
  std::deque<T> items_;
  WaitList readers_, writers_;
};

// Limits how many hold it at once; Semaphore(1) is a mutex across awaits.
class Semaphore {
 public:
  explicit Semaphore(int n) : free_(n) {}
  Task<Status> acquire(Context ctx);
  void release();

 private:
  int free_;
  WaitList list_;
};

// Runs tasks side by side and lets their owner wait for all of them; the owner must join() before
// it is destroyed.
class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop) : loop_(loop) {}
  void spawn(Task<void> t);
  // Waits for every task to end, however long; cancel their Context first to hurry them.
  Task<void> join();
  int running() const { return running_; }

 private:
  Task<void> track(Task<void> t);
  Loop& loop_;
  int running_ = 0;
  Event idle_;
};

}  // namespace keles
