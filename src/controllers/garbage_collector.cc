#include "controllers/garbage_collector.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "controllers/options.h"

namespace keles::controllers {

namespace {

constexpr std::string_view kForeground = "foregroundDeletion";
constexpr std::string_view kOrphan = "orphan";

using api::meta_v1::ObjectMeta;
using api::meta_v1::OwnerReference;

// "deployments.apps|ns/name"
std::string item_of(const Object& o) {
  return std::string(o.kind().group_resource()) + "|" + o.key();
}

ObjectMeta meta_of(const DocumentPtr& tree) { return ObjectMeta(tree->root["metadata"]); }

bool has_finalizer(const ObjectMeta& m, std::string_view finalizer) {
  for (std::string_view f : m.finalizers()) {
    if (f == finalizer) return true;
  }
  return false;
}

bool is_dying(const ObjectMeta& m) { return !m.deletion_timestamp().empty(); }
bool in_foreground(const ObjectMeta& m) { return is_dying(m) && has_finalizer(m, kForeground); }

bool is_collected(const KindDesc& kind) {
  auto has = [&kind](std::string_view verb) {
    return std::find(kind.verbs.begin(), kind.verbs.end(), verb) != kind.verbs.end();
  };
  return kind.plural != "events" && has("list") && has("watch") && has("delete");
}

// The start of a patch of the object's owner references. A custom resource takes no strategic merge
// patch: the whole list is given, of this very revision.
Value& begin_owners_patch(Document& patch, const Object& object) {
  auto text = [&patch](std::string_view s) { return Value::string(patch.arena.copy(s)); };
  patch.root = Value::map();
  Value& meta = patch.root.set(patch.arena, "metadata", Value::map());
  meta.set(patch.arena, "uid", text(object.uid()));
  if (object.kind().owner) {
    meta.set(patch.arena, "resourceVersion", text(std::to_string(object.revision())));
  }
  return meta.set(patch.arena, "ownerReferences", Value::list());
}

Document owners_patch(const Object& object, const std::vector<std::string>& drop) {
  Document patch;
  Value& refs = begin_owners_patch(patch, object);
  if (!object.kind().owner) {
    for (const std::string& uid : drop) {
      Value& r = refs.append(patch.arena, Value::map());
      r.set(patch.arena, "$patch", Value::string("delete"));
      r.set(patch.arena, "uid", Value::string(patch.arena.copy(uid)));
    }
    return patch;
  }
  DocumentPtr tree = object.metadata();
  for (OwnerReference ref : meta_of(tree).owner_references()) {
    if (std::find(drop.begin(), drop.end(), ref.uid()) != drop.end()) continue;
    refs.append(patch.arena, deep_copy(patch.arena, ref.value()));
  }
  return patch;
}

// No owner's deletion waits for the object any more.
Document unblocking_patch(const Object& object) {
  Document patch;
  Value& refs = begin_owners_patch(patch, object);
  DocumentPtr tree = object.metadata();
  for (OwnerReference ref : meta_of(tree).owner_references()) {
    Value& r = refs.append(
        patch.arena, object.kind().owner ? deep_copy(patch.arena, ref.value()) : Value::map());
    r.set(patch.arena, "uid", Value::string(patch.arena.copy(ref.uid())));
    r.set(patch.arena, "blockOwnerDeletion", Value(false));
  }
  return patch;
}

}  // namespace

CollectPlan plan_collection(const std::vector<OwnerState>& owners, bool has_dependents) {
  using S = OwnerState::State;
  CollectPlan plan;
  bool solid = false, waiting = false, unknown = false;
  for (const OwnerState& o : owners) {
    solid = solid || o.state == S::kSolid;
    waiting = waiting || o.state == S::kWaiting;
    unknown = unknown || o.state == S::kUnknown;
    if (o.state == S::kAbsent || o.state == S::kWaiting) plan.drop.push_back(o.uid);
  }
  if (owners.empty() || unknown) {
    plan.drop.clear();
    return plan;
  }
  if (solid) return plan;  // one owner is enough to live; the others' references go
  plan.drop.clear();
  plan.remove = true;
  plan.foreground = waiting && has_dependents;
  return plan;
}

namespace {

// How often what was to be done had to wait for a kind that has not been listed.
metrics::Value& sync_errors() {
  static metrics::Value& v =
      metrics::counter("garbagecollector_controller_resources_sync_error_total",
                       "Number of garbage collector resources sync errors")
          .with({});
  return v;
}

}  // namespace

GarbageCollector::GarbageCollector(Deps deps)
    : Controller(deps, "garbage_collector_attempt_to_delete", "garbage-collector-controller", 20),
      all_(deps.options.all_kinds ? *deps.options.all_kinds : deps.client),
      catalog_(all_.kinds()),
      informers_(all_, deps.informers, is_collected,
                 [this](const ObjectPtr& before, const ObjectPtr& now) { changed(before, now); }) {
  for (InformerBase* informer : informers_.built_in()) watch_also(*informer);
}

KindRef GarbageCollector::kind_of_ref(const OwnerRef& ref) const {
  CatalogPtr catalog = catalog_.current();
  return KindRef(catalog->find_kind(ref.api_version(), ref.kind()));
}

void GarbageCollector::relate(const ObjectPtr& object, const DocumentPtr& tree, bool add) {
  for (OwnerReference ref : meta_of(tree).owner_references()) {
    std::string uid(ref.uid());
    if (add) {
      dependents_[uid].insert(item_of(*object));
      continue;
    }
    auto it = dependents_.find(uid);
    if (it == dependents_.end()) continue;
    it->second.erase(item_of(*object));
    if (it->second.empty()) dependents_.erase(it);
  }
}

ObjectPtr GarbageCollector::find(const std::string& item) const {
  size_t bar = item.find('|');
  InformerBase* informer = informers_.find(std::string_view(item).substr(0, bar));
  if (!informer) return nullptr;
  auto [ns, name] = split_key(std::string_view(item).substr(bar + 1));
  return informer->get(ns, name);
}

bool GarbageCollector::in_cache(const OwnerReference& ref, std::string_view ns) const {
  const KindRef kind = kind_of_ref(ref);
  if (!kind) return false;
  InformerBase* informer = informer_of(*kind);
  if (!informer) return false;
  ObjectPtr o = informer->get(kind->namespaced ? ns : std::string_view(), ref.name());
  return o && o->uid() == ref.uid();
}

std::set<std::string> GarbageCollector::dependents_of(std::string_view uid) const {
  auto it = dependents_.find(std::string(uid));
  return it == dependents_.end() ? std::set<std::string>() : it->second;
}

void GarbageCollector::changed(const ObjectPtr& before, const ObjectPtr& now) {
  DocumentPtr old_tree = before ? before->metadata() : nullptr;
  DocumentPtr new_tree = now ? now->metadata() : nullptr;
  bool same_owners = before && now &&
                     meta_of(old_tree).owner_references().value().equals(
                         meta_of(new_tree).owner_references().value());
  if (!same_owners) {
    if (before) relate(before, old_tree, false);
    if (now) relate(now, new_tree, true);
    if (before && now) wake_waiting_owners(before, old_tree);
  }
  if (now) {
    ObjectMeta m = meta_of(new_tree);
    bool attend = is_dying(m) && (has_finalizer(m, kForeground) || has_finalizer(m, kOrphan));
    if (!same_owners) {
      for (OwnerReference ref : m.owner_references()) {
        attend = attend || !in_cache(ref, now->namespace_());
      }
    }
    if (attend) queue().add(item_of(*now));
    if (before && !is_dying(meta_of(old_tree)) && is_dying(m)) {
      // Dependents that block our foreground deletion begin to go.
      for (const std::string& d : dependents_of(now->uid())) queue().add(d);
    }
    return;
  }
  for (const std::string& d : dependents_of(before->uid())) queue().add(d);
  wake_waiting_owners(before, old_tree);
}

// Owners that wait in the foreground look again when a dependent has gone, or has let go of them.
void GarbageCollector::wake_waiting_owners(const ObjectPtr& dependent, const DocumentPtr& tree) {
  for (OwnerReference ref : meta_of(tree).owner_references()) {
    const KindRef kind = kind_of_ref(ref);
    if (!kind) continue;
    std::string ns(kind->namespaced ? dependent->namespace_() : std::string_view());
    std::string item = std::string(kind->group_resource()) + "|" + (ns.empty() ? "" : ns + "/") +
                       std::string(ref.name());
    ObjectPtr owner = find(item);
    if (!owner || owner->uid() != ref.uid()) continue;
    DocumentPtr owner_tree = owner->metadata();
    if (in_foreground(meta_of(owner_tree))) queue().add(item);
  }
}

// Says of each owner whether it lives; the informers' word for life, the server's for death.
Task<Status> GarbageCollector::classify(Context ctx, ObjectPtr object,
                                        std::vector<OwnerState>* owners, bool* unseen) {
  DocumentPtr tree = object->metadata();
  for (OwnerReference ref : meta_of(tree).owner_references()) {
    OwnerState s;
    s.uid = std::string(ref.uid());
    const KindRef kind = kind_of_ref(ref);
    if (!kind || (kind->namespaced && object->namespace_().empty())) {
      // A kind that is not served here, or a namespaced owner of a cluster-scoped object: nothing
      // is known of it, so nothing is done.
      owners->push_back(std::move(s));
      continue;
    }
    std::string ns(kind->namespaced ? object->namespace_() : std::string_view());
    ObjectPtr owner;
    InformerBase* informer = informer_of(*kind);
    if (informer) owner = informer->get(ns, ref.name());
    if (!owner || owner->uid() != ref.uid()) {
      auto live = co_await client().get(ctx, kind.get(), ns, std::string(ref.name()));
      if (!live.ok() && !live.status().is(Reason::kNotFound)) co_return live.status();
      owner = live.ok() ? *live : nullptr;
      *unseen |= owner && owner->uid() == ref.uid() && informer;
    }
    if (!owner || owner->uid() != ref.uid()) {
      s.state = OwnerState::State::kAbsent;
    } else {
      DocumentPtr owner_tree = owner->metadata();
      bool waiting = in_foreground(meta_of(owner_tree)) && ref.block_owner_deletion();
      s.state = waiting ? OwnerState::State::kWaiting : OwnerState::State::kSolid;
    }
    owners->push_back(std::move(s));
  }
  co_return Status();
}

Task<Status> GarbageCollector::drop_owners(Context ctx, ObjectPtr object,
                                           std::vector<std::string> uids) {
  if (uids.empty()) co_return Status();
  // After a conflict too: its owners stay as they are, so nothing brings it.
  co_return co_await patch_owners(ctx, object, owners_patch(*object, uids));
}

Task<Status> GarbageCollector::patch_owners(Context ctx, ObjectPtr object, Document patch) {
  const PatchType type = object->kind().owner ? PatchType::kMerge : PatchType::kStrategicMerge;
  auto r =
      co_await client().patch(ctx, &object->kind(), std::string(object->namespace_()),
                              std::string(object->name()), type, std::move(patch), WriteOptions());
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

Task<Status> GarbageCollector::remove_finalizer(Context ctx, ObjectPtr object,
                                                std::string finalizer) {
  std::string ns(object->namespace_()), name(object->name());
  for (int attempt = 0; attempt < 5; ++attempt) {
    auto live = co_await client().get(ctx, &object->kind(), ns, name);
    if (live.status().is(Reason::kNotFound)) co_return Status();
    if (!live.ok()) co_return live.status();
    if ((*live)->uid() != object->uid()) co_return Status();
    Document d = (*live)->tree()->clone();
    Value* list = d.root.find("metadata")->find("finalizers");
    bool changed = false;
    for (size_t i = 0; list && i < list->items().size();) {
      if (list->at(i).as_string() == finalizer) {
        list->erase_at(i);
        changed = true;
      } else {
        ++i;
      }
    }
    if (!changed) co_return Status();
    auto r = co_await client().update(ctx, &object->kind(), ns, name, std::move(d), WriteOptions());
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (!r.status().is(Reason::kConflict)) co_return r.status();
  }
  co_return Status(Reason::kConflict, "could not remove finalizer " + finalizer + " from " + name);
}

Task<Status> GarbageCollector::orphan_dependents(Context ctx, ObjectPtr owner) {
  for (const std::string& item : dependents_of(owner->uid())) {
    ObjectPtr d = find(item);
    if (!d) continue;
    std::vector<std::string> uids(1, std::string(owner->uid()));
    TRY_CO(drop_owners(ctx, d, uids));
  }
  co_return co_await remove_finalizer(ctx, owner, std::string(kOrphan));
}

Task<Status> GarbageCollector::finish_foreground(Context ctx, ObjectPtr owner) {
  bool blocked = false;
  for (const std::string& item : dependents_of(owner->uid())) {
    ObjectPtr d = find(item);
    if (!d) continue;
    DocumentPtr tree = d->metadata();
    ObjectMeta m = meta_of(tree);
    for (OwnerReference ref : m.owner_references()) {
      if (ref.uid() != owner->uid() || !ref.block_owner_deletion()) continue;
      blocked = true;
      if (!is_dying(m)) queue().add(item);
    }
  }
  if (blocked) co_return Status();
  co_return co_await remove_finalizer(ctx, owner, std::string(kForeground));
}

// An owner that waits for this object, while this object's own dependents wait for it in turn, may
// be a circle: nothing is to block then.
Task<Status> GarbageCollector::unblock(Context ctx, ObjectPtr object) {
  for (const std::string& item : dependents_of(object->uid())) {
    ObjectPtr d = find(item);
    if (!d) continue;
    DocumentPtr dependent = d->metadata();
    if (!in_foreground(meta_of(dependent))) continue;
    co_return co_await patch_owners(ctx, object, unblocking_patch(*object));
  }
  co_return Status();
}

Task<Status> GarbageCollector::collect(Context ctx, ObjectPtr object) {
  std::vector<OwnerState> owners;
  bool unseen = false;
  TRY_CO(classify(ctx, object, &owners, &unseen));
  bool has_dependents = !dependents_of(object->uid()).empty();
  CollectPlan plan = plan_collection(owners, has_dependents);
  if (!plan.drop.empty()) co_return co_await drop_owners(ctx, object, plan.drop);
  if (!plan.remove) {
    // Its owner may go before our cache has ever seen it, and nobody would tell us.
    if (unseen) co_return Status(Reason::kConflict, "the cache does not have its owner yet");
    co_return Status();
  }
  // The cache may be behind: the object as it is now decides.
  std::string ns(object->namespace_()), name(object->name());
  auto live = co_await client().get(ctx, &object->kind(), ns, name);
  if (live.status().is(Reason::kNotFound)) co_return Status();
  if (!live.ok()) co_return live.status();
  if ((*live)->uid() != object->uid()) co_return Status();
  DocumentPtr now = (*live)->metadata(), seen = object->metadata();
  ObjectMeta m = meta_of(now);
  if (is_dying(m)) co_return Status();
  if (!m.owner_references().value().equals(meta_of(seen).owner_references().value())) {
    co_return Status(Reason::kConflict, "its owners have changed");
  }
  if (plan.foreground) TRY_CO(unblock(ctx, *live));
  DeleteOptions o;
  o.uid = std::string(object->uid());
  o.propagation_policy = has_finalizer(m, kOrphan)                          ? "Orphan"
                         : plan.foreground || has_finalizer(m, kForeground) ? "Foreground"
                                                                            : "Background";
  if (log::v(2)) log::info("Deleting item", {{"item", item_of(*object)}});
  auto r = co_await client().remove(ctx, &object->kind(), ns, name, o);
  if (r.status().is(Reason::kNotFound)) co_return Status();
  co_return r.status();
}

Task<ReconcileResult> GarbageCollector::reconcile(Context ctx, std::string key) {
  ObjectPtr object = find(key);
  if (!object) co_return Status();
  DocumentPtr tree = object->metadata();
  ObjectMeta m = meta_of(tree);
  Status s;
  if (is_dying(m)) {
    if (!informers_.synced()) {
      // A custom kind has just come: its objects may depend on this one.
      sync_errors().add();
      co_return Status(Reason::kConflict, "not every kind has been listed");
    }
    if (has_finalizer(m, kOrphan)) {
      s = co_await orphan_dependents(ctx, object);
    } else if (has_finalizer(m, kForeground)) {
      s = co_await finish_foreground(ctx, object);
    }
  } else {
    s = co_await collect(ctx, object);
  }
  co_return s;
}

}  // namespace keles::controllers
