// Bytes in flight: how much of answers and request bodies a server may hold for its peers at once,
// in total and for one connection. A peer that does not read (or sends slowly) makes those wait who
// answer it, not the memory grow.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "base/context.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"

namespace keles::net {

// A server's total. Any thread; held by a shared_ptr (waiters of other loops are woken by it).
class ByteBudget : public std::enable_shared_from_this<ByteBudget> {
 public:
  explicit ByteBudget(size_t limit) : limit_(limit) {}
  bool try_take(size_t n);
  void take(size_t n) { used_.fetch_add(n); }  // beyond the limit when need be
  void give(size_t n);
  // Until there may be room for `n`, or ctx ends. Try again afterwards.
  Task<Status> wait(Context ctx, size_t n);
  size_t used() const { return used_.load(); }

 private:
  bool fits(size_t now, size_t n) const { return now == 0 || now + n <= limit_; }
  void wake();
  const size_t limit_;
  std::atomic<size_t> used_{0};
  std::atomic<int> waiting_{0};
  std::mutex mutex_;  // guards the map, not the lists: those belong to their loops
  std::map<Loop*, std::unique_ptr<WaitList>> waiters_;
};

// A connection's share. Its loop's thread only. What is still held is given back at its end.
class ConnectionBudget {
 public:
  ConnectionBudget(std::shared_ptr<ByteBudget> total, size_t limit)
      : total_(std::move(total)), limit_(limit) {}
  ~ConnectionBudget() { total_->give(used_); }
  ConnectionBudget(const ConnectionBudget&) = delete;
  ConnectionBudget& operator=(const ConnectionBudget&) = delete;

  // A connection that holds nothing gets what it asks for as far as its own limit is concerned, and
  // the first kSure bytes even when the total is used up: others' debts do not stop it.
  static constexpr size_t kSure = 64 * 1024;
  bool try_take(size_t n);
  Task<Status> take(Context ctx, size_t n);
  void give(size_t n);
  size_t used() const { return used_; }

 private:
  bool fits_here(size_t n) const { return used_ == 0 || used_ + n <= limit_; }
  std::shared_ptr<ByteBudget> total_;
  const size_t limit_;
  size_t used_ = 0;
  WaitList waiters_;
};

}  // namespace keles::net
