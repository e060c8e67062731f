#include "node/stats/directory_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/beneath.h"

namespace keles::node {
namespace {

// Adds up a tree with one descriptor open at a time, whatever its depth: the way back is "..",
// believed only when it leads where it came from.
class TreeWalk {
 public:
  explicit TreeWalk(size_t most) : most_(most) {}
  DirectoryUse run(const std::string& path) {
    auto top = open_directory(path);
    struct stat st {};
    if (!top.ok() || fstat(top->get(), &st) != 0) return {};
    device_ = st.st_dev;
    count(st);
    at_ = std::move(*top);
    levels_.push_back({st.st_ino, {}});
    read_names();
    while (!levels_.empty()) {
      if (levels_.back().directories.empty()) {
        if (!leave()) break;
      } else {
        std::string name = std::move(levels_.back().directories.back());
        levels_.back().directories.pop_back();
        enter(name);
      }
    }
    return use_;
  }

 private:
  struct Level {
    ino_t inode;
    std::vector<std::string> directories;  // not walked yet
  };

  void count(const struct stat& st) {
    ++entries_;
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !linked_.insert(st.st_ino).second) return;
    use_.bytes += static_cast<uint64_t>(st.st_blocks) * 512;
    use_.inodes += 1;
  }

  // Counts what is in the directory that is open, and notes its directories.
  void read_names() {
    int copy = openat(at_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* dir = copy < 0 ? nullptr : fdopendir(copy);
    if (!dir) {
      if (copy >= 0) close(copy);
      return;
    }
    while (entries_ < most_) {
      dirent* e = readdir(dir);
      if (!e) break;
      std::string_view name = e->d_name;
      struct stat st {};
      if (name == "." || name == "..") continue;
      if (fstatat(at_.get(), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (st.st_dev != device_) continue;
      count(st);
      if (S_ISDIR(st.st_mode)) levels_.back().directories.emplace_back(name);
    }
    closedir(dir);
  }

  void enter(const std::string& name) {
    Fd fd(openat(at_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat st {};
    if (!fd.open() || fstat(fd.get(), &st) != 0 || st.st_dev != device_) return;
    at_ = std::move(fd);
    levels_.push_back({st.st_ino, {}});
    read_names();
  }

  bool leave() {
    levels_.pop_back();
    if (levels_.empty()) return false;
    Fd up(openat(at_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat st {};
    if (!up.open() || fstat(up.get(), &st) != 0 || st.st_dev != device_ ||
        st.st_ino != levels_.back().inode)
      return false;
    at_ = std::move(up);
    return true;
  }

  const size_t most_;
  dev_t device_ = 0;
  Fd at_;
  std::vector<Level> levels_;
  std::set<ino_t> linked_;
  size_t entries_ = 0;
  DirectoryUse use_;
};

}  // namespace

DirectoryUse directory_use(const std::string& path, size_t most) {
  return TreeWalk(most).run(path);
}

}  // namespace keles::node
