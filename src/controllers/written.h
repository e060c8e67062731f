// What a controller wrote of its own objects and has not seen come back. A plan made from an older
// one would be made twice: what it counted has been let go since, what it asked for has been made
// (upstream: KEP 5647).
//
// One loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/loop.h"

namespace keles::controllers {

class Written {
 public:
  explicit Written(Loop& loop) : loop_(loop) {}
  void wrote(std::string_view uid, int64_t revision) {
    if (revision > 0) last_[std::string(uid)] = {revision, loop_.now()};
  }
  // How long an object of that revision is too old to plan from, if nothing newer is seen; 0 when
  // it is not. What has been seen is forgotten.
  Duration behind(std::string_view uid, int64_t revision) {
    auto it = last_.find(uid);
    if (it == last_.end()) return Duration(0);
    const Duration left = it->second.at + kMostBehind - loop_.now();
    if (revision < it->second.revision && left > Duration(0)) return left;
    last_.erase(it);
    return Duration(0);
  }
  void forget(std::string_view uid) {
    if (auto it = last_.find(uid); it != last_.end()) last_.erase(it);
  }
  size_t size() const { return last_.size(); }

 private:
  static constexpr Duration kMostBehind = 5min;  // of an informer; then objects count as they are
  struct Write {
    int64_t revision;
    TimePoint at;
  };
  Loop& loop_;
  std::map<std::string, Write, std::less<>> last_;
};

}  // namespace keles::controllers
