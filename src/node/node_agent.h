// The node agent (kubelet): registers this machine as a Node, runs the pods that are bound to it
// through a container runtime, reports their status, and serves the kubelet's API on port 10250.
//
//   RealLoop loop; Client client = https to the API server;
//   spawn: co_await run_node_agent(Context::root(loop), options, &client);
//
// One loop. Ends when ctx does; the pods go on, and a later agent adopts them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/context.h"
#include "base/task.h"
#include "client/client.h"
#include "net/http.h"
#include "node/cri/runtime.h"
#include "node/eviction/thresholds.h"
#include "node/images/credential_providers.h"
#include "node/images/image_gc.h"
#include "node/images/pull_records.h"
#include "node/managers/node_managers.h"
#include "node/node_status.h"
#include "node/server/node_auth.h"
#include "node/shutdown/shutdown_plan.h"
#include "node/static_pods/static_pods.h"

namespace keles::node {

struct NodeOptions {
  std::string name;                           // the Node's name
  std::string address;                        // its InternalIP
  std::string second_address;                 // of the other family; "" for none
  std::string hostname;                       // "" = name
  std::map<std::string, std::string> labels;  // besides the standard ones
  std::vector<NodeTaint> taints;              // on registration
  std::string version = "v1.36.2+keles";
  std::string provider_id;

  std::string root = "/var/lib/kubelet";
  std::string logs = "/var/log/pods";
  std::string runtime_endpoint = "unix:/run/containerd/containerd.sock";
  std::string cgroup_mount = "/sys/fs/cgroup";
  std::string cgroup_root;  // "" or "/keles/cluster/node"
  bool systemd_cgroups = false;

  std::vector<std::string> cluster_dns;  // "10.96.0.10"
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";
  int64_t max_pods = 110;
  std::vector<std::string> allowed_unsafe_sysctls;     // names, or prefixes that end in "*"
  quota::ResourceList kube_reserved, system_reserved;  // cpu, memory, ephemeral-storage, pid
  int64_t pod_pids_limit = 0;                          // of a pod; 0: none
  bool limited_swap = false;                           // memorySwap.swapBehavior: LimitedSwap
  uint32_t user_ids_per_pod = 65536;                   // of pods with users of their own

  // The kubelet's API. Without a TLS identity port 10250 is not served.
  std::string listen_address = "0.0.0.0";
  uint16_t port = 10250;
  uint16_t read_only_port = 0;                     // without authentication, for reading; 0: none
  std::optional<net::TlsIdentity> tls;             // to begin with
  std::string tls_certificate_file, tls_key_file;  // read again when they change; "" = none
  bool rotate_server_certificates = false;         // asked for by CSR instead
  std::string client_ca_pem;
  NodeAuthOptions auth;

  // Awaited before a pod's containers start: PodServices::guard_network.
  std::function<Task<Status>(Context ctx, Ref<api::core_v1::Pod> pod, std::string sandbox,
                             std::vector<std::string> ips)>
      guard_network;
  // Told of each renewal of the node's Lease: when it was begun.
  std::function<void(TimePoint begun)> lease_renewed;
  StaticPodOptions static_pods;  // but for the node's name
  ImageGcPolicy image_gc;
  int64_t parallel_pulls = 1;  // of images; 0: any number
  PullVerification pull_verification;
  std::shared_ptr<CredentialProviders> credential_providers;  // null: none
  EvictionSettings eviction;
  ShutdownPeriods shutdown;             // what pods have when the machine goes down
  ManagerOptions managers;              // of CPUs, memory and where they lie
  bool local_storage_isolation = true;  // limits of local storage are enforced

  bool debugging_handlers = true;  // logs, exec, attach, port-forward, run, runningpods
  bool system_log_handler = true, system_log_query = false;  // /logs/, and queries there
  // What it tells of itself: its KubeletConfiguration as JSON, its flags.
  std::string configz;
  std::map<std::string, std::string> flags;

  int64_t log_max_bytes = 10 << 20;
  int log_max_files = 5;
  Duration log_monitor_interval = 10s;
};

// `runtime`: null for the one at options.runtime_endpoint. An error when it cannot begin at all
// (ports taken, cgroups not writable).
Task<Status> run_node_agent(Context ctx, NodeOptions options, Client* client,
                            cri::Runtime* runtime = nullptr);

}  // namespace keles::node
