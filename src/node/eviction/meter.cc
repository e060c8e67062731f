#include "node/eviction/meter.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

#include "base/beneath.h"
#include "base/file.h"

namespace keles::node {
namespace {

constexpr size_t kMaxProcFile = 64 << 10;

int64_t number_at(std::string_view text) {
  size_t at = text.find_first_of("0123456789");
  int64_t v = 0;
  if (at != text.npos) std::from_chars(text.data() + at, text.data() + text.size(), v);
  return v;
}

// "MemTotal:   123 kB", in bytes; 0 when it is not there.
int64_t meminfo(std::string_view text, std::string_view name) {
  size_t at = text.starts_with(name) ? 0 : text.find("\n" + std::string(name));
  if (at == text.npos) return 0;
  return number_at(text.substr(at + name.size())) * 1024;
}

// Adds up a tree with one descriptor open at a time, whatever its depth: the way back is "..",
// believed only when it leads where it came from.
class TreeWalk {
 public:
  DiskUse run(const std::string& path) {
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
    while (entries_ < kMaxWalked) {
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

  dev_t device_ = 0;
  Fd at_;
  std::vector<Level> levels_;
  std::set<ino_t> linked_;
  size_t entries_ = 0;
  DiskUse use_;
};

class SystemMeter final : public NodeMeter {
 public:
  SystemMeter(std::string proc, StatFileSystem stat)
      : proc_(std::move(proc)), stat_(std::move(stat)) {}

  Observations observe(const MeterRequest& r) override {
    Observations out;
    observe_memory(r, out);
    observe_disk(r.root, Signal::kNodeFsAvailable, Signal::kNodeFsInodes, out);
    const std::string& images = r.images.empty() ? r.root : r.images;
    observe_disk(images, Signal::kImageFsAvailable, Signal::kImageFsInodes, out);
    observe_disk(r.containers.empty() ? images : r.containers, Signal::kContainerFsAvailable,
                 Signal::kContainerFsInodes, out);
    observe_processes(out);
    return out;
  }

  DiskLayout layout(const MeterRequest& r) override {
    auto root = stat_(r.root), images = stat_(r.images), containers = stat_(r.containers);
    DiskLayout out;
    out.image_fs = root && images && root->device != images->device;
    out.container_fs = out.image_fs && containers && images->device != containers->device;
    return out;
  }

  DiskUse disk_use(const std::string& directory) override { return TreeWalk().run(directory); }

 private:
  void observe_memory(const MeterRequest& r, Observations& out) {
    auto text = read_file(proc_ + "/meminfo", kMaxProcFile);
    int64_t total = text.ok() ? meminfo(*text, "MemTotal:") : 0;
    if (total > 0) {
      auto used = static_cast<int64_t>(r.node_working_set_bytes);
      if (used == 0) used = total - meminfo(*text, "MemFree:") - meminfo(*text, "Inactive(file):");
      out[Signal::kMemoryAvailable] = {std::max<int64_t>(total - used, 0), total};
    }
    if (r.allocatable_memory_bytes <= 0) return;
    auto used = static_cast<int64_t>(r.pods_working_set_bytes);
    out[Signal::kAllocatableMemory] = {std::max<int64_t>(r.allocatable_memory_bytes - used, 0),
                                       r.allocatable_memory_bytes};
  }

  void observe_disk(const std::string& path, Signal space, Signal inodes, Observations& out) {
    auto fs = stat_(path);
    if (!fs) return;
    out[space] = {fs->available_bytes, fs->capacity_bytes};
    // File systems that make inodes as they need them count none.
    if (fs->inodes > 0) out[inodes] = {fs->free_inodes, fs->inodes};
  }

  void observe_processes(Observations& out) {
    int64_t most = -1;
    for (const char* file : {"/sys/kernel/pid_max", "/sys/kernel/threads-max"}) {
      auto text = read_file(proc_ + file, kMaxProcFile);
      int64_t limit = text.ok() ? number_at(*text) : 0;
      if (limit > 0 && (most < 0 || limit < most)) most = limit;
    }
    // "0.1 0.2 0.3 running/all last"
    auto load = read_file(proc_ + "/loadavg", kMaxProcFile);
    size_t slash = load.ok() ? load->find('/') : std::string::npos;
    if (most < 0 || slash == std::string::npos) return;
    out[Signal::kPidAvailable] = {most - number_at(std::string_view(*load).substr(slash + 1)),
                                  most};
  }

  std::string proc_;
  StatFileSystem stat_;
};

}  // namespace

std::optional<FileSystem> stat_file_system(const std::string& path) {
  struct statvfs fs {};
  struct stat st {};
  if (path.empty() || statvfs(path.c_str(), &fs) != 0 || stat(path.c_str(), &st) != 0)
    return std::nullopt;
  FileSystem out;
  out.device = st.st_dev;
  auto unit = static_cast<int64_t>(fs.f_frsize);
  out.available_bytes = static_cast<int64_t>(fs.f_bavail) * unit;
  out.capacity_bytes = static_cast<int64_t>(fs.f_blocks) * unit;
  out.free_inodes = static_cast<int64_t>(fs.f_ffree);
  out.inodes = static_cast<int64_t>(fs.f_files);
  return out;
}

std::unique_ptr<NodeMeter> make_node_meter(std::string proc, StatFileSystem stat) {
  return std::make_unique<SystemMeter>(std::move(proc), std::move(stat));
}

}  // namespace keles::node
