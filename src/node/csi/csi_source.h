// Internal to node/csi: what a volume is, read out of its PersistentVolume or of the pod; what its
// CSIDriver says of how it is to be had.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "node/csi/csi_volumes.h"

namespace keles::node {

struct CsiVolumes::Policy {
  bool known = false;  // there is a CSIDriver
  bool attach = true;  // without one the volume is attached
  bool pod_info = false, republish = false, tokens_in_secrets = false;
  std::string group_policy = "ReadWriteOnceWithFSType";
  std::vector<std::string> modes;
  std::vector<std::pair<std::string, int64_t>> tokens;  // audience, seconds (0: not asked)

  void read(const api::storage_v1::CSIDriver& driver);
};

struct CsiVolumes::Source {
  std::string name;    // the PersistentVolume's, or the volume's in the pod
  std::string volume;  // in the pod
  std::string uid;     // the pod's
  std::string driver, handle, staging;
  csi::StringMap attributes, publish_context, secrets;
  std::pair<std::string, std::string> stage_secret, publish_secret, expand_secret;  // ns, name
  csi::Access access;
  bool block = false, ephemeral = false, write_once = false;
  std::optional<gid_t> group;
  Policy policy;

  Status read(const CsiRequest& r);
  // Whether the driver has volumes of this sort.
  Status check_mode() const;
  // Whether the agent is to give what is in it to the pod's group.
  bool gives_to_group(bool read_only) const;
  void add_pod_info(const api::core_v1::Pod& pod);
  VolumeData data(const std::string& attachment, const std::string& node) const;

  std::string key() const { return csi_unique_name(driver, handle); }
  std::string setting_up() const {
    return (block ? "MapVolume.MapPodDevice" : "MountVolume.SetUp") +
           std::string(" failed for volume \"") + name + "\" ";
  }
  std::string mounting_device() const {
    return (block ? "MapVolume.SetUpDevice" : "MountVolume.MountDevice") +
           std::string(" failed for volume \"") + name + "\" ";
  }
  Status no_driver(const Status& why) const;
};

}  // namespace keles::node
