#include "store/kept_snapshots.h"

#include <iterator>
#include <utility>

namespace keles {

size_t state_cost(const Object& state) {
  constexpr size_t kRecordAndObject = 448;
  return kRecordAndObject + state.stored()->size();
}

bool KeptSnapshots::keep(SnapshotPtr snapshot, const MemoryMap& map) {
  const int64_t revision = snapshot->revision();
  drop_let_go();
  if (find(revision)) return false;
  Kept k;
  k.edit = map.last_edit();
  k.snapshot = snapshot;
  k.charge = budget_.hold(Budget::Side::kSnapshots, std::move(snapshot), k.own);
  all_.emplace(revision, std::move(k));
  return true;
}

uint64_t KeptSnapshots::hold(int64_t revision, size_t bytes) {
  drop_let_go();
  Kept k;
  k.ticket = ++last_ticket_;
  k.own += bytes;
  k.charge = budget_.reserve(k.own);
  all_.emplace(revision, std::move(k));
  return last_ticket_;
}

void KeptSnapshots::let_go(uint64_t ticket) {
  for (auto it = all_.begin(); it != all_.end(); ++it) {
    if (it->second.ticket != ticket) continue;
    drop(it);
    return settle();
  }
}

KeptSnapshots::SnapshotPtr KeptSnapshots::find(int64_t revision) const {
  auto [from, to] = all_.equal_range(revision);
  for (auto it = from; it != to; ++it) {
    if (SnapshotPtr s = it->second.snapshot.lock()) return s;
  }
  return nullptr;
}

void KeptSnapshots::forget(int64_t revision) {
  for (auto it = all_.begin(); it != all_.end() && it->first < revision;)
    it = it->second.ticket == 0 ? drop(it) : std::next(it);
  drop_let_go();
  settle();
}

KeptSnapshots::Map::iterator KeptSnapshots::drop(Map::iterator at) {
  if (at != all_.begin()) {
    std::prev(at)->second.count(at->second.beyond);
  }
  return all_.erase(at);
}

void KeptSnapshots::drop_let_go() {
  for (auto it = all_.end(); it != all_.begin();) {  // from the newest: charges go down
    --it;
    if (!it->second.charge.held()) it = drop(it);
  }
}

// The newest that may show what was there before that write; end(): none.
KeptSnapshots::Map::iterator KeptSnapshots::shown_before(int64_t revision) {
  for (auto it = all_.lower_bound(revision); it != all_.begin();) {
    --it;
    if (it->second.charge.held()) return it;
    it = drop(it);
  }
  return all_.end();
}

void KeptSnapshots::Kept::count(size_t bytes) {
  beyond += bytes;
  told = false;
}

void KeptSnapshots::replaced(int64_t revision, const Object& before) {
  if (all_.empty()) return;
  auto at = shown_before(revision);
  if (at != all_.end() && before.revision() <= at->first) at->second.count(state_cost(before));
}

void KeptSnapshots::replaced_since(int64_t kept, int64_t revision, const Object& before) {
  auto newer = all_.upper_bound(kept);
  if (newer == all_.begin() || before.revision() > kept) return;
  if (newer != all_.end() && newer->first < revision) return;  // it is charged with this one
  std::prev(newer)->second.count(state_cost(before));
}

void KeptSnapshots::nodes_replaced(int64_t revision, size_t bytes) {
  if (all_.empty() || bytes == 0) return;
  auto at = shown_before(revision);
  if (at != all_.end()) at->second.count(bytes);
}

uint64_t KeptSnapshots::newest_edit() const {
  for (auto it = all_.rbegin(); it != all_.rend(); ++it) {
    if (it->second.edit != 0) return it->second.edit;
  }
  return 0;
}

void KeptSnapshots::settle() {
  for (auto it = all_.rbegin(); it != all_.rend(); ++it) {
    if (std::exchange(it->second.told, true)) continue;
    it->second.charge.resize(it->second.own + it->second.beyond);
  }
}

}  // namespace keles
