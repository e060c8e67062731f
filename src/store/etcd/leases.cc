#include "store/etcd/leases.h"

#include <algorithm>
#include <utility>

#include "store/etcd/messages.h"

namespace keles::etcd {
namespace {

constexpr const char* kGrant = "/etcdserverpb.Lease/LeaseGrant";

int64_t whole_seconds(Duration d) { return std::max<int64_t>(1, (d + 999'999'999ns) / 1s); }

}  // namespace

bool Leases::fits(const Lease& lease, Duration life) const {
  return lease.id != 0 && loop_.now() + life < lease.end && lease.keys < limits_.keys;
}

Task<Result<int64_t>> Leases::of(Context ctx, Duration life) {
  // One is asked for at a time: who waits meanwhile shares it.
  Status turn = co_await granting_.acquire(ctx);
  if (!turn.ok()) co_return turn;
  Lease lease = current_[life];
  if (!fits(lease, life)) {
    const double part = static_cast<double>(life.count()) * limits_.part_of_life;
    const Duration shared = std::min(limits_.reuse, Duration(static_cast<int64_t>(part)));
    const int64_t seconds = whole_seconds(life + shared);
    lease = Lease();
    lease.end = loop_.now() + std::chrono::seconds(seconds);
    std::string request = lease_request(seconds);
    // May be asked for again: one that is not used ends by itself.
    auto sent = co_await client_->read(ctx, kGrant, std::move(request));
    Result<int64_t> id = sent.ok() ? parse_lease(*sent) : Result<int64_t>(sent.status());
    if (!id.ok()) {
      granting_.release();
      co_return Status(Reason::kServiceUnavailable,
                       "etcd grants no lease: " + id.status().message());
    }
    lease.id = *id;
  }
  ++lease.keys;
  current_[life] = lease;
  granting_.release();
  co_return lease.id;
}

void Leases::forget(int64_t id) {
  std::erase_if(current_, [id](const auto& l) { return l.second.id == id; });
}

}  // namespace keles::etcd
