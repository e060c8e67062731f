#include "server/registry/snapshots.h"

#include <map>
#include <string>

namespace keles::registry {
namespace {

constexpr Duration kAge = 5min;
constexpr Duration kMarkEvery = 10s;

using SnapshotPtr = std::shared_ptr<const StoreSnapshot>;

// The newest state with some keys as they were: null where there was nothing.
class PastSnapshot final : public StoreSnapshot {
 public:
  using Before = std::map<std::string, ObjectPtr, std::less<>>;
  PastSnapshot(SnapshotPtr base, Before before, int64_t revision)
      : base_(std::move(base)), before_(std::move(before)), revision_(revision) {}

  int64_t revision() const override { return revision_; }

  ObjectPtr get(std::string_view key) const override {
    auto it = before_.find(key);
    return it == before_.end() ? base_->get(key) : it->second;
  }

  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, const ObjectPtr&)>& fn) const override {
    auto old = before_.lower_bound(from);
    bool more = true;
    auto give_old = [&](std::string_view until) {  // those before `until`; "": all
      for (; more && old != before_.end() && (until.empty() || old->first < until); ++old) {
        if (old->second && std::string_view(old->first).starts_with(prefix)) {
          more = fn(old->first, old->second);
        }
      }
    };
    base_->scan(prefix, from, [&](std::string_view key, const ObjectPtr& object) {
      give_old(key);
      if (more && old != before_.end() && old->first == key) {
        if (old->second) more = fn(key, old->second);
        ++old;
      } else if (more) {
        more = fn(key, object);
      }
      return more;
    });
    give_old("");
  }

  size_t count(std::string_view prefix) const override {
    size_t n = 0;
    scan(prefix, prefix, [&](std::string_view, const ObjectPtr&) { return ++n > 0; });
    return n;
  }

  // Nobody knows what they were then.
  std::vector<UnreadableRecord> unreadable(std::string_view prefix) const override {
    return base_->unreadable(prefix);
  }

 private:
  SnapshotPtr base_;
  Before before_;
  int64_t revision_;
};

}  // namespace

int64_t Horizon::oldest(int64_t newest, WallTime now) {
  auto old = state_.load();
  std::shared_ptr<const State> fresh;
  do {
    const bool mark = old->marks.empty() || old->marks.back().when + kMarkEvery <= now;
    const bool drop = !old->marks.empty() && old->marks.front().when + kAge <= now;
    if (!mark && !drop) return old->oldest;
    auto next = std::make_shared<State>(*old);
    while (!next->marks.empty() && next->marks.front().when + kAge <= now) {
      next->oldest = next->marks.front().revision;
      next->marks.erase(next->marks.begin());
    }
    if (mark) next->marks.push_back({now, newest});
    fresh = std::move(next);
  } while (!state_.compare_exchange_weak(old, fresh));
  return fresh->oldest;
}

Task<Result<SnapshotPtr>> past_snapshot(Context ctx, Store* store, std::string prefix,
                                        int64_t revision) {
  SnapshotPtr base = store->snapshot();
  if (base->revision() == revision) co_return base;
  auto events = store->watch(ctx.loop(), prefix, revision);
  if (!events.ok()) co_return events.status();
  PastSnapshot::Before before;
  bool later = false;
  while (!later && (*events)->progress() < base->revision()) {  // they are there: no wait
    auto some = co_await (*events)->next(ctx, 1024);
    if (!some.ok()) co_return some.status();
    for (const auto& e : *some) {
      later |= e->revision > base->revision();
      if (!later) before.emplace(e->key, e->before);  // the first event tells the state before
    }
  }
  co_return std::make_shared<const PastSnapshot>(std::move(base), std::move(before), revision);
}

}  // namespace keles::registry
