#include "controllers/endpointslice.h"

#include <algorithm>
#include <map>

#include "base/metrics.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::discovery_v1::EndpointSlice;
using api::discovery_v1::EndpointSliceEdit;

namespace {

constexpr std::string_view kServiceName = "kubernetes.io/service-name";
constexpr std::string_view kManagedBy = "endpointslice.kubernetes.io/managed-by";
constexpr std::string_view kManager = "endpointslice-controller.k8s.io";
constexpr std::string_view kHeadless = "service.kubernetes.io/headless";
constexpr std::string_view kByService = "service";
constexpr std::string_view kZone = "topology.kubernetes.io/zone";

// Slices of one family and one set of ports.
struct Group {
  std::string family;
  Ports ports;
  std::map<std::string, EndpointData> wanted;
  std::vector<Ref<EndpointSlice>> slices;
};
using GroupKey = std::pair<std::string, Ports>;

Ports ports_of(const EndpointSlice& s) {
  Ports out;
  for (auto p : s.ports()) {
    out.push_back({std::string(p.name()), std::string(p.protocol()), std::string(p.app_protocol()),
                   p.port()});
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<EndpointData> endpoints_of(const EndpointSlice& s) {
  std::vector<EndpointData> out;
  for (auto e : s.endpoints()) {
    EndpointData d;
    if (!e.addresses().empty()) d.address = e.addresses()[0];
    d.ready = e.conditions().ready();
    d.serving = e.conditions().serving();
    d.terminating = e.conditions().terminating();
    d.hostname = e.hostname();
    d.node = e.node_name();
    d.zone = e.zone();
    // Several hints are nobody's of ours: written anew.
    for (auto z : e.hints().for_zones())
      d.zone_hint += (d.zone_hint.empty() ? "" : ",") + std::string(z.name());
    for (auto n : e.hints().for_nodes())
      d.node_hint += (d.node_hint.empty() ? "" : ",") + std::string(n.name());
    d.ns = e.target_ref().namespace_();
    d.pod = e.target_ref().name();
    d.uid = e.target_ref().uid();
    out.push_back(std::move(d));
  }
  return out;
}

std::map<std::string, std::string> labels_for(const Service& service) {
  std::map<std::string, std::string> out;
  for (auto [k, v] : service.metadata().labels()) {
    if (k != kHeadless) out[std::string(k)] = v;
  }
  if (is_headless(service)) out[std::string(kHeadless)] = "";
  out[std::string(kServiceName)] = service.metadata().name();
  out[std::string(kManagedBy)] = kManager;
  return out;
}

bool same_labels(const EndpointSlice& s, const std::map<std::string, std::string>& wanted) {
  auto has = s.metadata().labels();
  if (has.size() != wanted.size()) return false;
  for (const auto& [k, v] : wanted) {
    if (!has.contains(k) || has.get(k) != v) return false;
  }
  return true;
}

void write_labels(EndpointSliceEdit s, const Service& service) {
  auto labels = s.edit_metadata().edit_labels();
  labels.clear();
  for (const auto& [k, v] : labels_for(service)) labels.set(k, v);
}

void write_endpoints(EndpointSliceEdit s, const std::vector<EndpointData>& endpoints) {
  auto list = s.edit_endpoints();
  list.clear();
  for (const EndpointData& d : endpoints) {
    auto e = list.add();
    e.edit_addresses().add(d.address);
    auto c = e.edit_conditions();
    c.set_ready(d.ready);
    c.set_serving(d.serving);
    c.set_terminating(d.terminating);
    if (!d.hostname.empty()) e.set_hostname(d.hostname);
    auto target = e.edit_target_ref();
    target.set_kind("Pod");
    target.set_namespace_(d.ns);
    target.set_name(d.pod);
    target.set_uid(d.uid);
    if (!d.node.empty()) e.set_node_name(d.node);
    if (!d.zone.empty()) e.set_zone(d.zone);
    if (!d.zone_hint.empty()) e.edit_hints().edit_for_zones().add().set_name(d.zone_hint);
    if (!d.node_hint.empty()) e.edit_hints().edit_for_nodes().add().set_name(d.node_hint);
  }
}

Draft<EndpointSliceEdit> new_slice(const Service& service, const std::string& family,
                                   const Ports& ports) {
  Draft<EndpointSliceEdit> s;
  auto meta = s->edit_metadata();
  meta.set_namespace_(service.metadata().namespace_());
  meta.set_generate_name(std::string(service.metadata().name()) + "-");
  set_controller_reference(meta, kind_of<Service>(), service.metadata());
  write_labels(*s, service);
  s->set_address_type(family);
  s->edit_endpoints();
  auto list = s->edit_ports();
  for (const PortData& p : ports) {
    auto e = list.add();
    e.set_name(p.name);
    e.set_protocol(p.protocol);
    e.set_port(p.port);
    if (!p.app_protocol.empty()) e.set_app_protocol(p.app_protocol);
  }
  return s;
}

// One slice while its group is being arranged.
struct Slot {
  Ref<EndpointSlice> slice;
  std::vector<EndpointData> endpoints;
  bool changed = false;
};

// Keeps every endpoint where it is, fills slices that change anyway before others, and makes new
// ones for what is left.
void arrange(const Service& service, Group& g, size_t per_slice, EndpointSlicePlan* plan) {
  std::vector<Slot> slots;
  std::map<std::string, EndpointData> missing = g.wanted;
  for (const auto& s : g.slices) {
    Slot slot{s, {}, !same_labels(*s, labels_for(service))};
    for (EndpointData& has : endpoints_of(*s)) {
      auto it = missing.find(has.id());
      if (it == missing.end()) {  // gone, or held twice
        slot.changed = true;
        ++plan->removed;
        continue;
      }
      if (!(it->second == has)) slot.changed = true;
      slot.endpoints.push_back(std::move(it->second));
      missing.erase(it);
    }
    slots.push_back(std::move(slot));
  }
  for (bool changing : {true, false}) {
    for (Slot& slot : slots) {
      if (slot.changed != changing) continue;
      while (!missing.empty() && slot.endpoints.size() < per_slice) {
        slot.endpoints.push_back(std::move(missing.begin()->second));
        missing.erase(missing.begin());
        slot.changed = true;
        ++plan->added;
      }
    }
  }
  size_t kept = 0;
  for (const Slot& slot : slots) kept += slot.endpoints.empty() ? 0 : 1;
  for (Slot& slot : slots) {
    if (slot.endpoints.empty() && kept > 0) {
      plan->remove.push_back(slot.slice);
      continue;
    }
    if (slot.endpoints.empty()) ++kept;  // the last one stays, empty
    if (!slot.changed) continue;
    Draft<EndpointSliceEdit> d(*slot.slice);
    write_labels(*d, service);
    write_endpoints(*d, slot.endpoints);
    plan->update.push_back(std::move(d));
  }
  while (!missing.empty() || (kept == 0 && slots.empty())) {
    std::vector<EndpointData> some;
    while (!missing.empty() && some.size() < per_slice) {
      some.push_back(std::move(missing.begin()->second));
      missing.erase(missing.begin());
      ++plan->added;
    }
    auto s = new_slice(service, g.family, g.ports);
    write_endpoints(*s, some);
    plan->create.push_back(std::move(s));
    ++kept;
  }
  plan->endpoints += g.wanted.size();
  plan->slices += kept;
  plan->least_slices += std::max<size_t>(1, (g.wanted.size() + per_slice - 1) / per_slice);
}

// Whose clients the endpoint is for, as the service's trafficDistribution has it.
void hint(const Service& service, EndpointData& e) {
  std::string_view how = service.spec().traffic_distribution();
  const bool node = how == "PreferSameNode";
  if (!e.ready || (how != "PreferClose" && how != "PreferSameZone" && !node)) return;
  e.zone_hint = e.zone;
  if (node) e.node_hint = e.node;
}

std::map<std::string, std::string> zone_hints_of(const std::vector<Ref<EndpointSlice>>& slices) {
  std::map<std::string, std::string> out;
  for (const auto& s : slices) {
    for (const EndpointData& e : endpoints_of(*s)) {
      if (!e.zone_hint.empty() && e.node_hint.empty()) out[e.id()] = e.zone_hint;
    }
  }
  return out;
}

// The key of the service whose slice it is, "" when it is not this controller's.
std::string owning_service(const EndpointSlice& s) {
  auto labels = s.metadata().labels();
  if (labels.get(kManagedBy) != kManager) return "";
  return std::string(s.metadata().namespace_()) + "/" + std::string(labels.get(kServiceName));
}

// Of all of one family, whichever ports they have.
void hint_by_topology(std::map<GroupKey, Group>& groups, const std::string& family,
                      const std::map<std::string, std::string>& had, const ZoneShares& shares,
                      EndpointSlicePlan* plan) {
  std::vector<EndpointData*> endpoints;
  for (auto& [key, group] : groups) {
    if (key.first != family) continue;
    for (auto& [id, e] : group.wanted) endpoints.push_back(&e);
  }
  plan->topology.push_back({family, assign_zone_hints(endpoints, had, shares)});
}

}  // namespace

EndpointSlicePlan plan_endpoint_slices(const Service& service, const std::vector<Ref<Pod>>& pods,
                                       const std::vector<Ref<EndpointSlice>>& slices, int per_slice,
                                       const ZoneOf& zone_of, const ZoneShares& shares) {
  std::map<GroupKey, Group> groups;
  const bool by_topology = wants_topology_hints(service);
  for (const std::string& family : families_of(service)) {
    bool any = false;
    for (const auto& pod : pods) {
      std::string address = has_endpoint(*pod) ? pod_address(*pod, family) : "";
      if (address.empty()) continue;
      Ports ports = resolve_ports(service, *pod);
      Group& g = groups[{family, ports}];
      g.family = family;
      g.ports = std::move(ports);
      EndpointData e = endpoint_of(service, *pod, std::move(address));
      if (zone_of && !e.node.empty()) e.zone = zone_of(e.node);
      if (!by_topology) hint(service, e);
      std::string id = e.id();
      g.wanted.emplace(std::move(id), std::move(e));
      any = true;
    }
    if (!any) groups[{family, {}}].family = family;  // an empty slice says: none
  }
  EndpointSlicePlan plan;
  if (by_topology) {
    const auto had = zone_hints_of(slices);
    for (const std::string& family : families_of(service))
      hint_by_topology(groups, family, had, shares, &plan);
  }
  for (const auto& s : slices) {
    auto it = groups.find({std::string(s->address_type()), ports_of(*s)});
    if (it == groups.end() || !s->metadata().deletion_timestamp().empty()) {
      plan.remove.push_back(s);
    } else {
      it->second.slices.push_back(s);
    }
  }
  for (auto& [key, group] : groups) arrange(service, group, static_cast<size_t>(per_slice), &plan);
  return plan;
}

EndpointSliceController::EndpointSliceController(Deps deps)
    : ControllerFor(deps, "endpoint_slice", "endpoint-slice-controller", 5),
      pods_(watches<Pod>([this](const Ref<Pod>& before, const Ref<Pod>& now) {
        return endpoint_changed(before, now) ? services_of(objects(), before, now) : Keys();
      })),
      nodes_(watches<Node>([this](const Ref<Node>& before, const Ref<Node>& now) {
        return services_on(before, now);
      })),
      slices_(watches<EndpointSlice>(
          [this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
            return service_of(before, now);
          })),
      writer_(deps.client, expectations(), "endpoint_slice_controller") {
  slices_.base().add_index(std::string(kByService),
                           [](const ObjectPtr& o) -> std::vector<std::string> {
                             std::string key = owning_service(*read<EndpointSlice>(o));
                             return key.empty() ? Keys() : Keys{std::move(key)};
                           });
}

Keys EndpointSliceController::service_of(const Ref<EndpointSlice>& before,
                                         const Ref<EndpointSlice>& now) {
  std::string key = owning_service(now ? *now : *before);
  if (key.empty()) return {};
  if (!before) expectations().creation_settled(key);
  return {std::move(key)};
}

Keys EndpointSliceController::services_on(const Ref<Node>& before, const Ref<Node>& now) {
  const std::string name((now ? now : before)->metadata().name());
  const NodeShare was = before ? shares_of_[name] : NodeShare();
  if (now) {
    NodeShare is = share_of(*now);
    if (before && is == was) return {};
    shares_of_[name] = std::move(is);
  } else {
    shares_of_.erase(name);
  }
  // A zone that changes: any service may have endpoints there. A node that comes has none yet.
  const bool moved = before && now && was.zone != shares_of_[name].zone;
  ZoneShares shares = zone_shares(shares_of_);
  const bool shared_anew = shares != shares_;
  shares_ = std::move(shares);
  Keys out;
  if (!moved && !shared_anew) return out;
  for (const auto& service : objects().list()) {
    if (moved || wants_topology_hints(*service)) out.push_back(key_of(service->metadata()));
  }
  return out;
}

void EndpointSliceController::tell_topology(const Ref<Service>& service, const std::string& key,
                                            const std::vector<TopologyVerdict>& verdicts) {
  std::set<std::string> before = std::move(hinted_[key]);
  std::set<std::string>& now = hinted_[key];
  for (const TopologyVerdict& v : verdicts) {
    const std::string family = ", addressType: " + v.family;
    const bool had = before.erase(v.family) > 0;
    if (!v.why_not.empty()) {
      events().warning(reference_to(service), "TopologyAwareHintsDisabled", v.why_not + family);
      continue;
    }
    now.insert(v.family);
    if (had) continue;
    events().normal(reference_to(service), "TopologyAwareHintsEnabled",
                    "Topology Aware Hints has been enabled" + family);
  }
  for (const std::string& family : before) {  // it does not ask any more
    events().warning(reference_to(service), "TopologyAwareHintsDisabled",
                     "Topology Aware Hints has been disabled, addressType: " + family);
  }
  if (now.empty()) hinted_.erase(key);
}

namespace {

void count_sync(const Status& s, bool by_topology, const std::string& distribution,
                size_t changed) {
  static metrics::Counter& syncs = metrics::counter(
      "endpoint_slice_controller_syncs", "Syncs of services' slices, by their result.", {"result"});
  static metrics::Histogram& sizes = metrics::histogram(
      "endpoint_slice_controller_endpointslices_changed_per_sync",
      "Slices changed at once for a service.", {"topology", "traffic_distribution"},
      {0, 1, 2, 4, 8, 16, 32, 64, 128, 256});
  syncs.with({s.ok() ? "success" : s.is(Reason::kConflict) ? "stale" : "error"}).add();
  sizes.with({by_topology ? "Auto" : "Disabled", distribution})
      .observe(static_cast<double>(changed));
}

}  // namespace

void EndpointSliceController::count(const std::string& key, const Counted& now) {
  const std::string prefix = "endpoint_slice_controller_";
  static metrics::Gauge& endpoints =
      metrics::gauge(prefix + "endpoints_desired", "Endpoints that all services should have.");
  static metrics::Gauge& slices =
      metrics::gauge(prefix + "num_endpoint_slices", "Slices of all services.");
  static metrics::Gauge& least = metrics::gauge(prefix + "desired_endpoint_slices",
                                                "Slices that would hold all endpoints if full.");
  static metrics::Gauge& distributed =
      metrics::gauge(prefix + "services_count_by_traffic_distribution",
                     "Services by their trafficDistribution.", {"traffic_distribution"});
  Counted& was = counted_[key];
  auto add = [](metrics::Value& v, size_t before, size_t after) {
    v.add(static_cast<double>(after) - static_cast<double>(before));
  };
  add(endpoints.with({}), was.endpoints, now.endpoints);
  add(slices.with({}), was.slices, now.slices);
  add(least.with({}), was.least_slices, now.least_slices);
  if (was.distribution != now.distribution) {
    if (!was.distribution.empty()) distributed.with({was.distribution}).add(-1);
    if (!now.distribution.empty()) distributed.with({now.distribution}).add(1);
  }
  was = now;
  if (now.slices == 0) counted_.erase(key);
}

Task<ReconcileResult> EndpointSliceController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Service> service = find(key);
  if (!service) {
    expectations().forget(key);
    hinted_.erase(key);
    count(key, Counted());
    co_return Status();  // the garbage collector removes its slices
  }
  if (!has_selector(*service) || !service->metadata().deletion_timestamp().empty()) {
    count(key, Counted());
    co_return Status();
  }
  if (!expectations().satisfied(key)) {
    co_return ReconcileResult::after(expectations().remaining(key));
  }
  Selector selector = Selector::from_set(service->spec().selector());
  std::vector<Ref<Pod>> pods = by_label_.select_as<Pod>(parts.first, selector);
  const ZoneOf zone_of = [this](std::string_view node) {
    auto it = shares_of_.find(std::string(node));
    return it == shares_of_.end() ? std::string() : it->second.zone;
  };
  EndpointSlicePlan plan = plan_endpoint_slices(*service, pods, slices_.by_index(kByService, key),
                                                options().endpoints_per_slice, zone_of, shares_);
  Counted now{plan.endpoints, plan.slices, plan.least_slices, ""};
  if (plan.topology.empty()) now.distribution = service->spec().traffic_distribution();
  count(key, now);
  Status s = co_await writer_.write(ctx, key, &plan);
  count_sync(s, !plan.topology.empty(), now.distribution,
             plan.create.size() + plan.update.size() + plan.remove.size());
  tell_topology(service, key, plan.topology);
  if (!s.ok() && !s.is(Reason::kConflict)) {
    events().warning(reference_to(service), "FailedToUpdateEndpointSlices",
                     "Error updating Endpoint Slices for Service " + key + ": " + s.message());
  }
  co_return s;
}

}  // namespace keles::controllers
