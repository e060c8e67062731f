// Which images go when they are old, or the disk is short of room. Pure but for its memory of when
// each was last used.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/loop.h"
#include "node/cri/runtime.h"

namespace keles::node {

struct ImageGcPolicy {
  int64_t high_percent = 85, low_percent = 80;
  Duration min_age = std::chrono::minutes(2);
  Duration max_age{0};  // 0: of any age
};
Status check(const ImageGcPolicy& p);

class ImageGarbage {
 public:
  struct Unused {
    std::string id;
    uint64_t size_bytes = 0;
    WallTime first_seen{}, last_used{};
  };
  // Takes in what there is, and by what names containers use some. Those that nothing uses, nor the
  // runtime has pinned: the longest unused first.
  std::vector<Unused> look(const std::vector<cri::Image>& images, const std::set<std::string>& used,
                           WallTime now);

 private:
  struct Record {
    WallTime first_seen{}, last_used{};
  };
  std::map<std::string, Record> records_;
};

// Unused for longer than the policy bears; none before the agent has run for as long (`began`).
bool is_too_old(const ImageGarbage::Unused& i, const ImageGcPolicy& p, WallTime began,
                WallTime now);
// How much is to go: 0 below the high mark. `capacity` > 0.
int64_t bytes_to_free(int64_t capacity, int64_t available, const ImageGcPolicy& p);
int64_t percent_used(int64_t capacity, int64_t available);
// "1.5 GiB"
std::string size_text(int64_t bytes);

}  // namespace keles::node
