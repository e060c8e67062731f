#include "scheduler/framework.h"

#include <algorithm>
#include <array>

namespace keles::scheduler {

NodeInfo* ClusterView::find(std::string_view name) const {
  auto at = std::lower_bound(nodes.begin(), nodes.end(), name,
                             [](const NodeInfo* n, std::string_view x) { return n->name < x; });
  return at != nodes.end() && (*at)->name == name ? *at : nullptr;
}

const ValueCounts& ClusterView::label_values(const std::string& key) const {
  auto [at, fresh] = label_values_.try_emplace(key);
  if (fresh) {
    for (const NodeInfo* node : nodes) {
      auto label = node->labels.find(key);
      if (label != node->labels.end()) at->second.add(label->second, 1);
    }
  }
  return at->second;
}

std::string Failure::message() const {
  if (nodes_total == 0) return "no nodes available to schedule pods";
  std::string s = "0/" + std::to_string(nodes_total) + " nodes are available:";
  if (!pre_filter_message.empty()) {
    s += " " + pre_filter_message + ".";
  } else if (!reasons.empty()) {
    std::vector<std::string> parts;
    for (const auto& [reason, count] : reasons)
      parts.push_back(std::to_string(count) + " " + reason);
    std::sort(parts.begin(), parts.end());
    for (size_t i = 0; i < parts.size(); ++i) s += (i ? ", " : " ") + parts[i];
    s += ".";
  }
  if (!post_filter_message.empty()) s += " " + post_filter_message;
  return s;
}

Task<Status> Plugin::pre_bind(Context ctx, CyclePtr cycle, std::string node) {
  (void)ctx, (void)cycle, (void)node;
  co_return Status();
}

Task<std::optional<Status>> Plugin::bind(Context ctx, CyclePtr cycle, std::string node) {
  (void)ctx, (void)cycle, (void)node;
  co_return std::nullopt;
}

void scale_to_max(std::vector<int64_t>& scores, bool reverse) {
  int64_t top = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
  for (int64_t& s : scores) {
    if (top > 0) s = s * kMaxScore / top;
    if (reverse) s = kMaxScore - s;
  }
}

namespace {

constexpr std::array<std::string_view, 12> kWatchedNames = {
    "PersistentVolume", "PersistentVolumeClaim", "StorageClass",     "CSINode",
    "CSIDriver",        "CSIStorageCapacity",    "VolumeAttachment", "ResourceClaim",
    "ResourceSlice",    "DeviceClass",           "DeviceTaintRule",  "Other"};

struct Named {
  Events bit;
  std::string_view name;
};
constexpr Named kNames[] = {
    {kNodeAdded, "NodeAdd"},
    {kNodeDeleted, "NodeDelete"},
    {kNodeAllocatable, "NodeUpdateNodeAllocatable"},
    {kNodeLabels, "NodeUpdateNodeLabel"},
    {kNodeTaints, "NodeUpdateNodeTaint"},
    {kPodAssigned, "AssignedPodAdd"},
    {kPodRemoved, "AssignedPodDelete"},
    {kPodLabels, "AssignedPodUpdatePodLabel"},
    {kPodScaledDown, "AssignedPodUpdatePodScaleDown"},
    {kNamespaceLabels, "NamespaceUpdate"},
    {kSelfLabels, "UnschedulablePodUpdatePodLabel"},
    {kSelfScaledDown, "UnschedulablePodUpdatePodScaleDown"},
    {kSelfTolerations, "UnschedulablePodUpdatePodToleration"},
    {kSelfGatesGone, "UnschedulablePodUpdatePodSchedulingGatesEliminated"},
    {kSelfClaims, "UnschedulablePodUpdatePodGeneratedResourceClaim"},
    {kSelfOther, "UnschedulablePodUpdate"},
};

std::array<std::string, 36> watched_names() {
  std::array<std::string, 36> out;
  for (size_t i = 0; i < kWatchedNames.size(); ++i) {
    size_t k = 0;
    for (std::string_view what : {"Add", "Update", "Delete"})
      out[3 * i + k++] = std::string(kWatchedNames[i]) + std::string(what);
  }
  return out;
}

}  // namespace

std::string_view event_name(Events bits) {
  for (const Named& n : kNames)
    if (bits & n.bit) return n.name;
  static const std::array<std::string, 36> watched = watched_names();
  for (size_t i = 0; i < watched.size(); ++i)
    if (bits & (1ULL << (20 + i))) return watched[i];
  return "Unknown";
}

}  // namespace keles::scheduler
