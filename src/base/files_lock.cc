#include "base/files_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

namespace keles {

Result<FilesLock> FilesLock::take(const std::string& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.open()) return Status::internal(directory + ": " + strerror(errno));
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return Status::internal(directory + ": flock: " + strerror(errno));
  }
  return FilesLock(std::move(fd));
}

}  // namespace keles
