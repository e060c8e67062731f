#include "etcd/lessor.h"

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "etcd/errors.h"

namespace keles::etcdserver {
namespace {

constexpr Duration kLook = 500ms;
constexpr size_t kEndsBeyond = 64;  // superseded ends that are kept beside each lease's own

}  // namespace

void Lessor::attach(std::string_view key, int64_t before, int64_t now) {
  if (before == now) return;
  if (mvcc_ == nullptr) {
    if (before != 0) early_[before].erase(std::string(key));
    if (now != 0) early_[now].emplace(key);
    return;
  }
  if (auto it = leases_.find(before); it != leases_.end()) {
    if (auto held = it->second.keys.find(key); held != it->second.keys.end())
      it->second.keys.erase(held);
  }
  if (auto it = leases_.find(now); it != leases_.end()) it->second.keys.emplace(key);
}

Status Lessor::open(const Disk& disk, Mvcc& mvcc) {
  mvcc_ = &mvcc;
  Status broken;
  TRY(disk.scan(kLeases, kLeases, [&](std::string_view key, std::string_view value) {
    auto id = parse_lease_key(key);
    auto ttl = decode_lease_ttl(value);
    if (!id || !ttl.ok()) {
      broken = Status::internal("the data directory holds a damaged lease");
      return false;
    }
    Lease& lease = leases_[*id];
    lease.ttl = *ttl;
    lease.keys = std::move(early_[*id]);
    prolong(*id, lease);
    return true;
  }));
  TRY(broken);
  early_.clear();
  loop_.post([this] { tasks_.spawn(end_those_over()); });
  return Status();
}

Task<void> Lessor::stop() {
  ctx_.cancel();
  co_await tasks_.join();
}

void Lessor::prolong(int64_t id, Lease& lease) {
  lease.until = loop_.now() + lease.ttl * 1s;
  ends_.push({lease.until, id});
  if (ends_.size() <= 2 * leases_.size() + kEndsBeyond) return;
  std::priority_queue<End> fresh;
  for (const auto& [key, l] : leases_) fresh.push({l.until, key});
  ends_.swap(fresh);
}

Result<Lessor::Granted> Lessor::grant(int64_t id, int64_t ttl) {
  if (ttl > kMost) return refuse(Reason::kExpired, "too large lease TTL");
  while (id == 0) {
    id = static_cast<int64_t>(loop_.random().next() >> 1);
    if (has(id)) id = 0;
  }
  if (has(id)) return refuse(Reason::kConflict, "lease already exists");
  Lease& lease = leases_[id];
  lease.ttl = std::max(ttl, kLeast);
  prolong(id, lease);
  Mvcc::Write w(*mvcc_);
  w.record(lease_key(id), encode_lease(id, lease.ttl));
  w.end();
  Granted out;
  out.id = id;
  out.ttl = lease.ttl;
  return out;
}

Status Lessor::revoke(int64_t id) {
  auto it = leases_.find(id);
  if (it == leases_.end()) return no_lease();
  const auto keys = std::move(it->second.keys);
  leases_.erase(it);
  Mvcc::Write w(*mvcc_);
  for (const std::string& key : keys) {
    KeyRange one;
    one.from = key;
    w.remove(one);
  }
  w.record(lease_key(id), std::nullopt);
  w.end();
  return Status();
}

Result<int64_t> Lessor::keep_alive(int64_t id) {
  auto it = leases_.find(id);
  if (it == leases_.end()) return no_lease();
  prolong(id, it->second);
  return it->second.ttl;
}

std::optional<Lessor::State> Lessor::state(int64_t id, bool with_keys) const {
  auto it = leases_.find(id);
  if (it == leases_.end()) return std::nullopt;
  State out;
  out.granted = it->second.ttl;
  const Duration left = it->second.until - loop_.now();
  out.left = std::max<int64_t>(0, std::chrono::ceil<std::chrono::seconds>(left).count());
  if (with_keys) out.keys.assign(it->second.keys.begin(), it->second.keys.end());
  return out;
}

std::vector<int64_t> Lessor::all() const {
  std::vector<int64_t> out;
  for (const auto& [id, lease] : leases_) out.push_back(id);
  return out;
}

Task<void> Lessor::end_those_over() {
  for (;;) {
    Status s = co_await ctx_.sleep(kLook);
    if (!s.ok()) co_return;
    while (!ends_.empty() && ends_.top().when <= loop_.now()) {
      const End end = ends_.top();
      ends_.pop();
      auto it = leases_.find(end.id);
      if (it != leases_.end() && it->second.until <= loop_.now()) (void)revoke(end.id);
    }
  }
}

}  // namespace keles::etcdserver
