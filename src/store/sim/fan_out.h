// FanOut: one backend followed by several replicas, each in its own time, as several API servers
// follow one etcd: a write's way there and back takes a while, and so does the news of it, so that
// each replica may be behind the others. Nothing is lost or reordered on the way, only late. In
// virtual time; all chance comes from the loop. One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "store/backend.h"

namespace keles {

struct Lag {
  Duration way_max{0};   // of a commit or a read to the backend, and of its answer
  Duration news_max{0};  // of a change to the replica
  bool held = false;     // no news come at all, for now
};

class FanOut {
 public:
  FanOut(Loop& loop, std::unique_ptr<Backend> backend);
  ~FanOut();
  FanOut(const FanOut&) = delete;
  // For one more replica. `lag` may be changed while it runs and outlives it; null: it is always
  // told at once. The FanOut outlives what it has made.
  std::unique_ptr<Backend> follower(const Lag* lag);

 private:
  class Source;
  class Spoke;
  std::unique_ptr<Source> source_;
};

}  // namespace keles
