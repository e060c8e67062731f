// Whether this node takes a pod that was bound to it. The scheduler's judgment may be old, or
// somebody bound the pod by hand: the node asks again what it can judge alone. Pure; reasons and
// messages are upstream's (kubelet's admit handlers, in their order).
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/status.h"
#include "node/eviction/plan.h"
#include "scheduler/types.h"

namespace keles::node {

struct Verdict {
  bool admit = true;
  std::string reason, message;
  // Only the node's labels speak against it: to be judged again by the API's newest Node.
  bool affinity_only = false;
};

// Sysctls that a pod may set: those that are safe (namespaced and without effect on others), and
// what the administrator allows besides (--allowed-unsafe-sysctls).
class SysctlAllowlist {
 public:
  enum class Namespace : uint8_t { kUnknown, kIpc, kNet };
  // The safe ones that a kernel of this release ("6.1.0-13-amd64") has.
  static SysctlAllowlist safe(std::string_view kernel_release);
  // A name, or a prefix that ends in "*"; it must be known to be namespaced.
  Status allow(std::string_view pattern);
  // "" when the pod may set it, or what is against it.
  std::string objection(std::string_view name, bool host_network, bool host_ipc) const;
  // "net/ipv4/tcp_rmem" -> "net.ipv4.tcp_rmem".
  static std::string normalize(std::string_view name);

 private:
  std::map<std::string, Namespace, std::less<>> names_, prefixes_;
};

struct AdmissionInput {
  const api::core_v1::Pod* pod = nullptr;
  scheduler::PodPtr info;                     // the same pod, extracted
  const scheduler::NodeInfo* node = nullptr;  // with the pods that it has taken
  const SysctlAllowlist* sysctls = nullptr;
  bool apparmor = false;         // the kernel enforces profiles
  bool strict_groups = false;    // the runtime knows supplementalGroupsPolicy
  bool shutting_down = false;    // the machine goes down
  std::set<Pressure> pressures;  // what the node is short of
};
Verdict admit(const AdmissionInput& in);

}  // namespace keles::node
