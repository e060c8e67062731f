// Whoever changes files of a directory that belong together, while other processes may, too.
#pragma once

#include <string>
#include <utility>

#include "base/beneath.h"
#include "base/status.h"

namespace keles {

// Held while this lives, by one process at a time (flock(2)). Waits for the other, for as long as
// it takes: hold it for moments.
class FilesLock {
 public:
  static Result<FilesLock> take(const std::string& directory);

 private:
  explicit FilesLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace keles
