// GatewayClasses, Gateways and their listeners.
#include <algorithm>
#include <map>
#include <tuple>

#include "ingress/gateway_parts.h"

namespace keles::ingress {

using api::core_v1::Secret;

namespace {

using Protocol = Listener::Protocol;

// A reason of a condition and what it is about; none: good.
struct Refusal {
  std::string reason, why;
};

Refusal refuse(std::string reason, std::string why) {
  Refusal out;
  out.reason = std::move(reason);
  out.why = std::move(why);
  return out;
}

class Planner {
 public:
  Planner(const GatewayCluster& cluster, GatewayPlan* plan, RoutingTable* table)
      : cluster_(cluster), plan_(*plan), table_(*table) {
    // Ingresses have these in any case.
    ports_ = {{80, false}, {443, true}};
  }

  std::vector<Listener> plan() {
    for (const Value* c : in_order(cluster_.classes)) add_class(*c);
    const auto gateways = in_order(cluster_.gateways);
    plan_.gateways.reserve(gateways.size());  // listeners point into it
    for (const Value* g : gateways)
      if (classes_.contains(text((*g)["spec"]["gatewayClassName"]))) add_gateway(*g);
    return std::move(listeners_);
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

  static Refusal refusal_of(const Value& spec) {
    if (!spec["addresses"].empty())
      return refuse("UnsupportedAddress", "spec.addresses is not supported");
    if (!spec["tls"].is_null()) return refuse("Invalid", "spec.tls is not supported");
    if (!spec["infrastructure"]["parametersRef"].is_null())
      return refuse("InvalidParameters", "spec.infrastructure.parametersRef is not supported");
    return {};
  }

  void add_gateway(const Value& g) {
    GatewayState& out = plan_.gateways.emplace_back();
    out.object = &g;
    const Value& spec = g["spec"];
    const auto [reason, why] = refusal_of(spec);
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
    bool conflict = false;
    if (reason.empty() && gateway_good) {
      std::tie(reason, why) = claim(l);
      conflict = reason == "HostnameConflict" || reason == "ProtocolConflict";
    }
    l.accepted = reason.empty() && gateway_good;
    auto& c = state.conditions;
    c.push_back(reason.empty() ? condition("Accepted", true, "Accepted")
                               : condition("Accepted", false, reason, why));
    c.push_back(conflict ? condition("Conflicted", true, reason, why)
                         : condition("Conflicted", false, "NoConflicts"));
    std::vector<Certificate> certificates;
    const Condition resolved = resolve_listener(g, spec, &state, &certificates);
    const bool served = l.protocol != Protocol::kHttps || !certificates.empty();
    c.push_back(resolved);
    l.programmed = l.accepted && served;
    const bool reached = !cluster_.published_ports || cluster_.published_ports->contains(l.port);
    c.push_back(
        !l.programmed ? condition("Programmed", false, "Invalid", "the listener is not valid")
        : !reached    ? condition("Programmed", false, "Pending",
                                  "the Service before the proxy has no port " + std::to_string(l.port))
                      : condition("Programmed", true, "Programmed"));
    if (l.programmed) open(l, std::move(certificates));
    listeners_.push_back(l);
    return l.programmed && resolved.status;
  }

  void open(const Listener& l, std::vector<Certificate> certificates) {
    if (l.protocol == Protocol::kHttp) table_.http.insert(l.port);
    if (l.protocol == Protocol::kHttps) table_.https.insert(l.port);
    if (l.protocol == Protocol::kPassthrough) table_.passthrough.insert(l.port);
    for (Certificate& one : certificates) {
      one.port = l.port;
      one.hosts.clear();
      if (!l.host.any()) one.hosts.push_back(l.host);
      table_.certificates.push_back(std::move(one));
    }
  }

  // Its port, protocol and host.
  static Refusal place(const Value& spec, Listener* l) {
    const std::string_view protocol = spec["protocol"].as_string();
    const std::string_view mode = spec["tls"]["mode"].as_string();
    if (protocol == "HTTPS") {
      l->protocol = Protocol::kHttps;
      if (!mode.empty() && mode != "Terminate")
        return refuse("UnsupportedProtocol", "HTTPS is terminated here: no other tls.mode");
    } else if (protocol == "TLS") {
      l->protocol = Protocol::kPassthrough;
      if (mode != "Passthrough")
        return refuse("UnsupportedProtocol", "TLS is passed on here: no other tls.mode");
    } else if (protocol != "HTTP") {
      return refuse("UnsupportedProtocol", "the protocols are HTTP, HTTPS and TLS");
    }
    const int64_t port = spec["port"].as_int();
    if (!is_listener_port(port))
      return refuse("PortUnavailable", "the ports are 1 to " + std::to_string(kLastListenerPort));
    l->port = static_cast<uint16_t>(port);
    if (!spec["tls"]["options"].empty())
      return refuse("UnsupportedProtocol", "tls.options are not supported");
    const auto host = Host::parse(spec["hostname"].as_string());
    if (!host) return refuse("UnsupportedProtocol", "the hostname is no DNS name");
    l->host = *host;
    return {};
  }

  // A port is for TLS or not, and a host of it is one listener's: the first one's.
  std::pair<std::string, std::string> claim(const Listener& l) {
    const auto had = ports_.find(l.port);
    if (had == ports_.end() && ports_.size() >= kMaxListenerPorts)
      return {"PortUnavailable", "there are " + std::to_string(kMaxListenerPorts) + " ports"};
    if (had != ports_.end() && had->second != l.tls())
      return {"ProtocolConflict",
              "port " + std::to_string(l.port) + " has another protocol already"};
    ports_.emplace(l.port, l.tls());
    if (!taken_.insert({l.port, l.host}).second)
      return {"HostnameConflict", "another listener has that port and hostname"};
    return {};
  }

  // The kinds of routes that it takes.
  static Condition resolve_kinds(const Value& spec, ListenerState* state) {
    Condition out = condition("ResolvedRefs", true, "ResolvedRefs");
    const bool passed = spec["protocol"].as_string() == "TLS";
    const std::vector<std::string> able = passed
                                              ? std::vector<std::string>{"TLSRoute"}
                                              : std::vector<std::string>{"HTTPRoute", "GRPCRoute"};
    const auto kinds = spec["allowedRoutes"]["kinds"].items();
    if (kinds.empty()) state->kinds = able;
    for (const Value& k : kinds) {
      const std::string kind = text(k["kind"]);
      const bool known = text_or(k["group"], kGatewayGroup) == kGatewayGroup &&
                         std::find(able.begin(), able.end(), kind) != able.end();
      if (known) {
        state->kinds.push_back(kind);
      } else {
        out = condition("ResolvedRefs", false, "InvalidRouteKinds",
                        "routes of kind " + kind + " are not supported");
      }
    }
    return out;
  }

  Condition resolve_listener(const Value& g, const Value& spec, ListenerState* state,
                             std::vector<Certificate>* certificates) {
    Condition out = resolve_kinds(spec, state);
    if (spec["protocol"].as_string() != "HTTPS") return out;
    if (spec["tls"]["certificateRefs"].empty())
      return condition("ResolvedRefs", false, "InvalidCertificateRef",
                       "tls has no certificateRefs");
    for (const Value& ref : spec["tls"]["certificateRefs"].items()) {
      const std::string ns = text_or(ref["namespace"], ns_of(g)), name = text(ref["name"]);
      auto [reason, why] = find_certificate(g, ref, ns, name, certificates);
      if (!reason.empty())
        out = condition("ResolvedRefs", false, reason, "secret " + ns + "/" + name + ": " + why);
    }
    return out;
  }

  Refusal find_certificate(const Value& g, const Value& ref, const std::string& ns,
                           const std::string& name, std::vector<Certificate>* certificates) {
    constexpr char kInvalid[] = "InvalidCertificateRef";
    if (!text(ref["group"]).empty() || text_or(ref["kind"], "Secret") != "Secret")
      return refuse(kInvalid, "certificates are Secrets");
    if (!granted(cluster_, "Gateway", ns_of(g), "Secret", ns, name))
      return refuse("RefNotPermitted", "no ReferenceGrant permits it");
    const Ref<Secret> secret = cluster_.others->tls_secret(ns, name);
    if (!secret) return refuse(kInvalid, "none of type kubernetes.io/tls was found");
    auto identity = identity_of(*secret);
    if (!identity.ok()) return refuse(kInvalid, std::string(identity.status().message()));
    if (cluster_.refused.contains(ns + "/" + name)) return refuse(kInvalid, "the proxy refuses it");
    Certificate one;
    one.ns = ns;
    one.secret = name;
    one.identity = std::move(*identity);
    certificates->push_back(std::move(one));
    return {};
  }

  const GatewayCluster& cluster_;
  GatewayPlan& plan_;
  RoutingTable& table_;
  std::set<std::string> classes_;  // accepted
  std::vector<Listener> listeners_;
  std::map<uint16_t, bool> ports_;  // whether for TLS
  std::set<std::pair<uint16_t, Host>> taken_;
};

}  // namespace

Condition condition(std::string type, bool status, std::string reason, std::string message) {
  Condition out;
  out.type = std::move(type);
  out.status = status;
  out.reason = std::move(reason);
  out.message = std::move(message);
  return out;
}

void sort_by_age(std::vector<const Value*>* objects) {
  std::stable_sort(objects->begin(), objects->end(), [](const Value* a, const Value* b) {
    auto key = [](const Value& v) {
      const Value& m = v["metadata"];
      return std::tuple(m["creationTimestamp"].as_string(), m["namespace"].as_string(),
                        m["name"].as_string());
    };
    return key(*a) < key(*b);
  });
}

std::vector<const Value*> in_order(const std::vector<DocumentPtr>& all) {
  std::vector<const Value*> out;
  for (const DocumentPtr& d : all) out.push_back(&d->root);
  sort_by_age(&out);
  return out;
}

bool granted(const GatewayCluster& cluster, std::string_view from_kind, const std::string& from_ns,
             std::string_view to_kind, const std::string& to_ns, const std::string& name) {
  if (from_ns == to_ns) return true;
  for (const DocumentPtr& g : cluster.grants) {
    const Value& spec = g->root["spec"];
    if (ns_of(g->root) != to_ns) continue;
    bool from = false, to = false;
    for (const Value& f : spec["from"].items())
      from = from || (f["group"].as_string() == kGatewayGroup &&
                      f["kind"].as_string() == from_kind && f["namespace"].as_string() == from_ns);
    for (const Value& t : spec["to"].items())
      to = to || (t["group"].as_string().empty() && t["kind"].as_string() == to_kind &&
                  (t["name"].as_string().empty() || t["name"].as_string() == name));
    if (from && to) return true;
  }
  return false;
}

std::vector<Listener> plan_listeners(const GatewayCluster& cluster, GatewayPlan* plan,
                                     RoutingTable* table) {
  return Planner(cluster, plan, table).plan();
}

}  // namespace keles::ingress
