// What a whole pod asks for and may have: its containers together, init containers and sidecars as
// they run after and beside each other (KEP-753), resources of the pod itself (KEP-2837), what a
// resize under way has given already (KEP-1287), and overhead. Pure; any thread.
#pragma once

#include "machinery/quota/resource_list.h"
#include "machinery/value.h"

namespace keles::quota {

enum class Overhead : uint8_t { kCounted, kLeftOut };
enum class Actual : uint8_t {
  kCounted,  // the most of what is wanted, allocated and in use, by the pod's status
  kLeftOut   // what the spec says, alone
};

// `pod`: a v1 Pod's tree.
ResourceList pod_requests(const Value& pod, Actual actual, Overhead overhead);
ResourceList pod_limits(const Value& pod, Actual actual, Overhead overhead);
// Whether the pod itself has requests or limits, of a resource that a pod can have.
bool has_pod_level_resources(const Value& pod);
// No container asks for cpu or memory, nor is limited in them.
bool is_best_effort(const Value& pod);

// Names of nodes' extended resources ("example.com/gpu"), those of device classes included.
bool is_extended_resource(std::string_view name);
bool is_native_resource(std::string_view name);

}  // namespace keles::quota
