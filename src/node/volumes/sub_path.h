// subPath of a volume mount: a place inside the volume that no link can lead out of, however the
// containers that write in the volume change it meanwhile.
//
// The path is resolved one name at a time, each from the descriptor of the one before; links are
// followed as long as they stay in the volume. What was found is bound to
// <pod>/volume-subpaths/<volume>/<container>/<index of the mount>, where only the agent writes: the
// runtime is given that, and never a path that a container could change. PodDirectories::remove
// takes the binds away.
//
// Blocking; any thread.
#pragma once

#include <cstddef>
#include <string>

#include "base/beneath.h"
#include "base/status.h"
#include "node/volumes/pod_directories.h"

namespace keles::node {

// What `path` names in the volume `root`, whose absolute path is `root_path`; an O_PATH
// descriptor, never of a link. With `create`, directories that are missing are made with the mode
// of the volume (and its group, where the volume hands it down). kForbidden when it leads out.
Result<Fd> resolve_sub_path(const Fd& root, const std::string& root_path, const std::string& path,
                            bool create);

struct SubPath {
  std::string pod_uid;
  std::string volume, container;  // their names
  size_t mount_index = 0;         // in the container's volumeMounts
  std::string volume_path;        // on the host
  std::string path;               // inside the volume
};
// Where the runtime finds it. Errors are upstream's, which tell nothing about the host.
Result<std::string> bind_sub_path(const PodDirectories& pods, const SubPath& s);

}  // namespace keles::node
