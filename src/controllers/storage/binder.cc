#include "controllers/storage/binder.h"

#include <algorithm>

#include "controllers/options.h"
#include "controllers/storage/pod_claims.h"
#include "controllers/storage/recycler.h"
#include "machinery/volumes/claim_rules.h"
#include "machinery/volumes/plugins.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::storage_v1::StorageClass;

namespace {

// Claims by what may concern them: the class of those that are not bound, the volume that any
// names. A line break is in no name: those that name no class at all, and volumes.
constexpr const char* kConcern = "concern";
constexpr const char* kNoClass = "\n";
// Volumes by the claim that they name as theirs.
constexpr const char* kByClaim = "claim";

std::string key_of(const api::meta_v1::ObjectMeta& meta) {
  return std::string(meta.namespace_()) + "/" + std::string(meta.name());
}

std::vector<std::string> concerns(const ObjectPtr& o) {
  const Ref<PersistentVolumeClaim> claim = read<PersistentVolumeClaim>(o);
  std::vector<std::string> out;
  const std::string_view volume = claim->spec().volume_name();
  if (!volume.empty()) out.push_back(kNoClass + std::string(volume));
  if (claim->metadata().annotations().contains(volumes::kBindCompleted)) return out;
  out.emplace_back(volumes::class_of(*claim));
  if (!volumes::has_class(*claim)) out.emplace_back(kNoClass);
  return out;
}

// Whether a claim may be served by the one where it was not by the other.
bool differs(const volumes::VolumeInfo& a, const volumes::VolumeInfo& b) {
  return a.capacity != b.capacity || a.storage_class != b.storage_class ||
         a.attributes_class != b.attributes_class || a.access_modes != b.access_modes ||
         a.block != b.block || a.labels != b.labels || a.claimed != b.claimed;
}

// Between attempts to give a volume back.
constexpr Duration kFirstSetback = 1s, kLastSetback = 2min;

bool is_idle(std::string_view phase) { return phase == "Released" || phase == "Failed"; }

}  // namespace

VolumeBinder::VolumeBinder(Deps deps)
    : Controller(deps, "persistentvolume-binder", "persistentvolume-controller", 1),
      metrics_(deps.client.loop()),
      claims_(watch_own<PersistentVolumeClaim>(),
              [this](const std::string& k, const ObjectPtr& o) { learnt_claim(k, o); }),
      volumes_(watch_own<PersistentVolume>(),
               [this](const std::string& k, const ObjectPtr& o) { learnt_volume(k, o); }),
      classes_(watch<StorageClass>()),
      pods_(watch<Pod>()) {
  index_pods_by_claim(pods_);
  claims_.informer().base().add_index(kConcern, concerns);
  volumes_.informer().base().add_index(
      kByClaim, [](const ObjectPtr& o) -> std::vector<std::string> {
        const auto ref = read<Volume>(o)->spec().claim_ref();
        if (!ref) return {};
        return {std::string(ref.namespace_()) + "/" + std::string(ref.name())};
      });
  claims_.informer().on_change([this](const Ref<Claim>& before, const Ref<Claim>& now) {
    if (now || !before) return;
    const std::string key = key_of(before->metadata());
    metrics_.forget(key);
    std::string volume(before->spec().volume_name());
    if (!volume.empty()) queue().add(std::move(volume));
    // Those that were bound to it, which it had not heard of before it went.
    for (const ObjectPtr& o : volumes_.informer().base().by_index(kByClaim, key))
      queue().add(std::string(o->name()));
  });
  volumes_.informer().on_change([this](const Ref<Volume>& before, const Ref<Volume>& now) {
    const Ref<Volume>& it = now ? now : before;
    const auto ref = it->spec().claim_ref();
    if (!now) metrics_.ended(std::string(it->metadata().name()), true);
    if (ref) queue().add(std::string(ref.namespace_()) + "/" + std::string(ref.name()));
  });
  classes_.on_change([this](const Ref<Class>&, const Ref<Class>& now) {
    if (now) class_changed(*now);
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    const bool same = before && now && before->spec().node_name() == now->spec().node_name() &&
                      before->status().phase() == now->status().phase();
    if (!same) pod_changed(now ? now : before);
  });
}

void VolumeBinder::learnt_volume(const std::string& name, const ObjectPtr& now) {
  metrics_.count_volume(name, now);
  if (!now) {
    setbacks_.erase(name);
    return index_.erase(name);
  }
  const Ref<Volume> volume = read<Volume>(now);
  const volumes::VolumeInfo* known = index_.find(name);
  const bool is_new = known == nullptr;
  const bool was_free = !is_new && !known->claimed && known->phase == "Available";
  volumes::VolumeInfo info = volumes::extract_volume(*volume, now->revision());
  const bool is_free = !info.claimed && info.phase == "Available";
  const bool is_other = is_new || differs(*known, info);
  const std::string of_class = info.storage_class;
  index_.put(std::move(info));
  if (is_free && (!was_free || is_other)) wake_claims(of_class);
  if (is_new || (is_other && !volume->spec().has_claim_ref())) wake_claims(kNoClass + name);
}

void VolumeBinder::learnt_claim(const std::string& key, const ObjectPtr& now) {
  metrics_.count_claim(key, now);
}

void VolumeBinder::wake_claims(std::string_view concern) {
  for (const ObjectPtr& o : claims_.informer().base().by_index(kConcern, concern))
    queue().add(o->key());
}

void VolumeBinder::class_changed(const Class& c) {
  wake_claims(c.metadata().name());
  if (volumes::is_default_class(c)) wake_claims(kNoClass);
}

void VolumeBinder::pod_changed(const Ref<Pod>& pod) {
  const std::string name(pod->metadata().name());
  if (const std::string volume = recycled_volume(pod->metadata().namespace_(), name);
      !volume.empty()) {
    queue().add(volume);
  }
  for (const std::string& claim : volumes::claim_names(*pod)) {
    const Ref<Claim> c = claims_.get(pod->metadata().namespace_(), claim);
    if (c && !c->metadata().annotations().contains(volumes::kBindCompleted))
      queue().add(key_of(c->metadata()));
  }
}

Task<ReconcileResult> VolumeBinder::reconcile(Context ctx, std::string key) {
  const auto [ns, name] = split_key(key);
  if (ns.empty()) {
    const Ref<Volume> volume = volumes_.get("", name);
    if (!volume) co_return Status();
    Status s = co_await sync_volume(ctx, volume);
    co_return s;
  }
  const Ref<Claim> claim = claims_.get(ns, name);
  if (!claim) co_return Status();
  Status s = co_await sync_claim(ctx, claim);
  co_return s;
}

// --- Writes ------------------------------------------------------------------------------------

Task<Result<Ref<VolumeBinder::Claim>>> VolumeBinder::write_claim(Context ctx, Ref<Claim> claim,
                                                                 std::optional<Document> next,
                                                                 bool status) {
  if (!next) co_return claim;
  WriteOptions options;
  if (status) options.subresource = "status";
  const std::string ns(claim->metadata().namespace_()), name(claim->metadata().name());
  auto r = co_await client().update(ctx, &kind_of<Claim>(), ns, name, std::move(*next), options);
  if (!r.ok()) co_return r.status();
  claims_.wrote(*r);
  co_return read<Claim>(*r);
}

Task<Result<Ref<VolumeBinder::Volume>>> VolumeBinder::write_volume(Context ctx, Ref<Volume> volume,
                                                                   std::optional<Document> next,
                                                                   bool status) {
  if (!next) co_return volume;
  WriteOptions options;
  if (status) options.subresource = "status";
  const std::string name(volume->metadata().name());
  auto r = co_await client().update(ctx, &kind_of<Volume>(), "", name, std::move(*next), options);
  if (!r.ok()) co_return r.status();
  volumes_.wrote(*r);
  co_return read<Volume>(*r);
}

// --- Claims ------------------------------------------------------------------------------------

std::vector<std::string> VolumeBinder::waiting_pods(const Claim& claim) const {
  std::vector<std::string> out;
  const auto meta = claim.metadata();
  for (const Ref<Pod>& pod : pods_of_claim(pods_, meta.namespace_(), meta.name())) {
    if (!volumes::is_terminated(*pod) && pod->spec().node_name().empty())
      out.emplace_back(pod->metadata().name());
  }
  return out;
}

ClaimWorld VolumeBinder::world_of(const Claim& claim) const {
  ClaimWorld world;
  world.volumes = &index_;
  world.volume = [this](std::string_view name) { return volumes_.get("", name); };
  world.storage_class = [this](std::string_view name) { return classes_.get("", name); };
  world.default_class = [this] { return volumes::default_class(classes_.list()); };
  world.waiting_pods = [this, &claim] { return waiting_pods(claim); };
  return world;
}

Task<Status> VolumeBinder::sync_claim(Context ctx, Ref<Claim> claim) {
  auto annealed = co_await write_claim(ctx, claim, claim_annealed(*claim), false);
  if (!annealed.ok()) co_return annealed.status();
  claim = *annealed;
  BindingPlan plan = plan_binding(*claim, world_of(*claim));
  Status s = co_await carry_out(ctx, claim, std::move(plan));
  co_return s;
}

Task<Status> VolumeBinder::carry_out(Context ctx, Ref<Claim> claim, BindingPlan plan) {
  using Act = BindingPlan::Act;
  const Act act = plan.act;
  const bool becomes_lost = act == Act::kLost && claim->status().phase() != "Lost";
  if (plan.event && act != Act::kProvision && (act != Act::kLost || becomes_lost)) {
    const EventText& e = *plan.event;
    events().event(reference_to(claim), e.warning ? "Warning" : "Normal", e.reason, e.message);
  }
  if (!plan.error.ok()) co_return plan.error;
  Status s;
  if (act == Act::kBind) {
    const Ref<Volume> volume = volumes_.get("", plan.volume);
    if (!volume) co_return Status();
    s = co_await bind(ctx, volume, claim);
    metrics_.ended(key_of(claim->metadata()), s.ok());
  } else if (act == Act::kPending) {
    s = co_await set_claim_phase(ctx, claim, "Pending");
  } else if (becomes_lost) {
    s = co_await set_claim_phase(ctx, claim, "Lost");
  } else if (act == Act::kAssignClass) {
    s = co_await assign_class(ctx, claim, plan.storage_class);
  } else if (act == Act::kProvision) {
    s = co_await provision(ctx, claim, std::move(plan));
  }
  co_return s;
}

Task<Status> VolumeBinder::set_claim_phase(Context ctx, Ref<Claim> claim, std::string phase) {
  auto next = claim_in_phase(*claim, phase, nullptr);
  if (!next.ok()) co_return next.status();
  auto r = co_await write_claim(ctx, claim, std::move(*next), true);
  co_return r.status();
}

Task<Status> VolumeBinder::assign_class(Context ctx, Ref<Claim> claim, std::string storage_class) {
  std::optional<Document> next = claim_with_class(*claim, storage_class);
  auto r = co_await write_claim(ctx, claim, std::move(next), false);
  BinderMetrics::assigned_class(r.ok());
  if (!r.ok()) {
    co_return r.status().with_prefix("can't update PersistentVolumeClaim[\"" +
                                     key_of(claim->metadata()) + "\"]");
  }
  co_return Status();
}

Task<Status> VolumeBinder::provision(Context ctx, Ref<Claim> claim, BindingPlan plan) {
  const std::string key = key_of(claim->metadata());
  metrics_.began(key, plan.provisioner, "provision");
  auto r =
      co_await write_claim(ctx, claim, claim_with_provisioner(*claim, plan.provisioner), false);
  if (!r.ok()) {
    events().warning(reference_to(claim), "ProvisioningFailed",
                     "Error saving claim: " + r.status().message());
    metrics_.ended(key, false);
    co_return r.status();
  }
  events().normal(reference_to(*r), plan.event->reason, plan.event->message);
  co_return Status();
}

// Volume first: whoever finds only half of it done can tell what was meant.
Task<Status> VolumeBinder::bind(Context ctx, Ref<Volume> volume, Ref<Claim> claim) {
  auto v = co_await write_volume(ctx, volume, volumes::volume_bound_to(*volume, *claim), false);
  if (!v.ok()) co_return v.status();
  volume = *v;
  v = co_await write_volume(ctx, volume, volume_in_phase(*volume, "Bound"), true);
  if (!v.ok()) co_return v.status();
  volume = *v;
  auto c =
      co_await write_claim(ctx, claim, claim_bound_to(*claim, volume->metadata().name()), false);
  if (!c.ok()) co_return c.status();
  claim = *c;
  auto next = claim_in_phase(*claim, "Bound", &*volume);
  if (!next.ok()) co_return next.status();
  c = co_await write_claim(ctx, claim, std::move(*next), true);
  co_return c.status();
}

// --- Volumes -----------------------------------------------------------------------------------

Task<Result<Ref<VolumeBinder::Claim>>> VolumeBinder::claim_of(Context ctx, Ref<Volume> volume) {
  const auto ref = volume->spec().claim_ref();
  const std::string ns(ref.namespace_()), name(ref.name()), uid(ref.uid());
  if (uid.empty()) co_return Ref<Claim>();
  const Ref<Claim> known = claims_.get(ns, name);
  if (known && known->metadata().uid() == uid) co_return known;
  // What is about to be given back is given back for ever: the server has the last word.
  if (!known && is_idle(volume->status().phase())) co_return Ref<Claim>();
  auto asked = co_await client().get<Claim>(ctx, ns, name);
  if (asked.status().is(Reason::kNotFound)) co_return Ref<Claim>();
  if (!asked.ok()) co_return asked.status();
  const bool same = (*asked)->metadata().uid() == uid;
  co_return same ? *asked : Ref<Claim>();
}

Task<Status> VolumeBinder::sync_volume(Context ctx, Ref<Volume> volume) {
  using Act = VolumePlan::Act;
  auto annealed = co_await write_volume(ctx, volume, volume_annealed(*volume), false);
  if (!annealed.ok()) co_return annealed.status();
  volume = *annealed;
  auto claim = co_await claim_of(ctx, volume);
  if (!claim.ok()) co_return claim.status();
  const VolumePlan plan = plan_volume(*volume, *claim ? &**claim : nullptr);
  if (plan.act != Act::kRelease) setbacks_.erase(std::string(volume->metadata().name()));
  Status s;
  if (plan.act == Act::kAvailable || plan.act == Act::kBound) {
    const std::string phase = plan.act == Act::kBound ? "Bound" : "Available";
    auto r = co_await write_volume(ctx, volume, volume_in_phase(*volume, phase), true);
    s = r.status();
  } else if (plan.act == Act::kSyncClaim) {
    queue().add(key_of((*claim)->metadata()));
  } else if (plan.act == Act::kMismatch) {
    events().warning(reference_to(volume), plan.event->reason, plan.event->message);
    events().warning(reference_to(*claim), plan.claim_event->reason, plan.claim_event->message);
  } else if (plan.act == Act::kRelease) {
    s = co_await release(ctx, volume);
  } else if (plan.act == Act::kUnbind) {
    s = co_await unbind(ctx, volume);
  }
  co_return s;
}

Task<Status> VolumeBinder::unbind(Context ctx, Ref<Volume> volume) {
  std::optional<Document> free = volume_unbound(*volume);
  auto r = co_await write_volume(ctx, volume, std::move(free), false);
  if (!r.ok()) co_return r.status();
  volume = *r;
  r = co_await write_volume(ctx, volume, volume_in_phase(*volume, "Available"), true);
  co_return r.status();
}

Task<Status> VolumeBinder::release(Context ctx, Ref<Volume> volume) {
  if (!is_idle(volume->status().phase())) {
    auto r = co_await write_volume(ctx, volume, volume_in_phase(*volume, "Released"), true);
    if (!r.ok()) co_return r.status();
    volume = *r;
  }
  const std::string name(volume->metadata().name());
  const auto setback = setbacks_.find(name);
  if (setback != setbacks_.end() && loop().now() < setback->second.until) {
    queue().add_after(name, setback->second.until - loop().now());
    co_return Status();
  }
  ReclaimPlan plan = plan_reclaim(*volume);
  Status s;
  if (plan.act == ReclaimPlan::Act::kDelete) {
    s = co_await remove_storage(ctx, volume);
  } else if (plan.act == ReclaimPlan::Act::kRecycle) {
    s = co_await recycle(ctx, volume);
  } else if (plan.act == ReclaimPlan::Act::kFail) {
    s = co_await fail_volume(ctx, volume, std::move(plan.event));
  }
  co_return s;
}

void VolumeBinder::set_back(const std::string& volume) {
  Setback& s = setbacks_[volume];
  const Duration wait = std::min(kFirstSetback * (1 << std::min(s.times, 10)), kLastSetback);
  ++s.times;
  s.until = loop().now() + wait;
  queue().add_after(volume, wait);
}

Task<Status> VolumeBinder::fail_volume(Context ctx, Ref<Volume> volume, EventText event) {
  auto next = volume_in_phase(*volume, "Failed", event.message);
  if (!next) co_return Status();
  auto r = co_await write_volume(ctx, volume, std::move(next), true);
  if (r.ok()) events().warning(reference_to(*r), event.reason, event.message);
  co_return r.status();
}

// Asked of the server, before what the volume holds is destroyed.
Task<Result<bool>> VolumeBinder::is_still_released(Context ctx, Ref<Volume> volume) {
  const std::string name(volume->metadata().name()), uid(volume->metadata().uid());
  auto now = co_await client().get<Volume>(ctx, "", name);
  if (now.status().is(Reason::kNotFound)) co_return false;
  if (!now.ok()) co_return now.status();
  const auto ref = (*now)->spec().claim_ref();
  if ((*now)->metadata().uid() != uid || ref.uid().empty()) co_return false;
  const std::string ns(ref.namespace_()), claim_name(ref.name()), claim_uid(ref.uid());
  auto claim = co_await client().get<Claim>(ctx, ns, claim_name);
  if (claim.status().is(Reason::kNotFound)) co_return true;
  if (!claim.ok()) co_return claim.status();
  if ((*claim)->metadata().uid() != claim_uid) co_return true;
  const std::string_view has = (*claim)->spec().volume_name();
  co_return !has.empty() && has != name;
}

Task<Status> VolumeBinder::remove_storage(Context ctx, Ref<Volume> volume) {
  const std::string name(volume->metadata().name());
  metrics_.began(name, volumes::plugin_label(*volume), "delete");
  auto released = co_await is_still_released(ctx, volume);
  if (!released.ok()) co_return released.status();
  if (!*released) co_return Status();
  const std::string path(volume->spec().host_path().path());
  Status s;
  if (path.find("/tmp/") == std::string::npos || path.ends_with("/tmp/")) {
    s = Status(Reason::kInvalid,
               "host_path deleter only supports /tmp/.+ but received provided " + path);
  } else if (options().storage.remove_host_path) {
    s = options().storage.remove_host_path(path);
  }
  if (!s.ok()) {
    metrics_.ended(name, false);
    EventText event(true, "VolumeFailedDelete", s.message());
    s = co_await fail_volume(ctx, volume, std::move(event));
    if (s.ok()) set_back(name);
    co_return s;
  }
  auto r = co_await write_volume(ctx, volume, volume_without_finalizer(*volume), false);
  if (!r.ok()) co_return r.status();
  DeleteOptions options;
  options.uid = (*r)->metadata().uid();
  s = co_await remove_once(ctx, &client(), &kind_of<Volume>(), "", name, options);
  co_return s;
}

std::string VolumeBinder::users_of(const Volume& volume) const {
  const auto ref = volume.spec().claim_ref();
  std::string out;
  for (const Ref<Pod>& pod : pods_of_claim(pods_, ref.namespace_(), ref.name())) {
    if (volumes::is_terminated(*pod)) continue;
    if (!out.empty()) out += ",";
    out += key_of(pod->metadata());
  }
  return out;
}

Task<Status> VolumeBinder::recycle(Context ctx, Ref<Volume> volume) {
  auto released = co_await is_still_released(ctx, volume);
  if (!released.ok()) co_return released.status();
  if (!*released) co_return Status();
  const std::string ns(kRecyclerNamespace), name = recycler_name(volume->metadata().name());
  const Ref<Pod> pod = pods_.get(ns, name);
  const RecyclerPlan plan = plan_recycler(pod ? &*pod : nullptr, users_of(*volume));
  if (plan.act == RecyclerPlan::Act::kWait) co_return Status();
  if (plan.act == RecyclerPlan::Act::kInUse) {
    events().normal(reference_to(volume), "VolumeFailedRecycle", plan.message);
    co_return Status();
  }
  if (plan.act == RecyclerPlan::Act::kStart) {
    auto made = co_await client().create<Pod>(ctx, recycler_pod(*volume));
    const bool there = made.status().is(Reason::kAlreadyExists);
    co_return there ? Status() : made.status();
  }
  Status s;
  const bool failed = plan.act == RecyclerPlan::Act::kFailed;
  if (failed) {
    // It has been told of, and goes: another may be made when it has gone.
    if (!pod->metadata().deletion_timestamp().empty()) co_return Status();
    EventText event(true, "VolumeFailedRecycle", "Recycle failed: " + plan.message);
    s = co_await fail_volume(ctx, volume, std::move(event));
    if (!s.ok()) co_return s;
  }
  DeleteOptions options;
  options.uid = pod->metadata().uid();
  s = co_await remove_once(ctx, &client(), &kind_of<Pod>(), ns, name, options);
  if (!s.ok()) co_return s;
  if (failed) {
    set_back(std::string(volume->metadata().name()));
    co_return Status();
  }
  events().normal(reference_to(volume), "VolumeRecycled", "Volume recycled");
  s = co_await unbind(ctx, volume);
  co_return s;
}

}  // namespace keles::controllers
