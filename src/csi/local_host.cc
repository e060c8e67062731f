#include "csi/local_host.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/file.h"
#include "base/mount_table.h"
#include "base/text_parts.h"

extern char** environ;

namespace keles::csi {
namespace {

constexpr int kPatience = 1000;              // milliseconds
constexpr const char* kCopyLimit = "43200";  // seconds

Status failed(const std::string& what, const std::string& path) {
  return Status(Reason::kInternalError, what + " " + path + ": " + std::strerror(errno));
}

// `inherited` become the program's descriptors 3 and above.
Result<pid_t> spawn(std::vector<std::string> argv, const std::vector<int>& inherited = {}) {
  std::vector<char*> args;
  for (std::string& a : argv) args.push_back(a.data());
  args.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  // A descriptor that is made one of itself loses its close-on-exec mark alone.
  for (int fd : inherited) posix_spawn_file_actions_adddup2(&files, fd, fd);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, args[0], &files, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Status(Reason::kInternalError, argv[0] + ": " + std::strerror(error));
  return pid;
}

int exit_of(pid_t pid) {
  int how = 0;
  while (::waitpid(pid, &how, 0) < 0) {
    if (errno != EINTR) return 255;
  }
  return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

// Whether it ended in time.
bool ends_within(pid_t pid, int milliseconds) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.open()) return true;  // waitpid() says
  pollfd p{};
  p.fd = fd.get();
  p.events = POLLIN;
  return ::poll(&p, 1, milliseconds) != 0;
}

}  // namespace

Result<int> run_for_exit(std::vector<std::string> argv) {
  argv.insert(argv.begin(), {"timeout", "120"});
  TRY_ASSIGN(pid, spawn(std::move(argv)));
  return exit_of(pid);
}

Status run(std::vector<std::string> argv) {
  const std::string name = argv[0];
  TRY_ASSIGN(code, run_for_exit(std::move(argv)));
  if (code == 0) return {};
  return Status(Reason::kInternalError, name + " failed: exit status " + std::to_string(code));
}

bool is_mounted(const std::string& path) {
  Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  return fd.open() && is_mount_root(fd);
}

Status unmount(const std::string& path) {
  if (!is_mounted(path)) return {};
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW) != 0) return failed("unmount", path);
  return {};
}

// Mounts of one file system say what of it they show: those that show the directory's path in its
// file system, or one below, are its.
Result<std::vector<BoundAt>> bound_at(const std::string& directory) {
  char real[PATH_MAX];
  if (::realpath(directory.c_str(), real) == nullptr) return failed("resolve", directory);
  struct statx st {};
  if (::statx(AT_FDCWD, real, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) != 0)
    return failed("stat", directory);
  if ((st.stx_mask & STATX_MNT_ID) == 0)
    return Status(Reason::kInternalError, "the kernel does not tell the mount of " + directory);
  TRY_ASSIGN(mounts, read_mount_table());
  auto its = std::find_if(mounts.begin(), mounts.end(), [&](const MountedAt& m) {
    return static_cast<uint64_t>(m.id) == st.stx_mnt_id;
  });
  if (its == mounts.end() || !is_at_or_below(real, its->place))
    return Status(Reason::kInternalError, "cannot find the mount of " + directory);
  const std::string& root = its->root;
  const std::string& place = its->place;
  std::string rest = std::string(real).substr(place == "/" ? 0 : place.size());
  if (rest == "/") rest.clear();
  const std::string shown = (root == "/" ? "" : root) + rest;
  std::vector<BoundAt> out;
  for (const MountedAt& m : mounts) {
    if (m.device != its->device || m.id == its->id || !is_at_or_below(m.root, shown)) continue;
    BoundAt one;
    one.path = m.place;
    one.read_only = m.read_only();
    out.push_back(std::move(one));
  }
  return Result<std::vector<BoundAt>>(std::move(out));
}

MountOptions mount_options(const std::vector<std::string>& options) {
  struct Known {
    std::string_view name;
    unsigned long set, clear;
  };
  constexpr unsigned long kTimes = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;
  static constexpr Known kKnown[] = {
      {"defaults", 0, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS},
      {"ro", MS_RDONLY, 0},
      {"rw", 0, MS_RDONLY},
      {"nosuid", MS_NOSUID, 0},
      {"suid", 0, MS_NOSUID},
      {"nodev", MS_NODEV, 0},
      {"dev", 0, MS_NODEV},
      {"noexec", MS_NOEXEC, 0},
      {"exec", 0, MS_NOEXEC},
      {"sync", MS_SYNCHRONOUS, 0},
      {"async", 0, MS_SYNCHRONOUS},
      {"dirsync", MS_DIRSYNC, 0},
      {"noatime", MS_NOATIME, kTimes},
      {"atime", 0, MS_NOATIME},
      {"relatime", MS_RELATIME, kTimes},
      {"norelatime", 0, MS_RELATIME},
      {"strictatime", MS_STRICTATIME, kTimes},
      {"nostrictatime", 0, MS_STRICTATIME},
      {"nodiratime", MS_NODIRATIME, 0},
      {"diratime", 0, MS_NODIRATIME},
      {"lazytime", MS_LAZYTIME, 0},
      {"nolazytime", 0, MS_LAZYTIME},
      {"silent", MS_SILENT, 0},
      {"loud", 0, MS_SILENT},
  };
  MountOptions out;
  for (const std::string& list : options) {
    for (std::string_view one : split_list(list)) {
      auto known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                [&](const Known& k) { return k.name == one; });
      if (known != std::end(kKnown)) {
        out.flags = (out.flags & ~known->clear) | known->set;
      } else if (!one.empty()) {
        out.data.append(out.data.empty() ? "" : ",").append(one);
      }
    }
  }
  return out;
}

Result<Fd> hold_place(const std::string& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.open()) return failed("open", directory);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock", directory);
    return Status(Reason::kUnavailable, "a copy is under way: try again later");
  }
  return Result<Fd>(std::move(fd));
}

Status Copies::copy(const std::string& from, const std::string& to, const std::string& what) {
  auto it = running_.find(to);
  if (it == running_.end()) {
    TRY_ASSIGN(source, hold_place(from));
    TRY_ASSIGN(target, hold_place(to));
    TRY(remove_tree(to + what));
    TRY_ASSIGN(pid, spawn({"timeout", kCopyLimit, "cp", "-a", "--reflink=auto", "--sparse=always",
                           from + what, to + what},
                          {source.get(), target.get()}));
    Job job;
    job.pid = pid;
    job.from = from;
    it = running_.emplace(to, std::move(job)).first;
  }
  if (!ends_within(it->second.pid, kPatience))
    return Status(Reason::kUnavailable, "the copy of " + from + " is under way: try again later");
  const bool same = it->second.from == from;
  const int code = exit_of(it->second.pid);
  running_.erase(it);
  if (code == 0 && same) return {};
  TRY(remove_tree(to + what));
  if (!same)
    return Status(Reason::kUnavailable, "a copy of something else was under way: try again");
  return Status(Reason::kInternalError, "cp failed: exit status " + std::to_string(code));
}

void Copies::forget(const std::string& to) {
  auto it = running_.find(to);
  if (it == running_.end()) return;
  (void)exit_of(it->second.pid);
  running_.erase(it);
}

}  // namespace keles::csi
