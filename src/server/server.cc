#include "server/server.h"

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "base/sync.h"
#include "machinery/time.h"
#include "server/bootstrap.h"
#include "server/conversion/webhook.h"
#include "server/early_admission.h"
#include "server/matching/conditions.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/peers.h"
#include "server/policies/param_access.h"
#include "server/policies/policies.h"
#include "server/quota/quota_admission.h"
#include "server/registry/services.h"
#include "server/token_uses.h"
#include "server/webhooks/webhooks.h"

namespace keles {

namespace {

// Between versions of custom resources: what the options say, else by their definition's webhook.
server::MakeConverter converters(Store* store, const ApiServerOptions& options) {
  if (options.make_converter) return options.make_converter;
  conversion::WebhookOptions webhook;
  webhook.callout.find_service = callout::services_of(store);
  webhook.callout.dial = options.dial_webhooks;
  return [webhook](const ObjectPtr& definition) {
    return conversion::make_webhook_converter(definition, webhook);
  };
}

webhooks::Options calls(Store* store, const ApiServerOptions& options) {
  webhooks::Options out = webhooks::options_for(store);
  out.callout.dial = options.dial_webhooks;
  out.mutating = options.mutating_webhooks;
  out.validating = options.validating_webhooks;
  return out;
}

// Those with a state of their own, in upstream's order.
admission::Config with_plugins(admission::Config config, registry::Registry* registry,
                               const policies::Policies& policies,
                               const webhooks::Webhooks& webhooks) {
  config.dynamic.push_back(policies.mutating());
  config.dynamic.push_back(webhooks.mutating());
  config.dynamic.push_back(policies.validating());
  config.dynamic.push_back(webhooks.validating());
  config.dynamic.push_back(
      std::make_shared<server::QuotaAdmission>(registry, config.plugins.quota));
  config.early = server::early_admission(registry);
  return config;
}

auth::AuthOptions told_of_uses(auth::AuthOptions options, server::TokenUses* uses) {
  options.legacy_token_used = [uses](auth::LegacyTokenUse use) { uses->note(std::move(use)); };
  return options;
}

}  // namespace

struct ApiServer::State {
  State(Store* store, ApiServerOptions o)
      : options(std::move(o)),
        registry(store, options.service_cidr, options.node_port_range),
        auth(store, told_of_uses(options.auth, &token_uses)),
        webhooks(store, &auth, calls(store, options)),
        policies(store, &kinds, &auth),
        extensions(&registry, &kinds, converters(store, options)),
        aggregator(
            &registry, [this] { return started.load(); }, options.aggregation),
        flow(&registry, options.flow) {
    registry.set_admission(with_plugins(options.admission, &registry, policies, webhooks));
  }
  ApiServerOptions options;
  registry::Registry registry;
  server::TokenUses token_uses;
  auth::Auth auth;
  webhooks::Webhooks webhooks;
  CatalogSource kinds;
  policies::Policies policies;
  server::Extensions extensions;
  Health health;
  std::atomic<bool> started{false};
  aggregation::Aggregator aggregator;
  flow::FlowControl flow;
  std::unique_ptr<server::Peers> peers;  // null: nobody is told
};

ApiServer::ApiServer(Store* store, ApiServerOptions options)
    : state_(std::make_unique<State>(store, std::move(options))) {
  if (!state_->options.host_name.empty()) state_->peers = std::make_unique<server::Peers>(this);
}
ApiServer::~ApiServer() = default;

bool ApiServer::started() const { return state_->started.load(); }
registry::Registry& ApiServer::registry() { return state_->registry; }
CatalogSource& ApiServer::kinds() { return state_->kinds; }
Health& ApiServer::health() { return state_->health; }
const aggregation::Aggregator& ApiServer::aggregator() const { return state_->aggregator; }
flow::FlowControl& ApiServer::flow() { return state_->flow; }
const ApiServerOptions& ApiServer::options() const { return state_->options; }

constexpr Duration kWritableEvery = 1s;
constexpr int kTriesBesideOthers = 15;

Task<Status> ApiServer::start(Context ctx) {
  state_->auth.refresh();
  state_->webhooks.refresh();
  Status s = co_await server::bootstrap(ctx, this);
  // A disk that takes no writes yet is waited for: meanwhile what is there is served. Servers that
  // begin at once on one store make the same objects, and may refuse each other what they share
  // (the Service's address); what one has made, the next try finds.
  auto worth_another = [&, tries = 0]() mutable {
    const Store& store = state_->registry.store();
    return !store.writable().ok() || (store.shared() && tries++ < kTriesBesideOthers);
  };
  while (!s.ok() && !ctx.done() && worth_another()) {
    (void)co_await ctx.sleep(kWritableEvery);
    s = co_await server::bootstrap(ctx, this);
  }
  if (s.ok() && state_->peers) {
    Status told = co_await state_->peers->announce(ctx);
    if (!told.ok() && !ctx.done())  // it is tried again every ten seconds
      log::warn("The other API servers could not be told of this one", {{"err", told}});
  }
  state_->auth.refresh();
  if (state_->flow.enabled()) state_->flow.refresh(ctx.loop());
  if (s.ok()) state_->started = true;
  state_->aggregator.refresh();
  co_return s;
}

namespace {

constexpr Duration kRepairEvery = 5min;
constexpr Duration kSweepEvery = 5min, kSweepNotBefore = 1s;  // of events
constexpr Duration kForgetEvery = 1min;  // of the states that paged lists go on from

// Of those that were last written before `life`. Deletes a bounded number at a time.
Task<void> sweep_events(Context ctx, registry::Registry* registry, Duration life) {
  const KindDesc* kind = find_kind("", "v1", "Event");
  std::vector<ObjectPtr> old;
  const WallTime before = ctx.loop().wall_now() - life;
  const std::string prefix = registry::kind_prefix(*kind);
  registry->store().snapshot()->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    std::string_view last = tree->root["series"]["lastObservedTime"].as_string();
    if (last.empty()) last = tree->root["lastTimestamp"].as_string();
    if (last.empty()) last = registry::meta(tree->root, "creationTimestamp");
    auto when = parse_time(last);
    if (when.ok() && *when < before) old.push_back(o);
    return old.size() < 10'000;
  });
  registry::DeleteRequest request;
  registry::WriteRequest how;
  how.user = "system:apiserver";
  for (const ObjectPtr& o : old) {
    if (ctx.done()) co_return;
    std::string ns(o->namespace_()), name(o->name());
    request.uid = o->uid();
    auto gone = co_await registry->remove(ctx, kind, std::move(ns), std::move(name), request, how);
    (void)gone;  // a newer write or a deletion by others: the next sweep sees
  }
}

Task<void> forget_events(Context ctx, registry::Registry* registry, Duration life) {
  const Duration every = std::clamp<Duration>(life / 12, kSweepNotBefore, kSweepEvery);
  while (life > Duration::zero()) {
    Status s = co_await ctx.sleep(every);
    if (!s.ok()) co_return;
    co_await sweep_events(ctx, registry, life);
  }
}

}  // namespace

namespace {
Task<void> forget_past(Context ctx, registry::Registry* registry) {
  while (true) {
    Status s = co_await ctx.sleep(kForgetEvery);
    if (!s.ok()) co_return;
    registry->forget_past(ctx.loop().wall_now());
  }
}
}  // namespace

Task<void> ApiServer::run(Context ctx) {
  TaskGroup group(ctx.loop());
  group.spawn(state_->auth.run(ctx));
  group.spawn(state_->token_uses.run(ctx, &state_->registry));
  group.spawn(state_->policies.run(ctx));
  group.spawn(state_->webhooks.run(ctx));
  group.spawn(state_->extensions.run(ctx));
  group.spawn(state_->aggregator.run(ctx));
  if (state_->flow.enabled()) group.spawn(state_->flow.run(ctx));
  group.spawn(forget_past(ctx, &state_->registry));
  group.spawn(forget_events(ctx, &state_->registry, state_->options.event_life));
  if (state_->peers) group.spawn(state_->peers->run(ctx));
  group.spawn(server::keep_default_range(ctx, this));
  std::set<int64_t> suspects;
  while (true) {
    Status s = co_await ctx.sleep(kRepairEvery);
    if (!s.ok()) break;
    auto repaired = co_await state_->registry.services().repair(ctx, suspects);
    if (repaired.ok()) suspects = std::move(*repaired);
  }
  co_await group.join();
}

const auth::Auth& ApiServer::auth() const { return state_->auth; }

const KindDesc* ApiServer::body_kind(const KindDesc& kind, std::string_view subresource) {
  if (subresource.empty()) return &kind;
  const SubresourceDesc* s = kind.subresource(subresource);
  if (!s) return nullptr;
  if (s->kind.empty()) return &kind;
  const bool foreign = !s->group.empty() || !s->version.empty();
  return find_kind(foreign ? s->group : kind.group, foreign ? s->version : kind.version, s->kind);
}

namespace {

Status not_allowed(const KindDesc& kind, std::string_view verb) {
  return Status::method_not_supported(kind.group, kind.plural, verb);
}

bool takes_parent(std::string_view subresource) {
  return subresource.empty() || subresource == "status" || subresource == "finalize" ||
         subresource == "ephemeralcontainers" || subresource == "resize" ||
         subresource == "approval";
}

}  // namespace

Task<Result<ObjectPtr>> ApiServer::get(Context ctx, const KindDesc* kind, std::string ns,
                                       std::string name, std::string subresource,
                                       std::string resource_version) {
  if (!subresource.empty() && !kind->subresource(subresource)) {
    co_return Status(Reason::kNotFound, "the server could not find the requested resource");
  }
  if (subresource == "scale") {
    co_return co_await registry().get_scale(ctx, kind, ns, name);
  }
  if (!takes_parent(subresource)) co_return not_allowed(*kind, "get");
  co_return co_await registry().get(ctx, kind, ns, name, resource_version);
}

namespace {

// Nobody grants more rights than they hold, or has a policy tell of params that they may not read.
// Who calls outlives the request.
void guard_rights(ApiServer* server, const Caller* caller, const KindDesc& kind,
                  registry::WriteRequest& how, auth::Questions* open) {
  const auth::Auth* auth = &server->auth();
  if (kind.group == "rbac.authorization.k8s.io") {
    how.guard = [auth, caller, open](const KindDesc& k, std::string_view ns, const Value& now,
                                     const Value* before) {
      return auth->check_escalation(*caller, k, ns, now, before, open);
    };
  } else if (policies::has_params(kind)) {
    how.guard = [server, auth, caller, open](const KindDesc& k, std::string_view, const Value& now,
                                             const Value* before) {
      const CatalogPtr catalog = server->kinds().current();
      const auto state = server->registry().store().snapshot();
      return policies::check_param_access(
          *caller, k, now, before, *catalog, *state,
          [auth, caller, open](const Access& a) { return auth->decide(*caller, a, open).allowed; });
    };
  }
}

// Admission may ask what else the caller may do. The caller outlives the request.
void let_ask(const auth::Auth* auth, const Caller* caller, registry::WriteRequest& how,
             auth::Questions* open) {
  how.may = [auth, caller, open](const Access& a) {
    return auth->decide(*caller, a, open).allowed;
  };
}

// What an apply finds missing is made only by those who may.
void guard_creation(const auth::Auth* auth, const Caller* caller, const KindDesc* kind,
                    const std::string& ns, const std::string& name, registry::WriteRequest& how,
                    auth::Questions* open) {
  if (caller->trusted) return;
  how.may_create = [auth, caller, kind, ns, name, open] {
    Access access;
    access.verb = "create";
    access.group = kind->group;
    access.version = kind->version;
    access.resource = kind->plural;
    access.ns = ns;
    access.name = name;
    return auth->authorize(*caller, access, open);
  };
}

}  // namespace

bool ApiServer::may_ask(const Caller& caller, const KindDesc& kind) const {
  if (kind.kind == "TokenReview") return true;
  return !caller.trusted && state_->auth.asks_others();
}

Task<Result<ObjectPtr>> ApiServer::review(Context ctx, const Caller* caller, const KindDesc* kind,
                                          std::string ns, Document body,
                                          registry::WriteRequest how) {
  how.served = kind;
  if (!body.root.is_map()) body.root = Value::map();
  const registry::Registry::Call call{kind, ns, "", "", kind};
  how.guard = [](const KindDesc& k, std::string_view in, const Value& sent, const Value*) {
    return auth::Auth::check_review(k, in, sent);
  };
  Status s = co_await registry().admit_create(ctx, &call, &body, &how);
  if (!s.ok()) co_return s;
  auth::Questions open(ctx.loop().now());
  for (;;) {
    Document again = body.clone();
    auto done = auth().review(*caller, *kind, std::move(again), ctx.loop().wall_now(), &open);
    if (!open.pending()) {
      if (!done.ok()) co_return done.status();
      co_return Object::from_document(*kind, std::move(*done));
    }
    co_await state_->auth.ask(ctx, &open);
  }
}

Task<Result<ObjectPtr>> ApiServer::create(Context ctx, const Caller* caller, const KindDesc* kind,
                                          std::string ns, std::string name, std::string subresource,
                                          Document body, registry::WriteRequest how) {
  if (subresource.empty() && auth::Auth::is_review(*kind)) {
    co_return co_await review(ctx, caller, kind, std::move(ns), std::move(body), std::move(how));
  }
  if (!may_ask(*caller, *kind)) {
    co_return co_await create_once(ctx, caller, kind, std::move(ns), std::move(name),
                                   std::move(subresource), std::move(body), std::move(how),
                                   nullptr);
  }
  auth::Questions open(ctx.loop().now());
  for (;;) {
    Document again = body.clone();
    auto done = co_await create_once(ctx, caller, kind, ns, name, subresource, std::move(again),
                                     how, &open);
    if (!open.pending() || done.ok()) co_return done;
    co_await state_->auth.ask(ctx, &open);
  }
}

Task<Result<ObjectPtr>> ApiServer::create_once(Context ctx, const Caller* caller,
                                               const KindDesc* kind, std::string ns,
                                               std::string name, std::string subresource,
                                               Document body, registry::WriteRequest how,
                                               auth::Questions* open) {
  if (subresource.empty() && kind->group.empty() && kind->kind == "Binding") {
    name = registry::meta(body.root, "name");
    subresource = "binding";
  } else if (subresource.empty()) {
    guard_rights(this, caller, *kind, how, open);
    let_ask(&state_->auth, caller, how, open);
    co_return co_await registry().create(ctx, kind, ns, std::move(body), std::move(how));
  }
  if (subresource == "binding" || subresource == "eviction" || subresource == "token") {
    // Bindings of the old form come without a pod in their path.
    const KindDesc* target = kind->kind == "Binding" ? find_kind("", "v1", "Pod") : kind;
    let_ask(&state_->auth, caller, how, open);
    const registry::Registry::Call call{target, ns, name, subresource,
                                        body_kind(*target, subresource)};
    if (subresource == "token") {  // is filled in before it is judged, and after it was changed
      how.guard = [this, &name, &body, now = ctx.loop().wall_now()](
                      const KindDesc&, std::string_view in, const Value&, const Value*) {
        return auth().prepare_token(in, name, &body, now);
      };
    }
    Status s = co_await registry().admit_create(ctx, &call, &body, &how);
    if (!s.ok()) co_return s;
  }
  if (subresource == "binding") {
    Status s = co_await registry().bind_pod(ctx, ns, name, std::move(body), std::move(how));
    if (!s.ok()) co_return s;
    co_return ObjectPtr();
  }
  if (subresource == "eviction") {
    Status s = co_await registry().evict_pod(ctx, ns, name, std::move(body), std::move(how));
    if (!s.ok()) co_return s;
    co_return ObjectPtr();
  }
  if (subresource == "token") {
    auto done = auth().issue_token(ns, name, std::move(body), ctx.loop().wall_now());
    if (!done.ok()) co_return done.status();
    if (how.warnings) {
      how.warnings->insert(how.warnings->end(), done->warnings.begin(), done->warnings.end());
    }
    if (how.annotations) {
      how.annotations->emplace_back("authentication.kubernetes.io/issued-credential-id",
                                    done->credential_id);
    }
    const KindDesc* request = find_kind("authentication.k8s.io", "v1", "TokenRequest");
    co_return Object::from_document(*request, std::move(done->request));
  }
  co_return not_allowed(*kind, "create");
}

Task<Result<ObjectPtr>> ApiServer::update(Context ctx, const Caller* caller, const KindDesc* kind,
                                          std::string ns, std::string name, std::string subresource,
                                          Document body, registry::WriteRequest how,
                                          bool* created) {
  if (!may_ask(*caller, *kind)) {
    co_return co_await update_once(ctx, caller, kind, std::move(ns), std::move(name),
                                   std::move(subresource), std::move(body), std::move(how), created,
                                   nullptr);
  }
  auth::Questions open(ctx.loop().now());
  for (;;) {
    Document again = body.clone();
    auto done = co_await update_once(ctx, caller, kind, ns, name, subresource, std::move(again),
                                     how, created, &open);
    if (!open.pending() || done.ok()) co_return done;
    co_await state_->auth.ask(ctx, &open);
  }
}

Task<Result<ObjectPtr>> ApiServer::update_once(Context ctx, const Caller* caller,
                                               const KindDesc* kind, std::string ns,
                                               std::string name, std::string subresource,
                                               Document body, registry::WriteRequest how,
                                               bool* created, auth::Questions* open) {
  if (subresource == "scale" && kind->subresource("scale")) {
    let_ask(&state_->auth, caller, how, open);
    co_return co_await registry().update_scale(ctx, kind, ns, name, std::move(body),
                                               std::move(how));
  }
  if (!takes_parent(subresource)) co_return not_allowed(*kind, "update");
  guard_rights(this, caller, *kind, how, open);
  let_ask(&state_->auth, caller, how, open);
  co_return co_await registry().update(ctx, kind, ns, name, subresource, std::move(body),
                                       std::move(how), created);
}

Task<Result<ObjectPtr>> ApiServer::patch(Context ctx, const Caller* caller, const KindDesc* kind,
                                         std::string ns, std::string name, std::string subresource,
                                         PatchType type, Document patch, registry::WriteRequest how,
                                         bool* created) {
  if (!may_ask(*caller, *kind)) {
    co_return co_await patch_once(ctx, caller, kind, std::move(ns), std::move(name),
                                  std::move(subresource), type, std::move(patch), std::move(how),
                                  created, nullptr);
  }
  auth::Questions open(ctx.loop().now());
  for (;;) {
    Document again = patch.clone();
    auto done = co_await patch_once(ctx, caller, kind, ns, name, subresource, type,
                                    std::move(again), how, created, &open);
    if (!open.pending() || done.ok()) co_return done;
    co_await state_->auth.ask(ctx, &open);
  }
}

Task<Result<ObjectPtr>> ApiServer::patch_once(Context ctx, const Caller* caller,
                                              const KindDesc* kind, std::string ns,
                                              std::string name, std::string subresource,
                                              PatchType type, Document patch,
                                              registry::WriteRequest how, bool* created,
                                              auth::Questions* open) {
  const bool scale = subresource == "scale" && kind->subresource("scale");
  let_ask(&state_->auth, caller, how, open);
  if (scale && type == PatchType::kApply) {
    co_return co_await registry().apply_scale(ctx, kind, ns, name, std::move(patch),
                                              std::move(how));
  }
  if (type == PatchType::kStrategicMerge && kind->owner && subresource != "scale") {
    co_return Status(Reason::kUnsupportedMediaType,
                     "the body of the request was in an unknown format - accepted media types "
                     "include: application/json-patch+json, application/merge-patch+json, "
                     "application/apply-patch+yaml");
  }
  if (scale) {
    co_return co_await registry().patch_scale(ctx, kind, ns, name, type, std::move(patch),
                                              std::move(how));
  }
  if (!takes_parent(subresource)) co_return not_allowed(*kind, "patch");
  guard_rights(this, caller, *kind, how, open);
  if (type == PatchType::kApply) {
    guard_creation(&state_->auth, caller, kind, ns, name, how, open);
    co_return co_await registry().apply(ctx, kind, ns, name, subresource, std::move(patch),
                                        std::move(how), created);
  }
  co_return co_await registry().patch(ctx, kind, ns, name, subresource, type, std::move(patch),
                                      std::move(how));
}

Task<Result<registry::Deleted>> ApiServer::remove(Context ctx, const Caller* caller,
                                                  const KindDesc* kind, std::string ns,
                                                  std::string name, registry::DeleteRequest request,
                                                  registry::WriteRequest how) {
  auth::Questions open(ctx.loop().now());
  let_ask(&state_->auth, caller, how, may_ask(*caller, *kind) ? &open : nullptr);
  for (;;) {
    auto done = co_await registry().remove(ctx, kind, ns, name, request, how);
    if (!open.pending() || done.ok()) co_return done;
    co_await state_->auth.ask(ctx, &open);
  }
}

Task<Result<registry::ListPage>> ApiServer::remove_collection(Context ctx, const Caller* caller,
                                                              const KindDesc* kind, std::string ns,
                                                              registry::ListQuery query,
                                                              registry::DeleteRequest request,
                                                              registry::WriteRequest how) {
  auth::Questions open(ctx.loop().now());
  let_ask(&state_->auth, caller, how, may_ask(*caller, *kind) ? &open : nullptr);
  for (;;) {
    auto done = co_await registry().remove_collection(ctx, kind, ns, query, request, how);
    if (!open.pending() || done.ok()) co_return done;
    co_await state_->auth.ask(ctx, &open);
  }
}

Task<Status> ApiServer::connect(Context ctx, const Caller* caller,
                                const registry::Registry::Call* call, Document options,
                                registry::WriteRequest how) {
  auth::Questions open(ctx.loop().now());
  let_ask(&state_->auth, caller, how, may_ask(*caller, *call->kind) ? &open : nullptr);
  for (;;) {
    Document again = options.clone();
    registry::WriteRequest same = how;
    Status s = co_await registry().admit_connect(ctx, call, &again, &same);
    if (!open.pending() || s.ok()) co_return s;
    co_await state_->auth.ask(ctx, &open);
  }
}

}  // namespace keles
