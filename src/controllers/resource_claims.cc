#include "controllers/resource_claims.h"

#include <algorithm>

#include "base/metrics.h"
#include "machinery/codec_json.h"

namespace keles::controllers {
namespace {

namespace resource = api::resource_v1;

constexpr std::string_view kFinalizer = "resource.kubernetes.io/delete-protection";
constexpr std::string_view kEntry = "resource.kubernetes.io/pod-claim-name";
constexpr std::string_view kExtended = "resource.kubernetes.io/extended-resource-claim";
constexpr const char *kByName = "names", *kByOwner = "owner";

std::string key_of(std::string_view ns, std::string_view name) {
  return std::string(ns) + "/" + std::string(name);
}

bool is_guarded(const resource::ResourceClaim& claim) {
  for (std::string_view f : claim.metadata().finalizers()) {
    if (f == kFinalizer) return true;
  }
  return false;
}

bool wants_admin(const resource::ResourceClaim& claim) {
  for (auto r : claim.spec().devices().requests()) {
    if (r.exactly().admin_access()) return true;
  }
  return false;
}

// The claim of a pod's entry: "" none yet, nothing where none is needed.
std::optional<std::string> named_by(const api::core_v1::Pod& pod,
                                    const api::core_v1::PodResourceClaim& entry) {
  if (entry.has_resource_claim_name()) return std::string(entry.resource_claim_name());
  for (auto s : pod.status().resource_claim_statuses()) {
    if (s.name() != entry.name()) continue;
    if (!s.has_resource_claim_name()) return std::nullopt;
    return std::string(s.resource_claim_name());
  }
  return "";
}

const Value& controller_of(const resource::ResourceClaim& claim) {
  for (const Value& o : claim.value()["metadata"]["ownerReferences"].items()) {
    if (o["controller"].as_bool()) return o;
  }
  return Value::null();
}

bool is_owned_by(const resource::ResourceClaim& claim, std::string_view pod_uid) {
  return controller_of(claim)["uid"].as_string() == pod_uid;
}

bool is_reserved_for(const resource::ResourceClaim& claim, std::string_view uid) {
  for (auto r : claim.status().reserved_for()) {
    if (r.uid() == uid) return true;
  }
  return false;
}

Document copy_of(const resource::ResourceClaim& claim) {
  Document d;
  d.root = deep_copy(d.arena, claim.value());
  return d;
}
resource::ResourceClaimEdit edit(Document& d) {
  return resource::ResourceClaimEdit(EditTarget{&d.root, &d.arena});
}

}  // namespace

bool is_pod_done(const api::core_v1::Pod& pod) {
  const std::string_view phase = pod.status().phase();
  if (phase == "Succeeded" || phase == "Failed") return true;
  // It never had a node: nothing of it runs.
  return !pod.metadata().deletion_timestamp().empty() && pod.spec().node_name().empty();
}

ClaimPlan plan_claim(const resource::ResourceClaim& claim,
                     const std::set<std::string>& gone_users) {
  ClaimPlan out;
  for (auto r : claim.status().reserved_for()) {
    const std::string uid(r.uid());
    if (gone_users.contains(uid)) {
      out.changed = true;
    } else {
      out.keep.push_back(uid);
    }
  }
  const bool ends = !claim.metadata().deletion_timestamp().empty();
  if (!is_guarded(claim) || !out.keep.empty() || !(out.changed || ends)) return out;
  out.deallocate = claim.status().has_allocation();
  out.unguard = true;
  return out;
}

Document claim_from_template(const api::core_v1::Pod& pod, std::string_view entry,
                             const resource::ResourceClaimTemplate& from) {
  constexpr size_t kLongest = 57;  // and five characters, in a name of 63
  const std::string pod_name(pod.metadata().name());
  std::string prefix = pod_name + "-" + std::string(entry) + "-";
  if (prefix.size() > kLongest) {
    const size_t all = prefix.size();
    prefix = pod_name.substr(0, pod_name.size() * kLongest / all) + "-" +
             std::string(entry.substr(0, entry.size() * kLongest / all));
  }
  Draft<resource::ResourceClaimEdit> d;
  auto meta = d->edit_metadata();
  meta.set_namespace_(pod.metadata().namespace_());
  meta.set_generate_name(prefix);
  const auto said = from.spec().metadata();
  for (const auto& [k, v] : said.labels()) meta.edit_labels().set(k, v);
  for (const auto& [k, v] : said.annotations()) meta.edit_annotations().set(k, v);
  meta.edit_annotations().set(kEntry, entry);
  auto owner = meta.edit_owner_references().add();
  owner.set_api_version("v1");
  owner.set_kind("Pod");
  owner.set_name(pod_name);
  owner.set_uid(pod.metadata().uid());
  owner.set_controller(true);
  d->set_spec(from.spec().spec());
  return d.take();
}

ResourceClaimController::ResourceClaimController(Deps deps)
    : Controller(deps, "resource_claim", "resource_claim", 50),
      pods_(watch<Pod>()),
      claims_(watch<Claim>()),
      templates_(watch<Template>()) {
  pods_.base().add_index(kByName, [](const ObjectPtr& o) {
    std::vector<std::string> out;
    Ref<Pod> pod = read<Pod>(o);
    for (auto entry : pod->spec().resource_claims()) {
      auto name = named_by(*pod, entry);
      if (name && !name->empty()) out.push_back(key_of(o->namespace_(), *name));
    }
    return out;
  });
  claims_.base().add_index(kByOwner, [](const ObjectPtr& o) {
    std::string uid(controller_of(*read<Claim>(o))["uid"].as_string());
    return uid.empty() ? std::vector<std::string>() : std::vector<std::string>{std::move(uid)};
  });
  pods_.on_change([this](const Ref<Pod>& b, const Ref<Pod>& n) { pod_changed(b, n); });
  claims_.on_change([this](const Ref<Claim>& b, const Ref<Claim>& n) { claim_changed(b, n); });
  templates_.on_change([this](const Ref<Template>&, const Ref<Template>& now) {
    if (!now) return;
    for (const auto& pod : pods_.list(now->metadata().namespace_())) {
      for (auto entry : pod->spec().resource_claims()) {
        if (entry.resource_claim_template_name() == now->metadata().name()) {
          queue().add("pod:" + key_of(pod->metadata().namespace_(), pod->metadata().name()));
        }
      }
    }
  });
}

void ResourceClaimController::pod_changed(const Ref<Pod>& before, const Ref<Pod>& now) {
  const Ref<Pod>& pod = now ? now : before;
  const auto entries = pod->spec().resource_claims();
  // By its scheduler, for extended resources (KEP-5004).
  const auto extended = pod->status().extended_resource_claim_status().resource_claim_name();
  if (entries.empty() && extended.empty()) return;
  const std::string ns(pod->metadata().namespace_());
  if (now && !is_pod_done(*now)) {
    if (!entries.empty()) queue().add("pod:" + key_of(ns, now->metadata().name()));
    return;
  }
  if (!extended.empty()) queue().add("claim:" + key_of(ns, extended));
  for (auto entry : entries) {
    auto name = named_by(*pod, entry);
    if (name && !name->empty()) queue().add("claim:" + key_of(ns, *name));
  }
  for (const auto& claim : claims_.by_index(kByOwner, pod->metadata().uid())) {
    queue().add("claim:" + key_of(ns, claim->metadata().name()));
  }
}

void ResourceClaimController::claim_changed(const Ref<Claim>& before, const Ref<Claim>& now) {
  count(before, -1);
  count(now, 1);
  const Ref<Claim>& claim = now ? now : before;
  const std::string key = key_of(claim->metadata().namespace_(), claim->metadata().name());
  if (now) {
    queue().add("claim:" + key);
    const std::string owner(controller_of(*now)["uid"].as_string());
    made_.erase({owner, std::string(now->metadata().annotations().get(kEntry))});
  }
  for (const auto& pod : pods_.by_index(kByName, key)) {
    queue().add("pod:" + key_of(pod->metadata().namespace_(), pod->metadata().name()));
  }
}

void ResourceClaimController::count(const Ref<Claim>& claim, int by) {
  if (!claim) return;
  static metrics::Gauge& gauge = metrics::gauge(
      "resourceclaim_controller_resource_claims",
      "Number of ResourceClaims, categorized by allocation status, admin access, and source. "
      "Source "
      "can be 'resource_claim_template' (created from a template), 'extended_resource' (extended "
      "resources), or empty (manually created by a user).",
      {"allocated", "admin_access", "source"});
  const auto annotations = claim->metadata().annotations();
  const char* source = annotations.get(kExtended) == "true" ? "extended_resource"
                       : !annotations.get(kEntry).empty()   ? "resource_claim_template"
                                                            : "";
  std::vector<std::string> labels{claim->status().has_allocation() ? "true" : "false",
                                  wants_admin(*claim) ? "true" : "false", source};
  int64_t& n = counts_[labels];
  n += by;
  gauge.with(labels).set(static_cast<double>(n));
}

Task<ReconcileResult> ResourceClaimController::reconcile(Context ctx, std::string key) {
  const size_t colon = key.find(':');
  auto [ns, name] = split_key(std::string_view(key).substr(colon + 1));
  Status s;
  if (key.compare(0, colon, "pod") == 0) {
    s = co_await reconcile_pod(ctx, std::move(ns), std::move(name));
  } else {
    s = co_await reconcile_claim(ctx, std::move(ns), std::move(name));
  }
  co_return s;
}

// --- pods ---------------------------------------------------------------------------------------

// A claim that is there already, for this entry of this pod.
std::string ResourceClaimController::made_for(const Pod& pod, std::string_view entry) const {
  for (const auto& claim : claims_.by_index(kByOwner, pod.metadata().uid())) {
    if (claim->metadata().annotations().get(kEntry) == entry) {
      return std::string(claim->metadata().name());
    }
  }
  auto own = made_.find({std::string(pod.metadata().uid()), std::string(entry)});
  return own == made_.end() ? std::string() : own->second;
}

Task<Result<std::string>> ResourceClaimController::make_claim(Context ctx, Ref<Pod> pod,
                                                              std::string entry) {
  static metrics::Counter& created = metrics::counter(
      "resourceclaim_controller_creates_total",
      "Number of ResourceClaims creation requests, categorized by creation status and admin access",
      {"status", "admin_access"});
  std::string wanted;
  for (auto e : pod->spec().resource_claims()) {
    if (e.name() == entry) wanted = e.resource_claim_template_name();
  }
  Ref<Template> from = templates_.get(pod->metadata().namespace_(), wanted);
  if (!from) {
    co_return Status::unavailable("resource claim template \"" + wanted +
                                  "\": resourceclaimtemplate.resource.k8s.io \"" + wanted +
                                  "\" not found");
  }
  Document body = claim_from_template(*pod, entry, *from);
  const std::string admin = wants_admin(Claim(body.root)) ? "true" : "false";
  const KindDesc* kind = &kind_of<Claim>();
  auto done = co_await create_once(ctx, &client(), kind, std::move(body));
  created.with({done.ok() ? "success" : "failure", admin}).add();
  if (!done.ok()) co_return done.status().with_prefix("create ResourceClaim ");
  const std::string name((*done)->name());
  if (!claims_.get(pod->metadata().namespace_(), name)) {
    made_[{std::string(pod->metadata().uid()), entry}] = name;
  }
  co_return name;
}

Task<Status> ResourceClaimController::reconcile_pod(Context ctx, std::string ns, std::string name) {
  Ref<Pod> pod = pods_.get(ns, name);
  if (!pod || !pod->metadata().deletion_timestamp().empty()) co_return Status();
  if (is_pod_done(*pod)) co_return Status();
  Document patch;
  patch.root = Value::map();
  Value statuses = Value::list();
  std::vector<std::string> entries;
  for (auto e : pod->spec().resource_claims()) {
    if (!e.has_resource_claim_template_name()) continue;
    auto named = named_by(*pod, e);
    if (!named) continue;
    Ref<Claim> there = claims_.get(ns, *named);
    const bool waits = made_for(*pod, e.name()) == *named && !named->empty();
    if ((there && is_owned_by(*there, pod->metadata().uid())) || waits) continue;
    entries.emplace_back(e.name());
  }
  for (const std::string& entry : entries) {
    std::string claim = made_for(*pod, entry);
    if (claim.empty()) {
      auto made = co_await make_claim(ctx, pod, entry);
      if (!made.ok()) {
        const std::string why = "PodResourceClaim " + entry + ": " + made.status().message();
        events().warning(reference_to(pod), "FailedResourceClaimCreation", why);
        co_return Status::unavailable("pod " + ns + "/" + name + ", " + why);
      }
      claim = *made;
    }
    Value& status = statuses.append(patch.arena, Value::map());
    status.set(patch.arena, "name", Value::string(patch.arena.copy(entry)));
    status.set(patch.arena, "resourceClaimName", Value::string(patch.arena.copy(claim)));
  }
  if (!statuses.empty()) {
    Value meta = Value::map();
    meta.set(patch.arena, "uid", Value::string(patch.arena.copy(pod->metadata().uid())));
    patch.root.set(patch.arena, "metadata", meta);
    Value status = Value::map();
    status.set(patch.arena, "resourceClaimStatuses", statuses);
    patch.root.set(patch.arena, "status", status);
    WriteOptions options;
    options.subresource = "status";
    options.field_manager = "ResourceClaimController";
    const KindDesc* kind = &kind_of<Pod>();
    auto done = co_await client().patch(ctx, kind, ns, name, PatchType::kStrategicMerge,
                                        std::move(patch), std::move(options));
    if (done.status().is(Reason::kNotFound) || done.status().is(Reason::kConflict)) {
      co_return Status();  // it is another pod now
    }
    if (!done.ok()) {
      co_return done.status().with_prefix("update pod " + ns + "/" + name +
                                          " ResourceClaimStatuses");
    }
    pod = read<Pod>(*done);
  }
  if (pod->spec().node_name().empty()) co_return Status();
  co_return co_await reserve(ctx, pod);
}

// A pod that was given its node by somebody who does not know of claims: they are reserved for it
// if they are allocated.
Task<Status> ResourceClaimController::reserve(Context ctx, Ref<Pod> pod) {
  const std::string ns(pod->metadata().namespace_());
  std::vector<Ref<Claim>> open;
  for (auto e : pod->spec().resource_claims()) {
    auto name = named_by(*pod, e);
    if (!name || name->empty()) continue;
    Ref<Claim> claim = claims_.get(ns, *name);
    if (!claim) continue;
    const bool foreign =
        e.has_resource_claim_template_name() && !is_owned_by(*claim, pod->metadata().uid());
    if (foreign || !claim->status().has_allocation()) continue;
    if (!is_reserved_for(*claim, pod->metadata().uid())) open.push_back(claim);
  }
  for (const Ref<Claim>& claim : open) {
    Document d = copy_of(*claim);
    auto user = edit(d).edit_status().edit_reserved_for().add();
    user.set_resource("pods");
    user.set_name(pod->metadata().name());
    user.set_uid(pod->metadata().uid());
    auto done = co_await client().update_status<Claim>(ctx, std::move(d));
    if (!done.ok()) {
      co_return done.status().with_prefix("reserve claim " + key_of(ns, claim->metadata().name()));
    }
  }
  co_return Status();
}

// --- claims -------------------------------------------------------------------------------------

// Who is not among the pods that are seen is asked for, as it may be new.
Task<Result<bool>> ResourceClaimController::is_gone(Context ctx, std::string ns, std::string name,
                                                    std::string uid) {
  Ref<Pod> pod = pods_.get(ns, name);
  if (!pod) {
    auto there = co_await client().get<Pod>(ctx, std::move(ns), std::move(name));
    if (there.status().is(Reason::kNotFound)) co_return true;
    if (!there.ok()) co_return there.status();
    pod = *there;
  }
  co_return pod->metadata().uid() != uid || is_pod_done(*pod);
}

Task<Status> ResourceClaimController::reconcile_claim(Context ctx, std::string ns,
                                                      std::string name) {
  Ref<Claim> claim = claims_.get(ns, name);
  if (!claim) co_return Status();
  std::set<std::string> gone;
  for (auto r : claim->status().reserved_for()) {
    if (!r.api_group().empty() || r.resource() != "pods") continue;
    std::string user(r.name()), uid(r.uid());
    auto is = co_await is_gone(ctx, ns, std::move(user), uid);
    if (!is.ok()) co_return is.status();
    if (*is) gone.insert(std::move(uid));
  }
  const ClaimPlan plan = plan_claim(*claim, gone);
  Status done = co_await carry_out(ctx, claim, &plan);
  if (!done.ok()) co_return done;
  const Value& owner = controller_of(*claim);
  if (!plan.keep.empty() || owner["kind"].as_string() != "Pod") co_return Status();
  Ref<Pod> pod = pods_.get(ns, owner["name"].as_string());
  if (!pod) co_return Status();  // the garbage collector's
  if (pod->metadata().uid() == owner["uid"].as_string() && !is_pod_done(*pod)) co_return Status();
  DeleteOptions options;
  options.uid = claim->metadata().uid();
  const KindDesc* kind = &kind_of<Claim>();
  Status removed = co_await remove_once(ctx, &client(), kind, ns, name, std::move(options));
  if (removed.ok()) co_return Status();
  co_return removed.with_prefix("delete unused generated claim " + key_of(ns, name));
}

Task<Status> ResourceClaimController::carry_out(Context ctx, Ref<Claim> claim,
                                                const ClaimPlan* plan) {
  if (plan->changed || plan->deallocate) {
    Document d = copy_of(*claim);
    auto status = edit(d).edit_status();
    auto users = status.edit_reserved_for();
    for (size_t i = users.size(); i-- > 0;) {
      const auto& keep = plan->keep;
      if (std::find(keep.begin(), keep.end(), users[i].uid()) == keep.end()) users.erase_at(i);
    }
    if (plan->deallocate) {
      status.clear_allocation();
      status.clear_devices();
    }
    auto done = co_await client().update_status<Claim>(ctx, std::move(d));
    if (done.status().is(Reason::kNotFound)) co_return Status();
    if (!done.ok()) co_return done.status();
    claim = *done;
  }
  if (!plan->unguard) co_return Status();
  Document d = copy_of(*claim);
  auto finalizers = edit(d).edit_metadata().edit_finalizers();
  for (size_t i = finalizers.size(); i-- > 0;) {
    if (finalizers[i] == kFinalizer) finalizers.erase_at(i);
  }
  auto done = co_await client().update<Claim>(ctx, std::move(d));
  if (done.status().is(Reason::kNotFound)) co_return Status();
  co_return done.status();
}

}  // namespace keles::controllers
