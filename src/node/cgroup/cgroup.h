// The node's cgroup tree: <root>/kubepods[/burstable|/besteffort]/pod<uid>. Two kernels' interfaces
// (v1: one tree a controller; v2: one tree) behind one; the place where they are mounted is
// injectable, so that tests run on a plain directory.
//
// It never touches a cgroup outside <root>. Blocking, but only small writes to the kernel's files.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "node/cgroup/resources.h"

namespace keles::node {

class CgroupDriver {
 public:
  virtual ~CgroupDriver() = default;
  // `path` is absolute within the tree, "/keles/c/n/kubepods/burstable/pod1".
  virtual Status create(const std::string& path, const CgroupLimits& limits) = 0;
  // Removes the cgroup and those below it. Absent is fine.
  virtual Status remove(const std::string& path) = 0;
  // Names of the cgroups directly below.
  virtual std::vector<std::string> children(const std::string& path) = 0;
  // Kills (SIGKILL) what still runs in it.
  virtual void kill(const std::string& path) = 0;
  // Bytes of memory and nanoseconds of CPU used by it and those below; 0 when not known.
  struct Usage {
    uint64_t memory_bytes = 0, working_set_bytes = 0, rss_bytes = 0, cpu_ns = 0, processes = 0;
  };
  virtual Usage usage(const std::string& path) = 0;
};
std::unique_ptr<CgroupDriver> make_cgroup_v1(std::string mount);  // "/sys/fs/cgroup"
std::unique_ptr<CgroupDriver> make_cgroup_v2(std::string mount);
// Whichever `mount` holds: v2 when cgroup.controllers is at its root.
std::unique_ptr<CgroupDriver> make_cgroup_driver(std::string mount);

// The names of pods' cgroups, and their life.
class PodCgroups {
 public:
  // `root`: "" or "/keles/cluster/node". With `systemd`, names are slices as systemd spells them.
  PodCgroups(std::unique_ptr<CgroupDriver> driver, std::string root, bool systemd = false);
  // Makes kubepods, with what all pods together may have, and its two classes.
  Status start(const CgroupLimits& all);
  // What burstable pods ask for together: their class has that much beside guaranteed pods.
  Status set_burstable_requests(int64_t milli_cpu);
  std::string pod_path(Qos qos, std::string_view uid) const;
  // What the runtime is given as the sandbox's cgroup parent.
  std::string parent_for_runtime(Qos qos, std::string_view uid) const;
  Status create_pod(Qos qos, std::string_view uid, const CgroupLimits& limits);
  Status remove_pod(std::string_view uid);  // in whichever class it is
  std::vector<std::string> pod_uids() const;
  CgroupDriver::Usage pod_usage(Qos qos, std::string_view uid) const;
  CgroupDriver::Usage total_usage() const;
  CgroupDriver::Usage node_usage() const;  // of all on the machine, as far as cgroups tell

 private:
  std::string class_path(Qos qos) const;
  std::unique_ptr<CgroupDriver> driver_;
  std::string root_;
  bool systemd_;
};

}  // namespace keles::node
