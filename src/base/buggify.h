// Fault points: places in product code at which a simulator may ask for the rare thing that the
// code must bear anyway: a late write, an expired watch, a small frame. As FoundationDB's BUGGIFY.
//
//   if (buggify(loop, "informer.relist")) need_list_ = true;
//
// In production nothing arms them, and a point costs one relaxed load of a bool. While armed, a
// seed decides once per point whether it is live in this run (so that most runs have some faults
// and none has all), and a live point fires with its probability, by the loop's chance: the same
// seed fires the same points. Armed and asked on one thread.
//
// A point may only bring about what the world could bring about without it. Names are
// "part.what", unique in the tree; sim/ fails when one that it counts on never fires.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "base/loop.h"

namespace keles {

namespace buggify_detail {
inline std::atomic<bool> armed{false};
bool fires(Loop& loop, const char* point, double probability);
}  // namespace buggify_detail

// Whether the fault named `point` is to happen here and now.
inline bool buggify(Loop& loop, const char* point, double probability = 0.1) {
  if (!buggify_detail::armed.load(std::memory_order_relaxed)) [[likely]]
    return false;
  return buggify_detail::fires(loop, point, probability);
}

// Arms the points for its lifetime. One at a time.
class Buggify {
 public:
  explicit Buggify(uint64_t seed);
  ~Buggify();
  Buggify(const Buggify&) = delete;
  Buggify& operator=(const Buggify&) = delete;
  // No further fault fires.
  void disarm();
  // How often each point was asked while live, and fired, since the process began.
  struct Count {
    uint64_t asked = 0, fired = 0;
  };
  static const std::map<std::string, Count>& counts();
};

}  // namespace keles
