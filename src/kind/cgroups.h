// A cgroup subtree per node, in every hierarchy of the host (v1, hybrid or v2): it is what the
// node's cgroup namespace shows as its root, and the surest list of a node's processes.
// `path` is relative ("keles/CLUSTER/NODE"). Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"

namespace keles::kind {

struct CgroupHierarchy {
  std::string mount_point;  // "/sys/fs/cgroup/memory"
  std::string options;      // v1: "memory", "cpu,cpuacct", "name=systemd" (without "none"); v2: ""
  bool v2 = false;
};

// Those with controllers, from /proc/self/mountinfo. A pure v2 host has one; on a hybrid host the
// controller-less v2 mount is left out.
Result<std::vector<CgroupHierarchy>> cgroup_hierarchies();

// v2: passes every controller of the mounted root on to its children. In a privileged container the
// root of what is mounted is an ordinary cgroup that holds the container's own processes, and one
// with processes cannot have children with controllers: those processes move to its leaf "init"
// first. The host's real root (it has no cgroup.type) is exempt from that rule; nothing moves
// there.
Status delegate_from_root(const std::string& mount_point);

Status create_cgroup(const std::string& path);
Status join_cgroup(const std::string& path, pid_t pid);
// Every process in the subtree, by any hierarchy.
std::vector<pid_t> cgroup_processes(const std::string& path);
// Kills what is left in the subtree and removes it, and then "keles/CLUSTER" and "keles" if they
// are empty. Absent is fine.
Status remove_cgroup(const std::string& path);

}  // namespace keles::kind
