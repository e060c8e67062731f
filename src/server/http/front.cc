#include "server/http/front.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/fields.h"
#include "server/discovery.h"
#include "server/http/exchange.h"
#include "server/openapi.h"
#include "server/registry/meta.h"

namespace keles::server {
namespace {

constexpr Duration kRequestTimeout = 60s;

metrics::Counter& requests_total() {
  static metrics::Counter& c = metrics::counter(
      "apiserver_request_total",
      "Counter of apiserver requests broken out for each verb, dry run value, group, version, "
      "resource, scope, component, and HTTP response code.",
      {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component",
       "code"});
  return c;
}

metrics::Histogram& request_seconds() {
  static metrics::Histogram& h = metrics::histogram(
      "apiserver_request_duration_seconds",
      "Response latency distribution in seconds for each verb, dry run value, group, version, "
      "resource, subresource, scope and component.",
      {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"},
      {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2,
       3,     4,     5,    6,   8,   10,  15,  20,  30,  45,   60});
  return h;
}

std::string metric_verb(const RequestInfo& info) {
  if (info.verb == "deletecollection") return "DELETECOLLECTION";
  if (info.verb == "create") return "POST";
  if (info.verb == "update") return "PUT";
  std::string out = info.verb;
  for (char& c : out) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

void observe(const Exchange& x, Duration took) {
  const RequestInfo& i = x.info;
  if (!i.is_resource) return;
  // Names that the server does not know would make a series each.
  const bool known = x.kind != nullptr;
  metrics::LabelValues labels{metric_verb(i),
                              x.query.find("dryRun") ? "All" : "",
                              known ? i.group : "",
                              known ? i.version : "",
                              known ? i.resource : "",
                              known ? i.subresource : "",
                              !i.name.empty() ? "resource"
                              : !i.ns.empty() ? "namespace"
                                              : "cluster",
                              "apiserver"};
  if (i.verb != "watch") {
    request_seconds().with(labels).observe(std::chrono::duration<double>(took).count());
  }
  labels.push_back(std::to_string(x.code));
  requests_total().with(labels).add();
}

metrics::Gauge& longrunning() {
  static metrics::Gauge& g =
      metrics::gauge("apiserver_longrunning_requests",
                     "Gauge of all active long-running apiserver requests.", {"verb", "component"});
  return g;
}

metrics::Gauge& inflight() {
  static metrics::Gauge& g = metrics::gauge(
      "apiserver_current_inflight_requests",
      "Maximal number of currently used inflight request limit of this apiserver per request "
      "kind in last second.",
      {"request_kind"});
  return g;
}

bool is_read(const RequestInfo& i) {
  return i.verb == "get" || i.verb == "list" || i.verb == "watch";
}

bool is_long_running(const RequestInfo& i) {
  static constexpr std::array kSubresources{"log", "exec", "attach", "portforward", "proxy"};
  return i.verb == "watch" || std::find(kSubresources.begin(), kSubresources.end(),
                                        std::string_view(i.subresource)) != kSubresources.end();
}

Access access_of(const RequestInfo& i, const Query& query) {
  Access a;
  a.verb = i.verb;
  if (!i.is_resource) {
    a.path = i.path;
    return a;
  }
  a.group = i.group;
  a.version = i.version;
  a.resource = i.resource;
  a.subresource = i.subresource;
  a.ns = i.ns;
  a.name = i.name;
  // A list of one object by its name is a request about that object: what a kubelet may do.
  if (a.name.empty()) {
    auto selector = FieldSelector::parse(query.get("fieldSelector"));
    const std::string* name = selector.ok() ? selector->exact("metadata.name") : nullptr;
    if (name) a.name = *name;
  }
  return a;
}

TableObject table_object(const Query& q) {
  std::string v = q.get("includeObject");
  if (v == "None") return TableObject::kNone;
  if (v == "Object") return TableObject::kWhole;
  return TableObject::kMetadata;
}

bool contains(std::span<const std::string_view> list, std::string_view v) {
  return std::find(list.begin(), list.end(), v) != list.end();
}

// GET of exec and the like is the same as POST, whichever the description names.
bool serves_verb(const KindDesc& kind, const RequestInfo& i) {
  if (i.subresource.empty()) return contains(kind.verbs, i.verb);
  const SubresourceDesc* s = kind.subresource(i.subresource);
  if (s && i.subresource == "proxy" && i.verb.empty()) return true;  // OPTIONS
  return s && contains(s->verbs, i.verb);
}

}  // namespace

namespace {

std::vector<HealthCheck> own_checks(ApiServer* server) {
  auto fine = [] { return Status(); };
  auto up = [server] { return server->started() ? Status() : Status::unavailable("not finished"); };
  std::vector<HealthCheck> out;
  out.push_back({"ping", fine});
  out.push_back({"log", fine});
  out.push_back({"etcd", [server] {
                   return server->registry().store().revision() > 0
                              ? Status()
                              : Status::unavailable("no revision");
                 }});
  for (const char* hook : {"rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
                           "start-system-namespaces-controller", "bootstrap-controller"}) {
    out.push_back({std::string("poststarthook/") + hook, up});
  }
  return out;
}

PathAnswer cached(Bytes bytes, std::string content_type, std::string etag, bool immutable,
                  const std::string& if_none_match) {
  PathAnswer out;
  out.content_type = std::move(content_type);
  out.etag = std::move(etag);
  out.immutable = immutable;
  if (!out.etag.empty() && if_none_match == out.etag) {
    out.status = 304;
  } else {
    out.bytes = std::move(bytes);
  }
  return out;
}

PathSource discovery_source(ApiServer* server) {
  auto discovery = std::make_shared<const Discovery>(all_kinds());
  const std::string address =
      server->options().advertise_address + ":" + std::to_string(server->options().advertise_port);
  return [discovery, address](const PathQuestion& q) -> std::optional<PathAnswer> {
    auto found = discovery->get(q.path, q.accept, address);
    if (!found) return std::nullopt;
    return cached(found->bytes, found->content_type, found->etag, false, q.if_none_match);
  };
}

PathSource openapi_source(const std::string& version) {
  auto openapi = std::make_shared<const OpenApi>(all_kinds(), version);
  return [openapi](const PathQuestion& q) -> std::optional<PathAnswer> {
    auto found = openapi->get(q.path, q.hash, q.accept);
    if (!found) return std::nullopt;
    return cached(found->bytes, found->content_type, found->etag, found->immutable,
                  q.if_none_match);
  };
}

}  // namespace

Front::Front(ApiServer* server, FrontOptions options)
    : server_(server), options_(std::move(options)) {
  std::vector<HealthCheck> checks = own_checks(server);
  for (HealthCheck& c : options_.checks) checks.push_back(std::move(c));
  options_.checks = std::move(checks);
  options_.paths.push_back(discovery_source(server));
  options_.paths.push_back(openapi_source(options_.git_version));
}
Front::~Front() = default;

net::Handler Front::handler() {
  return [this](Context ctx, net::Request* request, net::Responder* responder) {
    return serve(ctx, request, responder);
  };
}

Task<void> Front::serve(Context ctx, net::Request* request, net::Responder* responder) {
  Exchange x;
  x.request = request;
  x.responder = responder;
  x.query = Query::parse(request->query);
  x.info = parse_request_info(request->method, request->path, x.query);
  x.rendering.now = ctx.loop().wall_now();
  x.rendering.table_object = table_object(x.query);
  const TimePoint start = ctx.loop().now();
  const bool lasting = is_long_running(x.info);
  metrics::Value& running = lasting ? longrunning().with({metric_verb(x.info), "apiserver"})
                                    : inflight().with({is_read(x.info) ? "readOnly" : "mutating"});
  Context own = lasting ? ctx : ctx.with_timeout(kRequestTimeout);
  running.add(1);
  co_await dispatch(own, &x);
  running.add(-1);
  const Duration took = ctx.loop().now() - start;
  observe(x, took);
  if (log::v(3)) {
    log::info("HTTP", {{"verb", metric_verb(x.info)},
                       {"URI", request->path},
                       {"latency_us", took.count() / 1000},
                       {"userAgent", x.header("User-Agent")},
                       {"user", x.caller.name},
                       {"resp", x.code}});
  }
}

Task<void> Front::dispatch(Context ctx, Exchange* x) {
  // The form of errors follows Accept, as far as it can be followed.
  auto accepted = negotiate(x->header("Accept"));
  if (accepted.ok()) x->rendering.accepted = *accepted;
  const std::string* pretty = x->query.find("pretty");
  x->rendering.pretty = pretty ? x->query.flag("pretty") : x->rendering.accepted.pretty;

  auto caller = server_->auth().authenticate(*x->request, x->rendering.now);
  if (!caller.ok()) {
    co_await x->fail(caller.status());
    co_return;
  }
  auto acting = server_->auth().impersonate(*caller, x->request->headers);
  if (!acting.ok()) {
    co_await x->fail(acting.status());
    co_return;
  }
  x->caller = std::move(*acting);
  Status allowed = server_->auth().authorize(x->caller, access_of(x->info, x->query));
  if (!allowed.ok()) {
    co_await x->fail(allowed);
    co_return;
  }
  if (x->request->body_too_large) {
    Status why(Reason::kRequestEntityTooLarge, "Request entity too large: limit is 3145728");
    co_await x->fail(why);
    co_return;
  }
  if (!x->info.is_resource) {
    co_await serve_path(ctx, x);
    co_return;
  }
  x->kind = find_resource(x->info.group, x->info.version, x->info.resource);
  if (x->kind && !is_relayed(*x) && !accepted.ok()) {
    co_await x->fail(accepted.status());
    co_return;
  }
  co_await serve_resource(ctx, x);
}

Task<void> Front::serve_resource(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  const KindDesc* kind = x->kind;
  const bool known_subresource =
      kind && (i.subresource.empty() || kind->subresource(i.subresource) != nullptr);
  const bool scope_fits =
      kind &&
      (kind->namespaced ? !i.ns.empty() || i.verb == "list" || i.verb == "watch" : i.ns.empty());
  if (!known_subresource || !scope_fits) {
    co_await not_found(x);
    co_return;
  }
  const bool named = !i.name.empty();
  const bool fits = i.verb == "create" ? named == !i.subresource.empty()
                                       : named || (i.verb != "update" && i.verb != "patch");
  if (!fits || !serves_verb(*kind, i)) {
    Status why(Reason::kMethodNotAllowed,
               "the server does not allow this method on the requested resource");
    co_await x->fail(why);
    co_return;
  }
  if (is_relayed(*x)) {
    co_await relay(ctx, x);
  } else if (i.verb == "get") {
    co_await get(ctx, x);
  } else if (i.verb == "list") {
    co_await list(ctx, x);
  } else if (i.verb == "watch") {
    co_await watch(ctx, x);
  } else if (i.verb == "create") {
    co_await create(ctx, x);
  } else if (i.verb == "update") {
    co_await update(ctx, x);
  } else if (i.verb == "patch") {
    co_await patch(ctx, x);
  } else if (i.verb == "delete") {
    co_await remove(ctx, x);
  } else {
    co_await remove_collection(ctx, x);
  }
}

}  // namespace keles::server
