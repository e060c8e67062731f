#include "controllers/namespace.h"

#include <algorithm>

#include "controllers/elsewhere.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

bool has_verb(const KindDesc& kind, std::string_view verb) {
  return std::find(kind.verbs.begin(), kind.verbs.end(), verb) != kind.verbs.end();
}

std::string counted(const std::map<std::string, int>& counts, std::string_view verb,
                    std::string_view noun) {
  std::string out;
  for (const auto& [what, n] : counts) {
    if (!out.empty()) out += ", ";
    out += what + std::string(verb) + std::to_string(n) + std::string(noun);
  }
  return out;
}

struct Wanted {
  std::string_view type;
  bool bad;
  std::string_view reason;
  std::string message;
};

}  // namespace

std::vector<const KindDesc*> deletable_kinds(const Catalog& catalog) {
  std::map<std::string_view, const KindDesc*> by_resource;
  for (const KindDesc* k : catalog.kinds()) {
    if (!has_verb(*k, "list") || !has_verb(*k, "delete")) continue;
    by_resource[k->group_resource()] = k;  // of several versions, the last
  }
  std::vector<const KindDesc*> out;
  for (const auto& [name, kind] : by_resource) out.push_back(kind);
  return out;
}

std::optional<Draft<NamespaceEdit>> plan_namespace_conditions(const Namespace& ns,
                                                              const NamespaceRemains& remains,
                                                              WallTime now) {
  std::string errors;
  for (const std::string& e : remains.errors) errors += (errors.empty() ? "" : ", ") + e;
  bool some = !remains.resources.empty(), held = !remains.finalizers.empty();
  std::string unknown;
  for (const std::string& gv : remains.undiscovered) {
    unknown += (unknown.empty() ? "" : ", ") + gv + ": stale GroupVersion discovery: " + gv;
  }
  const Wanted wanted[] = {
      {"NamespaceDeletionDiscoveryFailure", !unknown.empty(),
       unknown.empty() ? "ResourcesDiscovered" : "DiscoveryFailed",
       unknown.empty()
           ? "All resources successfully discovered"
           : "Discovery failed for some groups, " + std::to_string(remains.undiscovered.size()) +
                 " failing: unable to retrieve the complete list of server APIs: " + unknown},
      {"NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
       "All legacy kube types successfully parsed"},
      {"NamespaceDeletionContentFailure", !errors.empty(),
       errors.empty() ? "ContentDeleted" : "ContentDeletionFailed",
       errors.empty() ? "All content successfully deleted, may be waiting on finalization"
                      : "Failed to delete all resource types, " +
                            std::to_string(remains.errors.size()) + " remaining: " + errors},
      {"NamespaceContentRemaining", some, some ? "SomeResourcesRemain" : "ContentRemoved",
       some ? "Some resources are remaining: " +
                  counted(remains.resources, " has ", " resource instances")
            : "All content successfully removed"},
      {"NamespaceFinalizersRemaining", held,
       held ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
       held ? "Some content in the namespace has finalizers remaining: " +
                  counted(remains.finalizers, " in ", " resource instances")
            : "All content-preserving finalizers finished"},
  };
  Draft<NamespaceEdit> d(ns);
  bool changed = false;
  auto list = d->edit_status().edit_conditions();
  for (const Wanted& w : wanted) {
    size_t at = 0;
    while (at < list.size() && list[at].type() != w.type) ++at;
    std::string_view status = w.bad ? "True" : "False";
    bool fresh = at == list.size();
    if (!fresh && list[at].status() == status && list[at].message() == w.message) continue;
    auto c = fresh ? list.add() : list[at];
    if (c.status() != status) c.set_last_transition_time(format_time(now));
    c.set_type(w.type);
    c.set_status(status);
    c.set_reason(w.reason);
    c.set_message(w.message);
    changed = true;
  }
  if (!changed) return std::nullopt;
  return d;
}

NamespaceController::NamespaceController(Deps deps)
    : Controller(deps, "namespace", "namespace-controller", 10),
      namespaces_(watch_own<Namespace>()) {}

Task<Status> NamespaceController::remove_one(Context ctx, ObjectPtr object) {
  DeleteOptions o;
  o.uid = std::string(object->uid());
  o.propagation_policy = "Background";
  auto r = co_await client().remove(ctx, &object->kind(), std::string(object->namespace_()),
                                    std::string(object->name()), o);
  if (r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict)) co_return Status();
  co_return r.status();
}

// Deletes the objects of one kind and counts what remains of them.
Task<Status> NamespaceController::empty_of(Context ctx, std::string ns, const KindDesc* kind,
                                           NamespaceRemains* remains) {
  auto before = co_await client().list(ctx, kind, ns, ListOptions());
  if (before.status().is(Reason::kNotFound)) co_return Status();  // not served here
  if (!before.ok()) {
    // What cannot be read holds its namespace, and is told of; the other kinds go meanwhile.
    if (ctx.done()) co_return ctx.status();
    remains->errors.push_back(before.status().message());
    co_return Status();
  }
  if (before->items.empty()) co_return Status();
  std::vector<std::function<Task<Status>()>> tasks;
  for (const ObjectPtr& o : before->items) {
    DocumentPtr tree = o->tree();
    if (!tree->root["metadata"]["deletionTimestamp"].is_null()) continue;
    tasks.push_back([this, ctx, o] { return remove_one(ctx, o); });
  }
  Status s = co_await run_bounded(ctx, options().parallel_writes, std::move(tasks));
  if (ctx.done()) co_return ctx.status();
  if (!s.ok()) remains->errors.push_back(s.message());
  auto after = co_await client().list(ctx, kind, ns, ListOptions());
  if (!after.ok()) {
    if (ctx.done()) co_return ctx.status();
    remains->errors.push_back(after.status().message());
    co_return Status();
  }
  for (const ObjectPtr& o : after->items) {
    DocumentPtr tree = o->tree();
    ++remains->resources[kind->group.empty() ? std::string(kind->plural) + "."
                                             : std::string(kind->group_resource())];
    for (const Value& f : tree->root["metadata"]["finalizers"].items()) {
      ++remains->finalizers[std::string(f.as_string())];
    }
  }
  co_return Status();
}

// Pods first (KEP 5080): nothing that guards a running pod, such as a NetworkPolicy, goes before
// it.
Task<Status> NamespaceController::empty(Context ctx, std::string ns, NamespaceRemains* remains) {
  TRY_CO(empty_of(ctx, ns, &kind_of<Pod>(), remains));
  if (!remains->resources.empty()) co_return Status();
  CatalogPtr catalog = client().kinds().current();
  for (const KindDesc* kind : deletable_kinds(*catalog)) {
    if (kind->namespaced) TRY_CO(empty_of(ctx, ns, kind, remains));
  }
  if (!options().elsewhere) co_return Status();
  co_return co_await empty_elsewhere(ctx, options().elsewhere, ns, remains);
}

Task<Status> NamespaceController::finalize(Context ctx, Ref<Namespace> ns) {
  Draft<NamespaceEdit> d(*ns);
  auto list = d->edit_spec().edit_finalizers();
  for (size_t i = 0; i < list.size();) {
    if (list[i] == "kubernetes") {
      list.erase_at(i);
    } else {
      ++i;
    }
  }
  WriteOptions o;
  o.subresource = "finalize";
  auto r = co_await client().update<Namespace>(ctx, d.take(), o);
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

Task<ReconcileResult> NamespaceController::reconcile(Context ctx, std::string key) {
  Ref<Namespace> ns = namespaces_.get("", key);
  if (!ns || ns->metadata().deletion_timestamp().empty()) {
    rounds_.erase(key);
    co_return Status();
  }
  if (ns->spec().finalizers().empty()) co_return Status();
  NamespaceRemains remains;
  Status emptied = co_await empty(ctx, key, &remains);
  if (!emptied.ok()) co_return emptied;
  if (remains == NamespaceRemains()) {
    Status done = co_await finalize(ctx, ns);
    co_return done;
  }
  if (auto told = plan_namespace_conditions(*ns, remains, loop().wall_now())) {
    auto r = co_await client().update_status<Namespace>(ctx, told->take());
    if (!r.ok() && !r.status().is(Reason::kNotFound)) co_return r.status();
  }
  // Pods take their grace period: look again soon, then less and less often.
  int round = rounds_[key]++;
  Duration wait = std::min<Duration>(250ms * (1 << std::min(round, 6)), 10s);
  co_return ReconcileResult::after(wait);
}

}  // namespace keles::controllers
