// How a released volume is emptied for the next claim (the policy Recycle, which is deprecated and
// still served for hostPath and nfs): a pod of the namespace "default" deletes what is in it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "api/core_v1.h"

namespace keles::controllers {

inline constexpr std::string_view kRecyclerNamespace = "default";
std::string recycler_name(std::string_view volume);
// The volume that a pod is the recycler of; "": it is none.
std::string recycled_volume(std::string_view ns, std::string_view pod);
// Ends by itself: a minute (nfs: five) or half a minute for each GiB, whichever is longer.
Document recycler_pod(const api::core_v1::PersistentVolume& volume);

struct RecyclerPlan {
  enum class Act : uint8_t { kStart, kWait, kInUse, kDone, kFailed };
  Act act;
  std::string message;  // of kInUse and kFailed
};
// `pod`: the recycler; null: there is none. `users`: the pods that have the volume still.
RecyclerPlan plan_recycler(const api::core_v1::Pod* pod, const std::string& users);

}  // namespace keles::controllers
