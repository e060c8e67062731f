#include "node/volumes/volumes.h"

#include <algorithm>
#include <set>

#include "api/authentication_v1.h"
#include "base/list_text.h"
#include "base/log.h"
#include "machinery/quantity.h"
#include "machinery/time.h"
#include "machinery/volumes/claim_rules.h"
#include "node/cgroup/resources.h"
#include "node/volumes/expansion.h"
#include "node/volumes/host_path.h"
#include "node/volumes/nfs.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::KeyToPath;
using api::core_v1::PersistentVolume;
using api::core_v1::Pod;
using api::core_v1::Volume;

namespace {

constexpr int kDefaultMode = 0644;
constexpr Duration kUsageTime = 5s, kRemoveTime = 2min;
constexpr Duration kAskAgain = 20s;  // a driver whose volumes grow, or are published again

std::optional<gid_t> group_of(const Pod& pod) {
  auto sc = pod.spec().security_context();
  if (!sc.has_fs_group()) return std::nullopt;
  return static_cast<gid_t>(sc.fs_group());
}

// A volume's directory: any user's, or the pod's group's with what is made in it.
Ownership ownership_of(const Pod& pod) {
  auto group = group_of(pod);
  return {.mode = group ? 02777u : 0777u, .gid = group};
}

std::vector<Container> containers_of(const Pod& pod) {
  std::vector<Container> out;
  for (Container c : pod.spec().init_containers()) out.push_back(c);
  for (Container c : pod.spec().containers()) out.push_back(c);
  return out;
}

// The user that all containers run as, where they agree.
std::optional<int64_t> user_of(const Pod& pod) {
  auto whole = pod.spec().security_context();
  std::vector<api::core_v1::SecurityContext> contexts;
  for (const Container& c : containers_of(pod)) contexts.push_back(c.security_context());
  for (auto c : pod.spec().ephemeral_containers()) contexts.push_back(c.security_context());
  std::optional<int64_t> user;
  for (const auto& own : contexts) {
    if (!own.has_run_as_user() && !whole.has_run_as_user()) return std::nullopt;
    int64_t its = own.has_run_as_user() ? own.run_as_user() : whole.run_as_user();
    if (user && *user != its) return std::nullopt;
    user = its;
  }
  return user;
}

// Whether a container mounts it. As upstream, what none does is left alone.
bool is_used(const Pod& pod, std::string_view volume) {
  for (const Container& c : containers_of(pod)) {
    for (auto m : c.volume_mounts())
      if (m.name() == volume) return true;
    for (auto d : c.volume_devices())
      if (d.name() == volume) return true;
  }
  for (auto c : pod.spec().ephemeral_containers())
    for (auto m : c.volume_mounts())
      if (m.name() == volume) return true;
  return false;
}

// The least of what the node has for pods, what the pod may use and what the volume asks for.
int64_t memory_size(const Pod& pod, const Volume& v, const PodFacts& facts) {
  int64_t size = unit_value(facts.allocatable_memory);
  for (int64_t other : {pod_limits(pod).memory_limit_bytes, unit_value(v.empty_dir().size_limit())})
    if (other > 0 && (size <= 0 || other < size)) size = other;
  return size;
}

// "2Mi": of the huge pages of an emptyDir, which the pod asks for too.
Result<std::string> page_size(const Pod& pod, std::string_view medium) {
  constexpr std::string_view kAny = "HugePages", kResource = "hugepages-";
  std::string size;
  std::vector<Container> all = containers_of(pod);
  all.emplace_back(pod.spec().value());  // `resources` of the pod itself have the same form
  for (const Container& c : all) {
    for (auto [name, amount] : c.resources().requests()) {
      if (!name.starts_with(kResource)) continue;
      std::string its(name.substr(kResource.size()));
      if (medium != kAny &&
          Quantity::parse_or_zero(medium.substr(kAny.size() + 1)) != Quantity::parse_or_zero(its))
        continue;
      if (!size.empty() && size != its)
        return Status(Reason::kInvalid,
                      "medium: " + std::string(medium) +
                          " can't be used if container requests multiple huge page sizes");
      size = its;
    }
  }
  if (size.empty())
    return Status(
        Reason::kInvalid,
        "medium " + std::string(medium) +
            ": hugePages storage requested, but there is no resource request for huge pages");
  return size;
}

Container container_named(const Pod& pod, std::string_view name) {
  for (Container c : pod.spec().containers())
    if (c.name() == name) return c;
  for (Container c : pod.spec().init_containers())
    if (c.name() == name) return c;
  return Container();
}

// `items` of a downwardAPI source.
template <class Items>
Status add_downward(const Pod& pod, Items items, int mode, const PodFacts& facts, Payload* out) {
  for (auto item : items) {
    ProjectedFile f;
    f.mode = item.has_mode() ? static_cast<int>(item.mode()) : mode;
    if (auto field = item.field_ref()) {
      TRY_ASSIGN(v, field_value(pod, field.field_path(), facts));
      f.data = v;
    } else if (auto r = item.resource_field_ref()) {
      TRY_ASSIGN(v, resource_value(container_named(pod, r.container_name()), r.resource(),
                                   r.divisor(), facts));
      f.data = v;
    }
    (*out)[std::string(item.path())] = std::move(f);
  }
  return {};
}

// "nfs": the source's name in the API; "" for a volume without one.
std::string_view type_of(const Volume& v) {
  for (const Member& m : v.value().members())
    if (m.key() != "name") return m.key();
  return "";
}

// Why this node cannot have the volume; OK for the types that it has.
Status supported(const Volume& v) {
  std::string_view type = type_of(v);
  for (std::string_view have :
       {"", "hostPath", "emptyDir", "configMap", "secret", "downwardAPI", "projected",
        "persistentVolumeClaim", "ephemeral", "csi", "nfs", "image"})
    if (type == have) return {};
  std::string why = "failed to get Plugin from volumeSpec for volume \"" + std::string(v.name()) +
                    "\" err=no volume plugin matched: this node mounts no volumes of the type \"" +
                    std::string(type) + "\"";
  return Status(Reason::kInvalid, why);
}

// What upstream's kubelet says of a volume that it does not come to mount.
Status not_processed(const std::string& volume, const Status& why) {
  std::string list = "[" + volume + "]";
  return Status(why.reason(), "Unable to attach or mount volumes: unmounted volumes=" + list +
                                  ", unattached volumes=[], failed to process volumes=" + list +
                                  ": " + why.message());
}

// Several errors as one, with the reason of the first.
Status joined(const std::vector<Status>& errors) {
  if (errors.empty()) return {};
  std::vector<std::string> texts;
  for (const Status& s : errors) texts.push_back(s.message());
  return errors.size() == 1 ? errors[0] : Status(errors[0].reason(), aggregate(texts));
}

}  // namespace

std::vector<std::string> nested_mount_points(const Pod& pod, std::string_view volume) {
  std::set<std::string> out;
  auto cleaned = [](std::string_view p) {
    std::string s(p);
    while (s.size() > 1 && s.back() == '/') s.pop_back();
    return s.starts_with('/') ? s : "/" + s;
  };
  for (const Container& c : containers_of(pod)) {
    std::set<std::string> all, mine;
    for (auto m : c.volume_mounts()) {
      all.insert(cleaned(m.mount_path()));
      if (m.name() == volume) mine.insert(cleaned(m.mount_path()));
    }
    for (const std::string& outer : mine) {
      std::vector<std::string> seen;
      for (const std::string& m : all) {
        if (!m.starts_with(outer + "/")) continue;
        bool deeper = std::any_of(seen.begin(), seen.end(),
                                  [&](const auto& s) { return m.starts_with(s + "/"); });
        if (deeper) continue;
        seen.push_back(m);
        out.insert(m.substr(outer.size() + 1));
      }
    }
  }
  return {out.begin(), out.end()};
}

Result<std::string> Volumes::empty_dir(const Pod& pod, const Volume& v,
                                       const PodFacts& facts) const {
  std::string_view medium = v.empty_dir().medium();
  std::optional<TmpfsOptions> tmpfs;
  if (medium == "Memory") {
    tmpfs = TmpfsOptions{.size_bytes = memory_size(pod, v, facts)};
  } else if (medium.starts_with("HugePages")) {
    TRY_ASSIGN(size, page_size(pod, medium));
    tmpfs = TmpfsOptions{.huge_page_size = size};
  } else if (!medium.empty()) {
    return Status(Reason::kInvalid, "unknown storage medium \"" + std::string(medium) + "\"");
  }
  Ownership ownership = ownership_of(pod);
  // Upstream leaves a tmpfs the mode that the kernel gives it, which is sticky.
  if (tmpfs) ownership.mode = ownership.mode.value_or(0777) | 01000;
  TRY_ASSIGN(directory, pods_.volume(std::string(pod.metadata().uid()), "kubernetes.io~empty-dir",
                                     std::string(v.name()), ownership, tmpfs));
  return directory.path;
}

Task<Status> Volumes::add_object(Context ctx, ObjectCache::Key key, bool optional,
                                 List<KeyToPath> items, int mode, Payload* out) {
  auto got = co_await objects_.get(ctx, key);
  if (!got.ok()) co_return got.status();
  std::string what = key.secret ? "secret" : "configmap";
  if (!got->has_value()) {
    if (optional) co_return Status();
    co_return Status(Reason::kNotFound, what + " \"" + key.name + "\" not found");
  }
  const ObjectCache::Data& data = **got;
  if (items.empty()) {
    for (const auto& [k, v] : data) (*out)[k] = {v, mode};
    co_return Status();
  }
  for (KeyToPath item : items) {
    auto it = data.find(std::string(item.key()));
    if (it == data.end()) {
      if (optional) continue;
      co_return Status(
          Reason::kInvalid,
          key.secret ? "references non-existent secret key: " + std::string(item.key())
                     : "configmap references non-existent config key: " + std::string(item.key()));
    }
    (*out)[std::string(item.path())] = {it->second,
                                        item.has_mode() ? static_cast<int>(item.mode()) : mode};
  }
  co_return Status();
}

Task<Result<Volumes::Token>> Volumes::token(Context ctx, Ref<Pod> pod, std::string audience,
                                            int64_t seconds) {
  std::string uid(pod->metadata().uid());
  std::string account(pod->spec().service_account_name());
  if (account.empty()) account = "default";
  std::string key = audience + "/" + std::to_string(seconds);
  WallTime now = ctx.loop().wall_now();
  Token token = tokens_[uid][key];
  if (!token.token.empty() && now < token.refresh_at) co_return token;
  Document body;
  api::authentication_v1::TokenRequestEdit request(EditTarget{&body.root, &body.arena});
  auto spec = request.edit_spec();
  auto audiences = spec.edit_audiences();
  if (!audience.empty()) audiences.add(audience);
  spec.set_expiration_seconds(seconds);
  auto bound = spec.edit_bound_object_ref();
  bound.set_kind("Pod");
  bound.set_api_version("v1");
  bound.set_name(pod->metadata().name());
  bound.set_uid(uid);
  WriteOptions options;
  options.subresource = "token";
  std::string ns(pod->metadata().namespace_());
  auto answer = co_await client_.create(ctx, &kind_of<api::core_v1::ServiceAccount>(), ns, account,
                                        std::move(body), std::move(options));
  if (!answer.ok()) {
    if (!token.token.empty() && now < token.expires_at) co_return token;
    co_return answer.status().with_prefix("failed to fetch token");
  }
  auto got = read<api::authentication_v1::TokenRequest>(*answer);
  token.token = got->status().token();
  auto expires = parse_time(got->status().expiration_timestamp());
  token.expires_at = expires.ok() ? *expires : now + std::chrono::seconds(seconds);
  // At four fifths of its life, and at least daily.
  Duration life = token.expires_at - now;
  token.refresh_at = now + std::min<Duration>(life / 5 * 4, 24h);
  tokens_[uid][key] = token;
  co_return token;
}

Task<Result<std::string>> Volumes::pod_token(Context ctx, Ref<Pod> pod, std::string audience) {
  auto got = co_await token(ctx, std::move(pod), std::move(audience), 3600);
  if (!got.ok()) co_return got.status();
  co_return got->token;
}

Task<Status> Volumes::add_token(Context ctx, Ref<Pod> pod,
                                api::core_v1::ServiceAccountTokenProjection source, int mode,
                                Payload* out) {
  int64_t seconds = source.expiration_seconds() > 0 ? source.expiration_seconds() : 3600;
  auto got = co_await token(ctx, pod, std::string(source.audience()), seconds);
  if (!got.ok()) co_return got.status();
  ProjectedFile f;
  f.data = got->token;
  f.mode = mode;
  // A credential: for the one user of the pod, for its group (which write_payload lets read), or
  // for whom the volume says where neither is known.
  auto user = user_of(*pod);
  if (user || group_of(*pod)) f.mode = 0600;
  if (user) f.uid = *user;
  (*out)[std::string(source.path())] = std::move(f);
  co_return Status();
}

Task<Result<Payload>> Volumes::projected(Context ctx, Ref<Pod> pod,
                                         api::core_v1::ProjectedVolumeSource source,
                                         PodFacts facts) {
  Payload payload;
  int mode = source.has_default_mode() ? static_cast<int>(source.default_mode()) : kDefaultMode;
  std::string ns(pod->metadata().namespace_());
  std::vector<Status> errors;
  for (auto s : source.sources()) {
    Status status;
    if (auto m = s.config_map()) {
      ObjectCache::Key key(false, ns, std::string(m.name()));
      status = co_await add_object(ctx, key, m.optional(), m.items(), mode, &payload);
    } else if (auto secret = s.secret()) {
      ObjectCache::Key key(true, ns, std::string(secret.name()));
      status = co_await add_object(ctx, key, secret.optional(), secret.items(), mode, &payload);
    } else if (auto down = s.downward_api()) {
      status = add_downward(*pod, down.items(), mode, facts, &payload);
    } else if (auto t = s.service_account_token()) {
      status = co_await add_token(ctx, pod, t, mode, &payload);
    } else {
      std::string name(s.value().members().empty() ? "empty" : s.value().members()[0].key());
      status =
          Status(Reason::kInvalid, "this node projects no sources of the type \"" + name + "\"");
    }
    if (!status.ok()) errors.push_back(status);
  }
  Status all = joined(errors);
  if (!all.ok()) co_return all;
  co_return payload;
}

void Volumes::use(CsiVolumes& csi) {
  csi_ = &csi;
  csi.tokens_from([this](Context ctx, Ref<Pod> pod, std::string audience, int64_t seconds) {
    return driver_token(this, ctx, std::move(pod), std::move(audience), seconds);
  });
}

Task<Result<CsiVolumes::Token>> Volumes::driver_token(Volumes* self, Context ctx, Ref<Pod> pod,
                                                      std::string audience, int64_t seconds) {
  if (seconds <= 0) seconds = 3600;
  auto got = co_await self->token(ctx, std::move(pod), std::move(audience), seconds);
  if (!got.ok()) co_return got.status();
  CsiVolumes::Token out;
  out.token = got->token;
  out.expires = format_time(got->expires_at);
  co_return out;
}

// What a driver of this node is asked for.
Task<Result<MountedVolume>> Volumes::from_driver(Context ctx, CsiRequest request) {
  const bool read_only = request.read_only;
  const Ref<PersistentVolume> persistent = request.persistent;
  auto security = request.pod->spec().security_context();
  request.group = group_of(*request.pod);
  request.only_if_root_differs = security.fs_group_change_policy() == "OnRootMismatch";
  if (!csi_) {
    co_return Status(Reason::kUnavailable, "MountVolume.SetUp failed for volume \"" +
                                               request.volume + "\" : this agent has no drivers");
  }
  auto mounted = co_await csi_->set_up(ctx, std::move(request));
  if (!mounted.ok()) co_return mounted.status();
  MountedVolume out;
  out.path = mounted->path;
  out.read_only = read_only;
  out.settled = true;
  out.device = mounted->device;
  out.again = mounted->republish || persistent;  // a claim may have grown
  out.republish = mounted->republish;
  if (persistent) out.persistent = persistent->metadata().name();
  if (persistent && mounted->grown) out.version = persistent->metadata().resource_version();
  out.looked_at = ctx.loop().wall_now();
  co_return out;
}

Task<bool> Volumes::unchanged(Context ctx, MountedVolume known) {
  if (known.republish || known.version.empty() || !known.trouble.empty()) co_return false;
  auto now = co_await client_.get<PersistentVolume>(ctx, "", known.persistent);
  co_return now.ok() && (*now)->metadata().resource_version() == known.version;
}

Task<Status> Volumes::take_alone(Context ctx, Ref<PersistentVolume> volume, std::string uid) {
  const auto modes = volume->spec().access_modes();
  if (modes.size() != 1 || modes[0] != "ReadWriteOncePod") co_return Status();
  const std::string name(volume->metadata().name());
  const std::string holder = alone_.try_emplace(name, uid).first->second;
  bool taken = holder != uid;
  if (!taken) {  // of what an earlier agent gave, the disk tells
    std::function<bool()> look = [pods = pods_, uid, name] { return pods.others_have(uid, name); };
    taken = co_await run_blocking(&ctx.loop(), std::move(look));
    auto mine = alone_.find(name);
    if (taken && mine != alone_.end() && mine->second == uid) alone_.erase(mine);
  }
  if (!taken) co_return Status();
  const char* step = volumes::is_block(*volume) ? "MapVolume.SetUpDevice" : "MountVolume.SetUp";
  co_return Status(Reason::kConflict,
                   std::string(step) + " failed for volume \"" + name +
                       "\" : volume uses the ReadWriteOncePod access mode and is already in use by "
                       "another pod");
}

Task<Status> Volumes::expand_local(Context ctx, ClaimRequest request, ClaimedVolume volume) {
  const auto size = pending_expansion(*volume.volume, *volume.claim);
  if (!size || request.read_only) co_return Status();
  const std::string name(volume.volume->metadata().name());
  Status s;
  if (!volumes::is_block(*volume.volume)) s = co_await local_.grow(ctx, volume.volume);
  if (!s.ok()) {
    s = s.with_prefix("MountVolume.NodeExpandVolume failed for volume \"" + name +
                      "\" requested read-write: Expander.NodeExpand failed to expand the volume ");
    events_.pod(request.pod, "", "Warning", "VolumeResizeFailed", s.message());
    co_return s;
  }
  s = co_await finish_expansion(ctx, &client_, volume.claim, *size, "");
  if (s.ok()) {
    events_.pod(request.pod, "", "Normal", "FileSystemResizeSuccessful",
                "MountVolume.NodeExpandVolume succeeded for volume \"" + name + "\" " +
                    std::string(request.pod->spec().node_name()));
  }
  co_return s;
}

Task<Result<MountedVolume>> Volumes::claimed(Context ctx, ClaimRequest request, bool again) {
  const std::string uid(request.pod->metadata().uid());
  auto volume = co_await find_claimed(ctx, &client_, request);
  if (!volume.ok()) co_return not_processed(request.volume, volume.status());
  const Ref<PersistentVolume> pv = volume->volume;
  const std::string name(pv->metadata().name());
  Status alone = co_await take_alone(ctx, pv, uid);
  if (!alone.ok()) co_return alone;
  if (pv->spec().has_csi()) {
    CsiRequest driver;
    driver.pod = request.pod;
    driver.volume = request.volume;
    driver.read_only = request.read_only;
    driver.persistent = pv;
    driver.claim = volume->claim;
    driver.again = again;
    auto mounted = co_await from_driver(ctx, std::move(driver));
    co_return mounted;
  }
  Result<std::string> path = Status();
  if (pv->spec().has_local() && !volumes::is_block(*pv)) {
    LocalMounts::Wanted local;
    local.pod = request.pod;
    local.volume = pv;
    local.read_only = request.read_only;
    local.group = group_of(*request.pod);
    local.only_if_root_differs =
        request.pod->spec().security_context().fs_group_change_policy() == "OnRootMismatch";
    path = co_await local_.set_up(ctx, &events_, std::move(local));
  } else {
    path = co_await ready_volume(ctx, &calls_, pods_, request, pv);
  }
  if (!path.ok()) co_return path.status();
  if (!pv->spec().has_host_path() && !volumes::is_block(*pv)) {
    Claimed& its = claimed_[uid][request.volume];
    its.claim = request.claim;
    its.path = *path;
  }
  MountedVolume out;
  out.path = *path;
  out.read_only = request.read_only;
  out.settled = true;
  out.device = volumes::is_block(*pv);
  if (!pv->spec().has_local()) co_return out;
  Status grown = co_await expand_local(ctx, request, *volume);
  if (!grown.ok()) co_return grown;
  out.again = !request.read_only;
  out.persistent = name;
  out.version = pv->metadata().resource_version();
  out.looked_at = ctx.loop().wall_now();
  co_return out;
}

Task<Result<Payload>> Volumes::payload_of(Context ctx, Ref<Pod> pod, Volume v, PodFacts facts) {
  std::string ns(pod->metadata().namespace_());
  Payload payload;
  Status s;
  if (auto m = v.config_map()) {
    int mode = m.has_default_mode() ? static_cast<int>(m.default_mode()) : kDefaultMode;
    ObjectCache::Key key(false, ns, std::string(m.name()));
    s = co_await add_object(ctx, key, m.optional(), m.items(), mode, &payload);
  } else if (auto secret = v.secret()) {
    int mode = secret.has_default_mode() ? static_cast<int>(secret.default_mode()) : kDefaultMode;
    ObjectCache::Key key(true, ns, std::string(secret.secret_name()));
    s = co_await add_object(ctx, key, secret.optional(), secret.items(), mode, &payload);
  } else if (auto down = v.downward_api()) {
    int mode = down.has_default_mode() ? static_cast<int>(down.default_mode()) : kDefaultMode;
    s = add_downward(*pod, down.items(), mode, facts, &payload);
  } else {
    auto source = v.projected();
    auto got = co_await projected(ctx, pod, source, facts);
    co_return got;
  }
  if (!s.ok()) co_return s;
  co_return payload;
}

Result<std::string> Volumes::write(const Pod& pod, const Volume& v, const Payload& payload) const {
  const char* plugin = v.config_map()  ? "kubernetes.io~configmap"
                       : v.secret()    ? "kubernetes.io~secret"
                       : v.projected() ? "kubernetes.io~projected"
                                       : "kubernetes.io~downward-api";
  std::optional<TmpfsOptions> tmpfs;
  if (v.secret() || v.projected()) tmpfs.emplace();
  std::string uid(pod.metadata().uid()), name(v.name());
  TRY_ASSIGN(directory, pods_.volume(uid, plugin, name, ownership_of(pod), tmpfs));
  // The runtime cannot make them in a volume that is mounted to be read only.
  for (const std::string& inner : nested_mount_points(pod, name)) {
    if (inner.starts_with("..")) continue;
    auto made = make_directories_beneath(directory.fd, inner, {.mode = 0755, .gid = {}});
    if (!made.ok()) return made.status().with_prefix("unable to create nested volume mountpoints");
  }
  TRY(write_payload(directory.fd, payload, group_of(pod)));
  return directory.path;
}

Task<Result<MountedVolume>> Volumes::setup_one(Context ctx, Ref<Pod> pod, size_t index,
                                               PodFacts facts, bool again) {
  Volume v = pod->spec().volumes()[index];
  std::string name(v.name()), claimed;
  Status s = supported(v);
  if (!s.ok()) co_return not_processed(name, s);
  if (v.image()) {  // the runtime mounts it
    MountedVolume out;
    out.read_only = true;
    out.settled = true;
    co_return out;
  }
  if (auto pvc = v.persistent_volume_claim()) claimed = pvc.claim_name();
  if (v.ephemeral()) claimed = std::string(pod->metadata().name()) + "-" + name;
  if (!claimed.empty()) {
    ClaimRequest request;
    request.pod = pod;
    request.volume = name;
    request.claim = claimed;
    request.ephemeral = static_cast<bool>(v.ephemeral());
    request.read_only = v.persistent_volume_claim().read_only();
    auto mounted = co_await this->claimed(ctx, std::move(request), again);
    co_return mounted;
  }
  if (v.csi()) {
    CsiRequest request;
    request.pod = pod;
    request.volume = name;
    request.read_only = v.csi().read_only();
    request.again = again;
    auto mounted = co_await from_driver(ctx, std::move(request));
    co_return mounted;
  }
  MountedVolume out;
  Result<std::string> path = s;
  if (auto host = v.host_path()) {
    const std::string uid(pod->metadata().uid()), at(host.path()), type(host.type());
    s = co_await look_at_host(ctx, &calls_, uid, at, type);
    if (s.ok()) path = std::string(host.path());
  } else if (auto nfs = v.nfs()) {
    NfsSource source;
    source.server = nfs.server();
    source.path = nfs.path();
    source.read_only = nfs.read_only();
    const std::string uid(pod->metadata().uid());
    path = co_await ready_nfs(ctx, &calls_, pods_, uid, name, std::move(source));
    out.read_only = nfs.read_only();
    out.settled = true;
  } else if (s.ok() && (v.config_map() || v.secret() || v.downward_api() || v.projected())) {
    out.read_only = true;
    auto payload = co_await payload_of(ctx, pod, v, facts);
    s = payload.status();
    std::function<Result<std::string>()> work = [&] { return write(*pod, v, *payload); };
    if (s.ok()) path = co_await run_blocking(&ctx.loop(), std::move(work));
  } else if (s.ok()) {
    std::function<Result<std::string>()> work = [&] { return empty_dir(*pod, v, facts); };
    path = co_await run_blocking(&ctx.loop(), std::move(work));
  }
  if (s.ok()) s = path.status();
  if (!s.ok()) co_return s.with_prefix("MountVolume.SetUp failed for volume \"" + name + "\" ");
  out.path = *path;
  co_return out;
}

Task<Result<MountedVolumes>> Volumes::setup(Context ctx, Ref<Pod> pod, PodFacts facts,
                                            MountedVolumes known) {
  MountedVolumes out;
  auto volumes = pod->spec().volumes();
  for (size_t i = 0; i < volumes.size(); ++i) {
    std::string name(volumes[i].name());
    if (!is_used(*pod, name)) continue;
    auto before = known.find(name);
    const bool had = before != known.end() && (before->second.settled || !before->second.read_only);
    bool again = had && before->second.again &&
                 ctx.loop().wall_now() - before->second.looked_at >= kAskAgain;
    bool same = had && !again;
    if (again) same = co_await unchanged(ctx, before->second);
    if (same) {
      out[name] = before->second;
      if (again) out[name].looked_at = ctx.loop().wall_now();
      continue;
    }
    auto mounted = co_await setup_one(ctx, pod, i, facts, again);
    if (!mounted.ok() && (!again || ctx.done())) co_return mounted.status();
    if (mounted.ok()) {
      out[name] = *mounted;
      continue;
    }
    // A driver that does not answer keeps no other volume from being brought up to date.
    out[name] = before->second;
    out[name].looked_at = ctx.loop().wall_now();
    out[name].trouble = mounted.status().message();
  }
  WallTime ask_at{};
  for (const auto& [name, v] : out)
    if (v.again && (ask_at.ns == 0 || v.looked_at + kAskAgain < ask_at))
      ask_at = v.looked_at + kAskAgain;
  const std::string uid(pod->metadata().uid());
  if (ask_at.ns != 0) ask_at_[uid] = ask_at;
  co_return out;
}

WallTime Volumes::next_refresh(const std::string& uid) const {
  WallTime next{};
  auto asked = ask_at_.find(uid);
  if (asked != ask_at_.end()) next = asked->second;
  auto it = tokens_.find(uid);
  if (it == tokens_.end()) return next;
  for (const auto& [key, token] : it->second)
    if (next.ns == 0 || token.refresh_at < next) next = token.refresh_at;
  return next;
}

Task<std::vector<VolumeUsage>> Volumes::usage(Context ctx, std::string uid) {
  std::vector<VolumeUsage> out;
  if (csi_) out = co_await csi_->usage(ctx, uid);
  auto it = claimed_.find(uid);
  if (it == claimed_.end()) co_return out;
  const std::map<std::string, Claimed> claimed = it->second;
  Context brief = ctx.with_timeout(kUsageTime);  // for all of them: who asks waits
  for (const auto& [volume, c] : claimed) {
    using Read = Result<FileSystemStats>;
    std::function<Read()> look = [path = c.path]() -> Read {
      auto fs = read_file_system(path);
      return fs ? Read(*fs) : Read(Status::not_found("", "filesystem", path));
    };
    const std::string key = uid + " " + c.path + " usage";
    Read fs = co_await calls_.run<Read>(brief, key, std::move(look));
    if (!fs.ok()) continue;
    VolumeUsage one;
    one.volume = volume;
    one.claim = c.claim;
    one.fs = *fs;
    out.push_back(std::move(one));
  }
  co_return out;
}

Task<Status> Volumes::take_down(Context ctx, std::string uid) {
  tokens_.erase(uid);
  ask_at_.erase(uid);
  claimed_.erase(uid);
  // What is bound of a volume goes first: it keeps the volume busy.
  std::function<Status()> work = [pods = pods_, uid] {
    return pods.remove_part(uid, "volume-subpaths");
  };
  Status s = co_await remove_within(ctx, uid, std::move(work));
  if (s.ok() && csi_) s = co_await csi_->tear_down(ctx, uid);
  co_return s;
}

// Its driver takes a volume down, before anything is removed that says whose it is.
Task<Status> Volumes::remove(Context ctx, std::string uid) {
  TRY_CO(take_down(ctx, uid));
  std::function<Status()> work = [pods = pods_, uid] { return pods.remove(uid); };
  TRY_CO(remove_within(ctx, uid, std::move(work)));
  std::erase_if(alone_, [&uid](const auto& a) { return a.second == uid; });
  co_return co_await unmount_unused(ctx);
}

Task<Status> Volumes::give_up(Context ctx, std::string uid) {
  TRY_CO(take_down(ctx, uid));
  std::function<Status()> work = [pods = pods_, uid] { return pods.remove_part(uid, "volumes"); };
  TRY_CO(remove_within(ctx, uid, std::move(work)));
  std::erase_if(alone_, [&uid](const auto& a) { return a.second == uid; });
  co_return co_await unmount_unused(ctx);
}

// A disk that cannot be unmounted yet holds up no pod: clean() comes again.
Task<Status> Volumes::unmount_unused(Context ctx) {
  Status s = co_await local_.clean(ctx);
  if (!s.ok() && !ctx.done()) log::warn("A local volume is mounted still", {{"error", s}});
  co_return Status();
}

// It goes on when the time is over: whoever asked tries again, and finds less left.
Task<Status> Volumes::remove_within(Context ctx, std::string uid, std::function<Status()> work) {
  return calls_.run<Status>(ctx.with_timeout(kRemoveTime), uid + " removal", std::move(work));
}

}  // namespace keles::node
