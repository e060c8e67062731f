// What is mounted, as /proc/<pid>/mountinfo tells it (proc(5)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles {

struct MountedAt {
  int id = 0;
  std::string device;   // "8:1"
  std::string root;     // what of the file system is shown
  std::string place;    // where
  std::string options;  // of the mount: "rw,relatime"
  bool read_only() const { return options == "ro" || options.starts_with("ro,"); }
};

// In the order of mounting. Lines that are none are left out.
std::vector<MountedAt> parse_mount_table(std::string_view text);
// Of the calling thread's mount namespace.
Result<std::vector<MountedAt>> read_mount_table();

// Whether `path` is `directory` or lies below it, by their names.
bool is_at_or_below(std::string_view path, std::string_view directory);

// The other places where the very same is mounted that is seen at `path` (which has no links in
// it). A bind of a directory shows that directory only at its own place.
std::vector<std::string> same_elsewhere(const std::vector<MountedAt>& mounts,
                                        const std::string& path);

}  // namespace keles
