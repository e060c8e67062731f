#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/beneath.h"

namespace keles {
namespace {

Status failed(std::string_view what, const std::string& path, int err = errno) {
  return Status(err == ENOENT ? Reason::kNotFound : Reason::kInternalError,
                std::string(what) + " " + path + ": " + strerror(err));
}

}  // namespace

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  Fd f(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!f.open()) return failed("open", path);
  std::string out;
  size_t chunk = 16384;
  for (;;) {
    size_t at = out.size();
    out.resize(at + chunk);
    ssize_t n = ::read(f.get(), out.data() + at, chunk);
    if (n < 0) {
      if (errno == EINTR) {
        out.resize(at);
        continue;
      }
      return failed("read", path);
    }
    out.resize(at + static_cast<size_t>(n));
    if (n == 0) return out;
    if (out.size() > max_bytes) {
      return Status(Reason::kRequestEntityTooLarge,
                    "read " + path + ": larger than " + std::to_string(max_bytes) + " bytes");
    }
    chunk = std::min<size_t>(chunk * 2, 1u << 20);
  }
}

Status write_file(const std::string& path, std::string_view content, int mode, bool durable) {
  std::string temporary = path + ".tmp." + std::to_string(::getpid()) + "." +
                          std::to_string(reinterpret_cast<uintptr_t>(&content) & 0xffffff);
  {
    Fd f(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!f.open()) return failed("create", temporary);
    ::fchmod(f.get(), static_cast<mode_t>(mode));
    size_t done = 0;
    while (done < content.size()) {
      ssize_t n = ::write(f.get(), content.data() + done, content.size() - done);
      if (n < 0) {
        if (errno == EINTR) continue;
        Status s = failed("write", temporary);
        ::unlink(temporary.c_str());
        return s;
      }
      done += static_cast<size_t>(n);
    }
    if (durable && ::fsync(f.get()) < 0) return failed("fsync", temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) < 0) {
    Status s = failed("rename to", path);
    ::unlink(temporary.c_str());
    return s;
  }
  if (durable) {
    auto slash = path.rfind('/');
    std::string parent = slash == std::string::npos ? "."
                         : slash == 0               ? "/"
                                                    : path.substr(0, slash);
    Fd d(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (d.open()) ::fsync(d.get());
  }
  return Status();
}

Status write_in_place(const std::string& path, std::string_view content) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : ::write(fd, content.data(), content.size());
  int error = errno;
  if (fd >= 0) ::close(fd);
  if (n == static_cast<ssize_t>(content.size())) return Status();
  return Status::internal("write \"" + std::string(content) + "\" to " + path + ": " +
                          strerror(error));
}

Status make_directories(const std::string& path, int mode) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), static_cast<mode_t>(mode)) < 0 && errno != EEXIST)
      return failed("mkdir", part);
  }
  return Status();
}

Status remove_file(const std::string& path) {
  return ::unlink(path.c_str()) == 0 || errno == ENOENT ? Status() : failed("remove", path);
}

Status remove_tree(const std::string& path) {
  auto slash = path.rfind('/');
  std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  Fd d(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!d.open()) return errno == ENOENT ? Status() : failed("open", parent);
  return remove_tree_beneath(d, name);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return failed("open", path);
  std::vector<std::string> names;
  while (dirent* e = ::readdir(dir)) {
    std::string_view n = e->d_name;
    if (n != "." && n != "..") names.emplace_back(n);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

bool path_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace keles
