// A new directory below $TMPDIR (or /tmp) that is removed, with all that is in it, when the object
// goes. Blocking.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/status.h"

namespace keles {

class TemporaryDirectory {
 public:
  // Its name begins with `name`; six characters follow.
  static Result<TemporaryDirectory> make(std::string_view name = "keles") {
    const char* base = std::getenv("TMPDIR");
    std::string path = base && *base ? base : "/tmp";
    path += "/" + std::string(name) + "-XXXXXX";
    if (!::mkdtemp(path.data())) {
      return Status::internal("cannot make a temporary directory " + path);
    }
    return TemporaryDirectory(std::move(path));
  }
  TemporaryDirectory(TemporaryDirectory&& o) noexcept : path_(std::exchange(o.path_, {})) {}
  TemporaryDirectory& operator=(TemporaryDirectory&& o) noexcept {
    std::swap(path_, o.path_);
    return *this;
  }
  ~TemporaryDirectory() {
    if (!path_.empty()) (void)remove_tree(path_);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace keles
