#include "csi/local_volumes.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/beneath.h"
#include "base/file.h"
#include "base/loop_devices.h"
#include "csi/local_host.h"
#include "net/pki.h"
#include "node/csi/volume_data.h"

namespace keles::csi {
namespace {

constexpr int64_t kLeastImage = 8 << 20;          // a file system has room in it
constexpr const char* kEphemeral = "ephemeral/";  // no volume has that id

Status failed(const std::string& what, const std::string& path) {
  return Status(Reason::kInternalError, what + " " + path + ": " + std::strerror(errno));
}
Status invalid(std::string why) { return Status(Reason::kBadRequest, std::move(why)); }

Status in_use(const std::string& id, const std::string& at) {
  return Status(Reason::kConflict, "the volume " + id + " is in use at " + at +
                                       ": end the pods that have it, and try again");
}

bool is_there(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
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
  data["fitted"] = std::to_string(v.fitted);
  data["opened"] = v.opened ? "true" : "false";
  data["allocation"] = v.full ? "full" : "sparse";
  return node::save_volume_data(at, data);
}

Status make_image(const std::string& file, int64_t bytes) {
  Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.open()) return failed("create", file);
  if (::ftruncate(fd.get(), bytes) != 0) return failed("resize", file);
  return {};
}

// The host's room for all of the file.
Status take_room(const std::string& file, int64_t bytes) {
  Fd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.open()) return failed("open", file);
  if (::fallocate(fd.get(), 0, 0, bytes) == 0) return {};
  if (errno == ENOSPC)
    return Status(Reason::kExpired, "there is no room for " + std::to_string(bytes));
  return failed("allocate", file);
}

// Room that was taken and never written. Nobody writes meanwhile.
Status give_back_room(const std::string& file, int64_t bytes) {
  Fd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.open()) return failed("open", file);
  for (off_t at = 0; at < bytes;) {
    const off_t hole = ::lseek(fd.get(), at, SEEK_HOLE);
    if (hole < 0) return failed("seek", file);
    if (hole >= bytes) break;
    off_t end = ::lseek(fd.get(), hole, SEEK_DATA);
    if (end < 0) end = bytes;  // nothing behind it
    if (::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole, end - hole) != 0)
      return failed("punch", file);
    at = end;
  }
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
  v.fitted = number(get(*data, "fitted"));
  v.opened = get(*data, "opened") == "true";
  v.full = get(*data, "allocation") == "full";
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

// What is in a volume, not what is said of it. A program copies it as root, by paths: nobody may
// write there meanwhile (a directory that becomes a link leads out of it, a mounted file system is
// half written), which is why stage() and publish() hold the place as well.
Status LocalVolumes::copy(const LocalVolume& of, const std::string& from, const std::string& to) {
  const bool volume = from == place(of.id);
  if (volume && of.image) {
    TRY_ASSIGN(device, device_of(of.id, false));
    if (!device.empty()) return in_use(of.id, device);
  } else if (volume) {
    TRY_ASSIGN(bound, bound_at(from + "/data"));
    for (const BoundAt& b : bound)
      if (!b.read_only) return in_use(of.id, b.path);
  }
  return copies_.copy(from, to, of.image ? "/image" : "/data");
}

// An empty place; what an earlier call left half done goes. One that is being copied to stays.
Status LocalVolumes::clear_place(const std::string& at) const {
  if (copies_.begun(at)) return {};
  if (is_there(at)) TRY(hold_place(at).status());
  TRY(remove_tree(at));
  return make_directories(at, 0700);
}

Result<LocalVolume> LocalVolumes::create(const Wanted& w) {
  if (w.name.empty()) return invalid("the volume has no name");
  if (w.full && !w.image) return invalid("a directory has no size of its own to be allocated");
  LocalVolume v;
  v.id = local_id(w.name);
  v.name = w.name;
  v.image = w.image;
  v.fs_type = w.fs_type;
  v.bytes = w.image ? std::max(w.bytes, kLeastImage) : w.bytes;
  v.source = w.snapshot.empty() ? w.volume : w.snapshot;
  std::string from;
  LocalVolume source;
  if (v.source.empty()) {
    if (w.ephemeral) v.source = kEphemeral;
  } else {
    from = w.snapshot.empty() ? place(w.volume) : snapshot_place(w.snapshot);
    TRY_ASSIGN(found, load(from, v.source));
    source = std::move(found);
    if (source.image != v.image || source.fs_type != v.fs_type)
      return invalid("a volume of another kind cannot be made of " + v.source);
    if (w.bytes > 0 && w.bytes < source.bytes)
      return Status(Reason::kExpired, "the volume is smaller than what it is made of");
    v.bytes = std::max(v.bytes, source.bytes);
    v.fitted = source.fitted;
    v.opened = source.opened;
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
                      there->full == w.full && there->bytes >= w.bytes &&
                      (w.limit == 0 || there->bytes <= w.limit);
    if (fits) return *there;
    return Status(Reason::kAlreadyExists, "there is another volume of the name " + v.name);
  }
  if (v.image && v.bytes > available_bytes())
    return Status(Reason::kTooManyRequests, "there is no room for " + std::to_string(v.bytes));
  // It counts as made once it is said what it is.
  const std::string at = place(v.id);
  TRY(clear_place(at));
  if (!from.empty()) {
    TRY(copy(source, from, at));
    if (v.image && ::truncate((at + "/image").c_str(), v.bytes) != 0) return failed("resize", at);
  } else if (v.image) {
    TRY(make_image(at + "/image", v.bytes));
    if (!v.fs_type.empty()) {
      std::vector<std::string> argv = {"mkfs." + v.fs_type, "-q"};
      argv.emplace_back(v.fs_type == "xfs" ? "-f" : "-F");
      argv.push_back(at + "/image");
      TRY(run(std::move(argv)));
      v.fitted = v.bytes;
    }
  } else {
    TRY(make_directories(at + "/data", 0700));
    if (::chmod((at + "/data").c_str(), 0777) != 0) return failed("chmod", at);
  }
  v.full = w.full;
  if (v.full) TRY(take_room(at + "/image", v.bytes));
  TRY(save(at, v));
  return v;
}

Status LocalVolumes::allocate(const std::string& id, bool full) const {
  TRY_ASSIGN(v, find(id));
  if (!v.image) return invalid("the volume " + id + " is a directory, of no size of its own");
  const std::string file = place(id) + "/image";
  if (full) {
    TRY(take_room(file, v.bytes));
  } else if (loop_device_of(file).empty()) {
    const auto held = hold_place(place(id));
    TRY(held.status());
    TRY(run({"fallocate", "--dig-holes", file}));  // what was written and is zero
    TRY(give_back_room(file, v.bytes));
  }
  if (v.full == full) return {};
  v.full = full;
  return save(place(id), v);
}

Status LocalVolumes::remove(const std::string& id) {
  if (local_id(id) != id) return {};
  const std::string at = place(id);
  if (!is_there(at)) return {};
  const auto held = hold_place(at);
  TRY(held.status());
  copies_.forget(at);
  TRY_ASSIGN(device, device_of(id, false));
  if (!device.empty()) return in_use(id, device);
  if (is_there(at + "/data")) {
    TRY_ASSIGN(bound, bound_at(at + "/data"));
    if (!bound.empty()) return in_use(id, bound[0].path);
  }
  return remove_tree(at);
}

Result<LocalVolume> LocalVolumes::grow(const std::string& id, int64_t bytes) const {
  TRY_ASSIGN(v, find(id));
  if (bytes <= v.bytes) return v;
  if (v.image) {
    if (bytes - v.bytes > available_bytes())
      return Status(Reason::kExpired, "there is no room for " + std::to_string(bytes));
    if (::truncate((place(id) + "/image").c_str(), bytes) != 0) return failed("resize", id);
    if (v.full) TRY(take_room(place(id) + "/image", bytes));
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
  if (grown.ok()) {
    v.fitted = v.bytes;
    return save(place(id), v);
  }
  return Status(Reason::kConflict,
                "the file system did not grow while it is mounted: " + grown.message());
}

Result<LocalVolume> LocalVolumes::create_snapshot(const std::string& name,
                                                  const std::string& volume, int64_t now) {
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
  s.fitted = of.fitted;
  s.opened = of.opened;
  const std::string at = snapshot_place(s.id);
  TRY(clear_place(at));
  TRY(copy(of, place(volume), at));
  TRY(save(at, s));
  return s;
}

Status LocalVolumes::remove_snapshot(const std::string& id) {
  if (id.empty() || local_id(id) != id || !is_there(snapshot_place(id))) return {};
  const auto held = hold_place(snapshot_place(id));
  TRY(held.status());
  copies_.forget(snapshot_place(id));
  return remove_tree(snapshot_place(id));
}

// The loop device of an image, which is attached when it is not and `attach`; "": none.
Result<std::string> LocalVolumes::device_of(const std::string& id, bool attach) const {
  const std::string file = place(id) + "/image";
  std::string device = loop_device_of(file);
  if (!device.empty() || !attach || !is_there(file)) return device;
  return attach_loop_device(file);
}

// ext's, on a device that is not mounted: sound, and as large as the device.
Status LocalVolumes::check(LocalVolume* v, const std::string& device) const {
  const bool grows = v->fitted != v->bytes;
  std::vector<std::string> argv = {"e2fsck", "-p"};
  if (grows) argv.emplace_back("-f");  // resize2fs wants to be sure
  argv.push_back(device);
  TRY_ASSIGN(code, run_for_exit(std::move(argv)));
  // 1 and 2: it mended what there was. 4 and above: errors are left, or it could not look.
  if (code >= 4)
    return Status(Reason::kInternalError, "the file system of the volume " + v->id +
                                              " is not sound: e2fsck ended with " +
                                              std::to_string(code) + ": mend it by hand");
  if (!grows) return {};
  Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.open() || ::ioctl(fd.get(), LOOP_SET_CAPACITY, 0) != 0) return failed("resize", device);
  TRY(run({"resize2fs", device}));
  v->fitted = v->bytes;
  return save(place(v->id), *v);
}

Status LocalVolumes::stage(const std::string& id, const std::string& staging,
                           const std::vector<std::string>& options) const {
  TRY_ASSIGN(v, find(id));
  if (!v.image) return {};
  const auto held = hold_place(place(id));
  TRY(held.status());
  TRY_ASSIGN(device, device_of(id, true));
  if (v.fs_type.empty()) return {};
  const MountOptions how = mount_options(options);
  if (!is_mounted(staging)) {
    TRY(make_directories(staging, 0750));
    if (v.fs_type.starts_with("ext")) TRY(check(&v, device));
    if (::mount(device.c_str(), staging.c_str(), v.fs_type.c_str(), how.flags, how.data.c_str()) !=
        0)
      return failed("mount", device);
  }
  if (v.opened || (how.flags & MS_RDONLY) != 0) return {};
  // Fresh, it is root's alone. Afterwards its mode is its user's affair.
  if (::chmod(staging.c_str(), 0777) != 0) return failed("chmod", staging);
  v.opened = true;
  return save(place(id), v);
}

Status LocalVolumes::unstage(const std::string& id, const std::string& staging) const {
  TRY(unmount(staging));
  if (local_id(id) != id) return {};
  TRY_ASSIGN(device, device_of(id, false));
  if (device.empty()) return {};
  return detach_loop_device(device);
}

Status LocalVolumes::publish(const std::string& id, const std::string& staging,
                             const std::string& target, bool read_only) const {
  TRY_ASSIGN(v, find(id));
  const auto held = hold_place(place(id));
  TRY(held.status());
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

Status LocalVolumes::unpublish(const std::string& id, const std::string& target) {
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
