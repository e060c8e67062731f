// NFS volumes, of claims and inline in pods: mounted by mount(8), as upstream does.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/may_hang.h"
#include "base/task.h"
#include "node/volumes/pod_directories.h"

namespace keles::node {

struct NfsSource {
  NfsSource() = default;
  std::string server, path;
  bool read_only = false;
  std::vector<std::string> options;  // of mount(8)
};

// The arguments of mount(8).
std::vector<std::string> nfs_arguments(const NfsSource& source, const std::string& at);

// Where it is mounted for the pod; `name`: the PersistentVolume's, or the volume's in the pod. The
// error is upstream's ("mount failed: exit status 32\nMounting command: ...").
Task<Result<std::string>> ready_nfs(Context ctx, MayHang* calls, PodDirectories pods,
                                    std::string uid, std::string name, NfsSource source);

}  // namespace keles::node
