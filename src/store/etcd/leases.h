// The leases on which keys that are to go by themselves hang in etcd. One is shared by many keys,
// as upstream's lease manager does it: whoever comes within its time of reuse takes it, up to a
// number of keys; a key so lives somewhat longer than was asked for, never shorter. One loop.
//
// Source: upstream's storage/etcd3 (lease manager).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "base/context.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "store/etcd/client.h"

namespace keles::etcd {

class Leases {
 public:
  struct Limits {
    Duration reuse = 60s;        // a lease is shared for at most this long, and
    double part_of_life = 0.05;  // at most this part of a key's life,
    size_t keys = 1000;          // by at most so many keys
  };
  Leases(Loop& loop, Client* client, Limits limits)
      : loop_(loop), client_(client), limits_(limits) {}

  // A lease that ends no sooner than `life` from now. Errors: nothing was promised.
  Task<Result<int64_t>> of(Context ctx, Duration life);
  // etcd knows it no more: the next key gets another.
  void forget(int64_t id);

 private:
  struct Lease {
    Lease() = default;
    int64_t id = 0;
    TimePoint end;  // not after etcd's own
    size_t keys = 0;
  };
  bool fits(const Lease& lease, Duration life) const;

  Loop& loop_;
  Client* client_;
  const Limits limits_;
  Semaphore granting_{1};
  std::map<Duration, Lease> current_;  // by the life that was asked for
};

}  // namespace keles::etcd
