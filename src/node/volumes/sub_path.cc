#include "node/volumes/sub_path.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <vector>

#include "base/log.h"

namespace keles::node {
namespace {

constexpr size_t kMaxDepth = 255;
constexpr int kMaxLinks = 40;  // as the kernel's own limit

Status failed(const std::string& what) {
  Reason r = errno == ENOENT ? Reason::kNotFound : Reason::kInternalError;
  return Status(r, what + ": " + std::strerror(errno));
}

void push_front(std::deque<std::string>& ahead, std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  ahead.insert(ahead.begin(), parts.begin(), parts.end());
}

class Resolver {
 public:
  Resolver(const Fd& root, std::string root_path, bool create)
      : root_(root), root_path_(std::move(root_path)), create_(create) {}

  Result<Fd> resolve(const std::string& path) {
    if (::fstat(root_.get(), &volume_) != 0) return failed("stat the volume");
    push_front(todo_, path);
    while (!todo_.empty()) {
      std::string name = std::move(todo_.front());
      todo_.pop_front();
      if (name == "..") {
        if (way_.empty()) return out();
        way_.pop_back();
      } else {
        TRY(step(name));
      }
    }
    if (!way_.empty()) return Result<Fd>(std::move(way_.back()));
    return open_beneath(root_, ".", O_PATH);
  }

 private:
  static Status out() { return Status(Reason::kForbidden, "it leads out of its volume"); }
  int here() const { return way_.empty() ? root_.get() : way_.back().get(); }

  Status step(const std::string& name) {
    if (way_.size() >= kMaxDepth || todo_.size() > 4096)
      return Status(Reason::kInvalid, "it is too deep");
    Fd next(::openat(here(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!next.open() && errno == ENOENT && create_) {
      TRY_ASSIGN(made, make(name));
      next = std::move(made);
    }
    if (!next.open()) return failed("open " + name);
    struct stat st {};
    if (::fstat(next.get(), &st) != 0) return failed("stat " + name);
    if (S_ISLNK(st.st_mode)) return follow(next);
    way_.push_back(std::move(next));
    return {};
  }

  // The link's own descriptor is read: what it says is what was found.
  Status follow(const Fd& link) {
    if (++links_ > kMaxLinks) return Status(Reason::kForbidden, "too many links");
    auto target = read_link(link, "");
    if (!target || target->empty()) return failed("read a link");
    std::string_view to = *target;
    if (to[0] == '/') {
      if (!to.starts_with(root_path_)) return out();
      to.remove_prefix(root_path_.size());
      if (!to.empty() && to[0] != '/' && root_path_ != "/") return out();
      way_.clear();
    }
    push_front(todo_, to);
    return {};
  }

  Result<Fd> make(const std::string& name) {
    bool new_one = ::mkdirat(here(), name.c_str(), 0700) == 0;
    if (!new_one && errno != EEXIST) return failed("mkdir " + name);
    Fd made(::openat(here(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!made.open()) return failed("open " + name);
    if (!new_one) return Result<Fd>(std::move(made));  // a container was faster: it is its own
    if ((volume_.st_mode & S_ISGID) != 0 &&
        ::fchown(made.get(), static_cast<uid_t>(-1), volume_.st_gid) != 0)
      return failed("chown " + name);
    if (::fchmod(made.get(), volume_.st_mode & 07777) != 0) return failed("chmod " + name);
    return Result<Fd>(std::move(made));
  }

  const Fd& root_;
  std::string root_path_;
  bool create_;
  struct stat volume_ {};
  std::deque<std::string> todo_;
  std::vector<Fd> way_;  // below the root
  int links_ = 0;
};

bool same_file(const Fd& a, const Fd& b) {
  struct stat x {
  }, y{};
  return ::fstat(a.get(), &x) == 0 && ::fstat(b.get(), &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

// An empty file or directory for `source` to be bound to.
Result<Fd> make_target(const Fd& parent, const std::string& name, const Fd& source) {
  struct stat st {};
  if (::fstat(source.get(), &st) != 0) return failed("stat");
  TRY(remove_tree_beneath(parent, name));
  if (S_ISDIR(st.st_mode)) {
    TRY(make_directories_beneath(parent, name, {.mode = 0750, .gid = {}}));
  } else {
    TRY(create_file_beneath(parent, name, "", 0640, geteuid(), getegid()));
  }
  return open_beneath(parent, name, O_PATH);
}

Status bind_mount(const PodDirectories& pods, const SubPath& s, const Fd& source,
                  const std::string& place) {
  TRY_ASSIGN(pod, pods.open(s.pod_uid));
  TRY_ASSIGN(parent, make_directories_beneath(pod, place, {.mode = 0750, .gid = {}}));
  std::string name = std::to_string(s.mount_index);
  // What an earlier container of this name was given; it may be another place by now.
  while (true) {
    auto there = open_beneath(parent, name, O_PATH);
    if (there.status().is(Reason::kNotFound)) break;
    TRY(there.status());
    if (!is_mount_root(*there)) break;
    if (same_file(*there, source)) return {};
    TRY(unmount_at(*there));
  }
  TRY_ASSIGN(target, make_target(parent, name, source));
  if (mount(source.proc_path().c_str(), target.proc_path().c_str(), nullptr, MS_BIND, nullptr) != 0)
    return failed("bind");
  return {};
}

}  // namespace

Result<Fd> resolve_sub_path(const Fd& root, const std::string& root_path, const std::string& path,
                            bool create) {
  return Resolver(root, root_path, create).resolve(path);
}

Result<std::string> bind_sub_path(const PodDirectories& pods, const SubPath& s) {
  auto refuse = [&](const char* what, const Status& why) {
    log::warn(
        "Cannot use a subPath",
        {{"pod", s.pod_uid}, {"volume", s.volume}, {"container", s.container}, {"error", why}});
    return Status(Reason::kInvalid, std::string("failed to ") + what + " for volumeMount \"" +
                                        s.volume + "\" of container \"" + s.container + "\"");
  };
  Fd root(::open(s.volume_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.open()) return refuse("prepare subPath", failed("open " + s.volume_path));
  char real[4096];
  ssize_t n = ::readlink(root.proc_path().c_str(), real, sizeof real);
  if (n <= 0) return refuse("prepare subPath", failed("open " + s.volume_path));
  std::string root_path(real, static_cast<size_t>(n));
  auto source = resolve_sub_path(root, root_path, s.path, false);
  if (source.status().is(Reason::kNotFound)) {
    source = resolve_sub_path(root, root_path, s.path, true);
    if (!source.ok()) return refuse("create subPath directory", source.status());
  }
  if (!source.ok()) return refuse("prepare subPath", source.status());
  std::string place = "volume-subpaths/" + s.volume + "/" + s.container;
  Status bound = bind_mount(pods, s, *source, place);
  if (!bound.ok()) return refuse("prepare subPath", bound);
  return pods.path(s.pod_uid) + "/" + place + "/" + std::to_string(s.mount_index);
}

}  // namespace keles::node
