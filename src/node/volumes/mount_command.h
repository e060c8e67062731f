// mount(8), as upstream calls it and reports on it; and block devices that are given a file system
// where they have none.
#pragma once

#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::node {

// Sorted, each once.
std::vector<std::string> joined_options(std::vector<std::string> options,
                                        const std::vector<std::string>& more);
// What a volume asks to be mounted with: by its annotation of old, or its mountOptions.
std::vector<std::string> mount_options_of(const api::core_v1::PersistentVolume& volume);

// "-t TYPE -o a,b SOURCE AT"; no type and no options where they are empty.
std::vector<std::string> mount_arguments(const std::string& type,
                                         const std::vector<std::string>& options,
                                         const std::string& source, const std::string& at);
// The error is upstream's ("mount failed: exit status 32\nMounting command: ...").
Task<Status> run_mount(Context ctx, std::vector<std::string> arguments);
// A directory at another place, with options of the mount ("ro").
Task<Status> bind_mount(Context ctx, std::string source, std::string at,
                        std::vector<std::string> options);

struct DiskMount {
  DiskMount() = default;
  std::string device, at;
  std::string type;  // "": ext4
  std::vector<std::string> options;
};
// Formats the device unless something is on it already (blkid(8)), lets fsck(8) mend what is there,
// and mounts it. `mismatch` says that it bears another file system than the one that is asked for.
Task<Status> format_and_mount(Context ctx, DiskMount disk, bool* mismatch);

// Makes the file system on the device, which is mounted at `at`, as large as the device is; fine
// where there is none. Errors are upstream's.
Task<Status> grow_file_system(Context ctx, std::string device, std::string at);

// What blkid -o export says is on the disk: "" for nothing.
Result<std::string> disk_format(const std::string& blkid);

}  // namespace keles::node
