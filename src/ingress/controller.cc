#include "ingress/controller.h"

#include "base/log.h"

namespace keles::ingress {

using namespace api::networking_v1;

namespace {

constexpr char kKey[] = "routes";
constexpr Duration kGather = 50ms;  // changes come in bunches
constexpr Duration kPace = 1s;
constexpr char kByService[] = "service";
constexpr char kPortPrefix[] = "gateway-";

// Of an Ingress's or a Service's status.
template <class List>
std::vector<Address> addresses_in(const List& list) {
  std::vector<Address> out;
  for (auto i : list) {
    Address a;
    a.ip = i.ip();
    a.hostname = i.hostname();
    out.push_back(std::move(a));
  }
  return out;
}

Document with_addresses(const Ingress& ingress, const std::vector<Address>& addresses) {
  Draft<IngressEdit> d(ingress);
  auto list = d->edit_status().edit_load_balancer().edit_ingress();
  list.clear();
  for (const Address& a : addresses) {
    auto i = list.add();
    if (!a.ip.empty()) i.set_ip(a.ip);
    if (!a.hostname.empty()) i.set_hostname(a.hostname);
  }
  if (addresses.empty()) d->edit_status().clear_load_balancer();
  return d.take();
}

}  // namespace

std::vector<Address> addresses_of(const api::core_v1::Service& published) {
  std::vector<Address> out = addresses_in(published.status().load_balancer().ingress());
  if (!out.empty()) return out;
  for (std::string_view ip : published.spec().external_ips()) {
    Address a;
    a.ip = ip;
    out.push_back(std::move(a));
  }
  return out;
}

std::optional<Document> with_ports(const api::core_v1::Service& published,
                                   const std::set<uint16_t>& ports, const Proxy& proxy) {
  auto tcp = [](const api::core_v1::ServicePort& p) {
    return p.protocol() == "TCP" || p.protocol().empty();
  };
  auto stale = [&ports](const api::core_v1::ServicePort& p) {
    return p.name().starts_with(kPortPrefix) && !ports.contains(static_cast<uint16_t>(p.port()));
  };
  bool changes = false;
  std::set<uint16_t> missing = ports;
  for (auto p : published.spec().ports()) {
    changes = changes || stale(p);
    if (tcp(p)) missing.erase(static_cast<uint16_t>(p.port()));
  }
  if (!changes && missing.empty()) return std::nullopt;
  Draft<api::core_v1::ServiceEdit> d(published);
  auto list = d->edit_spec().edit_ports();
  for (size_t i = published.spec().ports().size(); i-- > 0;)
    if (stale(published.spec().ports()[i])) list.erase_at(i);
  for (uint16_t port : missing) {
    auto p = list.add();
    p.set_name(kPortPrefix + std::to_string(port));
    p.set_protocol("TCP");
    p.set_port(port);
    p.set_target_port(Value(int64_t{proxy.inner_port(port)}));
  }
  return d.take();
}

IngressController::IngressController(controllers::Deps deps, ControllerOptions options,
                                     Proxy& proxy)
    : Controller(deps, "ingress", "ingress-controller", 1),
      options_(std::move(options)),
      proxy_(proxy),
      ingresses_(watch<Ingress>()),
      classes_(watch<Class>()),
      services_(watch<Service>()),
      slices_(watch<Slice>()),
      secrets_(deps.informers.informer<Secret>("", "", "type=kubernetes.io/tls")),
      namespaces_(watch<api::core_v1::Namespace>()),
      gateway_kinds_(deps.client, deps.informers, options_.gateway_kinds,
                     [this] { queue().add_after(kKey, kGather); }) {
  watch_also(secrets_.base());
  slices_.base().add_index(kByService, [](const ObjectPtr& o) -> std::vector<std::string> {
    DocumentPtr tree = o->metadata();
    const api::meta_v1::ObjectMeta meta(tree->root["metadata"]);
    const std::string_view name = meta.labels().get("kubernetes.io/service-name");
    if (name.empty()) return {};
    return {std::string(o->namespace_()) + "/" + std::string(name)};
  });
  wake_on(ingresses_);
  wake_on(classes_);
  wake_on(services_);
  wake_on(slices_);
  wake_on(secrets_);
  wake_on(namespaces_);
}

template <class T>
void IngressController::wake_on(const Informer<T>& informer) {
  auto wake = [this](const ObjectPtr&) { queue().add_after(kKey, kGather); };
  informer.base().add_handler(
      {wake, [wake](const ObjectPtr&, const ObjectPtr& now) { wake(now); }, wake, nullptr});
}

void IngressController::started(Context ctx) {
  gateway_kinds_.start(ctx);
  queue().add(kKey);
}
Task<void> IngressController::stopped() { co_await gateway_kinds_.join(); }

Cluster IngressController::view() const {
  Cluster out;
  out.ingresses = ingresses_.list();
  for (const Ref<Class>& c : classes_.list())
    if (c->spec().controller() == options_.name) out.classes.emplace(c->metadata().name());
  using Name = Cluster::Name;
  out.service = [this](Name ns, Name name) { return services_.get(ns, name); };
  out.tls_secret = [this](Name ns, Name name) { return secrets_.get(ns, name); };
  out.slices = [this](Name ns, Name name) {
    return slices_.by_index(kByService, std::string(ns) + "/" + std::string(name));
  };
  return out;
}

GatewayCluster IngressController::gateway_view(const Cluster& others) const {
  GatewayCluster out;
  out.classes = gateway_kinds_.list("gatewayclasses");
  out.gateways = gateway_kinds_.list("gateways");
  out.routes = gateway_kinds_.list("httproutes");
  out.grpc_routes = gateway_kinds_.list("grpcroutes");
  out.tls_routes = gateway_kinds_.list("tlsroutes");
  out.grants = gateway_kinds_.list("referencegrants");
  out.others = &others;
  out.ns = [this](std::string_view name) {
    const ObjectPtr ns = namespaces_.base().get("", name);
    return ns ? ns->metadata() : nullptr;
  };
  out.has_address = !addresses().empty();
  if (const Ref<Service> published = published_service()) {
    auto& ports = out.published_ports.emplace();
    for (auto p : published->spec().ports())
      if (p.protocol() == "TCP" || p.protocol().empty())
        ports.insert(static_cast<uint16_t>(p.port()));
  }
  return out;
}

Task<bool> IngressController::try_expressions(Context ctx, const IngressPlan* plan,
                                              std::set<std::string>* refused) {
  std::set<std::string> all;
  for (const Rule& r : plan->table.rules)
    for (std::string& e : expressions_of(r)) all.insert(std::move(e));
  const size_t before = refused->size();
  for (const std::string& e : all) {
    Status s = co_await proxy_.try_expression(ctx, e);
    if (!s.ok()) refused->insert(e);
  }
  co_return refused->size() > before;
}

// An update, not a patch: what another wrote meanwhile leads here again.
Task<Status> IngressController::publish_ports(Context ctx, const RoutingTable* table) {
  const Ref<Service> published = published_service();
  if (!published) co_return Status();
  std::set<uint16_t> ports = table->http;
  ports.insert(table->https.begin(), table->https.end());
  ports.insert(table->passthrough.begin(), table->passthrough.end());
  auto body = with_ports(*published, ports, proxy_);
  if (!body) co_return Status();
  auto r = co_await client().update<Service>(ctx, std::move(*body));
  if (r.status().is(Reason::kConflict) || r.status().is(Reason::kNotFound)) co_return Status();
  if (!r.ok())
    log::error("The Service before the proxy was not given the ports of Gateways",
               {{"error", r.status()}});
  co_return r.status();
}

Task<void> IngressController::try_certificates(Context ctx, IngressPlan* plan,
                                               std::set<std::string>* refused) {
  std::vector<Certificate> good;
  for (Certificate& c : plan->table.certificates) {
    Status s = co_await proxy_.try_certificate(ctx, c.identity);
    if (s.ok()) {
      good.push_back(std::move(c));
    } else if (c.ingress.empty()) {  // a Gateway's
      refused->insert(c.ns + "/" + c.secret);
    } else {
      Problem p;
      p.ns = c.ns;
      p.name = c.ingress;
      p.reason = "InvalidCertificate";
      p.message = "secret \"" + c.secret + "\": " + std::string(s.message());
      plan->problems.insert(std::move(p));
    }
  }
  plan->table.certificates = std::move(good);
}

void IngressController::tell(const std::set<Problem>& problems) {
  for (const Problem& p : problems) {
    if (told_.contains(p)) continue;
    const Ref<Ingress> about = ingresses_.get(p.ns, p.name);
    if (about) events().warning(reference_to(about), p.reason, p.message);
  }
  told_ = problems;
}

Task<Status> IngressController::write_addresses(Context ctx, const Cluster* cluster) {
  if (!published_service()) co_return Status();
  const std::vector<Address> wanted = addresses();
  Status first;
  for (const Ref<Ingress>& i : cluster->ingresses) {
    if (!is_ours(*i, cluster->classes) ||
        addresses_in(i->status().load_balancer().ingress()) == wanted)
      continue;
    Document body = with_addresses(*i, wanted);
    auto r = co_await client().update_status<Ingress>(ctx, std::move(body));
    // Another wrote it meanwhile, or it has gone: its change leads here again.
    const bool stale = r.status().is(Reason::kConflict) || r.status().is(Reason::kNotFound);
    if (!r.ok() && !stale && first.ok()) first = r.status();
  }
  co_return first;
}

Ref<api::core_v1::Service> IngressController::published_service() const {
  if (options_.publish_service.empty()) return {};
  return services_.get(options_.publish_namespace, options_.publish_service);
}

std::vector<Address> IngressController::addresses() const {
  const Ref<Service> published = published_service();
  return published ? addresses_of(*published) : std::vector<Address>();
}

Task<Status> IngressController::write_one(Context ctx, const char* plural,
                                          std::optional<Document> body) {
  if (!body) co_return Status();
  std::string ns(body->root["metadata"]["namespace"].as_string());
  std::string name(body->root["metadata"]["name"].as_string());
  WriteOptions options;
  options.subresource = "status";
  auto r = co_await client().update(ctx, gateway_kinds_.kind(plural), ns, name, std::move(*body),
                                    options);
  // Another wrote it meanwhile, or it has gone: its change leads here again.
  if (r.status().is(Reason::kConflict) || r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

Task<Status> IngressController::write_gateways(Context ctx, const GatewayPlan* plan) {
  const std::vector<Address> at = addresses();
  const WallTime now = loop().wall_now();
  Status first;
  for (const ClassState& c : plan->classes) {
    auto body = with_status(c, now);
    Status s = co_await write_one(ctx, "gatewayclasses", std::move(body));
    if (first.ok()) first = s;
  }
  for (const GatewayState& g : plan->gateways) {
    auto body = with_status(g, at, now);
    Status s = co_await write_one(ctx, "gateways", std::move(body));
    if (first.ok()) first = s;
  }
  for (const RouteState& r : plan->routes) {
    auto body = with_status(r, now);
    Status s = co_await write_one(ctx, r.plural, std::move(body));
    if (first.ok()) first = s;
  }
  co_return first;
}

Task<ReconcileResult> IngressController::reconcile(Context ctx, std::string) {
  const Duration early = next_ - loop().now();
  if (early > Duration(0)) co_return ReconcileResult::after(early);
  if (!gateway_kinds_.synced()) co_return ReconcileResult::after(kGather);
  next_ = loop().now() + kPace;
  const Cluster cluster = view();
  GatewayCluster gateways = gateway_view(cluster);
  IngressPlan plan = plan_ingresses(cluster);
  RoutingTable without = plan.table;
  GatewayPlan gateway_plan = plan_gateways(gateways, &plan.table);
  co_await try_certificates(ctx, &plan, &gateways.refused);
  const bool fewer = co_await try_expressions(ctx, &plan, &gateways.refused_expressions);
  if (fewer || !gateways.refused.empty()) {  // told to their owners, which go without
    plan.table = std::move(without);
    gateway_plan = plan_gateways(gateways, &plan.table);
    co_await try_certificates(ctx, &plan, &gateways.refused);
  }
  tell(plan.problems);
  const Status published = co_await publish_ports(ctx, &plan.table);
  Status s = co_await proxy_.apply(ctx, std::move(plan.table));
  if (!s.ok()) {
    log::error("The routes could not be put in place", {{"error", s}});
    co_return s;
  }
  s = co_await write_addresses(ctx, &cluster);
  Status told = co_await write_gateways(ctx, &gateway_plan);
  if (s.ok()) s = told;
  co_return s.ok() ? published : s;
}

}  // namespace keles::ingress
