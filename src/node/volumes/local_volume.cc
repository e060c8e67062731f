#include "node/volumes/local_volume.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/beneath.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mount_table.h"
#include "node/volumes/mount_command.h"
#include "node/volumes/persistent_volume.h"
#include "node/volumes/pod_directories.h"

namespace keles::node {

using api::core_v1::PersistentVolume;
using api::core_v1::Pod;

namespace {

constexpr const char* kPlugin = "kubernetes.io~local-volume";
constexpr Duration kLookTime = 30s;

Status failed(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

bool is_mounted(const std::string& path) {
  Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  return fd.open() && is_mount_root(fd);
}

std::string absolute(std::string_view path) {
  return path.starts_with('/') ? std::string(path) : "/" + std::string(path);
}

// Of a volume's path, and of its place in the pod.
struct Found {
  bool device = false, bound = false;
  std::string at;
};

// Where pods have what is seen at `path`.
std::vector<std::string> pods_of(const std::string& root, const std::vector<MountedAt>& table,
                                 const std::string& path) {
  std::vector<std::string> out;
  char real[PATH_MAX], real_root[PATH_MAX];
  if (::realpath(path.c_str(), real) == nullptr) return out;
  if (::realpath(root.c_str(), real_root) == nullptr) return out;
  for (std::string& at : same_elsewhere(table, real))
    if (is_at_or_below(at, std::string(real_root) + "/pods")) out.push_back(std::move(at));
  return out;
}

Status step_failed(const char* step, const std::string& volume, const Status& why) {
  return why.with_prefix(std::string("MountVolume.") + step + " failed for volume \"" + volume +
                         "\" ");
}

Result<Found> look_at(const std::string& root, const std::string& uid, const std::string& name,
                      const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return Status(Reason::kInvalid, "path \"" + path + "\" does not exist");
    return failed("stat", path);
  }
  Found f;
  f.device = S_ISBLK(st.st_mode);
  if (!f.device && !S_ISDIR(st.st_mode))
    return Status(Reason::kInvalid, "only directory and block device are supported");
  Ownership plain;
  plain.mode = 0750;
  TRY_ASSIGN(at, PodDirectories(root).volume(uid, kPlugin, name, plain));
  f.at = at.path;
  f.bound = is_mount_root(at.fd);
  return Result<Found>(std::move(f));
}

Result<std::vector<std::string>> unused_of(const std::string& root, const std::string& mounts) {
  auto names = list_directory(mounts);
  if (names.status().is(Reason::kNotFound)) return std::vector<std::string>();
  TRY(names.status());
  if (names->empty()) return std::move(*names);
  TRY_ASSIGN(table, read_mount_table());
  std::erase_if(*names, [&](const std::string& n) {
    return !pods_of(root, table, mounts + "/" + n).empty();
  });
  return std::move(*names);
}

// Not while somebody sets it up.
Status unmount_unused(const std::string& root, const std::string& at) {
  TRY_ASSIGN(table, read_mount_table());
  if (!pods_of(root, table, at).empty()) return {};
  while (is_mounted(at))
    if (::umount2(at.c_str(), UMOUNT_NOFOLLOW) != 0) return failed("unmount", at);
  if (::rmdir(at.c_str()) != 0 && errno != ENOENT) return failed("remove", at);
  return {};
}

}  // namespace

Task<Result<std::string>> LocalMounts::set_up(Context ctx, Events* events, Wanted w) {
  const std::string name(w.volume->metadata().name()), uid(w.pod->metadata().uid()),
      path = absolute(w.volume->spec().local().path());
  std::unique_ptr<KeyedLocks::Hold> hold;
  Status s = co_await locks_.acquire(ctx, name, &hold);
  if (!s.ok()) co_return s;
  std::function<Result<Found>()> work = [root = root_, uid, name, path] {
    return look_at(root, uid, name, path);
  };
  auto found = co_await calls_.run<Result<Found>>(ctx.with_timeout(kLookTime), "local " + name,
                                                  std::move(work));
  if (!found.ok()) {
    co_return found.status().with_prefix(
        "MountVolume.NewMounter initialization failed for volume \"" + name + "\" ");
  }
  if (found->bound) co_return found->at;
  std::string source = path;
  if (found->device) {
    s = co_await mount_device(ctx, events, w, path);
    if (!s.ok()) co_return step_failed("MountDevice", name, s);
    source = place(name);
  }
  auto at = co_await bind(ctx, events, w, source, found->at);
  if (!at.ok()) co_return step_failed("SetUp", name, at.status());
  co_return at;
}

Task<Status> LocalMounts::mount_device(Context ctx, Events* events, Wanted w, std::string device) {
  const std::string name(w.volume->metadata().name()), at = place(name);
  std::function<Result<bool>()> ready = [at]() -> Result<bool> {
    if (is_mounted(at)) return true;
    TRY(make_directories(at, 0750));
    return false;
  };
  auto there = co_await calls_.run<Result<bool>>(ctx.with_timeout(kLookTime), "local " + name,
                                                 std::move(ready));
  if (!there.ok()) co_return there.status();
  if (*there) co_return Status();
  DiskMount disk;
  disk.device = device;
  disk.at = at;
  const auto local = w.volume->spec().local();
  disk.type = local.has_fs_type() ? std::string(local.fs_type()) : "ext4";
  std::vector<std::string> own;
  if (w.read_only) own.emplace_back("ro");
  disk.options = joined_options(own, mount_options_of(*w.volume));
  bool mismatch = false;
  Status s = co_await format_and_mount(ctx, disk, &mismatch);
  if (s.ok()) co_return s;
  (void)::rmdir(at.c_str());
  s = Status(s.reason(), "local: failed to mount device " + device + " at " + at +
                             " (fstype: " + disk.type + "), error " + s.message());
  if (mismatch && events) {
    events->volume(w.volume, "Warning", "FailedMountOnFilesystemMismatch",
                   "MountVolume failed for volume \"" + name + "\" : " + s.message());
  }
  co_return s;
}

Task<Result<std::string>> LocalMounts::bind(Context ctx, Events* events, Wanted w,
                                            std::string source, std::string at) {
  const std::string name(w.volume->metadata().name());
  // Who shares it with others has it as they found it.
  using Shared = Result<std::pair<std::vector<std::string>, gid_t>>;
  std::function<Shared()> look = [root = root_, source]() -> Shared {
    TRY_ASSIGN(table, read_mount_table());
    struct stat st {};
    if (::stat(source.c_str(), &st) != 0) return failed("stat", source);
    return std::pair(pods_of(root, table, source), st.st_gid);
  };
  Shared shared =
      co_await calls_.run<Shared>(ctx.with_timeout(kLookTime), "local " + name, std::move(look));
  if (!shared.ok()) co_return shared.status();
  if (w.group && !shared->first.empty() && shared->second != *w.group && events) {
    events->pod(w.pod, "", "Warning", "AlreadyMountedVolume",
                "The requested fsGroup is " + std::to_string(*w.group) + ", but the volume " +
                    name + " has GID " + std::to_string(shared->second) +
                    ". The volume may not be shareable.");
  }
  std::vector<std::string> own;
  if (w.read_only) own.emplace_back("ro");
  std::vector<std::string> options = joined_options(own, mount_options_of(*w.volume));
  Status s = co_await bind_mount(ctx, source, at, std::move(options));
  if (!s.ok()) {
    if (is_mounted(at)) (void)::umount2(at.c_str(), UMOUNT_NOFOLLOW);
    (void)::rmdir(at.c_str());
    co_return s;
  }
  if (w.group && !w.read_only && shared->first.empty()) {
    // A large one takes long, and is gone through to the end.
    std::function<Status()> give = [at, w] {
      return give_to_group(at, *w.group, false, w.only_if_root_differs);
    };
    s = co_await calls_.run<Status>(ctx, "local " + name, std::move(give));
    if (!s.ok()) {
      // Bound, it would count as ready when it is asked for again.
      (void)::umount2(at.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
      co_return s.with_prefix("applyFSGroup failed for vol " + name);
    }
  }
  co_return at;
}

Task<Status> LocalMounts::grow(Context ctx, Ref<PersistentVolume> volume) {
  const std::string name(volume->metadata().name()), path = absolute(volume->spec().local().path());
  std::unique_ptr<KeyedLocks::Hold> hold;
  Status s = co_await locks_.acquire(ctx, name, &hold);
  if (!s.ok()) co_return s;
  std::function<Result<bool>()> look = [path]() -> Result<bool> {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) return failed("stat", path);
    return S_ISBLK(st.st_mode);
  };
  auto device = co_await calls_.run<Result<bool>>(ctx.with_timeout(kLookTime), "local " + name,
                                                  std::move(look));
  if (!device.ok()) co_return device.status();
  if (*device) s = co_await grow_file_system(ctx, path, place(name));
  co_return s;
}

Task<Status> LocalMounts::clean(Context ctx) {
  using Names = Result<std::vector<std::string>>;
  std::unique_ptr<KeyedLocks::Hold> cleaning;
  Status began = co_await locks_.acquire(ctx, "", &cleaning);
  if (!began.ok()) co_return began;
  std::function<Names()> work = [root = root_, at = mounts()] { return unused_of(root, at); };
  Names names =
      co_await calls_.run<Names>(ctx.with_timeout(kLookTime), "local volumes", std::move(work));
  if (!names.ok()) co_return names.status();
  Status first;
  for (const std::string& name : *names) {
    std::unique_ptr<KeyedLocks::Hold> hold;
    Status s = co_await locks_.acquire(ctx, name, &hold);
    if (!s.ok()) co_return s;
    std::function<Status()> unmount = [root = root_, at = place(name)] {
      return unmount_unused(root, at);
    };
    s = co_await calls_.run<Status>(ctx.with_timeout(kLookTime), "local " + name,
                                    std::move(unmount));
    if (s.ok()) log::info("Unmounted a local volume that no pod has", {{"volume", name}});
    if (!s.ok() && first.ok()) first = s;
  }
  co_return first;
}

}  // namespace keles::node
