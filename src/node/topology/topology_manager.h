// Gives a pod that was taken its CPUs, memory and devices, as close together as the policy wants
// (upstream: pkg/kubelet/cm/topologymanager). Those who give them tell where they could
// (HintProvider::hints), one answer is chosen for all, and each gives by it.
//
// One loop; pods are admitted one at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/task.h"
#include "node/topology/hints.h"

namespace keles::node {

// Why a pod is refused, as the API shows it.
struct Refusal {
  Refusal() = default;
  Refusal(std::string r, std::string m) : reason(std::move(r)), message(std::move(m)) {}
  std::string reason, message;
};
using Refused = std::optional<Refusal>;  // none: it has what it asked for
Refusal unexpected(const Status& why);   // UnexpectedAdmissionError

class HintProvider {
 public:
  virtual ~HintProvider() = default;
  // Empty: nothing of it is asked for.
  virtual ResourceHints hints(const api::core_v1::Pod& pod,
                              const api::core_v1::Container& container) = 0;
  virtual ResourceHints pod_hints(const api::core_v1::Pod& pod) = 0;
  // Gives the container what it asks for, by affinity(); once given, again is nothing.
  virtual Task<Refused> allocate(Context ctx, Ref<api::core_v1::Pod> pod,
                                 api::core_v1::Container container) = 0;
};

struct TopologySettings {
  std::string policy = "none", scope = "container";
  std::map<std::string, std::string> options;
};

class TopologyManager {
 public:
  // kBadRequest: no such policy, scope or option, or the machine has too many NUMA nodes.
  static Result<TopologyManager> make(const TopologySettings& settings, const Topology& machine);
  TopologyManager() = default;

  void add(HintProvider* provider) { providers_.push_back(provider); }
  TopologyPolicy policy() const { return policy_; }
  Task<Refused> admit(Context ctx, Ref<api::core_v1::Pod> pod);
  // What was chosen for a container; anywhere when nothing was.
  TopologyHint affinity(const std::string& pod_uid, const std::string& container) const;
  // What was chosen for pods that are no more.
  template <class Pods>
  void keep_only(const Pods& by_uid) {
    std::erase_if(chosen_, [&](const auto& entry) { return !by_uid.contains(entry.first); });
  }

 private:
  std::optional<TopologyHint> choose(const api::core_v1::Pod& pod,
                                     const api::core_v1::Container* container);
  Refused fail(bool allocation, Refusal why);

  TopologyPolicy policy_ = TopologyPolicy::kNone;
  bool pod_scope_ = false;
  TopologyOptions options_;
  std::map<int, NumaMemory> numa_;
  std::vector<HintProvider*> providers_;
  std::map<std::string, std::map<std::string, TopologyHint>> chosen_;
};

// Init containers, then main ones: the order in which a pod's are given what they ask for.
std::vector<api::core_v1::Container> lasting_containers(const api::core_v1::Pod& pod);

}  // namespace keles::node
