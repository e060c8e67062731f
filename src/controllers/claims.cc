#include "controllers/claims.h"

namespace keles::controllers {

Claim plan_claim(const Claimant& owner, const api::meta_v1::ObjectMeta& object, bool eligible) {
  auto controller = controller_of(object);
  if (controller && controller.uid() != owner.uid) return Claim::kNone;
  // Without a selector (or with one that cannot be read) nothing is known of what it wants.
  if (owner.selector.is_nothing()) return controller ? Claim::kOwned : Claim::kNone;
  bool matches = eligible && owner.selector.matches(object.labels());
  if (controller) {
    if (matches) return Claim::kOwned;
    return owner.dying ? Claim::kNone : Claim::kRelease;
  }
  if (!matches || owner.dying || !object.deletion_timestamp().empty()) return Claim::kNone;
  return Claim::kAdopt;
}

namespace {

// The cache may show an owner that has been deleted: only one that lives adopts.
Task<Status> check_alive(Context ctx, Client* client, const Claimant* owner) {
  auto live = co_await client->get(ctx, owner->kind, owner->ns, owner->name);
  if (!live.ok() && !live.status().is(Reason::kNotFound)) co_return live.status();
  if (live.ok() && (*live)->uid() == owner->uid) {
    DocumentPtr tree = (*live)->tree();
    if (tree->root["metadata"]["deletionTimestamp"].is_null()) co_return Status();
  }
  co_return Status(Reason::kConflict, "the " + std::string(owner->kind->kind) + " " + owner->ns +
                                          "/" + owner->name + " has been deleted");
}

Task<Status> patch_one(Context ctx, Client* client, const KindDesc* kind, std::string ns,
                       std::string name, Document patch) {
  auto r = co_await client->patch(ctx, kind, ns, name, PatchType::kStrategicMerge, std::move(patch),
                                  WriteOptions());
  co_return r.status();
}

Value& metadata_of(Document& patch) { return *patch.root.find("metadata"); }

void add_list(Document& patch, std::string_view name, std::string_view item) {
  Value& list = metadata_of(patch).set(patch.arena, name, Value::list());
  list.append(patch.arena, Value::string(patch.arena.copy(item)));
}

constexpr std::string_view kDropFinalizers = "$deleteFromPrimitiveList/finalizers";

}  // namespace

Document finalizer_removal(std::string_view uid, std::string_view finalizer) {
  Document patch;
  patch.root = Value::map();
  Value& meta = patch.root.set(patch.arena, "metadata", Value::map());
  meta.set(patch.arena, "uid", Value::string(patch.arena.copy(uid)));
  add_list(patch, kDropFinalizers, finalizer);
  return patch;
}

Task<Status> write_claims(Context ctx, Client* client, Claimant owner, const KindDesc* kind,
                          std::vector<NameAndUid> adopt, std::vector<NameAndUid> release) {
  if (!adopt.empty()) TRY_CO(check_alive(ctx, client, &owner));
  for (const auto& o : adopt) {
    Document patch = adoption_patch(*owner.kind, owner.name, owner.uid, o.second);
    if (!owner.finalizer.empty()) add_list(patch, "finalizers", owner.finalizer);
    Status s = co_await patch_one(ctx, client, kind, owner.ns, o.first, std::move(patch));
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
  }
  for (const auto& o : release) {
    Document patch = release_patch(owner.uid, o.second);
    if (!owner.finalizer.empty()) add_list(patch, kDropFinalizers, owner.finalizer);
    Status s = co_await patch_one(ctx, client, kind, owner.ns, o.first, std::move(patch));
    // Invalid: another object has the name now.
    if (!s.ok() && !s.is(Reason::kNotFound) && !s.is(Reason::kInvalid)) co_return s;
  }
  co_return Status();
}

}  // namespace keles::controllers
