// From a Pod to what the runtime is asked to make. Pure, apart from what it calls to bind a
// subPath.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/status.h"
#include "node/cri/runtime.h"
#include "node/pods/env.h"
#include "node/volumes/volumes.h"

namespace keles::node {

struct DnsDefaults {
  std::vector<std::string> cluster_servers;  // "10.96.0.10"
  std::string cluster_domain = "cluster.local";
  std::string host_resolv_conf;  // its text
};

std::string pod_log_directory(const std::string& logs, const api::core_v1::Pod& pod);
std::string pod_full_name(const api::core_v1::Pod& pod);  // name_ns(uid)
std::string pod_hostname(const api::core_v1::Pod& pod);
// The pod's domain, "sub.ns.svc.cluster.local"; "" without a subdomain.
std::string pod_domain(const api::core_v1::Pod& pod, std::string_view cluster_domain);
// What the kernel is told: with setHostnameAsFQDN the full name, which must fit (64 characters).
Result<std::string> kernel_hostname(const api::core_v1::Pod& pod, std::string_view cluster_domain);

// kInvalid when the pod cannot have the hostname that it asks for. `cgroup_parent` as the runtime's
// cgroup driver spells it.
Result<cri::SandboxConfig> make_sandbox_config(const api::core_v1::Pod& pod, uint32_t attempt,
                                               const std::string& logs,
                                               const std::string& cgroup_parent,
                                               const DnsDefaults& dns);

// What the node has of swap, and lets pods have of it (memorySwap.swapBehavior).
struct NodeSwap {
  bool controlled = false;  // the kernel's cgroups count it
  bool unified = false;     // they are v2
  bool limited = false;     // LimitedSwap: burstable pods have a part of it
  int64_t capacity_bytes = 0;
};

// An image that is mounted as a volume.
struct ImageVolume {
  std::string id;  // as the runtime knows it
  std::string reference;
};

struct ContainerInputs {
  const api::core_v1::Pod* pod = nullptr;
  const api::core_v1::Container* container = nullptr;
  uint32_t attempt = 0;
  cri::Image image;
  Environment environment;
  MountedVolumes volumes;
  std::map<std::string, ImageVolume> image_volumes;  // by volume name
  bool recursive_read_only = false;                  // the runtime can
  std::vector<cri::IdMapping> user_ids;              // of the pod's own user namespace
  NodeSwap swap;
  // Binds a subPath of a volume (its name and path on the host), for the mount of this index; where
  // the runtime finds it.
  std::function<Result<std::string>(const std::string& volume, const std::string& path,
                                    size_t index, const std::string& sub_path)>
      bind_sub_path;
  std::string hosts_file;               // "" = not managed
  std::string termination_file;         // on the host
  std::string target_id;                // of an ephemeral container: the container to look into
  std::string seccomp_root;             // where Localhost profiles of seccomp lie
  std::vector<std::string> page_units;  // sizes of the node's huge pages, "2MB"
  int64_t node_memory_bytes = 0;
};
// What the runtime is asked for one container of `pod`; limits of the pod itself stand for those
// that it has not. Of huge pages (`page_units`: the sizes that the node has) it gets what it asks
// for, and no others.
cri::Resources container_resources(const api::core_v1::Pod& pod, const api::core_v1::Container& c,
                                   int64_t node_memory_bytes,
                                   const std::vector<std::string>& page_units,
                                   const NodeSwap& swap = {});
// Whether the container's mount is to be read only recursively; kInvalid when it cannot be.
Result<bool> recursive_read_only(const api::core_v1::VolumeMount& m, bool runtime_can);
// kInvalid with CreateContainerConfigError's message.
Result<cri::ContainerConfig> make_container_config(const ContainerInputs& in);

// /etc/hosts of a pod.
std::string hosts_file(const api::core_v1::Pod& pod, const std::vector<std::string>& pod_ips,
                       std::string_view cluster_domain);

}  // namespace keles::node
