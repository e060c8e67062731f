#include "scheduler/plugins/assumed_volumes.h"

#include <algorithm>

#include "machinery/volumes/claim_rules.h"

namespace keles::scheduler {

using namespace api::core_v1;

AssumedVolumes::AssumedVolumes(const VolumeListers& listers) : volumes_(listers.volumes) {
  volumes_.base().add_handler({[this](const ObjectPtr& now) { learnt(now); },
                               [this](const ObjectPtr&, const ObjectPtr& now) { learnt(now); },
                               [this](const ObjectPtr& last) {
                                 index_.erase(last->name());
                                 reach_.erase(std::string(last->name()));
                                 taken_.erase(std::string(last->name()));
                               }});
  listers.claims.base().add_handler(
      {nullptr,
       [this](const ObjectPtr&, const ObjectPtr& now) {
         const auto claim = read<PersistentVolumeClaim>(now);
         const bool shown = claim->metadata().annotations().contains(volumes::kSelectedNode) ||
                            !claim->spec().volume_name().empty();
         if (shown) chosen_.erase(now->key());
       },
       [this](const ObjectPtr& last) { chosen_.erase(last->key()); }});
}

void AssumedVolumes::learnt(const ObjectPtr& volume) {
  const Ref<PersistentVolume> v = read<PersistentVolume>(volume);
  volumes::VolumeInfo info = volumes::extract_volume(*v, volume->revision());
  auto taken = taken_.find(volume->name());
  if (taken != taken_.end() && !info.claimed) {
    give(&info, taken->second);  // another change: the pod's write is still to come
  } else if (taken != taken_.end()) {
    taken_.erase(taken);
  }
  index_.put(std::move(info));
  Reach reach;
  const auto affinity = v->spec().node_affinity();
  reach.limited = affinity.has_required();
  if (reach.limited) {
    // The same selector as a pod's.
    Draft<NodeAffinityEdit> as_pods;
    as_pods->set_required_during_scheduling_ignored_during_execution(affinity.required());
    reach.terms = read_node_affinity(*as_pods).required;
  }
  reach_[std::string(volume->name())] = std::move(reach);
}

bool AssumedVolumes::reaches(std::string_view volume, const NodeInfo& node) const {
  auto it = reach_.find(volume);
  if (it == reach_.end() || !it->second.limited) return true;
  return std::any_of(it->second.terms.begin(), it->second.terms.end(),
                     [&](const NodeSelectorTerm& t) { return matches(t, node); });
}

void AssumedVolumes::give(volumes::VolumeInfo* volume, const Owner& to) {
  volume->claimed = true;
  volume->claim_ns = to.ns;
  volume->claim_name = to.name;
  volume->claim_uid = to.uid;
}

void AssumedVolumes::take(const std::string& volume, const volumes::ClaimAsk& claim) {
  const volumes::VolumeInfo* known = index_.find(volume);
  if (known == nullptr) return;
  volumes::VolumeInfo taken = *known;
  const Owner& owner = taken_[volume] = {claim.ns, claim.name, claim.uid};
  give(&taken, owner);
  index_.put(std::move(taken));
}

void AssumedVolumes::release(const std::string& volume, const volumes::ClaimAsk& claim) {
  auto taken = taken_.find(volume);
  if (taken == taken_.end() || taken->second.uid != claim.uid) return;  // shown, or another's
  taken_.erase(taken);
  const ObjectPtr now = volumes_.base().get("", volume);
  if (now) learnt(now);
}

void AssumedVolumes::choose(const std::string& claim_key, std::string node) {
  chosen_[claim_key] = std::move(node);
}

void AssumedVolumes::unchoose(const std::string& claim_key, const std::string& node) {
  auto it = chosen_.find(claim_key);
  if (it != chosen_.end() && it->second == node) chosen_.erase(it);
}

std::optional<std::string> AssumedVolumes::chosen_node(const PersistentVolumeClaim& claim) const {
  const auto meta = claim.metadata();
  auto it = chosen_.find(std::string(meta.namespace_()) + "/" + std::string(meta.name()));
  if (it != chosen_.end()) return it->second;
  if (!meta.annotations().contains(volumes::kSelectedNode)) return std::nullopt;
  return std::string(meta.annotations().get(volumes::kSelectedNode));
}

}  // namespace keles::scheduler
