#include "controllers/endpoints.h"

#include <map>

#include "controllers/ownership.h"
#include "machinery/labels.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr size_t kMaxAddresses = 1000;
constexpr std::string_view kOverCapacity = "endpoints.kubernetes.io/over-capacity";
constexpr std::string_view kHeadless = "service.kubernetes.io/headless";
constexpr std::string_view kManagedBy = "endpoints.kubernetes.io/managed-by";

struct Subset {
  std::map<std::string, EndpointData> ready, not_ready;
};

void write_addresses(ListEdit<EndpointAddressEdit> list,
                     const std::map<std::string, EndpointData>& from) {
  for (const auto& [id, d] : from) {
    auto a = list.add();
    a.set_ip(d.address);
    if (!d.hostname.empty()) a.set_hostname(d.hostname);
    if (!d.node.empty()) a.set_node_name(d.node);
    auto target = a.edit_target_ref();
    target.set_kind("Pod");
    target.set_namespace_(d.ns);
    target.set_name(d.pod);
    target.set_uid(d.uid);
  }
}

void write_subset(EndpointSubsetEdit subset, const Ports& ports, const Subset& from) {
  if (!from.ready.empty()) write_addresses(subset.edit_addresses(), from.ready);
  if (!from.not_ready.empty()) write_addresses(subset.edit_not_ready_addresses(), from.not_ready);
  for (const PortData& p : ports) {
    auto e = subset.edit_ports().add();
    if (!p.name.empty()) e.set_name(p.name);
    e.set_port(p.port);
    e.set_protocol(p.protocol);
    if (!p.app_protocol.empty()) e.set_app_protocol(p.app_protocol);
  }
}

// Everything that this controller writes, as text: two objects with the same text are level.
std::string fingerprint(const Endpoints& e) {
  std::string s;
  auto add = [&s](std::string_view t) { s.append(t).push_back('\x1f'); };
  std::map<std::string, std::string> labels;
  for (auto [k, v] : e.metadata().labels()) labels[std::string(k)] = v;
  for (const auto& [k, v] : labels) {
    add(k);
    add(v);
  }
  add(e.metadata().annotations().get(kOverCapacity));
  auto addresses = [&](const List<EndpointAddress>& list) {
    for (EndpointAddress a : list) {
      for (std::string_view t : {a.ip(), a.hostname(), a.node_name(), a.target_ref().uid()}) add(t);
    }
    add("\x1e");
  };
  for (EndpointSubset subset : e.subsets()) {
    addresses(subset.addresses());
    addresses(subset.not_ready_addresses());
    for (EndpointPort p : subset.ports()) {
      add(p.name());
      add(std::to_string(p.port()));
      add(p.protocol());
      add(p.app_protocol());
    }
    add("\x1d");
  }
  return s;
}

}  // namespace

std::optional<Draft<EndpointsEdit>> plan_endpoints(const Service& service,
                                                   const std::vector<Ref<Pod>>& pods,
                                                   const Ref<Endpoints>& current) {
  std::map<Ports, Subset> subsets;
  size_t total = 0;
  bool truncated = false;
  std::string family = families_of(service)[0];
  for (const auto& pod : pods) {
    std::string address = has_endpoint(*pod) ? pod_address(*pod, family) : "";
    if (address.empty()) continue;
    bool going = !pod->metadata().deletion_timestamp().empty();
    if (going && !service.spec().publish_not_ready_addresses()) continue;
    Ports ports = resolve_ports(service, *pod);
    if (ports.empty() && !service.spec().ports().empty()) continue;
    if (++total > kMaxAddresses) {
      truncated = true;
      break;
    }
    EndpointData e = endpoint_of(service, *pod, std::move(address));
    Subset& s = subsets[std::move(ports)];
    auto& side = e.ready ? s.ready : s.not_ready;
    std::string id = e.id();
    side.emplace(std::move(id), std::move(e));
  }
  Draft<EndpointsEdit> d = current ? Draft<EndpointsEdit>(*current) : Draft<EndpointsEdit>();
  auto meta = d->edit_metadata();
  meta.set_namespace_(service.metadata().namespace_());
  meta.set_name(service.metadata().name());
  auto labels = meta.edit_labels();
  labels.clear();
  for (auto [k, v] : service.metadata().labels()) labels.set(k, v);
  labels.set(kManagedBy, "endpoint-controller");
  if (is_headless(service)) labels.set(kHeadless, "");
  if (truncated) {
    meta.edit_annotations().set(kOverCapacity, "truncated");
  } else if (meta.annotations().contains(kOverCapacity)) {
    meta.edit_annotations().erase(kOverCapacity);
  }
  d->clear_subsets();
  for (const auto& [ports, subset] : subsets) write_subset(d->edit_subsets().add(), ports, subset);
  if (current && fingerprint(*current) == fingerprint(*d)) return std::nullopt;
  return d;
}

EndpointsController::EndpointsController(Deps deps)
    : Controller(deps, "endpoint", "endpoint-controller", 5),
      services_(watch_own<Service>()),
      pods_(watch<Pod>()),
      endpoints_(watch_own<Endpoints>()) {
  index_by_selector(services_);
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    if (!endpoint_changed(before, now)) return;
    for (std::string& key : services_of(services_, before, now)) queue().add(std::move(key));
  });
}

Task<ReconcileResult> EndpointsController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Service> service = services_.get(parts.first, parts.second);
  Ref<Endpoints> current = endpoints_.get(parts.first, parts.second);
  if (!service) {
    // Those without our mark are somebody's own (the API server's "kubernetes", for one).
    if (!current || current->metadata().labels().get(kManagedBy) != "endpoint-controller") {
      co_return Status();
    }
    Status gone = co_await client().remove<Endpoints>(ctx, parts.first, parts.second);
    if (gone.is(Reason::kNotFound)) co_return Status();
    co_return gone;
  }
  if (!has_selector(*service)) co_return Status();
  Selector selector = Selector::from_set(service->spec().selector());
  std::vector<Ref<Pod>> pods = by_label_.select_as<Pod>(parts.first, selector);
  auto wanted = plan_endpoints(*service, pods, current);
  if (!wanted) co_return Status();
  Status s;
  if (current) {
    auto r = co_await client().update<Endpoints>(ctx, wanted->take());
    s = r.status();
  } else {
    auto r = co_await client().create<Endpoints>(ctx, wanted->take());
    s = r.status();
    if (namespace_is_ending(s)) co_return Status();
  }
  co_return s;
}

}  // namespace keles::controllers
