// What there is in a volume that outlives its pod, or that a driver has: of claims, and of volumes
// inline in the pod.
#pragma once

#include <string>

#include "node/stats/host_stats.h"

namespace keles::node {

struct VolumeUsage {
  VolumeUsage() = default;
  std::string volume, claim;  // names in the pod, and of its claim ("": inline)
  FileSystemStats fs;         // what is not told is 0, as upstream has it
};

}  // namespace keles::node
