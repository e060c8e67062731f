// What a server or an agent leaves on a machine, found, told, and removed (upstream: `kubeadm
// reset`). Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace keles::machines {

// By which names the parts of a node make what they make.
struct NodeTraces {
  NodeTraces() = default;
  std::vector<std::string> roots;        // directories: unmounted below, and removed
  std::vector<std::string> files;        // removed
  std::vector<std::string> links;        // of the network
  std::vector<std::string> tables;       // "ip keles-proxy": family and name
  std::vector<std::string> cgroups;      // relative to the hierarchies' roots: "kubepods"
  std::string results;                   // where the CNI library keeps attachments; "": nowhere
  std::string network;                   // those of this one are removed
  uint8_t route_protocol = 0;            // of the routes; 0: none
  std::string runtime_address;           // of a runtime of its own, whose shims outlive it
  std::string netns_dir = "/run/netns";  // "cni-*" in it; "": not looked at
};

struct ResetStep {
  ResetStep(std::string what, std::function<Status()> carry_out)
      : what(std::move(what)), carry_out(std::move(carry_out)) {}
  std::string what;  // "unmount /var/lib/kubelet/pods/..."
  std::function<Status()> carry_out;
};

// In the order in which they are to be carried out; none when nothing is left. Each may be carried
// out again.
std::vector<ResetStep> plan_reset(const NodeTraces& traces);

// The mount points at or below one of `roots`, the deepest first (of /proc/self/mountinfo).
std::vector<std::string> mounts_below(const std::string& mountinfo,
                                      const std::vector<std::string>& roots);

struct RunningPart {
  int pid = 0;
  std::string what;  // "keles agent"
};
// Servers, agents and kubelets of this program, which would make all of it again. `proc`: "/proc".
std::vector<RunningPart> running_parts(const std::string& proc = "/proc");
// The shims of a runtime at that address (containerd-shim-runc-v2 -address ...).
std::vector<int> shims_of(const std::string& address, const std::string& proc = "/proc");

}  // namespace keles::machines
