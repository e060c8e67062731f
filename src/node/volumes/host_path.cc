#include "node/volumes/host_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/beneath.h"

namespace keles::node {
namespace {

struct Type {
  std::string_view name;
  const char* what;
  mode_t format;
  bool create;
};
constexpr Type kTypes[] = {
    {"DirectoryOrCreate", "a directory", S_IFDIR, true},
    {"Directory", "a directory", S_IFDIR, false},
    {"FileOrCreate", "a file", S_IFREG, true},
    {"File", "a file", S_IFREG, false},
    {"Socket", "a socket file", S_IFSOCK, false},
    {"CharDevice", "a character device", S_IFCHR, false},
    {"BlockDevice", "a block device", S_IFBLK, false},
};

Status failed(const std::string& what, const std::string& path) {
  return Status::internal(what + " " + path + ": " + std::strerror(errno));
}

// The directory above the last name of `path`, made when it is missing; links that lead to
// directories are the host's own and are followed.
Result<Fd> open_above(const std::string& path, bool create) {
  Fd at(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at.open()) return failed("open", "/");
  std::string_view rest = std::string_view(path).substr(0, path.rfind('/') + 1);
  while (!rest.empty()) {
    std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty()) continue;
    constexpr int kFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int fd = ::openat(at.get(), name.c_str(), kFlags);
    if (fd < 0 && errno == ENOENT && create) {
      if (::mkdirat(at.get(), name.c_str(), 0755) != 0 && errno != EEXIST)
        return failed("mkdir", path);
      fd = ::openat(at.get(), name.c_str(), kFlags | O_NOFOLLOW);
    }
    if (fd < 0) return failed("open", path);
    at.reset(fd);
  }
  return Result<Fd>(std::move(at));
}

Status make(const std::string& path, mode_t format) {
  bool directory = format == S_IFDIR;
  TRY_ASSIGN(above, open_above(path, directory));
  std::string name = path.substr(path.rfind('/') + 1);
  if (directory) {
    if (::mkdirat(above.get(), name.c_str(), 0755) != 0) return failed("mkdir", path);
    return {};
  }
  Fd fd(::openat(above.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 0644));
  return fd.open() ? Status() : failed("create", path);
}

}  // namespace

Status check_host_path(const std::string& given, std::string_view type) {
  if (type.empty()) return {};
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  for (const Type& t : kTypes) {
    if (t.name != type) continue;
    Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd.open() && t.create) return make(path, t.format);
    struct stat st {};
    if (fd.open() && ::fstat(fd.get(), &st) == 0 && (st.st_mode & S_IFMT) == t.format) return {};
    return Status(Reason::kInvalid, "hostPath type check failed: " + given + " is not " + t.what);
  }
  return Status(Reason::kInvalid, std::string(type) + " is an invalid volume type");
}

Task<Status> look_at_host(Context ctx, MayHang* calls, std::string uid, std::string path,
                          std::string type) {
  const std::string key = uid + " " + path;
  std::function<Status()> look = [path, type] { return check_host_path(path, type); };
  co_return co_await calls->run<Status>(ctx.with_timeout(30s), key, std::move(look));
}

}  // namespace keles::node
