// The container runtime as the node agent sees it: CRI v1
// (https://github.com/kubernetes/cri-api, runtime.v1) in plain structs. `Runtime` is an interface
// so that tests and the simulator can stand in for containerd.
//
// One loop. Times are nanoseconds since the Unix epoch, 0 when not set. kNotFound when the runtime
// does not know an id.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/grpc.h"

namespace keles::node::cri {

using StringMap = std::map<std::string, std::string>;

enum class SandboxState : uint8_t { kReady = 0, kNotReady = 1 };
enum class ContainerState : uint8_t { kCreated = 0, kRunning = 1, kExited = 2, kUnknown = 3 };
enum class NamespaceMode : uint8_t { kPod = 0, kContainer = 1, kNode = 2, kTarget = 3 };
enum class Propagation : uint8_t { kPrivate = 0, kHostToContainer = 1, kBidirectional = 2 };
// The kinds of a security profile, of seccomp and of AppArmor.
enum class Seccomp : uint8_t { kRuntimeDefault = 0, kUnconfined = 1, kLocalhost = 2 };

struct IdMapping {
  uint32_t host_id = 0, container_id = 0, length = 0;
  bool operator==(const IdMapping&) const = default;
};

struct NamespaceOptions {
  NamespaceMode network = NamespaceMode::kPod;
  NamespaceMode pid = NamespaceMode::kContainer;
  NamespaceMode ipc = NamespaceMode::kPod;
  std::string target_id;  // whose processes a container sees, when pid is kTarget
  // Of users and of groups alike, in a namespace of the pod's own; empty: the node's users.
  std::vector<IdMapping> user_ids;
};

struct PortMapping {
  int protocol = 0;  // 0 TCP, 1 UDP, 2 SCTP
  int container_port = 0, host_port = 0;
  std::string host_ip;
};

struct Resources {
  int64_t cpu_period_us = 0, cpu_quota_us = 0, cpu_shares = 0;
  int64_t memory_limit_bytes = 0;
  int64_t oom_score_adj = 0;
  std::map<std::string, int64_t> huge_pages;  // bytes by page size, "2MB"
  std::string cpuset_cpus, cpuset_mems;       // "0-1,4"; "": as they are
  int64_t memory_swap_limit_bytes = 0;        // of memory and swap together, on cgroup v1; 0: none
  StringMap unified;                          // files of cgroup v2 and what they are to hold
};

struct SeLinux {
  std::string user, role, type, level;
  bool operator==(const SeLinux&) const = default;
};

struct SandboxConfig {
  std::string name, ns, uid;
  uint32_t attempt = 0;
  std::string hostname, log_directory, cgroup_parent;
  std::vector<std::string> dns_servers, dns_searches, dns_options;
  std::vector<PortMapping> ports;
  StringMap labels, annotations, sysctls;
  NamespaceOptions namespaces;
  bool privileged = false;
  std::optional<int64_t> run_as_user, run_as_group;
  std::vector<int64_t> supplemental_groups;
  bool strict_groups = false;  // none but those above, whatever the image says
  std::optional<SeLinux> selinux;
};

struct Mount {
  std::string container_path, host_path;
  bool readonly = false;
  Propagation propagation = Propagation::kPrivate;
  bool recursive_readonly = false;
  // Of an image, in place of a path of the host: as the runtime resolved it, as the pod names it,
  // and what of it.
  std::string image, user_image, image_sub_path;
};

struct Device {
  std::string container_path, host_path;
  std::string permissions;  // of "r", "w", "m"
};

struct ContainerConfig {
  std::string name;
  uint32_t attempt = 0;
  std::string image;  // the reference that the runtime resolved (an image id)
  std::string user_image;
  std::vector<std::string> command, args;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<Mount> mounts;
  std::vector<Device> devices;
  std::vector<std::string> cdi_devices;  // "vendor.com/gpu=gpu0"
  StringMap labels, annotations;
  std::string log_path;  // below the sandbox's log directory
  bool stdin_open = false, stdin_once = false, tty = false;
  Resources resources;
  NamespaceOptions namespaces;
  bool privileged = false, readonly_rootfs = false, no_new_privs = false;
  std::vector<std::string> add_capabilities, drop_capabilities;
  std::optional<int64_t> run_as_user, run_as_group;
  std::string run_as_username;
  std::vector<int64_t> supplemental_groups;
  Seccomp seccomp = Seccomp::kUnconfined;
  std::string seccomp_localhost;  // an absolute path
  std::optional<Seccomp> apparmor;
  std::string apparmor_localhost;
  bool strict_groups = false;
  std::optional<SeLinux> selinux;
  bool default_masks = true;  // mask /proc/kcore and its kind
  std::string stop_signal;    // "SIGUSR1"; "" for the image's
};

struct Sandbox {
  std::string id, name, ns, uid;
  uint32_t attempt = 0;
  SandboxState state = SandboxState::kNotReady;
  int64_t created_at_ns = 0;
  StringMap labels, annotations;
  // Only from sandbox_status().
  std::string ip;
  std::vector<std::string> additional_ips;
  NamespaceMode network = NamespaceMode::kPod;
};

struct Container {
  std::string id, sandbox_id, name;
  uint32_t attempt = 0;
  std::string image, image_ref, image_id;
  ContainerState state = ContainerState::kUnknown;
  int64_t created_at_ns = 0;
  StringMap labels, annotations;
  // Only from container_status().
  int64_t started_at_ns = 0, finished_at_ns = 0;
  int exit_code = 0;
  std::string reason, message, log_path;
  struct User {
    int64_t uid = 0, gid = 0;
    std::vector<int64_t> groups;
  };
  std::optional<User> user;  // as whom it began; not all runtimes say
  std::string stop_signal;   // "" when the runtime does not say
};

struct Image {
  std::string id;
  std::vector<std::string> tags, digests;
  uint64_t size_bytes = 0;
  std::optional<int64_t> uid;
  std::string username;
  bool pinned = false;
};

struct ImageAuth {
  std::string username, password, auth, server_address, identity_token;
};

struct ExecResult {
  std::string out, err;
  int exit_code = 0;
};

struct RuntimeCondition {
  std::string type;
  bool status = false;
  std::string reason, message;
};

struct RuntimeHandler {
  bool user_namespaces = false, recursive_read_only_mounts = false;
};

// What the runtime says of itself. Runtimes of before 2024 name no handlers and no features.
struct RuntimeStatus {
  std::vector<RuntimeCondition> conditions;
  std::string name = "containerd";                 // as version() says
  std::map<std::string, RuntimeHandler> handlers;  // by name; "" is the default
  bool supplemental_groups_policy = false;
};

struct Version {
  std::string name, version, api_version;
};

struct ContainerStats {
  std::string id, name;
  StringMap labels;
  int64_t cpu_time_ns = 0;  // when it was read
  uint64_t cpu_usage_ns = 0, cpu_nano_cores = 0;
  uint64_t memory_working_set_bytes = 0, memory_usage_bytes = 0, memory_rss_bytes = 0;
  uint64_t page_faults = 0, major_page_faults = 0;
  uint64_t writable_used_bytes = 0, writable_inodes = 0;
};

struct FilesystemUsage {
  std::string mountpoint;
  uint64_t used_bytes = 0, inodes = 0;
};
struct ImageFilesystems {
  std::vector<FilesystemUsage> images;
  std::vector<FilesystemUsage> containers;  // of writable layers; empty: as the images
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual Task<Result<Version>> version(Context ctx) = 0;
  virtual Task<Result<RuntimeStatus>> status(Context ctx) = 0;

  virtual Task<Result<std::string>> run_sandbox(Context ctx, SandboxConfig config,
                                                std::string handler) = 0;
  virtual Task<Status> stop_sandbox(Context ctx, std::string id) = 0;
  virtual Task<Status> remove_sandbox(Context ctx, std::string id) = 0;
  virtual Task<Result<Sandbox>> sandbox_status(Context ctx, std::string id) = 0;
  // All, or those of one pod.
  virtual Task<Result<std::vector<Sandbox>>> list_sandboxes(Context ctx, std::string pod_uid) = 0;

  virtual Task<Result<std::string>> create_container(Context ctx, std::string sandbox_id,
                                                     ContainerConfig config,
                                                     SandboxConfig sandbox) = 0;
  virtual Task<Status> start_container(Context ctx, std::string id) = 0;
  virtual Task<Status> stop_container(Context ctx, std::string id, int64_t timeout_seconds) = 0;
  virtual Task<Status> remove_container(Context ctx, std::string id) = 0;
  virtual Task<Result<Container>> container_status(Context ctx, std::string id) = 0;
  virtual Task<Result<std::vector<Container>>> list_containers(Context ctx,
                                                               std::string pod_uid) = 0;
  virtual Task<Result<std::vector<ContainerStats>>> list_container_stats(Context ctx) = 0;
  virtual Task<Status> reopen_log(Context ctx, std::string id) = 0;
  virtual Task<Status> update_resources(Context ctx, std::string id, Resources resources) = 0;
  // A running container's state into a new file `location`, which holds its memory.
  virtual Task<Status> checkpoint_container(Context ctx, std::string id, std::string location,
                                            int64_t timeout_seconds) = 0;

  virtual Task<Result<ExecResult>> exec_sync(Context ctx, std::string id,
                                             std::vector<std::string> command,
                                             int64_t timeout_seconds) = 0;
  struct StreamOptions {
    bool in = false, out = false, err = false, tty = false;
  };
  // Each answers the URL of the runtime's streaming server.
  virtual Task<Result<std::string>> exec_url(Context ctx, std::string id,
                                             std::vector<std::string> command,
                                             StreamOptions options) = 0;
  virtual Task<Result<std::string>> attach_url(Context ctx, std::string id,
                                               StreamOptions options) = 0;
  virtual Task<Result<std::string>> port_forward_url(Context ctx, std::string sandbox_id,
                                                     std::vector<int> ports) = 0;

  virtual Task<Result<std::vector<Image>>> list_images(Context ctx) = 0;
  // Empty when the image is not there.
  virtual Task<Result<std::optional<Image>>> image_status(Context ctx, std::string image) = 0;
  virtual Task<Result<std::string>> pull_image(Context ctx, std::string image,
                                               std::optional<ImageAuth> auth) = 0;
  virtual Task<Status> remove_image(Context ctx, std::string image) = 0;
  virtual Task<Result<ImageFilesystems>> image_fs_info(Context ctx) = 0;

  // Reports ids of containers and sandboxes that exited or ran out of memory, until the stream
  // breaks or ctx ends. Containerd's own event service:
  // containerd 1.6 does not serve CRI's GetContainerEvents.
  virtual Task<Status> watch_events(Context ctx, std::function<void(std::string id)> on_event) = 0;
};

// The runtime behind a socket, "unix:/run/containerd/containerd.sock".
std::unique_ptr<Runtime> make_cri_runtime(Loop& loop, std::string endpoint);

}  // namespace keles::node::cri
