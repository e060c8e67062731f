#include "kubectl/unpack.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "kubectl/command.h"
#include "kubectl/cp.h"
#include "kubectl/tabwriter.h"

namespace keles::kubectl {
namespace {

Status system_failure(std::string_view what, const std::string& path) {
  std::string why = strerror(errno);
  if (!why.empty()) why[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(why[0])));
  return failure(std::string(what) + " " + path + ": " + why);
}

std::string quoted_for_terminal(std::string_view s) { return "\"" + escape_terminal(s) + "\""; }

Status outside(const std::string& shown) {
  print_error("warning: file " + quoted_for_terminal(shown) +
              " is outside target destination, skipping\n");
  return Status();
}

}  // namespace

Status Unpacker::begin(const TarEntry& e) {
  skip_ = true;
  if (e.type == 'V' || e.type == 'M') return Status();  // GNU's names of volumes
  if (!e.name.starts_with(prefix_)) return failure("tar contents corrupted");
  std::string rest = remote_path(std::string_view(e.name).substr(prefix_.size()));
  Result<std::string> below = below_target(target_, rest);
  if (!below.ok()) return outside(below.status().message());
  std::string shown = below->empty() ? target_ : join_path(target_, *below);
  if (e.type == '2') return link(e, shown);
  Status made = below->empty() ? open_target(e) : open_below(e, *below, shown);
  if (made.is(Reason::kForbidden)) return outside(shown);
  return made;
}

Status Unpacker::content(std::string_view piece) {
  while (!skip_ && !piece.empty()) {
    ssize_t n = ::write(file_.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_failure("write", target_);
    piece.remove_prefix(static_cast<size_t>(n));
  }
  return Status();
}

Status Unpacker::end() {
  int fd = file_.release();
  if (fd >= 0 && ::close(fd) < 0) return system_failure("close", target_);
  return Status();
}

Status Unpacker::link(const TarEntry& e, const std::string& shown) {
  print_error("warning: skipping symlink: " + quoted_for_terminal(shown) + " -> " +
              quoted_for_terminal(e.link) + std::exchange(hint_, "") + "\n");
  return Status();
}

// The target itself, for which the caller vouches.
Status Unpacker::open_target(const TarEntry& e) {
  Status made = make_directories(e.type == '5' ? target_ : path_directory(target_), 0755);
  if (!made.ok()) return failure(made.message());
  if (e.type == '5') return Status();
  return take(::open(target_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), target_);
}

Status Unpacker::open_below(const TarEntry& e, const std::string& below, const std::string& shown) {
  if (!root_.open()) {
    Status made = make_directories(target_, 0755);
    if (!made.ok()) return failure(made.message());
    TRY_ASSIGN(root, open_directory(target_));
    root_ = std::move(root);
  }
  std::string parent = e.type == '5' ? below : path_directory(below);
  Result<Fd> directory = make_directories_beneath(root_, parent == "." ? "" : parent);
  if (!directory.ok()) {
    if (directory.status().is(Reason::kForbidden)) return directory.status();
    return failure(directory.status().message());
  }
  if (e.type == '5') return Status();
  int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int fd = ::openat(directory->get(), path_base(below).c_str(), flags, 0666);
  if (fd < 0 && errno == ELOOP) return Status(Reason::kForbidden, "a symbolic link is there");
  return take(fd, shown);
}

Status Unpacker::take(int fd, const std::string& shown) {
  if (fd < 0) return system_failure("open", shown);
  file_.reset(fd);
  skip_ = false;
  return Status();
}

}  // namespace keles::kubectl
