#include "controllers/storage/local_path.h"

#include <algorithm>

#include "controllers/options.h"
#include "controllers/storage/provisioned.h"
#include "machinery/volumes/claim_rules.h"

namespace keles::controllers {

using namespace api::core_v1;
using api::storage_v1::StorageClass;

namespace {

constexpr std::string_view kHelperImage = "keles.dev/pause:3.10";
constexpr std::string_view kNodeAnnotation = "local.path.provisioner/selected-node";
constexpr std::string_view kWakes = "local.path.provisioner/for";
constexpr const char* kByKey = "for";  // the index of helpers
constexpr std::string_view kHostname = "kubernetes.io/hostname";

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

std::string volume_name(const PersistentVolumeClaim& claim) {
  return "pvc-" + std::string(claim.metadata().uid());
}

std::string create_helper_name(const PersistentVolumeClaim& claim) {
  return "helper-pod-create-" + volume_name(claim);
}

std::string delete_helper_name(const std::string& volume) { return "helper-pod-delete-" + volume; }

bool is_ours(const PersistentVolume& v) {
  return v.metadata().annotations().get(volumes::kProvisionedBy) == kLocalPathProvisioner;
}

Status refuse(std::string why) { return Status(Reason::kInvalid, std::move(why)); }

}  // namespace

Status check_local_path(const PersistentVolumeClaim& claim) {
  if (claim.spec().has_selector()) return refuse("claim.Spec.Selector is not supported");
  if (volumes::is_block(claim)) return refuse("block volumes are not supported");
  for (std::string_view mode : claim.spec().access_modes()) {
    if (mode != "ReadWriteOnce" && mode != "ReadWriteOncePod") {
      return refuse(
          "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes");
    }
  }
  return {};
}

std::string local_path_of(const std::string& directory, const PersistentVolumeClaim& claim) {
  return directory + "/" + volume_name(claim) + "_" + std::string(claim.metadata().namespace_()) +
         "_" + std::string(claim.metadata().name());
}

Document local_path_volume(const PersistentVolumeClaim& claim, const StorageClass& storage_class,
                           const Node& node, const std::string& path) {
  Draft<PersistentVolumeEdit> v;
  describe_provisioned(*v, volume_name(claim), kLocalPathProvisioner, claim, storage_class);
  v->edit_metadata().edit_annotations().set(kNodeAnnotation, node.metadata().name());
  auto spec = v->edit_spec();
  spec.edit_capacity().set("storage", claim.spec().resources().requests().get("storage"));
  spec.set_volume_mode("Filesystem");
  auto host_path = spec.edit_host_path();
  host_path.set_path(path);
  host_path.set_type("DirectoryOrCreate");
  auto e = spec.edit_node_affinity()
               .edit_required()
               .edit_node_selector_terms()
               .add()
               .edit_match_expressions()
               .add();
  e.set_key(kHostname);
  e.set_operator_("In");
  const std::string_view host = node.metadata().labels().get(kHostname);
  e.edit_values().add(host.empty() ? node.metadata().name() : host);
  return v.take();
}

Document local_path_helper(const std::string& name, bool make, const std::string& path,
                           const std::string& node, const std::string& wakes) {
  const size_t slash = path.rfind('/');
  Draft<PodEdit> pod;
  auto meta = pod->edit_metadata();
  meta.set_name(name);
  meta.set_namespace_(kLocalPathNamespace);
  meta.edit_annotations().set(kWakes, wakes);
  auto spec = pod->edit_spec();
  spec.set_node_name(node);
  spec.set_restart_policy("Never");
  spec.set_automount_service_account_token(false);
  spec.edit_tolerations().add().set_operator_("Exists");
  auto volume = spec.edit_volumes().add();
  volume.set_name("data");
  auto source = volume.edit_host_path();
  source.set_path(path.substr(0, slash));
  source.set_type("DirectoryOrCreate");
  auto c = spec.edit_containers().add();
  c.set_name("helper-pod");
  c.set_image(kHelperImage);
  c.set_image_pull_policy("IfNotPresent");
  auto args = c.edit_args();
  args.add(std::string_view(make ? "make-directory" : "remove-directory"));
  args.add(std::string_view("/data" + path.substr(slash)));
  c.edit_security_context().set_run_as_user(0);
  auto mount = c.edit_volume_mounts().add();
  mount.set_name("data");
  mount.set_mount_path("/data");
  return pod.take();
}

Document local_path_class() {
  Draft<api::storage_v1::StorageClassEdit> c;
  auto meta = c->edit_metadata();
  meta.set_name("standard");
  meta.edit_annotations().set("storageclass.kubernetes.io/is-default-class", "true");
  c->set_provisioner(kLocalPathProvisioner);
  c->set_reclaim_policy("Delete");
  c->set_volume_binding_mode("WaitForFirstConsumer");
  return c.take();
}

bool wants_removal(const PersistentVolume& v) {
  if (!is_ours(v) || v.spec().persistent_volume_reclaim_policy() != "Delete") return false;
  const std::string_view phase = v.status().phase();
  if (phase == "Released" || phase == "Failed") return true;
  return !v.metadata().deletion_timestamp().empty() && phase != "Bound";
}

LocalPathProvisioner::LocalPathProvisioner(Deps deps)
    : Controller(deps, "local-path-provisioner", std::string(kLocalPathProvisioner), 2),
      claims_(watch_own<Claim>()),
      volumes_(watch_own<Volume>()),
      classes_(watch<StorageClass>()),
      nodes_(watch<Node>()),
      helpers_(deps.informers.informer<Pod>(std::string(kLocalPathNamespace))),
      group_(deps.client.loop()) {
  watch_also(helpers_.base());
  helpers_.base().add_index(kByKey, [](const ObjectPtr& o) {
    const std::string_view key = read<Pod>(o)->metadata().annotations().get(kWakes);
    return key.empty() ? std::vector<std::string>() : std::vector<std::string>{std::string(key)};
  });
  helpers_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    std::string key((now ? now : before)->metadata().annotations().get(kWakes));
    if (!key.empty()) queue().add(std::move(key));
  });
}

void LocalPathProvisioner::started(Context ctx) { group_.spawn(set_up(ctx)); }

Task<void> LocalPathProvisioner::stopped() { co_await group_.join(); }

Task<void> LocalPathProvisioner::set_up(Context ctx) {
  for (Duration wait = 1s; !ctx.done(); wait = std::min<Duration>(wait * 2, 1min)) {
    Draft<NamespaceEdit> ns;
    ns->edit_metadata().set_name(kLocalPathNamespace);
    // The class first: the namespace says that all has been done.
    auto there = co_await client().get<Namespace>(ctx, "", std::string(kLocalPathNamespace));
    if (there.ok()) co_return;
    if (there.status().is(Reason::kNotFound)) {
      auto c = co_await client().create<StorageClass>(ctx, local_path_class());
      if (c.ok() || c.status().is(Reason::kAlreadyExists)) {
        auto made = co_await client().create<Namespace>(ctx, ns.take());
        if (made.ok() || made.status().is(Reason::kAlreadyExists)) co_return;
      }
    }
    Status s = co_await ctx.sleep(wait);
    if (!s.ok()) co_return;
  }
}

Task<ReconcileResult> LocalPathProvisioner::reconcile(Context ctx, std::string key) {
  const auto [ns, name] = split_key(key);
  const Ref<Volume> volume = ns.empty() ? volumes_.get("", name) : Ref<Volume>();
  const Ref<Claim> claim = ns.empty() ? Ref<Claim>() : claims_.get(ns, name);
  std::string kept;
  if (volume) kept = delete_helper_name(name);
  if (claim) kept = create_helper_name(*claim);
  Status s = co_await drop_helpers(ctx, key, kept);
  if (!s.ok()) co_return s;
  if (volume && is_ours(*volume)) s = co_await remove_volume(ctx, volume);
  if (claim) s = co_await provision(ctx, claim);
  co_return s;
}

Task<Status> LocalPathProvisioner::drop_helpers(Context ctx, std::string key, std::string kept) {
  std::vector<Ref<Pod>> stray;
  for (const Ref<Pod>& helper : helpers_.by_index(kByKey, key))
    if (helper->metadata().name() != kept) stray.push_back(helper);
  for (const Ref<Pod>& helper : stray) {
    Status s = co_await drop_helper(ctx, helper);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

Task<Status> LocalPathProvisioner::drop_helper(Context ctx, Ref<Pod> helper) {
  DeleteOptions options;
  options.uid = helper->metadata().uid();
  options.grace_period_seconds = 0;
  const std::string ns(kLocalPathNamespace), name(helper->metadata().name());
  Status s = co_await remove_once(ctx, &client(), &kind_of<Pod>(), ns, name, options);
  co_return s;
}

Task<Status> LocalPathProvisioner::give_up(Context ctx, Ref<Claim> claim, std::string why) {
  events().warning(reference_to(claim), "ProvisioningFailed",
                   "failed to provision volume with StorageClass " +
                       quoted(volumes::class_of(*claim)) + ": " + why);
  Draft<PersistentVolumeClaimEdit> next(*claim);
  next->edit_metadata().edit_annotations().erase(volumes::kSelectedNode);
  auto r = co_await client().update<Claim>(ctx, next.take());
  co_return r.status();
}

Task<Status> LocalPathProvisioner::provision(Context ctx, Ref<Claim> claim) {
  const auto annotations = claim->metadata().annotations();
  const std::string node(annotations.get(volumes::kSelectedNode));
  const std::string name = volume_name(*claim);
  const std::string helper_name = create_helper_name(*claim);
  const Ref<Pod> helper = helpers_.get(kLocalPathNamespace, helper_name);
  const bool wanted = annotations.get(volumes::kStorageProvisioner) == kLocalPathProvisioner &&
                      claim->spec().volume_name().empty() && !node.empty() &&
                      claim->metadata().deletion_timestamp().empty();
  if (!wanted || volumes_.get("", name)) {
    if (!helper) co_return Status();
    Status s = co_await drop_helper(ctx, helper);
    co_return s;
  }
  const Ref<StorageClass> c = classes_.get("", volumes::class_of(*claim));
  if (!c || c->provisioner() != kLocalPathProvisioner) co_return Status();
  Status s = check_local_path(*claim);
  if (!s.ok()) {
    s = co_await give_up(ctx, claim, s.message());
    co_return s;
  }
  if (!helper) {
    const std::string key =
        std::string(claim->metadata().namespace_()) + "/" + std::string(claim->metadata().name());
    events().normal(reference_to(claim), "Provisioning",
                    "External provisioner is provisioning volume for claim " + quoted(key));
    Document pod =
        local_path_helper(helper_name, true,
                          local_path_of(options().storage.local_path_directory, *claim), node, key);
    auto made = co_await client().create<Pod>(ctx, std::move(pod));
    const bool there = made.status().is(Reason::kAlreadyExists);
    co_return there ? Status() : made.status();
  }
  s = co_await finish(ctx, claim, c, helper, node);
  co_return s;
}

Task<Status> LocalPathProvisioner::finish(Context ctx, Ref<Claim> claim, Ref<StorageClass> c,
                                          Ref<Pod> helper, std::string node) {
  const std::string_view phase = helper->status().phase();
  const Ref<Node> n = nodes_.get("", node);
  const bool elsewhere = helper->spec().node_name() != node;
  Status s;
  if (elsewhere) {
    s = co_await drop_helper(ctx, helper);
    co_return s;
  }
  if (phase == "Failed" || !n) {
    s = co_await drop_helper(ctx, helper);
    if (!s.ok()) co_return s;
    std::string why = "failed to create volume " + volume_name(*claim) + ": ";
    why += n ? "the helper pod failed" : "node " + quoted(node) + " not found";
    s = co_await give_up(ctx, claim, std::move(why));
    co_return s;
  }
  if (phase != "Succeeded") co_return Status();
  Document volume = local_path_volume(
      *claim, *c, *n, local_path_of(options().storage.local_path_directory, *claim));
  auto made = co_await client().create<Volume>(ctx, std::move(volume));
  if (!made.ok() && !made.status().is(Reason::kAlreadyExists)) co_return made.status();
  events().normal(reference_to(claim), "ProvisioningSucceeded",
                  "Successfully provisioned volume " + volume_name(*claim));
  s = co_await drop_helper(ctx, helper);
  co_return s;
}

Task<Status> LocalPathProvisioner::remove_volume(Context ctx, Ref<Volume> volume) {
  const std::string name(volume->metadata().name());
  const std::string helper_name = delete_helper_name(name);
  const Ref<Pod> helper = helpers_.get(kLocalPathNamespace, helper_name);
  Status s;
  if (!wants_removal(*volume)) {
    const bool going = !volume->metadata().deletion_timestamp().empty();
    const bool kept = volume->spec().persistent_volume_reclaim_policy() != "Delete";
    if (going && kept) s = co_await forget_provisioned(ctx, &client(), volume);
    co_return s;
  }
  const std::string path(volume->spec().host_path().path());
  if (path.substr(0, path.rfind('/')) != options().storage.local_path_directory ||
      path.ends_with('/')) {
    events().warning(reference_to(volume), "VolumeFailedDelete",
                     path + " is no directory of this provisioner");
    co_return Status();
  }
  const std::string node(volume->metadata().annotations().get(kNodeAnnotation));
  const std::string_view phase = helper ? helper->status().phase() : std::string_view();
  // What a node had that has gone has gone with it.
  if (!nodes_.get("", node) || phase == "Succeeded") {
    s = co_await forget_provisioned(ctx, &client(), volume);
    if (s.ok() && helper) s = co_await drop_helper(ctx, helper);
    co_return s;
  }
  if (!helper) {
    Document pod = local_path_helper(helper_name, false, path, node, name);
    auto made = co_await client().create<Pod>(ctx, std::move(pod));
    const bool there = made.status().is(Reason::kAlreadyExists);
    co_return there ? Status() : made.status();
  }
  if (phase != "Failed") co_return Status();
  events().warning(reference_to(volume), "VolumeFailedDelete",
                   "failed to delete volume " + name + ": the helper pod failed");
  s = co_await drop_helper(ctx, helper);
  if (!s.ok()) co_return s;
  co_return Status(Reason::kInternalError, "the helper pod of volume " + name + " failed");
}

}  // namespace keles::controllers
