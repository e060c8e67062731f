#include "base/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace keles {
namespace {

Status failed(std::string_view what, std::string_view path, int err = errno) {
  Reason reason = err == ENOENT                  ? Reason::kNotFound
                  : err == ELOOP || err == EXDEV ? Reason::kForbidden
                                                 : Reason::kInternalError;
  std::string why = err == ELOOP   ? "there is a symbolic link on the way"
                    : err == EXDEV ? "it leads out of its directory or over a mount point"
                                   : strerror(err);
  return Status(reason, std::string(what) + " " + std::string(path) + ": " + why);
}

int open_at(int dir, const char* path, uint64_t flags, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  // The kernel gives up with EAGAIN when somebody renames on the way.
  for (int i = 0; i < 1000; ++i) {
    long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EAGAIN && errno != EINTR) return -1;
  }
  return -1;
}

int open_dir_at(int dir, const char* name) {
  return open_at(dir, name, O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV);
}

// `parent` of the last name; "" and the path itself when there is but one.
std::pair<std::string, std::string> split(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<Fd> open_parent(const Fd& dir, const std::string& parent) {
  if (parent.empty()) {
    int fd = ::fcntl(dir.get(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return failed("dup", parent);
    return Fd(fd);
  }
  return open_directory_beneath(dir, parent);
}

Status own(int fd, const Ownership& o, std::string_view path) {
  if (o.gid && ::fchown(fd, static_cast<uid_t>(-1), *o.gid) < 0) return failed("chown", path);
  if (o.mode && ::fchmod(fd, *o.mode) < 0) return failed("chmod", path);
  return {};
}

Result<std::vector<std::string>> names_in(int fd, std::string_view path, size_t limit) {
  int copy = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return failed("open", path);
  DIR* dir = ::fdopendir(copy);
  if (!dir) {
    ::close(copy);
    return failed("open", path);
  }
  std::vector<std::string> names;
  while (names.size() < limit) {
    dirent* e = ::readdir(dir);
    if (!e) break;
    std::string_view n = e->d_name;
    if (n != "." && n != "..") names.emplace_back(n);
  }
  ::closedir(dir);
  return names;
}

// Removes a tree with a bounded number of descriptors: what lies deeper than kMaxDepth is first
// moved up into the tree's top, which is on the same file system.
class TreeRemover {
 public:
  explicit TreeRemover(std::string path) : path_(std::move(path)) {}

  Status remove(int parent, const std::string& name) { return remove_entry(parent, name, 0); }

 private:
  static constexpr int kMaxDepth = 64;
  static constexpr size_t kBatch = 1024;

  static bool unlinked(int parent, const std::string& name, int flags) {
    return ::unlinkat(parent, name.c_str(), flags) == 0 || errno == ENOENT;
  }

  Status refused(std::string_view what, const std::string& name) const {
    std::string place = path_ + "/" + name;
    if (errno != EBUSY && errno != EXDEV) return failed(what, place);
    return Status::internal("remove " + place + ": it is a mount point: unmount it first");
  }

  Status remove_entry(int parent, const std::string& name, int depth) {
    if (unlinked(parent, name, 0)) return {};
    if (errno != EISDIR && errno != EPERM) return refused("remove", name);
    if (unlinked(parent, name, AT_REMOVEDIR)) return {};
    if (errno == ENOTDIR && unlinked(parent, name, 0)) return {};  // changed for a file just now
    if (errno != ENOTEMPTY && errno != EEXIST) return refused("remove", name);
    if (depth >= kMaxDepth) {
      std::string up = ".moved-up-" + std::to_string(++moved_);
      if (::renameat(parent, name.c_str(), top_, up.c_str()) == 0) return {};
      return refused("move", name);
    }
    Fd fd(open_dir_at(parent, name.c_str()));
    if (!fd.open()) return errno == ENOENT ? Status() : refused("open", name);
    if (depth == 0) top_ = fd.get();
    TRY(empty(fd.get(), depth));
    return unlinked(parent, name, AT_REMOVEDIR) ? Status() : refused("remove", name);
  }

  // In batches, for directories of any size; ends at the first round that removes nothing.
  Status empty(int fd, int depth) {
    Status first;
    while (true) {
      TRY_ASSIGN(names, names_in(fd, path_, kBatch));
      if (names.empty()) return first;
      size_t failures = 0;
      first = {};
      for (const std::string& n : names) {
        Status s = remove_entry(fd, n, depth + 1);
        if (s.ok()) continue;
        ++failures;
        if (first.ok()) first = s;
      }
      if (failures == names.size()) return first;
    }
  }

  std::string path_;  // for messages
  int top_ = -1;
  int moved_ = 0;
};

}  // namespace

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<Fd> open_directory(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.open()) return failed("open", path);
  return Result<Fd>(std::move(fd));
}

Result<Fd> open_beneath(const Fd& dir, const std::string& path, int flags) {
  // O_PATH takes no other flag but these, and never waits.
  uint64_t more = flags & O_PATH ? 0 : O_NONBLOCK;
  Fd fd(open_at(dir.get(), path.c_str(), static_cast<uint64_t>(flags) | more, 0));
  if (!fd.open()) return failed("open", path);
  return Result<Fd>(std::move(fd));
}

Result<Fd> open_directory_beneath(const Fd& dir, const std::string& path) {
  Fd fd(open_dir_at(dir.get(), path.c_str()));
  if (!fd.open()) return failed("open", path);
  return Result<Fd>(std::move(fd));
}

Result<Fd> make_directories_beneath(const Fd& dir, const std::string& path,
                                    const Ownership& ownership) {
  TRY_ASSIGN(at, open_parent(dir, ""));
  std::string_view rest = path;
  while (!rest.empty()) {
    std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    if (name == "..") return failed("mkdir", path, EXDEV);
    bool made = ::mkdirat(at.get(), name.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return failed("mkdir", path);
    Fd next(open_at(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY, 0));
    if (!next.open()) return failed("open", path);
    if (made) {
      Ownership o = ownership;
      if (!o.mode) o.mode = 0755;
      TRY(own(next.get(), o, path));
    }
    at = std::move(next);
  }
  return Result<Fd>(std::move(at));
}

Result<std::string> read_file_beneath(const Fd& dir, const std::string& path, size_t max_bytes) {
  // A pipe that somebody left there would hold the opener until it is written to.
  TRY_ASSIGN(fd, open_beneath(dir, path, O_RDONLY | O_NOCTTY | O_NONBLOCK));
  struct stat st {};
  if (::fstat(fd.get(), &st) < 0) return failed("stat", path);
  if (!S_ISREG(st.st_mode)) return Status::internal("read " + path + ": it is no regular file");
  std::string out;
  while (true) {
    size_t at = out.size();
    out.resize(at + 65536);
    ssize_t n = ::read(fd.get(), out.data() + at, 65536);
    if (n < 0 && errno != EINTR) return failed("read", path);
    out.resize(at + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) return out;
    if (out.size() > max_bytes)
      return Status(Reason::kRequestEntityTooLarge,
                    "read " + path + ": larger than " + std::to_string(max_bytes) + " bytes");
  }
}

Status create_file_beneath(const Fd& dir, const std::string& path, std::string_view content,
                           mode_t mode, uid_t uid, gid_t gid) {
  auto [parent, name] = split(path);
  TRY_ASSIGN(at, open_parent(dir, parent));
  Fd fd(
      ::openat(at.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.open()) return failed("create", path);
  while (!content.empty()) {
    ssize_t n = ::write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write", path);
    content.remove_prefix(static_cast<size_t>(n));
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) < 0) return failed("stat", path);
  if ((st.st_uid != uid || st.st_gid != gid) && ::fchown(fd.get(), uid, gid) < 0)
    return failed("chown", path);
  if (::fchmod(fd.get(), mode) < 0) return failed("chmod", path);
  return {};
}

Result<std::vector<std::string>> list_directory(const Fd& dir) {
  TRY_ASSIGN(names, names_in(dir.get(), dir.proc_path(), SIZE_MAX));
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> read_link(const Fd& dir, const std::string& name) {
  char target[4096];
  ssize_t n = ::readlinkat(dir.get(), name.c_str(), target, sizeof target);
  if (n < 0 || static_cast<size_t>(n) == sizeof target) return std::nullopt;
  return std::string(target, static_cast<size_t>(n));
}

bool is_mount_root(const Fd& fd) {
  struct statx st {};
  if (::statx(fd.get(), "", AT_EMPTY_PATH, 0, &st) < 0) return false;
  return (st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

Status remove_tree_beneath(const Fd& dir, const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    return Status::internal("remove \"" + name + "\": one name is needed");
  std::string where = dir.proc_path();
  char path[4096];
  ssize_t n = ::readlink(where.c_str(), path, sizeof path);
  if (n > 0) where.assign(path, static_cast<size_t>(n));
  return TreeRemover(std::move(where)).remove(dir.get(), name);
}

Status remove_file_beneath(const Fd& dir, const std::string& path) {
  auto [parent, name] = split(path);
  auto at = open_parent(dir, parent);
  if (at.status().is(Reason::kNotFound)) return {};
  TRY(at.status());
  if (::unlinkat(at->get(), name.c_str(), 0) < 0 && errno != ENOENT) return failed("remove", path);
  return {};
}

}  // namespace keles
