#include "server/registry/snapshots.h"

namespace keles::registry {
namespace {
constexpr size_t kMost = 64;
constexpr Duration kAge = 5min;
}  // namespace

std::shared_ptr<const StoreSnapshot> SnapshotCache::find(int64_t revision) const {
  auto kept = kept_.load();
  for (const Kept& k : *kept) {
    if (k.snapshot->revision() == revision) return k.snapshot;
  }
  return nullptr;
}

void SnapshotCache::keep(std::shared_ptr<const StoreSnapshot> snapshot, WallTime now) {
  auto old = kept_.load();
  std::shared_ptr<const Keeps> fresh;
  do {
    auto next = std::make_shared<Keeps>();
    next->push_back({now, snapshot});
    for (const Kept& k : *old) {
      if (next->size() >= kMost) break;
      if (k.since + kAge > now && k.snapshot->revision() != snapshot->revision()) {
        next->push_back(k);
      }
    }
    fresh = std::move(next);
  } while (!kept_.compare_exchange_weak(old, fresh));
}

}  // namespace keles::registry
