#include "server/http/relay_target.h"

#include <algorithm>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/encoding.h"
#include "base/ip.h"
#include "net/address.h"
#include "server/objects/keys.h"
#include "server/objects/kubelet_address.h"
#include "server/objects/service_address.h"
#include "store/unreadable.h"

namespace keles::server {
namespace {

Status no_host(const std::string& pod) {
  return Status::bad_request("pod " + pod + " does not have a host assigned");
}

// Without path and query.
Result<RelayTarget> kubelet_of(Store& store, const std::string& node, const KubeletTrust& trust) {
  ObjectPtr found =
      store.snapshot()->get(registry::object_key(kind_of<api::core_v1::Node>(), "", node));
  if (!found) return Status::not_found("", "nodes", node);
  DocumentPtr tree = found->tree();
  TRY_ASSIGN(address, registry::kubelet_address(tree->root, trust.addresses));
  RelayTarget out;
  out.host = address.host;
  out.port = address.port;
  out.tls = trust.tls;
  out.tls->server_name = out.host;
  if (trust.subject) out.tls->common_name = "system:node:" + node;
  return out;
}

std::vector<std::string> names_of(const Value& containers) {
  std::vector<std::string> out;
  for (const Value& c : containers.items()) out.emplace_back(c["name"].as_string());
  return out;
}

std::string spaced(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += (out.empty() ? "" : " ") + n;
  return out;
}

// The container that is meant, or upstream's complaint about it.
Result<std::string> container_of(const Value& pod, const std::string& pod_name,
                                 std::string wanted) {
  const std::vector<std::string> containers = names_of(pod["spec"]["containers"]);
  std::vector<std::string> all = names_of(pod["spec"]["initContainers"]);
  all.insert(all.end(), containers.begin(), containers.end());
  for (std::string& n : names_of(pod["spec"]["ephemeralContainers"])) all.push_back(std::move(n));
  if (wanted.empty()) {
    if (containers.size() == 1) return containers[0];
    std::string message = "a container name must be specified for pod " + pod_name;
    if (!containers.empty()) message += ", choose one of: [" + spaced(all) + "]";
    return Status::bad_request(std::move(message));
  }
  if (std::find(all.begin(), all.end(), wanted) != all.end()) return wanted;
  return Status::bad_request("container " + wanted + " is not valid for pod " + pod_name);
}

void add(std::string& query, std::string_view name, std::string_view value) {
  if (!query.empty()) query.push_back('&');
  query.append(name).append("=").append(percent_encode(value));
}

// exec and attach options, under the names that kubelets know.
std::string stream_query(const Query& q) {
  std::string out;
  for (const std::string& c : q.get_all("command")) add(out, "command", c);
  for (auto [from, to] : {std::pair{"stdin", "input"}, std::pair{"stdout", "output"},
                          std::pair{"stderr", "error"}, std::pair{"tty", "tty"}}) {
    if (q.flag(from)) add(out, to, "1");
  }
  return out;
}

std::string log_query(const Query& q) {
  std::string out;
  for (std::string_view name : {"follow", "previous", "sinceSeconds", "sinceTime", "timestamps",
                                "tailLines", "limitBytes", "stream"}) {
    if (const std::string* v = q.find(name)) add(out, name, *v);
  }
  return out;
}

// A pod's log, exec, attach or portforward.
Result<RelayTarget> pod_target(Store& store, const Exchange& x, const KubeletTrust& trust) {
  const RequestInfo& i = x.info;
  ObjectPtr found =
      store.snapshot()->get(registry::object_key(kind_of<api::core_v1::Pod>(), i.ns, i.name));
  if (!found) return Status::not_found("", "pods", i.name);
  DocumentPtr tree = found->tree();
  const Value& pod = tree->root;
  const std::string where = "/" + percent_encode(i.ns) + "/" + percent_encode(i.name);
  RelayTarget t;
  if (i.subresource == "portforward") {
    t.path = "/portForward" + where;
    for (const std::string& p : x.query.get_all("ports")) add(t.query, "port", p);
  } else {
    TRY_ASSIGN(container, container_of(pod, i.name, x.query.get("container")));
    const bool log = i.subresource == "log";
    t.path =
        (log ? "/containerLogs" : "/" + i.subresource) + where + "/" + percent_encode(container);
    t.query = log ? log_query(x.query) : stream_query(x.query);
  }
  std::string node(pod["spec"]["nodeName"].as_string());
  if (node.empty()) {
    if (i.subresource == "log") return t;
    return no_host(i.name);
  }
  TRY_ASSIGN(kubelet, kubelet_of(store, node, trust));
  kubelet.path = std::move(t.path);
  kubelet.query = std::move(t.query);
  if (i.subresource == "log" && x.query.flag("insecureSkipTLSVerifyBackend")) {
    kubelet.tls->insecure = true;
    kubelet.tls->common_name.clear();
  }
  return kubelet;
}

struct NameAndPort {
  std::string scheme, name, port;
};

// "name", "name:port", "scheme:name:port"; the scheme is "", http or https.
std::optional<NameAndPort> split_name(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0;;) {
    size_t colon = text.find(':', at);
    parts.push_back(text.substr(at, colon - at));
    if (colon == std::string::npos) break;
    at = colon + 1;
  }
  NameAndPort out;
  if (parts.size() > 3) return std::nullopt;
  if (parts.size() == 3) out.scheme = parts[0];
  out.name = parts[parts.size() == 3 ? 1 : 0];
  if (parts.size() > 1) out.port = parts.back();
  const bool known = out.scheme.empty() || out.scheme == "http" || out.scheme == "https";
  if (out.name.empty() || !known) return std::nullopt;
  return out;
}

std::optional<net::ClientTls> tls_of(const std::string& scheme) {
  if (scheme != "https") return std::nullopt;
  net::ClientTls tls;  // nobody knows what certificates pods have; nothing is shown to them
  tls.insecure = true;
  return tls;
}

Status unreachable(const std::string& why) {
  return Status(Reason::kServiceUnavailable, "error trying to reach service: dial tcp: " + why);
}

// A port that a user wrote: in range, and nothing but a number.
Result<uint16_t> port_of(const std::string& text) {
  if (auto port = net::parse_port(text)) return *port;
  const bool number = text.find_first_not_of("+-0123456789") == std::string::npos;
  return unreachable(number ? "address " + text + ": invalid port"
                            : "lookup tcp/" + text + ": unknown port");
}

Result<RelayTarget> service_target(Store& store, const RequestInfo& i, const NameAndPort& n,
                                   Random& random) {
  auto snapshot = store.snapshot();
  ObjectPtr service =
      snapshot->get(registry::object_key(kind_of<api::core_v1::Service>(), i.ns, n.name));
  if (!service) return Status::not_found("", "services", n.name);
  DocumentPtr tree = service->tree();
  // A number means the port's name, by which endpoints know it.
  std::string name = n.port;
  if (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos) {
    const Value* wanted = nullptr;
    for (const Value& p : tree->root["spec"]["ports"].items()) {
      if (!wanted && std::to_string(p["port"].as_int()) == name) wanted = &p;
    }
    if (!wanted) {
      return Status(Reason::kServiceUnavailable,
                    "no service port " + name + " found for service \"" + n.name + "\"");
    }
    name = (*wanted)["name"].as_string();
  }
  auto choices =
      registry::ready_endpoints(*snapshot, tree->root, name, registry::EndpointRule::kPodsOnly);
  if (choices.empty()) {
    TRY(unreadable_in(*snapshot,
                      registry::list_prefix(kind_of<api::discovery_v1::EndpointSlice>(), i.ns)));
    return Status(Reason::kServiceUnavailable,
                  "no endpoints available for service \"" + i.name + "\"");
  }
  const registry::ServiceAddress& chosen = choices[random.below(choices.size())];
  RelayTarget t;
  t.host = chosen.host;
  t.port = chosen.port;
  t.tls = tls_of(n.scheme);
  return t;
}

Result<RelayTarget> pod_proxy_target(Store& store, const RequestInfo& i, const NameAndPort& n) {
  ObjectPtr found =
      store.snapshot()->get(registry::object_key(kind_of<api::core_v1::Pod>(), i.ns, n.name));
  if (!found) return Status::not_found("", "pods", n.name);
  DocumentPtr tree = found->tree();
  RelayTarget t;
  t.tls = tls_of(n.scheme);
  t.default_port = n.port.empty();
  auto ip = IpAddress::parse(tree->root["status"]["podIP"].as_string());
  if (!ip) return Status::bad_request("address not allowed");
  t.host = ip->text();
  // The first port when none is named; a name is looked for among the pod's own.
  int64_t port = 0;
  for (const Value& c : tree->root["spec"]["containers"].items()) {
    for (const Value& p : c["ports"].items()) {
      const bool fits = n.port.empty() || p["name"].as_string() == n.port;
      if (port == 0 && fits) port = p["containerPort"].as_int();
    }
  }
  if (port > 0 && port <= 65535) {
    t.port = static_cast<uint16_t>(port);
  } else if (n.port.empty()) {
    t.port = t.tls ? 443 : 80;
  } else {
    TRY_ASSIGN(written, port_of(n.port));
    t.port = written;
  }
  return t;
}

// The kubelet for its own port, else whatever serves that port there: which is shown nothing.
Result<RelayTarget> node_proxy_target(Store& store, const NameAndPort& n,
                                      const KubeletTrust& trust) {
  TRY_ASSIGN(t, kubelet_of(store, n.name, trust));
  if (n.port.empty() || n.port == std::to_string(t.port)) return t;
  TRY_ASSIGN(port, port_of(n.port));
  t.port = port;
  t.tls = tls_of(n.scheme);
  return t;
}

Result<RelayTarget> proxy_target(Store& store, const Exchange& x, const KubeletTrust& trust,
                                 Random& random) {
  const RequestInfo& i = x.info;
  auto n = split_name(i.name);
  if (!n) {
    const std::string what = i.resource.substr(0, i.resource.size() - 1);
    return Status::bad_request("invalid " + what + " request \"" + i.name + "\"");
  }
  Result<RelayTarget> t = i.resource == "nodes"      ? node_proxy_target(store, *n, trust)
                          : i.resource == "services" ? service_target(store, i, *n, random)
                                                     : pod_proxy_target(store, i, *n);
  if (!t.ok()) return t;
  t->path = i.rest.empty() ? "/" : i.rest;
  t->query = x.request->query;
  return t;
}

}  // namespace

Result<RelayTarget> relay_target(Store& store, const Exchange& x, const KubeletTrust& trust,
                                 Random& random) {
  return x.info.subresource == "proxy" ? proxy_target(store, x, trust, random)
                                       : pod_target(store, x, trust);
}

}  // namespace keles::server
