// create, update, patch.
#include <iterator>

#include "base/buggify.h"
#include "base/encoding.h"
#include "machinery/custom_kind.h"
#include "machinery/described_rules.h"
#include "machinery/equality.h"
#include "machinery/kind_facts.h"
#include "machinery/raw_text.h"
#include "machinery/validation.h"
#include "server/admission/admission.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/checks.h"
#include "server/registry/convert.h"
#include "server/registry/inert_warnings.h"
#include "server/registry/machine.h"
#include "server/registry/managed.h"
#include "server/registry/registry.h"
#include "server/registry/services.h"
#include "server/registry/snapshots.h"
#include "server/registry/warnings.h"
#include "server/registry/write_options.h"
#include "store/sealing.h"

namespace keles::registry {
namespace {

constexpr int kNameRetries = 8;     // of generateName, as upstream
constexpr int kConflictTries = 64;  // of unconditional updates; each try follows another's success
constexpr std::string_view kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

// Who shares a store begins a write with what is, not with what it has heard so far.
Task<Status> catch_up(Context ctx, Store* store) {
  auto newest = co_await store->newest(std::move(ctx));
  co_return newest.status();
}

bool has_status(const KindDesc& kind) { return kind.subresource("status") != nullptr; }

HookContext hook_context(const KindDesc& kind, std::string_view ns, Loop& loop,
                         const StoreSnapshot* state, const WriteRequest& how, IpFamilies families) {
  return {&kind,       ns,           loop.wall_now(), &loop.random(), state,
          how.dry_run, how.warnings, how.user,        &how.groups,    how.uid,
          &how.extra,  how.served,   families};
}

// Who lets the server choose a name is told that it could not; so is who names a prefix besides.
Status name_taken(const KindDesc& kind, bool generates, std::string_view name) {
  Status exists = Status::already_exists(kind.group, kind.plural, name);
  if (!generates) return exists;
  StatusDetails details = exists.details();
  details.retry_after_seconds = 1;
  return Status(
      Reason::kAlreadyExists,
      exists.message() + ", the server was not able to generate a unique name for the object",
      std::move(details));
}

void set_type(const KindDesc& kind, Document& d) {
  Value rest = d.root.is_map() ? d.root : Value::map();
  if (rest["apiVersion"].as_string() == kind.api_version() &&
      rest["kind"].as_string() == kind.kind) {
    return;
  }
  d.root = rest;
  hold_kind(d.arena, kind);
  d.root.set(d.arena, "apiVersion", Value::string(kind.api_version()));
  d.root.set(d.arena, "kind", Value::string(kind.kind));
}

Status check_namespace(const KindDesc& kind, std::string_view ns, Document& body) {
  std::string_view own = meta(body.root, "namespace");
  if (!kind.namespaced) {
    clear_meta(body, "namespace");
    return {};
  }
  if (ns.empty()) return Status::bad_request("an empty namespace may not be set during creation");
  if (!own.empty() && own != ns) {
    return Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  if (own.empty()) set_meta(body, "namespace", ns);
  return {};
}

// Everything but metadata and status means the same (and the annotations or labels, where they
// count). A custom resource's status counts where it is no subresource: where it is one, it is the
// same.
bool same_generation(const KindDesc& kind, const Value& a, const Value& b) {
  auto rest = [&kind](const Value& root) {
    Document d;
    d.root = Value::map();
    for (const Member& m : root.members()) {
      std::string_view k = m.key();
      if (k == "metadata" || k == "apiVersion" || k == "kind") continue;
      if (k == "status" && !kind.owner) continue;
      d.root.append_member(d.arena, k, m.value);
    }
    return d;
  };
  const GenerationRule rule = kind.facts->generation;
  const std::string_view counts = rule == GenerationRule::kContentOrAnnotations ? "annotations"
                                  : rule == GenerationRule::kContentOrLabels    ? "labels"
                                                                                : "";
  if (!counts.empty()) {
    const Value &x = metadata(a)[counts], &y = metadata(b)[counts];
    if (!(x.empty() && y.empty()) && !x.equals(y)) return false;
  }
  if (kind.owner) return rest(a).root.equals(rest(b).root);
  return same_meaning(*kind.type, rest(a).root, rest(b).root);
}

// What hooks compare with the stored object has its form: without empty lists and maps.
void drop_empty_unless_kept(const KindDesc& kind, Document& d) {
  if (!kind.facts->keeps_empty) drop_empty(*kind.type, d.root);
}

bool keeps_generation(const KindDesc& kind) {
  return kind.facts->generation != GenerationRule::kNone;
}

// metadata that a client cannot choose, of an object that exists already: another time is ignored,
// another uid or period is an error later on.
void keep_system_metadata(Document& next, const Value& before) {
  Value& m = edit_metadata(next);
  const Value& old = metadata(before);
  for (std::string_view key :
       {"uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    const Value& now = m[key];
    const bool time = key.ends_with("Timestamp") && !old[key].is_null();
    if (time || now.is_null() || (now.is_string() && now.as_string().empty())) {
      copy_member(next, m, key, old.find(key));
    }
  }
  copy_member(next, m, "generation", old.find("generation"));
  m.erase("selfLink");
}

// As the generic status rule of strategy.h.
void take_status(Document& next, const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  copy_member(made, made.root, "status", next.root.find("status"));
  Value& m = edit_metadata(made);
  for (std::string_view key : {"labels", "annotations", "finalizers", "ownerReferences"}) {
    copy_member(made, m, key, metadata(next.root).find(key));
  }
  next = std::move(made);
}

void validate_managers(FieldErrors& errors, const Value& meta) {
  auto found = apply::check_managed_fields(meta["managedFields"], "metadata.managedFields");
  std::move(found.begin(), found.end(), std::back_inserter(errors));
}

void validate_metadata(const KindDesc& kind, const Strategy& strategy, std::string_view subresource,
                       const Value& now, const Value& before, FieldErrors& errors) {
  // What found nothing the first time finds nothing the second time.
  auto again_if = [&errors](bool& found, auto look) {
    if (!found) return;
    const size_t had = errors.size();
    look();
    found = errors.size() > had;
  };
  bool wrong = true, changed_wrongly = true;
  auto whole = [&] {
    again_if(wrong, [&] {
      validate_object_meta(errors, now, kind.namespaced, name_checker(kind));
      validate_managers(errors, now);
    });
  };
  auto change = [&] {
    again_if(changed_wrongly, [&] { validate_object_meta_update(errors, now, before, true); });
  };
  auto finalizers = [&] {
    if (!strategy.any_finalizer && !kind.owner) validate_finalizer_names(errors, now);
  };
  whole();
  change();
  const MetadataAgain again = subresource.empty()       ? strategy.metadata_again
                              : subresource == "status" ? strategy.status_metadata_again
                                                        : MetadataAgain::kNo;
  using enum MetadataAgain;
  if (again == kWhole || again == kWholeThenChange) whole(), finalizers();
  if (again != kWhole) {
    if (again != kNo) change();
    finalizers();
  }
  if (again == kChangeThenWhole) whole(), finalizers();
}

// The tree that a patch is for; one that goes into managed fields finds JSON there.
DocumentPtr with_open_managers(PatchType type, const Value& patch, DocumentPtr tree) {
  bool inside = false;
  if (type == PatchType::kJson) {
    for (const Value& op : patch.items()) {
      inside |= op["path"].as_string().starts_with("/metadata/managedFields/") ||
                op["from"].as_string().starts_with("/metadata/managedFields");
    }
  } else {
    inside = !patch["metadata"]["managedFields"].is_null();
  }
  if (!inside) return tree;
  auto opened = std::make_shared<Document>(tree->clone());
  open_managed_fields(opened->arena, edit_metadata(*opened));
  return opened;
}

// Spec finalizers hold a namespace; nothing else does.
bool held_by_spec(const KindDesc& kind, const Value& root) {
  return kind.facts->deletion == DeletionRule::kSpecFinalizers &&
         !root["spec"]["finalizers"].empty();
}

Status check_still_open(const KindDesc& kind, std::string_view name) {
  const CustomKinds* kinds = custom_kinds(kind);
  if (!kinds || !kinds->closing()) return {};
  return forbidden(kind, name,
                   "create not allowed while custom resource definition is terminating");
}

void fill(StoreWrite& w, Record record) {
  w.kind = record.kind;
  w.stored = std::move(record.stored);
  w.tree = std::move(record.tree);
}

bool delete_during_update(const KindDesc& kind, const Value& now, const Value& before) {
  if (!deleting(before) || !metadata(now)["finalizers"].empty()) return false;
  const Value& grace = metadata(before)["deletionGracePeriodSeconds"];
  return (grace.is_null() || grace.as_int() == 0) && !held_by_spec(kind, now);
}

}  // namespace

admission::Attributes Registry::attributes(admission::Operation op, const KindDesc& kind,
                                           std::string_view ns, std::string_view name,
                                           std::string_view subresource, Loop& loop,
                                           const StoreSnapshot& state,
                                           const WriteRequest& how) const {
  admission::Attributes a;
  a.operation = op;
  a.kind = &kind;
  a.namespace_ = ns;
  a.name = name;
  a.subresource = subresource;
  a.served = how.served;
  a.user = how.user;
  a.uid = how.uid;
  a.groups = &how.groups;
  a.extra = &how.extra;
  a.state = &state;
  a.now = loop.wall_now();
  a.random = &loop.random();
  a.dry_run = how.dry_run;
  a.warnings = how.warnings;
  a.annotations = how.annotations;
  a.config = &admission_;
  a.may = &how.may;
  a.judged = how.judged;
  return a;
}

Task<Status> Registry::admit_create(Context ctx, const Call* call, Document* sent,
                                    const WriteRequest* how) {
  auto snapshot = store_->snapshot();
  // What its kind fills in is there before anybody is asked: as of what is stored.
  if (sent->root.is_map()) set_defaults(*call->sent_kind, *sent, ctx.loop());
  auto attrs = attributes(admission::Operation::kCreate, *call->kind, call->ns, call->name,
                          call->subresource, ctx.loop(), *snapshot, *how);
  attrs.object_kind = call->sent_kind;
  const WriteOptions options(admission::Operation::kCreate, how);
  attrs.options = &options.make;
  Status s = co_await admission::admit(ctx, &attrs, sent, nullptr);
  if (s.ok() && how->guard) s = how->guard(*call->sent_kind, call->ns, sent->root, nullptr);
  if (s.ok()) s = co_await admission::validate(ctx, &attrs, &sent->root, nullptr);
  co_return s;
}

Task<Status> Registry::admit_connect(Context ctx, const Call* call, Document* options,
                                     const WriteRequest* how) {
  auto snapshot = store_->snapshot();
  auto attrs = attributes(admission::Operation::kConnect, *call->kind, call->ns, call->name,
                          call->subresource, ctx.loop(), *snapshot, *how);
  attrs.object_kind = call->sent_kind;
  co_return co_await admission::admit_foreign(ctx, &attrs, options, nullptr);
}

Task<Result<ObjectPtr>> Registry::create(Context ctx, const KindDesc* kind, std::string ns,
                                         Document body, WriteRequest how) {
  how.served = kind;
  const std::string prefix(meta(body.root, "generateName"));
  const bool generated = meta(body.root, "name").empty() && !prefix.empty();
  for (int attempt = 0;; ++attempt) {
    const bool last = !generated || attempt + 1 >= kNameRetries;
    Document mine = last ? std::move(body) : body.clone();
    auto made = co_await create_once(ctx, kind, ns, std::move(mine), &how);
    if (made.ok() || last || !made.status().is(Reason::kAlreadyExists)) co_return made;
  }
}

Task<Result<ObjectPtr>> Registry::create_once(Context ctx, const KindDesc* served, std::string ns,
                                              Document body, const WriteRequest* how) {
  Loop& loop = ctx.loop();
  const KindDesc& kind = storage_kind(*served);
  const Strategy& strategy = strategy_of(kind);
  Status bad = check_still_open(*served, meta(body.root, "name"));
  if (bad.ok()) bad = check_namespace(*served, ns, body);
  if (!bad.ok()) co_return bad;
  if (store_->shared()) TRY_CO(catch_up(ctx, store_));
  const auto sent_version = to_int(meta(body.root, "resourceVersion"));
  set_type(*served, body);
  if (&kind != served) {
    set_defaults(*served, body, loop);
    convert(*served, kind, body);
  }
  drop_empty_unless_kept(kind, body);
  set_defaults(kind, body, loop);

  // Name, uid and time before admission, which may use them.
  Value& m = edit_metadata(body);
  for (std::string_view key : {"resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
                               "selfLink", "generation"}) {
    m.erase(key);
  }
  if (std::string_view prefix = meta(body.root, "generateName");
      meta(body.root, "name").empty() && !prefix.empty()) {
    set_meta(body, "name", std::string(prefix.substr(0, 58)) + loop.random().suffix(5));
  }
  const bool body_generates = !meta(body.root, "generateName").empty();
  const std::string uid = loop.random().uuid(), created = time_text(loop.wall_now());
  set_meta(body, "uid", uid);
  set_meta(body, "creationTimestamp", created);
  const std::string sent_name(meta(body.root, "name"));

  drop_duplicate_owners(body, false, how->warnings);
  track(*served, kind, "", *how, loop.wall_now(), nullptr, body);
  auto snapshot = store_->snapshot();
  auto attrs =
      attributes(admission::Operation::kCreate, kind, ns, sent_name, "", loop, *snapshot, *how);
  const WriteOptions options(admission::Operation::kCreate, how);
  attrs.options = &options.make;
  const TrackedManagers managers(body);
  Status refused = co_await admission::admit(ctx, &attrs, &body, nullptr);
  if (!refused.ok()) co_return refused;
  managers.put_back(body);
  drop_duplicate_owners(body, true, how->warnings);
  // Others than plugins of our own may have changed what identifies it.
  const std::string_view wanted = kind.namespaced ? std::string_view(ns) : std::string_view();
  if (meta(body.root, "namespace") != wanted) {
    co_return Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  const std::string name(meta(body.root, "name"));
  if (meta(body.root, "uid") != uid) set_meta(body, "uid", uid);
  if (meta(body.root, "creationTimestamp") != created) set_meta(body, "creationTimestamp", created);

  if (keeps_generation(kind)) set_meta(body, "generation", int64_t{1});
  if (has_status(kind) && !kind.facts->status_on_create) body.root.erase("status");
  HookContext hooks = hook_context(kind, ns, loop, snapshot.get(), *how, services_->families());
  if (strategy.prepare_for_create) strategy.prepare_for_create(hooks, body);

  FieldErrors errors;
  validate_object_meta(errors, metadata(body.root), kind.namespaced, name_checker(kind));
  validate_managers(errors, metadata(body.root));
  if (!strategy.any_finalizer && !kind.owner) {
    validate_finalizer_names(errors, metadata(body.root));
  }
  if (strategy.described) check_described(errors, *kind.type, body.root);
  if (strategy.validate) strategy.validate(hooks, body.root, errors);
  if (!errors.empty()) {
    co_return Status::invalid(served->group, served->kind, name, std::move(errors));
  }
  if (how->warnings && strategy.warnings) {
    strategy.warnings(hooks, body.root, nullptr, *how->warnings);
  }
  refused = co_await admission::validate(ctx, &attrs, &body.root, nullptr);
  if (refused.ok() && how->guard) refused = how->guard(kind, ns, body.root, nullptr);
  if (!refused.ok()) co_return refused;
  warn_of_inert(kind, body.root, *how, [] { return true; });

  const std::string key = object_key(kind, ns, name);
  const bool service = ServiceAllocator::concerns(kind);
  ServiceAllocator::Claim claim;
  if (snapshot->get(key)) {
    // Known already: no addresses are claimed for nothing.
  } else if (service) {
    auto claimed = co_await services_->claim(ctx, &body, nullptr, how->dry_run);
    if (!claimed.ok()) co_return claimed.status();
    claim = std::move(*claimed);
  }
  if (how->dry_run) {
    if (snapshot->get(key)) co_return name_taken(*served, body_generates, name);
    co_return present(*served, Object::from_document(kind, std::move(body)));
  }
  if (sent_version && *sent_version > 0) {
    if (service) co_await services_->release(ctx, std::move(claim));
    co_return Status(Reason::kUnknown,
                     "resourceVersion should not be set on objects to be created");
  }
  StoreWrite w;
  w.key = key;
  w.kind = &kind;
  if (kind.owner) {
    auto record = co_await to_record(ctx, &kind, std::move(body));
    if (!record.ok()) co_return record.status();
    fill(w, std::move(*record));
  } else {
    w.stored = encode_stored(kind, body);
    w.tree = std::move(body);
  }
  auto made = co_await store_->write(ctx, std::move(w));
  if (made.ok() && kind.owner) co_return co_await show(ctx, served, *made);
  if (made.ok()) co_return present(*served, *made);
  if (service && !made.status().is(Reason::kOutcomeUnknown)) {
    co_await services_->release(ctx, std::move(claim));
  }
  if (made.status().is(Reason::kAlreadyExists)) {
    Status exists = name_taken(*served, body_generates, name);
    ObjectPtr there = store_->snapshot()->get(key);
    if (there && deleting(there->tree()->root)) {
      co_return exists.with_prefix("object is being deleted");
    }
    co_return exists;
  }
  co_return made.status();
}

Task<Result<Registry::Outcome>> Registry::prepare_update(Context ctx, const KindDesc* served_kind,
                                                         const KindDesc* stored_kind,
                                                         std::string subresource, ObjectPtr current,
                                                         Document* changed,
                                                         const WriteRequest* request) {
  const KindDesc &served = *served_kind, &kind = *stored_kind;
  const WriteRequest& how = *request;
  Document& next = *changed;
  Loop& loop = ctx.loop();
  const Strategy& strategy = strategy_of(kind);
  DocumentPtr old = current->tree();
  const Value& before = old->root;
  const std::string ns(current->namespace_()), name(current->name());
  auto snapshot = store_->snapshot();
  HookContext hooks = hook_context(kind, ns, loop, snapshot.get(), how, services_->families());
  auto attrs =
      attributes(admission::Operation::kUpdate, kind, ns, name, subresource, loop, *snapshot, how);
  set_type(kind, next);
  Status bad = check_name(meta(next.root, "name"), name);
  if (bad.ok()) bad = check_namespace(kind, ns, next);
  if (!bad.ok()) co_return bad;
  const auto sent_version = meta(next.root, "resourceVersion");
  const bool unconditional = sent_version.empty() || sent_version == "0";
  if (!unconditional && !to_int(sent_version)) {  // upstream does not class this one
    co_return Status(Reason::kUnknown,
                     "strconv.ParseUint: parsing " + quoted(sent_version) + ": invalid syntax");
  }
  if (!unconditional && sent_version != std::to_string(current->revision())) {
    co_return conflict(kind, name, kModified);
  }
  if (unconditional && !kind.facts->unconditional_update) {
    co_return Status::invalid(
        kind.group, kind.plural, name,
        {{"FieldValueInvalid", "Invalid value: 0x0: must be specified for an update",
          "metadata.resourceVersion"}});
  }
  drop_empty_unless_kept(kind, next);
  set_defaults(kind, next, loop);
  keep_system_metadata(next, before);
  co_await track_converted(ctx, &served, &kind, subresource, &how, &before, &next);
  const TrackedManagers managers(next);
  if (ServiceAllocator::concerns(kind)) ServiceAllocator::keep(next, before);
  const WriteOptions options(admission::Operation::kUpdate, &how);
  attrs.options = &options.make;
  Status admitted = co_await admission::admit(ctx, &attrs, &next, &before);
  if (!admitted.ok()) co_return admitted;
  drop_duplicate_owners(next, true, how.warnings);

  FieldErrors errors;
  if (subresource == "status") {
    if (strategy.prepare_for_status_update) {
      strategy.prepare_for_status_update(hooks, next, before);
    } else {
      take_status(next, before);
    }
  } else if (subresource == "finalize") {
    copy_member(next, next.root, "status", before.find("status"));
  } else {
    if (has_status(kind) && (subresource.empty() || !strategy.prepare_for_subresource)) {
      copy_member(next, next.root, "status", before.find("status"));
    }
    if (!subresource.empty() && strategy.prepare_for_subresource) {
      strategy.prepare_for_subresource(hooks, subresource, next, before);
    } else if (strategy.prepare_for_update) {
      strategy.prepare_for_update(hooks, next, before);
    }
    if (keeps_generation(kind) && kind.facts->generation != GenerationRule::kConstant &&
        !same_generation(kind, next.root, before)) {
      set_meta(next, "generation", metadata(before)["generation"].as_int() + 1);
    }
  }
  managers.put_back(next);
  if (unconditional) clear_meta(next, "resourceVersion");
  validate_metadata(kind, strategy, subresource, metadata(next.root), metadata(before), errors);
  if (subresource.empty()) {
    if (strategy.described) check_described(errors, *kind.type, next.root, &before);
    if (strategy.validate && !strategy.validates_update_whole) {
      strategy.validate(hooks, next.root, errors);
    }
    if (strategy.validate_update) strategy.validate_update(hooks, next.root, before, errors);
  } else if (subresource == "status") {
    if (strategy.validate_status_update) {
      strategy.validate_status_update(hooks, next.root, before, errors);
    }
  } else if (strategy.validate_subresource) {
    strategy.validate_subresource(hooks, subresource, next.root, before, errors);
  }
  if (!errors.empty()) co_return Status::invalid(kind.group, kind.kind, name, std::move(errors));
  auto* warnings = subresource.empty()       ? strategy.warnings
                   : subresource == "status" ? strategy.status_warnings
                                             : nullptr;
  if (how.warnings && warnings) warnings(hooks, next.root, &before, *how.warnings);
  admitted = co_await admission::validate(ctx, &attrs, &next.root, &before);
  if (admitted.ok() && how.guard) admitted = how.guard(kind, ns, next.root, &before);
  if (!admitted.ok()) co_return admitted;
  if (subresource != "status" && subresource != "finalize") {
    warn_of_inert(kind, next.root, how, [&] { return !same_generation(kind, next.root, before); });
  }
  const bool goes = delete_during_update(kind, next.root, before);
  co_return goes ? Outcome::kDelete : Outcome::kStore;
}

Task<Result<Deleted>> Registry::modify(Context ctx, const KindDesc* kind, std::string ns,
                                       std::string name, Change change, bool dry_run, Judge judge) {
  const std::string key = object_key(*kind, ns, name);
  if (store_->shared()) TRY_CO(catch_up(ctx, store_));
  for (int attempt = 0; attempt < kConflictTries; ++attempt) {
    const ObjectPtr found = store_->snapshot()->get(key);
    if (!found) co_return not_found(*kind, name);
    ObjectPtr current = found;
    if (kind->owner) {
      auto shown = co_await show(ctx, kind, found);
      if (!shown.ok()) co_return shown.status();
      current = std::move(*shown);
    }
    Document next;
    auto outcome = change(current, next);
    if (outcome.ok() && judge) outcome = co_await judge(current, &next);
    if (!outcome.ok()) co_return outcome.status();
    if (*outcome == Outcome::kNothing) co_return Deleted{current, false};

    const bool service = ServiceAllocator::concerns(*kind) && *outcome == Outcome::kStore;
    ServiceAllocator::Claim claim, dropped;
    if (service) {
      DocumentPtr old = current->tree();
      auto claimed = co_await services_->claim(ctx, &next, old.get(), dry_run);
      if (!claimed.ok()) co_return claimed.status();
      claim = std::move(*claimed);
      dropped = ServiceAllocator::dropped(old->root, next.root);
    }
    StoreWrite w;
    w.key = key;
    w.kind = kind;
    w.condition = StoreWrite::If::kRevision;
    w.revision = current->revision();
    w.patient = *outcome == Outcome::kStore && kind->facts->patient_updates;
    if (dry_run && *outcome == Outcome::kDelete) co_return Deleted{current, true};
    if (*outcome == Outcome::kStore) keep_times(next, current->tree()->root);
    if (*outcome == Outcome::kStore && kind->owner && !dry_run) {
      auto record = co_await to_record(ctx, kind, std::move(next));
      if (!record.ok()) co_return record.status();
      fill(w, std::move(*record));
    } else if (*outcome == Outcome::kStore) {
      w.stored = encode_stored(*kind, next);
      w.tree = std::move(next);
    }
    if (w.stored && *w.stored == *found->stored() && !is_stale(*store_, key))
      co_return Deleted{current, false};  // the same
    if (dry_run) {
      set_meta(*w.tree, "resourceVersion", std::to_string(current->revision()));
      co_return Deleted{Object::from_document(*kind, std::move(*w.tree)), false};
    }
    if (buggify(ctx.loop(), "registry.write_late", 0.05)) {
      Status s = co_await ctx.sleep(Duration(ctx.loop().random().between(0, 200'000'000)));
      if (!s.ok()) co_return s;
    }
    auto done = co_await store_->write(ctx, std::move(w));
    if (done.ok()) {
      if (*outcome == Outcome::kDelete) {
        co_await after_delete(ctx, *done);
      } else if (service) {
        co_await services_->release(ctx, std::move(dropped));
      }
      if (kind->owner) done = co_await show(ctx, kind, *done);
      if (!done.ok()) co_return done.status();
      co_return Deleted{*done, *outcome == Outcome::kDelete};
    }
    Status why = done.status();
    if (service && !why.is(Reason::kOutcomeUnknown)) {
      co_await services_->release(ctx, std::move(claim));
    }
    if (!why.is(Reason::kConflict) && !why.is(Reason::kNotFound)) co_return why;
    // Somebody was faster. The store may show their write a moment later than it refuses ours.
    if (store_->snapshot()->get(key) == found) {
      Status s = co_await ctx.sleep(1ms);
      if (!s.ok()) co_return s;
    }
  }
  co_return conflict(*kind, name, kModified);
}

Task<Result<ObjectPtr>> Registry::update(Context ctx, const KindDesc* served, std::string ns,
                                         std::string name, std::string subresource, Document body,
                                         WriteRequest how, bool* created) {
  const KindDesc& kind = storage_kind(*served);
  how.served = served;
  Loop* loop = &ctx.loop();
  Status named = check_name(meta(body.root, "name"), name);
  if (!named.ok()) co_return named;
  if (store_->shared()) TRY_CO(catch_up(ctx, store_));
  if (kind.facts->create_on_update && subresource.empty() &&
      !store_->snapshot()->get(object_key(kind, ns, name))) {
    auto rv = meta(body.root, "resourceVersion");
    if (!rv.empty() && rv != "0") {
      if (!meta(body.root, "uid").empty()) {
        co_return conflict(*served, name,
                           unmet_uid(object_key(kind, ns, name), meta(body.root, "uid"), ""));
      }
      co_return not_found(*served, name);
    }
    if (created) *created = true;
    co_return co_await create(ctx, served, ns, std::move(body), std::move(how));
  }
  if (served != &kind) {
    set_defaults(*served, body, *loop);
    set_type(*served, body);
    convert(*served, kind, body);
  }
  drop_duplicate_owners(body, false, how.warnings);
  // The body is kept for another try; the last copy could be moved, but conflicts are rare.
  auto shared = std::make_shared<Document>(std::move(body));
  auto change = [&kind, shared](const ObjectPtr& current, Document& next) -> Result<Outcome> {
    // A uid in the body is a precondition.
    if (auto uid = meta(shared->root, "uid"); !uid.empty() && uid != current->uid()) {
      const std::string key = object_key(kind, current->namespace_(), current->name());
      return conflict(kind, current->name(), unmet_uid(key, uid, current->uid()));
    }
    next = shared->clone();
    return Outcome::kStore;
  };
  auto judge = [this, &ctx, served, &kind, &subresource, &how](ObjectPtr current, Document* next) {
    return prepare_update(ctx, served, &kind, subresource, std::move(current), next, &how);
  };
  auto done =
      co_await modify(ctx, &kind, ns, name, std::move(change), how.dry_run, std::move(judge));
  if (!done.ok()) co_return done.status();
  co_return present(*served, done->object);
}

Task<Result<ObjectPtr>> Registry::patch(Context ctx, const KindDesc* served, std::string ns,
                                        std::string name, std::string subresource, PatchType type,
                                        Document patch, WriteRequest how) {
  const KindDesc& kind = storage_kind(*served);
  how.served = served;
  auto shared = std::make_shared<Document>(std::move(patch));
  auto change = [served, &kind, type, shared, &how](const ObjectPtr& current,
                                                    Document& next) -> Result<Outcome> {
    DocumentPtr shown = with_open_managers(type, shared->root, present(*served, current)->tree());
    auto patched = apply_patch(type, *served->type, shown->root, shared->root);
    if (!patched.ok()) return patched.status();
    next = std::move(*patched);
    TRY(check_patched(*served, type, shown->root, shared->root, next, how));
    if (served->namespaced) TRY(check_namespace(*served, current->namespace_(), next));
    TRY(check_name(meta(next.root, "name"), current->name()));
    if (served != &kind) convert(*served, kind, next);
    return Outcome::kStore;
  };
  auto judge = [this, &ctx, served, &kind, &subresource, &how](ObjectPtr current, Document* next) {
    return prepare_update(ctx, served, &kind, subresource, std::move(current), next, &how);
  };
  auto done =
      co_await modify(ctx, &kind, ns, name, std::move(change), how.dry_run, std::move(judge));
  if (!done.ok()) co_return done.status();
  co_return present(*served, done->object);
}

}  // namespace keles::registry
