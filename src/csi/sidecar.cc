#include "csi/sidecar.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "controllers/storage/provisioned.h"
#include "machinery/quantity.h"
#include "machinery/time.h"
#include "machinery/volumes/claim_rules.h"
#include "net/pki.h"

namespace keles::csi {

using namespace api::core_v1;
using api::storage_v1::CSIStorageCapacity;
using api::storage_v1::CSIStorageCapacityEdit;

namespace {

constexpr Duration kCapacityPeriod = 1min;
constexpr int kConflicts = 5;

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

std::string key_of(const PersistentVolumeClaim& c) {
  return std::string(c.metadata().namespace_()) + "/" + std::string(c.metadata().name());
}

void describe_grown(PersistentVolumeClaimStatusEdit status, const PersistentVolumeClaim& claim,
                    const std::string& size, bool on_node, const std::string& now) {
  auto conditions = status.edit_conditions();
  for (size_t i = claim.status().conditions().size(); i-- > 0;) {
    const std::string_view type = claim.status().conditions()[i].type();
    if (type == "Resizing" || type == "FileSystemResizePending") conditions.erase_at(i);
  }
  if (!on_node) {
    status.edit_capacity().set("storage", size);
    status.edit_allocated_resource_statuses().erase("storage");
    return;
  }
  auto c = conditions.add();
  c.set_type("FileSystemResizePending");
  c.set_status("True");
  c.set_last_transition_time(now);
  c.set_message(
      "Waiting for user to (re-)start a pod to finish file system resize of volume on node.");
  status.edit_allocated_resource_statuses().set("storage", "NodeResizePending");
  status.edit_allocated_resources().set("storage", size);
}

}  // namespace

Task<Result<SidecarOptions>> ask_driver(Context ctx, std::string socket) {
  SidecarOptions out;
  out.socket = socket;
  for (Duration pause = 100ms;; pause = std::min<Duration>(pause * 2, 5s)) {
    Draft<v1::GetPluginInfoRequestEdit> who;
    auto info =
        co_await call<v1::GetPluginInfoResponse>(ctx, socket, "Identity/GetPluginInfo", &who);
    Status s = info.status();
    if (s.ok()) {
      out.driver = v1::GetPluginInfoResponse(info->root).name();
      auto can = co_await controller_capabilities(ctx, socket);
      s = can.status();
      if (s.ok()) out.capabilities = std::move(*can);
    }
    if (s.ok()) co_return out;
    log::info("The driver does not answer yet", {{"socket", socket}, {"error", s}});
    s = co_await ctx.sleep(pause);
    if (!s.ok()) co_return s;
  }
}

Sidecar::Sidecar(controllers::Deps deps, SidecarOptions options)
    : Controller(deps, "csi-sidecar", options.driver, 4),
      options_(std::move(options)),
      claims_(watch_own<Claim>()),
      volumes_(watch_own<Volume>()),
      classes_(watch<Class>()),
      nodes_(watch<Node>()),
      csi_nodes_(watch<CsiNode>()),
      drivers_(watch<Driver>()),
      attributes_(watch<Attributes>()),
      attachments_(watch<Attachment>()),
      group_(deps.client.loop()) {
  // A volume that grew, or was made, is its claim's news.
  volumes_.on_change([this](const Ref<Volume>&, const Ref<Volume>& now) {
    if (!now || now->spec().csi().driver() != options_.driver) return;
    const auto ref = now->spec().claim_ref();
    if (ref) queue().add(std::string(ref.namespace_()) + "/" + std::string(ref.name()));
  });
  // One that has gone may have been what kept its volume.
  attachments_.on_change([this](const Ref<Attachment>& before, const Ref<Attachment>& now) {
    if (before && !now) queue().add(std::string(before->spec().source().persistent_volume_name()));
  });
  classes_.on_change([this](const Ref<Class>&, const Ref<Class>&) { places_changed_.set(); });
  attributes_.on_change([this](const Ref<Attributes>&, const Ref<Attributes>& now) {
    if (!now || now->driver_name() != options_.driver) return;
    for (const Ref<Claim>& c : claims_.list())
      if (c->spec().volume_attributes_class_name() == now->metadata().name())
        queue().add(key_of(*c));
  });
  drivers_.on_change([this](const Ref<Driver>&, const Ref<Driver>&) { places_changed_.set(); });
  csi_nodes_.on_change([this](const Ref<CsiNode>&, const Ref<CsiNode>&) {
    places_changed_.set();
    for (const Ref<Claim>& c : claims_.list())
      if (c->spec().volume_name().empty()) queue().add(key_of(*c));
  });
}

void Sidecar::started(Context ctx) {
  if (!options_.capacity_namespace.empty() && has("GET_CAPACITY")) group_.spawn(tell_capacity(ctx));
}
Task<void> Sidecar::stopped() { co_await group_.join(); }

std::optional<StringMap> Sidecar::topology(const std::string& node) {
  const Ref<Node> n = nodes_.get("", node);
  const Ref<CsiNode> csi = csi_nodes_.get("", node);
  if (!n || !csi) return std::nullopt;
  bool there = false;
  for (auto d : csi->spec().drivers()) there = there || d.name() == options_.driver;
  if (!there) return std::nullopt;
  StringMap out = topology_of(*n, *csi, options_.driver);
  for (auto d : csi->spec().drivers())
    for (std::string_view key : d.topology_keys())
      if (d.name() == options_.driver && !out.contains(std::string(key))) return std::nullopt;
  return out;
}

Task<ReconcileResult> Sidecar::reconcile(Context ctx, std::string key) {
  const auto [ns, name] = controllers::split_key(key);
  const Ref<Volume> volume = ns.empty() ? volumes_.get("", name) : Ref<Volume>();
  const Ref<Claim> claim = ns.empty() ? Ref<Claim>() : claims_.get(ns, name);
  Status s;
  if (volume) s = co_await remove(ctx, volume);
  auto doubt = in_doubt_.find(key);
  if (doubt != in_doubt_.end() && !is_served(claim, doubt->second.uid)) {
    s = co_await take_back(ctx, key);
    if (!s.ok()) co_return s;
  }
  if (claim && claim->spec().volume_name().empty()) {
    s = co_await provision(ctx, claim);
  } else if (claim) {
    const Ref<Volume> its = volumes_.get("", claim->spec().volume_name());
    if (its && its->spec().csi().driver() == options_.driver) {
      s = co_await grow(ctx, claim, its);
      Status changed = co_await modify(ctx, claim, its);
      if (s.ok()) s = changed;
    }
  }
  co_return s;
}

Task<Result<StringMap>> Sidecar::secret(Context ctx, SecretName name) {
  StringMap out;
  if (name.empty()) co_return out;
  auto got = co_await client().get<Secret>(ctx, name.ns, name.name);
  if (!got.ok()) {
    co_return got.status().with_prefix("error getting secret " + name.name + " in namespace " +
                                       name.ns);
  }
  for (auto entry : (*got)->data()) {
    auto bytes = base64_decode(entry.value);
    if (bytes.ok()) out[std::string(entry.key)] = std::move(*bytes);
  }
  co_return out;
}

// --- made ---

Task<Status> Sidecar::provision(Context ctx, Ref<Claim> claim) {
  const auto annotations = claim->metadata().annotations();
  const std::string node(annotations.get(volumes::kSelectedNode));
  if (annotations.get(volumes::kStorageProvisioner) != options_.driver ||
      !claim->metadata().deletion_timestamp().empty()) {
    co_return Status();
  }
  const Ref<Class> c = classes_.get("", volumes::class_of(*claim));
  if (!c || c->provisioner() != options_.driver) co_return Status();
  if (volumes::waits_for_consumer(*c) && node.empty()) co_return Status();
  if (node.empty() && !options_.node.empty()) {
    auto plan = plan_provisioning(*claim, *c);
    Status taken;
    if (plan.ok()) taken = co_await take_on(ctx, claim, plan->clone_of);
    co_return taken;
  }
  if (!options_.node.empty() && node != options_.node) co_return Status();
  if (volumes_.get("", "pvc-" + std::string(claim->metadata().uid()))) co_return Status();
  Status s = co_await make(ctx, claim, c, node);
  co_return s;
}

Ref<PersistentVolume> Sidecar::clone_source(const PersistentVolumeClaim& claim,
                                            const std::string& of) {
  const Ref<Claim> source = claims_.get(claim.metadata().namespace_(), of);
  const Ref<Volume> its = source ? volumes_.get("", source->spec().volume_name()) : Ref<Volume>();
  return its && may_be_cloned(*source, *its, options_.driver) ? its : Ref<Volume>();
}

Task<Status> Sidecar::take_on(Context ctx, Ref<Claim> claim, std::string source) {
  const auto here = topology(options_.node);
  if (!here) co_return Status();
  if (!source.empty()) {
    const Ref<Volume> its = clone_source(*claim, source);
    if (!its || !lies_at(*its, *here)) co_return Status();
  }
  Draft<PersistentVolumeClaimEdit> next(*claim);
  next->edit_metadata().edit_annotations().set(volumes::kSelectedNode, options_.node);
  auto r = co_await client().update<Claim>(ctx, next.take());
  co_return r.status().is(Reason::kConflict) ? Status() : r.status();
}

Task<Status> Sidecar::failed(Context ctx, Ref<Claim> claim, Status why, bool reschedule) {
  events().warning(reference_to(claim), "ProvisioningFailed",
                   "failed to provision volume with StorageClass " +
                       quoted(volumes::class_of(*claim)) + ": " + why.message());
  if (!reschedule) co_return why;
  Draft<PersistentVolumeClaimEdit> next(*claim);
  next->edit_metadata().edit_annotations().erase(volumes::kSelectedNode);
  auto r = co_await client().update<Claim>(ctx, next.take());
  co_return r.status();
}

Task<Status> Sidecar::make(Context ctx, Ref<Claim> claim, Ref<Class> c, std::string node) {
  auto plan = plan_provisioning(*claim, *c);
  const bool chosen = !node.empty();  // a node; others may do as well
  if (!plan.ok()) {
    (void)co_await failed(ctx, claim, plan.status(), false);
    co_return Status();  // nothing but another claim changes that
  }
  auto request = std::make_shared<Draft<v1::CreateVolumeRequestEdit>>();
  Draft<v1::CreateVolumeRequestEdit>& q = *request;
  if (!node.empty()) {
    auto where = topology(node);
    if (!where) {
      Status none(Reason::kUnavailable, "no topology key found on CSINode " + node);
      Status told = co_await failed(ctx, claim, none, false);
      co_return told;
    }
    if (!where->empty()) {
      auto need = q->edit_accessibility_requirements();
      fill(need.edit_requisite().add().edit_segments(), *where);
      fill(need.edit_preferred().add().edit_segments(), *where);
    }
  }
  if (!plan->clone_of.empty()) {
    const Ref<Volume> source = clone_source(*claim, plan->clone_of);
    if (!has("CLONE_VOLUME") || !source) {
      Status none(Reason::kInvalid,
                  "the claim " + plan->clone_of + " has no volume that this driver can clone");
      Status told = co_await failed(ctx, claim, none, false);
      co_return told;
    }
    const auto here = chosen ? topology(node) : std::nullopt;
    if (here && !lies_at(*source, *here)) {
      Status none(Reason::kUnavailable,
                  "the volume of the claim " + plan->clone_of + " is not on the node " + node);
      Status told = co_await failed(ctx, claim, none, true);
      co_return told;
    }
    q->edit_volume_content_source().edit_volume().set_volume_id(
        source->spec().csi().volume_handle());
  }
  if (!plan->attributes_class.empty()) {
    const Ref<Attributes> attributes = attributes_.get("", plan->attributes_class);
    std::string why;
    if (!attributes) {
      why = "VAC " + plan->attributes_class + " does not exist.";
    } else if (attributes->driver_name() != options_.driver || !has("MODIFY_VOLUME")) {
      why = "VAC " + plan->attributes_class + " is none of the driver " + options_.driver;
    }
    if (!why.empty()) {
      Status told = co_await failed(ctx, claim, Status(Reason::kUnavailable, why), false);
      co_return told;
    }
    fill(q->edit_mutable_parameters(), map_of(attributes->parameters()));
  }
  auto secrets = co_await secret(ctx, plan->provision);
  if (!secrets.ok()) {
    Status told = co_await failed(ctx, claim, secrets.status(), false);
    co_return told;
  }
  events().normal(
      reference_to(claim), "Provisioning",
      "External provisioner is provisioning volume for claim " + quoted(key_of(*claim)));
  q->set_name(plan->name);
  q->edit_capacity_range().set_required_bytes(plan->bytes);
  for (const Access& a : plan->accesses)
    fill(q->edit_volume_capabilities().add(), a, has("SINGLE_NODE_MULTI_WRITER"));
  fill(q->edit_parameters(), plan->parameters);
  fill(q->edit_secrets(), *secrets);
  const std::string key = key_of(*claim);
  InDoubt doubt;
  doubt.uid = claim->metadata().uid();
  doubt.request = request;
  in_doubt_[key] = std::move(doubt);
  auto got = co_await call<v1::CreateVolumeResponse>(ctx, options_.socket,
                                                     "Controller/CreateVolume", request.get());
  if (!got.ok()) {
    if (is_final(got.status())) in_doubt_.erase(key);
    const bool elsewhere = chosen && code_of(got.status()) == "ResourceExhausted";
    Status told = co_await failed(ctx, claim, got.status(), elsewhere);
    co_return told;
  }
  const v1::CreateVolumeResponse response(got->root);
  if (response.volume().volume_id().empty() || (response.volume().capacity_bytes() > 0 &&
                                                response.volume().capacity_bytes() < plan->bytes)) {
    Status less(Reason::kInternalError, "created volume capacity is less than requested");
    Status told = co_await failed(ctx, claim, less, false);
    co_return told;
  }
  Document object = volume_object(*claim, *c, *plan, options_.driver, response.volume());
  auto made = co_await client().create<Volume>(ctx, std::move(object));
  if (!made.ok() && !made.status().is(Reason::kAlreadyExists)) co_return made.status();
  in_doubt_.erase(key);
  events().normal(reference_to(claim), "ProvisioningSucceeded",
                  "Successfully provisioned volume " + plan->name);
  co_return Status();
}

// Whether provision() goes on for the claim of that uid.
bool Sidecar::is_served(const Ref<Claim>& claim, const std::string& uid) const {
  return claim && claim->metadata().uid() == uid &&
         claim->metadata().deletion_timestamp().empty() && claim->spec().volume_name().empty() &&
         (options_.node.empty() ||
          claim->metadata().annotations().get(volumes::kSelectedNode) == options_.node);
}

// The driver alone knows whether there is a volume: it is asked for it again, which tells its id.
Task<Status> Sidecar::take_back(Context ctx, std::string key) {
  const InDoubt doubt = in_doubt_[key];
  auto told = co_await client().get<Volume>(ctx, "", "pvc-" + doubt.uid);
  if (told.ok()) {  // it is that one's affair
    in_doubt_.erase(key);
    co_return Status();
  }
  if (!told.status().is(Reason::kNotFound)) co_return told.status();
  auto got = co_await call<v1::CreateVolumeResponse>(
      ctx, options_.socket, "Controller/CreateVolume", doubt.request.get());
  if (!got.ok() && !is_final(got.status())) co_return got.status();
  if (got.ok()) {
    Draft<v1::DeleteVolumeRequestEdit> q;
    q->set_volume_id(v1::CreateVolumeResponse(got->root).volume().volume_id());
    fill(q->edit_secrets(), map_of(v1::CreateVolumeRequest(doubt.request->value()).secrets()));
    auto gone = co_await call<v1::DeleteVolumeResponse>(ctx, options_.socket,
                                                        "Controller/DeleteVolume", &q);
    if (!gone.ok()) co_return gone.status();
    log::info("A volume of a claim that has gone was deleted", {{"claim", key}});
  }
  in_doubt_.erase(key);
  co_return Status();
}

// --- deleted ---

Task<Status> Sidecar::remove(Context ctx, Ref<Volume> volume) {
  if (!is_to_be_deleted(*volume, options_.driver)) co_return Status();
  if (!options_.node.empty()) {
    auto here = topology(options_.node);
    if (!here || !lies_at(*volume, *here)) co_return Status();
  }
  for (const Ref<Attachment>& a : attachments_.list()) {
    if (a->spec().source().persistent_volume_name() != volume->metadata().name()) continue;
    events().warning(reference_to(volume), "VolumeFailedDelete",
                     "persistentvolume " + std::string(volume->metadata().name()) +
                         " is still attached to node " + std::string(a->spec().node_name()));
    co_return Status();  // its end is heard of
  }
  SecretName name;
  const std::string prefix = "volume.kubernetes.io/provisioner-deletion-secret-";
  name.name = volume->metadata().annotations().get(prefix + "name");
  name.ns = volume->metadata().annotations().get(prefix + "namespace");
  auto secrets = co_await secret(ctx, name);
  Status s = secrets.status();
  if (s.ok()) {
    Draft<v1::DeleteVolumeRequestEdit> q;
    q->set_volume_id(volume->spec().csi().volume_handle());
    fill(q->edit_secrets(), *secrets);
    auto got = co_await call<v1::DeleteVolumeResponse>(ctx, options_.socket,
                                                       "Controller/DeleteVolume", &q);
    s = got.status();
  }
  if (!s.ok()) {
    events().warning(reference_to(volume), "VolumeFailedDelete", s.message());
    co_return s;
  }
  s = co_await controllers::forget_provisioned(ctx, &client(), volume);
  co_return s;
}

// --- grown ---

Task<Status> Sidecar::grow(Context ctx, Ref<Claim> claim, Ref<Volume> volume) {
  const int64_t bytes = asked_beyond(*claim, *volume);
  if (bytes == 0 || !has("EXPAND_VOLUME")) co_return Status();
  if (!options_.node.empty()) {
    auto here = topology(options_.node);
    if (!here || !lies_at(*volume, *here)) co_return Status();
  }
  const auto ref = volume->spec().csi().controller_expand_secret_ref();
  SecretName name;
  name.name = ref.name();
  name.ns = ref.namespace_();
  auto secrets = co_await secret(ctx, name);
  if (!secrets.ok()) co_return secrets.status();
  events().normal(reference_to(claim), "Resizing",
                  "External resizer is resizing volume " + std::string(volume->metadata().name()));
  Draft<v1::ControllerExpandVolumeRequestEdit> q;
  q->set_volume_id(volume->spec().csi().volume_handle());
  q->edit_capacity_range().set_required_bytes(bytes);
  fill(q->edit_secrets(), *secrets);
  Access access;
  access.block = volumes::is_block(*volume);
  access.fs_type = volume->spec().csi().fs_type();
  if (!volume->spec().access_modes().empty()) access.mode = volume->spec().access_modes()[0];
  fill(q->edit_volume_capability(), access, has("SINGLE_NODE_MULTI_WRITER"));
  auto got = co_await call<v1::ControllerExpandVolumeResponse>(
      ctx, options_.socket, "Controller/ControllerExpandVolume", &q);
  if (!got.ok()) {
    events().warning(reference_to(claim), "VolumeResizeFailed",
                     "resize volume " + quoted(volume->metadata().name()) + " by resizer " +
                         quoted(options_.driver) + " failed: " + got.status().message());
    co_return got.status();
  }
  const v1::ControllerExpandVolumeResponse response(got->root);
  const bool on_node = response.node_expansion_required();
  const std::string size(claim->spec().resources().requests().get("storage"));
  const Quantity has = Quantity::parse_or_zero(volume->spec().capacity().get("storage"));
  if (has < Quantity::parse_or_zero(size)) {
    Draft<PersistentVolumeEdit> larger(*volume);
    larger->edit_spec().edit_capacity().set("storage", size);
    auto r = co_await client().update<Volume>(ctx, larger.take());
    if (!r.ok()) co_return r.status();
  }
  Status s = co_await tell_grown(ctx, claim, size, on_node);
  co_return s;
}

Task<Status> Sidecar::tell_grown(Context ctx, Ref<Claim> claim, std::string size, bool on_node) {
  const std::string ns(claim->metadata().namespace_()), name(claim->metadata().name());
  const std::string uid(claim->metadata().uid());
  const int64_t bytes = Quantity::parse_or_zero(size).value();
  Status s;
  for (int i = 0; i < kConflicts; ++i) {
    Draft<PersistentVolumeClaimEdit> next(*claim);
    describe_grown(next->edit_status(), *claim, size, on_node, format_time(loop().wall_now()));
    auto r = co_await client().update_status<Claim>(ctx, next.take());
    s = r.status();
    if (!s.is(Reason::kConflict)) break;
    auto newer = co_await client().get<Claim>(ctx, ns, name);
    if (!newer.ok()) co_return newer.status();
    claim = *newer;
    if (claim->metadata().uid() != uid || knows_of(*claim, bytes)) co_return Status();
  }
  if (!s.ok()) co_return s;
  if (on_node) {
    events().normal(reference_to(claim), "FileSystemResizeRequired",
                    "Require file system resize of volume on node");
  } else {
    events().normal(reference_to(claim), "VolumeResizeSuccessful", "Resize volume succeeded");
  }
  co_return Status();
}

// --- what room there is ---

bool Sidecar::tracks_capacity() const {
  const Ref<Driver> driver = drivers_.get("", options_.driver);
  return !driver || driver->spec().storage_capacity();
}

Task<void> Sidecar::tell_capacity(Context ctx) {
  while (!ctx.done()) {
    places_changed_.reset();
    std::set<std::string> kept;
    const bool tracked = tracks_capacity();
    for (const Ref<Class>& c : classes_.list()) {
      if (!tracked || c->provisioner() != options_.driver) continue;
      std::vector<StringMap> places;
      for (const Ref<CsiNode>& n : csi_nodes_.list()) {
        const std::string name(n->metadata().name());
        if (!options_.node.empty() && name != options_.node) continue;
        auto where = topology(name);
        if (where && std::find(places.begin(), places.end(), *where) == places.end())
          places.push_back(*where);
      }
      for (const StringMap& where : places) {
        std::string all = options_.driver + "/" + std::string(c->metadata().name());
        for (const auto& [key, value] : where) all += "/" + key + "=" + value;
        const std::string name = "csisc-" + net::hex(net::sha256(all)).substr(0, 20);
        kept.insert(name);
        Status s = co_await tell_capacity_of(ctx, c, where, name);
        if (!s.ok() && !ctx.done())
          log::warn("Cannot tell what room there is",
                    {{"class", c->metadata().name()}, {"error", s}});
      }
    }
    Status s = co_await forget_capacities(ctx, std::move(kept));
    if (!s.ok() && !ctx.done()) log::warn("Cannot look at storage capacities", {{"error", s}});
    Context period = tracked || !s.ok() ? ctx.with_timeout(kCapacityPeriod) : ctx;
    (void)co_await places_changed_.wait(period);
    // A few changes at once are one.
    (void)co_await ctx.sleep(100ms);
  }
}

// Of classes or places that have gone, or that are another driver's by now. One that serves a node
// leaves those of other nodes to theirs.
Task<Status> Sidecar::forget_capacities(Context ctx, std::set<std::string> kept) {
  const auto here = options_.node.empty() ? std::nullopt : topology(options_.node);
  if (!options_.node.empty() && !here) co_return Status();
  ListOptions options;
  options.label_selector = "csi.storage.k8s.io/drivername=" + options_.driver;
  auto all = co_await client().list<CSIStorageCapacity>(ctx, options_.capacity_namespace, options);
  if (!all.ok()) co_return all.status();
  for (const Ref<CSIStorageCapacity>& c : *all) {
    const std::string name(c->metadata().name());
    if (kept.contains(name) ||
        c->metadata().labels().get("csi.storage.k8s.io/managed-by") != "external-provisioner")
      continue;
    if (here && map_of(c->node_topology().match_labels()) != *here) continue;
    Status s = co_await client().remove<CSIStorageCapacity>(ctx, options_.capacity_namespace, name);
    if (!s.ok() && !s.is(Reason::kNotFound)) co_return s;
  }
  co_return Status();
}

Task<Status> Sidecar::tell_capacity_of(Context ctx, Ref<Class> c, StringMap topology,
                                       std::string name) {
  Draft<v1::GetCapacityRequestEdit> q;
  for (auto [key, value] : c->parameters())
    if (!key.starts_with(kOwnParameters)) q->edit_parameters().set(key, value);
  fill(q->edit_accessible_topology().edit_segments(), topology);
  auto got =
      co_await call<v1::GetCapacityResponse>(ctx, options_.socket, "Controller/GetCapacity", &q);
  if (!got.ok()) co_return got.status();
  const v1::GetCapacityResponse response(got->root);
  Draft<CSIStorageCapacityEdit> next;
  auto there = co_await client().get<CSIStorageCapacity>(ctx, options_.capacity_namespace, name);
  if (there.ok()) next = Draft<CSIStorageCapacityEdit>(**there);
  next->edit_metadata().set_name(name);
  next->edit_metadata().set_namespace_(options_.capacity_namespace);
  next->edit_metadata().edit_labels().set("csi.storage.k8s.io/drivername", options_.driver);
  next->edit_metadata().edit_labels().set("csi.storage.k8s.io/managed-by", "external-provisioner");
  next->set_storage_class_name(c->metadata().name());
  for (const auto& [key, value] : topology)
    next->edit_node_topology().edit_match_labels().set(key, value);
  next->set_capacity(
      Quantity::from_int(response.available_capacity(), Quantity::Format::kBinarySI).to_string());
  if (response.has_maximum_volume_size())
    next->set_maximum_volume_size(
        Quantity::from_int(response.maximum_volume_size().value(), Quantity::Format::kBinarySI)
            .to_string());
  if (there.ok()) {
    auto r = co_await client().update<CSIStorageCapacity>(ctx, next.take());
    co_return r.status();
  }
  auto r = co_await client().create<CSIStorageCapacity>(ctx, next.take());
  co_return r.status();
}

}  // namespace keles::csi
