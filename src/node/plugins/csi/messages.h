// What Kubernetes says of volumes, in CSI's words (CSI v1, github.com/container-storage-interface/
// spec; upstream: pkg/volume/csi). Messages are api/csi/v1's.
//
// Pure; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/csi_v1.h"
#include "base/status.h"

namespace keles::csi {

namespace v1 = api::csi_v1;
using StringMap = std::map<std::string, std::string>;

// How a volume is to be had.
struct Access {
  Access() = default;
  bool block = false;
  std::string fs_type;
  std::vector<std::string> mount_flags;
  std::string mode = "ReadWriteOnce";  // Kubernetes' access mode
  std::optional<int64_t> mount_group;
};
// `multi_writer`: the driver has SINGLE_NODE_MULTI_WRITER and tells the modes of one node apart.
void fill(v1::VolumeCapabilityEdit out, const Access& access, bool multi_writer);
std::string_view access_mode(std::string_view mode, bool multi_writer);

void fill(const MapEdit& out, const StringMap& from);
StringMap map_of(const Map<std::string_view>& from);

// The code of a failed call, as Go prints it ("Aborted"); "" when the failure is none of gRPC's.
std::string_view code_of(const Status& status);
// Whether the call is over for good: nothing of it can still be going on in the driver.
bool is_final(const Status& status);
// The volume can never be had that way: asking again is of no use (as upstream's resizer has it).
bool is_infeasible(const Status& status);

}  // namespace keles::csi
