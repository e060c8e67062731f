#include "controllers/node_lifecycle.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::coordination_v1::Lease;

namespace {

constexpr std::string_view kLeaseNamespace = "kube-node-lease";
constexpr std::string_view kNotReady = "node.kubernetes.io/not-ready";
constexpr std::string_view kUnreachable = "node.kubernetes.io/unreachable";

struct ConditionTaint {
  std::string_view condition, status, taint;
};
constexpr ConditionTaint kConditionTaints[] = {
    {"Ready", "False", kNotReady},
    {"Ready", "Unknown", kUnreachable},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
};
constexpr std::string_view kUnschedulable = "node.kubernetes.io/unschedulable";

NodeCondition find_condition(const Node& node, std::string_view type) {
  for (NodeCondition c : node.status().conditions()) {
    if (c.type() == type) return c;
  }
  return {};
}

bool is_ours(std::string_view key, std::string_view effect) {
  if (effect == "NoExecute") return key == kNotReady || key == kUnreachable;
  if (effect != "NoSchedule") return false;
  if (key == kUnschedulable) return true;
  for (const auto& t : kConditionTaints) {
    if (t.taint == key) return true;
  }
  return false;
}

std::string zone_of(const Node& node) {
  const auto labels = node.metadata().labels();
  const std::string_view region = labels.get("topology.kubernetes.io/region"),
                         zone = labels.get("topology.kubernetes.io/zone");
  if (region.empty() && zone.empty()) return "";
  return std::string(region) + "/" + std::string(zone);
}

}  // namespace

std::string_view node_condition(const Node& node, std::string_view type) {
  return find_condition(node, type).status();
}

std::optional<Draft<NodeEdit>> plan_silent_node(const Node& node, WallTime now) {
  Draft<NodeEdit> d(node);
  std::string when = format_time(now);
  bool changed = false;
  auto list = d->edit_status().edit_conditions();
  for (std::string_view type : {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}) {
    size_t at = 0;
    while (at < list.size() && list[at].type() != type) ++at;
    if (at == list.size()) {
      auto c = list.add();
      c.set_type(type);
      c.set_status("Unknown");
      c.set_last_heartbeat_time(node.metadata().creation_timestamp());
      c.set_last_transition_time(when);
      c.set_reason("NodeStatusNeverUpdated");
      c.set_message("Kubelet never posted node status.");
      changed = true;
    } else if (list[at].status() != "Unknown") {
      auto c = list[at];
      c.set_status("Unknown");
      c.set_last_transition_time(when);
      c.set_reason("NodeStatusUnknown");
      c.set_message("Kubelet stopped posting node status.");
      changed = true;
    }
  }
  if (!changed) return std::nullopt;
  return d;
}

std::optional<Draft<NodeEdit>> plan_node_taints(const Node& node, bool may_evict, bool disrupted,
                                                WallTime now, bool* wants_eviction) {
  std::set<std::pair<std::string, std::string>> wanted;  // key, effect
  for (const auto& t : kConditionTaints) {
    if (node_condition(node, t.condition) == t.status) {
      wanted.emplace(t.taint, "NoSchedule");
    }
  }
  if (node.spec().unschedulable()) wanted.emplace(kUnschedulable, "NoSchedule");
  std::string_view ready = node_condition(node, "Ready");
  std::string_view evict = ready == "False"     ? kNotReady
                           : ready == "Unknown" ? kUnreachable
                                                : std::string_view();
  if (!evict.empty() && !disrupted) {
    bool tainted = false;  // already to be emptied: which of the two it is may change freely
    bool exact = false;
    for (Taint t : node.spec().taints()) {
      if (t.effect() != "NoExecute") continue;
      tainted = tainted || t.key() == kNotReady || t.key() == kUnreachable;
      exact = exact || t.key() == evict;
    }
    *wants_eviction = !exact;
    if (tainted || may_evict) wanted.emplace(evict, "NoExecute");
  }
  Draft<NodeEdit> d(node);
  bool changed = false;
  auto list = d->edit_spec().edit_taints();
  for (size_t i = 0; i < list.size();) {
    std::pair<std::string, std::string> id(list[i].key(), list[i].effect());
    if (wanted.erase(id)) {
      ++i;
    } else if (is_ours(id.first, id.second)) {
      list.erase_at(i);
      changed = true;
    } else {
      ++i;
    }
  }
  for (const auto& [key, effect] : wanted) {
    auto t = list.add();
    t.set_key(key);
    t.set_effect(effect);
    t.set_time_added(format_time(now));
    changed = true;
  }
  if (!changed) return std::nullopt;
  if (list.empty()) d->edit_spec().clear_taints();
  return d;
}

NodeLifecycleController::NodeLifecycleController(Deps deps)
    : Controller(deps, "node_lifecycle_controller", "node-controller", 4),
      nodes_(watch_own<Node>()),
      pods_(watch<Pod>()),
      leases_(deps.informers.informer<Lease>(std::string(kLeaseNamespace))) {
  watch_also(leases_.base());
  index_by_node(pods_.base());
  // A sign of life is noted, and no more: whoever waits for silence looks when it would be silence.
  auto renewed = [this](const ObjectPtr& now) {
    auto lease = read<Lease>(now);
    std::string name(now->name());
    if (!note_lease(name, lease->spec().renew_time()) || unwell_.contains(name)) queue().add(name);
  };
  leases_.base().add_handler(
      {renewed, [renewed](const ObjectPtr&, const ObjectPtr& now) { renewed(now); }, nullptr});
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    const Ref<Node>& any = now ? now : before;
    std::string name(any->metadata().name());
    if (!now) health_.erase(name);
    std::string_view was = before ? node_condition(*before, "Ready") : "";
    std::string_view is = now ? node_condition(*now, "Ready") : "";
    if (was == "True" && now && is != "True") health_[name].pods_to_mark = true;
    std::string shape = shape_of_zones();
    if (before) count(*before, -1);
    if (now) count(*now, +1);
    unwell_.erase(name);
    if (now && is != "True") unwell_.insert(name);
    // The share of healthy nodes decides about the unhealthy ones.
    if (shape == shape_of_zones()) return;
    for (const std::string& n : unwell_) queue().add(n);
  });
}

// False: it is no node that we know.
bool NodeLifecycleController::note_lease(const std::string& node, std::string_view renewed) {
  auto it = health_.find(node);
  if (it == health_.end()) return false;
  if (it->second.lease == renewed) return true;
  it->second.lease = renewed;
  it->second.seen = loop().now();
  return true;
}

// How long the node has been silent. Nobody is silent while we hear nothing, nor before we have
// listened for as long: else every node would be marked after a break of our own connection.
Duration NodeLifecycleController::observe(const Ref<Node>& node) {
  Health& h = health_[std::string(node->metadata().name())];
  NodeCondition ready = find_condition(*node, "Ready");
  // What this controller writes itself (Unknown) is no sign of life.
  std::string heartbeat = ready.status() == "Unknown" ? h.heartbeat
                                                      : std::string(ready.last_heartbeat_time()) +
                                                            "/" + std::string(ready.status());
  if (!h.known || heartbeat != h.heartbeat) {
    h.seen = loop().now();
    h.heartbeat = std::move(heartbeat);
    h.known = true;
  }
  TimePoint listening = std::max(h.seen, leases_.base().hearing_since());
  return std::max(Duration(0), loop().now() - std::min(listening, loop().now()));
}

bool NodeLifecycleController::Zone::partly_disrupted(const controllers::Options& o) const {
  return ready > 0 && not_ready > 2 &&
         not_ready >= o.unhealthy_zone_threshold * (ready + not_ready);
}

namespace {

struct ZoneMetrics {
  metrics::Gauge& health = metrics::gauge("node_collector_zone_health",
                                          "Percentage of healthy nodes in the zone.", {"zone"});
  metrics::Gauge& size =
      metrics::gauge("node_collector_zone_size", "Nodes registered in the zone.", {"zone"});
  metrics::Gauge& unhealthy = metrics::gauge("node_collector_unhealthy_nodes_in_zone",
                                             "Nodes of the zone that are not ready.", {"zone"});
  metrics::Counter& evictions =
      metrics::counter("node_collector_evictions_total",
                       "Nodes of the zone whose pods were begun to be evicted.", {"zone"});
  metrics::Histogram& update = metrics::histogram(
      "node_collector_update_node_health_duration_seconds",
      "How long it takes to bring what is known of one node's health up to date.", {},
      {.001, .004, .016, .064, .256, 1.024, 4.096, 16.384});
};
ZoneMetrics& zone_metrics() {
  static ZoneMetrics m;
  return m;
}

}  // namespace

void NodeLifecycleController::count(const Node& node, int by) {
  Zone& z = zones_[zone_of(node)];
  std::string_view ready = node_condition(node, "Ready");
  if (ready == "True") z.ready += by;
  if (ready == "False" || ready == "Unknown") z.not_ready += by;
  const int all = z.ready + z.not_ready;
  zone_metrics().size.with({zone_of(node)}).set(all);
  zone_metrics().unhealthy.with({zone_of(node)}).set(z.not_ready);
  zone_metrics().health.with({zone_of(node)}).set(all == 0 ? 100 : 100.0 * z.ready / all);
}

bool NodeLifecycleController::everybody_unwell() const {
  for (const auto& [name, z] : zones_) {
    if (z.ready > 0) return false;
  }
  return true;
}

std::string NodeLifecycleController::shape_of_zones() const {
  std::string shape;
  for (const auto& [name, z] : zones_) {
    bool large = z.ready + z.not_ready > options().large_cluster_size_threshold;
    shape += z.ready == 0 ? 'd' : !z.partly_disrupted(options()) ? 'n' : large ? 'P' : 'p';
  }
  return shape;
}

std::optional<Duration> NodeLifecycleController::eviction_delay(const Node& node, bool* disrupted) {
  *disrupted = everybody_unwell();
  // Nobody is well: it is the control plane that is cut off, and evicting would help nobody.
  if (*disrupted) return std::nullopt;
  std::string name = zone_of(node);
  const Zone& z = zones_[name];
  double rate = options().node_eviction_rate;
  if (z.partly_disrupted(options())) {
    if (z.ready + z.not_ready <= options().large_cluster_size_threshold) return std::nullopt;
    rate = options().secondary_node_eviction_rate;
  }
  auto it = next_eviction_.find(name);
  if (it != next_eviction_.end() && it->second > loop().now()) return it->second - loop().now();
  next_eviction_[name] = loop().now() + Duration(static_cast<int64_t>(1e9 / rate));
  return Duration(0);
}

Task<Status> NodeLifecycleController::mark_pods(Context ctx, std::string node) {
  std::string now = format_time(loop().wall_now());
  for (const auto& pod : pods_.by_index(kNodeIndex, node)) {
    if (!pod_is_ready(*pod)) continue;
    Draft<PodEdit> d(*pod);
    auto list = d->edit_status().edit_conditions();
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].type() != "Ready") continue;
      list[i].set_status("False");
      list[i].set_last_transition_time(now);
    }
    auto r = co_await client().update_status<Pod>(ctx, d.take());
    if (r.status().is(Reason::kNotFound)) continue;
    if (!r.ok()) co_return r.status();
    events().warning(reference_to(pod), "NodeNotReady", "Node is not ready");
  }
  co_return Status();
}

Task<ReconcileResult> NodeLifecycleController::reconcile(Context ctx, std::string key) {
  Ref<Node> node = nodes_.get("", key);
  if (!node) co_return Status();
  if (!health_.contains(key)) {
    events().normal(reference_to(node), "RegisteredNode",
                    "Node " + key + " event: Registered Node " + key + " in Controller");
  }
  const TimePoint began = loop().now();
  Duration silent = observe(node);
  bool never = node_condition(*node, "Ready").empty();
  Duration grace =
      never ? options().node_startup_grace_period : options().node_monitor_grace_period;
  if (silent > grace) {
    auto unknown = plan_silent_node(*node, loop().wall_now());
    if (unknown) {
      bool was_ready = node_condition(*node, "Ready") == "True";
      auto r = co_await client().update_status<Node>(ctx, unknown->take());
      if (!r.ok()) co_return r.status();
      log::warn("Node has stopped posting its status", {{"node", key}});
      if (was_ready) {
        events().normal(reference_to(node), "NodeNotReady",
                        "Node " + key + " status is now: NodeNotReady");
      }
      node = *r;
      health_[key].pods_to_mark = true;
    }
  }
  zone_metrics().update.observe(std::chrono::duration<double>(loop().now() - began).count());
  bool disrupted = false, wants = false;
  bool healthy = node_condition(*node, "Ready") == "True";
  (void)plan_node_taints(*node, false, false, loop().wall_now(), &wants);
  std::optional<Duration> delay;
  if (wants) {
    delay = eviction_delay(*node, &disrupted);
  } else if (!healthy) {
    disrupted = everybody_unwell();
  }
  bool may_evict = delay && *delay == Duration(0);
  auto tainted = plan_node_taints(*node, may_evict, disrupted, loop().wall_now(), &wants);
  if (tainted) {
    auto r = co_await client().update<Node>(ctx, tainted->take());
    if (!r.ok()) {
      if (may_evict) next_eviction_.erase(zone_of(*node));
      co_return r.status();
    }
    if (may_evict) zone_metrics().evictions.with({zone_of(*node)}).add();
  }
  if (health_[key].pods_to_mark) {
    if (!healthy) {
      Status marked = co_await mark_pods(ctx, key);
      if (!marked.ok()) co_return marked;
    }
    health_[key].pods_to_mark = false;
  }
  Duration again = options().node_monitor_period;
  if (silent <= grace) again = grace - silent + 10ms;
  if (delay && *delay > Duration(0)) again = std::min(again, *delay);
  // A node that is known to be silent is looked at when something about it changes.
  if (silent > grace && !(delay && *delay > Duration(0))) co_return Status();
  co_return ReconcileResult::after(again);
}

}  // namespace keles::controllers
