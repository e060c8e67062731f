// CPUs of their own for containers of Guaranteed pods that ask for whole ones, with the static
// policy; with none, all share all (https://kubernetes.io/docs/tasks/administer-cluster/
// cpu-management-policies/; upstream: pkg/kubelet/cm/cpumanager).
//
// One loop. What was given is in a file and outlives the agent.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "node/cpu_manager/cpu_state.h"
#include "node/cpu_manager/take.h"
#include "node/topology/topology_manager.h"

namespace keles::node {

struct CpuManagerSettings {
  std::string policy = "none";
  std::map<std::string, std::string> options;
  CpuSet reserved;             // reservedSystemCPUs
  int64_t reserved_milli = 0;  // of the node, for the system and Kubernetes
};

struct StaticCpuOptions {
  bool full_cores = false;  // full-pcpus-only
  bool strict = false;      // strict-cpu-reservation
  bool by_socket = false;   // align-by-socket; alpha: refused
  TakeOptions take;
};
// "unknown CPU Manager Policy option: ..."; options of alpha are behind a gate that is off.
// `alpha`: for tests.
Result<StaticCpuOptions> parse_cpu_options(const std::map<std::string, std::string>& options,
                                           bool alpha = false);

// The containers of pods that live: uid -> names.
using LivingContainers = std::map<std::string, std::set<std::string>>;

class CpuManager final : public HintProvider {
 public:
  // `machine` and `topology` outlive it. kBadRequest: the settings do not fit the machine.
  static Result<std::unique_ptr<CpuManager>> make(const CpuManagerSettings& settings,
                                                  const Topology* machine,
                                                  const TopologyManager* topology,
                                                  bool alpha_options = false);
  // Goes on from the file in `directory`. An error says what does not fit, and what to do.
  Status start(const std::string& directory);
  // Whose CPUs are given back before others are given; none when it is not known.
  void use(std::function<const LivingContainers*()> living) { living_ = std::move(living); }

  bool exclusive_policy() const { return static_; }
  // Empty: it is not to be told.
  CpuSet cpus_of(const std::string& pod, const std::string& container) const;
  const CpuSet* exclusive(const std::string& pod, const std::string& container) const;
  // What can be given as a container's own; with the policy none nothing.
  CpuSet allocatable() const;
  const CpuState& state() const { return state_; }
  void release_stale();

  ResourceHints hints(const api::core_v1::Pod& pod,
                      const api::core_v1::Container& container) override;
  ResourceHints pod_hints(const api::core_v1::Pod& pod) override;
  Task<Refused> allocate(Context ctx, Ref<api::core_v1::Pod> pod,
                         api::core_v1::Container container) override;

 private:
  CpuManager(const Topology* machine, const TopologyManager* topology)
      : machine_(machine), topology_(topology) {}
  Status validate();
  CpuSet free() const { return state_.shared() - reserved_; }
  Refused give(const api::core_v1::Pod& pod, const api::core_v1::Container& container, int count);
  Refused misaligned(int count) const;
  Result<CpuSet> choose(int count, const TopologyHint& hint, const CpuSet& reusable) const;
  std::vector<TopologyHint> hints_for(const CpuSet& free, const CpuSet& reusable, int count) const;
  void note_reuse(const api::core_v1::Pod& pod, std::string_view container, const CpuSet& cpus);
  void tell() const;

  const Topology* machine_;
  const TopologyManager* topology_;
  bool static_ = false;
  StaticCpuOptions options_;
  CpuSet reserved_, reserved_cores_;
  CpuState state_;
  std::string reuse_pod_;
  CpuSet reuse_;  // of its init containers: its later ones may have them
  std::function<const LivingContainers*()> living_;
};

// How many CPUs of its own a container of `pod` is to have; 0: none.
int exclusive_cpus(const api::core_v1::Pod& pod, const api::core_v1::Container& container);
int exclusive_cpus(const api::core_v1::Pod& pod);  // the pod, at its most

}  // namespace keles::node
