#include "store/follow.h"

namespace keles {
namespace {

constexpr Duration kAgain = 100ms;  // after a watch has ended

}  // namespace

Task<void> follow(Context ctx, Store* store, std::string prefix, std::function<void()> changed) {
  while (!ctx.done()) {
    const int64_t from = store->revision();
    changed();
    auto watch = store->watch(ctx.loop(), prefix, from);
    while (watch.ok()) {
      auto events = co_await (*watch)->next(ctx, 1000);
      if (!events.ok()) break;
      changed();
    }
    if (ctx.done()) break;
    Status s = co_await ctx.sleep(kAgain);
    if (!s.ok()) break;
  }
}

}  // namespace keles
