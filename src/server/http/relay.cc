// Subresources that others answer: a node's kubelet (log, exec, attach, portforward, nodes/proxy),
// or a pod or service (proxy). Upgraded connections are relayed byte for byte, bodies piecewise.
#include <algorithm>
#include <array>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "net/stream.h"
#include "server/http/exchange.h"
#include "server/http/front.h"
#include "server/registry/keys.h"
#include "server/registry/meta.h"

namespace keles::server {
namespace {

constexpr uint16_t kKubeletPort = 10250;

struct Target {
  net::Endpoint endpoint;
  std::string path, query;
};

Status no_host(const std::string& pod) {
  return Status::bad_request("pod " + pod + " does not have a host assigned");
}

const Value& node_address(const Value& node) {
  for (std::string_view type : {"InternalIP", "ExternalIP", "InternalDNS", "Hostname"}) {
    for (const Value& a : node["status"]["addresses"].items()) {
      if (a["type"].as_string() == type) return a["address"];
    }
  }
  return Value::null();
}

Result<net::Endpoint> kubelet_of(Store& store, const std::string& node, const net::ClientTls& tls) {
  ObjectPtr found =
      store.snapshot()->get(registry::object_key(kind_of<api::core_v1::Node>(), "", node));
  if (!found) return Status::not_found("", "nodes", node);
  DocumentPtr tree = found->tree();
  std::string address(node_address(tree->root).as_string());
  if (address.empty()) {
    return Status::internal("no preferred addresses found for node " + node);
  }
  int64_t port = tree->root["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_int();
  net::Endpoint out;
  out.host = std::move(address);
  out.port = port > 0 ? static_cast<uint16_t>(port) : kKubeletPort;
  out.tls = tls;
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
  auto names = names_of(pod["spec"]["containers"]);
  auto inits = names_of(pod["spec"]["initContainers"]);
  auto ephemeral = names_of(pod["spec"]["ephemeralContainers"]);
  if (wanted.empty()) {
    if (names.size() == 1) return names[0];
    std::string message = "a container name must be specified for pod " + pod_name +
                          ", choose one of: [" + spaced(names) + "]";
    if (!inits.empty()) message += " or one of the init containers: [" + spaced(inits) + "]";
    return Status::bad_request(std::move(message));
  }
  for (const auto* list : {&names, &inits, &ephemeral}) {
    if (std::find(list->begin(), list->end(), wanted) != list->end()) return wanted;
  }
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
  for (std::string_view name :
       {"follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes",
        "stream", "insecureSkipTLSVerifyBackend"}) {
    if (const std::string* v = q.find(name)) add(out, name, *v);
  }
  return out;
}

// A pod's log, exec, attach or portforward. An empty host: there is nothing to say yet.
Result<Target> pod_target(Store& store, const Exchange& x, const net::ClientTls& tls) {
  const RequestInfo& i = x.info;
  ObjectPtr found =
      store.snapshot()->get(registry::object_key(kind_of<api::core_v1::Pod>(), i.ns, i.name));
  if (!found) return Status::not_found("", "pods", i.name);
  DocumentPtr tree = found->tree();
  const Value& pod = tree->root;
  const std::string where = "/" + i.ns + "/" + i.name;
  Target t;
  if (i.subresource == "portforward") {
    t.path = "/portForward" + where;
    for (const std::string& p : x.query.get_all("ports")) add(t.query, "port", p);
  } else {
    TRY_ASSIGN(container, container_of(pod, i.name, x.query.get("container")));
    if (i.subresource == "log") {
      t.path = "/containerLogs" + where + "/" + container;
      t.query = log_query(x.query);
    } else {
      t.path = "/" + i.subresource + where + "/" + container;
      t.query = stream_query(x.query);
    }
  }
  std::string node(pod["spec"]["nodeName"].as_string());
  if (node.empty()) {
    if (i.subresource == "log") return t;
    return no_host(i.name);
  }
  TRY_ASSIGN(endpoint, kubelet_of(store, node, tls));
  t.endpoint = std::move(endpoint);
  return t;
}

struct NameAndPort {
  std::string scheme, name, port;
};

// "name", "name:port", "scheme:name:port".
NameAndPort split_name(const std::string& text) {
  NameAndPort out;
  size_t a = text.find(':');
  if (a == std::string::npos) return {"", text, ""};
  size_t b = text.find(':', a + 1);
  if (b == std::string::npos) return {"", text.substr(0, a), text.substr(a + 1)};
  return {text.substr(0, a), text.substr(a + 1, b - a - 1), text.substr(b + 1)};
}

net::ClientTls unverified() {
  net::ClientTls tls;
  tls.insecure = true;
  return tls;
}

// A ready endpoint of the service's port.
Result<Target> service_target(Store& store, const RequestInfo& i, const NameAndPort& n) {
  auto snapshot = store.snapshot();
  ObjectPtr service =
      snapshot->get(registry::object_key(kind_of<api::core_v1::Service>(), i.ns, n.name));
  if (!service) return Status::not_found("", "services", n.name);
  DocumentPtr tree = service->tree();
  const Value* wanted = nullptr;
  for (const Value& p : tree->root["spec"]["ports"].items()) {
    const bool same =
        p["name"].as_string() == n.port || std::to_string(p["port"].as_int()) == n.port;
    if (!wanted && (n.port.empty() || same)) wanted = &p;
  }
  if (!wanted) {
    return Status(Reason::kServiceUnavailable,
                  "no service port \"" + n.port + "\" found for service \"" + n.name + "\"");
  }
  Target t;
  const std::string prefix =
      registry::list_prefix(kind_of<api::discovery_v1::EndpointSlice>(), i.ns);
  snapshot->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr slice = o->tree();
    const Value& labels = slice->root["metadata"]["labels"];
    if (labels["kubernetes.io/service-name"].as_string() != n.name) return true;
    for (const Value& p : slice->root["ports"].items()) {
      if (p["name"].as_string() != (*wanted)["name"].as_string()) continue;
      for (const Value& e : slice->root["endpoints"].items()) {
        const Value& ready = e["conditions"]["ready"];
        if ((!ready.is_null() && !ready.as_bool()) || e["addresses"].empty()) continue;
        t.endpoint.host = e["addresses"].at(0).as_string();
        t.endpoint.port = static_cast<uint16_t>(p["port"].as_int());
        return false;
      }
    }
    return true;
  });
  if (t.endpoint.host.empty()) {
    return Status(Reason::kServiceUnavailable,
                  "no endpoints available for service \"" + n.name + "\"");
  }
  return t;
}

Result<Target> pod_proxy_target(Store& store, const RequestInfo& i, const NameAndPort& n) {
  ObjectPtr found =
      store.snapshot()->get(registry::object_key(kind_of<api::core_v1::Pod>(), i.ns, n.name));
  if (!found) return Status::not_found("", "pods", n.name);
  DocumentPtr tree = found->tree();
  Target t;
  t.endpoint.host = tree->root["status"]["podIP"].as_string();
  if (t.endpoint.host.empty()) return Status::bad_request("address not allowed");
  int64_t port = registry::to_int(n.port).value_or(0);
  for (const Value& c : tree->root["spec"]["containers"].items()) {
    for (const Value& p : c["ports"].items()) {
      if (port == 0 || p["name"].as_string() == n.port) port = p["containerPort"].as_int();
    }
  }
  t.endpoint.port = static_cast<uint16_t>(port > 0 ? port : 80);
  return t;
}

Result<Target> proxy_target(Store& store, const Exchange& x, const net::ClientTls& tls) {
  const RequestInfo& i = x.info;
  const NameAndPort n = split_name(i.name);
  Target t;
  if (i.resource == "nodes") {
    TRY_ASSIGN(endpoint, kubelet_of(store, n.name, tls));
    t.endpoint = std::move(endpoint);
    if (auto port = registry::to_int(n.port)) t.endpoint.port = static_cast<uint16_t>(*port);
  } else if (i.resource == "services") {
    TRY_ASSIGN(found, service_target(store, i, n));
    t = std::move(found);
  } else {
    TRY_ASSIGN(found, pod_proxy_target(store, i, n));
    t = std::move(found);
  }
  if (i.resource != "nodes" && n.scheme == "https") t.endpoint.tls = unverified();
  t.path = i.rest.empty() ? "/" : i.rest;
  t.query = x.query.encode();
  return t;
}

bool hop_by_hop(std::string_view name) {
  static constexpr std::array kNames{"connection", "keep-alive",       "transfer-encoding",
                                     "te",         "proxy-connection", "upgrade",
                                     "trailer",    "content-length",   "http2-settings"};
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return std::find(kNames.begin(), kNames.end(), lower) != kNames.end();
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return low(x) == low(y);
  });
}

// The caller's credentials stay here: the peer knows the API server by its own.
bool is_credential(std::string_view name) {
  return same_name(name, "authorization") || name.substr(0, 12) == "Impersonate-" ||
         name.substr(0, 12) == "impersonate-";
}

net::Request forwarded(const Exchange& x, const Target& t, bool upgrade) {
  net::Request r;
  r.method = x.request->method;
  r.path = t.path;
  r.query = t.query;
  r.body = x.request->body;
  for (const auto& [name, value] : x.request->headers) {
    if (is_credential(name) || same_name(name, "host")) continue;
    if (hop_by_hop(name) &&
        !(upgrade && (same_name(name, "connection") || same_name(name, "upgrade")))) {
      continue;
    }
    r.headers.add(name, value);
  }
  return r;
}

Task<void> relay_upgrade(Context ctx, Exchange* x, net::HttpClient* client, net::Request request) {
  const std::string protocol = x->header("Upgrade");
  auto up = co_await client->upgrade(ctx, std::move(request));
  if (!up.ok()) {
    Status why = Status::internal("error dialing backend: " + up.status().message());
    co_await x->fail(why);
    co_return;
  }
  net::Headers h;
  for (const auto& [name, value] : up->headers) {
    if (!hop_by_hop(name)) h.add(name, value);
  }
  if (up->status != 101 || !up->stream) {
    x->code = up->status;
    Parts parts = net::as_body(std::move(up->body));
    Status s = co_await x->responder->respond(up->status, std::move(h), std::move(parts));
    (void)s;
    co_return;
  }
  x->code = 101;
  auto mine = co_await x->responder->accept_upgrade(protocol, std::move(h));
  if (!mine.ok()) co_return;
  Status s = co_await net::relay(ctx, mine->get(), up->stream.get());
  (void)s;  // either side ended: so does the other
}

// How much of a kubelet's refusal is read.
constexpr size_t kMaxRefusal = 10'000;

// What the kubelet answered with an error, as the API says it.
Status refused_by_kubelet(int code, const std::string& pod, std::string why) {
  if (code == 400) return Status::bad_request(std::move(why));
  if (code == 500) return Status::internal(std::move(why));
  StatusDetails details;
  details.kind = "pods";
  details.name = pod;
  if (code == 404) {
    return Status(Reason::kNotFound,
                  "the server could not find the requested resource ( pods " + pod + ")",
                  std::move(details));
  }
  return Status(Reason::kUnknown,
                "the server responded with the status code " + std::to_string(code) +
                    " but did not return more information ( pods " + pod + ")",
                std::move(details), code);
}

Task<void> relay_body(Context ctx, Exchange* x, net::HttpClient* client, net::Request request) {
  auto stream = co_await client->open(ctx, std::move(request));
  if (!stream.ok()) {
    Status why = x->info.subresource == "proxy"
                     ? Status(Reason::kServiceUnavailable,
                              "error trying to reach service: " + stream.status().message())
                     : Status::internal("error dialing backend: " + stream.status().message());
    co_await x->fail(why);
    co_return;
  }
  x->code = (*stream)->status();
  if (x->info.subresource == "log" && (x->code < 200 || x->code > 206)) {
    std::string why;
    while (why.size() < kMaxRefusal) {
      auto piece = co_await (*stream)->read(ctx);
      if (!piece.ok() || piece->empty()) break;
      why += *piece;
    }
    while (!why.empty() && why.back() == '\n') why.pop_back();
    Status refused = refused_by_kubelet(x->code, x->info.name, std::move(why));
    co_await x->fail(refused);
    co_return;
  }
  net::Headers h;
  for (const auto& [name, value] : (*stream)->headers()) {
    if (!hop_by_hop(name)) h.add(name, value);
  }
  Status s = co_await x->responder->begin(x->code, std::move(h));
  while (s.ok()) {
    auto piece = co_await (*stream)->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    Parts parts = net::as_body(std::move(*piece));
    s = co_await x->responder->write(std::move(parts));
  }
  if (s.ok()) s = co_await x->responder->finish();
}

}  // namespace

bool Front::is_relayed(const Exchange& x) {
  const RequestInfo& i = x.info;
  if (!i.group.empty()) return false;
  if (i.subresource == "proxy") {
    return i.resource == "pods" || i.resource == "services" || i.resource == "nodes";
  }
  return i.resource == "pods" && (i.subresource == "log" || i.subresource == "exec" ||
                                  i.subresource == "attach" || i.subresource == "portforward");
}

Task<void> Front::relay(Context ctx, Exchange* x) {
  Store& store = server_->registry().store();
  auto target = x->info.subresource == "proxy" ? proxy_target(store, *x, options_.kubelet_tls)
                                               : pod_target(store, *x, options_.kubelet_tls);
  if (!target.ok()) {
    co_await x->fail(target.status());
    co_return;
  }
  if (target->endpoint.host.empty()) {
    co_await x->answer_text(204, "");
    co_return;
  }
  const bool upgrade = x->request->headers.has_token("Connection", "upgrade");
  auto client = net::HttpClient::create(ctx.loop(), target->endpoint);
  net::Request request = forwarded(*x, *target, upgrade);
  if (upgrade) {
    co_await relay_upgrade(ctx, x, client.get(), std::move(request));
  } else if (x->info.subresource == "exec" || x->info.subresource == "attach" ||
             x->info.subresource == "portforward") {
    Status why = Status::bad_request("Upgrade request required");
    co_await x->fail(why);
  } else {
    co_await relay_body(ctx, x, client.get(), std::move(request));
  }
  client->close();
}

}  // namespace keles::server
