// The messages between a scheduler and its extenders (kube-scheduler/extender/v1), as JSON. Members
// are written under upstream's names and read without regard to case, as Go reads them; unknown
// ones are passed over, wrong types are errors. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "machinery/object.h"

namespace keles::scheduler::extender_wire {

// ExtenderArgs: of nodes either the names or the objects.
std::string args(const Object& pod, const std::vector<std::string>& names);
std::string args(const Object& pod, const std::vector<ObjectPtr>& nodes);

// ExtenderFilterResult.
struct Filtered {
  std::optional<std::vector<std::string>> names;  // NodeNames
  std::optional<std::vector<std::string>> nodes;  // of Nodes the names
  std::map<std::string, std::string> failed, unresolvable;
  std::string error;
};
Result<Filtered> read_filtered(std::string_view json);

// HostPriorityList.
Result<std::vector<std::pair<std::string, int64_t>>> read_priorities(std::string_view json);

// ExtenderBindingArgs; the error that an ExtenderBindingResult tells, "" for none.
std::string binding_args(const Object& pod, std::string_view node);
Result<std::string> read_binding(std::string_view json);

// ExtenderPreemptionArgs: victims as objects, or (`meta`) as uids.
struct Offer {
  std::vector<ObjectPtr> victims;
  int64_t violations = 0;
};
std::string preemption_args(const Object& pod, const std::map<std::string, Offer>& offers,
                            bool meta);
// ExtenderPreemptionResult, by node.
struct Victims {
  std::vector<std::string> uids;
  int64_t violations = 0;
};
Result<std::map<std::string, Victims>> read_preemption(std::string_view json);

}  // namespace keles::scheduler::extender_wire
