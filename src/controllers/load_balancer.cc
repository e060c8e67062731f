#include "controllers/load_balancer.h"

#include <algorithm>

#include "base/ip.h"
#include "client/announced_by.h"
#include "controllers/finalizers.h"
#include "controllers/options.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::discovery_v1::EndpointSlice;

namespace {

constexpr std::string_view kServiceName = "kubernetes.io/service-name";
constexpr std::string_view kByService = "balanced";

Document with_addresses(const Service& s, const std::vector<BalancerAddress>& addresses,
                        const std::string& announcer) {
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
  if (!announcer.empty()) {
    d->edit_metadata().edit_annotations().set(kAnnouncedBy, announcer);
  } else if (s.metadata().annotations().contains(kAnnouncedBy)) {
    d->edit_metadata().edit_annotations().erase(kAnnouncedBy);
  }
  return d.take();
}

std::string_view announcer_of(const Service& s) {
  return s.metadata().annotations().get(kAnnouncedBy);
}

std::set<IpAddress> every_address(const std::vector<Ref<Node>>& nodes) {
  std::set<IpAddress> out;
  for (const auto& n : nodes) {
    for (auto a : n->status().addresses()) {
      if (auto ip = IpAddress::parse(a.address())) out.insert(*ip);
    }
  }
  return out;
}

// What balancers go by of a node.
std::string balanced_state(const Ref<Node>& n) {
  if (!n) return "";
  std::string out = takes_balanced(*n) ? "takes " : "";
  if (condition_is_true(n->status().conditions(), "Ready")) out += "ready ";
  for (auto a : n->status().addresses()) out += std::string(a.address()) + " ";
  return out;
}

// What a balancer goes by.
bool differs(const Service& a, const Service& b) {
  return !a.spec().value().equals(b.spec().value()) ||
         a.metadata().deletion_timestamp() != b.metadata().deletion_timestamp();
}

}  // namespace

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
    if (balanced_state(before) != balanced_state(now)) wake_balanced();
  });
  slices_.on_change([this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
    const auto meta = (now ? now : before)->metadata();
    const std::string name(meta.labels().get(kServiceName));
    const Ref<Service> s = objects().get(meta.namespace_(), name);
    if (s && is_balanced(*s)) queue().add(key_of(s->metadata()));
  });
  // A port or an address that comes free.
  objects().on_change([this](const Ref<Service>& before, const Ref<Service>& now) {
    if (before && is_balanced(*before) && (!now || differs(*before, *now))) wake_balanced();
  });
}

void LoadBalancerController::wake_balanced() {
  for (const auto& s : objects().list()) {
    if (is_balanced(*s)) queue().add(key_of(s->metadata()));
  }
}

Task<LoadBalancerController::Balance> LoadBalancerController::balance(Context ctx,
                                                                      Ref<Service> service) {
  std::vector<Ref<Node>> nodes;
  for (auto& n : nodes_.list()) {
    if (takes_balanced(*n)) nodes.push_back(n);
  }
  if (nodes.empty()) {
    events().warning(reference_to(service), "UnAvailableLoadBalancer",
                     "There are no available nodes for LoadBalancer");
  }
  if (!options().load_balancers) co_return balance_here(*service, nodes);
  auto made = co_await options().load_balancers->ensure(ctx, service, std::move(nodes));
  Balance out;
  out.status = made.status();
  if (made.ok()) {
    out.addresses = std::move(*made);
  } else if (!out.status.is(Reason::kConflict)) {
    out.addresses = addresses_of(*service);
  }
  co_return out;
}

LoadBalancerController::Balance LoadBalancerController::balance_here(
    const Service& service, const std::vector<Ref<Node>>& nodes) {
  std::set<std::string> with_endpoints;
  for (const auto& slice : slices_.by_index(kByService, key_of(service.metadata()))) {
    for (auto e : slice->endpoints()) {
      if (e.conditions().ready()) with_endpoints.emplace(e.node_name());
    }
  }
  if (!options().load_balancer_pool.empty()) return balance_by_pool(service, nodes, with_endpoints);
  LocalBalancerView view;
  view.services = objects().list();
  view.reserved_ports = options().reserved_node_ports;
  view.nodes_with_endpoints = std::move(with_endpoints);
  Balance out;
  auto planned = plan_local_balancer(service, nodes, view);
  out.status = planned.status();
  if (planned.ok()) out.addresses = std::move(*planned);
  return out;
}

// Nothing awaits between the plan and what is remembered of it.
LoadBalancerController::Balance LoadBalancerController::balance_by_pool(
    const Service& service, const std::vector<Ref<Node>>& nodes,
    const std::set<std::string>& nodes_with_endpoints) {
  PoolView view;
  view.pool = &options().load_balancer_pool;
  view.services = objects().list();
  view.given = given_;
  view.nodes = every_address(nodes_.list());
  PoolPlan plan = plan_pool_addresses(service, view);
  Balance out;
  out.status = std::move(plan.status);
  for (const IpAddress& ip : plan.addresses) out.addresses.push_back({ip.text(), "", "VIP"});
  if (!plan.addresses.empty()) out.announcer = plan_announcer(service, nodes, nodes_with_endpoints);
  given_[key_of(service.metadata())] = std::move(plan.addresses);
  return out;
}

void LoadBalancerController::release(const std::string& key) {
  if (given_.erase(key) == 0) return;
  for (const std::string& waiting : failing_) queue().add(waiting);
}

// Writes what it has now, where that is not what is shown.
Task<Status> LoadBalancerController::show(Context ctx, Ref<Service> service, Balance b) {
  const auto before = addresses_of(*service);
  const bool moved = announcer_of(*service) != b.announcer;
  if (b.addresses == before && !moved) co_return Status();
  Document body = with_addresses(*service, b.addresses, b.announcer);
  Status s = co_await write_status(ctx, std::move(body));
  if (!s.ok()) co_return s;
  if (b.status.ok() && b.addresses != before) {
    events().normal(
        reference_to(service), before.empty() ? "EnsuredLoadBalancer" : "UpdatedLoadBalancer",
        before.empty() ? "Ensured load balancer" : "Updated load balancer with new hosts");
  }
  if (moved && !b.announcer.empty()) {
    events().normal(reference_to(service), "NodeAssigned",
                    "Announcing from node \"" + b.announcer + "\"");
  }
  co_return s;
}

Task<Status> LoadBalancerController::ensure(Context ctx, Ref<Service> service) {
  const std::string key = key_of(service->metadata());
  const bool fresh = !has_balancer_finalizer(*service);
  if (fresh) {
    events().normal(reference_to(service), "EnsuringLoadBalancer", "Ensuring load balancer");
    // The change that it makes leads here again: nothing is there before somebody cares for it.
    co_return co_await protect<Service, ServiceEdit>(ctx, &client(), service, Protection::kAdd,
                                                     std::string(kBalancerFinalizer));
  }
  Balance b = co_await balance(ctx, service);
  Status why = b.status;
  if (!why.ok() && failing_.insert(key).second) {
    events().warning(
        reference_to(service), "SyncLoadBalancerFailed",
        "Error syncing load balancer: failed to ensure load balancer: " + why.message());
  }
  Status shown = co_await show(ctx, service, std::move(b));
  if (shown.is(Reason::kConflict)) co_return shown;  // another wrote it: again
  if (!why.ok()) co_return why;
  if (shown.ok()) {
    failing_.erase(key);
  } else if (failing_.insert(key).second) {
    events().warning(
        reference_to(service), "SyncLoadBalancerFailed",
        "Error syncing load balancer: failed to ensure load balancer: " + shown.message());
  }
  co_return shown;
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
  const bool shown = !addresses_of(*service).empty() || !announcer_of(*service).empty();
  if (shown) {  // the change that it makes leads here again
    const std::vector<BalancerAddress> none;
    Document body = with_addresses(*service, none, "");
    co_return co_await write_status(ctx, std::move(body));
  }
  Status s = co_await protect<Service, ServiceEdit>(ctx, &client(), service, Protection::kRemove,
                                                    std::string(kBalancerFinalizer));
  if (!s.ok()) co_return s;
  events().normal(reference_to(service), "DeletedLoadBalancer", "Deleted load balancer");
  release(key_of(service->metadata()));
  co_return s;
}

Task<ReconcileResult> LoadBalancerController::reconcile(Context ctx, std::string key) {
  Ref<Service> service = find(key);
  if (!service) {
    failing_.erase(key);
    release(key);
    co_return Status();
  }
  const BalancerWish wish = plan_balancer(*service);
  if (wish == BalancerWish::kNothing) {
    release(key);
    co_return Status();
  }
  if (wish == BalancerWish::kEnsure) {
    Status s = co_await ensure(ctx, service);
    co_return s;
  }
  Status s = co_await remove(ctx, service);
  co_return s;
}

}  // namespace keles::controllers
