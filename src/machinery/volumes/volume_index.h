// All PersistentVolumes, as extracts, by what a claim may ask for: so that neither who binds nor
// who places a pod walks every volume. One owner; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/core_v1.h"
#include "base/status.h"
#include "machinery/label_map.h"
#include "machinery/quantity.h"

namespace keles::volumes {

// What counts of a PersistentVolume.
struct VolumeInfo {
  std::string name, uid, storage_class, attributes_class, phase;
  int64_t revision = 0;
  Quantity capacity;
  std::vector<std::string> access_modes;  // without repetition, in upstream's order
  bool block = false, terminating = false;
  bool claimed = false;  // has a claimRef, whose parts these are
  std::string claim_ns, claim_name, claim_uid;
  LabelMap labels;
};
VolumeInfo extract_volume(const api::core_v1::PersistentVolume& volume, int64_t revision);

// What a claim asks of a volume.
struct ClaimAsk {
  std::string ns, name, uid, storage_class, attributes_class;
  Quantity size;
  std::vector<std::string> access_modes;
  bool block = false;
  std::optional<Selector> selector;
};
Result<ClaimAsk> ask_of(const api::core_v1::PersistentVolumeClaim& claim);

class VolumeIndex {
 public:
  // Takes it in, unless a newer state is known. The pointer that find() gave changes nothing.
  void put(VolumeInfo volume);
  void erase(std::string_view name);
  const VolumeInfo* find(std::string_view name) const;
  const std::map<std::string, VolumeInfo, std::less<>>& all() const { return volumes_; }
  size_t size() const { return volumes_.size(); }

  // The volume that a claim is to be bound to when no node is known: one that is reserved for it,
  // else the smallest free one of the fewest access modes. With `reserved_only` (its class waits
  // for a consumer) none but the first. Null: there is none.
  const VolumeInfo* best_for(const ClaimAsk& claim, bool reserved_only) const;
  // The same on a node, whose reach of a volume `reaches` tells. What `taken` names is left out.
  // Null also when the volume reserved for the claim is out of reach.
  const VolumeInfo* best_on_node(const ClaimAsk& claim,
                                 const std::function<bool(const VolumeInfo&)>& reaches,
                                 const std::set<std::string, std::less<>>& taken) const;

 private:
  using Modes = std::pair<size_t, std::string>;  // how many, their text
  using Free = std::set<std::pair<Quantity, std::string>>;
  using Accept = std::function<bool(const VolumeInfo&)>;
  void link(const VolumeInfo& v, bool in);
  const VolumeInfo* reserved_for(const ClaimAsk& claim, const Accept& accept) const;
  const VolumeInfo* smallest(const Free& free, const ClaimAsk& claim, const Accept& accept) const;

  std::map<std::string, VolumeInfo, std::less<>> volumes_;
  // Those that are Available and reserved for nobody, by class and access modes.
  std::map<std::string, std::map<Modes, Free>, std::less<>> free_;
  std::map<std::string, std::set<std::string>, std::less<>> reserved_;  // by "ns/name" of the claim
};

}  // namespace keles::volumes
