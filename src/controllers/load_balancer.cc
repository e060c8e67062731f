#include "controllers/load_balancer.h"

#include <algorithm>

#include "base/ip.h"
#include "controllers/finalizers.h"
#include "controllers/options.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::discovery_v1::EndpointSlice;

namespace {

constexpr std::string_view kFinalizer = "service.kubernetes.io/load-balancer-cleanup";
constexpr std::string_view kServiceName = "kubernetes.io/service-name";
constexpr std::string_view kExcluded = "node.kubernetes.io/exclude-from-external-load-balancers";
constexpr std::string_view kByService = "balanced";

bool is_balanced(const Service& s) {
  return s.spec().type() == "LoadBalancer" && s.spec().load_balancer_class().empty();
}

bool has_finalizer(const Service& s) {
  for (std::string_view f : s.metadata().finalizers()) {
    if (f == kFinalizer) return true;
  }
  return false;
}

std::vector<BalancerAddress> addresses_of(const Service& s) {
  std::vector<BalancerAddress> out;
  for (auto i : s.status().load_balancer().ingress()) {
    BalancerAddress a{std::string(i.ip()), std::string(i.hostname()), std::string(i.ip_mode())};
    if (a.ip.empty()) a.mode.clear();
    out.push_back(std::move(a));
  }
  return out;
}

Document with_addresses(const Service& s, const std::vector<BalancerAddress>& addresses) {
  Draft<ServiceEdit> d(s);
  auto list = d->edit_status().edit_load_balancer().edit_ingress();
  list.clear();
  for (const BalancerAddress& a : addresses) {
    auto i = list.add();
    if (!a.ip.empty()) {
      i.set_ip(a.ip);
      i.set_ip_mode(a.mode);
    }
    if (!a.hostname.empty()) i.set_hostname(a.hostname);
  }
  if (addresses.empty()) d->edit_status().clear_load_balancer();
  return d.take();
}

// Of two that want one port: who has it already, and else the older one, whose time is in seconds.
bool comes_first(const Service& a, const Service& b) {
  const bool has = !addresses_of(a).empty(), other_has = !addresses_of(b).empty();
  if (has != other_has) return has;
  const auto x = a.metadata(), y = b.metadata();
  if (x.creation_timestamp() != y.creation_timestamp())
    return x.creation_timestamp() < y.creation_timestamp();
  return x.uid() < y.uid();
}

// The node's first of each family.
std::vector<IpAddress> internal_ips(const Node& node) {
  std::vector<IpAddress> out;
  for (auto a : node.status().addresses()) {
    auto ip = a.type() == "InternalIP" ? IpAddress::parse(a.address()) : std::nullopt;
    if (!ip) continue;
    const bool again =
        std::any_of(out.begin(), out.end(), [&](const IpAddress& o) { return o.v6() == ip->v6(); });
    if (!again) out.push_back(*ip);
  }
  return out;
}

// IPv4 where a Service names no family.
bool has_family(const Service& service, bool v6) {
  const auto families = service.spec().ip_families();
  if (families.empty()) return !v6;
  for (std::string_view f : families) {
    if (f == (v6 ? "IPv6" : "IPv4")) return true;
  }
  return false;
}

std::string port_text(const ServicePort& p) {
  return std::to_string(p.port()) + "/" + std::string(p.protocol().empty() ? "TCP" : p.protocol());
}

// Who else has the port at the nodes' addresses; "" for nobody.
std::string holder_of(const std::string& port, const Service& service,
                      const std::vector<Ref<Service>>& services) {
  for (const auto& other : services) {
    if (other->metadata().uid() == service.metadata().uid()) continue;
    for (ServicePort p : other->spec().ports()) {
      if (p.node_port() == 0) continue;
      const std::string own = std::to_string(p.node_port()) + "/" +
                              std::string(p.protocol().empty() ? "TCP" : p.protocol());
      if (own == port) return key_of(other->metadata()) + " as its node port";
    }
    if (!is_balanced(*other) || !comes_first(*other, service)) continue;
    for (ServicePort p : other->spec().ports()) {
      if (port_text(p) == port) return key_of(other->metadata());
    }
  }
  return "";
}

// What a balancer goes by.
bool differs(const Service& a, const Service& b) {
  return !a.spec().value().equals(b.spec().value()) ||
         a.metadata().deletion_timestamp() != b.metadata().deletion_timestamp();
}

}  // namespace

BalancerWish plan_balancer(const Service& service) {
  const bool wants = is_balanced(service) && service.metadata().deletion_timestamp().empty();
  if (wants) return BalancerWish::kEnsure;
  return has_finalizer(service) ? BalancerWish::kRemove : BalancerWish::kNothing;
}

bool takes_balanced(const Node& node) {
  if (!node.metadata().deletion_timestamp().empty()) return false;
  for (auto taint : node.spec().taints()) {
    if (taint.key() == "ToBeDeletedByClusterAutoscaler") return false;
  }
  const auto labels = node.metadata().labels();
  return !labels.contains(kExcluded) || labels.get(kExcluded) == "false";
}

Result<std::vector<BalancerAddress>> plan_local_balancer(const Service& service,
                                                         const std::vector<Ref<Node>>& nodes,
                                                         const LocalBalancerView& view) {
  for (ServicePort p : service.spec().ports()) {
    const std::string port = port_text(p);
    if (view.reserved_ports.contains(p.port()))
      return Status(Reason::kConflict, "port " + port + " is the nodes' own");
    const std::string holder = holder_of(port, service, view.services);
    if (!holder.empty())
      return Status(Reason::kConflict, "port " + port + " is taken by service " + holder);
  }
  const bool local = service.spec().external_traffic_policy() == "Local";
  std::vector<IpAddress> found;
  for (const auto& node : nodes) {
    const std::string name(node->metadata().name());
    if (!condition_is_true(node->status().conditions(), "Ready")) continue;
    if (local && !view.nodes_with_endpoints.contains(name)) continue;
    for (const IpAddress& ip : internal_ips(*node)) {
      if (has_family(service, ip.v6())) found.push_back(ip);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::vector<BalancerAddress> out;
  for (const IpAddress& ip : found) out.push_back({ip.text(), "", "VIP"});
  return out;
}

LoadBalancerController::LoadBalancerController(Deps deps)
    : ControllerFor(deps, "service", "service-controller", 1),
      nodes_(watch<Node>()),
      slices_(watch<EndpointSlice>()) {
  slices_.base().add_index(std::string(kByService),
                           [](const ObjectPtr& o) -> std::vector<std::string> {
                             DocumentPtr tree = o->metadata();
                             const api::meta_v1::ObjectMeta meta(tree->root["metadata"]);
                             std::string_view name = meta.labels().get(kServiceName);
                             if (name.empty()) return {};
                             return {std::string(o->namespace_()) + "/" + std::string(name)};
                           });
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    auto state = [](const Ref<Node>& n) {
      if (!n || !takes_balanced(*n)) return std::string();
      const bool ready = condition_is_true(n->status().conditions(), "Ready");
      std::string out = ready ? "ready" : "";
      for (const IpAddress& ip : internal_ips(*n)) out += " " + ip.text();
      return out;
    };
    if (state(before) != state(now)) wake_balanced();
  });
  slices_.on_change([this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
    const auto meta = (now ? now : before)->metadata();
    const std::string name(meta.labels().get(kServiceName));
    const Ref<Service> s = objects().get(meta.namespace_(), name);
    if (s && is_balanced(*s)) queue().add(key_of(s->metadata()));
  });
  // A port that comes free.
  objects().on_change([this](const Ref<Service>& before, const Ref<Service>& now) {
    if (before && is_balanced(*before) && (!now || differs(*before, *now))) wake_balanced();
  });
}

void LoadBalancerController::wake_balanced() {
  for (const auto& s : objects().list()) {
    if (is_balanced(*s)) queue().add(key_of(s->metadata()));
  }
}

Task<Result<std::vector<BalancerAddress>>> LoadBalancerController::balance(Context ctx,
                                                                           Ref<Service> service) {
  std::vector<Ref<Node>> nodes;
  for (auto& n : nodes_.list()) {
    if (takes_balanced(*n)) nodes.push_back(n);
  }
  if (nodes.empty()) {
    events().warning(reference_to(service), "UnAvailableLoadBalancer",
                     "There are no available nodes for LoadBalancer");
  }
  if (options().load_balancers) {
    co_return co_await options().load_balancers->ensure(ctx, service, std::move(nodes));
  }
  LocalBalancerView view;
  view.services = objects().list();
  view.reserved_ports = options().reserved_node_ports;
  for (const auto& slice : slices_.by_index(kByService, key_of(service->metadata()))) {
    for (auto e : slice->endpoints()) {
      if (e.conditions().ready()) view.nodes_with_endpoints.emplace(e.node_name());
    }
  }
  co_return plan_local_balancer(*service, nodes, view);
}

Task<Status> LoadBalancerController::ensure(Context ctx, Ref<Service> service) {
  const std::string key = key_of(service->metadata());
  const bool fresh = !has_finalizer(*service);
  if (fresh) {
    events().normal(reference_to(service), "EnsuringLoadBalancer", "Ensuring load balancer");
    // The change that it makes leads here again: nothing is there before somebody cares for it.
    co_return co_await protect<Service, ServiceEdit>(ctx, &client(), service, Protection::kAdd,
                                                     std::string(kFinalizer));
  }
  auto addresses = co_await balance(ctx, service);
  Status s = addresses.status();
  if (s.ok() && *addresses != addresses_of(*service)) {
    const bool first = addresses_of(*service).empty();
    Document body = with_addresses(*service, *addresses);
    s = co_await write_status(ctx, std::move(body));
    if (s.ok()) {
      events().normal(reference_to(service), first ? "EnsuredLoadBalancer" : "UpdatedLoadBalancer",
                      first ? "Ensured load balancer" : "Updated load balancer with new hosts");
    }
  }
  if (s.is(Reason::kConflict) && addresses.ok()) co_return s;  // another wrote it: again
  if (s.ok()) {
    failing_.erase(key);
    co_return s;
  }
  if (failing_.insert(key).second) {
    events().warning(reference_to(service), "SyncLoadBalancerFailed",
                     "Error syncing load balancer: failed to ensure load balancer: " + s.message());
  }
  // What it had is somebody else's now.
  if (!addresses_of(*service).empty() && addresses.status().is(Reason::kConflict)) {
    const std::vector<BalancerAddress> none;
    Document body = with_addresses(*service, none);
    Status cleared = co_await write_status(ctx, std::move(body));
    if (!cleared.ok()) co_return cleared;
  }
  co_return s;
}

Task<Status> LoadBalancerController::remove(Context ctx, Ref<Service> service) {
  failing_.erase(key_of(service->metadata()));
  events().normal(reference_to(service), "DeletingLoadBalancer", "Deleting load balancer");
  if (options().load_balancers) {
    Status s = co_await options().load_balancers->remove(ctx, service);
    if (!s.ok()) {
      events().warning(
          reference_to(service), "SyncLoadBalancerFailed",
          "Error syncing load balancer: failed to delete load balancer: " + s.message());
      co_return s;
    }
  }
  if (!addresses_of(*service).empty()) {  // the change that it makes leads here again
    const std::vector<BalancerAddress> none;
    Document body = with_addresses(*service, none);
    co_return co_await write_status(ctx, std::move(body));
  }
  Status s = co_await protect<Service, ServiceEdit>(ctx, &client(), service, Protection::kRemove,
                                                    std::string(kFinalizer));
  if (s.ok())
    events().normal(reference_to(service), "DeletedLoadBalancer", "Deleted load balancer");
  co_return s;
}

Task<ReconcileResult> LoadBalancerController::reconcile(Context ctx, std::string key) {
  Ref<Service> service = find(key);
  if (!service) {
    failing_.erase(key);
    co_return Status();
  }
  const BalancerWish wish = plan_balancer(*service);
  if (wish == BalancerWish::kNothing) co_return Status();
  if (wish == BalancerWish::kEnsure) {
    Status s = co_await ensure(ctx, service);
    co_return s;
  }
  Status s = co_await remove(ctx, service);
  co_return s;
}

}  // namespace keles::controllers
