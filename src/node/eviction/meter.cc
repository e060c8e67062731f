#include "node/eviction/meter.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "node/stats/directory_use.h"

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

  DiskUse disk_use(const std::string& directory) override {
    const DirectoryUse use = directory_use(directory, kMaxWalked);
    return {use.bytes, use.inodes};
  }

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
