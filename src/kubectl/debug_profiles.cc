#include <algorithm>
#include <iterator>

#include "kubectl/debug.h"
#include "kubectl/errors.h"
#include "kubectl/write.h"

namespace keles::kubectl {
namespace {

Value& security_of(Document& pod, std::string_view container) {
  return find_container(pod.root, container)->get_or_add(pod.arena, "securityContext");
}

Value& map_in(Document& d, Value& parent, std::string_view key) {
  Value& v = parent.get_or_add(d.arena, key);
  if (!v.is_map()) v = Value::map();
  return v;
}

void set_security(Document& pod, std::string_view container, std::string_view field, Value value) {
  Value& security = security_of(pod, container);
  if (!security.is_map()) security = Value::map();
  security.set(pod.arena, field, value);
}

void add_capability(Document& pod, std::string_view container, std::string_view capability) {
  Value& security = map_in(pod, *find_container(pod.root, container), "securityContext");
  Value& capabilities = map_in(pod, security, "capabilities");
  Value& add = capabilities.get_or_add(pod.arena, "add");
  if (!add.is_list()) add = Value::list();
  add.append(pod.arena, text(pod, capability));
}

void restrict_container(Document& pod, std::string_view container) {
  set_security(pod, container, "runAsNonRoot", Value(true));
  Value capabilities = Value::map();
  Value& drop = capabilities.set(pod.arena, "drop", Value::list());
  drop.append(pod.arena, Value::string("ALL"));
  set_security(pod, container, "capabilities", capabilities);
  set_security(pod, container, "allowPrivilegeEscalation", Value(false));
  Value seccomp = Value::map();
  seccomp.set(pod.arena, "type", Value::string("RuntimeDefault"));
  set_security(pod, container, "seccompProfile", seccomp);
}

void mount_root(Document& pod, std::string_view container) {
  Value& volumes = at(pod, "spec.volumes");
  if (!volumes.is_list()) volumes = Value::list();
  Value& volume = volumes.append(pod.arena, Value::map());
  volume.set(pod.arena, "name", Value::string("host-root"));
  Value& source = volume.set(pod.arena, "hostPath", Value::map());
  source.set(pod.arena, "path", Value::string("/"));
  Value& mounts = find_container(pod.root, container)->get_or_add(pod.arena, "volumeMounts");
  if (!mounts.is_list()) mounts = Value::list();
  Value& mount = mounts.append(pod.arena, Value::map());
  mount.set(pod.arena, "name", Value::string("host-root"));
  mount.set(pod.arena, "mountPath", Value::string("/host"));
}

void use_host_namespaces(Document& pod) {
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"}) {
    at(pod, "spec").set(pod.arena, field, Value(true));
  }
}

void leave_out(Document& pod, const KeepFlags& keep) {
  Value& metadata = at(pod, "metadata");
  if (!keep.labels) metadata.erase("labels");
  if (!keep.annotations) metadata.erase("annotations");
  for (Value& c : at(pod, "spec.containers").items()) {
    if (!keep.liveness) c.erase("livenessProbe");
    if (!keep.readiness) c.erase("readinessProbe");
    if (!keep.startup) c.erase("startupProbe");
  }
  if (!keep.init_containers) at(pod, "spec").erase("initContainers");
}

void share_processes(Document& pod) {
  Value& spec = at(pod, "spec");
  if (spec["shareProcessNamespace"].is_null()) {
    spec.set(pod.arena, "shareProcessNamespace", Value(true));
  }
}

}  // namespace

Value* find_container(Value& pod, std::string_view name) {
  Value* spec = pod.find("spec");
  if (!spec) return nullptr;
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    Value* containers = spec->find(list);
    if (!containers) continue;
    for (Value& c : containers->items()) {
      if (c["name"].as_string() == name) return &c;
    }
  }
  return nullptr;
}

Status check_profile(std::string_view profile) {
  static constexpr std::string_view kProfiles[] = {"legacy",     "general",  "baseline",
                                                   "restricted", "netadmin", "sysadmin"};
  if (std::find(std::begin(kProfiles), std::end(kProfiles), profile) != std::end(kProfiles)) {
    return Status();
  }
  return failure("unknown profile: " + std::string(profile));
}

void apply_profile(std::string_view profile, DebugStyle style, const KeepFlags& keep, Document& pod,
                   std::string_view container) {
  const bool node = style == DebugStyle::kNode, copy = style == DebugStyle::kPodCopy;
  if (profile == "legacy") {
    if (copy) at(pod, "metadata").erase("labels");
    if (node) mount_root(pod, container);
    if (node) use_host_namespaces(pod);
    return;
  }
  if (copy) {
    leave_out(pod, keep);
    share_processes(pod);
  }
  // A copy without its init containers may have lost the one that was meant.
  if (!find_container(pod.root, container)) return;
  if (profile == "general") {
    if (!node) return add_capability(pod, container, "SYS_PTRACE");
    find_container(pod.root, container)->erase("securityContext");
    mount_root(pod, container);
    use_host_namespaces(pod);
    return;
  }
  if (profile == "baseline" || profile == "restricted") {
    find_container(pod.root, container)->erase("securityContext");
    if (profile == "restricted") restrict_container(pod, container);
    return;
  }
  if (profile == "netadmin") {
    add_capability(pod, container, "NET_ADMIN");
    add_capability(pod, container, "NET_RAW");
  } else {
    set_security(pod, container, "privileged", Value(true));
    if (node) mount_root(pod, container);
  }
  if (node) use_host_namespaces(pod);
}

}  // namespace keles::kubectl
