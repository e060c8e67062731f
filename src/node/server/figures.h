// What the node, its pods and their containers use, gathered for one answer: /stats/summary,
// /metrics/cadvisor, /metrics/resource. Kernel files and directories are read on the pool.
//
// One loop; what is remembered between answers (rates of use, sizes of directories) is the
// Gatherer's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "node/cri/runtime.h"
#include "node/stats/cgroup_stats.h"
#include "node/stats/directory_use.h"
#include "node/stats/host_stats.h"
#include "node/volumes/volume_usage.h"

namespace keles::node {

class NodeView;

// A cgroup's figures, and how much of a processor it used lately.
struct Use {
  std::string cgroup;  // "" : there is none
  CgroupStats stats;
  std::optional<uint64_t> nano_cores;  // not known at the first look
};

struct ContainerFigures {
  std::string name, id, image, log_directory;
  int64_t started_ns = 0;
  Use use;
  uint64_t root_bytes = 0, root_inodes = 0;  // its writable layer
  DirectoryUse logs;
};

struct VolumeFigures {
  std::string name, directory;
  bool local = true;  // on the node's own file system, not in memory
  DirectoryUse use;
  std::optional<FileSystemStats> fs;
};

struct PodFigures {
  std::string name, ns, uid, start_time, sandbox_id;
  Use use;
  std::vector<InterfaceStats> interfaces;
  uint64_t processes = 0;
  std::vector<ContainerFigures> containers;  // that run
  std::vector<VolumeFigures> volumes;        // that pods bring along: emptyDir, configMap ...
  std::vector<VolumeUsage> claimed;          // of claims, and drivers' inline ones
  bool runs() const { return !sandbox_id.empty(); }
};

struct NodeFigures {
  WallTime at;
  Use node, all_pods, kubelet;
  std::vector<InterfaceStats> interfaces;
  // Where volumes and logs are, images, and writable layers.
  std::optional<FileSystemStats> root, images, layers;
  uint64_t image_bytes = 0, image_inodes = 0, layer_bytes = 0, layer_inodes = 0;
  std::optional<ProcessLimits> processes;
  std::optional<WallTime> booted;
  uint64_t swap_total = 0;
  std::vector<PodFigures> pods;
  Status runtime;  // of what had to be asked of the runtime
};

class Gatherer {
 public:
  // Both outlive it. `runtime` may be null: then nothing is known of writable layers.
  Gatherer(NodeView* view, cri::Runtime* runtime);
  ~Gatherer();
  enum class Depth : uint8_t {
    kCpuAndMemory,
    kProcesses,  // and interfaces and processes
    kAll,        // and file systems
  };
  Task<std::shared_ptr<NodeFigures>> gather(Context ctx, Depth depth);
  // Of pods' claims alone.
  Task<std::shared_ptr<NodeFigures>> gather_claims(Context ctx);

 private:
  struct Claims {
    std::vector<VolumeUsage> usage;
    TimePoint at;
  };
  struct Sample {
    uint64_t cpu_ns = 0;
    TimePoint at;
    std::optional<uint64_t> rate;
  };
  class Directories;
  std::shared_ptr<NodeFigures> outline(WallTime now, Depth depth) const;
  Task<void> ask_runtime(Context ctx, std::shared_ptr<NodeFigures> f, Depth depth);
  Task<void> ask_volumes(Context ctx, std::shared_ptr<NodeFigures> f);
  void rate(Use* use, TimePoint now);

  NodeView* view_;
  cri::Runtime* runtime_;
  std::map<std::string, Sample> samples_;  // by cgroup
  std::shared_ptr<Directories> directories_;
  std::map<std::string, Claims> claims_;  // by pod
};

}  // namespace keles::node
