// The volume plug-ins that upstream's controllers have, and those that moved to CSI drivers: what
// only their names decide. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/core_v1.h"

namespace keles::volumes {

// The CSI driver that took over a plug-in ("kubernetes.io/aws-ebs"); "": none did.
std::string_view csi_successor(std::string_view plugin);
// That of the plug-in of a volume's source.
std::string_view csi_successor(const api::core_v1::PersistentVolume& volume);

// The plug-in of a volume's source ("kubernetes.io/nfs"); "": one that none of these has.
std::string_view source_plugin(const api::core_v1::PersistentVolume& volume);

// "kubernetes.io/...", or of a CSI volume "kubernetes.io/csi:DRIVER"; "N/A" when upstream's
// controllers have no plug-in for it.
std::string plugin_label(const api::core_v1::PersistentVolume& volume);

// Who is to delete what a released volume holds.
struct Deleter {
  enum class Who : uint8_t { kNobodyHere, kHostPath, kError };  // kNobodyHere: its provisioner
  Who who = Who::kNobodyHere;
  std::string error;
};
Deleter deleter_of(const api::core_v1::PersistentVolume& volume);
// Whether there is a recycler for it.
bool is_recyclable(const api::core_v1::PersistentVolume& volume);

// What becomes of a claim whose class has this provisioner.
struct Provisioner {
  std::string name;   // of who is to provision, a plug-in's successor if it has one
  std::string error;  // there can be none
};
Provisioner provisioner_of(std::string_view of_class);

}  // namespace keles::volumes
