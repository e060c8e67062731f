#include "kind/containerd_config.h"

#include <sys/mount.h>

#include "base/file.h"
#include "kind/host_check.h"

namespace keles::kind {
namespace {

constexpr int kCapSysResource = 24;

// Whether overlayfs works with its upper directory in `directory` (not on another overlay).
bool overlay_works(const std::string& directory) {
  std::string base = directory + "/.overlay-check";
  bool works = false;
  if (make_directories(base + "/lower").ok() && make_directories(base + "/upper").ok() &&
      make_directories(base + "/work").ok() && make_directories(base + "/merged").ok()) {
    works =
        mount("overlay", (base + "/merged").c_str(), "overlay", 0,
              ("lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work")
                  .c_str()) == 0;
    if (works) umount2((base + "/merged").c_str(), MNT_DETACH);
  }
  (void)remove_tree(base);
  return works;
}

}  // namespace

std::string containerd_config(const std::string& snapshotter, bool restrict_oom_score_adj) {
  return R"(version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "keles.dev/pause:3.10"
  restrict_oom_score_adj = )" +
         std::string(restrict_oom_score_adj ? "true" : "false") + R"(
  tolerate_missing_hugetlb_controller = true
  device_ownership_from_security_context = false
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = ")" +
         snapshotter + R"("
    discard_unpacked_layers = false
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ")" +
         std::string(path_exists("/opt/cni/bin/bridge") ? "/opt/cni/bin" : "/usr/lib/cni") + R"("
    conf_dir = "/etc/cni/net.d"
)";
}

std::string containerd_snapshotter(const std::string& directory) {
  return overlay_works(directory) ? "overlayfs" : "native";
}

bool restricts_oom_score_adj() { return ((effective_capabilities() >> kCapSysResource) & 1) == 0; }

}  // namespace keles::kind
