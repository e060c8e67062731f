#include "node/pods/admission.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "base/encoding.h"
#include "node/pods/containers.h"
#include "scheduler/admission_check.h"

namespace keles::node {
namespace {

using api::core_v1::Container;
using api::core_v1::Pod;
using Namespace = SysctlAllowlist::Namespace;

struct SafeSysctl {
  const char* name;
  int major, minor;  // the kernel since which it is namespaced
};
constexpr SafeSysctl kSafe[] = {
    {"kernel.shm_rmid_forced", 0, 0},
    {"net.ipv4.ip_local_port_range", 0, 0},
    {"net.ipv4.tcp_syncookies", 0, 0},
    {"net.ipv4.ping_group_range", 0, 0},
    {"net.ipv4.ip_unprivileged_port_start", 0, 0},
    {"net.ipv4.ip_local_reserved_ports", 3, 16},
    {"net.ipv4.tcp_keepalive_time", 4, 5},
    {"net.ipv4.tcp_fin_timeout", 4, 6},
    {"net.ipv4.tcp_keepalive_intvl", 4, 5},
    {"net.ipv4.tcp_keepalive_probes", 4, 5},
    {"net.ipv4.tcp_rmem", 4, 15},
    {"net.ipv4.tcp_wmem", 4, 15},
};

constexpr std::string_view kIpcNames[] = {
    "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
    "kernel.shm", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.msg",
};

Namespace namespace_of(std::string_view name) {
  if (std::find(std::begin(kIpcNames), std::end(kIpcNames), name) != std::end(kIpcNames) ||
      name.starts_with("fs.mqueue."))
    return Namespace::kIpc;
  return name.starts_with("net.") ? Namespace::kNet : Namespace::kUnknown;
}

std::pair<int, int> kernel_version(std::string_view release) {
  int major = 0, minor = 0;
  const char* end = release.data() + release.size();
  auto r = std::from_chars(release.data(), end, major);
  if (r.ec == std::errc() && r.ptr != end && *r.ptr == '.') std::from_chars(r.ptr + 1, end, minor);
  return {major, minor};
}

Verdict refuse(std::string reason, std::string message) {
  return {false, std::move(reason), std::move(message), false};
}

Verdict check_sysctls(const Pod& pod, const SysctlAllowlist& allowed) {
  auto spec = pod.spec();
  for (auto s : spec.security_context().sysctls()) {
    std::string why = allowed.objection(s.name(), spec.host_network(), spec.host_ipc());
    if (!why.empty()) return refuse("SysctlForbidden", "forbidden sysctl: " + why);
  }
  return {};
}

Verdict check_os(const Pod& pod) {
  auto labels = pod.metadata().labels();
  if (labels.contains("kubernetes.io/os") && labels.get("kubernetes.io/os") != "linux")
    return refuse("PodOSSelectorNodeLabelDoesNotMatch",
                  "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
  if (pod.spec().has_os() && pod.spec().os().name() != "linux")
    return refuse("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS");
  return {};
}

Verdict check_fit(const AdmissionInput& in) {
  std::vector<scheduler::AdmissionFailure> failures =
      scheduler::admission_check(*in.info, *in.node);
  if (failures.empty()) return {};
  const scheduler::AdmissionFailure& first = failures.front();  // one reason is told
  if (!first.resource.empty())
    return refuse("OutOf" + first.resource, "Node didn't have enough resource: " + first.resource +
                                                ", requested: " + std::to_string(first.requested) +
                                                ", used: " + std::to_string(first.used) +
                                                ", capacity: " + std::to_string(first.capacity));
  Verdict v = refuse(first.plugin, "Predicate " + first.plugin + " failed: " + first.reason);
  v.affinity_only = std::all_of(failures.begin(), failures.end(),
                                [](const auto& f) { return f.plugin == "NodeAffinity"; });
  return v;
}

bool confined(std::string_view type) { return !type.empty() && type != "Unconfined"; }

bool wants_apparmor(const Pod& pod) {
  if (confined(pod.spec().security_context().app_armor_profile().type())) return true;
  bool asked = false;
  for_each_container(pod, [&](const Container& c, Role) {
    asked = asked || confined(c.security_context().app_armor_profile().type());
  });
  if (asked) return true;
  for (auto a : pod.metadata().annotations())
    if (a.key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
      return a.value != "unconfined";
  return false;
}

}  // namespace

std::string SysctlAllowlist::normalize(std::string_view name) {
  std::string out(name);
  size_t first = out.find_first_of("./");
  if (first == std::string::npos || out[first] == '.') return out;
  // With slashes first, dots belong to names (of interfaces) and change places with them.
  for (char& c : out) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return out;
}

SysctlAllowlist SysctlAllowlist::safe(std::string_view kernel_release) {
  SysctlAllowlist out;
  auto have = kernel_version(kernel_release);
  for (const SafeSysctl& s : kSafe)
    if (have >= std::make_pair(s.major, s.minor)) out.names_[s.name] = namespace_of(s.name);
  return out;
}

Status SysctlAllowlist::allow(std::string_view pattern) {
  std::string name = normalize(pattern);
  size_t star = name.find('*');
  bool prefix = star != std::string::npos;
  bool form =
      !name.empty() && name.size() <= 253 && (!prefix || star + 1 == name.size()) &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/*") == std::string::npos;
  if (!form) return Status::bad_request("sysctl " + quoted(pattern) + " is not a valid pattern");
  if (prefix) name.resize(star);
  Namespace ns = namespace_of(name);
  if (ns == Namespace::kUnknown)
    return Status::bad_request("the sysctls " + quoted(name) + " are not known to be namespaced");
  (prefix ? prefixes_ : names_)[name] = ns;
  return {};
}

std::string SysctlAllowlist::objection(std::string_view asked, bool host_network,
                                       bool host_ipc) const {
  std::string name = normalize(asked);
  const Namespace* ns = nullptr;
  if (auto it = names_.find(name); it != names_.end()) ns = &it->second;
  for (const auto& [prefix, of] : prefixes_)
    if (!ns && name.starts_with(prefix)) ns = &of;
  if (!ns) return quoted(name) + " not allowlisted";
  if (*ns == Namespace::kIpc && host_ipc)
    return quoted(name) + " not allowed with host IPC enabled";
  if (*ns == Namespace::kNet && host_network)
    return quoted(name) + " not allowed with host Net enabled";
  return "";
}

Verdict admit(const AdmissionInput& in) {
  if (std::string why = pressure_objection(*in.pod, in.pressures); !why.empty())
    return refuse("Evicted", why);
  Verdict v = check_sysctls(*in.pod, *in.sysctls);
  if (v.admit) v = check_os(*in.pod);
  if (!v.admit) return v;
  bool strict = in.pod->spec().security_context().supplemental_groups_policy() == "Strict";
  if (strict && !in.strict_groups)
    return refuse("SupplementalGroupsPolicyNotSupported",
                  "SupplementalGroupsPolicy=Strict is not supported in this node");
  v = check_fit(in);
  if (!v.admit) return v;
  if (in.shutting_down)
    return refuse("NodeShutdown", "Pod was rejected as the node is shutting down.");
  if (!in.apparmor && wants_apparmor(*in.pod))
    return refuse("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host");
  return {};
}

}  // namespace keles::node
