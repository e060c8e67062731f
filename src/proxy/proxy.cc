#include "proxy/proxy.h"

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace keles::proxy {
namespace {

using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;

// kube-proxy's metrics, by its names.
struct Metrics {
  using Labels = std::vector<std::string>;
  const Labels family{"ip_family"};
  metrics::Histogram& sync = metrics::histogram("kubeproxy_sync_proxy_rules_duration_seconds",
                                                "SyncProxyRules latency in seconds", family);
  metrics::Histogram& full =
      metrics::histogram("kubeproxy_sync_full_proxy_rules_duration_seconds",
                         "SyncProxyRules latency in seconds for full resyncs", family);
  metrics::Histogram& partial =
      metrics::histogram("kubeproxy_sync_partial_proxy_rules_duration_seconds",
                         "SyncProxyRules latency in seconds for partial resyncs", family);
  metrics::Gauge& synced =
      metrics::gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                     "The last time proxy rules were successfully synced", family);
  metrics::Gauge& queued =
      metrics::gauge("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                     "The last time a sync of proxy rules was queued", family);
  metrics::Counter& slices = metrics::counter("kubeproxy_sync_proxy_rules_endpoint_changes_total",
                                              "Cumulative proxy rules Endpoint changes");
  metrics::Counter& services = metrics::counter("kubeproxy_sync_proxy_rules_service_changes_total",
                                                "Cumulative proxy rules Service changes");
  metrics::Counter& failures =
      metrics::counter("kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                       "Cumulative proxy nftables sync failures", family);
  metrics::Counter& forgotten =
      metrics::counter("kubeproxy_conntrack_reconciler_deleted_entries_total",
                       "Cumulative conntrack flows deleted by conntrack reconciler");
};

Metrics& counted() {
  static Metrics m;
  return m;
}

std::vector<std::string> label(const RulesetOptions& o) { return {o.v6 ? "IPv6" : "IPv4"}; }

double in_seconds(WallTime t) { return static_cast<double>(t.ns) / 1e9; }

}  // namespace

bool bridge_passes_ip_hooks() {
  for (const char* family : {"iptables", "ip6tables"}) {
    const std::string path = std::string("/proc/sys/net/bridge/bridge-nf-call-") + family;
    if (!path_exists(path)) return false;
    (void)write_in_place(path, "1");
    Result<std::string> now = read_file(path);
    if (!now.ok() || !now->starts_with("1")) return false;
  }
  return true;
}

Proxy::Proxy(InformerFactory& informers, std::shared_ptr<Kernel> kernel, ProxyOptions options)
    : kernel_(std::move(kernel)),
      options_(std::move(options)),
      services_(informers.informer<Service>()),
      slices_(informers.informer<EndpointSlice>()),
      node_(informers.informer<api::core_v1::Node>("", "", "metadata.name=" + options_.node_name)),
      checks_(options_.check_address, [this] { return health().healthy; }) {
  for (const RulesetOptions& o : options_.rules) {
    families_.push_back(std::make_unique<Family>(options_.node_name, o));
  }
  node_.on_change([this](const Ref<api::core_v1::Node>&, const Ref<api::core_v1::Node>& now) {
    if (!now) return;
    const std::string zone(now->metadata().labels().get("topology.kubernetes.io/zone"));
    for (auto& f : families_) {
      if (f->table.set_zone(zone)) note_change();
    }
  });
  services_.on_change([this](const Ref<Service>& before, const Ref<Service>& now) {
    for (auto& f : families_) {
      if (now) {
        f->table.set_service(*now);
      } else {
        f->table.remove_service(before->metadata().namespace_(), before->metadata().name());
      }
    }
    counted().services.add();
    note_change();
  });
  slices_.on_change([this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
    for (auto& f : families_) {
      if (now) {
        f->table.set_slice(*now);
      } else {
        f->table.remove_slice(before->metadata().namespace_(), before->metadata().name());
      }
    }
    counted().slices.add();
    note_change();
  });
}

void Proxy::note_change() {
  if (loop_ != nullptr && !pending_since_) pending_since_ = loop_->now();
  for (const auto& f : families_) {
    if (loop_ == nullptr) break;
    counted().queued.with(label(f->rules.options())).set(in_seconds(loop_->wall_now()));
  }
  changed_.set();
}

Health Proxy::health() const {
  constexpr Duration kLate = 60s;  // twice kube-proxy's sync period
  constexpr std::string_view kRemoval = "ToBeDeletedByClusterAutoscaler";
  Health h;
  h.updated = updated_;
  for (const auto& f : families_) (f->rules.options().v6 ? h.v6 : h.v4) = true;
  if (loop_ == nullptr) return h;
  h.now = loop_->wall_now();
  h.healthy = !pending_since_ || loop_->now() - *pending_since_ < kLate;
  Ref<api::core_v1::Node> node = node_.get("", options_.node_name);
  h.node_eligible = node && node->metadata().deletion_timestamp().empty();
  if (!node) return h;
  for (auto taint : node->spec().taints()) h.node_eligible &= taint.key() != kRemoval;
  return h;
}

Task<void> Proxy::run(Context ctx) {
  loop_ = &ctx.loop();
  Status s = co_await services_.base().wait_synced(ctx);
  if (s.ok()) s = co_await slices_.base().wait_synced(ctx);
  if (s.ok()) s = co_await node_.base().wait_synced(ctx);
  changed_.set();
  Duration backoff = 100ms;
  while (!ctx.done()) {
    s = co_await changed_.wait(ctx);
    if (!s.ok()) break;
    changed_.reset();
    std::optional<TimePoint> pending = std::exchange(pending_since_, std::nullopt);
    s = co_await sync(ctx);
    if (s.ok()) {
      updated_ = ctx.loop().wall_now();
      for (const auto& f : families_) {
        counted().synced.with(label(f->rules.options())).set(in_seconds(updated_));
      }
      ready_ = true;
      backoff = 100ms;
      std::map<std::string, ServiceCheck> checks;
      for (const auto& f : families_) {
        for (auto& [service, check] : f->table.checks()) {
          auto [it, fresh] = checks.emplace(service, check);
          if (!fresh) it->second.local = std::max(it->second.local, check.local);
        }
      }
      co_await checks_.sync(ctx, std::move(checks));
      continue;
    }
    if (ctx.done()) break;
    log::error("Service rules not applied, rebuilding all", {{"err", s}});
    for (const auto& f : families_) counted().failures.with(label(f->rules.options())).add();
    built_ = false;
    pending_since_ = pending ? pending : ctx.loop().now();
    changed_.set();
    (void)co_await ctx.sleep(backoff);
    backoff = std::min<Duration>(backoff * 2, 30s);
  }
  Context last = Context::root(ctx.loop());
  co_await checks_.stop(last.with_timeout(5s));
  if (!options_.remove_on_exit) co_return;
  for (const auto& f : families_) (void)kernel_->apply(f->rules.remove());
}

void Proxy::take_changes(Family& f, std::vector<UdpFront>& fronts) {
  if (!built_) {
    f.table.mark_all_dirty();
    f.rules.reset();
  }
  for (const std::string& service : f.table.take_dirty()) {
    auto forwards = f.table.forwards(service);
    changed_fronts(f.rules.options(), f.rules.applied(service), forwards, fronts);
    f.rules.update(service, std::move(forwards), f.table.local_ips(service));
  }
}

// Every change in one transaction. The state of the rules is what it will make; a failure rebuilds
// everything anyway.
Task<Status> Proxy::sync(Context ctx) {
  Loop* loop = &ctx.loop();
  const TimePoint start = loop->now();
  const bool whole = !built_;
  std::vector<UdpFront> fronts;
  std::string text;
  for (auto& f : families_) {
    take_changes(*f, fronts);
    text += f->rules.take();
  }
  if (text.empty()) co_return Status();
  std::shared_ptr<Kernel> kernel = kernel_;
  // A local: GCC 12 destroys a closure that is written inside the awaited call twice.
  // The settings exist once a rule of ours has the kernel track connections.
  auto work = [kernel, text = std::move(text), fronts = std::move(fronts), first = !ready_,
               settings = options_.conntrack] {
    Status applied = kernel->apply(text);
    if (applied.ok() && first) {
      Status set = kernel->configure(settings);
      if (!set.ok()) log::warn("Connection tracking not set as wanted", {{"err", set}});
    }
    if (!applied.ok() || fronts.empty()) return applied;
    Result<int> forgotten = kernel->forget(fronts);
    if (forgotten.ok()) counted().forgotten.add(*forgotten);
    return forgotten.status();
  };
  Status s = co_await run_blocking(loop, work);
  if (s.ok()) built_ = true;
  const double took = static_cast<double>((loop->now() - start).count()) / 1e9;
  for (const auto& f : families_) {
    const auto family = label(f->rules.options());
    counted().sync.with(family).observe(took);
    (whole ? counted().full : counted().partial).with(family).observe(took);
  }
  co_return s;
}

// The UDP fronts that lead elsewhere than before.
void Proxy::changed_fronts(const RulesetOptions& options,
                           const std::map<std::string, Forward>& before,
                           const std::map<std::string, Forward>& now, std::vector<UdpFront>& out) {
  std::map<std::pair<std::optional<IpAddress>, uint16_t>, std::vector<Target>> fronts;
  auto add = [&](const Forward& f, const std::vector<Target>& targets) {
    fronts[{f.cluster_ip, f.port}] = targets;
    for (IpAddress ip : f.external_ips) fronts[{ip, f.port}] = targets;
    if (f.node_port == 0) return;
    if (!options.node_port_ips) fronts[{std::nullopt, f.node_port}] = targets;
    if (!options.node_port_ips) return;
    for (IpAddress ip : *options.node_port_ips) fronts[{ip, f.node_port}] = targets;
  };
  auto changed = [](const Forward& f, const std::string& key, const auto& others) {
    auto at = others.find(key);
    return f.protocol == Protocol::kUdp && (at == others.end() || !(at->second == f));
  };
  // Where it was and no longer is, it leads nowhere.
  for (const auto& [key, old] : before) {
    if (changed(old, key, now)) add(old, {});
  }
  for (const auto& [key, f] : now) {
    if (!changed(f, key, before)) continue;
    std::vector<Target> all = f.cluster_targets;
    all.insert(all.end(), f.local_targets.begin(), f.local_targets.end());
    add(f, all);
  }
  for (auto& [at, targets] : fronts) out.push_back({at.first, at.second, std::move(targets)});
}

}  // namespace keles::proxy
