#include "ingress/gateway_plan.h"

#include <algorithm>
#include <tuple>

#include "machinery/labels.h"

namespace keles::ingress {

using api::core_v1::Secret;
using api::core_v1::Service;

namespace {

std::string text(const Value& v) { return std::string(v.as_string()); }
std::string ns_of(const Value& object) { return text(object["metadata"]["namespace"]); }
std::string name_of(const Value& object) { return text(object["metadata"]["name"]); }

// The older first.
std::vector<const Value*> in_order(const std::vector<DocumentPtr>& all) {
  std::vector<const Value*> out;
  for (const DocumentPtr& d : all) out.push_back(&d->root);
  std::sort(out.begin(), out.end(), [](const Value* a, const Value* b) {
    auto key = [](const Value& v) {
      const Value& m = v["metadata"];
      return std::tuple(m["creationTimestamp"].as_string(), m["namespace"].as_string(),
                        m["name"].as_string());
    };
    return key(*a) < key(*b);
  });
  return out;
}

Condition condition(std::string type, bool status, std::string reason, std::string message = "") {
  Condition out;
  out.type = std::move(type);
  out.status = status;
  out.reason = std::move(reason);
  out.message = std::move(message);
  return out;
}

// A listener that may have routes.
struct Listener {
  const Value* gateway = nullptr;
  const Value* spec = nullptr;
  ListenerState* state = nullptr;
  bool accepted = true, programmed = true;
  bool secure = false;
  Host host;
};

class Planner {
 public:
  Planner(const GatewayCluster& cluster, RoutingTable* table) : cluster_(cluster), table_(*table) {}

  GatewayPlan plan() {
    for (const Value* c : in_order(cluster_.classes)) add_class(*c);
    const auto gateways = in_order(cluster_.gateways);
    plan_.gateways.reserve(gateways.size());  // listeners point into it
    for (const Value* g : gateways)
      if (classes_.contains(text((*g)["spec"]["gatewayClassName"]))) add_gateway(*g);
    for (const Value* r : in_order(cluster_.routes)) add_route(*r);
    std::stable_sort(table_.rules.begin(), table_.rules.end(), goes_before);
    return std::move(plan_);
  }

 private:
  void add_class(const Value& c) {
    if (c["spec"]["controllerName"].as_string() != kGatewayController) return;
    ClassState out;
    out.object = &c;
    const bool plain = c["spec"]["parametersRef"].is_null();
    out.conditions = {plain ? condition("Accepted", true, "Accepted")
                            : condition("Accepted", false, "InvalidParameters",
                                        "spec.parametersRef is not supported")};
    if (plain) classes_.insert(name_of(c));
    plan_.classes.push_back(std::move(out));
  }

  // --- Gateways ---

  void add_gateway(const Value& g) {
    GatewayState& out = plan_.gateways.emplace_back();
    out.object = &g;
    const Value& spec = g["spec"];
    std::string why, reason = "Invalid";
    if (!spec["addresses"].empty()) {
      reason = "UnsupportedAddress";
      why = "spec.addresses is not supported";
    } else if (!spec["tls"].is_null()) {
      why = "spec.tls is not supported";
    } else if (!spec["infrastructure"]["parametersRef"].is_null()) {
      reason = "InvalidParameters";
      why = "spec.infrastructure.parametersRef is not supported";
    }
    size_t good = 0;
    const auto listeners = spec["listeners"].items();
    out.listeners.reserve(listeners.size());
    for (const Value& l : listeners) good += add_listener(g, l, why.empty(), &out) ? 1 : 0;
    if (!why.empty()) {
      out.conditions = {condition("Accepted", false, reason, why),
                        condition("Programmed", false, "Invalid", why)};
      return;
    }
    const bool all = good == listeners.size();
    out.conditions = {
        all ? condition("Accepted", true, "Accepted")
            : condition("Accepted", good > 0, "ListenersNotValid", "a listener is not valid")};
    out.conditions.push_back(
        good == 0               ? condition("Programmed", false, "Invalid", "no listener is valid")
        : !cluster_.has_address ? condition("Programmed", false, "AddressNotAssigned",
                                            "the Service before the proxy has no address")
                                : condition("Programmed", true, "Programmed"));
  }

  bool add_listener(const Value& g, const Value& spec, bool gateway_good, GatewayState* gateway) {
    ListenerState& state = gateway->listeners.emplace_back();
    state.name = text(spec["name"]);
    Listener l;
    l.gateway = &g;
    l.spec = &spec;
    l.state = &state;
    auto [reason, why] = place(spec, &l);
    const auto claimed = std::pair(l.secure, l.host);
    const bool conflict = reason.empty() && gateway_good && !taken_.insert(claimed).second;
    if (conflict) {
      reason = "HostnameConflict";
      why = "another listener has that port and hostname";
    }
    l.accepted = reason.empty() && gateway_good;
    auto& c = state.conditions;
    c.push_back(reason.empty() ? condition("Accepted", true, "Accepted")
                               : condition("Accepted", false, reason, why));
    c.push_back(conflict ? condition("Conflicted", true, reason, why)
                         : condition("Conflicted", false, "NoConflicts"));
    std::vector<Certificate> certificates;
    const Condition resolved = resolve_listener(g, spec, &state, &certificates);
    const bool served = !l.secure || !certificates.empty();
    c.push_back(resolved);
    l.programmed = l.accepted && served && gateway_good;
    c.push_back(l.programmed
                    ? condition("Programmed", true, "Programmed")
                    : condition("Programmed", false, "Invalid", "the listener is not valid"));
    if (l.programmed)
      for (Certificate& one : certificates) {
        one.hosts.clear();
        if (!l.host.any()) one.hosts.push_back(l.host);
        table_.certificates.push_back(std::move(one));
      }
    listeners_.push_back(l);
    return l.programmed && resolved.status;
  }

  // Its port and host; or the reason why it has none, and what that is.
  static std::pair<std::string, std::string> place(const Value& spec, Listener* l) {
    const std::string_view protocol = spec["protocol"].as_string();
    l->secure = protocol == "HTTPS";
    if (protocol != "HTTP" && !l->secure)
      return {"UnsupportedProtocol", "the protocols are HTTP and HTTPS"};
    if (spec["port"].as_int() != (l->secure ? 443 : 80))
      return {"PortUnavailable", "the proxy has HTTP at port 80 and HTTPS at port 443"};
    const std::string_view mode = spec["tls"]["mode"].as_string();
    if (l->secure && !mode.empty() && mode != "Terminate")
      return {"UnsupportedProtocol", "HTTPS is terminated here: no other tls.mode"};
    if (!spec["tls"]["options"].empty())
      return {"UnsupportedProtocol", "tls.options are not supported"};
    const auto host = Host::parse(spec["hostname"].as_string());
    if (!host) return {"UnsupportedProtocol", "the hostname is no DNS name"};
    l->host = *host;
    return {};
  }

  Condition resolve_listener(const Value& g, const Value& spec, ListenerState* state,
                             std::vector<Certificate>* certificates) {
    Condition out = condition("ResolvedRefs", true, "ResolvedRefs");
    const auto kinds = spec["allowedRoutes"]["kinds"].items();
    state->http_routes = kinds.empty();
    for (const Value& k : kinds) {
      const std::string group = k["group"].is_null() ? kGatewayGroup : text(k["group"]);
      if (group == kGatewayGroup && k["kind"].as_string() == "HTTPRoute") {
        state->http_routes = true;
      } else {
        out = condition("ResolvedRefs", false, "InvalidRouteKinds",
                        "routes of kind " + text(k["kind"]) + " are not supported");
      }
    }
    if (spec["protocol"].as_string() != "HTTPS") return out;
    if (spec["tls"]["certificateRefs"].empty())
      return condition("ResolvedRefs", false, "InvalidCertificateRef",
                       "tls has no certificateRefs");
    for (const Value& ref : spec["tls"]["certificateRefs"].items()) {
      const std::string ns = ref["namespace"].is_null() ? ns_of(g) : text(ref["namespace"]);
      const std::string name = text(ref["name"]);
      auto bad = [&](const char* reason, const std::string& why) {
        out = condition("ResolvedRefs", false, reason, "secret " + ns + "/" + name + ": " + why);
      };
      if (text(ref["group"]) != "" || (!ref["kind"].is_null() && text(ref["kind"]) != "Secret")) {
        bad("InvalidCertificateRef", "certificates are Secrets");
        continue;
      }
      if (!granted("Gateway", ns_of(g), "Secret", ns, name)) {
        bad("RefNotPermitted", "no ReferenceGrant permits it");
        continue;
      }
      const Ref<Secret> secret = cluster_.others->tls_secret(ns, name);
      if (!secret) {
        bad("InvalidCertificateRef", "none of type kubernetes.io/tls was found");
        continue;
      }
      auto identity = identity_of(*secret);
      if (!identity.ok() || cluster_.refused.contains(ns + "/" + name)) {
        bad("InvalidCertificateRef",
            identity.ok() ? "the proxy refuses it" : std::string(identity.status().message()));
        continue;
      }
      Certificate one;
      one.ns = ns;
      one.secret = name;
      one.identity = std::move(*identity);
      certificates->push_back(std::move(one));
    }
    return out;
  }

  bool granted(std::string_view from_kind, const std::string& from_ns, std::string_view to_kind,
               const std::string& to_ns, const std::string& name) const {
    if (from_ns == to_ns) return true;
    for (const DocumentPtr& g : cluster_.grants) {
      const Value& spec = g->root["spec"];
      if (ns_of(g->root) != to_ns) continue;
      bool from = false, to = false;
      for (const Value& f : spec["from"].items())
        from =
            from || (f["group"].as_string() == kGatewayGroup &&
                     f["kind"].as_string() == from_kind && f["namespace"].as_string() == from_ns);
      for (const Value& t : spec["to"].items())
        to = to || (t["group"].as_string().empty() && t["kind"].as_string() == to_kind &&
                    (t["name"].as_string().empty() || t["name"].as_string() == name));
      if (from && to) return true;
    }
    return false;
  }

  // --- routes ---

  void add_route(const Value& route) {
    RouteState out;
    out.object = &route;
    for (const Value& ref : route["spec"]["parentRefs"].items()) {
      const std::string group = ref["group"].is_null() ? kGatewayGroup : text(ref["group"]);
      const std::string kind = ref["kind"].is_null() ? "Gateway" : text(ref["kind"]);
      const std::string ns = ref["namespace"].is_null() ? ns_of(route) : text(ref["namespace"]);
      if (group != kGatewayGroup || kind != "Gateway") continue;
      bool ours = false;
      for (const GatewayState& g : plan_.gateways)
        ours = ours || (ns_of(*g.object) == ns && name_of(*g.object) == text(ref["name"]));
      if (ours) out.parents.push_back(attach(route, ref, ns));
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

  bool admits(const Listener& l, const Value& route) const {
    if (!l.state->http_routes) return false;
    const Value& namespaces = (*l.spec)["allowedRoutes"]["namespaces"];
    const std::string_view from = namespaces["from"].as_string();
    if (from == "All") return true;
    if (from != "Selector") return ns_of(*l.gateway) == ns_of(route);
    const DocumentPtr ns = cluster_.ns(ns_of(route));
    auto selector = Selector::from_label_selector(namespaces["selector"]);
    return ns && selector.ok() && selector->matches(ns->root["metadata"]["labels"]);
  }

  ParentState attach(const Value& route, const Value& ref, const std::string& ns) {
    ParentState out;
    out.ref = &ref;
    bool found = false, allowed = false;
    std::vector<const Listener*> at;
    for (const Listener& l : listeners_) {
      if (ns_of(*l.gateway) != ns || name_of(*l.gateway) != text(ref["name"])) continue;
      if (!ref["sectionName"].is_null() && text(ref["sectionName"]) != l.state->name) continue;
      if (!ref["port"].is_null() && ref["port"].as_int() != (*l.spec)["port"].as_int()) continue;
      found = true;
      if (!admits(l, route)) continue;
      allowed = true;
      if (l.accepted && !hosts_at(route, l).empty()) at.push_back(&l);
    }
    std::vector<Rule> rules;
    Condition resolved = condition("ResolvedRefs", true, "ResolvedRefs");
    Status read;
    for (const Value& r : route["spec"]["rules"].items()) {
      auto some = read_rule(r);
      if (!some.ok()) read = some.status();
      const auto shares = shares_of(route, r, &resolved);
      if (some.ok())
        for (Rule& one : *some) {
          one.shares = shares;
          rules.push_back(std::move(one));
        }
    }
    out.conditions.push_back(
        !found       ? condition("Accepted", false, "NoMatchingParent", "no listener matches")
        : !allowed   ? condition("Accepted", false, "NotAllowedByListeners",
                                 "no listener allows routes of that namespace and kind")
        : at.empty() ? condition("Accepted", false, "NoMatchingListenerHostname",
                                 "no listener has a hostname of the route")
        : !read.ok() ? condition("Accepted", false, "UnsupportedValue", std::string(read.message()))
                     : condition("Accepted", true, "Accepted"));
    out.conditions.push_back(resolved);
    if (!out.conditions[0].status) return out;
    for (const Listener* l : at) {
      ++l->state->attached;
      if (!l->programmed) continue;
      for (const Host& host : hosts_at(route, *l))
        for (Rule one : rules) {
          one.secure = l->secure;
          one.host = host;
          table_.rules.push_back(std::move(one));
        }
    }
    return out;
  }

  std::vector<Share> shares_of(const Value& route, const Value& rule, Condition* resolved) {
    std::vector<Share> out;
    for (const Value& ref : rule["backendRefs"].items()) {
      Share s;
      s.weight =
          ref["weight"].is_null()
              ? 1
              : static_cast<uint32_t>(std::clamp<int64_t>(ref["weight"].as_int(), 0, 1'000'000));
      const auto [reason, why] = resolve(route, ref, &s);
      if (!reason.empty()) *resolved = condition("ResolvedRefs", false, reason, why);
      out.push_back(std::move(s));
    }
    return out;
  }

  // Into the share; or the reason why not, and what that is.
  std::pair<std::string, std::string> resolve(const Value& route, const Value& ref, Share* share) {
    const std::string ns = ref["namespace"].is_null() ? ns_of(route) : text(ref["namespace"]);
    const std::string name = text(ref["name"]), called = "service " + ns + "/" + name;
    if (!ref["group"].as_string().empty() ||
        (!ref["kind"].is_null() && ref["kind"].as_string() != "Service"))
      return {"InvalidKind", "backends are Services"};
    if (!granted("HTTPRoute", ns_of(route), "Service", ns, name))
      return {"RefNotPermitted", called + ": no ReferenceGrant permits it"};
    const Ref<Service> service = cluster_.others->service(ns, name);
    if (!service) return {"BackendNotFound", called + " not found"};
    if (service->spec().type() == "ExternalName")
      return {"UnsupportedProtocol", called + " is of type ExternalName"};
    for (auto p : service->spec().ports()) {
      if (p.port() != ref["port"].as_int() || (!p.protocol().empty() && p.protocol() != "TCP"))
        continue;
      const auto backend = backend_name(ns, name, p.port());
      if (!backend) break;
      Backend& b = table_.backends[*backend];
      b.http2 = p.app_protocol() == "kubernetes.io/h2c";
      b.targets = targets_of(cluster_.others->slices(ns, name), p.name());
      share->backend = backend;
      return {};
    }
    return {"BackendNotFound", called + " has no such port"};
  }

  const GatewayCluster& cluster_;
  RoutingTable& table_;
  GatewayPlan plan_;
  std::set<std::string> classes_;  // accepted
  std::vector<Listener> listeners_;
  std::set<std::pair<bool, Host>> taken_;
};

}  // namespace

GatewayPlan plan_gateways(const GatewayCluster& cluster, RoutingTable* table) {
  return Planner(cluster, table).plan();
}

}  // namespace keles::ingress
