#include "server/http/front.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "base/buggify.h"
#include "base/encoding.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text_parts.h"
#include "machinery/catalog.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "server/discovery/discovery.h"
#include "server/discovery/openapi.h"
#include "server/http/auditing.h"
#include "server/http/backup.h"
#include "server/http/exchange.h"
#include "server/http/forward.h"
#include "server/http/merged_paths.h"
#include "server/http/request_metrics.h"
#include "server/http/warning.h"
#include "server/objects/meta.h"
#include "zpages/zpages.h"

namespace keles::server {

using Outcome = flow::FlowControl::Outcome;

namespace {

constexpr Duration kRequestTimeout = 60s;

// Beside a literal a view is compared at once; a string's operator== is a call.
std::string_view verb_of(const RequestInfo& i) { return i.verb; }

bool is_read(const RequestInfo& i) {
  const std::string_view verb = verb_of(i);
  return verb == "get" || verb == "list" || verb == "watch";
}

bool is_long_running(const RequestInfo& i) {
  static constexpr std::array<std::string_view, 5> kSubresources{"log", "exec", "attach",
                                                                 "portforward", "proxy"};
  if (!i.is_resource && i.path == kBackupPath) return true;
  if (verb_of(i) == "watch") return true;
  return !i.subresource.empty() && std::find(kSubresources.begin(), kSubresources.end(),
                                             i.subresource) != kSubresources.end();
}

bool lasts(const Exchange& x) {
  return is_long_running(x.info) || (x.elsewhere && asks_for_upgrade(x));
}

// The value that a field selector demands of a field; "" when it does not.
std::string_view demanded(std::string_view selector, std::string_view field) {
  for (std::string_view term : split_list(selector)) {
    if (!term.starts_with(field)) continue;
    term.remove_prefix(field.size());
    if (!term.starts_with('=')) continue;
    term.remove_prefix(term.starts_with("==") ? 2 : 1);
    return term;
  }
  return {};
}

void ask_of_list(const Query& query, flow::Question& q) {
  auto text = [&](std::string_view name) -> std::string_view {
    const std::string* found = query.find(name);
    return found ? std::string_view(*found) : std::string_view();
  };
  flow::ListQuestion& l = q.list;
  const std::string_view fields = text("fieldSelector");
  if (std::string_view name = demanded(fields, "metadata.name"); !name.empty()) {
    q.digest.name = name;
  }
  q.node = demanded(fields, "spec.nodeName");
  l.watch = q.digest.verb == "watch";
  l.one = !q.digest.name.empty();
  l.selects = !fields.empty() || !text("labelSelector").empty();
  l.revision = text("resourceVersion");
  l.match = text("resourceVersionMatch");
  l.continues = !text("continue").empty();
  l.initial_events = l.watch && query.flag("sendInitialEvents");
  const std::string_view limit = text("limit");
  const char* end = limit.data() + limit.size();
  const auto read = std::from_chars(limit.data(), end, l.limit);
  q.list_unclear = !limit.empty() && (read.ec != std::errc() || read.ptr != end);
}

flow::Question flow_question(const Exchange& x) {
  flow::Question q;
  const RequestInfo& i = x.info;
  flow::Digest& d = q.digest;
  d.caller = &x.caller();
  d.is_resource = i.is_resource;
  d.verb = i.verb;
  d.path = i.path;
  if (!i.is_resource) return q;
  d.group = i.group;
  d.version = i.version;
  d.resource = i.resource;
  d.subresource = i.subresource;
  d.ns = i.ns;
  d.name = i.name;
  q.kind = x.kind;
  if (verb_of(i) == "list" || verb_of(i) == "watch") ask_of_list(x.query, q);
  return q;
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
  const std::string_view verb = verb_of(i);
  if (i.verb_by_path || (verb != "list" && verb != "watch" && verb != "deletecollection")) return a;
  if (auto* text = query.find("fieldSelector")) a.demand_of_list(*text);
  if (auto* text = query.find("labelSelector")) a.demand_labels(*text);
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

// How long the request may take: ?timeout=, at most (and by default) a minute.
Result<Duration> time_limit(const Query& query) {
  const std::string text = query.get("timeout");
  if (text.empty()) return kRequestTimeout;
  auto asked = parse_duration(text);
  if (!asked.ok()) {
    return Status::bad_request("invalid timeout specified in the request URL - " +
                               asked.status().message());
  }
  return *asked > Duration() && *asked < kRequestTimeout ? *asked : kRequestTimeout;
}

// The almighty are served when nobody else is: they may have to put things right.
bool is_master(const Caller& caller) {
  return std::find(caller.groups.begin(), caller.groups.end(), "system:masters") !=
         caller.groups.end();
}

// Reviews, bindings and the like are answers, not objects, and of the subresources two are shown as
// tables: upstream has no columns for the others.
bool has_tables(const Exchange& x) {
  if (!x.kind) return true;
  const std::string& sub = x.info.subresource;
  if (!sub.empty()) return sub == "status" || sub == "scale";
  return !auth::Auth::is_review(*x.kind) && !(x.kind->kind == "Binding" && x.kind->group.empty());
}

// The form of answers follows Accept, as far as it can be followed; an error's too.
void choose_form(Exchange& x) {
  Offer offer;
  offer.tables = has_tables(x);
  // Custom resources have no protobuf form; their metadata alone, and their Scale, have one.
  offer.protobuf = !x.kind || !x.kind->owner || x.info.subresource == "scale";
  offer.streams = x.info.verb == "list" || x.info.verb == "watch";
  auto accepted = negotiate(x.header("Accept"), offer);
  if (accepted.ok()) {
    x.rendering.accepted = *accepted;
  } else {
    x.not_acceptable = accepted.status();
  }
  const std::string wish = x.query.get("pretty");
  x.rendering.pretty =
      x.rendering.accepted.pretty ||
      (wish.empty() ? human_agent(x.header("User-Agent")) : x.query.flag("pretty"));
}

// Whether any header says so; few requests' do.
bool impersonates(const net::Headers& headers) {
  constexpr std::string_view kBegin = "impersonate-";
  return std::any_of(headers.begin(), headers.end(), [&](const auto& header) {
    const std::string& name = header.first;
    return name.size() > kBegin.size() &&
           std::equal(kBegin.begin(), kBegin.end(), name.begin(), [](char want, char c) {
             return want == (c >= 'A' && c <= 'Z' ? c + 32 : c);
           });
  });
}

// Those who ask whether the server lives are not to be told that it is busy.
bool is_health(const RequestInfo& i) {
  if (i.is_resource) return false;
  return i.path.starts_with("/healthz") || i.path.starts_with("/livez") ||
         i.path.starts_with("/readyz");
}

// The name in a path: it becomes a part of a key.
Status check_path_name(const std::string& name) {
  if (name.empty()) return {};
  std::string all;
  for (const std::string& why : name_is_path_segment(name, false)) {
    all += (all.empty() ? "" : ";") + why;
  }
  if (all.empty()) return {};
  return Status::bad_request("Name parameter invalid: " + quoted(name) + ": " + all);
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

// The names are upstream's, so that who watches for one finds it. Several say the same here: what
// upstream starts in many steps is one here (ApiServer::start), and what it has to wait for
// (informers of its own) there is nothing of.
void add_checks(ApiServer* server) {
  auto fine = [] { return Status(); };
  auto store = [server] { return server->registry().store().writable(); };
  auto up = [server] { return server->started() ? Status() : Status::unavailable("not finished"); };
  Health& health = server->health();
  auto add = [&](std::string name, std::function<Status()> check, bool ready_only = false) {
    HealthCheck c;
    c.name = std::move(name);
    c.check = std::move(check);
    c.ready_only = ready_only;
    health.add(std::move(c));
  };
  add("ping", fine);
  add("log", fine);
  add("etcd", store);
  add("etcd-readiness", store, true);
  add("informer-sync", up, true);
  for (const char* hook : {"start-apiserver-admission-initializer",
                           "generic-apiserver-start-informers",
                           "priority-and-fairness-config-consumer",
                           "priority-and-fairness-filter",
                           "storage-object-count-tracker-hook",
                           "start-apiextensions-informers",
                           "start-apiextensions-controllers",
                           "crd-informer-synced",
                           "start-system-namespaces-controller",
                           "start-cluster-authentication-info-controller",
                           "start-kube-apiserver-identity-lease-controller",
                           "start-kube-apiserver-identity-lease-garbage-collector",
                           "start-legacy-token-tracking-controller",
                           "start-service-ip-repair-controllers",
                           "rbac/bootstrap-roles",
                           "scheduling/bootstrap-system-priority-classes",
                           "priority-and-fairness-config-producer",
                           "bootstrap-controller",
                           "start-kubernetes-service-cidr-controller",
                           "aggregator-reload-proxy-client-cert",
                           "start-kube-aggregator-informers",
                           "apiservice-status-local-available-controller",
                           "apiservice-status-remote-available-controller",
                           "apiservice-registration-controller",
                           "apiservice-discovery-controller",
                           "kube-apiserver-autoregistration"}) {
    add(std::string("poststarthook/") + hook, up);
  }
  add("autoregister-completion", up);
  add("poststarthook/apiservice-openapi-controller", up);
  add("poststarthook/apiservice-openapiv3-controller", up);
  add("poststarthook/storage-readiness", store);
  add("shutdown", fine, true);
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

// What is made of a catalog, as long as that is the one that holds.
template <class Made>
class OfCatalog {
 public:
  template <class Make>
  std::shared_ptr<const Made> get(ApiServer* server, Make make) {
    const CatalogPtr now = server->kinds().current();
    const registry::Registry& registry = server->registry();
    auto have = entry_.load();
    if (have && have->catalog == now) return {have, &*have->made};
    auto entry = std::make_shared<Entry>();
    entry->catalog = now;
    for (const KindDesc* k : now->kinds()) {
      if (registry.serves(*k)) entry->kinds.push_back(k);
    }
    make(entry->made, std::span<const KindDesc* const>(entry->kinds),
         have ? &*have->made : nullptr);
    std::shared_ptr<const Entry> fresh = std::move(entry);
    entry_.store(fresh);
    return {fresh, &*fresh->made};
  }

 private:
  struct Entry {
    CatalogPtr catalog;
    std::vector<const KindDesc*> kinds;  // those that are served
    std::optional<Made> made;
  };
  std::atomic<std::shared_ptr<const Entry>> entry_;
};

PathSource discovery_source(ApiServer* server) {
  auto kept = std::make_shared<OfCatalog<Discovery>>();
  const std::string address =
      host_port(server->options().advertise_address, server->options().advertise_port);
  return [kept, server, address](const PathQuestion& q) -> std::optional<PathAnswer> {
    auto discovery = kept->get(server, [](auto& made, auto kinds, auto*) { made.emplace(kinds); });
    auto found = discovery->get(q.path, q.accept, address);
    if (!found) return std::nullopt;
    PathAnswer out = cached(found->bytes, found->content_type, found->etag, false, q.if_none_match);
    out.may_indent = found->content_type.starts_with("application/json");
    return out;
  };
}

PathSource openapi_source(ApiServer* server, const std::string& version) {
  auto kept = std::make_shared<OfCatalog<OpenApi>>();
  return [kept, server, version](const PathQuestion& q) -> std::optional<PathAnswer> {
    auto openapi = kept->get(server, [&](auto& made, auto kinds, auto* before) {
      made.emplace(kinds, version, before);
    });
    auto found = openapi->get(q.path, q.hash, q.accept);
    if (!found) return std::nullopt;
    if (!found->location.empty() || !found->acceptable) {
      PathAnswer out;
      out.status = found->acceptable ? 301 : 406;
      out.location = found->location;
      return out;
    }
    return cached(found->bytes, found->content_type, found->etag, found->immutable,
                  q.if_none_match);
  };
}

// What the server tells of itself.
PathSource zpage_source(const FrontOptions& o) {
  const AboutComponent about{
      "apiserver",
      o.git_version,
      o.started,
      {"/debug", "/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"},
      o.flags};
  return [about](const PathQuestion& q) -> std::optional<PathAnswer> {
    auto page = zpage(about, q.path, q.accept);
    if (!page) return std::nullopt;
    PathAnswer out;
    out.status = page->status;
    if (page->status == 200) {
      out.bytes = std::make_shared<const std::string>(std::move(page->body));
    }
    out.content_type = std::move(page->content_type);
    out.warning = std::move(page->warning);
    return out;
  };
}

}  // namespace

Front::Front(ApiServer* server, FrontOptions options)
    : server_(server), options_(std::move(options)) {
  add_checks(server);
  note_build(options_.git_version);
  options_.paths.push_back(zpage_source(options_));
  for (PathSource own : {discovery_source(server), openapi_source(server, options_.git_version)}) {
    options_.paths.push_back(merged_paths(&server->aggregator(), std::move(own)));
  }
}
Front::~Front() = default;

net::Handler Front::handler() {
  return [this](Context ctx, net::Request* request, net::Responder* responder) {
    return serve(ctx, request, responder);
  };
}

Task<void> Front::serve(Context ctx, net::Request* request, net::Responder* responder) {
  Exchange x(ctx.loop().now());
  x.request = request;
  x.responder = responder;
  x.query = Query::parse(request->query);
  x.info = parse_request_info(request->method, request->path, x.query);
  x.elsewhere = elsewhere(x.info);
  if (x.info.is_resource && !x.elsewhere) {
    x.held =
        server_->kinds().current()->find_resource(x.info.group, x.info.version, x.info.resource);
    x.kind = x.held.get();
  }
  x.rendering.now = ctx.loop().wall_now();
  x.rendering.table_object = table_object(x.query);
  const TimePoint start = ctx.loop().now();
  x.began = start;
  name_request(options_.auditor, &x, ctx.loop().random());
  const bool lasting = x.lasting = lasts(x);
  metrics::Value& now_running = running(x);
  now_running.add(1);
  choose_form(x);
  auto within = lasting ? Result<Duration>(Duration()) : time_limit(x.query);
  if (!within.ok()) {
    co_await audit_malformed(ctx, options_.auditor, &x, within.status());
  } else {
    Context own = lasting ? ctx : ctx.with_timeout(*within);
    co_await dispatch(own, &x);
  }
  x.leave_gate();
  if (x.audit) co_await end_audit(ctx, &x);
  now_running.add(-1);
  const TimePoint end = ctx.loop().now();
  note_work(turns_.of_this_thread(), end);
  const Duration took = end - start;
  observe(x, took);
  if (log::v(3)) {
    log::info("HTTP", {{"verb", metric_verb(x)},
                       {"URI", request->path},
                       {"latency_us", took.count() / 1000},
                       {"userAgent", std::string(x.header("User-Agent"))},
                       {"user", x.caller().name},
                       {"resp", x.code}});
  }
}

Outcome Front::enter_gate(Exchange* x, Loop& loop) {
  if (is_long_running(x->info) || is_health(x->info)) return Outcome::kRuns;
  const bool mutating = x->info.verb != "get" && x->info.verb != "list";
  const int limit =
      mutating ? options_.max_mutating_requests_inflight : options_.max_requests_inflight;
  if (buggify(loop, "front.busy", 0.02)) return Outcome::kRefused;
  if (limit <= 0) return Outcome::kRuns;
  std::atomic<int>& count = mutating ? mutating_ : reading_;
  if (count.fetch_add(1) >= limit && !is_master(x->caller())) {
    count.fetch_sub(1);
    return Outcome::kRefused;
  }
  x->slot = &count;
  return Outcome::kRuns;
}

namespace {

// As upstream: a watch, and a request without an end, wait for 15 s, others for a quarter of their
// time.
Context patience(const Context& ctx) {
  const TimePoint now = ctx.loop().now();
  const Duration all = ctx.deadline() == TimePoint::max() ? kRequestTimeout : ctx.deadline() - now;
  return ctx.with_deadline(now + std::min<Duration>(all / 4, 1min));
}

}  // namespace

Outcome Front::enter(Exchange* x, Loop& loop) {
  flow::FlowControl& flow = server_->flow();
  if (!flow.enabled()) return enter_gate(x, loop);
  // What lasts is not counted, but for what a watch costs before its first event; on the loop it
  // takes its turns among others of its level, not with whatever else lasts.
  if (x->lasting && verb_of(x->info) != "watch") {
    flow.sort(loop, &x->passage, flow_question(*x));
    return Outcome::kRuns;
  }
  x->flow = &flow;
  x->loop = &loop;
  const Outcome out = flow.enter(loop, &x->passage, flow_question(*x), x->began);
  if (out != Outcome::kRuns || !buggify(loop, "front.busy", 0.02)) return out;
  x->leave_gate();
  return Outcome::kRefused;
}

Task<bool> Front::wait_outside(Context ctx, Exchange* x, Outcome found) {
  if (found == Outcome::kWaits) {
    Context limit = patience(ctx);
    const TimePoint from = ctx.loop().now();
    const bool runs = co_await x->flow->wait(limit, &x->passage);
    x->waited = ctx.loop().now() - from;
    if (runs) co_return true;
  }
  const int64_t retry_after = x->flow ? x->flow->refused(ctx.loop(), x->passage) : 1;
  co_await x->turn_away(retry_after);
  co_return false;
}

// Who asks. Only when nothing is left to be asked of others does what it says count; it may be
// called again.
Status Front::identify(Exchange* x) {
  std::vector<std::string> warnings;
  TRY_ASSIGN(caller,
             server_->auth().caller_of(*x->request, x->rendering.now, &x->questions, &warnings));
  x->who = std::move(caller);
  x->warnings.insert(x->warnings.end(), warnings.begin(), warnings.end());
  return Status();
}

// As whom; likewise.
Status Front::act(Exchange* x) {
  if (!impersonates(x->request->headers)) return Status();
  std::string constraint;
  TRY_ASSIGN(acting,
             server_->auth().impersonate(x->caller(), x->request->headers,
                                         access_of(x->info, x->query), &x->questions, &constraint));
  x->impersonator = std::move(x->who);
  x->impersonation_constraint = std::move(constraint);
  x->who = std::make_shared<const Caller>(std::move(acting));
  return Status();
}

// Whether they may; likewise.
Status Front::judge(Exchange* x) {
  Decision how;
  Status allowed =
      server_->auth().authorize(x->caller(), access_of(x->info, x->query), &x->questions, &how);
  x->decision = std::move(how);
  return allowed;
}

Task<void> Front::dispatch(Context ctx, Exchange* x) {
  if (auto said = token_warning(x->header("Authorization")); !said.empty()) {
    x->warnings.emplace_back(said);
  }
  Status known = identify(x);
  while (x->questions.pending()) {
    co_await server_->auth().ask(ctx, &x->questions);
    known = identify(x);
  }
  observe_authentication(*x, known.ok(), ctx.loop().now() - x->began);
  if (!known.ok()) {
    co_await audit_unauthenticated(ctx, options_.auditor, x, known);
    co_return;
  }
  if (options_.auditor) {
    bool recorded = co_await begin_audit(ctx, options_.auditor, x);
    if (!recorded) co_return;
  }
  Status acting = act(x);
  while (x->questions.pending()) {
    co_await server_->auth().ask(ctx, &x->questions);
    acting = act(x);
  }
  if (!acting.ok()) {
    co_await x->fail(acting);
    co_return;
  }
  if (x->impersonator) audit_impersonation(x);
  const Outcome place = enter(x, ctx.loop());
  if (place != Outcome::kRuns) {
    const bool entered = co_await wait_outside(ctx, x, place);
    if (!entered) co_return;
  }
  x->turn = Turn(turns_.of_this_thread(), &ctx.loop(), x->passage.level(), x->passage.weight());
  // What has a body takes its turn when that is there.
  if (!x->info.is_resource || is_read(x->info)) co_await x->turn.begin(ctx.loop().now());
  const TimePoint asked = ctx.loop().now();
  Status allowed = judge(x);
  while (x->questions.pending()) {
    co_await server_->auth().ask(ctx, &x->questions);
    allowed = judge(x);
  }
  observe_authorization(allowed.ok(), ctx.loop().now() - asked);
  audit_decision(x, *x->decision);
  if (ctx.done()) allowed = ctx.status();
  if (!allowed.ok()) {
    co_await x->fail(allowed);
    co_return;
  }
  if (x->elsewhere) {
    co_await relay_elsewhere(ctx, x);
    co_return;
  }
  if (!x->info.is_resource) {
    co_await serve_path(ctx, x);
    co_return;
  }
  if (x->kind && !x->not_acceptable.ok() && !is_relayed(*x)) {
    co_await x->fail(x->not_acceptable);
    co_return;
  }
  co_await serve_resource(ctx, x);
}

Task<void> Front::serve_resource(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  const std::string_view verb = i.verb;
  const KindDesc* kind = x->kind;
  const bool known_subresource =
      kind && (i.subresource.empty() || kind->subresource(i.subresource) != nullptr);
  // A list of all namespaces can be read, and no more.
  const bool everywhere = kind && kind->namespaced && i.ns.empty() && i.name.empty();
  const bool scope_fits = kind && (!kind->namespaced ? i.ns.empty()
                                   : everywhere      ? contains(kind->verbs, "list")
                                                     : !i.ns.empty());
  if (i.nowhere || !known_subresource || !scope_fits) {
    co_await not_found(x);
    co_return;
  }
  const bool named = !i.name.empty();
  const bool fits = verb == "create" ? named == !i.subresource.empty()
                                     : named || (verb != "update" && verb != "patch");
  const std::string_view method = x->request->method;
  const bool head = method == "HEAD" && i.subresource != "proxy";
  const bool other = i.verb_by_path && method != "GET";
  if (!fits || head || other || (everywhere && !is_read(i)) || !serves_verb(*kind, i)) {
    Status why(Reason::kMethodNotAllowed,
               "the server does not allow this method on the requested resource");
    co_await x->fail(why);
    co_return;
  }
  Status named_well = verb == "create" || is_relayed(*x) ? Status() : check_path_name(i.name);
  if (!named_well.ok()) {
    co_await x->fail(named_well);
    co_return;
  }
  if (auto said = deprecation_warning(*kind); !said.empty()) x->warnings.emplace_back(said);
  if (!is_read(i) || is_relayed(*x)) {
    bool there = co_await x->receive(ctx);
    if (!there) co_return;
    co_await x->turn.begin(ctx.loop().now());
  }
  if (is_relayed(*x)) {
    co_await relay(ctx, x);
  } else if (verb == "get") {
    co_await get(ctx, x);
  } else if (verb == "list") {
    co_await list(ctx, x);
  } else if (verb == "watch") {
    co_await watch(ctx, x);
  } else if (verb == "create") {
    co_await create(ctx, x);
  } else if (verb == "update") {
    co_await update(ctx, x);
  } else if (verb == "patch") {
    co_await patch(ctx, x);
  } else if (verb == "delete") {
    co_await remove(ctx, x);
  } else {
    co_await remove_collection(ctx, x);
  }
}

}  // namespace keles::server
