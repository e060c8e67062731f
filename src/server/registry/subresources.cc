// scale and binding.
#include "machinery/dotted_path.h"
#include "machinery/kind_facts.h"
#include "machinery/patch.h"
#include "machinery/scale_selector.h"
#include "machinery/validation.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/objects/pod_references.h"
#include "server/registry/custom_scale.h"
#include "server/registry/machine.h"
#include "server/registry/managed.h"
#include "server/registry/registry.h"
#include "server/registry/write_options.h"

namespace keles::registry {
namespace {

const KindDesc& pod_kind() {
  static const KindDesc* const k = find_kind("", "v1", "Pod");
  return *k;
}
const KindDesc& scale_kind() {
  static const KindDesc* const k = find_kind("autoscaling", "v1", "Scale");
  return *k;
}

// Where the numbers of a custom resource lie; null: of a built-in kind.
const CustomKinds::Scale* custom_scale(const KindDesc& kind) {
  const CustomKinds* kinds = custom_kinds(kind);
  return kinds ? &*kinds->of(kind).scale : nullptr;
}

ScaleNumbers built_in_numbers(const KindDesc& kind, const Value& object) {
  const ScaleFacts& where = kind.facts->scale;
  ScaleNumbers out;
  const Value& replicas = value_at(object, where.replicas);
  out.said = true;
  out.replicas = replicas.is_null() ? int64_t{1} : replicas.as_int();
  out.observed = value_at(object, where.observed).as_int();
  out.selector = scale_selector(kind, object, where.selector);
  return out;
}

Result<Document> scale_of(const KindDesc& kind, const ObjectPtr& object) {
  DocumentPtr tree = object->tree();
  ScaleNumbers numbers;
  if (const CustomKinds::Scale* scale = custom_scale(kind)) {
    TRY_ASSIGN(read, read_scale(*scale, tree->root));
    numbers = std::move(read);
    if (!numbers.said) {
      return Status::internal("the spec replicas field \"." + std::string(scale->replicas) +
                              "\" does not exist");
    }
  } else {
    numbers = built_in_numbers(kind, tree->root);
  }
  Document d;
  d.root = Value::map();
  d.root.set(d.arena, "kind", Value::string("Scale"));
  d.root.set(d.arena, "apiVersion", Value::string("autoscaling/v1"));
  Value& m = edit_metadata(d);
  for (std::string_view key :
       {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    copy_member(d, m, key, metadata(tree->root).find(key));
  }
  edit_map(d, d.root, "spec").set(d.arena, "replicas", Value(numbers.replicas));
  Value& status = edit_map(d, d.root, "status");
  status.set(d.arena, "replicas", Value(numbers.observed));
  set_text(d, status, "selector", numbers.selector);
  return d;
}

Result<ObjectPtr> scale_object(const KindDesc& kind, const ObjectPtr& object) {
  TRY_ASSIGN(d, scale_of(kind, object));
  return Object::from_document(scale_kind(), std::move(d));
}

Status check_scale(const Document& scale, std::string_view name) {
  FieldErrors errors;
  const int64_t n = scale.root["spec"]["replicas"].as_int();
  field::nonnegative(errors, FieldPath("spec")["replicas"], n);
  if (errors.empty()) return {};
  return Status::invalid("autoscaling", "Scale", name, std::move(errors));
}

// What a Scale says of the object's identity holds.
Status check_scale_is(const KindDesc& kind, const Object& current, const Document& scale) {
  auto rv = meta(scale.root, "resourceVersion");
  if (!rv.empty() && rv != "0" && rv != std::to_string(current.revision())) {
    return conflict(kind, current.name(),
                    "the object has been modified; please apply your changes to the latest "
                    "version and try again");
  }
  auto uid = meta(scale.root, "uid");
  if (!uid.empty() && uid != current.uid()) {
    const std::string key = object_key(kind, current.namespace_(), current.name());
    return conflict(kind, current.name(), unmet_uid(key, uid, current.uid()));
  }
  return {};
}

// Gives `next`, a copy of `current`, the scale's replicas and their managers.
Status take_scale(const KindDesc& kind, const ObjectPtr& current, const Document& scale,
                  Document& next, Loop& loop, const WriteRequest& how) {
  const int64_t replicas = scale.root["spec"]["replicas"].as_int();
  if (how.tracked) {
    take_scale_managers(next, kind, scale.root);
  } else {
    TRY_ASSIGN(before, scale_of(kind, current));
    TRY_ASSIGN(now, scale_of(kind, current));
    Value list = scale_managers(before.arena, kind, next.root);
    if (!list.is_null()) edit_metadata(before).set(before.arena, "managedFields", list);
    edit_map(now, now.root, "spec").set(now.arena, "replicas", Value(replicas));
    track(scale_kind(), scale_kind(), "scale", how, loop.wall_now(), &before.root, now);
    take_scale_managers(next, kind, now.root);
  }
  if (const CustomKinds::Scale* custom = custom_scale(kind)) {
    return write_scale(*custom, next, replicas);
  }
  put_at(next, kind.facts->scale.replicas, Value(replicas));
  return {};
}

}  // namespace

Task<Result<ObjectPtr>> Registry::get_scale(Context ctx, const KindDesc* kind, std::string ns,
                                            std::string name) {
  auto parent = co_await get(ctx, kind, ns, name);
  if (!parent.ok()) co_return parent.status();
  co_return scale_object(*kind, *parent);
}

// `scale`, as it is to be, is judged as such, and then what it makes of its object. Its managers,
// where they are complete, are those of the replicas.
Task<Result<Registry::Outcome>> Registry::judge_scale(Context ctx, const KindDesc* kind,
                                                      ObjectPtr current, Document* scale,
                                                      const WriteRequest* how) {
  auto before = scale_of(*kind, current);
  if (!before.ok()) co_return before.status();
  auto snapshot = store_->snapshot();
  auto attrs = attributes(admission::Operation::kUpdate, *kind, current->namespace_(),
                          current->name(), "scale", ctx.loop(), *snapshot, *how);
  attrs.served = kind;
  attrs.object_kind = &scale_kind();
  const WriteOptions options(admission::Operation::kUpdate, how);
  attrs.options = &options.make;
  Status s = co_await admission::admit_foreign(ctx, &attrs, scale, &before->root);
  if (!s.ok()) co_return s;
  Document next = current->tree()->clone();
  WriteRequest complete = *how;
  complete.tracked = true;
  complete.judged = true;
  s = take_scale(*kind, current, *scale, next, ctx.loop(), *how);
  if (!s.ok()) co_return s;
  *scale = std::move(next);
  co_return co_await prepare_update(ctx, kind, kind, "", std::move(current), scale, &complete);
}

Task<Result<ObjectPtr>> Registry::change_scale(Context ctx, const KindDesc* kind, std::string ns,
                                               std::string name, Change change,
                                               const WriteRequest* how) {
  auto judge = [this, &ctx, kind, how](ObjectPtr current, Document* scale) {
    return judge_scale(ctx, kind, std::move(current), scale, how);
  };
  auto done =
      co_await modify(ctx, kind, ns, name, std::move(change), how->dry_run, std::move(judge));
  if (!done.ok()) co_return done.status();
  co_return scale_object(*kind, done->object);
}

Task<Result<ObjectPtr>> Registry::apply_scale(Context ctx, const KindDesc* kind, std::string ns,
                                              std::string name, Document config, WriteRequest how) {
  WriteRequest complete = how;
  complete.tracked = true;
  Loop* loop = &ctx.loop();
  auto change = [kind, loop, &name, &config, &how](const ObjectPtr& current,
                                                   Document& next) -> Result<Outcome> {
    TRY_ASSIGN(before, scale_of(*kind, current));
    Value list = scale_managers(before.arena, *kind, current->tree()->root);
    if (!list.is_null()) edit_metadata(before).set(before.arena, "managedFields", list);
    TRY_ASSIGN(scale, applied(scale_kind(), "scale", how, *loop, &before.root, config.root));
    TRY(check_name(meta(scale.root, "name"), name));
    TRY(check_scale(scale, name));
    TRY(check_scale_is(*kind, *current, scale));
    next = std::move(scale);
    return Outcome::kStore;
  };
  co_return co_await change_scale(ctx, kind, ns, name, std::move(change), &complete);
}

Task<Result<ObjectPtr>> Registry::update_scale(Context ctx, const KindDesc* kind, std::string ns,
                                               std::string name, Document scale, WriteRequest how) {
  Status named = check_name(meta(scale.root, "name"), name);
  if (!named.ok()) co_return named;
  Status bad = check_scale(scale, name);
  if (!bad.ok()) co_return bad;
  auto change = [kind, &scale](const ObjectPtr& current, Document& next) -> Result<Outcome> {
    TRY(check_scale_is(*kind, *current, scale));
    next = scale.clone();
    return Outcome::kStore;
  };
  co_return co_await change_scale(ctx, kind, ns, name, std::move(change), &how);
}

Task<Result<ObjectPtr>> Registry::patch_scale(Context ctx, const KindDesc* kind, std::string ns,
                                              std::string name, PatchType type, Document patch,
                                              WriteRequest how) {
  for (int attempt = 0;; ++attempt) {
    auto scale = co_await get_scale(ctx, kind, ns, name);
    if (!scale.ok()) co_return scale.status();
    auto patched = apply_patch(type, *scale_kind().type, (*scale)->tree()->root, patch.root);
    if (!patched.ok()) co_return patched.status();
    Status bad =
        check_patched(scale_kind(), type, (*scale)->tree()->root, patch.root, *patched, how);
    if (!bad.ok()) co_return bad;
    auto done = co_await update_scale(ctx, kind, ns, name, std::move(*patched), how);
    if (done.ok() || !done.status().is(Reason::kConflict) || attempt >= 5) co_return done;
  }
}

Task<Status> Registry::bind_pod(Context ctx, std::string ns, std::string pod, Document binding,
                                WriteRequest how) {
  if (meta(binding.root, "name") != pod) {
    co_return Status::bad_request("name in URL does not match name in Binding object");
  }
  const Value& target = binding.root["target"];
  FieldErrors errors;
  if (auto kind = target["kind"].as_string(); !kind.empty() && kind != "Node") {
    field::not_supported(errors, FieldPath("target")["kind"], kind, {"Node", "<empty>"});
  }
  if (target["name"].as_string().empty()) {
    field::required(errors, FieldPath("target")["name"]);
  }
  if (!errors.empty()) co_return Status::invalid("", "Binding", pod, std::move(errors));
  Loop* loop = &ctx.loop();
  auto change = [&binding, loop](const ObjectPtr& current, Document& next) -> Result<Outcome> {
    auto refuse = [&](std::string why) {
      return Status::conflict("", "pods/binding", current->name(), why);
    };
    auto key = [&] { return object_key(pod_kind(), current->namespace_(), current->name()); };
    auto uid = meta(binding.root, "uid"), rv = meta(binding.root, "resourceVersion");
    if (!uid.empty() && uid != current->uid()) {
      return refuse(unmet_uid(key(), uid, current->uid()));
    }
    if (!rv.empty() && rv != std::to_string(current->revision())) {
      return refuse(unmet_version(key(), rv, std::to_string(current->revision())));
    }
    next = current->tree()->clone();
    const Value& spec = next.root["spec"];
    const std::string name(current->name());
    if (deleting(next.root)) {
      return refuse("pod " + name + " is being deleted, cannot be assigned to a host");
    }
    if (auto node = spec["nodeName"].as_string(); !node.empty()) {
      return refuse("pod " + name + " is already assigned to node \"" + std::string(node) + "\"");
    }
    if (!spec["schedulingGates"].empty()) {
      return refuse("pod " + name + " has non-empty .spec.schedulingGates");
    }
    set_text(next, edit_map(next, next.root, "spec"), "nodeName",
             binding.root["target"]["name"].as_string());
    if (server::is_mirror_pod(binding.root)) {
      return forbidden(pod_kind(), name, "may not add mirror pod annotation");
    }
    // The nomination has had its effect.
    edit_map(next, next.root, "status").erase("nominatedNodeName");
    for (std::string_view field : {"annotations", "labels"}) {
      const Value& more = metadata(binding.root)[field];
      if (more.empty()) continue;
      Value& into = edit_map(next, edit_metadata(next), field);
      for (const Member& m : more.members()) set_text(next, into, m.key(), m.value.as_string());
    }
    Value& scheduled = edit_condition(next, "PodScheduled");
    if (scheduled["status"].as_string() != "True") {
      set_text(next, scheduled, "status", "True");
      set_text(next, scheduled, "lastTransitionTime", time_text(loop->wall_now()));
      scheduled.set(next.arena, "lastProbeTime", Value());
    }
    scheduled.erase("reason");
    scheduled.erase("message");
    const Value& generation = metadata(next.root)["generation"];
    if (!generation.is_null()) scheduled.set(next.arena, "observedGeneration", generation);
    return Outcome::kStore;
  };
  auto done = co_await modify(ctx, &pod_kind(), ns, pod, std::move(change), how.dry_run);
  co_return done.status();
}

}  // namespace keles::registry
