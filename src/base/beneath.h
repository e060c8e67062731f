// Files and directories reached by descriptor, where somebody else may be changing the tree at the
// same time (containers write in their volumes while the agent works in them). Nothing here ever
// follows a link that such a writer could have made: names are resolved by openat2(2) beneath a
// directory that the caller holds. Needs Linux 5.8.
//
// Blocking. A `path` argument is relative ("a", "a/b"), without "..", and stays below `dir`.
// Errors: kNotFound when it is not there, kForbidden when the way leads over a link or out of
// `dir` or of its mount.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles {

// A descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);
  // "/proc/self/fd/N": names the very file, whatever has become of the path to it.
  std::string proc_path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_ = -1;
};

// The caller vouches for `path`, links included.
Result<Fd> open_directory(const std::string& path);
// No link on the way nor at the end. `flags` as open(2)'s; O_CLOEXEC is added. Never waits: a FIFO
// opens at once.
Result<Fd> open_beneath(const Fd& dir, const std::string& path, int flags);
// As open_beneath for a directory, and does not leave the mount that `dir` is in.
Result<Fd> open_directory_beneath(const Fd& dir, const std::string& path);

struct Ownership {
  std::optional<mode_t> mode;  // set exactly, past the umask
  std::optional<gid_t> gid;
};
// Makes the directories of `path` that are missing, each with `ownership`, and opens the last.
Result<Fd> make_directories_beneath(const Fd& dir, const std::string& path,
                                    const Ownership& ownership = {});

// kInternalError (and nothing is read) when it is no regular file.
Result<std::string> read_file_beneath(const Fd& dir, const std::string& path,
                                      size_t max_bytes = 64u << 20);
// A new file of that content; an existing name is an error.
Status create_file_beneath(const Fd& dir, const std::string& path, std::string_view content,
                           mode_t mode, uid_t uid = 0, gid_t gid = 0);
// Names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> list_directory(const Fd& dir);
// Where the link `name` of `dir` points; nullopt when it is no link or not there.
std::optional<std::string> read_link(const Fd& dir, const std::string& name);
// Whether something is mounted at exactly this place.
bool is_mount_root(const Fd& fd);

// Removes what `name` (one name) is in `dir`, with all below it: of any depth, in bounded memory
// and with a bounded number of descriptors. kInternalError at a mount point, whose content stays.
// Absent is fine.
Status remove_tree_beneath(const Fd& dir, const std::string& name);
// unlinkat(2) below `dir`; absent is fine.
Status remove_file_beneath(const Fd& dir, const std::string& path);

}  // namespace keles
