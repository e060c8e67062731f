#include "net/budget.h"

namespace keles::net {

bool ByteBudget::try_take(size_t n) {
  size_t now = used_.load();
  do {
    if (!fits(now, n)) return false;
  } while (!used_.compare_exchange_weak(now, now + n));
  return true;
}

void ByteBudget::give(size_t n) {
  if (n == 0) return;
  used_.fetch_sub(n);
  if (waiting_.load() > 0) wake();
}

void ByteBudget::wake() {
  std::lock_guard lock(mutex_);
  for (auto& [loop, list] : waiters_) {
    loop->post([self = shared_from_this(), l = list.get()] { l->wake_all(); });
  }
}

Task<Status> ByteBudget::wait(Context ctx, size_t n) {
  auto keep = shared_from_this();
  WaitList* mine = nullptr;
  {
    std::lock_guard lock(mutex_);
    auto& list = waiters_[&ctx.loop()];
    if (!list) list = std::make_unique<WaitList>();
    mine = list.get();
  }
  waiting_.fetch_add(1);
  // Room that came before we were counted would wake nobody.
  Status s;
  if (!fits(used_.load(), n)) s = co_await mine->wait(ctx);
  waiting_.fetch_sub(1);
  co_return s;
}

bool ConnectionBudget::try_take(size_t n) {
  if (n == 0) return true;
  if (!fits_here(n)) return false;
  if (used_ + n <= kSure) {
    total_->take(n);
  } else if (!total_->try_take(n)) {
    return false;
  }
  used_ += n;
  return true;
}

Task<Status> ConnectionBudget::take(Context ctx, size_t n) {
  while (!try_take(n)) {
    Status s;
    if (!fits_here(n)) {
      s = co_await waiters_.wait(ctx);
    } else {
      s = co_await total_->wait(ctx, n);
    }
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

void ConnectionBudget::give(size_t n) {
  if (n == 0) return;
  used_ -= n;
  total_->give(n);
  if (!waiters_.empty()) waiters_.wake_all();
}

}  // namespace keles::net
