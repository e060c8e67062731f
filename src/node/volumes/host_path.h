// hostPath volumes: what is at the path is looked at, and made when the type says so, by
// descriptor: no file or directory is ever made behind a link that hangs.
//
// Blocking; any thread. The runtime resolves the path again when it mounts it (as it does for
// upstream's kubelet): a hostPath below what other containers can write is as safe as they are.
#pragma once

#include <string>
#include <string_view>

#include "base/may_hang.h"
#include "base/status.h"

namespace keles::node {

// `type`: "", DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice.
// kInvalid with upstream's message when it is something else.
Status check_host_path(const std::string& path, std::string_view type);
// The same for a pod, not blocking: it may lie on a file system that does not answer.
Task<Status> look_at_host(Context ctx, MayHang* calls, std::string uid, std::string path,
                          std::string type);

}  // namespace keles::node
