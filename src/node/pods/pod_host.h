// What a pod's worker needs of the machine beside the runtime: the pod's cgroup, its volumes, the
// files that its containers are given and leave behind. An interface, so that the simulator can
// stand in for a machine; the node's own does on the pool whatever waits for a disk.
#pragma once

#include <memory>
#include <string>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/task.h"
#include "node/cgroup/cgroup.h"
#include "node/pods/container_config.h"
#include "node/userns/user_namespaces.h"
#include "node/volumes/volumes.h"

namespace keles::node {

// What a container finds on the machine besides its volumes.
struct ContainerFiles {
  std::vector<std::string> pod_ips;  // for its /etc/hosts, with the domain
  std::string cluster_domain;
  bool new_hosts = false;  // written anew: the pod has another address
};

class PodHost {
 public:
  virtual ~PodHost() = default;

  // Makes the pod's cgroup, or gives it other limits.
  virtual Task<Status> set_cgroup(Context ctx, Qos qos, std::string uid, CgroupLimits limits) = 0;
  virtual std::string cgroup_parent(Qos qos, const std::string& uid) const = 0;
  virtual Task<CgroupDriver::Usage> cgroup_usage(Context ctx, Qos qos, std::string uid) = 0;
  virtual Task<Status> remove_cgroup(Context ctx, std::string uid) = 0;
  // The class of burstable pods weighs what they ask for. Never waits.
  virtual Status set_burstable_requests(int64_t milli_cpu) = 0;

  // As Volumes has them.
  virtual Task<Result<MountedVolumes>> set_up_volumes(Context ctx, Ref<api::core_v1::Pod> pod,
                                                      PodFacts facts, MountedVolumes known) = 0;
  virtual WallTime next_refresh(const std::string& uid) const = 0;
  virtual Task<Status> give_up_volumes(Context ctx, std::string uid) = 0;
  // And all else of the pod that is not a log.
  virtual Task<Status> remove_volumes(Context ctx, std::string uid) = 0;
  // A file of a container's making, "a/b" below `volume`: no link is followed. kNotFound;
  // kRequestEntityTooLarge.
  virtual Task<Result<std::string>> read_in_volume(Context ctx, std::string volume,
                                                   std::string path, size_t max_bytes) = 0;

  // The pod's own range of user and group ids, kept from now on; with its volumes it goes.
  virtual Task<Result<cri::IdMapping>> user_ids(Context ctx, std::string uid) = 0;

  // Where the pod's containers log, "<pod>" or "<pod>/<container>".
  virtual Task<Status> make_log_directory(Context ctx, std::string below) = 0;
  virtual Task<Status> remove_log(Context ctx, std::string path) = 0;
  virtual Task<Status> remove_logs(Context ctx, Ref<api::core_v1::Pod> pod) = 0;

  // Makes what the container is to find, and says what the runtime is asked for: `in` without
  // hosts_file, termination_file and bind_sub_path. What it points to stays until the end.
  virtual Task<Result<cri::ContainerConfig>> make_container(Context ctx, ContainerFiles files,
                                                            ContainerInputs in) = 0;
  // The last words of one that has exited; "" when there are none.
  virtual Task<std::string> termination_message(Context ctx, std::string uid,
                                                cri::Container container) = 0;
};

// `users`: null where pods have none of their own. `logs`: /var/log/pods.
std::unique_ptr<PodHost> make_pod_host(Volumes& volumes, PodCgroups& cgroups, UserNamespaces* users,
                                       std::string logs);

}  // namespace keles::node
