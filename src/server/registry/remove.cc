// delete and deletecollection: preconditions, graceful deletion, finalizers. The order of decisions
// is upstream's (k8s.io/apiserver/pkg/registry/rest BeforeDelete, generic/registry Store.Delete).
#include <algorithm>

#include "machinery/kind_facts.h"
#include "machinery/time.h"
#include "server/admission/admission.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/convert.h"
#include "server/registry/registry.h"
#include "server/registry/services.h"
#include "server/registry/write_options.h"

namespace keles::registry {
namespace {

constexpr std::string_view kOrphan = "orphan", kForeground = "foregroundDeletion";

// The finalizers that the garbage collector is to act on, after the request's policy.
std::vector<std::string> policy_finalizers(const KindFacts& facts, const Value& object,
                                           const DeleteRequest& request) {
  std::vector<std::string> out;
  bool orphan = false, foreground = false, decided = true;
  if (request.orphan_dependents) {
    orphan = *request.orphan_dependents;
  } else if (!request.propagation_policy.empty()) {
    orphan = request.propagation_policy == "Orphan";
    foreground = request.propagation_policy == "Foreground";
  } else {
    decided = false;
  }
  for (std::string& f : finalizers(object)) {
    if (f == kOrphan || f == kForeground) {
      if (!decided) {
        orphan = f == kOrphan;
        foreground = !orphan;
        decided = true;
      }
    } else {
      out.push_back(std::move(f));
    }
  }
  if (!decided) orphan = facts.orphans;
  if (orphan) out.emplace_back(kOrphan);
  if (foreground) out.emplace_back(kForeground);
  return out;
}

void bump_generation(Document& d) {
  int64_t g = metadata(d.root)["generation"].as_int();
  if (g > 0) set_meta(d, "generation", g + 1);
}

void mark_deleting(Document& d, WallTime now, int64_t grace_seconds) {
  if (!deleting(d.root)) bump_generation(d);
  set_meta(d, "deletionTimestamp", time_text(now + std::chrono::seconds(grace_seconds)));
  set_meta(d, "deletionGracePeriodSeconds", grace_seconds);
}

// Already being deleted gracefully: a shorter period may replace the one that runs. Says whether
// there is anything to change.
bool shorten_grace(Document& d, std::optional<int64_t> requested, WallTime now) {
  const int64_t running = metadata(d.root)["deletionGracePeriodSeconds"].as_int();
  if (!requested || *requested >= running) return false;
  auto when = parse_time(meta(d.root, "deletionTimestamp"));
  if (!when.ok()) return false;
  int64_t period = *requested;
  WallTime until = *when - std::chrono::seconds(running) + std::chrono::seconds(period);
  if (until < now) {
    // The deletion never lies in the past; who ends the pod still has a second to see it.
    until = now;
    if (period != 0) period = 1;
  }
  set_meta(d, "deletionTimestamp", time_text(until));
  set_meta(d, "deletionGracePeriodSeconds", period);
  return true;
}

void warn_of_dependents(const KindDesc& kind, const DeleteRequest& request,
                        const WriteRequest& how) {
  const std::string_view text = kind.facts->delete_warning;
  if (text.empty() || !how.warnings || request.orphan_dependents) return;
  if (request.propagation_policy.empty()) how.warnings->emplace_back(text);
}

}  // namespace

DeleteRequest read_delete_options(const Value& options) {
  DeleteRequest out;
  if (const Value& seconds = options["gracePeriodSeconds"]; seconds.is_number()) {
    out.grace_period_seconds = seconds.as_int();
  }
  if (const Value& orphan = options["orphanDependents"]; orphan.is_bool()) {
    out.orphan_dependents = orphan.as_bool();
  }
  out.propagation_policy = options["propagationPolicy"].as_string();
  out.uid = options["preconditions"]["uid"].as_string();
  out.resource_version = options["preconditions"]["resourceVersion"].as_string();
  for (const Value& v : options["dryRun"].items()) out.dry_run.emplace_back(v.as_string());
  out.ignore_store_read_error =
      options["ignoreStoreReadErrorWithClusterBreakingPotential"].as_bool();
  return out;
}

std::optional<StatusCause> check_dry_run(const std::vector<std::string>& values) {
  if (std::all_of(values.begin(), values.end(), [](auto& v) { return v == "All"; })) return {};
  std::string all;
  for (const std::string& v : values) all += (all.empty() ? "\"" : ",\"") + v + '"';
  return StatusCause{"FieldValueNotSupported",
                     "Unsupported value: [" + all + "]: supported values: \"All\"", "dryRun"};
}

Status check_delete_options(const DeleteRequest& r, bool collection) {
  std::vector<StatusCause> causes;
  const std::string& p = r.propagation_policy;
  if (!p.empty() && r.orphan_dependents) {
    causes.push_back({"FieldValueInvalid",
                      "Invalid value: \"" + p +
                          "\": orphanDependents and deletionPropagation cannot be both set",
                      "propagationPolicy"});
  }
  if (!p.empty() && p != "Orphan" && p != "Background" && p != "Foreground") {
    causes.push_back(
        {"FieldValueNotSupported",
         "Unsupported value: \"" + p +
             "\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
         "propagationPolicy"});
  }
  if (auto bad = check_dry_run(r.dry_run)) causes.push_back(std::move(*bad));
  if (r.ignore_store_read_error) {
    auto together = [&](bool set, std::string_view with) {
      if (!set) return;
      causes.push_back({"FieldValueInvalid",
                        "Invalid value: true: cannot be set together with ." + std::string(with),
                        "ignoreStoreReadErrorWithClusterBreakingPotential"});
    };
    together(!r.dry_run.empty(), "dryRun");
    together(!p.empty(), "propagationPolicy");
    together(r.orphan_dependents.has_value(), "orphanDependents");
    together(r.grace_period_seconds.has_value(), "gracePeriodSeconds");
    together(!r.uid.empty() || !r.resource_version.empty(), "preconditions");
    if (collection && causes.empty()) {
      causes.push_back({"FieldValueInvalid",
                        "Invalid value: true: is not allowed with DELETECOLLECTION, try again "
                        "after removing the option",
                        "ignoreStoreReadErrorWithClusterBreakingPotential"});
    }
  }
  if (causes.empty()) return {};
  return Status::invalid("meta.k8s.io", "DeleteOptions", "", std::move(causes));
}

Status check_preconditions(const Object& object, const DeleteRequest& request) {
  const KindDesc& kind = object.kind();
  if (!request.uid.empty() && request.uid != object.uid()) {
    return Status::conflict(kind.group, kind.kind, object.name(),
                            "the UID in the precondition (" + request.uid +
                                ") does not match the UID in record (" + std::string(object.uid()) +
                                "). The object might have been deleted and then recreated");
  }
  const std::string revision = std::to_string(object.revision());
  if (!request.resource_version.empty() && request.resource_version != revision) {
    return Status::conflict(kind.group, kind.kind, object.name(),
                            "the ResourceVersion in the precondition (" + request.resource_version +
                                ") does not match the ResourceVersion in record (" + revision +
                                "). The object might have been modified");
  }
  return {};
}

Registry::Outcome Registry::mark_for_deletion(const KindDesc& kind, const Value& old,
                                              Document& next, WallTime now,
                                              const DeleteRequest& request) {
  const KindFacts& facts = *kind.facts;
  next.root = deep_copy(next.arena, old);
  const bool first = !deleting(next.root);
  if (auto* begin = strategy_of(kind).begin_delete; first && begin) {
    HookContext hooks;
    hooks.kind = &kind;
    hooks.now = now;
    if (begin(hooks, next)) return Outcome::kStore;
  }
  if (facts.deletion == DeletionRule::kSpecFinalizers) {
    set_text(next, edit_map(next, next.root, "status"), "phase", "Terminating");
    set_finalizers(next, policy_finalizers(facts, next.root, request));
    if (first) {
      set_meta(next, "deletionTimestamp", time_text(now));
    } else if (!next.root["spec"]["finalizers"].empty()) {
      return Outcome::kNothing;
    }
    const bool held = !next.root["spec"]["finalizers"].empty() || !finalizers(next.root).empty();
    return held ? Outcome::kStore : Outcome::kDelete;
  }

  bool graceful = false;
  int64_t grace = 0;
  if (facts.deletion == DeletionRule::kGraceful) {
    if (!first && !metadata(next.root)["deletionGracePeriodSeconds"].is_null()) {
      const int64_t running = metadata(next.root)["deletionGracePeriodSeconds"].as_int();
      const bool over = running == 0 || (request.grace_period_seconds == 0);
      if (!shorten_grace(next, request.grace_period_seconds, now) && !(over && running == 0)) {
        return Outcome::kNothing;  // pending already
      }
      graceful = true;
      grace = metadata(next.root)["deletionGracePeriodSeconds"].as_int();
    } else if (first) {
      grace = strategy_of(kind).grace_period_seconds(next.root, request.grace_period_seconds);
      graceful = true;
      mark_deleting(next, now, grace);
    }
  }
  auto wanted = policy_finalizers(facts, next.root, request);
  set_finalizers(next, wanted);
  if (!graceful && !wanted.empty()) {
    if (first) {
      mark_deleting(next, now, 0);
    } else {
      set_meta(next, "deletionGracePeriodSeconds", int64_t{0});
    }
  }
  return wanted.empty() && grace == 0 ? Outcome::kDelete : Outcome::kStore;
}

Task<Result<Registry::Outcome>> Registry::prepare_delete(Context ctx, const KindDesc* served,
                                                         const KindDesc* kind, ObjectPtr current,
                                                         Document* next,
                                                         const DeleteRequest* request,
                                                         const WriteRequest* how) {
  Status s = check_preconditions(*current, *request);
  if (!s.ok()) co_return s;
  auto snapshot = store_->snapshot();
  auto attrs = attributes(admission::Operation::kDelete, *kind, current->namespace_(),
                          current->name(), "", ctx.loop(), *snapshot, *how);
  attrs.served = served;
  const WriteOptions options(*request);
  attrs.options = &options.make;
  DocumentPtr old = current->tree();
  s = co_await admission::admit(ctx, &attrs, nullptr, &old->root);
  if (s.ok()) s = co_await admission::validate(ctx, &attrs, nullptr, &old->root);
  if (!s.ok()) co_return s;
  co_return mark_for_deletion(*kind, old->root, *next, ctx.loop().wall_now(), *request);
}

Task<Result<Deleted>> Registry::remove(Context ctx, const KindDesc* served, std::string ns,
                                       std::string name, DeleteRequest request, WriteRequest how) {
  Status bad = check_delete_options(request);
  if (!bad.ok()) co_return bad;
  warn_of_dependents(*served, request, how);
  how.dry_run |= !request.dry_run.empty();
  if (request.grace_period_seconds.value_or(0) < 0) request.grace_period_seconds = 1;
  const KindDesc& kind = storage_kind(*served);
  if (request.ignore_store_read_error) {
    // Without its finalizers, preconditions and dependents: they cannot be read either (KEP-3926).
    Status purged = co_await store_->remove_unreadable(ctx, object_key(kind, ns, name));
    if (purged.ok()) co_return Deleted{nullptr, true};
    if (!purged.is(Reason::kNotFound)) co_return purged;
  }
  auto change = [](const ObjectPtr&, Document&) -> Result<Outcome> { return Outcome::kDelete; };
  auto judge = [this, &ctx, served, &kind, &request, &how](ObjectPtr current, Document* next) {
    return prepare_delete(ctx, served, &kind, std::move(current), next, &request, &how);
  };
  auto done =
      co_await modify(ctx, &kind, ns, name, std::move(change), how.dry_run, std::move(judge));
  if (!done.ok()) co_return done.status();
  co_return Deleted{present(*served, done->object), done->gone};
}

Task<Result<ListPage>> Registry::remove_collection(Context ctx, const KindDesc* kind,
                                                   std::string ns, ListQuery query,
                                                   DeleteRequest request, WriteRequest how) {
  Status bad = check_delete_options(request, true);
  if (!bad.ok()) co_return bad;
  auto page = co_await list(ctx, kind, ns, query);
  if (!page.ok()) co_return page.status();
  warn_of_dependents(*kind, request, how);
  for (const ObjectPtr& o : page->items) {
    auto done = co_await remove(ctx, kind, std::string(o->namespace_()), std::string(o->name()),
                                request, how);
    if (!done.ok() && !done.status().is(Reason::kNotFound)) co_return done.status();
  }
  co_return std::move(*page);
}

Task<void> Registry::after_delete(Context ctx, ObjectPtr gone) {
  if (!ServiceAllocator::concerns(gone->kind())) co_return;
  DocumentPtr tree = gone->tree();
  ServiceAllocator::Claim claim = ServiceAllocator::dropped(tree->root, Value::null());
  co_await services_->release(ctx, std::move(claim));
}

}  // namespace keles::registry
