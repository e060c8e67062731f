// The directories of pods on the node, below <root>/pods/<uid>/ as upstream lays them out: volumes,
// the binds of sub-paths, files of containers. Containers write in some of them; all here goes by
// descriptor from <root>/pods, which only the agent can enter.
//
// Blocking; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/beneath.h"
#include "base/status.h"

namespace keles::node {

struct TmpfsOptions {
  int64_t size_bytes = 0;      // 0: the kernel's default
  std::string huge_page_size;  // "2Mi": a hugetlbfs of such pages instead
};

class PodDirectories {
 public:
  explicit PodDirectories(std::string root) : root_(std::move(root)) {}

  std::string path(std::string_view uid) const;
  // <root>/pods/<uid>, made when it is missing.
  Result<Fd> open(const std::string& uid) const;

  struct VolumeDirectory {
    std::string path;
    Fd fd;
  };
  // volumes/<plugin>/<name>. One that is not there yet appears with `ownership` already its own; so
  // does the tmpfs that is mounted when one is asked for.
  Result<VolumeDirectory> volume(const std::string& uid, const std::string& plugin,
                                 const std::string& name, const Ownership& ownership,
                                 std::optional<TmpfsOptions> tmpfs = std::nullopt) const;

  // Whether a pod other than `uid` has a volume (or a block device) of this name, whatever its
  // plugin. No volume is touched.
  bool others_have(const std::string& uid, const std::string& name) const;

  // Unmounts all that is mounted below the pod's directory and removes it; never what lies behind a
  // mount. May take long: a volume can hold millions of files.
  Status remove(const std::string& uid) const;
  // Likewise, a directory in it: "volumes", "volume-subpaths".
  Status remove_part(const std::string& uid, const std::string& part) const;

 private:
  std::string root_;
};

// Unmounts what is mounted at exactly `fd`, with all below it, and leaves what it is a copy of
// alone.
Status unmount_at(const Fd& fd);

}  // namespace keles::node
