#include "node/volumes/pod_directories.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/file.h"
#include "base/mount_table.h"

namespace keles::node {
namespace {

constexpr mode_t kPrivate = 0750;  // of what only the agent enters

Status failed(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

// Everything that is mounted below `prefix` ("/x/"), in the order of mounting.
Result<std::vector<std::string>> mounts_below(const std::string& prefix) {
  TRY_ASSIGN(table, read_mount_table());
  std::vector<std::string> out;
  for (const MountedAt& m : table)
    if (m.place.starts_with(prefix)) out.push_back(m.place.substr(prefix.size()));
  return out;
}

std::string real_path(const Fd& fd) {
  char path[4096];
  ssize_t n = ::readlink(fd.proc_path().c_str(), path, sizeof path);
  return std::string(path, n > 0 ? static_cast<size_t>(n) : 0);
}

// A tmpfs never goes to swap where the kernel can promise it (6.3 and later).
Status mount_tmpfs(const Fd& at, const std::string& path, const Ownership& ownership,
                   const TmpfsOptions& tmpfs) {
  char mode[16];
  std::snprintf(mode, sizeof mode, "%o", ownership.mode.value_or(0755));
  std::string options = std::string("mode=") + mode;
  if (ownership.gid) options += ",gid=" + std::to_string(*ownership.gid);
  if (tmpfs.size_bytes > 0) options += ",size=" + std::to_string(tmpfs.size_bytes);
  std::string target = at.proc_path();
  if (!tmpfs.huge_page_size.empty()) {
    options += ",pagesize=" + tmpfs.huge_page_size;
    if (mount("nodev", target.c_str(), "hugetlbfs", 0, options.c_str()) == 0) return {};
    return failed("mount hugetlbfs", path);
  }
  for (const char* more : {",noswap", ""}) {
    std::string all = options + more;
    if (mount("tmpfs", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, all.c_str()) == 0) return {};
    if (errno != EINVAL) break;
  }
  return failed("mount tmpfs", path);
}

// Appears whole: made beside its place, then renamed.
Status make_directory(const Fd& parent, const std::string& name, const Ownership& ownership) {
  std::string fresh = "." + name + ".new";
  TRY(remove_tree_beneath(parent, fresh));
  TRY(make_directories_beneath(parent, fresh, ownership));
  if (::renameat(parent.get(), fresh.c_str(), parent.get(), name.c_str()) != 0)
    return failed("rename to", name);
  return {};
}

}  // namespace

std::string PodDirectories::path(std::string_view uid) const {
  return root_ + "/pods/" + std::string(uid);
}

Result<Fd> PodDirectories::open(const std::string& uid) const {
  std::string pods = root_ + "/pods";
  TRY(make_directories(pods, kPrivate));
  TRY_ASSIGN(dir, open_directory(pods));
  return make_directories_beneath(dir, uid, {.mode = kPrivate, .gid = {}});
}

Result<PodDirectories::VolumeDirectory> PodDirectories::volume(
    const std::string& uid, const std::string& plugin, const std::string& name,
    const Ownership& ownership, std::optional<TmpfsOptions> tmpfs) const {
  TRY_ASSIGN(pod, open(uid));
  std::string above = "volumes/" + plugin;
  TRY_ASSIGN(parent, make_directories_beneath(pod, above, {.mode = kPrivate, .gid = {}}));
  VolumeDirectory out;
  out.path = path(uid) + "/" + above + "/" + name;
  auto fd = open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
  if (fd.status().is(Reason::kNotFound)) {
    TRY(make_directory(parent, name, ownership));
    fd = open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
  }
  TRY(fd.status());
  if (tmpfs && !is_mount_root(*fd)) {
    TRY(mount_tmpfs(*fd, out.path, ownership, *tmpfs));
    fd = open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
    TRY(fd.status());
  }
  out.fd = std::move(*fd);
  return Result<VolumeDirectory>(std::move(out));
}

bool PodDirectories::others_have(const std::string& uid, const std::string& name) const {
  auto names = [](const std::string& directory) { return list_directory(directory).value_or({}); };
  for (const std::string& other : names(root_ + "/pods")) {
    if (other == uid) continue;
    for (const char* part : {"/volumes", "/volumeDevices"}) {
      const std::string at = path(other) + part;
      for (const std::string& plugin : names(at)) {
        const std::vector<std::string> there = names(at + "/" + plugin);
        if (std::find(there.begin(), there.end(), name) != there.end()) return true;
      }
    }
  }
  return false;
}

Status unmount_at(const Fd& fd) {
  std::string place = fd.proc_path();
  // A copy of a shared mount would take what is mounted below it from its original as well.
  (void)mount(nullptr, place.c_str(), nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (umount2(place.c_str(), MNT_DETACH) != 0) return failed("unmount", real_path(fd));
  return {};
}

namespace {

// Unmounts what is below `dir`/`name` and removes it.
Status remove_mounted(const Fd& dir, const std::string& name) {
  TRY_ASSIGN(mounts, mounts_below(real_path(dir) + "/" + name + "/"));
  Status first;
  for (auto m = mounts.rbegin(); m != mounts.rend(); ++m) {
    auto at = open_beneath(dir, name + "/" + *m, O_PATH);
    Status s = at.status();
    if (s.ok() && is_mount_root(*at)) s = unmount_at(*at);
    if (!s.ok() && first.ok() && !s.is(Reason::kNotFound)) first = s;
  }
  Status removed = remove_tree_beneath(dir, name);
  return removed.ok() || first.ok() ? removed : first;
}

}  // namespace

Status PodDirectories::remove(const std::string& uid) const {
  auto pods = open_directory(root_ + "/pods");
  if (pods.status().is(Reason::kNotFound)) return {};
  TRY(pods.status());
  return remove_mounted(*pods, uid);
}

Status PodDirectories::remove_part(const std::string& uid, const std::string& part) const {
  auto pod = open_directory(path(uid));
  if (pod.status().is(Reason::kNotFound)) return {};
  TRY(pod.status());
  return remove_mounted(*pod, part);
}

}  // namespace keles::node
