// A fault that may go on: worth a line when it begins and when it changes, and then ever more
// rarely. One loop's thread, or otherwise one thread at a time.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/loop.h"

namespace keles {

class Recurring {
 public:
  // Whether `what` is to be said now: it is not what was said last, or it has been going on for
  // another minute, two, four, ... an hour.
  bool news(TimePoint now, std::string_view what) {
    if (what != last_) {
      last_ = what;
      pause_ = kFirst;
    } else if (now < next_) {
      return false;
    } else {
      pause_ = std::min<Duration>(pause_ * 2, kLast);
    }
    next_ = now + pause_;
    return true;
  }
  // It has ended: the next time is news again.
  void over() { last_.clear(); }

 private:
  static constexpr Duration kFirst = 1min, kLast = 1h;
  std::string last_;
  Duration pause_ = kFirst;
  TimePoint next_{};
};

}  // namespace keles
