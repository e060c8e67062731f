#include "node/csi/csi_volumes.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/volumes/claim_rules.h"
#include "net/pki.h"
#include "node/csi/csi_source.h"
#include "node/volumes/persistent_volume.h"

namespace keles::node {

using namespace api::core_v1;
using api::storage_v1::CSIDriver;
using api::storage_v1::VolumeAttachment;

namespace {

constexpr Duration kAttachTimeout = 2min;

std::string attachment_name(const std::string& handle, const std::string& driver,
                            const std::string& node) {
  return "csi-" + net::hex(net::sha256(handle + driver + node));
}

// Says beside a volume whose it is; a device's has a link in the pod.
Status note_published(const CsiPaths& paths, const VolumeData& data, const std::string& target,
                      bool block, const std::string& uid, const std::string& name) {
  if (!block) return save_volume_data(paths.volume(uid, name), data);
  TRY(make_directories(target.substr(0, target.rfind('/')), 0750));
  TRY(save_volume_data(paths.block_data(name), data));
  const std::string link = paths.pod_device(uid, name);
  TRY(make_directories(link.substr(0, link.rfind('/')), 0750));
  if (::symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST)
    return Status::internal("symlink " + link + ": " + std::strerror(errno));
  return {};
}

}  // namespace

// One volume, for as long as something is done with it.
bool CsiVolumes::wanted(const std::string& key, const std::string& but_by) const {
  auto it = wanted_.find(key);
  if (it == wanted_.end()) return false;
  return it->second.size() > it->second.count(but_by);
}

Task<Result<CsiMounted>> CsiVolumes::set_up(Context ctx, CsiRequest r) {
  auto source = std::make_shared<Source>();
  Status s = source->read(r);
  if (!s.ok()) co_return s.with_prefix(source->setting_up());
  std::unique_ptr<KeyedLocks::Hold> hold;
  s = co_await locks_.acquire(ctx, source->key(), &hold);
  if (!s.ok()) co_return s;
  if (wanted_[source->key()].insert(source->uid).second) {
    const std::string at =
        source->block ? paths_.block_data(source->name) : paths_.volume(source->uid, source->name);
    std::function<bool()> look = [at] { return load_volume_data(at).ok(); };
    const bool there = co_await run_blocking(&ctx.loop(), std::move(look));
    if (there) inherited_.insert({source->uid, source->name});
  }
  auto got = co_await set_up_held(ctx, std::move(r), source);
  co_return got;
}

Task<Result<CsiMounted>> CsiVolumes::set_up_held(Context ctx, CsiRequest r,
                                                 std::shared_ptr<Source> source) {
  auto driver = drivers_.find(source->driver);
  if (!driver.ok()) co_return source->no_driver(driver.status());
  auto policy = co_await policy_of(ctx, source->driver);
  Status s = policy.status();
  if (s.ok()) source->policy = *policy;
  if (s.ok()) s = source->check_mode();
  if (!s.ok()) co_return s.with_prefix(source->setting_up());
  CsiMounted out;
  out.device = source->block;
  out.republish = source->policy.republish && !source->block;
  out.path = source->block ? paths_.block_publish(source->name, source->uid)
                           : paths_.target(source->uid, source->name);
  if (r.again && !out.republish) {
    if (r.persistent) s = co_await expand(ctx, *driver, r, source);
    if (!s.ok()) log::warn("A volume was not expanded", {{"volume", source->name}, {"error", s}});
    out.grown = s.ok();
    co_return out;
  }
  if (r.persistent) {
    if (source->policy.attach) {
      s = co_await wait_attached(ctx, source);
      if (!s.ok()) co_return s;
    }
    if (driver->has("STAGE_UNSTAGE_VOLUME")) {
      source->staging = source->block ? paths_.block_staging(source->name)
                                      : paths_.staging(source->driver, source->handle);
      s = co_await stage(ctx, *driver, source);
      if (!s.ok()) co_return s.with_prefix(source->mounting_device());
    }
  }
  s = co_await publish(ctx, *driver, r, source);
  if (s.ok() && r.persistent) {
    s = co_await expand(ctx, *driver, r, source);
    out.grown = s.ok();
    if (!s.ok() && inherited_.contains({source->uid, source->name})) {
      log::warn("A volume was not expanded", {{"volume", source->name}, {"error", s}});
      s = Status();
    }
  }
  if (!s.ok()) co_return s.with_prefix(source->setting_up());
  inherited_.erase({source->uid, source->name});
  Given& given = given_[source->uid][r.volume];
  given.volume = r.volume;
  if (r.claim) given.claim = r.claim->metadata().name();
  given.use.uid = source->uid;
  given.use.name = source->name;
  given.use.driver = source->driver;
  given.use.handle = source->handle;
  given.use.block = source->block;
  co_return out;
}

Task<Result<CsiVolumes::Policy>> CsiVolumes::policy_of(Context ctx, std::string driver) {
  Policy out;
  auto got = co_await client_.get<CSIDriver>(ctx, "", driver);
  if (got.status().is(Reason::kNotFound)) co_return out;
  if (!got.ok()) co_return got.status();
  out.read(**got);
  co_return out;
}

Task<Result<csi::StringMap>> CsiVolumes::secret(Context ctx, std::string ns, std::string name) {
  csi::StringMap out;
  if (name.empty()) co_return out;
  auto got = co_await client_.get<Secret>(ctx, ns, name);
  if (!got.ok()) {
    co_return Status(got.status().reason(), "kubernetes.io/csi: failed to find the secret " + name +
                                                " in the namespace " + ns +
                                                " with error: " + got.status().message());
  }
  for (auto entry : (*got)->data()) {
    auto bytes = base64_decode(entry.value);
    if (bytes.ok()) out[std::string(entry.key)] = std::move(*bytes);
  }
  co_return out;
}

// --- attached ---

bool CsiVolumes::observe(const Node& node) {
  std::set<std::string> now;
  for (auto v : node.status().volumes_attached()) now.emplace(v.name());
  // What an earlier agent said, or nothing of a Node that was made anew. A copy that is older than
  // what was written costs a write that changes nothing.
  reported_.clear();
  for (std::string_view name : node.status().volumes_in_use()) reported_.emplace(name);
  if (now != attached_) {
    attached_ = std::move(now);
    attached_changed_.set();
  }
  return found_on_disk_ && reported_ != attachable_;
}

// The controllers take no volume from a node that says that it uses it: it is said before anything
// is done with it.
Task<Status> CsiVolumes::report_in_use(Context ctx) {
  TRY_CO(reporting_.acquire(ctx));
  std::set<std::string> now;
  if (!found_on_disk_) {
    const OnDisk there = co_await look_at_disk(ctx);
    for (const CsiUse& use : there.uses)
      if (!use.ephemeral) attachable_.insert(csi_unique_name(use.driver, use.handle));
    for (const CsiStaged& one : there.staged)
      attachable_.insert(csi_unique_name(one.driver, one.handle));
    found_on_disk_ = true;
  }
  now = attachable_;
  Status s;
  if (now != reported_) {
    Draft<NodeEdit> patch;
    auto status = patch->edit_status();
    auto list = status.edit_volumes_in_use();
    for (const std::string& name : now) list.add(name);
    WriteOptions options;
    options.subresource = "status";
    auto r = co_await client_.patch(ctx, &kind_of<Node>(), "", node_, PatchType::kMerge,
                                    patch.take(), options);
    s = r.status();
    if (s.ok()) reported_ = now;
  }
  reporting_.release();
  co_return s;
}

Task<Status> CsiVolumes::wait_attached(Context ctx, std::shared_ptr<Source> source) {
  const std::string key = source->key();
  attachable_.insert(key);
  Status s = co_await report_in_use(ctx);
  if (!s.ok()) co_return s.with_prefix("Unable to attach or mount volumes");
  Context limit = ctx.with_timeout(kAttachTimeout);
  while (!attached_.contains(key)) {
    attached_changed_.reset();
    s = co_await attached_changed_.wait(limit);
    if (s.ok()) continue;
    if (ctx.done()) co_return ctx.status();
    const std::string list = "[" + source->volume + "]";
    co_return Status(Reason::kTimeout, "Unable to attach or mount volumes: unmounted volumes=" +
                                           list + ", unattached volumes=" + list +
                                           ", failed to process volumes=[]: context deadline "
                                           "exceeded");
  }
  auto attachment = co_await client_.get<VolumeAttachment>(
      ctx, "", attachment_name(source->handle, source->driver, node_));
  if (!attachment.ok()) co_return attachment.status().with_prefix(source->mounting_device());
  if (!(*attachment)->status().attached()) {
    co_return Status(Reason::kUnavailable,
                     source->mounting_device() + ": volume attachment is being detached");
  }
  source->publish_context = csi::map_of((*attachment)->status().attachment_metadata());
  co_return Status();
}

// --- staged ---

Task<Status> CsiVolumes::stage(Context ctx, CsiDriver driver, std::shared_ptr<Source> source) {
  if (staged_.contains(source->key())) co_return Status();
  auto secrets = co_await secret(ctx, source->stage_secret.first, source->stage_secret.second);
  if (!secrets.ok()) {
    co_return secrets.status().with_prefix("fetching NodeStageSecretRef " +
                                           source->stage_secret.first + "/" +
                                           source->stage_secret.second + " failed");
  }
  VolumeData data;
  data["driverName"] = source->driver;
  data["volumeHandle"] = source->handle;
  const std::string at = source->block ? paths_.block_data(source->name)
                                       : paths_.staged(source->driver, source->handle);
  // An earlier agent, or an earlier call that was in doubt, may have staged it.
  std::function<Result<bool>()> work = [at, data, staging = source->staging]() -> Result<bool> {
    const bool before = load_volume_data(at).ok();
    TRY(make_directories(staging, 0750));
    TRY(save_volume_data(at, data));
    return before;
  };
  TRY_ASSIGN_CO(before, run_blocking(&ctx.loop(), std::move(work)));
  Draft<csi::v1::NodeStageVolumeRequestEdit> request;
  request->set_volume_id(source->handle);
  request->set_staging_target_path(source->staging);
  csi::fill(request->edit_publish_context(), source->publish_context);
  csi::fill(request->edit_secrets(), *secrets);
  csi::fill(request->edit_volume_context(), source->attributes);
  csi::Access access = source->access;
  if (driver.has("VOLUME_MOUNT_GROUP") && source->group) access.mount_group = *source->group;
  csi::fill(request->edit_volume_capability(), access, driver.has("SINGLE_NODE_MULTI_WRITER"));
  auto got = co_await csi::call<csi::v1::NodeStageVolumeResponse>(ctx, driver.endpoint,
                                                                  "Node/NodeStageVolume", &request);
  if (!got.ok()) {
    CsiStaged none;
    none.driver = source->driver;
    none.handle = source->handle;
    none.block = source->block;
    if (none.block) none.name = source->name;
    if (before || !csi::is_final(got.status())) co_return got.status();
    std::function<Status()> undo = [paths = paths_, none]() -> Status {
      for (const CsiUse& use : paths.uses())
        if (use.driver == none.driver && use.handle == none.handle) return {};
      return paths.remove_staged(none);
    };
    (void)co_await run_blocking(&ctx.loop(), std::move(undo));
    co_return got.status();
  }
  staged_.insert(source->key());
  co_return Status();
}

Task<Status> CsiVolumes::unstage(Context ctx, CsiStaged one) {
  const std::string key = csi_unique_name(one.driver, one.handle);
  const std::string at =
      one.block ? paths_.block_staging(one.name) : paths_.staging(one.driver, one.handle);
  auto driver = drivers_.find(one.driver);
  if (!driver.ok()) {
    co_return driver.status().with_prefix(
        "kubernetes.io/csi: attacher.UnmountDevice failed to create newCsiDriverClient");
  }
  if (driver->has("STAGE_UNSTAGE_VOLUME")) {
    Draft<csi::v1::NodeUnstageVolumeRequestEdit> request;
    request->set_volume_id(one.handle);
    request->set_staging_target_path(at);
    auto got = co_await csi::call<csi::v1::NodeUnstageVolumeResponse>(
        ctx, driver->endpoint, "Node/NodeUnstageVolume", &request);
    if (!got.ok())
      co_return got.status().with_prefix("kubernetes.io/csi: attacher.UnmountDevice failed");
  }
  staged_.erase(key);
  std::function<Status()> remove = [paths = paths_, one] { return paths.remove_staged(one); };
  Status s = co_await run_blocking(&ctx.loop(), std::move(remove));
  if (!s.ok()) co_return s;
  if (attachable_.erase(key) > 0) s = co_await report_in_use(ctx);
  co_return s;
}

// --- published ---

Task<Status> CsiVolumes::add_token(Context ctx, CsiRequest r, std::shared_ptr<Source> source) {
  std::string json = "{";
  for (const auto& [audience, seconds] : source->policy.tokens) {
    auto token = co_await tokens_(ctx, r.pod, audience, seconds);
    if (!token.ok()) {
      co_return token.status().with_prefix(
          "kubernetes.io/csi: mounter.SetUpAt failed to get service accoount token attributes");
    }
    if (json.size() > 1) json += ',';
    write_json_string(json, audience);
    json += ":{\"token\":";
    write_json_string(json, token->token);
    json += ",\"expirationTimestamp\":";
    write_json_string(json, token->expires);
    json += '}';
  }
  json += '}';
  csi::StringMap& into = source->policy.tokens_in_secrets ? source->secrets : source->attributes;
  into["csi.storage.k8s.io/serviceAccount.tokens"] = json;
  co_return Status();
}

Task<Status> CsiVolumes::publish(Context ctx, CsiDriver driver, CsiRequest r,
                                 std::shared_ptr<Source> source) {
  auto secrets = co_await secret(ctx, source->publish_secret.first, source->publish_secret.second);
  if (!secrets.ok()) {
    co_return secrets.status().with_prefix("fetching NodePublishSecretRef " +
                                           source->publish_secret.first + "/" +
                                           source->publish_secret.second + " failed");
  }
  source->secrets = *secrets;
  if (source->policy.pod_info) source->add_pod_info(*r.pod);
  Status s;
  if (!source->policy.tokens.empty() && !source->block) s = co_await add_token(ctx, r, source);
  if (!s.ok()) co_return s;
  const std::string target = source->block ? paths_.block_publish(source->name, source->uid)
                                           : paths_.target(source->uid, source->name);
  // Whoever takes the pod down finds it, whatever becomes of the call.
  VolumeData data = source->data(attachment_name(source->handle, source->driver, node_), node_);
  std::function<Status()> note = [paths = paths_, data, target, block = source->block,
                                  uid = source->uid, name = source->name] {
    return note_published(paths, data, target, block, uid, name);
  };
  s = co_await run_blocking(&ctx.loop(), std::move(note));
  if (!s.ok()) co_return s;
  Draft<csi::v1::NodePublishVolumeRequestEdit> request;
  request->set_volume_id(source->handle);
  request->set_target_path(target);
  if (!source->staging.empty()) request->set_staging_target_path(source->staging);
  if (r.read_only) request->set_readonly(true);
  csi::fill(request->edit_publish_context(), source->publish_context);
  csi::fill(request->edit_secrets(), source->secrets);
  csi::fill(request->edit_volume_context(), source->attributes);
  const bool mounts_group = driver.has("VOLUME_MOUNT_GROUP");
  csi::Access access = source->access;
  if (mounts_group && source->group) access.mount_group = *source->group;
  csi::fill(request->edit_volume_capability(), access, driver.has("SINGLE_NODE_MULTI_WRITER"));
  auto got = co_await csi::call<csi::v1::NodePublishVolumeResponse>(
      ctx, driver.endpoint, "Node/NodePublishVolume", &request);
  if (!got.ok()) {
    CsiUse none;
    none.uid = source->uid;
    none.name = source->name;
    none.block = source->block;
    // A volume that the pod sees already is not taken from it because it could not be renewed.
    if (!csi::is_final(got.status()) || r.again) co_return got.status();
    std::function<Status()> undo = [paths = paths_, none] { return paths.remove_published(none); };
    (void)co_await run_blocking(&ctx.loop(), std::move(undo));
    co_return got.status();
  }
  if (r.again || mounts_group || !source->gives_to_group(r.read_only)) co_return Status();
  // Through whatever is mounted there, which may be a server that is gone.
  std::function<Status()> give = [target, group = *source->group, only = r.only_if_root_differs] {
    return give_to_group(target, group, false, only);
  };
  s = co_await calls_.run<Status>(ctx, source->uid + " " + source->name, std::move(give));
  if (!s.ok()) co_return s.with_prefix("applyFSGroup failed for vol " + source->handle);
  co_return Status();
}

Task<Status> CsiVolumes::unpublish(Context ctx, CsiUse use) {
  auto driver = drivers_.find(use.driver);
  if (!driver.ok()) {
    co_return driver.status().with_prefix(
        "kubernetes.io/csi: Unmounter.TearDownAt failed to get CSI client");
  }
  Draft<csi::v1::NodeUnpublishVolumeRequestEdit> request;
  request->set_volume_id(use.handle);
  request->set_target_path(use.block ? paths_.block_publish(use.name, use.uid)
                                     : paths_.target(use.uid, use.name));
  auto got = co_await csi::call<csi::v1::NodeUnpublishVolumeResponse>(
      ctx, driver->endpoint, "Node/NodeUnpublishVolume", &request);
  if (!got.ok())
    co_return got.status().with_prefix("kubernetes.io/csi: Unmounter.TearDownAt failed");
  std::function<Status()> remove = [paths = paths_, use] { return paths.remove_published(use); };
  co_return co_await run_blocking(&ctx.loop(), std::move(remove));
}

// --- taken down ---

Task<Status> CsiVolumes::tear_down(Context ctx, std::string uid) {
  Status first;
  std::function<std::vector<CsiUse>()> look = [paths = paths_, uid] { return paths.uses_of(uid); };
  const std::vector<CsiUse> uses = co_await run_blocking(&ctx.loop(), std::move(look));
  bool any = !uses.empty();
  for (const CsiUse& use : uses) {
    const std::string key = csi_unique_name(use.driver, use.handle);
    std::unique_ptr<KeyedLocks::Hold> hold;
    Status s = co_await locks_.acquire(ctx, key, &hold);
    if (s.ok()) s = co_await unpublish(ctx, use);
    if (!s.ok() && first.ok()) first = s;
  }
  if (!first.ok()) co_return first;
  given_.erase(uid);
  std::erase_if(inherited_, [&uid](const auto& one) { return one.first == uid; });
  for (auto it = wanted_.begin(); it != wanted_.end();) {
    any = it->second.erase(uid) > 0 || any;
    it = it->second.empty() ? wanted_.erase(it) : std::next(it);
  }
  Status s;
  if (any) s = co_await clean(ctx);
  co_return s;
}

Task<CsiVolumes::OnDisk> CsiVolumes::look_at_disk(Context ctx) {
  std::function<OnDisk()> look = [paths = paths_] {
    OnDisk out;
    out.uses = paths.uses();
    out.staged = paths.all_staged();
    return out;
  };
  co_return co_await run_blocking(&ctx.loop(), std::move(look));
}

Task<Status> CsiVolumes::clean(Context ctx) {
  Status first;
  const OnDisk before = co_await look_at_disk(ctx);
  for (const CsiStaged& one : before.staged) {
    const std::string key = csi_unique_name(one.driver, one.handle);
    if (wanted(key, "")) continue;
    std::unique_ptr<KeyedLocks::Hold> hold;
    Status s = co_await locks_.acquire(ctx, key, &hold);
    if (!s.ok()) co_return s;
    const OnDisk now = co_await look_at_disk(ctx);
    bool used = wanted(key, "");
    for (const CsiUse& use : now.uses)
      used = used || (use.driver == one.driver && use.handle == one.handle);
    if (used) continue;
    s = co_await unstage(ctx, one);
    if (!s.ok() && first.ok()) first = s;
  }
  // What was only attached, and is wanted by nobody any more.
  std::vector<std::string> idle;
  std::set<std::string> on_disk;
  const OnDisk left = co_await look_at_disk(ctx);
  for (const CsiUse& use : left.uses) on_disk.insert(csi_unique_name(use.driver, use.handle));
  for (const CsiStaged& one : left.staged) on_disk.insert(csi_unique_name(one.driver, one.handle));
  for (const std::string& key : attachable_)
    if (!wanted(key, "") && !on_disk.contains(key)) idle.push_back(key);
  for (const std::string& key : idle) attachable_.erase(key);
  Status s;
  if (!found_on_disk_ || attachable_ != reported_) s = co_await report_in_use(ctx);
  if (!s.ok() && first.ok()) first = s;
  co_return first;
}

}  // namespace keles::node
