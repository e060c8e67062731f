// The PodStatus that a node reports: a pure function of the pod, what the runtime has, and what
// probes say. Transition times and conditions of other writers are carried over from the status
// that the API holds.
#pragma once

#include <map>
#include <set>
#include <string>

#include "api/core_v1.h"
#include "node/pods/plan.h"
#include "node/pods/resize.h"

namespace keles::node {

struct StatusInput {
  const api::core_v1::Pod* pod = nullptr;  // with the status that the API holds
  // What was reported last, when the API's may be older; null to take the API's.
  const api::core_v1::PodStatus* last = nullptr;
  const PodRuntime* actual = nullptr;
  std::map<std::string, Waiting> waiting;       // by container name: why it does not run
  std::set<std::string> ready, started;         // container ids
  bool restarting_all = false;                  // PodPlan::reset is under way
  std::map<std::string, uint32_t> reset;        // as PlanInput's
  std::map<std::string, std::string> messages;  // termination messages, by container id
  std::vector<std::string> host_ips;            // the node's, its first family's first
  WallTime now{}, start_time{};
  bool ended = false;  // it was deleted and all has stopped: Succeeded or Failed by exit codes
  std::string failed_reason, failed_message;  // the pod as a whole was refused or evicted
  bool rejected = false;                      // the node never took it: it has no containers
  bool disruption = false;                    // failed_message is a DisruptionTarget's too
  // What the pod has been given, and what its running containers have by now (by id); null for
  // what the spec says.
  const Allocation* allocation = nullptr;
  const std::map<std::string, ResourceTexts>* actual_resources = nullptr;
  const ResourceTexts* actual_whole = nullptr;
  ResizeState resize;
  std::string runtime = "containerd";  // its name, in the ids of containers
  bool recursive_read_only = false;    // it can
};

// Writes status into `out`, which is empty.
void build_status(const StatusInput& in, api::core_v1::PodStatusEdit out);

// What is sent of a status that was built ({"status": ...}): a strategic merge patch that leaves
// conditions of other writers as they are, even those that came meanwhile. `before` is the status
// that the API has: conditions of ours that are no more are taken away.
Document status_patch(const Document& tree, const Value& before);

// Whether what `ours` says is what `shown`, the status that the API has, says: it may say more, and
// have conditions of others.
bool is_reflected(const Value& ours, const Value& shown);

// Running, Succeeded, ... of the container statuses in `status`.
std::string_view phase_of(const api::core_v1::Pod& pod, const api::core_v1::PodStatus& status);

}  // namespace keles::node
