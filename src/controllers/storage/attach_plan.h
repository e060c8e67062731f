// Which nodes a CSI volume is to be attached to, and which it can leave (upstream:
// pkg/controller/volume/attachdetach, as of one volume). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/loop.h"

namespace keles::controllers {

// "kubernetes.io/csi/DRIVER^HANDLE": what nodes call it.
std::string unique_volume_name(const api::core_v1::CSIPersistentVolumeSource& csi);
// "csi-" and the SHA-256 of all three.
std::string attachment_name(std::string_view handle, std::string_view driver,
                            std::string_view node);
// No access mode lets two nodes have it.
bool is_exclusive(const api::core_v1::PersistentVolume& volume);

// How long a node that is not well may hold a volume that nobody there wants any more.
inline constexpr Duration kForceDetachAfter = 6min;

struct AttachNode {
  bool in_use = false;  // the node says that it has it mounted
  bool healthy = true, out_of_service = false;
  Duration unwanted_for{0};  // since when nobody there wants it
};
struct Attachment {
  bool attached = false, deleting = false;
};
struct PodName {
  std::string ns, name;
  auto operator<=>(const PodName&) const = default;
};

struct AttachState {
  std::string volume;  // the PersistentVolume's name
  bool exclusive = false;
  std::map<std::string, std::vector<PodName>> wanted;  // by node: the pods there that use it
  std::map<std::string, Attachment> attachments;       // by node
  std::map<std::string, AttachNode> nodes;             // of the attachments
};

struct AttachPlan {
  std::vector<std::string> attach;  // nodes
  struct Detach {
    std::string node;
    std::string
        forced;  // why before the node let go of it: "timeout", "out-of-service"; "": it has
  };
  std::vector<Detach> detach;
  std::map<PodName, std::string> refused;  // events: another node has it
  Duration look_again{0};                  // when time alone decides; 0: it does not
};
AttachPlan plan_attach(const AttachState& state);

}  // namespace keles::controllers
