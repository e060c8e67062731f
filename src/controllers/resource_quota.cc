#include "controllers/resource_quota.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "controllers/ownership.h"
#include "machinery/quota/surroundings.h"

namespace keles::controllers {

using quota::ResourceList;

namespace {

constexpr Duration kResync = 5min;  // --resource-quota-sync-period
// A recount may cost as much again as was read, before there is another.
constexpr Duration kPauseForAnObject = 1ms, kLeastPause = 20ms;

bool is_counted(const KindDesc& kind) {
  auto has = [&kind](std::string_view verb) {
    return std::find(kind.verbs.begin(), kind.verbs.end(), verb) != kind.verbs.end();
  };
  return kind.namespaced && has("create") && has("list") && has("watch") && has("delete") &&
         quota::evaluator_of(kind.group, kind.plural) != nullptr;
}

bool tracks_any(const quota::Evaluator& e, const ResourceList& hard, const quota::Around& around) {
  return std::any_of(hard.begin(), hard.end(),
                     [&](const auto& h) { return e.tracks(h.first, around); });
}

std::string key_of(const Ref<api::core_v1::ResourceQuota>& q) {
  return std::string(q->metadata().namespace_()) + "/" + std::string(q->metadata().name());
}

ResourceList hard_of(const api::core_v1::ResourceQuota& q) {
  return quota::read_resource_list(q.spec().hard().value());
}
ResourceList used_of(const api::core_v1::ResourceQuota& q) {
  return quota::read_resource_list(q.status().used().value());
}

bool fell(const ResourceList& before, const ResourceList& now) {
  return std::any_of(before.begin(), before.end(), [&](const auto& b) {
    auto at = now.find(b.first);
    return at == now.end() || at->second < b.second;
  });
}

}  // namespace

void QuotaLedger::observe(const ResourceList& used, TimePoint now) {
  if (pending_ && now - since_ >= kChargeSettles) {
    settled_ = std::move(*pending_);
    pending_.reset();
  }
  if (pending_ || (settled_ && *settled_ == used)) return;
  pending_ = used;
  since_ = now;
}

void QuotaLedger::forget() {
  settled_.reset();
  pending_.reset();
}

void QuotaLedger::given_back(const ResourceList& amounts) {
  for (auto* list : {&settled_, &pending_}) {
    if (!*list) continue;
    for (const auto& [name, amount] : amounts) {
      auto at = (*list)->find(name);
      if (at != (*list)->end()) at->second.sub(amount);
    }
  }
}

TimePoint QuotaLedger::ripe_at(TimePoint now) const {
  return pending_ ? since_ + kChargeSettles : now;
}

QuotaPlan plan_quota(const api::core_v1::ResourceQuota& q, const ResourceList& counts,
                     const ResourceList* settled) {
  QuotaPlan plan;
  plan.hard = hard_of(q);
  const ResourceList used = used_of(q);
  for (const auto& [name, limit] : plan.hard) {
    auto was = used.find(name), is = counts.find(name);
    if (is == counts.end()) {
      if (was != used.end()) plan.used.insert(*was);  // somebody else's to say
      continue;
    }
    const Quantity& count = is->second;
    Quantity now = was == used.end() ? count : was->second;
    if (settled && count < now) {
      auto old = settled->find(name);
      if (old != settled->end() && count < old->second) {
        Quantity back = old->second;
        back.sub(count);
        now.sub(back);
        plan.given_back[name] = back;
      }
    }
    if (now < count) now = count;
    plan.waits = plan.waits || count < now;
    plan.used[name] = now;
  }
  plan.write = q.status().hard().value().is_null() || q.status().used().value().is_null() ||
               plan.hard != quota::read_resource_list(q.status().hard().value()) ||
               plan.used != used;
  return plan;
}

ResourceQuotaController::ResourceQuotaController(Deps deps)
    : Controller(deps, "resourcequota_primary", "resourcequota-controller", 5),
      quotas_(watch<Quota>()),
      classes_(watch<api::resource_v1::DeviceClass>()),
      pods_(watch<api::core_v1::Pod>()),
      claims_(watch<api::resource_v1::ResourceClaim>()),
      objects_(
          deps.client, deps.informers, is_counted,
          [this](const ObjectPtr& before, const ObjectPtr& now) { object_changed(before, now); }) {
  quotas_.on_change(
      [this](const Ref<Quota>& before, const Ref<Quota>& now) { quota_changed(before, now); });
  // What was lowered meanwhile nobody saw; what has gone meanwhile, perhaps neither.
  auto look_again = [this] {
    for (const auto& q : quotas_.list()) queue().add(key_of(q));
  };
  quotas_.base().add_handler({nullptr, nullptr, nullptr, [this, look_again] {
                                for (auto& [key, state] : states_) state.ledger.forget();
                                look_again();
                              }});
  for (InformerBase* informer : objects_.built_in()) {
    informer->add_handler({nullptr, nullptr, nullptr, look_again});
  }
}

void ResourceQuotaController::quota_changed(const Ref<Quota>& before, const Ref<Quota>& now) {
  const std::string key = key_of(now ? now : before);
  if (!now) {
    states_.erase(key);
    return;
  }
  State& state = states_[key];
  if (state.uid != now->metadata().uid()) {
    state = State();
    state.uid = now->metadata().uid();
  }
  const ResourceList used = used_of(*now);
  if (!before || hard_of(*before) != hard_of(*now)) queue().add(key);
  if (before && used_of(*before) != used) {
    if (fell(used_of(*before), used)) lowered(state, revision_of(now->metadata()));
    // Somebody was charged: perhaps for nothing.
    queue().add_after(key, kChargeSettles + kLeastPause);
  }
  state.ledger.observe(used, loop().now());
}

// News of our own write may come before its answer.
void ResourceQuotaController::lowered(State& state, int64_t revision) {
  if (state.writing) {
    state.fell_at = state.fell_at == 0 ? revision : -1;
  } else if (revision != state.own_revision) {
    state.ledger.forget();
  }
}

void ResourceQuotaController::object_changed(const ObjectPtr& before, const ObjectPtr& now) {
  if (!before) return;  // what comes is charged
  const KindDesc& kind = before->kind();
  const std::string ns(before->namespace_());
  const auto quotas = quotas_.list(ns);
  if (quotas.empty()) return;
  const auto e = quota::evaluator_of(kind.group, kind.plural);
  const quota::Around here = around(ns);
  if (now) {
    if (e->counts_only()) return;
    DocumentPtr old_tree = before->tree(), new_tree = now->tree();
    if (e->usage(old_tree->root, here) == e->usage(new_tree->root, here)) return;
  }
  for (const auto& q : quotas) {
    if (tracks_any(*e, hard_of(*q), here)) queue().add(key_of(q));
  }
}

quota::Around ResourceQuotaController::around(std::string ns) {
  quota::Around out;
  out.now = loop().wall_now();
  // Asked for rarely: made when it is.
  auto classes = std::make_shared<std::optional<quota::DeviceClasses>>();
  auto known = [this, classes]() -> const quota::DeviceClasses& {
    if (!*classes) {
      classes->emplace();
      for (const auto& c : classes_.list()) (*classes)->add(c->value());
    }
    return **classes;
  };
  out.extended_resource = [known](std::string_view name) {
    return known().extended_resource(name);
  };
  out.has_device_class = [known](std::string_view resource) { return known().stand_for(resource); };
  out.pod_of_claim = [this, ns = std::move(ns)](const Value& claim) {
    quota::Neighbours here;
    here.pod = [&](std::string_view name) { return pods_.get(ns, name).document(); };
    here.all_claims = [&] {
      std::vector<DocumentPtr> all;
      for (const auto& c : claims_.list(ns)) all.push_back(c.document());
      return all;
    };
    return quota::pod_of_claim(claim, here);
  };
  return out;
}

Task<Result<ResourceList>> ResourceQuotaController::count(Context ctx, Ref<Quota> q,
                                                          int64_t* objects) {
  const std::string ns(q->metadata().namespace_());
  const ResourceList hard = hard_of(*q);
  const std::vector<quota::Scope> scopes = quota::scopes_of(q->value());
  const quota::Around here = around(ns);
  ResourceList out;
  for (const KindRef& kind : objects_.kinds()) {
    const auto e = quota::evaluator_of(kind->group, kind->plural);
    if (!tracks_any(*e, hard, here)) continue;
    for (const auto& [name, limit] : hard) {
      if (e->tracks(name, here)) out.emplace(name, Quantity());
    }
    // From the server, as no informer says how old it is.
    auto found = co_await client().list(ctx, kind.get(), ns, ListOptions());
    if (kind->owner && found.status().is(Reason::kNotFound)) continue;  // it has gone
    if (!found.ok()) co_return found.status();
    *objects += static_cast<int64_t>(found->items.size());
    for (const ObjectPtr& o : found->items) {
      DocumentPtr tree = e->counts_only() ? o->metadata() : o->tree();
      const bool in = std::all_of(scopes.begin(), scopes.end(), [&](const quota::Scope& s) {
        return e->in_scope(s, tree->root);
      });
      if (in) quota::add(out, quota::only(e->usage(tree->root, here), hard));
    }
  }
  co_return std::move(out);
}

Task<ReconcileResult> ResourceQuotaController::reconcile(Context ctx, std::string key) {
  const auto [ns, name] = split_key(key);
  const Ref<Quota> q = quotas_.get(ns, name);
  auto known = states_.find(key);
  if (!q || known == states_.end()) co_return Status();
  const TimePoint begun = loop().now();
  if (begun < known->second.not_before) {
    co_return ReconcileResult::after(known->second.not_before - begun);
  }
  known->second.ledger.observe(used_of(*q), begun);
  // As it is before the count begins: what is settled by then, the count has.
  std::optional<ResourceList> settled;
  if (const ResourceList* s = known->second.ledger.settled()) settled = *s;
  int64_t objects = 0;
  auto counts = co_await count(ctx, q, &objects);
  if (!counts.ok()) co_return counts.status();
  known = states_.find(key);
  if (known == states_.end() || known->second.uid != q->metadata().uid()) co_return Status();
  QuotaPlan plan = plan_quota(*q, *counts, settled ? &*settled : nullptr);
  Status written;
  int64_t revision = 0;
  if (plan.write) {
    Draft<api::core_v1::ResourceQuotaEdit> next(*q);
    Document& d = next.document();
    Value status = Value::map();
    quota::write_resource_list(d.arena, status.get_or_add(d.arena, "hard"), plan.hard);
    quota::write_resource_list(d.arena, status.get_or_add(d.arena, "used"), plan.used);
    d.root.set(d.arena, "status", status);
    known->second.writing = true;
    auto r = co_await client().update_status<Quota>(ctx, next.take());
    written = r.status();
    if (r.ok()) revision = revision_of((*r)->metadata());
  }
  known = states_.find(key);
  if (known == states_.end() || known->second.uid != q->metadata().uid()) co_return Status();
  State& state = known->second;
  state.not_before = loop().now() + std::max(kLeastPause, objects * kPauseForAnObject);
  state.writing = false;
  const int64_t fell_at = std::exchange(state.fell_at, 0);
  if (fell_at != 0 && fell_at != revision) state.ledger.forget();
  if (written.is(Reason::kConflict)) co_return written;  // it was charged meanwhile
  if (!written.ok()) {
    state.ledger.forget();
    if (written.is(Reason::kNotFound)) co_return Status();
    co_return written;
  }
  if (plan.write) {
    state.own_revision = revision;
    state.ledger.given_back(plan.given_back);
    co_return ReconcileResult::after(kChargeSettles + kLeastPause);  // what was under way then
  }
  if (!plan.waits) co_return ReconcileResult::after(kResync);
  const TimePoint now = loop().now();
  co_return ReconcileResult::after(
      std::max(kLeastPause, state.ledger.ripe_at(now) - now + kLeastPause));
}

}  // namespace keles::controllers
