// Leases: keys that go when nobody keeps their lease alive. A lease and what it holds are on the
// disk; how long it still has is not: after a start each has its whole time again, as in etcd after
// a change of leaders.
//
// One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "etcd/mvcc.h"

namespace keles::etcdserver {

class Lessor {
 public:
  static constexpr int64_t kLeast = 2;             // seconds: less is taken for this
  static constexpr int64_t kMost = 9'000'000'000;  // more is refused
  explicit Lessor(Loop& loop) : loop_(loop), ctx_(Context::root(loop).child()), tasks_(loop) {}
  Lessor(const Lessor&) = delete;

  // Before and while Mvcc opens: its hook.
  void attach(std::string_view key, int64_t before, int64_t now);
  // Reads the leases; begins to end them. Blocking. `mvcc` outlives it.
  Status open(const Disk& disk, Mvcc& mvcc);
  Task<void> stop();

  // id 0: any. kConflict: it exists; kExpired: the time is too long.
  struct Granted {
    int64_t id = 0, ttl = 0;
  };
  Result<Granted> grant(int64_t id, int64_t ttl);
  bool has(int64_t id) const { return leases_.count(id) != 0; }
  // With all keys that it holds, in one transaction.
  Status revoke(int64_t id);
  // Its whole time again; what that is. kNotFound.
  Result<int64_t> keep_alive(int64_t id);
  struct State {
    int64_t granted = 0, left = 0;  // seconds
    std::vector<std::string> keys;
  };
  std::optional<State> state(int64_t id, bool with_keys) const;
  std::vector<int64_t> all() const;

 private:
  struct Lease {
    int64_t ttl = 0;
    TimePoint until;
    std::set<std::string, std::less<>> keys;
  };
  struct End {
    TimePoint when;
    int64_t id;
    bool operator<(const End& o) const { return when > o.when; }  // the earliest on top
  };
  void prolong(int64_t id, Lease& lease);
  Task<void> end_those_over();

  Loop& loop_;
  Context ctx_;
  TaskGroup tasks_;
  Mvcc* mvcc_ = nullptr;
  std::map<int64_t, Lease> leases_;
  std::unordered_map<int64_t, std::set<std::string, std::less<>>> early_;  // until open()
  // A lease that was prolonged has several; the last one counts.
  std::priority_queue<End> ends_;
};

}  // namespace keles::etcdserver
