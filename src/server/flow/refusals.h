// When who was refused is to come back (Retry-After): a second, twice as long each time that many
// are refused, shorter again when few are. Upstream's DroppedRequestsTracker. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

namespace keles::flow {

class Refusals {
 public:
  // Counts one, and says in how many seconds it is to be tried again. `now`: in seconds.
  int64_t note(int64_t now);

 private:
  struct Second {
    int64_t at = 0, n = 0;
  };
  void adapt(int64_t now);
  std::mutex mutex_;
  std::deque<Second> history_;
  Second current_;
  int64_t retry_after_ = 1, raised_ = 0;
};

}  // namespace keles::flow
