// What happens in the cluster, as the queue and the plugins see it: one bit for each kind of
// change, so that a waiting pod's interest is one word. One loop's thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "machinery/object.h"
#include "scheduler/types.h"

namespace keles::scheduler {

using Events = uint64_t;  // a set of the bits below

enum ClusterEvent : Events {
  kNodeAdded = 1ULL << 0,
  kNodeDeleted = 1ULL << 1,
  kNodeAllocatable = 1ULL << 2,
  kNodeLabels = 1ULL << 3,
  kNodeTaints = 1ULL << 4,     // or spec.unschedulable
  kPodAssigned = 1ULL << 6,    // a pod got its node
  kPodRemoved = 1ULL << 7,     // an assigned pod was deleted or ended
  kPodLabels = 1ULL << 8,      // an assigned pod's labels changed
  kPodScaledDown = 1ULL << 9,  // an assigned pod asks for less
  kNamespaceLabels = 1ULL << 10,
  // The waiting pod itself changed.
  kSelfLabels = 1ULL << 11,
  kSelfScaledDown = 1ULL << 12,
  kSelfTolerations = 1ULL << 13,
  kSelfGatesGone = 1ULL << 14,
  kSelfClaims = 1ULL << 15,  // status.resourceClaimStatuses, extendedResourceClaimStatus
  kSelfOther = 1ULL << 16,   // anything else; only who waits for kAnyEvent hears of it
};
inline constexpr Events kSelfEvents =
    kSelfLabels | kSelfScaledDown | kSelfTolerations | kSelfGatesGone | kSelfClaims | kSelfOther;

// Kinds that plugins watch beside pods, nodes and namespaces (Handle::watch).
enum class Watched : uint8_t {
  kVolume,
  kVolumeClaim,
  kStorageClass,
  kCsiNode,
  kCsiDriver,
  kCsiCapacity,
  kVolumeAttachment,
  kResourceClaim,
  kResourceSlice,
  kDeviceClass,
  kDeviceTaintRule,
  kOther,
};
constexpr Events added(Watched k) { return 1ULL << (20 + 3 * static_cast<int>(k)); }
constexpr Events updated(Watched k) { return 1ULL << (21 + 3 * static_cast<int>(k)); }
constexpr Events deleted(Watched k) { return 1ULL << (22 + 3 * static_cast<int>(k)); }
constexpr Events any_change(Watched k) { return added(k) | updated(k) | deleted(k); }

inline constexpr Events kAnyEvent = ~0ULL;

// One change, with what it was before and is now as far as there is such: an added object has no
// before, a deleted one no now. Valid during the call alone, apart from the objects.
struct Event {
  Events bits = 0;
  const PodInfo* pod_before = nullptr;  // kPod*, kSelf*
  const PodInfo* pod = nullptr;
  const NodeInfo* node_before = nullptr;  // kNode*; the node's own facts, without its pods
  const NodeInfo* node = nullptr;
  ObjectPtr before, now;  // the kinds of Handle::watch
};

enum class Hint : uint8_t { kSkip, kQueue };

// Upstream's name of the change, as metrics carry it ("NodeAdd", "AssignedPodDelete", ...).
std::string_view event_name(Events bits);

}  // namespace keles::scheduler
