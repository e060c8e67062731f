// Connections to what requests are relayed to, kept for the next request to the same place: a
// handshake with a kubelet costs more than most answers. A connection carries one request at a
// time, so that a reader who is slow to take an answer holds up nobody else's. Each loop has its
// own; what is kept is bounded, and closed when it has not been used for a while.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "base/loop.h"
#include "net/http.h"

namespace keles::server {

class RelayPool {
 public:
  static constexpr size_t kMostKept = 64, kMostKeptOfOne = 8;  // on a loop
  static constexpr Duration kKeptFor = 90s;                    // as upstream's transports

  class Kept;  // of one loop
  // The use of a client for as long as this lives, on its loop's thread. The client does not
  // outlive its last lease and the pool's keeping.
  class Lease {
   public:
    Lease(std::shared_ptr<Kept> home, net::Endpoint to, std::unique_ptr<net::HttpClient> client);
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    net::HttpClient* get() const { return client_.get(); }

   private:
    std::shared_ptr<Kept> home_;
    net::Endpoint to_;
    std::unique_ptr<net::HttpClient> client_;
  };

  RelayPool();
  ~RelayPool();
  RelayPool(const RelayPool&) = delete;

  // A client for `to`, which has no `dial`, and to which nobody else speaks by it. On that loop.
  Lease take(Loop& loop, net::Endpoint to);
  size_t kept(Loop& loop);

 private:
  std::shared_ptr<Kept> of(Loop& loop);

  std::shared_ptr<const char> alive_;
  std::mutex mutex_;
  std::map<Loop*, std::weak_ptr<Kept>> loops_;
};

}  // namespace keles::server
