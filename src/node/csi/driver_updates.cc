// How many volumes of a driver fit, asked again as often as its CSIDriver says (KEP-4876).
#include <algorithm>
#include <optional>

#include "base/log.h"
#include "node/csi/drivers.h"

namespace keles::node {

using api::storage_v1::CSIDriver;

void CsiDrivers::follow(Informer<CSIDriver> objects) {
  objects_.emplace(objects);
  objects.on_change(
      [this](const Ref<CSIDriver>&, const Ref<CSIDriver>&) { periods_changed_.set(); });
}

Task<void> CsiDrivers::keep_current(Context ctx) {
  std::map<std::string, TimePoint> asked;
  while (!ctx.done()) {
    periods_changed_.reset();
    const TimePoint now = ctx.loop().now();
    std::vector<std::string> due;
    std::optional<TimePoint> next;
    for (const Ref<CSIDriver>& o : objects_->list()) {
      const std::string name(o->metadata().name());
      const Duration period =
          std::chrono::seconds(o->spec().node_allocatable_update_period_seconds());
      if (period <= Duration(0) || !drivers_.contains(name)) {
        asked.erase(name);
        continue;
      }
      TimePoint& last = asked.try_emplace(name, now).first->second;
      if (last + period <= now) {
        last = now;
        due.push_back(name);
      }
      next = std::min(next.value_or(last + period), last + period);
    }
    for (const std::string& name : due) {
      Status s = co_await ask_again(ctx, name);
      if (!s.ok() && !ctx.done())
        log::warn("Cannot tell how many volumes fit", {{"driver", name}, {"error", s}});
    }
    Context limit = ctx;
    if (next) limit = ctx.with_timeout(std::max<Duration>(*next - ctx.loop().now(), 1ms));
    (void)co_await periods_changed_.wait(limit);
  }
}

Task<Status> CsiDrivers::ask_again(Context ctx, std::string name) {
  auto driver = find(name);
  if (!driver.ok()) co_return Status();  // it has gone
  auto about = co_await csi::node_info(ctx, driver->endpoint);
  if (!about.ok()) co_return about.status();
  if (about->max_volumes == driver->info.max_volumes) co_return Status();
  // The rest is as it was registered.
  csi::NodeInfo info = driver->info;
  info.max_volumes = about->max_volumes;
  Status s = co_await update_csi_node(ctx, name, info, false);
  auto it = drivers_.find(name);
  if (s.ok() && it != drivers_.end()) it->second.info = info;
  co_return s;
}

}  // namespace keles::node
