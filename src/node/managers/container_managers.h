// What those who give out the node's CPUs, memory and devices say of a pod and its containers: all
// that the pods' workers know of them.
//
// One loop.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "node/cri/runtime.h"
#include "node/topology/topology_manager.h"

namespace keles::node {

// What a container gets beside what its spec says.
struct ContainerExtras {
  ContainerExtras() = default;
  std::string cpuset_cpus, cpuset_mems;  // "0-1"; "": any
  bool exclusive_cpus = false;           // they are its own: no quota
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<cri::Mount> mounts;
  std::vector<cri::Device> devices;
  cri::StringMap annotations;
  std::vector<std::string> cdi_devices;  // "vendor.com/gpu=gpu0"
};
void apply(const ContainerExtras& extras, cri::ContainerConfig& config);

class ContainerManagers {
 public:
  virtual ~ContainerManagers() = default;
  // The node takes the pod: gives it what it is to have of its own, or says why it cannot. Once
  // given, again is nothing. One at a time.
  virtual Task<Refused> allocate(Context ctx, Ref<api::core_v1::Pod> pod) = 0;
  // Before the pod's sandbox: its ResourceClaims. The error is told in an event.
  virtual Task<Status> prepare(Context ctx, Ref<api::core_v1::Pod> pod) = 0;
  // When nothing of the pod runs any more.
  virtual Task<Status> unprepare(Context ctx, Ref<api::core_v1::Pod> pod) = 0;
  virtual bool holds_claims(const std::string& pod_uid) const = 0;
  // Before each start of a container.
  virtual Task<Result<ContainerExtras>> extras(Context ctx, Ref<api::core_v1::Pod> pod,
                                               api::core_v1::Container container) = 0;
  // Some container of it has CPUs of its own: the pod has no quota.
  virtual bool exclusive_cpus(const std::string& pod_uid) const = 0;
  // Why the pod cannot be given what `wanted` asks for in place of `given` while it runs; "": it
  // can, as far as they are concerned.
  virtual std::string resize_objection(const api::core_v1::Pod& wanted,
                                       const api::core_v1::Pod& given) const = 0;
  // allocatedResourcesStatus of its containers.
  virtual void fill_status(const api::core_v1::Pod& pod, api::core_v1::PodStatusEdit status) = 0;
};

}  // namespace keles::node
