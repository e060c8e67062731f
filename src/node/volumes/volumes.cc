#include "node/volumes/volumes.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "api/authentication_v1.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/time.h"
#include "node/cgroup/resources.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::KeyToPath;
using api::core_v1::Pod;
using api::core_v1::Volume;

namespace {

constexpr int kDefaultMode = 0644;

Status os_error(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

bool is_mount_point(const std::string& path) {
  struct stat a, b;
  if (lstat(path.c_str(), &a) != 0 || lstat((path + "/..").c_str(), &b) != 0) return false;
  return a.st_dev != b.st_dev;
}

Status mount_tmpfs(const std::string& path, int64_t size_bytes) {
  TRY(make_directories(path, 0777));
  if (is_mount_point(path)) return {};
  std::string options = "mode=0777";
  if (size_bytes > 0) options += ",size=" + std::to_string(size_bytes);
  if (mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return os_error("mount tmpfs", path);
  return {};
}

// Gives a volume to the pod's fsGroup: group-owned, group-writable, new files inherit the group.
void give_to_group(const std::string& path, int64_t gid) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0 || S_ISLNK(st.st_mode)) return;
  if (chown(path.c_str(), -1, static_cast<gid_t>(gid)) != 0) return;
  mode_t mode = (st.st_mode & 07777) | (S_ISDIR(st.st_mode) ? 02070 : 0060);
  (void)!chmod(path.c_str(), mode);
  if (!S_ISDIR(st.st_mode)) return;
  auto names = list_directory(path);
  if (names.ok())
    for (const std::string& n : *names) give_to_group(path + "/" + n, gid);
}

// As give_to_group for files that are only read.
void give_for_reading(const std::string& path, int64_t gid) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0 || S_ISLNK(st.st_mode)) return;
  if (chown(path.c_str(), -1, static_cast<gid_t>(gid)) != 0) return;
  (void)!chmod(path.c_str(), (st.st_mode & 07777) | (S_ISDIR(st.st_mode) ? 02050 : 0040));
  if (!S_ISDIR(st.st_mode)) return;
  auto names = list_directory(path);
  if (names.ok())
    for (const std::string& n : *names) give_for_reading(path + "/" + n, gid);
}

Result<std::string> host_path(const Volume& v) {
  std::string path(v.host_path().path());
  std::string_view type = v.host_path().type();
  if (type.empty()) return path;
  struct stat st;
  bool there = stat(path.c_str(), &st) == 0;
  auto refuse = [&](const char* what) {
    return Status(Reason::kInvalid, "hostPath type check failed: " + path + " is not " + what);
  };
  if (type == "DirectoryOrCreate") {
    if (!there) TRY(make_directories(path));
    if (there && !S_ISDIR(st.st_mode)) return refuse("a directory");
  } else if (type == "FileOrCreate") {
    if (!there) TRY(write_file(path, "", 0644));
    if (there && !S_ISREG(st.st_mode)) return refuse("a file");
  } else if (type == "Directory") {
    if (!there || !S_ISDIR(st.st_mode)) return refuse("a directory");
  } else if (type == "File") {
    if (!there || !S_ISREG(st.st_mode)) return refuse("a file");
  } else if (type == "Socket") {
    if (!there || !S_ISSOCK(st.st_mode)) return refuse("a socket file");
  } else if (type == "CharDevice") {
    if (!there || !S_ISCHR(st.st_mode)) return refuse("a character device");
  } else if (type == "BlockDevice") {
    if (!there || !S_ISBLK(st.st_mode)) return refuse("a block device");
  }
  return path;
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

std::string directory_of(const Volume& v) {
  const char* plugin = v.config_map()     ? "kubernetes.io~configmap"
                       : v.secret()       ? "kubernetes.io~secret"
                       : v.projected()    ? "kubernetes.io~projected"
                       : v.downward_api() ? "kubernetes.io~downward-api"
                                          : "kubernetes.io~empty-dir";
  return std::string(plugin) + "/" + std::string(v.name());
}

}  // namespace

std::string Volumes::pod_directory(std::string_view uid) const {
  return root_ + "/pods/" + std::string(uid);
}

Result<std::string> Volumes::empty_dir(const Pod& pod, const Volume& v) {
  std::string path = pod_directory(pod.metadata().uid()) + "/volumes/" + directory_of(v);
  bool fresh = !path_exists(path);
  if (v.empty_dir().medium() == "Memory") {
    TRY(mount_tmpfs(path, unit_value(v.empty_dir().size_limit())));
  } else {
    TRY(make_directories(path));
    if (fresh && chmod(path.c_str(), 0777) != 0) return os_error("chmod", path);
  }
  auto sc = pod.spec().security_context();
  if (fresh && sc.has_fs_group()) give_to_group(path, sc.fs_group());
  return path;
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

Task<Status> Volumes::add_token(Context ctx, Ref<Pod> pod,
                                api::core_v1::ServiceAccountTokenProjection source, int mode,
                                Payload* out) {
  std::string uid(pod->metadata().uid()), audience(source.audience());
  int64_t seconds = source.expiration_seconds() > 0 ? source.expiration_seconds() : 3600;
  std::string account(pod->spec().service_account_name());
  if (account.empty()) account = "default";
  std::string key = audience + "/" + std::to_string(seconds);
  WallTime now = ctx.loop().wall_now();
  Token token = tokens_[uid][key];
  if (token.token.empty() || now >= token.refresh_at) {
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
    auto answer = co_await client_.create(ctx, &kind_of<api::core_v1::ServiceAccount>(), ns,
                                          account, std::move(body), std::move(options));
    if (!answer.ok()) {
      if (token.token.empty() || now >= token.expires_at)
        co_return answer.status().with_prefix("failed to fetch token");
    } else {
      auto got = read<api::authentication_v1::TokenRequest>(*answer);
      token.token = got->status().token();
      auto expires = parse_time(got->status().expiration_timestamp());
      token.expires_at = expires.ok() ? *expires : now + std::chrono::seconds(seconds);
      // At four fifths of its life, and at least daily.
      Duration life = token.expires_at - now;
      token.refresh_at = now + std::min<Duration>(life / 5 * 4, 24h);
      tokens_[uid][key] = token;
    }
  }
  ProjectedFile f;
  f.data = token.token;
  f.mode = mode;
  // Without an fsGroup, a token is for one user where all containers agree on it.
  auto sc = pod->spec().security_context();
  if (sc.has_fs_group()) {
    f.mode = 0640;
  } else if (sc.has_run_as_user()) {
    f.mode = 0600;
    f.uid = sc.run_as_user();
    for (Container c : pod->spec().containers())
      if (c.security_context().has_run_as_user() &&
          c.security_context().run_as_user() != sc.run_as_user()) {
        f.mode = mode;
        f.uid = -1;
      }
  }
  (*out)[std::string(source.path())] = std::move(f);
  co_return Status();
}

Task<Result<Payload>> Volumes::projected(Context ctx, Ref<Pod> pod,
                                         api::core_v1::ProjectedVolumeSource source,
                                         PodFacts facts) {
  Payload payload;
  int mode = source.has_default_mode() ? static_cast<int>(source.default_mode()) : kDefaultMode;
  std::string ns(pod->metadata().namespace_());
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
    }
    if (!status.ok()) co_return status;
  }
  co_return payload;
}

Task<Result<std::string>> Volumes::setup_one(Context ctx, Ref<Pod> pod, size_t index,
                                             PodFacts facts) {
  Volume v = pod->spec().volumes()[index];
  std::string ns(pod->metadata().namespace_());
  if (v.host_path()) co_return host_path(v);
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
  } else if (v.projected()) {
    auto got = co_await projected(ctx, pod, v.projected(), facts);
    s = got.status();
    if (got.ok()) payload = std::move(*got);
  } else if (v.empty_dir() || v.ephemeral() || v.value().size() == 1) {
    co_return empty_dir(*pod, v);
  } else {
    s = Status(Reason::kInvalid, "this node has no plugin for the volume's type");
  }
  if (!s.ok()) co_return s;
  std::string path = pod_directory(pod->metadata().uid()) + "/volumes/" + directory_of(v);
  if (v.secret() || v.projected()) {
    s = mount_tmpfs(path, 0);
    if (!s.ok()) co_return s;
  }
  auto wrote = write_payload(path, payload);
  if (!wrote.ok()) co_return wrote.status();
  auto sc = pod->spec().security_context();
  if (*wrote && sc.has_fs_group()) give_for_reading(path, sc.fs_group());
  co_return path;
}

Task<Result<std::map<std::string, std::string>>> Volumes::setup(Context ctx, Ref<Pod> pod,
                                                                PodFacts facts) {
  std::map<std::string, std::string> out;
  auto volumes = pod->spec().volumes();
  for (size_t i = 0; i < volumes.size(); ++i) {
    std::string name(volumes[i].name());
    auto path = co_await setup_one(ctx, pod, i, facts);
    if (!path.ok())
      co_return Status(path.status().reason(), "MountVolume.SetUp failed for volume \"" + name +
                                                   "\" : " + path.status().message());
    out[name] = *path;
  }
  co_return out;
}

WallTime Volumes::next_refresh(const std::string& uid) const {
  WallTime next{};
  auto it = tokens_.find(uid);
  if (it == tokens_.end()) return next;
  for (const auto& [key, token] : it->second)
    if (next.ns == 0 || token.refresh_at < next) next = token.refresh_at;
  return next;
}

Status Volumes::remove(const std::string& uid) {
  tokens_.erase(uid);
  std::string volumes = pod_directory(uid) + "/volumes";
  auto plugins = list_directory(volumes);
  if (plugins.ok()) {
    for (const std::string& plugin : *plugins) {
      auto names = list_directory(volumes + "/" + plugin);
      if (!names.ok()) continue;
      for (const std::string& n : *names) {
        std::string path = volumes + "/" + plugin + "/" + n;
        if (is_mount_point(path) && umount2(path.c_str(), MNT_DETACH) != 0)
          log::warn("Cannot unmount a volume", {{"path", path}, {"error", strerror(errno)}});
      }
    }
  }
  return remove_tree(pod_directory(uid));
}

}  // namespace keles::node
