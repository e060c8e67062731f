// Memory and huge pages of containers of Guaranteed pods, promised from as few NUMA nodes as will
// do, with the Static policy (https://kubernetes.io/docs/tasks/administer-cluster/memory-manager/;
// upstream: pkg/kubelet/cm/memorymanager).
//
// One loop. What was promised is in a file and outlives the agent.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "machinery/quota/resource_list.h"
#include "node/cpu_manager/cpu_manager.h"
#include "node/memory_manager/memory_state.h"
#include "node/topology/topology_manager.h"

namespace keles::node {

// By NUMA node: "memory" and "hugepages-*" in bytes.
using ReservedMemory = std::map<int, std::map<std::string, uint64_t>>;

struct MemoryManagerSettings {
  std::string policy = "None";
  ReservedMemory reserved;
  quota::ResourceList node_reserved;  // what the node keeps of "memory" in all; they must agree
};

class MemoryManager final : public HintProvider {
 public:
  // `machine` and `topology` outlive it. kBadRequest: the settings do not fit the machine.
  static Result<std::unique_ptr<MemoryManager>> make(const MemoryManagerSettings& settings,
                                                     const Topology* machine,
                                                     const TopologyManager* topology);
  Status start(const std::string& directory);
  void use(std::function<const LivingContainers*()> living) { living_ = std::move(living); }

  // "0,1": the NUMA nodes of a container's memory; "": any.
  std::string nodes_of(const std::string& pod, const std::string& container) const;
  std::vector<MemoryBlock> blocks_of(const std::string& pod, const std::string& container) const;
  std::vector<MemoryBlock> allocatable() const { return allocatable_; }
  const MemoryState& state() const { return state_; }
  void release_stale();

  ResourceHints hints(const api::core_v1::Pod& pod,
                      const api::core_v1::Container& container) override;
  ResourceHints pod_hints(const api::core_v1::Pod& pod) override;
  Task<Refused> allocate(Context ctx, Ref<api::core_v1::Pod> pod,
                         api::core_v1::Container container) override;

 private:
  using Amounts = std::map<std::string, uint64_t>;
  MemoryManager(const Topology* machine, const TopologyManager* topology)
      : machine_(machine), topology_(topology) {}
  MemoryNodes empty_machine() const;
  Status validate();
  Amounts asked(const api::core_v1::Pod& pod, const api::core_v1::Container& container) const;
  Amounts asked(const api::core_v1::Pod& pod) const;
  Status give(const api::core_v1::Pod& pod, const api::core_v1::Container& container);
  Result<TopologyHint> place(const std::string& pod, const TopologyHint& wanted,
                             const Amounts& amounts) const;
  ResourceHints hints_for(const std::string& pod, const Amounts& amounts) const;
  uint64_t reusable(const std::string& pod, NumaMask mask, const std::string& type) const;
  void note_reuse(const api::core_v1::Pod& pod, const api::core_v1::Container& container,
                  const std::vector<MemoryBlock>& blocks);
  void shrink_init_containers(const api::core_v1::Pod& pod,
                              const api::core_v1::Container& container,
                              const std::vector<MemoryBlock>& blocks,
                              MemoryState::Containers& given);

  const Topology* machine_;
  const TopologyManager* topology_;
  bool static_ = false;
  ReservedMemory reserved_;
  MemoryState state_;
  std::vector<MemoryBlock> allocatable_;
  std::string reuse_pod_;
  std::map<NumaMask, Amounts> reuse_;  // of its init containers
  std::function<const LivingContainers*()> living_;
};

}  // namespace keles::node
