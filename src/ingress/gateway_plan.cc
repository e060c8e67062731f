// Routes: which listeners they have, and what becomes of their rules.
#include "ingress/gateway_plan.h"

#include <algorithm>

#include "ingress/gateway_parts.h"
#include "machinery/labels.h"

namespace keles::ingress {

using api::core_v1::Service;

namespace {

using Protocol = Listener::Protocol;

// What a route of each kind is.
struct RouteKind {
  const char *kind, *plural;
  BackendName::Protocol protocol;
  std::vector<DocumentPtr> GatewayCluster::*all;
};
constexpr RouteKind kRouteKinds[] = {
    {"HTTPRoute", "httproutes", BackendName::Protocol::kHttp, &GatewayCluster::routes},
    {"GRPCRoute", "grpcroutes", BackendName::Protocol::kGrpc, &GatewayCluster::grpc_routes},
    {"TLSRoute", "tlsroutes", BackendName::Protocol::kTls, &GatewayCluster::tls_routes}};

// What a route's rules are at any listener.
struct Read {
  std::vector<Rule> rules;
  std::vector<TlsRule> tls;
  Condition resolved = condition("ResolvedRefs", true, "ResolvedRefs");
  Status status;  // what is not done
};

class Planner {
 public:
  Planner(const GatewayCluster& cluster, RoutingTable* table) : cluster_(cluster), table_(*table) {}

  GatewayPlan plan() {
    listeners_ = plan_listeners(cluster_, &plan_, &table_);
    // The older first, of whichever kind: it has its hosts.
    std::map<const Value*, const RouteKind*> kinds;
    std::vector<const Value*> routes;
    for (const RouteKind& k : kRouteKinds)
      for (const DocumentPtr& d : cluster_.*k.all) {
        kinds[&d->root] = &k;
        routes.push_back(&d->root);
      }
    sort_by_age(&routes);
    for (const Value* r : routes) add_route(*r, *kinds[r]);
    std::stable_sort(table_.rules.begin(), table_.rules.end(),
                     [](const Rule& a, const Rule& b) { return goes_before(a, b); });
    std::stable_sort(table_.tls_rules.begin(), table_.tls_rules.end(),
                     [](const TlsRule& a, const TlsRule& b) { return goes_before(a, b); });
    return std::move(plan_);
  }

 private:
  void add_route(const Value& route, const RouteKind& kind) {
    RouteState out;
    out.object = &route;
    out.plural = kind.plural;
    std::optional<Read> read;
    for (const Value& ref : route["spec"]["parentRefs"].items()) {
      const std::string ns = text_or(ref["namespace"], ns_of(route));
      if (text_or(ref["group"], kGatewayGroup) != kGatewayGroup ||
          text_or(ref["kind"], "Gateway") != "Gateway")
        continue;
      bool ours = false;
      for (const GatewayState& g : plan_.gateways)
        ours = ours || (ns_of(*g.object) == ns && name_of(*g.object) == text(ref["name"]));
      if (!ours) continue;
      if (!read) read = read_rules(route, kind);
      out.parents.push_back(attach(route, kind, ref, ns, *read));
    }
    // A Gateway that has gone, or is not the route's any more, leaves an entry to be taken back.
    bool told = false;
    for (const Value& p : route["status"]["parents"].items())
      told = told || p["controllerName"].as_string() == kGatewayController;
    if (told || !out.parents.empty()) plan_.routes.push_back(std::move(out));
  }

  // The hosts of the route at that listener.
  static std::vector<Host> hosts_at(const Value& route, const Listener& l) {
    std::vector<Host> out;
    const auto names = route["spec"]["hostnames"].items();
    if (names.empty()) out.push_back(l.host);
    for (const Value& n : names) {
      const auto host = Host::parse(n.as_string());
      const auto both = host && !host->any() ? intersection(l.host, *host) : std::nullopt;
      if (both) out.push_back(*both);
    }
    return out;
  }

  bool admits(const Listener& l, const Value& route, const RouteKind& kind) const {
    const auto& kinds = l.state->kinds;
    if (std::find(kinds.begin(), kinds.end(), kind.kind) == kinds.end()) return false;
    const Value& namespaces = (*l.spec)["allowedRoutes"]["namespaces"];
    const std::string_view from = namespaces["from"].as_string();
    if (from == "All") return true;
    if (from == "None") return false;
    if (from != "Selector") return ns_of(*l.gateway) == ns_of(route);
    const DocumentPtr ns = cluster_.ns(ns_of(route));
    auto selector = Selector::from_label_selector(namespaces["selector"]);
    return ns && selector.ok() && selector->matches(ns->root["metadata"]["labels"]);
  }

  // Whether an older route of another kind has one of these hosts there.
  static bool claimed(const Listener& l, const RouteKind& kind, const std::vector<Host>& hosts) {
    for (const auto& [by, host] : l.claims)
      for (const Host& h : hosts)
        if (by != kind.kind && intersection(h, host)) return true;
    return false;
  }

  ParentState attach(const Value& route, const RouteKind& kind, const Value& ref,
                     const std::string& ns, const Read& read) {
    ParentState out;
    out.ref = &ref;
    bool found = false, allowed = false, named = false;
    std::vector<Listener*> at;
    for (Listener& l : listeners_) {
      if (ns_of(*l.gateway) != ns || name_of(*l.gateway) != text(ref["name"])) continue;
      if (!ref["sectionName"].is_null() && text(ref["sectionName"]) != l.state->name) continue;
      if (!ref["port"].is_null() && ref["port"].as_int() != (*l.spec)["port"].as_int()) continue;
      found = true;
      if (!admits(l, route, kind)) continue;
      allowed = true;
      const auto hosts = hosts_at(route, l);
      if (!l.accepted || hosts.empty()) continue;
      named = true;
      if (!claimed(l, kind, hosts)) at.push_back(&l);
    }
    const Status& can = read.status;
    out.conditions.push_back(
        !found       ? condition("Accepted", false, "NoMatchingParent", "no listener matches")
        : !allowed   ? condition("Accepted", false, "NotAllowedByListeners",
                                 "no listener allows routes of that namespace and kind")
        : !named     ? condition("Accepted", false, "NoMatchingListenerHostname",
                                 "no listener has a hostname of the route")
        : at.empty() ? condition("Accepted", false, "HostnameConflict",
                                 "an older route of another kind has a hostname of the route")
        : !can.ok()  ? condition("Accepted", false, "UnsupportedValue", std::string(can.message()))
                     : condition("Accepted", true, "Accepted"));
    out.conditions.push_back(read.resolved);
    if (!out.conditions[0].status) return out;
    for (Listener* l : at) put(route, kind, read, l);
    return out;
  }

  void put(const Value& route, const RouteKind& kind, const Read& read, Listener* l) {
    ++l->state->attached;
    for (const Host& host : hosts_at(route, *l)) {
      l->claims.emplace_back(kind.kind, host);
      if (!l->programmed) continue;
      for (Rule one : read.rules) {
        one.port = l->port;
        one.host = host;
        table_.rules.push_back(std::move(one));
      }
      for (TlsRule one : read.tls) {
        one.port = l->port;
        one.host = host;
        table_.tls_rules.push_back(std::move(one));
      }
    }
  }

  Read read_rules(const Value& route, const RouteKind& kind) {
    Read out;
    const bool tls = kind.protocol == BackendName::Protocol::kTls;
    for (const Value& r : route["spec"]["rules"].items()) {
      auto shares = shares_of(route, kind, r, &out);
      if (tls) {
        out.tls.emplace_back().shares = std::move(shares);
        continue;
      }
      auto some = read_rule(r, kind.protocol == BackendName::Protocol::kGrpc);
      if (!some.ok()) {
        out.status = some.status();
        continue;
      }
      for (Rule& one : *some) {
        if (refused(one)) out.status = Status::bad_request("a regular expression is refused");
        one.shares = shares;
        out.rules.push_back(std::move(one));
      }
    }
    return out;
  }

  // By the proxy, because of an expression.
  bool refused(const Rule& r) const {
    for (const std::string& e : expressions_of(r))
      if (cluster_.refused_expressions.contains(e)) return true;
    return false;
  }

  std::vector<Share> shares_of(const Value& route, const RouteKind& kind, const Value& rule,
                               Read* read) {
    std::vector<Share> out;
    for (const Value& ref : rule["backendRefs"].items()) {
      Share s;
      s.weight =
          ref["weight"].is_null()
              ? 1
              : static_cast<uint32_t>(std::clamp<int64_t>(ref["weight"].as_int(), 0, 1'000'000));
      const auto [reason, why] = resolve(route, kind, ref, &s);
      if (!reason.empty()) read->resolved = condition("ResolvedRefs", false, reason, why);
      Status filters = read_share_filters(ref["filters"], &s);
      if (!filters.ok()) read->status = filters;
      out.push_back(std::move(s));
    }
    return out;
  }

  // Into the share; or the reason why not, and what that is.
  std::pair<std::string, std::string> resolve(const Value& route, const RouteKind& kind,
                                              const Value& ref, Share* share) {
    const std::string ns = text_or(ref["namespace"], ns_of(route));
    const std::string name = text(ref["name"]), called = "service " + ns + "/" + name;
    if (!ref["group"].as_string().empty() || text_or(ref["kind"], "Service") != "Service")
      return {"InvalidKind", "backends are Services"};
    if (!granted(cluster_, kind.kind, ns_of(route), "Service", ns, name))
      return {"RefNotPermitted", called + ": no ReferenceGrant permits it"};
    const Ref<Service> service = cluster_.others->service(ns, name);
    if (!service) return {"BackendNotFound", called + " not found"};
    if (service->spec().type() == "ExternalName")
      return {"UnsupportedProtocol", called + " is of type ExternalName"};
    for (auto p : service->spec().ports()) {
      if (p.port() != ref["port"].as_int() || (!p.protocol().empty() && p.protocol() != "TCP"))
        continue;
      const auto backend = backend_name(ns, name, p.port(), kind.protocol);
      if (!backend) break;
      Backend& b = table_.backends[*backend];
      b = backend_of(p, cluster_.others->slices(ns, name));
      if (kind.protocol == BackendName::Protocol::kGrpc) b.http2 = true;
      share->backend = backend;
      return {};
    }
    return {"BackendNotFound", called + " has no such port"};
  }

  const GatewayCluster& cluster_;
  RoutingTable& table_;
  GatewayPlan plan_;
  std::vector<Listener> listeners_;
};

}  // namespace

std::vector<std::string> expressions_of(const Rule& rule) {
  std::vector<std::string> out;
  if (rule.path_match == Rule::PathMatch::kExpression) out.push_back(rule.path);
  for (const auto* list : {&rule.headers, &rule.queries})
    for (const Match& m : *list)
      if (m.like) out.push_back(m.like->text());
  return out;
}

GatewayPlan plan_gateways(const GatewayCluster& cluster, RoutingTable* table) {
  return Planner(cluster, table).plan();
}

}  // namespace keles::ingress
