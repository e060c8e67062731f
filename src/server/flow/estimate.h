// How many seats a request takes: upstream's work estimator
// (k8s.io/apiserver/pkg/util/flowcontrol/request). Lists by the bytes that they read at once,
// writes by the watchers that are told of them, everything else one.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/loop.h"
#include "machinery/schema.h"
#include "server/flow/digest.h"
#include "server/flow/work.h"
#include "store/store.h"

namespace keles::flow {

// How many watch what: those with the same resource, namespace and name are alike.
class WatchTracker {
 public:
  // Of a watch from its beginning to its end.
  class Watching {
   public:
    Watching() = default;
    Watching(Watching&& o) noexcept : in_(o.in_), key_(o.key_) { o.in_ = nullptr; }
    Watching& operator=(Watching&& o) noexcept {
      std::swap(in_, o.in_);
      std::swap(key_, o.key_);
      return *this;
    }
    ~Watching() {
      if (in_) in_->count(key_, -1);
    }

   private:
    friend class WatchTracker;
    Watching(WatchTracker* in, uint64_t key) : in_(in), key_(key) {}
    WatchTracker* in_ = nullptr;
    uint64_t key_ = 0;
  };
  // One of pods of a certain node (`node` not empty) is told of few of them, and not counted.
  Watching watch(const Digest& d, std::string_view node);
  // Who is told of a change by that request.
  int watchers(const Digest& write) const;

 private:
  void count(uint64_t key, int n);
  int at(uint64_t key) const;
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, int> counts_;
};

// How many objects of a resource there are, and how large; looked up again after a while.
class ObjectSizes {
 public:
  struct Size {
    int64_t objects = 0, average_bytes = 0;
  };
  Size of(const Store& store, const KindDesc& kind, TimePoint now);

 private:
  struct Known {
    Size size;
    TimePoint until;
  };
  std::mutex mutex_;
  std::map<std::string, Known, std::less<>> known_;
};

// What a list or a watch asks for, as far as it matters.
struct ListQuestion {
  bool watch = false, one = false;  // one: of a single object, by its name
  bool selects = false;             // has a selector
  int64_t limit = 0;
  std::string_view revision, match;
  bool continues = false, initial_events = false;
};
uint64_t list_seats(const ListQuestion& q, const ObjectSizes::Size& size, uint64_t widest);

// `widest`: what the level allows; 0: it does not say.
inline constexpr uint64_t kWidestList = 100, kWidestWrite = 10;
Work write_work(int watchers, uint64_t widest);

}  // namespace keles::flow
