#include "controllers/storage/attach_metrics.h"

#include "base/metrics.h"

namespace keles::controllers {
namespace {

void add_uses(const AttachMetrics::Uses& uses, int64_t sign) {
  static metrics::Gauge& gauge =
      metrics::gauge("storage_count_attachable_volumes_in_use", "Measure number of volumes in use",
                     {"node", "volume_plugin"});
  for (const auto& [where, n] : uses)
    gauge.with({where.first, where.second}).add(static_cast<double>(sign * n));
}

void add_total(const std::string& plugin, const char* state, int64_t n) {
  static metrics::Gauge& gauge =
      metrics::gauge("attachdetach_controller_total_volumes", "Number of volumes in A/D Controller",
                     {"plugin_name", "state"});
  if (n != 0) gauge.with({plugin, state}).add(static_cast<double>(n));
}

}  // namespace

AttachMetrics::~AttachMetrics() {
  for (const auto& [key, uses] : uses_) add_uses(uses, -1);
  while (!totals_.empty()) set_totals(std::string(totals_.begin()->first), "", 0, 0);
}

void AttachMetrics::set_uses(const std::string& key, Uses now) {
  auto at = uses_.find(key);
  if (at != uses_.end()) {
    if (at->second == now) return;
    add_uses(at->second, -1);
  }
  add_uses(now, 1);
  if (!now.empty()) {
    uses_[key] = std::move(now);
  } else if (at != uses_.end()) {
    uses_.erase(at);
  }
}

void AttachMetrics::set_totals(const std::string& volume, const std::string& plugin, int64_t wanted,
                               int64_t attached) {
  Totals& at = totals_[volume];
  if (at.plugin.empty()) at.plugin = plugin;
  add_total(at.plugin, "desired_state_of_world", wanted - at.wanted);
  add_total(at.plugin, "actual_state_of_world", attached - at.attached);
  at.wanted = wanted;
  at.attached = attached;
  if (wanted == 0 && attached == 0) totals_.erase(volume);
}

}  // namespace keles::controllers
