#include "server/http/relay_pool.h"

#include <algorithm>
#include <list>
#include <utility>

namespace keles::server {
namespace {

bool same(const std::optional<net::ClientTls>& a, const std::optional<net::ClientTls>& b) {
  if (!a || !b) return !a && !b;
  if (a->identity.has_value() != b->identity.has_value()) return false;
  if (a->identity && (a->identity->certificate_pem != b->identity->certificate_pem ||
                      a->identity->key_pem != b->identity->key_pem)) {
    return false;
  }
  return a->ca_pem == b->ca_pem && a->insecure == b->insecure && a->server_name == b->server_name &&
         a->common_name == b->common_name;
}

// Whether a connection to the one is one to the other: who it is, and as whom it knows us.
bool same(const net::Endpoint& a, const net::Endpoint& b) {
  return a.port == b.port && a.host == b.host && same(a.tls, b.tls);
}

}  // namespace

// Held by its leases, and by its loop's timer while there is something to close: it ends with the
// loop at the latest, whichever goes first, the pool or the loop.
class RelayPool::Kept : public std::enable_shared_from_this<Kept> {
 public:
  Kept(Loop& loop, std::weak_ptr<const char> pool) : loop_(loop), pool_(std::move(pool)) {}

  std::unique_ptr<net::HttpClient> take(const net::Endpoint& to) {
    for (auto at = idle_.rbegin(); at != idle_.rend(); ++at) {
      if (!same(at->to, to)) continue;
      auto client = std::move(at->client);
      idle_.erase(std::next(at).base());
      return client;
    }
    return net::HttpClient::create(loop_, to);
  }

  void give_back(net::Endpoint to, std::unique_ptr<net::HttpClient> client) {
    if (pool_.expired()) return;
    const auto of_one =
        std::count_if(idle_.begin(), idle_.end(), [&](const Idle& i) { return same(i.to, to); });
    if (static_cast<size_t>(of_one) >= kMostKeptOfOne) return;
    if (idle_.size() >= kMostKept) idle_.pop_front();
    idle_.push_back({std::move(to), std::move(client), loop_.now()});
    if (!watched_) watch();
  }

  size_t size() const { return idle_.size(); }

 private:
  struct Idle {
    net::Endpoint to;
    std::unique_ptr<net::HttpClient> client;
    TimePoint since;
  };

  void watch() {
    watched_ = true;
    loop_.schedule(idle_.front().since + kKeptFor, [self = shared_from_this()] {
      self->watched_ = false;
      self->close_old();
      if (!self->idle_.empty()) self->watch();
    });
  }

  void close_old() {
    const bool all = pool_.expired();
    while (!idle_.empty() && (all || idle_.front().since + kKeptFor <= loop_.now())) {
      idle_.pop_front();
    }
  }

  Loop& loop_;
  std::weak_ptr<const char> pool_;
  std::list<Idle> idle_;  // that used last comes last
  bool watched_ = false;
};

RelayPool::Lease::Lease(std::shared_ptr<Kept> home, net::Endpoint to,
                        std::unique_ptr<net::HttpClient> client)
    : home_(std::move(home)), to_(std::move(to)), client_(std::move(client)) {}

RelayPool::Lease::~Lease() {
  if (client_) home_->give_back(std::move(to_), std::move(client_));
}

RelayPool::RelayPool() : alive_(std::make_shared<const char>()) {}
RelayPool::~RelayPool() = default;

std::shared_ptr<RelayPool::Kept> RelayPool::of(Loop& loop) {
  std::lock_guard lock(mutex_);
  std::weak_ptr<Kept>& at = loops_[&loop];
  std::shared_ptr<Kept> kept = at.lock();
  if (!kept) at = kept = std::make_shared<Kept>(loop, alive_);
  return kept;
}

RelayPool::Lease RelayPool::take(Loop& loop, net::Endpoint to) {
  std::shared_ptr<Kept> home = of(loop);
  auto client = home->take(to);
  return Lease(std::move(home), std::move(to), std::move(client));
}

size_t RelayPool::kept(Loop& loop) { return of(loop)->size(); }

}  // namespace keles::server
