// What kept snapshots cost: the charge against what they really hold beyond the newest state.
#include "store/kept_snapshots.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "store/event_window.h"
#include "store/replica.h"
#include "store/sim/sim_store.h"
#include "store/test_objects.h"

namespace keles::store_test {
namespace {

using Side = Budget::Side;
using SnapshotPtr = std::shared_ptr<const StoreSnapshot>;

struct World {
  explicit World(size_t limit) : budget(limit) {
    ReplicaOptions o;
    o.window.budget = &budget;
    store = *open_sim_store(disk, std::move(o));
  }
  ObjectPtr write(StoreWrite w) {
    auto r = run_to_end(loop, store->write(Context::root(loop), std::move(w)));
    EXPECT_TRUE(r.ok()) << r.status().to_string();
    return r.ok() ? *r : nullptr;
  }
  static std::string name(int i) { return "m" + std::to_string(1000 + i); }
  void put(int i, size_t size) {
    ObjectPtr now = store->snapshot()->get(config_map_key("d", name(i)));
    std::string value(size, 'x');
    write(now ? update("d", name(i), value, now->revision()) : create("d", name(i), value));
  }
  void erase(int i) {
    ObjectPtr now = store->snapshot()->get(config_map_key("d", name(i)));
    if (now) write(remove("d", name(i), now->revision()));
  }
  SnapshotPtr keep() {
    SnapshotPtr now = store->snapshot();
    store->keep(now);
    return now;
  }
  size_t used() const { return budget.used(Side::kSnapshots); }

  Budget budget;
  SimLoop loop{1};
  SimDisk disk{loop};
  std::unique_ptr<Store> store;
};

// The states that these snapshots hold and the newest does not, each once.
size_t held_beyond(const World& w, const std::vector<SnapshotPtr>& kept) {
  std::set<const Object*> there, old;
  size_t bytes = 0;
  w.store->snapshot()->scan(
      "", "", [&](std::string_view, const ObjectPtr& o) { return there.insert(o.get()), true; });
  for (const SnapshotPtr& s : kept) {
    s->scan("", "", [&](std::string_view, const ObjectPtr& o) {
      if (!there.contains(o.get()) && old.insert(o.get()).second) bytes += state_cost(*o);
      return true;
    });
  }
  return bytes;
}

TEST(KeptSnapshots, TheChargeIsWhatTheyHoldBeyondTheNewestState) {
  World w(size_t{1} << 30);
  Random random(3);
  for (int i = 0; i < 200; ++i) w.put(i, 2000);
  std::vector<SnapshotPtr> kept;
  for (int round = 0; round < 6; ++round) {
    kept.push_back(w.keep());
    for (int i = 0; i < 150; ++i) {
      const int which = static_cast<int>(random.below(250));
      random.chance(0.8) ? w.put(which, 1000 + random.below(3000)) : w.erase(which);
    }
    const size_t held = held_beyond(w, kept);
    const size_t nodes = w.used() - held - kept.size() * KeptSnapshots::kLeast;
    EXPECT_GE(w.used(), held);
    // 200 keys are some 13 leaves of at most 1 KB, of which each snapshot may hold all.
    EXPECT_GT(nodes, 0u);
    EXPECT_LT(nodes, kept.size() * 20'000);
  }
  // The oldest goes: what it alone held is free, and the rest is charged as before.
  w.store->forget_kept(kept[1]->revision());
  EXPECT_EQ(w.store->kept(kept[0]->revision()), nullptr);
  kept.erase(kept.begin());
  EXPECT_GE(w.used(), held_beyond(w, kept));
  EXPECT_LT(w.used(), held_beyond(w, kept) + kept.size() * 25'000);
  w.store->forget_kept(INT64_MAX);
  EXPECT_EQ(w.used(), 0u);
}

TEST(KeptSnapshots, WhatCameAfterItAndWentIsNotItsOwn) {
  World w(size_t{1} << 30);
  w.put(1, 5000);
  w.keep();
  for (int i = 0; i < 100; ++i) w.put(1, 5000);  // as a Lease's heartbeats do
  EXPECT_LT(w.used(), size_t{5000 + 1000 + 2000} + KeptSnapshots::kLeast);
}

// A list takes a while: writes come between the snapshot and its keeping.
TEST(KeptSnapshots, OneThatIsKeptLateIsChargedWithWhatCameBetween) {
  World w(size_t{1} << 30);
  for (int i = 0; i < 20; ++i) w.put(i, 5000);
  SnapshotPtr old = w.store->snapshot();
  for (int i = 0; i < 20; ++i) w.put(i, 5000);
  w.store->keep(old);
  EXPECT_GE(w.used(), held_beyond(w, {old}));
  const size_t once = w.used();
  w.store->keep(old);  // again: nothing more
  EXPECT_EQ(w.used(), once);
  EXPECT_EQ(w.store->kept(old->revision()), old);
}

TEST(KeptSnapshots, TheOldestGoesWhenTheBudgetWantsRoom) {
  World w(400'000);
  for (int i = 0; i < 50; ++i) w.put(i, 5000);
  SnapshotPtr a = w.keep();
  const int64_t first = a->revision();
  w.put(0, 5000);
  SnapshotPtr b = w.keep();
  const int64_t second = b->revision();
  std::weak_ptr<const StoreSnapshot> old = a;
  a = b = nullptr;
  for (int i = 0; i < 20; ++i) w.put(i, 5000);
  EXPECT_NE(w.store->kept(first), nullptr);
  EXPECT_NE(w.store->kept(second), nullptr);
  auto forms = w.budget.hold(Side::kForms, std::make_shared<int>(1), 133'000);
  for (int i = 20; i < 40 && w.store->kept(first); ++i) w.put(i, 5000);
  EXPECT_EQ(w.store->kept(first), nullptr);
  EXPECT_TRUE(old.expired());
  EXPECT_TRUE(forms.held());
  EXPECT_LE(w.budget.used(), w.budget.limit());
}

// A backup cannot be let go: the caches make room for it.
TEST(KeptSnapshots, ABackupUnderWayIsCharged) {
  World w(400'000);
  for (int i = 0; i < 50; ++i) w.put(i, 3000);
  const size_t before = w.budget.used();
  Contents backup = w.store->contents();
  EXPECT_GT(w.budget.used(), before + 50 * sizeof(Change));
  for (int i = 0; i < 50; ++i) w.put(i, 3000);
  const size_t caches = w.budget.used(Side::kHistory) + w.budget.used(Side::kForms);
  EXPECT_GT(w.budget.used() - caches, size_t{50 * 3000});
  EXPECT_LE(w.budget.used(), w.budget.limit());
  backup = Contents();
  EXPECT_EQ(w.budget.used(), w.budget.used(Side::kHistory) + w.budget.used(Side::kForms));
}

// What the one that goes first was charged with, an older one may still hold.
TEST(KeptSnapshots, AChargeGoesToTheOlderOne) {
  World w(size_t{1} << 30);
  for (int i = 0; i < 50; ++i) w.put(i, 3000);
  Contents older = w.store->contents();
  w.put(50, 10);
  Contents newer = w.store->contents();
  for (int i = 0; i < 50; ++i) w.put(i, 3000);
  newer = Contents();
  const size_t caches = w.budget.used(Side::kHistory) + w.budget.used(Side::kForms);
  EXPECT_GT(w.budget.used() - caches, size_t{50 * 3000});
  older = Contents();
  EXPECT_EQ(w.budget.used(), caches);
}

}  // namespace
}  // namespace keles::store_test
