#include "proxy/proxy.h"

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace keles::proxy {
namespace {

using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;

metrics::Histogram& sync_seconds() {
  static metrics::Histogram& m = metrics::histogram("kubeproxy_sync_proxy_rules_duration_seconds",
                                                    "SyncProxyRules latency in seconds");
  return m;
}

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
      table_(options_.node_name),
      rules_(options_.rules),
      checks_(options_.check_address, [this] { return health().healthy; }) {
  node_.on_change([this](const Ref<api::core_v1::Node>&, const Ref<api::core_v1::Node>& now) {
    if (!now) return;
    const std::string zone(now->metadata().labels().get("topology.kubernetes.io/zone"));
    if (table_.set_zone(zone)) note_change();
  });
  services_.on_change([this](const Ref<Service>& before, const Ref<Service>& now) {
    if (now) {
      table_.set_service(*now);
    } else {
      table_.remove_service(before->metadata().namespace_(), before->metadata().name());
    }
    note_change();
  });
  slices_.on_change([this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
    if (now) {
      table_.set_slice(*now);
    } else {
      table_.remove_slice(before->metadata().namespace_(), before->metadata().name());
    }
    note_change();
  });
}

void Proxy::note_change() {
  if (loop_ != nullptr && !pending_since_) pending_since_ = loop_->now();
  changed_.set();
}

Health Proxy::health() const {
  constexpr Duration kLate = 60s;  // twice kube-proxy's sync period
  constexpr std::string_view kRemoval = "ToBeDeletedByClusterAutoscaler";
  Health h;
  h.updated = updated_;
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
      ready_ = true;
      backoff = 100ms;
      co_await checks_.sync(ctx, table_.checks());
      continue;
    }
    if (ctx.done()) break;
    log::error("Service rules not applied, rebuilding all", {{"err", s}});
    built_ = false;
    table_.mark_all_dirty();
    pending_since_ = pending ? pending : ctx.loop().now();
    changed_.set();
    (void)co_await ctx.sleep(backoff);
    backoff = std::min<Duration>(backoff * 2, 30s);
  }
  Context last = Context::root(ctx.loop());
  co_await checks_.stop(last.with_timeout(5s));
  if (options_.remove_on_exit) (void)kernel_->apply(rules_.remove());
}

// Renders every change into one transaction. The ruleset is committed as it is rendered, since
// later services must see what earlier ones add to shared sets; a failure rebuilds everything
// anyway.
Task<Status> Proxy::sync(Context ctx) {
  Loop* loop = &ctx.loop();
  TimePoint start = loop->now();
  std::string text;
  if (!built_) {
    table_.mark_all_dirty();
    text = rules_.reset();
  }
  std::vector<StaleFlow> flows;
  for (const std::string& service : table_.take_dirty()) {
    auto forwards = table_.forwards(service);
    auto local_ips = table_.local_ips(service);
    text += rules_.update(service, forwards, local_ips);
    stale_flows(rules_.applied(service), forwards, flows);
    rules_.commit(service, std::move(forwards), std::move(local_ips));
  }
  if (text.empty()) co_return Status();
  std::shared_ptr<Kernel> kernel = kernel_;
  // A local: GCC 12 destroys a closure that is written inside the awaited call twice.
  // The timeouts exist once a rule of ours has the kernel track connections.
  auto work = [kernel, text, flows, first = !ready_, timeouts = options_.conntrack] {
    Status applied = kernel->apply(text);
    if (applied.ok() && first) {
      Status set = kernel->set_timeouts(timeouts);
      if (!set.ok()) log::warn("Timeouts of connection tracking not set", {{"err", set}});
    }
    if (!applied.ok() || flows.empty()) return applied;
    return kernel->forget(flows).status();
  };
  Status s = co_await run_blocking(loop, work);
  if (s.ok()) built_ = true;
  sync_seconds().observe(static_cast<double>((loop->now() - start).count()) / 1e9);
  co_return s;
}

// UDP has no end of connection: a flow to an endpoint that is gone, or one that began while there
// was no endpoint, would go on into the void for as long as its client keeps talking.
void Proxy::stale_flows(const std::map<std::string, Forward>& before,
                        const std::map<std::string, Forward>& now, std::vector<StaleFlow>& out) {
  static const std::set<Target> kNone;
  auto add = [&out](const Forward& f, std::optional<IpAddress> endpoint) {
    out.push_back({f.cluster_ip, f.port, endpoint});
    for (IpAddress ip : f.external_ips) out.push_back({ip, f.port, endpoint});
    if (f.node_port != 0) out.push_back({std::nullopt, f.node_port, endpoint});
  };
  for (const auto& [key, old] : before) {
    if (old.protocol != Protocol::kUdp) continue;
    auto at = now.find(key);
    const std::set<Target>& kept = at == now.end() ? kNone : at->second.targets;
    for (const Target& t : old.targets) {
      if (!kept.contains(t)) add(old, t.ip);
    }
  }
  for (const auto& [key, f] : now) {
    if (f.protocol != Protocol::kUdp || f.targets.empty()) continue;
    auto at = before.find(key);
    if (at == before.end() || at->second.targets.empty()) add(f, std::nullopt);
  }
}

}  // namespace keles::proxy
