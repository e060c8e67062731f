#include "csi/local_volumes.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/beneath.h"
#include "base/file.h"
#include "net/pki.h"
#include "node/csi/volume_data.h"

extern char** environ;

namespace keles::csi {
namespace {

constexpr int64_t kLeastImage = 8 << 20;  // a file system has room in it
constexpr int kMostLoops = 1024;
constexpr const char* kEphemeral = "ephemeral/";  // no volume has that id

Status failed(const std::string& what, const std::string& path) {
  return Status(Reason::kInternalError, what + " " + path + ": " + std::strerror(errno));
}
Status invalid(std::string why) { return Status(Reason::kBadRequest, std::move(why)); }

bool is_there(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

bool is_mounted(const std::string& path) {
  Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  return fd.open() && is_mount_root(fd);
}

// A program of the host, which has two minutes.
Status run(std::vector<std::string> argv) {
  argv.insert(argv.begin(), {"timeout", "120"});
  std::vector<char*> args;
  for (std::string& a : argv) args.push_back(a.data());
  args.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, "timeout", &files, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Status(Reason::kInternalError, argv[2] + ": " + std::strerror(error));
  int how = 0;
  while (::waitpid(pid, &how, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return {};
  return Status(Reason::kInternalError,
                argv[2] + " failed: exit status " +
                    std::to_string(WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how)));
}

Status unmount(const std::string& path) {
  if (!is_mounted(path)) return {};
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW) != 0) return failed("unmount", path);
  return {};
}

std::string get(const node::VolumeData& data, const char* key) {
  auto it = data.find(key);
  return it == data.end() ? std::string() : it->second;
}

int64_t number(const std::string& text) {
  int64_t n = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

Status save(const std::string& at, const LocalVolume& v) {
  node::VolumeData data;
  data["name"] = v.name;
  data["kind"] = v.image ? "image" : "directory";
  data["fsType"] = v.fs_type;
  data["bytes"] = std::to_string(v.bytes);
  data["source"] = v.source;
  data["madeAt"] = std::to_string(v.made_at);
  return node::save_volume_data(at, data);
}

Status make_image(const std::string& file, int64_t bytes) {
  Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.open()) return failed("create", file);
  if (::ftruncate(fd.get(), bytes) != 0) return failed("resize", file);
  return {};
}

std::vector<std::string> names_in(const std::string& directory) {
  auto names = list_directory(directory);
  return names.ok() ? std::move(*names) : std::vector<std::string>();
}

}  // namespace

std::string local_id(const std::string& name) {
  bool plain = !name.empty() && name.size() <= 128 && name.front() != '.';
  for (char c : name)
    plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.');
  return plain ? name : net::hex(net::sha256(name));
}

Status LocalVolumes::start() const {
  TRY(make_directories(directory_ + "/volumes", 0700));
  return make_directories(directory_ + "/snapshots", 0700);
}

Result<LocalVolume> LocalVolumes::load(const std::string& at, const std::string& id) const {
  if (id.empty() || local_id(id) != id)
    return Status(Reason::kNotFound, "there is no volume " + id);
  auto data = node::load_volume_data(at);
  if (data.status().is(Reason::kNotFound))
    return Status(Reason::kNotFound, "there is no volume " + id);
  TRY(data.status());
  LocalVolume v;
  v.id = id;
  v.name = get(*data, "name");
  v.image = get(*data, "kind") == "image";
  v.fs_type = get(*data, "fsType");
  v.bytes = number(get(*data, "bytes"));
  v.source = get(*data, "source");
  v.made_at = number(get(*data, "madeAt"));
  return v;
}

Result<LocalVolume> LocalVolumes::find(const std::string& id) const { return load(place(id), id); }

std::vector<LocalVolume> LocalVolumes::all() const {
  std::vector<LocalVolume> out;
  for (const std::string& id : names_in(directory_ + "/volumes"))
    if (auto v = find(id); v.ok()) out.push_back(*v);
  return out;
}

std::vector<LocalVolume> LocalVolumes::snapshots() const {
  std::vector<LocalVolume> out;
  for (const std::string& id : names_in(directory_ + "/snapshots"))
    if (auto v = load(snapshot_place(id), id); v.ok()) out.push_back(*v);
  return out;
}

// What is in a volume, not what is said of it.
Status LocalVolumes::copy(const std::string& from, const std::string& to) const {
  for (const char* what : {"/image", "/data"}) {
    if (!is_there(from + what)) continue;
    TRY(remove_tree(to + what));
    return run({"cp", "-a", "--reflink=auto", "--sparse=always", from + what, to + what});
  }
  return Status(Reason::kInternalError, "there is nothing in " + from);
}

Result<LocalVolume> LocalVolumes::create(const Wanted& w) const {
  if (w.name.empty()) return invalid("the volume has no name");
  LocalVolume v;
  v.id = local_id(w.name);
  v.name = w.name;
  v.image = w.image;
  v.fs_type = w.fs_type;
  v.bytes = w.image ? std::max(w.bytes, kLeastImage) : w.bytes;
  v.source = w.snapshot.empty() ? w.volume : w.snapshot;
  std::string from;
  if (v.source.empty()) {
    if (w.ephemeral) v.source = kEphemeral;
  } else {
    from = w.snapshot.empty() ? place(w.volume) : snapshot_place(w.snapshot);
    TRY_ASSIGN(source, load(from, v.source));
    if (source.image != v.image || source.fs_type != v.fs_type)
      return invalid("a volume of another kind cannot be made of " + v.source);
    if (w.bytes > 0 && w.bytes < source.bytes)
      return Status(Reason::kExpired, "the volume is smaller than what it is made of");
    v.bytes = std::max(v.bytes, source.bytes);
  }
  if (w.limit > 0 && v.bytes > w.limit)
    return Status(Reason::kExpired,
                  "a volume of at most " + std::to_string(w.limit) + " is too small");
  if (v.image && !v.fs_type.empty() && v.fs_type != "ext4" && v.fs_type != "ext3" &&
      v.fs_type != "ext2" && v.fs_type != "xfs")
    return invalid("the file system " + v.fs_type + " cannot be made");
  if (auto there = find(v.id); there.ok()) {
    const bool fits = there->name == v.name && there->image == v.image &&
                      there->fs_type == v.fs_type && there->source == v.source &&
                      there->bytes >= w.bytes && (w.limit == 0 || there->bytes <= w.limit);
    if (fits) return *there;
    return Status(Reason::kAlreadyExists, "there is another volume of the name " + v.name);
  }
  if (v.image && v.bytes > available_bytes())
    return Status(Reason::kTooManyRequests, "there is no room for " + std::to_string(v.bytes));
  // What an earlier call left half done. It counts as made once it is said what it is.
  const std::string at = place(v.id);
  TRY(remove_tree(at));
  TRY(make_directories(at, 0700));
  if (!from.empty()) {
    TRY(copy(from, at));
    if (v.image && ::truncate((at + "/image").c_str(), v.bytes) != 0) return failed("resize", at);
  } else if (v.image) {
    TRY(make_image(at + "/image", v.bytes));
    if (!v.fs_type.empty()) {
      std::vector<std::string> argv = {"mkfs." + v.fs_type, "-q"};
      argv.emplace_back(v.fs_type == "xfs" ? "-f" : "-F");
      argv.push_back(at + "/image");
      TRY(run(std::move(argv)));
    }
  } else {
    TRY(make_directories(at + "/data", 0700));
    if (::chmod((at + "/data").c_str(), 0777) != 0) return failed("chmod", at);
  }
  TRY(save(at, v));
  return v;
}

Status LocalVolumes::remove(const std::string& id) const {
  if (local_id(id) != id) return {};
  const std::string at = place(id);
  if (!is_there(at)) return {};
  auto device = device_of(id, false);
  if (device.ok() && !device->empty())
    return Status(Reason::kConflict, "the volume " + id + " is in use as " + *device);
  return remove_tree(at);
}

Result<LocalVolume> LocalVolumes::grow(const std::string& id, int64_t bytes) const {
  TRY_ASSIGN(v, find(id));
  if (bytes <= v.bytes) return v;
  if (v.image) {
    if (bytes - v.bytes > available_bytes())
      return Status(Reason::kExpired, "there is no room for " + std::to_string(bytes));
    if (::truncate((place(id) + "/image").c_str(), bytes) != 0) return failed("resize", id);
  }
  v.bytes = bytes;
  TRY(save(place(id), v));
  return v;
}

Status LocalVolumes::grow_mounted(const std::string& id) const {
  TRY_ASSIGN(v, find(id));
  if (!v.image) return {};
  TRY_ASSIGN(device, device_of(id, true));
  Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.open() || ::ioctl(fd.get(), LOOP_SET_CAPACITY, 0) != 0) return failed("resize", device);
  if (v.fs_type.empty()) return {};
  // xfs_growfs wants the place where it is mounted; ext's online growth a right of the kernel's.
  // What did not grow so does when it is staged anew.
  Status grown = run({v.fs_type == "xfs" ? "xfs_growfs" : "resize2fs", device});
  if (grown.ok()) return {};
  return Status(Reason::kConflict,
                "the file system did not grow while it is mounted: " + grown.message());
}

Result<LocalVolume> LocalVolumes::create_snapshot(const std::string& name,
                                                  const std::string& volume, int64_t now) const {
  if (name.empty()) return invalid("the snapshot has no name");
  LocalVolume s;
  s.id = local_id(name);
  if (auto there = load(snapshot_place(s.id), s.id); there.ok()) {
    if (there->source == volume) return *there;
    return Status(Reason::kAlreadyExists, "there is another snapshot of the name " + name);
  }
  TRY_ASSIGN(of, find(volume));
  s.name = name;
  s.image = of.image;
  s.fs_type = of.fs_type;
  s.bytes = of.bytes;
  s.source = volume;
  s.made_at = now;
  const std::string at = snapshot_place(s.id);
  TRY(remove_tree(at));
  TRY(make_directories(at, 0700));
  ::sync();  // what a mounted image still holds in memory
  TRY(copy(place(volume), at));
  TRY(save(at, s));
  return s;
}

Status LocalVolumes::remove_snapshot(const std::string& id) const {
  if (id.empty() || local_id(id) != id) return {};
  return remove_tree(snapshot_place(id));
}

// The loop device of an image, which is attached when it is not and `attach`; "": none.
Result<std::string> LocalVolumes::device_of(const std::string& id, bool attach) const {
  struct stat image {};
  const std::string file = place(id) + "/image";
  if (::stat(file.c_str(), &image) != 0) return std::string();
  for (int i = 0; i < kMostLoops; ++i) {
    const std::string device = "/dev/loop" + std::to_string(i);
    if (!is_there("/sys/block/loop" + std::to_string(i))) break;
    if (!is_there("/sys/block/loop" + std::to_string(i) + "/loop")) continue;  // not attached
    Fd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
    loop_info64 info{};
    if (!fd.open() || ::ioctl(fd.get(), LOOP_GET_STATUS64, &info) != 0) continue;
    if (info.lo_inode == image.st_ino && info.lo_device == image.st_dev) return device;
  }
  if (!attach) return std::string();
  Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  Fd backing(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!control.open() || !backing.open()) return failed("open", "a loop device");
  for (int tries = 0; tries < 8; ++tries) {
    const int n = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (n < 0) return failed("find", "a free loop device");
    const std::string device = "/dev/loop" + std::to_string(n);
    if (!is_there(device) && ::mknod(device.c_str(), S_IFBLK | 0600, makedev(7, n)) != 0)
      return failed("mknod", device);
    Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd.open()) return failed("open", device);
    if (::ioctl(fd.get(), LOOP_SET_FD, backing.get()) == 0) return device;
    if (errno != EBUSY) return failed("attach", device);
  }
  return Status(Reason::kUnavailable, "others took every free loop device");
}

Status LocalVolumes::stage(const std::string& id, const std::string& staging,
                           const std::vector<std::string>& options) const {
  TRY_ASSIGN(v, find(id));
  if (!v.image) return {};
  TRY_ASSIGN(device, device_of(id, true));
  if (v.fs_type.empty() || is_mounted(staging)) return {};
  TRY(make_directories(staging, 0750));
  if (v.fs_type.starts_with("ext")) {
    // As large as its device: no more than a look when it is.
    (void)run({"e2fsck", "-p", device});
    TRY(run({"resize2fs", "-f", device}));
  }
  std::string data;
  unsigned long flags = 0;
  for (const std::string& o : options) {
    if (o == "ro") {
      flags |= MS_RDONLY;
    } else if (o == "noatime") {
      flags |= MS_NOATIME;
    } else {
      data += (data.empty() ? "" : ",") + o;
    }
  }
  if (::mount(device.c_str(), staging.c_str(), v.fs_type.c_str(), flags, data.c_str()) != 0)
    return failed("mount", device);
  // Fresh, it is root's alone.
  if (v.source.empty() && (flags & MS_RDONLY) == 0) (void)::chmod(staging.c_str(), 0777);
  return {};
}

Status LocalVolumes::unstage(const std::string& id, const std::string& staging) const {
  TRY(unmount(staging));
  if (local_id(id) != id) return {};
  TRY_ASSIGN(device, device_of(id, false));
  if (device.empty()) return {};
  Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.open() || ::ioctl(fd.get(), LOOP_CLR_FD, 0) != 0) return failed("detach", device);
  return {};
}

Status LocalVolumes::publish(const std::string& id, const std::string& staging,
                             const std::string& target, bool read_only) const {
  TRY_ASSIGN(v, find(id));
  std::string from = place(id) + "/data";
  if (v.image && v.fs_type.empty()) {
    TRY_ASSIGN(device, device_of(id, true));
    from = device;
    if (!is_there(target)) TRY(write_file(target, ""));
  } else {
    if (v.image) {
      if (staging.empty() || !is_mounted(staging))
        return Status(Reason::kConflict, "the volume " + id + " is not staged");
      from = staging;
    }
    TRY(make_directories(target, 0750));
  }
  if (is_mounted(target)) return {};
  if (::mount(from.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return failed("bind", target);
  if (read_only &&
      ::mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) {
    Status s = failed("make read only", target);
    (void)unmount(target);
    return s;
  }
  return {};
}

Status LocalVolumes::unpublish(const std::string& id, const std::string& target) const {
  TRY(unmount(target));
  struct stat st {};
  if (::lstat(target.c_str(), &st) == 0) {
    const int gone = S_ISDIR(st.st_mode) ? ::rmdir(target.c_str()) : ::unlink(target.c_str());
    if (gone != 0 && errno != ENOENT) return failed("remove", target);
  }
  auto v = find(id);
  if (v.ok() && v->source == kEphemeral) return remove(id);
  return {};
}

Result<LocalUsage> LocalVolumes::usage(const std::string& id, const std::string& path) const {
  TRY_ASSIGN(v, find(id));
  LocalUsage u;
  u.total = v.bytes;
  if (v.image && v.fs_type.empty()) return u;
  struct statvfs fs {};
  if (::statvfs(path.c_str(), &fs) != 0)
    return Status(errno == ENOENT ? Reason::kNotFound : Reason::kInternalError,
                  path + ": " + std::strerror(errno));
  const auto block = static_cast<int64_t>(fs.f_frsize);
  u.total = block * static_cast<int64_t>(fs.f_blocks);
  u.available = block * static_cast<int64_t>(fs.f_bavail);
  u.used = u.total - block * static_cast<int64_t>(fs.f_bfree);
  u.inodes = static_cast<int64_t>(fs.f_files);
  u.inodes_free = static_cast<int64_t>(fs.f_ffree);
  u.inodes_used = u.inodes - u.inodes_free;
  return u;
}

int64_t LocalVolumes::available_bytes() const {
  struct statvfs fs {};
  if (::statvfs(directory_.c_str(), &fs) != 0) return 0;
  return static_cast<int64_t>(fs.f_frsize) * static_cast<int64_t>(fs.f_bavail);
}

}  // namespace keles::csi
