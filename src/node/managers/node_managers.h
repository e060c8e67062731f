// Those who give out what the node has of CPUs, memory and devices, as one: made from the node's
// settings, asked by the pods' workers, telling the API server (capacity, health) and whoever
// monitors the node (pod resources).
//
// One loop, a real one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/recurring.h"
#include "base/sync.h"
#include "client/client.h"
#include "node/cpu_manager/cpu_manager.h"
#include "node/devices/device_manager.h"
#include "node/dra/dra_manager.h"
#include "node/managers/container_managers.h"
#include "node/memory_manager/memory_manager.h"
#include "node/plugins/plugin_registry.h"

namespace keles::node {

// What a user may say (KubeletConfiguration's fields).
struct ManagerOptions {
  std::string cpu_policy = "none";
  std::map<std::string, std::string> cpu_options;
  Duration cpu_reconcile_period = 10s;
  std::string reserved_cpus;  // "0-1": instead of what is reserved of "cpu" in numbers
  std::string memory_policy = "None";
  ReservedMemory reserved_memory;
  TopologySettings topology;
};
// "0:memory=1Gi,hugepages-1Gi=2Gi", one NUMA node; adds to `out`.
Status parse_reserved_memory(const std::string& text, ReservedMemory* out);

struct ManagerSettings {
  ManagerOptions options;
  std::string root;                  // /var/lib/kubelet
  std::string node;                  // its name
  std::string sys = "/sys";          // where the machine is described
  uint64_t memory_bytes = 0;         // of the machine
  quota::ResourceList reserved;      // kept for the system, Kubernetes and eviction
  std::function<bool()> inject_cdi;  // whether the runtime knows nothing of CDI devices
};

// What they ask of the node.
class ManagersHost {
 public:
  virtual ~ManagersHost() = default;
  // Pods that have not ended, whether they run or not; `known`: there are no others.
  virtual std::vector<Ref<api::core_v1::Pod>> living_pods() const = 0;
  virtual bool pods_known() const = 0;
  struct Running {
    std::string pod, container, id;
  };
  virtual std::vector<Running> running_containers() const = 0;
  // The pod's status is to be made anew.
  virtual void status_changed(const std::string& pod_uid) = 0;
  // What the node has of devices changed.
  virtual void capacity_changed() = 0;
};

class NodeManagers final : public ContainerManagers {
 public:
  // Everything outlives it. Blocking: reads the machine.
  static Result<std::unique_ptr<NodeManagers>> make(Context ctx, ManagerSettings settings,
                                                    Client& client, cri::Runtime& runtime,
                                                    ManagersHost& host);
  // Goes on from the files of an earlier agent, and listens.
  Status start(PluginRegistry& plugins);
  Task<void> stop();

  PluginCapacity capacity() { return devices_->capacity(); }

  Task<Refused> allocate(Context ctx, Ref<api::core_v1::Pod> pod) override;
  Task<Status> prepare(Context ctx, Ref<api::core_v1::Pod> pod) override;
  Task<Status> unprepare(Context ctx, Ref<api::core_v1::Pod> pod) override;
  bool holds_claims(const std::string& pod_uid) const override;
  Task<Result<ContainerExtras>> extras(Context ctx, Ref<api::core_v1::Pod> pod,
                                       api::core_v1::Container container) override;
  bool exclusive_cpus(const std::string& pod_uid) const override;
  std::string resize_objection(const api::core_v1::Pod& wanted,
                               const api::core_v1::Pod& given) const override;
  void fill_status(const api::core_v1::Pod& pod, api::core_v1::PodStatusEdit status) override;

 private:
  NodeManagers(Context ctx, ManagerSettings settings, Client& client, cri::Runtime& runtime,
               ManagersHost& host);
  const LivingContainers* living();
  static Task<void> reconcile_cpus(NodeManagers* self);
  Task<void> set_cpus(Context ctx);

  Context ctx_;
  ManagerSettings settings_;
  cri::Runtime& runtime_;
  ManagersHost& host_;
  Topology machine_;
  TopologyManager topology_;
  std::unique_ptr<CpuManager> cpus_;
  std::unique_ptr<MemoryManager> memory_;
  std::unique_ptr<DeviceManager> devices_;
  DraPlugins dra_plugins_;
  DraManager claims_;
  LivingContainers living_;
  // By container id: what the runtime was told once the container ran. Not what it was created
  // with: CPUs may have gone to another while the runtime made it.
  std::map<std::string, CpuSet> applied_;
  Event moved_;  // CPUs went to another
  std::unique_ptr<net::GrpcServer> pod_resources_;
  TaskGroup tasks_;
};

}  // namespace keles::node
