#include "server/flow/estimate.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "server/objects/keys.h"

namespace keles::flow {
namespace {

constexpr int64_t kBytesPerSeat = 100'000;
constexpr int64_t kStreamedBytes = 1'000'000;  // that much of a list is in memory at once
constexpr int64_t kLargestObject = 1'500'000;
constexpr double kWatchersPerSeat = 10;
constexpr Duration kTelling = 5ms;
constexpr Duration kSizesHold = 10s;
constexpr size_t kSample = 64, kMaxKnown = 10'000;

uint64_t key_of(std::string_view group, std::string_view resource, std::string_view ns,
                std::string_view name) {
  uint64_t h = 0;
  for (std::string_view part : {group, resource, ns, name}) {
    h = (h ^ std::hash<std::string_view>()(part)) * 0x9e3779b97f4a7c15;
    h ^= h >> 29;
  }
  return h;
}

}  // namespace

WatchTracker::Watching WatchTracker::watch(const Digest& d, std::string_view node) {
  if (d.resource == "pods" && !node.empty()) return {};
  const uint64_t key = key_of(d.group, d.resource, d.ns, d.name);
  count(key, 1);
  return {this, key};
}

void WatchTracker::count(uint64_t key, int n) {
  std::lock_guard lock(mutex_);
  auto at = counts_.try_emplace(key).first;
  at->second += n;
  if (at->second == 0) counts_.erase(at);
}

int WatchTracker::at(uint64_t key) const {
  auto found = counts_.find(key);
  return found == counts_.end() ? 0 : found->second;
}

int WatchTracker::watchers(const Digest& d) const {
  std::lock_guard lock(mutex_);
  if (counts_.empty()) return 0;
  int n = at(key_of(d.group, d.resource, "", ""));
  if (!d.ns.empty()) n += at(key_of(d.group, d.resource, d.ns, ""));
  if (!d.name.empty()) n += at(key_of(d.group, d.resource, d.ns, d.name));
  return n;
}

ObjectSizes::Size ObjectSizes::of(const Store& store, const KindDesc& kind, TimePoint now) {
  const std::string prefix = registry::kind_prefix(kind);
  {
    std::lock_guard lock(mutex_);
    auto at = known_.find(prefix);
    if (at != known_.end() && now < at->second.until) return at->second.size;
  }
  auto snapshot = store.snapshot();
  Size out;
  out.objects = static_cast<int64_t>(snapshot->count(prefix));
  size_t seen = 0, bytes = 0;
  snapshot->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    bytes += o->stored()->size();
    return ++seen < kSample;
  });
  if (seen > 0) out.average_bytes = static_cast<int64_t>(bytes / seen);
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[prefix] = {out, now + kSizesHold};
  return out;
}

// What of it upstream reads from its cache, which costs less, and what from etcd.
static bool from_cache(const ListQuestion& q) {
  if (q.watch || q.match == "NotOlderThan") return true;
  if (!q.match.empty() || q.continues) return false;
  return q.limit <= 0 || q.revision.empty() || q.revision == "0";
}

uint64_t list_seats(const ListQuestion& q, const ObjectSizes::Size& size, uint64_t widest) {
  const uint64_t most = widest == 0 ? kWidestList : std::min(widest, kWidestList);
  if (q.watch && !q.initial_events && !q.revision.empty() && q.revision != "0") return 1;
  const int64_t average =
      size.average_bytes <= 0 && size.objects > 0 ? kLargestObject : size.average_bytes;
  int64_t loaded = q.limit > 0 ? std::min(q.limit, size.objects) : size.objects;
  const bool cached = from_cache(q);
  if (q.one) {
    loaded = 1;
  } else if (!cached && q.selects) {
    loaded = std::max(loaded, size.objects / 2);
  }
  int64_t bytes = loaded * average;
  if (cached) bytes = std::min(bytes, kStreamedBytes);
  const auto seats = static_cast<uint64_t>((bytes + kBytesPerSeat - 1) / kBytesPerSeat);
  return std::clamp<uint64_t>(seats, 1, most);
}

// As much work as a seat for 5 ms for every ten watchers, in another shape when the level is too
// narrow for that.
Work write_work(int watchers, uint64_t widest) {
  Work out;
  if (watchers < kWatchersPerSeat) return out;
  const auto wanted = static_cast<uint64_t>(std::ceil(watchers / kWatchersPerSeat));
  const uint64_t most = widest == 0 ? kWidestWrite : std::min(widest, kWidestWrite);
  out.final_seats = std::min(wanted, most);
  const SeatSeconds work = seat_seconds(static_cast<double>(wanted), kTelling);
  out.extra = per_seat(work, static_cast<double>(out.final_seats));
  return out;
}

}  // namespace keles::flow
