#include "ingress/ingress_plan.h"

#include <algorithm>
#include <tuple>

#include "base/encoding.h"

namespace keles::ingress {

using namespace api::networking_v1;
using api::core_v1::Secret;
using api::core_v1::Service;
using api::core_v1::ServicePort;
using api::discovery_v1::EndpointSlice;

namespace {

constexpr std::string_view kClassAnnotation = "kubernetes.io/ingress.class";

// Plans one Ingress after another into the same table.
class Planner {
 public:
  explicit Planner(const Cluster& cluster) : cluster_(cluster) {}

  void add(const Ingress& ingress) {
    ns_ = ingress.metadata().namespace_();
    name_ = ingress.metadata().name();
    std::set<Host> hosts;
    for (IngressRule rule : ingress.spec().rules()) add_rule(rule, &hosts);
    if (ingress.spec().has_default_backend()) {
      // Requests that none of its rules match: for its hosts, and for those of nobody.
      hosts.insert(Host());
      const auto backend = resolve(ingress.spec().default_backend());
      for (const Host& h : hosts)
        if (backend) plan_.table.defaults.try_emplace(h, *backend);
    }
    for (IngressTLS tls : ingress.spec().tls()) add_certificate(tls);
  }
  IngressPlan take() { return std::move(plan_); }

 private:
  void tell(std::string reason, std::string message) {
    plan_.problems.insert({ns_, name_, std::move(reason), std::move(message)});
  }

  void add_rule(const IngressRule& rule, std::set<Host>* hosts) {
    const auto host = Host::parse(rule.host());
    if (!host) return tell("InvalidHost", "host " + keles::quoted(rule.host()) + " is no DNS name");
    hosts->insert(*host);
    for (HTTPIngressPath p : rule.http().paths()) add_path(*host, p);
  }

  void add_path(const Host& host, const HTTPIngressPath& p) {
    const auto path = Path::parse(p.path().empty() ? "/" : p.path());
    if (!path) {
      return tell("InvalidPath", "a path does not begin with \"/\" or is longer than " +
                                     std::to_string(Path::kMaxBytes) + " bytes");
    }
    const auto backend = resolve(p.backend());
    if (!backend) return;
    // ImplementationSpecific is a prefix here.
    const bool exact = p.path_type() == "Exact";
    auto& routes = exact ? plan_.table.exact : plan_.table.prefix;
    const std::string key = exact ? path->text() : path->elements();
    const auto [had, fresh] = routes.try_emplace({host, key}, *backend);
    if (!fresh && had->second != *backend) {
      tell("Conflict", "path " + keles::quoted(path->text()) + " of host " +
                           keles::quoted(host.text()) + " leads to service " + had->second.ns +
                           "/" + had->second.service + " already");
    }
  }

  // Also puts it into the table. None: there is nothing that a request could be sent to, not even a
  // name to answer 503 by.
  std::optional<BackendName> resolve(const IngressBackend& b) {
    if (b.has_resource()) {
      tell("NotSupported", "backends that are resources are not supported");
      return std::nullopt;
    }
    const std::string_view name = b.service().name();
    const Ref<Service> service = cluster_.service(ns_, name);
    const auto port = service ? find_port(*service, b.service().port()) : std::nullopt;
    if (!service) {
      tell("ServiceNotFound", "service " + keles::quoted(name) + " not found");
    } else if (service->spec().type() == "ExternalName") {
      tell("NotSupported", "service " + keles::quoted(name) + " is of type ExternalName");
    } else if (!port) {
      tell("PortNotFound", "service " + keles::quoted(name) + " has no such port");
    } else {
      return put(name, *port, *service);
    }
    // Somebody has the path; what he names has no endpoints.
    const int64_t number = b.service().port().number();
    const auto out = backend_name(ns_, name, number == 0 ? 1 : number);
    if (out) plan_.table.backends.try_emplace(*out);
    return out;
  }

  static std::optional<ServicePort> find_port(const Service& service,
                                              const ServiceBackendPort& wanted) {
    for (ServicePort p : service.spec().ports()) {
      if (!p.protocol().empty() && p.protocol() != "TCP") continue;
      if (wanted.name().empty() ? p.port() == wanted.number() : p.name() == wanted.name()) return p;
    }
    return std::nullopt;
  }

  std::optional<BackendName> put(std::string_view name, const ServicePort& port,
                                 const Service& service) {
    const auto out = backend_name(ns_, name, port.port());
    if (!out) return out;
    if (plan_.table.backends.contains(*out)) return out;
    plan_.table.backends[*out] =
        backend_of(port, cluster_.slices(service.metadata().namespace_(), name));
    return out;
  }

  void add_certificate(const IngressTLS& tls) {
    const std::string_view name = tls.secret_name();
    if (name.empty()) return;  // the proxy's own
    Certificate out;
    out.ns = ns_;
    out.ingress = name_;
    out.secret = name;
    for (std::string_view text : tls.hosts()) {
      const auto host = Host::parse(text);
      if (!host || host->any()) {
        tell("InvalidHost", "TLS host " + keles::quoted(text) + " is no DNS name");
      } else {
        out.hosts.push_back(*host);
      }
    }
    if (out.hosts.empty() && !tls.hosts().empty()) return;
    const Ref<Secret> secret = cluster_.tls_secret(ns_, name);
    if (!secret) {
      return tell("SecretNotFound",
                  "no secret " + keles::quoted(name) + " of type kubernetes.io/tls was found");
    }
    auto identity = identity_of(*secret);
    if (!identity.ok()) {
      return tell("InvalidCertificate", "secret " + keles::quoted(name) + ": " +
                                            std::string(identity.status().message()));
    }
    out.identity = std::move(*identity);
    plan_.table.certificates.push_back(std::move(out));
  }

  const Cluster& cluster_;
  std::string ns_, name_;  // of the Ingress under way
  IngressPlan plan_;
};

}  // namespace

bool is_ours(const Ingress& ingress, const std::set<std::string>& classes) {
  const auto annotations = ingress.metadata().annotations();
  const std::string_view name = ingress.spec().has_ingress_class_name()
                                    ? ingress.spec().ingress_class_name()
                                    : annotations.get(kClassAnnotation);
  return classes.contains(std::string(name));
}

IngressPlan plan_ingresses(const Cluster& cluster) {
  std::vector<Ref<Ingress>> ours;
  for (const Ref<Ingress>& i : cluster.ingresses)
    if (is_ours(*i, cluster.classes)) ours.push_back(i);
  std::sort(ours.begin(), ours.end(), [](const Ref<Ingress>& a, const Ref<Ingress>& b) {
    auto order = [](const Ingress& i) {
      return std::tuple(i.metadata().creation_timestamp(), i.metadata().namespace_(),
                        i.metadata().name());
    };
    return order(*a) < order(*b);
  });
  Planner planner(cluster);
  for (const Ref<Ingress>& i : ours) planner.add(*i);
  return planner.take();
}

}  // namespace keles::ingress
