#include "server/quota/quota_admission.h"

#include <algorithm>
#include <optional>

#include "machinery/quota/surroundings.h"
#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::server {
namespace {

using admission::Attributes;
using admission::Operation;

// Each try follows another's success, of another loop or server.
constexpr int kTries = 64;

const KindDesc& quota_kind() {
  static const KindDesc* const k = find_kind("", "v1", "ResourceQuota");
  return *k;
}

quota::Write write_of(const Attributes& a) {
  return a.operation == Operation::kUpdate ? quota::Write::kUpdate : quota::Write::kCreate;
}

DocumentPtr tree_of(const StoreSnapshot& state, const KindDesc* kind, std::string_view ns,
                    std::string_view name) {
  ObjectPtr found = kind ? state.get(registry::object_key(*kind, ns, name)) : nullptr;
  return found ? found->tree() : nullptr;
}

std::vector<DocumentPtr> trees_of(const StoreSnapshot& state, std::string_view kind,
                                  std::string_view ns) {
  std::vector<DocumentPtr> out;
  const KindDesc* k = find_kind("resource.k8s.io", "v1", kind);
  if (!k) return out;
  const std::string prefix = registry::list_prefix(*k, ns);
  state.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    out.push_back(o->tree());
    return true;
  });
  return out;
}

// As the request's time and the state have it; `state` outlives it.
quota::Around around(const Attributes& a, const StoreSnapshot& state) {
  quota::Around out;
  out.now = a.now;
  if (a.kind->group != "resource.k8s.io") return out;
  auto classes = std::make_shared<quota::DeviceClasses>();
  for (const DocumentPtr& c : trees_of(state, "DeviceClass", "")) classes->add(c->root);
  out.extended_resource = [classes](std::string_view c) { return classes->extended_resource(c); };
  out.has_device_class = [classes](std::string_view r) { return classes->stand_for(r); };
  const std::string ns(a.namespace_);
  out.pod_of_claim = [&state, ns](const Value& claim) {
    quota::Neighbours here;
    here.pod = [&](std::string_view name) {
      return tree_of(state, find_kind("", "v1", "Pod"), ns, name);
    };
    here.all_claims = [&] { return trees_of(state, "ResourceClaim", ns); };
    return quota::pod_of_claim(claim, here);
  };
  return out;
}

Status status_of(const Attributes& a, const quota::Verdict& v) {
  if (v.refused.empty()) return Status();
  if (v.unclassed) return Status(Reason::kUnknown, v.refused);
  return admission::refuse(a, v.refused);
}

}  // namespace

void QuotaAdmission::Waiter::finish(Status s) {
  done = true;
  result = std::move(s);
}

bool QuotaAdmission::concerns(const Attributes& a) const {
  if (a.namespace_.empty()) return false;
  if (a.operation != Operation::kCreate && a.operation != Operation::kUpdate) return false;
  if (!quota::may_use(a.kind->group, a.kind->plural, write_of(a), a.subresource)) return false;
  if (!limits_.resources.empty()) return true;
  bool any = false;
  const std::string prefix = registry::list_prefix(quota_kind(), a.namespace_);
  a.state->scan(prefix, prefix, [&](std::string_view, const ObjectPtr&) {
    any = true;
    return false;
  });
  return any || !a.state->unreadable(prefix).empty();
}

std::shared_ptr<QuotaAdmission::Bucket> QuotaAdmission::bucket(Loop& loop, std::string_view ns) {
  std::lock_guard lock(mutex_);
  auto& found = buckets_[{&loop, std::string(ns)}];
  if (!found) found = std::make_shared<Bucket>();
  return found;
}

void QuotaAdmission::forget_idle(Loop& loop, std::string_view ns) {
  std::lock_guard lock(mutex_);
  auto at = buckets_.find({&loop, std::string(ns)});
  if (at == buckets_.end()) return;
  const Bucket& b = *at->second;
  if (!b.busy && b.pending.empty() && b.turn.empty()) buckets_.erase(at);
}

// OK: the waiter has its answer, or the turn is its own.
Task<Status> QuotaAdmission::wait_turn(Context ctx, std::shared_ptr<Bucket> b, Waiter* w) {
  while (b->busy && !w->done) {
    Status s = co_await b->turn.wait(ctx);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

void QuotaAdmission::Bucket::leave(Waiter* w) {
  std::erase(pending, w);
  std::replace(taken.begin(), taken.end(), w, {});
}

Task<Status> QuotaAdmission::validate(Context ctx, const Attributes* a, const Value* object,
                                      const Value* before) {
  Waiter own;
  own.a = a;
  own.ask =
      quota::Ask{a->kind->group, a->kind->plural, a->subresource, write_of(*a), object, before};
  own.evaluator = quota::evaluator_of(a->kind->group, a->kind->plural);
  if (!own.evaluator->handles(own.ask.write, own.ask.subresource, *object, before)) {
    co_return Status();
  }
  std::shared_ptr<Bucket> b = bucket(ctx.loop(), a->namespace_);
  b->pending.push_back(&own);
  Status waited = co_await wait_turn(ctx, b, &own);
  if (!waited.ok() || own.done) {
    b->leave(&own);  // whoever charges may be at it yet
    if (own.done) co_return own.result;
    co_return waited;
  }

  b->busy = true;
  b->taken = std::exchange(b->pending, {});
  co_await charge_all(ctx, std::string(a->namespace_), b);
  // Whoever has no answer (this request was given up) asks once more.
  for (Waiter* w : b->taken) {
    if (w && w != &own && !w->done) b->pending.push_back(w);
  }
  b->taken.clear();
  b->busy = false;
  b->turn.wake_all();
  forget_idle(ctx.loop(), a->namespace_);
  co_return own.done ? own.result : ctx.status();
}

// Fails when a quota cannot be read: nobody knows what it forbids.
Result<std::vector<QuotaAdmission::Held>> QuotaAdmission::quotas_of(const StoreSnapshot& state,
                                                                    std::string_view ns) const {
  std::vector<Held> out;
  const std::string prefix = registry::list_prefix(quota_kind(), ns);
  TRY(scan_whole(state, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    out.push_back(Held{o, quota::read_standing(o->name(), tree->root)});
    return true;
  }));
  return out;
}

// Answers whom it can. Who is charged waits for the quota to be written.
void QuotaAdmission::decide(Bucket* b, std::vector<quota::Standing>* standings,
                            const StoreSnapshot& state, bool again) const {
  static const quota::Limits kNone;  // of some of the quotas nothing can be said of covering
  for (Waiter* w : b->taken) {
    if (!w || w->done) continue;
    std::vector<quota::Standing> then = *standings;
    const quota::Verdict v =
        quota::charge(&then, w->ask, *w->evaluator, again ? kNone : limits_, around(*w->a, state));
    if (!v.refused.empty() || v.charged.empty() || w->a->dry_run) {
      w->finish(status_of(*w->a, v));
    } else {
      *standings = std::move(then);
    }
  }
}

Task<Status> QuotaAdmission::write(Context ctx, ObjectPtr current, quota::ResourceList used) {
  Document next = current->tree()->clone();
  registry::set_meta(next, "resourceVersion", std::to_string(current->revision()));
  Value& status = registry::edit_map(next, next.root, "status");
  quota::write_resource_list(next.arena, status.get_or_add(next.arena, "used"), used);
  registry::WriteRequest how;
  how.user = "system:apiserver";
  how.groups = {"system:authenticated", "system:masters"};
  how.field_manager = "kube-apiserver";
  const std::string ns(current->namespace_()), name(current->name());
  auto done = co_await registry_->update(ctx, &quota_kind(), ns, name, "status", std::move(next),
                                         std::move(how));
  co_return done.status();
}

Task<void> QuotaAdmission::charge_all(Context ctx, std::string ns, std::shared_ptr<Bucket> b) {
  std::optional<std::vector<std::string>> left;  // quotas that are to be charged yet; at first all
  Status last;
  for (int attempt = 0; attempt < kTries && !ctx.done(); ++attempt) {
    const auto state = registry_->store().snapshot();
    auto read = quotas_of(*state, ns);
    if (!read.ok()) {
      last = read.status();
      break;
    }
    std::vector<Held> held = std::move(*read);
    if (left) {
      std::erase_if(held, [&](const Held& q) {
        return std::find(left->begin(), left->end(), q.standing.name) == left->end();
      });
    }
    std::vector<quota::Standing> then;
    then.reserve(held.size());
    for (const Held& q : held) then.push_back(q.standing);
    decide(b.get(), &then, *state, left.has_value());

    std::vector<std::string> failed;
    for (size_t i = 0; i < held.size(); ++i) {
      if (quota::same(held[i].standing.used, then[i].used)) continue;
      Status s = co_await write(ctx, held[i].object, then[i].used);
      if (s.ok()) continue;
      failed.push_back(held[i].standing.name);
      last = s;
    }
    if (failed.empty()) {
      for (Waiter* w : b->taken) {
        if (w && !w->done) w->finish(Status());
      }
      co_return;
    }
    left = std::move(failed);
    // The store may show another's write a moment later than it refuses ours.
    (void)co_await ctx.sleep(1ms);
  }
  if (ctx.done()) co_return;  // the others' time is not over
  for (Waiter* w : b->taken) {
    if (w && !w->done) w->finish(last);
  }
}

}  // namespace keles::server
