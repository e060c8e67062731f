// The pod resources API (k8s.io/kubelet/pkg/apis/podresources v1): which container has which
// devices, CPUs, memory and claims, told over <root>/pod-resources/kubelet.sock to whoever monitors
// the node.
//
// One loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "net/grpc_server.h"
#include "node/cpu_manager/cpu_manager.h"
#include "node/devices/device_manager.h"
#include "node/dra/dra_manager.h"
#include "node/memory_manager/memory_manager.h"

namespace keles::node {

// What it tells of. All outlive the server.
struct PodResourcesSource {
  const CpuManager* cpus = nullptr;
  const MemoryManager* memory = nullptr;
  DeviceManager* devices = nullptr;
  const DraManager* claims = nullptr;
  std::function<std::vector<Ref<api::core_v1::Pod>>()> pods;  // those that have not ended
};

// The answer to a call of v1.PodResourcesLister.
Result<std::string> answer_pod_resources(const PodResourcesSource& source,
                                         const std::string& method, const std::string& message);

// Listens at `directory`/kubelet.sock.
Result<std::unique_ptr<net::GrpcServer>> serve_pod_resources(Loop& loop,
                                                             const std::string& directory,
                                                             PodResourcesSource source);

}  // namespace keles::node
