// The profiles of debug: what each allows the debugging container, and what it keeps of a pod that
// is copied.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

enum class DebugStyle : uint8_t { kEphemeral, kPodCopy, kNode };

struct KeepFlags {
  bool labels = false, annotations = false, liveness = false, readiness = false, startup = false;
  bool init_containers = true;
};

// "unknown profile: x"
Status check_profile(std::string_view profile);
// Changes `pod`, which has the container already.
void apply_profile(std::string_view profile, DebugStyle style, const KeepFlags& keep, Document& pod,
                   std::string_view container);

// The container of that name among all of the pod's; null when there is none.
Value* find_container(Value& pod, std::string_view name);

}  // namespace keles::kubectl
