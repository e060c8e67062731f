// Subresources that others answer: a node's kubelet (log, exec, attach, portforward, nodes/proxy),
// or a pod or service (proxy). Upgraded connections are relayed byte for byte, bodies piecewise.
//
// What is dialled is decided by relay_target.cc and net::relay_addresses(): addresses of the
// cluster, never this machine's loopback or a cloud's metadata. What is sent is the path as it
// came. What comes back is an answer: a redirect to another server is none.
#include <algorithm>

#include "base/encoding.h"
#include "base/host_port.h"
#include "base/sync.h"
#include "net/address.h"
#include "net/inflate.h"
#include "server/http/auditing.h"
#include "server/http/connection.h"
#include "server/http/exchange.h"
#include "server/http/forward.h"
#include "server/http/front.h"
#include "server/http/negotiate.h"
#include "server/http/proxy_links.h"
#include "server/http/relay_target.h"

namespace keles::server {
namespace {

// The proxy's own path: what came before the rest.
std::string proxy_prefix(const Exchange& x) {
  const std::string& path = x.request->path;
  const std::string& rest = x.info.rest;
  std::string out = path;
  if (!rest.empty() && path.ends_with(rest)) out = path.substr(0, path.size() - rest.size());
  while (!out.empty() && out.back() == '/') out.pop_back();
  return out;
}

net::Request forwarded(const Exchange& x, const RelayTarget& t, bool upgrade) {
  net::Request r;
  r.method = x.request->method;
  r.path = t.path;
  r.query = t.query;
  if (x.info.subresource == "log") {
    r.method = "GET";
    return r;  // our own question: nothing of the client's goes to the kubelet
  }
  r.body = x.request->body;
  r.headers = forwarded_headers(x, upgrade);
  if (x.info.subresource == "proxy") {
    r.headers.set("X-Forwarded-Uri", proxy_prefix(x) + t.path);
  }
  return r;
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

// --- bodies ---

// What becomes of a proxied body: nothing, or its HTML links are led through the proxy.
struct BodyFilter {
  std::unique_ptr<HtmlRewriter> links;
  std::unique_ptr<net::Inflater> coding;  // compressed HTML goes on in the clear
};

// The answer's head made fit for the client; an error when it may not be passed on.
Result<BodyFilter> admit_answer(const Exchange& x, const ProxyLinks& links, int code,
                                net::Headers* h) {
  BodyFilter out;
  if (auto location = h->get("location")) {
    std::string to(*location);
    if (code >= 300 && code < 400 && links.leads_elsewhere(to)) {
      return Status(Reason::kUnknown,
                    "the backend attempted to redirect this request, which is not permitted", {},
                    502);
    }
    if (auto changed = links.rewrite(to)) h->set("Location", *changed);
    return out;
  }
  if (media_type(h->get("content-type").value_or("")) != "text/html") return out;
  std::string coding(h->get("content-encoding").value_or(""));
  if (!coding.empty() && coding != "identity") {
    out.coding = net::Inflater::create(coding);
    if (!out.coding) return out;  // a coding that we do not read passes as it is
  }
  if (x.request->method == "HEAD") {
    out.coding.reset();
    return out;
  }
  h->erase("content-encoding");
  out.links = std::make_unique<HtmlRewriter>(links);
  return out;
}

Task<Status> write_piece(Exchange* x, BodyFilter* filter, std::string piece) {
  if (filter->links) piece = filter->links->feed(piece);
  if (piece.empty()) co_return Status();
  Parts parts = net::as_body(std::move(piece));
  co_return co_await x->responder->write(std::move(parts));
}

Task<Status> write_decoded(Exchange* x, BodyFilter* filter, std::string piece) {
  if (!filter->coding) co_return co_await write_piece(x, filter, std::move(piece));
  filter->coding->append(piece);
  for (;;) {
    auto plain = filter->coding->next();
    if (!plain.ok()) co_return plain.status();
    if (plain->empty()) co_return Status();
    std::string text = std::move(*plain);
    TRY_CO(write_piece(x, filter, std::move(text)));
  }
}

Task<void> pass_body(Context ctx, Exchange* x, net::ResponseStream* stream, BodyFilter* filter) {
  Status s;
  for (;;) {
    auto piece = co_await stream->read(ctx);
    if (!piece.ok()) co_return;  // cut off there, cut off here: no end is written
    if (piece->empty()) break;
    s = co_await write_decoded(x, filter, std::move(*piece));
    if (!s.ok()) co_return;
  }
  std::string rest;
  if (filter->links) rest = filter->links->finish();
  if (!rest.empty()) {
    Parts parts = net::as_body(std::move(rest));
    s = co_await x->responder->write(std::move(parts));
  }
  if (s.ok()) s = co_await x->responder->finish();
}

Task<void> relay_proxy(Context ctx, Exchange* x, net::HttpClient* client, net::Request request,
                       ProxyLinks links) {
  auto stream = co_await client->open(ctx, std::move(request));
  if (!stream.ok()) {
    Status why(Reason::kServiceUnavailable,
               "error trying to reach service: " + stream.status().message());
    co_await x->fail(why);
    co_return;
  }
  net::Headers h = passed_back((*stream)->headers(), false);
  auto filter = admit_answer(*x, links, (*stream)->status(), &h);
  if (!filter.ok()) {
    std::string why = filter.status().message();
    co_await x->answer_text(502, std::move(why));
    co_return;
  }
  x->code = (*stream)->status();
  co_await audit_started(ctx, x);
  Status s = co_await x->responder->begin(x->code, std::move(h));
  if (!s.ok()) co_return;
  BodyFilter passing = std::move(*filter);
  co_await pass_body(ctx, x, stream->get(), &passing);
}

// --- logs ---

Task<void> ignore_messages(Context ctx, net::WebSocket* ws) {
  for (;;) {
    auto m = co_await ws->receive(ctx);
    if (!m.ok()) break;
  }
  ctx.cancel();  // the client closed: so do we
}

Task<void> send_log(Context ctx, net::WebSocket* ws, net::ResponseStream* stream) {
  const bool text = ws->subprotocol() == "base64.binary.k8s.io";
  net::WebSocket::Message hello(!text, "");
  Status s = co_await ws->send(ctx, std::move(hello));
  while (s.ok()) {
    auto piece = co_await stream->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    std::string data = std::move(*piece);
    if (text) data = base64_encode(data);
    net::WebSocket::Message m(!text, std::move(data));
    s = co_await ws->send(ctx, std::move(m));
  }
  (void)co_await ws->close(ctx, 1000, "");
  ctx.cancel();
}

// A log as messages: browsers cannot read a stream otherwise.
Task<void> log_websocket(Context ctx, Exchange* x, net::ResponseStream* stream) {
  std::vector<std::string> known{"binary.k8s.io", "base64.binary.k8s.io"};
  auto offered = offered_protocols(x->request->headers);
  const bool common =
      offered.empty() || std::any_of(offered.begin(), offered.end(), [&](const std::string& p) {
        return std::find(known.begin(), known.end(), p) != known.end();
      });
  if (!common) {
    Status why = Status::bad_request("requested protocol(s) are not supported: [" +
                                     joined(offered) + "]; supports [" + joined(known) + "]");
    co_await x->fail(why);
    co_return;
  }
  auto ws = co_await x->responder->accept_websocket(std::move(known));
  if (!ws.ok()) {
    co_await x->fail(ws.status());
    co_return;
  }
  x->code = 101;
  co_await audit_started(ctx, x);
  Context inner = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(ignore_messages(inner, ws->get()));
  group.spawn(send_log(inner, ws->get(), stream));
  co_await group.join();
}

Task<void> relay_log(Context ctx, Exchange* x, net::HttpClient* client, net::Request request) {
  auto stream = co_await client->open(ctx, std::move(request));
  if (!stream.ok()) {
    Status why = Status::internal("error dialing backend: " + stream.status().message());
    co_await x->fail(why);
    co_return;
  }
  x->code = (*stream)->status();
  if (x->code < 200 || x->code > 206) {
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
  if (x->request->headers.has_token("Upgrade", "websocket")) {
    co_await log_websocket(ctx, x, stream->get());
    co_return;
  }
  co_await audit_started(ctx, x);
  net::Headers h = passed_back((*stream)->headers(), true);
  Status s = co_await x->responder->begin(x->code, std::move(h));
  if (!s.ok()) co_return;
  co_await pass_as_it_is(ctx, x, stream->get());
}

bool is_stream(const RequestInfo& i) {
  return i.subresource == "exec" || i.subresource == "attach" || i.subresource == "portforward";
}

// A GET that becomes a connection into a container (websockets begin so) does what POST does:
// `create` is asked for whatever the method (upstream:
// AuthorizePodWebsocketUpgradeCreatePermission, for exec, attach and portforward). The same streams
// lie behind nodes/proxy.
bool needs_create(const Exchange& x, bool upgrade) {
  if (x.info.verb == "create") return false;
  return is_stream(x.info) || (upgrade && x.info.resource == "nodes");
}

Access create_access(const RequestInfo& i) {
  Access a;
  a.verb = "create";
  a.version = i.version;
  a.resource = i.resource;
  a.subresource = i.subresource;
  a.ns = i.ns;
  a.name = i.name;
  return a;
}

// "/proxy" without a slash after it: relative links of what is there would lead out of it.
bool wants_slash(const Exchange& x) {
  return x.info.subresource == "proxy" && x.info.rest.empty() &&
         (x.request->method == "GET" || x.request->method == "HEAD");
}

Task<void> redirect_to_slash(Exchange* x) {
  net::Headers h = x->headers("");
  std::string query = x->request->query;
  h.set("Location", x->request->path + "/" + (query.empty() ? "" : "?" + query));
  x->code = 301;
  Parts none;
  Status s = co_await x->responder->respond(301, std::move(h), std::move(none));
  (void)s;
}

std::string host_and_port(const RelayTarget& t) {
  return t.default_port && (t.port == 80 || t.port == 443) ? url_host(t.host)
                                                           : host_port(t.host, t.port);
}

}  // namespace

bool Front::is_relayed(const Exchange& x) {
  const RequestInfo& i = x.info;
  if (!i.group.empty()) return false;
  if (i.subresource == "proxy") {
    return i.resource == "pods" || i.resource == "services" || i.resource == "nodes";
  }
  return i.resource == "pods" && (i.subresource == "log" || is_stream(i));
}

Task<void> Front::relay(Context ctx, Exchange* x) {
  const bool upgrade = asks_for_upgrade(*x);
  Status allowed;
  if (needs_create(*x, upgrade)) {
    allowed = server_->auth().authorize(x->caller(), create_access(x->info), &x->questions);
    while (x->questions.pending()) {
      co_await server_->auth().ask(ctx, &x->questions);
      allowed = server_->auth().authorize(x->caller(), create_access(x->info), &x->questions);
    }
  }
  if (allowed.ok() && upgrade && tunnels_requests(*x)) {
    allowed = Status::bad_request("an upgrade to HTTP/2 is not permitted");
  }
  if (x->info.verb.empty() && x->request->method != "OPTIONS") {
    allowed = Status(Reason::kMethodNotAllowed,
                     "the server does not allow this method on the requested resource");
  }
  if (allowed.ok() && is_connection(x->info)) {
    const registry::Registry::Call call = connection_call(*x);
    Document options = connection_options(*x);
    registry::WriteRequest how;
    x->write_request(&how);
    allowed =
        co_await server_->connect(ctx, &x->caller(), &call, std::move(options), std::move(how));
  }
  if (!allowed.ok()) {
    co_await x->fail(allowed);
    co_return;
  }
  KubeletTrust trust{options_.kubelet_tls, options_.kubelet_subject, options_.kubelet_addresses};
  if (options_.kubelet_identity) options_.kubelet_identity->apply(&trust.tls);
  auto target = relay_target(server_->registry().store(), *x, trust, ctx.loop().random());
  if (!target.ok()) {
    co_await x->fail(target.status());
    co_return;
  }
  if (target->host.empty()) {
    co_await x->answer_text(204, "");
    co_return;
  }
  auto addresses = co_await net::relay_addresses(ctx, target->host, options_.may_dial);
  Status bad = addresses.status();
  const bool log = x->info.subresource == "log";
  if (bad.ok() && !upgrade && is_stream(x->info)) {
    bad = Status::bad_request("Upgrade request required");
  }
  if (!bad.ok()) {
    co_await x->fail(bad);
    co_return;
  }
  if (!upgrade && wants_slash(*x)) {
    co_await redirect_to_slash(x);
    co_return;
  }
  net::Endpoint endpoint;
  endpoint.host = addresses->front().text();
  endpoint.port = target->port;
  endpoint.tls = target->tls;
  RelayPool::Lease client = relays_.take(ctx.loop(), std::move(endpoint));
  const bool upgrades = upgrade && !log;
  net::Request request = forwarded(*x, *target, upgrades);
  if (log) {
    co_await relay_log(ctx, x, client.get(), std::move(request));
  } else if (upgrades) {
    const bool cors = x->info.subresource != "proxy";
    co_await relay_upgrade(ctx, x, client.get(), std::move(request), cors);
  } else {
    ProxyLinks links{proxy_prefix(*x), host_and_port(*target), std::string(x->header("Host"))};
    co_await relay_proxy(ctx, x, client.get(), std::move(request), std::move(links));
  }
}

}  // namespace keles::server
