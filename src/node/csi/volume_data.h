// What lies on the node's disk of CSI volumes, in upstream's layout (pkg/volume/csi): where volumes
// are staged and published, and the vol_data.json beside each that says whose they are. It is all
// that an agent needs that was started anew: nothing is remembered elsewhere.
//
//   <root>/pods/UID/volumes/kubernetes.io~csi/NAME/{mount,vol_data.json}
//   <root>/plugins/kubernetes.io/csi/DRIVER/SHA256(handle)/{globalmount,vol_data.json}
//   <root>/plugins/kubernetes.io/csi/volumeDevices/{staging/NAME,publish/NAME/UID}
//   <root>/plugins/kubernetes.io/csi/volumeDevices/NAME/data/vol_data.json
//   <root>/pods/UID/volumeDevices/kubernetes.io~csi/NAME -> .../publish/NAME/UID
//
// NAME is the PersistentVolume's, or the volume's in the pod where it is inline. Containers see the
// `mount` alone; the rest only the agent can enter. Blocking; any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace keles::node {

using VolumeData = std::map<std::string, std::string>;

// A volume that a pod of this node has, or may have.
struct CsiUse {
  CsiUse() = default;
  std::string uid;   // the pod's
  std::string name;  // NAME
  std::string driver, handle;
  bool ephemeral = false, block = false;
};
// A volume that is staged, or may be.
struct CsiStaged {
  CsiStaged() = default;
  std::string driver, handle;
  std::string name;  // of block volumes alone
  bool block = false;
};

class CsiPaths {
 public:
  explicit CsiPaths(std::string root) : root_(std::move(root)) {}

  std::string volume(const std::string& uid, const std::string& name) const;
  std::string target(const std::string& uid, const std::string& name) const;
  std::string staged(const std::string& driver, const std::string& handle) const;
  std::string staging(const std::string& driver, const std::string& handle) const;
  std::string block_staging(const std::string& name) const;
  std::string block_publish(const std::string& name, const std::string& uid) const;
  std::string block_data(const std::string& name) const;
  std::string pod_device(const std::string& uid, const std::string& name) const;

  std::vector<CsiUse> uses() const;  // of all pods
  std::vector<CsiUse> uses_of(const std::string& uid) const;
  std::vector<CsiStaged> all_staged() const;

  // Of a volume that was unpublished and unstaged: what the agent itself made. A mount that is
  // still there stays, and is an error.
  Status remove_published(const CsiUse& use) const;
  Status remove_staged(const CsiStaged& staged) const;

 private:
  std::string devices() const { return root_ + "/plugins/kubernetes.io/csi/volumeDevices"; }
  std::string root_;
};

// <directory>/vol_data.json. The directory is made.
Status save_volume_data(const std::string& directory, const VolumeData& data);
// kNotFound when there is none.
Result<VolumeData> load_volume_data(const std::string& directory);
Result<VolumeData> parse_volume_data(std::string_view text);

// "csi-" and the SHA-256 of pod and volume: the handle of an inline volume.
std::string inline_handle(const std::string& uid, const std::string& volume);
// "kubernetes.io/csi/DRIVER^HANDLE": what the Node's status and the controllers call it.
std::string csi_unique_name(const std::string& driver, const std::string& handle);

}  // namespace keles::node
