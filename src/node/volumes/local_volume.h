// Local persistent volumes: a directory of this node, or a block device, which is given a file
// system where it has none and mounted once, at
//   <root>/plugins/kubernetes.io/local-volume/mounts/NAME
// Each pod has a bind of it at pods/<uid>/volumes/kubernetes.io~local-volume/NAME (upstream:
// pkg/volume/local). What the kernel has mounted says what there is: an agent that starts anew
// finds it, and takes down what no pod has.
//
// One loop.
#pragma once

#include <optional>
#include <string>

#include "api/core_v1.h"
#include "base/keyed_locks.h"
#include "base/may_hang.h"
#include "node/events.h"

namespace keles::node {

class LocalMounts {
 public:
  // `calls` for what may hang: a disk that answers no more.
  LocalMounts(std::string root, MayHang& calls) : root_(std::move(root)), calls_(calls) {}

  struct Wanted {
    Wanted() = default;
    Ref<api::core_v1::Pod> pod;
    Ref<api::core_v1::PersistentVolume> volume;
    bool read_only = false;
    std::optional<gid_t> group;         // fsGroup
    bool only_if_root_differs = false;  // fsGroupChangePolicy: OnRootMismatch
  };
  // Where the pod has it. Errors are whole sentences, as upstream's FailedMount has them.
  Task<Result<std::string>> set_up(Context ctx, Events* events, Wanted wanted);
  // The file system follows its device, which has grown; a directory has nothing to follow.
  Task<Status> grow(Context ctx, Ref<api::core_v1::PersistentVolume> volume);
  // Unmounts the devices that no pod has: the binds go with the pods' directories.
  Task<Status> clean(Context ctx);

 private:
  std::string mounts() const { return root_ + "/plugins/kubernetes.io/local-volume/mounts"; }
  std::string place(const std::string& name) const { return mounts() + "/" + name; }
  Task<Status> mount_device(Context ctx, Events* events, Wanted w, std::string device);
  Task<Result<std::string>> bind(Context ctx, Events* events, Wanted w, std::string source,
                                 std::string at);

  std::string root_;
  MayHang& calls_;
  KeyedLocks locks_;  // by the volume's name
};

}  // namespace keles::node
