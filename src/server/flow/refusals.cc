#include "server/flow/refusals.h"

#include <algorithm>

namespace keles::flow {
namespace {
constexpr int64_t kMost = 32;
}

int64_t Refusals::note(int64_t now) {
  std::lock_guard lock(mutex_);
  if (current_.at == now) {
    ++current_.n;
    return retry_after_;
  }
  history_.push_back(current_);
  const int64_t kept = std::min(2 * retry_after_, kMost);
  while (current_.at - history_.front().at > kept) history_.pop_front();
  current_ = {now, 1};
  adapt(now);
  return retry_after_;
}

// By those of the last `retry_after_` seconds, this one not counted.
void Refusals::adapt(int64_t now) {
  int64_t n = 0;
  for (auto s = history_.rbegin(); s != history_.rend() && now - s->at <= retry_after_; ++s) {
    if (s->at < now) n += s->n;
  }
  if (now - raised_ >= retry_after_ && n >= 3 * retry_after_) {
    retry_after_ = std::min(2 * retry_after_, kMost);
    raised_ = now;
  } else if (n < retry_after_ && retry_after_ > 1) {
    --retry_after_;
  }
}

}  // namespace keles::flow
