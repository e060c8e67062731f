// Volumes and claims as VolumeBinding of every profile sees them: the API's, and on top of that
// what was decided for pods whose binding is under way. What was assumed of an object ends when the
// API shows it, or whose it is instead, or when who assumed it takes it back; other changes leave
// it. One loop's thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/volumes/volume_index.h"
#include "scheduler/plugins/volume_listers.h"

namespace keles::scheduler {

class AssumedVolumes {
 public:
  explicit AssumedVolumes(Handle& handle) : AssumedVolumes(VolumeListers(handle)) {}
  explicit AssumedVolumes(const VolumeListers& listers);

  const volumes::VolumeIndex& index() const { return index_; }
  // Whether a node is within reach of a volume (spec.nodeAffinity).
  bool reaches(std::string_view volume, const NodeInfo& node) const;

  // The volume is the claim's from now on; ended by the claim's release() or by a claimRef.
  void take(const std::string& volume, const volumes::ClaimAsk& claim);
  void release(const std::string& volume, const volumes::ClaimAsk& claim);
  // The node for which the claim is to be provisioned; ended by unchoose() of that node, by the
  // claim's annotation or by its volume.
  void choose(const std::string& claim_key, std::string node);
  void unchoose(const std::string& claim_key, const std::string& node);
  // By the claim's annotation, or as chosen.
  std::optional<std::string> chosen_node(const api::core_v1::PersistentVolumeClaim& claim) const;

 private:
  struct Reach {
    bool limited = false;
    std::vector<NodeSelectorTerm> terms;
  };
  struct Owner {
    std::string ns, name, uid;
  };
  void learnt(const ObjectPtr& volume);
  static void give(volumes::VolumeInfo* volume, const Owner& to);
  volumes::VolumeIndex index_;
  std::map<std::string, Reach, std::less<>> reach_;
  std::map<std::string, Owner, std::less<>> taken_;         // by volume
  std::map<std::string, std::string, std::less<>> chosen_;  // claim key -> node
  Informer<api::core_v1::PersistentVolume> volumes_;
};

}  // namespace keles::scheduler
