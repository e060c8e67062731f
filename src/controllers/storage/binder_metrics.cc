#include "controllers/storage/binder_metrics.h"

#include "api/core_v1.h"
#include "base/metrics.h"
#include "machinery/volumes/claim_rules.h"
#include "machinery/volumes/plugins.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

struct Gauges {
  metrics::Gauge& total = metrics::gauge("pv_collector_total_pv_count",
                                         "Gauge measuring total number of persistent volumes",
                                         {"plugin_name", "volume_mode"});
  metrics::Gauge& bound = metrics::gauge(
      "pv_collector_bound_pv_count", "Gauge measuring number of persistent volume currently bound",
      {"storage_class"});
  metrics::Gauge& unbound = metrics::gauge(
      "pv_collector_unbound_pv_count",
      "Gauge measuring number of persistent volume currently unbound", {"storage_class"});
  metrics::Gauge& bound_claims =
      metrics::gauge("pv_collector_bound_pvc_count",
                     "Gauge measuring number of persistent volume claim currently bound",
                     {"namespace", "storage_class", "volume_attributes_class"});
  metrics::Gauge& unbound_claims =
      metrics::gauge("pv_collector_unbound_pvc_count",
                     "Gauge measuring number of persistent volume claim currently unbound",
                     {"namespace", "storage_class", "volume_attributes_class"});
  static Gauges& get() {
    static Gauges g;
    return g;
  }
};

void count_error(const std::string& plugin, const std::string& operation) {
  static const std::vector<std::string> kLabels{"plugin_name", "operation_name"};
  static metrics::Counter& old =
      metrics::counter("volume_operation_total_errors", "Total volume operation errors", kLabels);
  static metrics::Counter& errors =
      metrics::counter("volume_operation_errors_total", "Total volume operation errors", kLabels);
  old.with({plugin, operation}).add();
  errors.with({plugin, operation}).add();
}

}  // namespace

BinderMetrics::~BinderMetrics() {
  while (!volumes_.empty()) replace(volumes_, std::string(volumes_.begin()->first), {});
  while (!claims_.empty()) replace(claims_, std::string(claims_.begin()->first), {});
}

void BinderMetrics::add(const Share& share, double d) {
  Gauges& g = Gauges::get();
  switch (share.gauge) {
    case Gauge::kTotal:
      return g.total.with(share.labels).add(d);
    case Gauge::kBoundVolume:
      return g.bound.with(share.labels).add(d);
    case Gauge::kUnboundVolume:
      return g.unbound.with(share.labels).add(d);
    case Gauge::kBoundClaim:
      return g.bound_claims.with(share.labels).add(d);
    case Gauge::kUnboundClaim:
      return g.unbound_claims.with(share.labels).add(d);
  }
}

void BinderMetrics::replace(Shares& all, const std::string& key, std::vector<Share> now) {
  auto it = all.find(key);
  if (it != all.end()) {
    for (const Share& s : it->second) add(s, -1);
  }
  for (const Share& s : now) add(s, 1);
  if (!now.empty()) {
    all[key] = std::move(now);
  } else if (it != all.end()) {
    all.erase(it);
  }
}

void BinderMetrics::count_volume(const std::string& name, const ObjectPtr& now) {
  if (!now) return replace(volumes_, name, {});
  const Ref<PersistentVolume> v = read<PersistentVolume>(now);
  const bool bound = v->status().phase() == "Bound";
  replace(volumes_, name,
          {{Gauge::kTotal, {volumes::plugin_label(*v), std::string(v->spec().volume_mode())}},
           {bound ? Gauge::kBoundVolume : Gauge::kUnboundVolume,
            {std::string(v->spec().storage_class_name())}}});
}

void BinderMetrics::count_claim(const std::string& key, const ObjectPtr& now) {
  if (!now) return replace(claims_, key, {});
  const Ref<PersistentVolumeClaim> c = read<PersistentVolumeClaim>(now);
  const bool bound = c->status().phase() == "Bound";
  replace(claims_, key,
          {{bound ? Gauge::kBoundClaim : Gauge::kUnboundClaim,
            {std::string(c->metadata().namespace_()), std::string(volumes::class_of(*c)),
             std::string(c->spec().volume_attributes_class_name())}}});
}

void BinderMetrics::began(const std::string& key, std::string plugin, std::string_view operation) {
  operations_.try_emplace(key, Operation{std::move(plugin), std::string(operation), loop_.now()});
}

void BinderMetrics::ended(const std::string& key, bool ok) {
  auto it = operations_.find(key);
  if (it == operations_.end()) return;
  if (!ok) return count_error(it->second.plugin, it->second.name);
  static metrics::Histogram& seconds = metrics::histogram(
      "volume_operation_total_seconds", "Storage operation end to end duration in seconds",
      {"plugin_name", "operation_name"}, {.1, .25, .5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600});
  const Duration took = loop_.now() - it->second.since;
  seconds.with({it->second.plugin, it->second.name})
      .observe(std::chrono::duration<double>(took).count());
  operations_.erase(it);
}

void BinderMetrics::assigned_class(bool ok) {
  static metrics::Counter& all = metrics::counter(
      "retroactive_storageclass_total",
      "Total number of retroactive StorageClass assignments to persistent volume claim");
  static metrics::Counter& failed =
      metrics::counter("retroactive_storageclass_errors_total",
                       "Total number of failed retroactive StorageClass assignments to persistent "
                       "volume claim");
  all.add();
  if (!ok) failed.add();
}

}  // namespace keles::controllers
