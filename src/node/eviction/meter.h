// What a node's machine has left: memory, file systems, process ids; and how much of a file system
// a directory takes. An interface, so that tests can lay out a machine of their own.
//
// Blocking: to be asked on the pool. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node/eviction/plan.h"

namespace keles::node {

// What is asked about; empty paths are not looked at.
struct MeterRequest {
  std::string root;                     // whose file system holds volumes and logs
  std::string images;                   // where the runtime keeps images ...
  std::string containers;               // ... and writable layers, when that is elsewhere
  uint64_t node_working_set_bytes = 0;  // of the root cgroup; 0: as /proc/meminfo says
  uint64_t pods_working_set_bytes = 0;
  int64_t allocatable_memory_bytes = 0;  // of all pods together; 0: no limit
};

struct FileSystem {
  uint64_t device = 0;
  int64_t available_bytes = 0, capacity_bytes = 0, free_inodes = 0, inodes = 0;
};

class NodeMeter {
 public:
  virtual ~NodeMeter() = default;
  virtual Observations observe(const MeterRequest& r) = 0;
  virtual DiskLayout layout(const MeterRequest& r) = 0;
  // As du(1) counts: blocks, an inode once, no link followed, no mount point entered. A tree of
  // more than kMaxWalked entries takes at least what is told.
  virtual DiskUse disk_use(const std::string& directory) = 0;
};

constexpr size_t kMaxWalked = 4'000'000;

using StatFileSystem = std::function<std::optional<FileSystem>(const std::string& path)>;
std::optional<FileSystem> stat_file_system(const std::string& path);
// `proc`: "/proc", or a directory with files like it.
std::unique_ptr<NodeMeter> make_node_meter(std::string proc = "/proc",
                                           StatFileSystem stat = stat_file_system);

}  // namespace keles::node
