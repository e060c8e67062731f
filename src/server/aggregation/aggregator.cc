#include "server/aggregation/aggregator.h"

#include <algorithm>

#include "api/apiregistration_v1.h"
#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/objects/keys.h"
#include "server/objects/service_address.h"

namespace keles::aggregation {
namespace {

constexpr Duration kFirstRetry = 100ms, kLookEvery = 30s, kFetchEvery = 60s;

const KindDesc& api_services() { return kind_of<api::apiregistration_v1::APIService>(); }

metrics::Gauge& unavailable() {
  static metrics::Gauge& g = metrics::gauge(
      "aggregator_unavailable_apiservice",
      "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
      {"name"});
  return g;
}

metrics::Counter& unavailable_total() {
  static metrics::Counter& c = metrics::counter(
      "aggregator_unavailable_apiservice_total",
      "Counter of APIServices which are marked as unavailable broken down by APIService name and "
      "reason.",
      {"name", "reason"});
  return c;
}

std::shared_ptr<const Documents> no_documents() {
  static const auto none = std::make_shared<const Documents>();
  return none;
}

}  // namespace

struct Aggregator::Watched {
  explicit Watched(Context ctx) : context(std::move(ctx)) {}
  Context context;
  std::string name;
  ApiServicePtr service;  // as last seen
  Event due;              // it is to be looked at now
  std::optional<TimePoint> fetched;
  bool was_available = false;
  Duration retry = kFirstRetry;
  Recurring failing;
};

Aggregator::Aggregator(registry::Registry* registry, std::function<bool()> ready, Options options)
    : registry_(registry), ready_(std::move(ready)), options_(std::move(options)) {
  view_.store(std::make_shared<const View>());
  refresh();
  for (const ApiServicePtr& s : view_.load()->services) at_start_.insert(s->name);
}
Aggregator::~Aggregator() = default;

ApiServicePtr Aggregator::elsewhere(std::string_view group, std::string_view version) const {
  ViewPtr view = view_.load();
  const Remote* r = view->find(group, version);
  return r ? r->service : nullptr;
}

void Aggregator::refresh() {
  auto next = std::make_shared<View>();
  ViewPtr before = view_.load();
  const std::string prefix = registry::kind_prefix(api_services());
  registry_->store().snapshot()->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    next->services.push_back(std::make_shared<const ApiService>(read_api_service(o->tree()->root)));
    return true;
  });
  sort_by_group(next->services);
  for (const ApiServicePtr& s : next->services) {
    if (!s->remote) continue;
    const Remote* known = before->find(s->group, s->version);
    // What another server said of itself is nothing to go by.
    const bool same = known && known->service->uid == s->uid;
    next->remotes.push_back({s, same ? known->documents : no_documents()});
  }
  view_.store(next);
  any_.store(!next->remotes.empty());
  if (running_) watch_remotes(*next);
  registrations_.set();
  changed_.tell();
}

void Aggregator::publish(const std::string& name, std::shared_ptr<const Documents> documents) {
  auto next = std::make_shared<View>(*view_.load());
  for (Remote& r : next->remotes) {
    if (r.service->name == name) r.documents = documents;
  }
  view_.store(std::move(next));
  changed_.tell();
}

// Calls `changed` with each event of the prefix, and with null when events may have been missed.
Task<void> Aggregator::follow(Context ctx, std::string prefix,
                              std::function<void(const StoreEvent*)> changed) const {
  Store& store = registry_->store();
  while (!ctx.done()) {
    const int64_t from = store.revision();
    changed(nullptr);
    auto watch = store.watch(ctx.loop(), prefix, from);
    while (watch.ok()) {
      auto events = co_await (*watch)->next(ctx, 1000);
      if (!events.ok()) break;
      for (const auto& e : *events) changed(e.get());
    }
    if (ctx.done()) break;
    Status s = co_await ctx.sleep(100ms);
    if (!s.ok()) break;
  }
}

Task<void> Aggregator::run(Context ctx) {
  running_ = ctx;
  group_ = std::make_unique<TaskGroup>(ctx.loop());
  group_->spawn(
      follow(ctx, registry::kind_prefix(api_services()), [this](const StoreEvent*) { refresh(); }));
  group_->spawn(keep_registered(ctx));
  co_await group_->join();
  running_.reset();
  watched_.clear();
  backends_.reset();
}

// --- those served elsewhere ---------------------------------------------------------------------

void Aggregator::watch_remotes(const View& view) {
  std::map<std::string, WatchedPtr> next;
  for (const Remote& r : view.remotes) {
    WatchedPtr& w = next[r.service->name];
    if (auto at = watched_.find(r.service->name); at != watched_.end()) {
      w = at->second;
      watched_.erase(at);
      if (!w->service->same_spec(*r.service)) {
        w->fetched.reset();
        w->due.set();
      }
      w->service = r.service;
      continue;
    }
    w = std::make_shared<Watched>(running_->child());
    w->name = r.service->name;
    w->service = r.service;
    group_->spawn(watch_one(w->context, w));
  }
  for (auto& [name, gone] : watched_) {
    gone->context.cancel();
    unavailable().with({name}).set(0);
  }
  watched_ = std::move(next);
  // Services and endpoints are nobody's concern while everything is served here.
  if (watched_.empty() == !backends_) return;
  if (watched_.empty()) {
    backends_->cancel();
    backends_.reset();
    return;
  }
  backends_ = running_->child();
  for (const KindDesc* kind :
       {&kind_of<api::core_v1::Service>(), &kind_of<api::discovery_v1::EndpointSlice>()}) {
    group_->spawn(follow(*backends_, registry::kind_prefix(*kind),
                         [this](const StoreEvent* e) { backend_changed(e); }));
  }
}

void Aggregator::backend_changed(const StoreEvent* event) {
  ViewPtr view = view_.load();
  for (const Remote& r : view->remotes) {
    const ApiService& s = *r.service;
    if (event) {
      if (event->object->namespace_() != s.service_namespace) continue;
      std::string_view name = event->object->name();
      DocumentPtr metadata;
      if (event->object->kind().kind == "EndpointSlice") {
        metadata = event->object->metadata();
        name = metadata->root["metadata"]["labels"]["kubernetes.io/service-name"].as_string();
      }
      if (name != s.service_name) continue;
    }
    auto at = watched_.find(s.name);
    if (at != watched_.end()) at->second->due.set();
  }
}

Task<void> Aggregator::watch_one(Context ctx, WatchedPtr w) {
  while (!ctx.done()) {
    w->due.reset();
    const bool fine = co_await look_after(ctx, w);
    if (ctx.done()) break;
    w->retry = fine ? kFirstRetry : std::min<Duration>(w->retry * 2, kLookEvery);
    Context until = ctx.with_timeout(fine ? kLookEvery : w->retry);
    Status s = co_await w->due.wait(until);
    (void)s;  // it is time, or something has changed
  }
}

// Looks whether it is there, says so in its status, and fetches its documents. False: soon again.
Task<bool> Aggregator::look_after(Context ctx, WatchedPtr w) {
  ApiServicePtr service = w->service;
  auto found = co_await check(ctx, service);
  if (ctx.done()) co_return true;
  if (!found) co_return false;
  unavailable().with({w->name}).set(found->yes() ? 0 : 1);
  if (w->was_available && !found->yes()) unavailable_total().with({w->name, found->reason}).add();
  const bool due =
      !w->was_available || !w->fetched || ctx.loop().now() - *w->fetched >= kFetchEvery;
  w->was_available = found->yes();
  Status told = co_await tell(ctx, w->name, *found);
  if (ctx.done()) co_return true;
  Status fetched = found->yes() ? Status() : Status::unavailable(found->message);
  if (fetched.ok() && due) {
    fetched = co_await fetch(ctx, service);
    if (ctx.done()) co_return true;
    if (fetched.ok()) w->fetched = ctx.loop().now();
  }
  if (!fetched.ok()) {
    auto stale = std::make_shared<Documents>(*no_documents());
    if (const Remote* r = view_.load()->find(service->group, service->version)) {
      *stale = *r->documents;
    }
    stale->fresh = false;
    publish(w->name, std::move(stale));
  }
  Status s = told.ok() ? fetched : told;
  if (s.ok()) {
    w->failing.over();
  } else if (w->failing.news(ctx.loop().now(), s.message())) {
    log::warn("APIService", {{"name", w->name}, {"err", s}});
  }
  co_return s.ok();
}

// Nothing: not to be told yet.
Task<std::optional<Availability>> Aggregator::check(Context ctx, ApiServicePtr service) {
  std::optional<Availability> out = judge(*registry_->store().snapshot(), *service);
  if (out) co_return out;
  std::string failure = co_await ask_whether_there(ctx, service);
  if (!failure.empty() && !ready_()) co_return std::nullopt;
  co_return discovery_check(failure);
}

Task<Status> Aggregator::tell(Context ctx, std::string name, Availability a) {
  const std::string key = registry::object_key(api_services(), "", name);
  ObjectPtr now = registry_->store().snapshot()->get(key);
  if (!now) co_return Status();
  auto next = with_availability(now->tree()->root, a, ctx.loop().wall_now());
  if (!next) co_return Status();
  if (log::v(2)) {
    log::info("Changing APIService availability",
              {{"name", name}, {"status", a.status}, {"reason", a.reason}, {"message", a.message}});
  }
  registry::WriteRequest how;
  how.user = "system:apiserver";
  how.groups = {"system:masters"};
  auto done = co_await registry_->update(ctx, &api_services(), "", name, "status", std::move(*next),
                                         std::move(how));
  if (done.status().is(Reason::kNotFound)) co_return Status();
  co_return done.status();
}

Task<Result<net::Endpoint>> Aggregator::endpoint(Context ctx, ApiServicePtr service) const {
  auto found =
      registry::resolve_service(*registry_->store().snapshot(), service->service_namespace,
                                service->service_name, service->service_port, ctx.loop().random());
  if (!found.ok()) co_return found.status();
  auto addresses = co_await net::relay_addresses(ctx, found->host, options_.may_dial);
  if (!addresses.ok()) co_return addresses.status();
  net::Endpoint e;
  e.host = addresses->front().text();
  e.port = found->port;
  e.tls.emplace();
  e.tls->ca_pem = service->ca_pem;
  e.tls->insecure = service->insecure;
  e.tls->server_name = service->server_name();
  if (options_.proxy_identity) e.tls->identity = *options_.proxy_identity->get();
  co_return std::move(e);
}

}  // namespace keles::aggregation
