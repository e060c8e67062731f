// The containers of a pod, of all three kinds: names, images, ports, mounts, devices. See
// pod_validation.h.
#include <algorithm>
#include <map>
#include <set>

#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

// --- ports --------------------------------------------------------------------------------------

void check_ports(FieldErrors& e, const FieldPath& p, const List<core::ContainerPort>& ports) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (core::ContainerPort port : ports) {
    const FieldPath at = p[i++];
    if (std::string_view name = port.name(); !name.empty()) {
      auto bad = check_port_name(name);
      if (!bad.empty()) {
        field::invalid_each(e, at["name"], name, std::move(bad));
      } else if (!names.insert(name).second) {
        field::duplicate(e, at["name"], name);
      }
    }
    if (port.container_port() == 0) {
      field::required(e, at["containerPort"]);
    } else {
      for (auto& m : check_port_number(port.container_port())) {
        field::invalid(e, at["containerPort"], port.container_port(), m);
      }
    }
    if (port.host_port() != 0) {
      for (auto& m : check_port_number(port.host_port())) {
        field::invalid(e, at["hostPort"], port.host_port(), m);
      }
    }
    described(e, at, port, "protocol");
  }
}

void check_host_ports(FieldErrors& e, const FieldPath& p, const core::Container& c,
                      std::set<std::string>& taken) {
  size_t i = 0;
  for (core::ContainerPort port : c.ports()) {
    const FieldPath at = p["ports"][i++];
    if (port.host_port() == 0) continue;
    std::string key = std::string(port.protocol()) + "/" + std::string(port.host_ip()) + "/" +
                      std::to_string(port.host_port());
    if (!taken.insert(key).second) field::duplicate(e, at["hostPort"], key);
  }
}

// --- mounts and devices -------------------------------------------------------------------------

void check_propagation(FieldErrors& e, const FieldPath& p, std::string_view mode,
                       const core::Container& c) {
  check_known(e, p, mode, {"Bidirectional", "HostToContainer", "None"});
  if (mode == "Bidirectional" && !c.security_context().privileged()) {
    field::forbidden(e, p,
                     "Bidirectional mount propagation is available only to privileged containers");
  }
}

void check_recursive(FieldErrors& e, const FieldPath& p, const core::VolumeMount& m) {
  if (!m.has_recursive_read_only()) return;
  const std::string_view mode = m.recursive_read_only();
  if (mode == "Enabled" || mode == "IfPossible") {
    if (!m.read_only()) field::forbidden(e, p, "may only be specified when readOnly is true");
    if (m.has_mount_propagation() && m.mount_propagation() != "None") {
      field::forbidden(e, p,
                       "may only be specified when mountPropagation is None or not specified");
    }
  } else {
    check_known(e, p, mode, {"Disabled", "Enabled", "IfPossible"});
  }
}

template <class Items, class Match>
bool any(const Items& items, const Match& match) {
  for (auto x : items) {
    if (match(x)) return true;
  }
  return false;
}

// Paths below name the list where upstream does.
void check_mounts(FieldErrors& e, const FieldPath& p, const core::Container& c,
                  const NamedVolumes& volumes) {
  std::set<std::string_view> paths;
  size_t i = 0;
  for (core::VolumeMount m : c.volume_mounts()) {
    const FieldPath at = p[i++];
    if (m.name().empty()) field::required(e, at["name"]);
    if (!volumes.find(m.name())) field::not_found(e, at["name"], m.name());
    if (m.mount_path().empty()) field::required(e, at["mountPath"]);
    if (!paths.insert(m.mount_path()).second) {
      field::invalid(e, at["mountPath"], m.mount_path(), "must be unique");
    }
    if (any(c.volume_devices(), [&](auto d) { return d.name() == m.name(); })) {
      field::invalid(e, at["name"], m.name(), "must not already exist in volumeDevices");
    }
    if (any(c.volume_devices(), [&](auto d) { return d.device_path() == m.mount_path(); })) {
      field::invalid(e, at["mountPath"], m.mount_path(),
                     "must not already exist as a path in volumeDevices");
    }
    if (!m.sub_path().empty()) descending_path(e, p["subPath"], m.sub_path());
    if (!m.sub_path_expr().empty()) {
      if (!m.sub_path().empty()) {
        field::invalid(e, at["subPathExpr"], m.sub_path_expr(),
                       "subPathExpr and subPath are mutually exclusive");
      }
      descending_path(e, p["subPathExpr"], m.sub_path_expr());
    }
    if (m.has_mount_propagation()) {
      check_propagation(e, p["mountPropagation"], m.mount_propagation(), c);
    }
    check_recursive(e, p["recursiveReadOnly"], m);
  }
}

bool has_backsteps(std::string_view path) {
  return ("/" + std::string(path) + "/").find("/../") != std::string::npos;
}

void check_devices(FieldErrors& e, const FieldPath& p, const core::Container& c,
                   const NamedVolumes& volumes) {
  std::set<std::string_view> names, paths;
  size_t i = 0;
  for (core::VolumeDevice d : c.volume_devices()) {
    const FieldPath at = p[i++];
    const std::string_view name = d.name(), path = d.device_path();
    const Value* volume = volumes.find(name);
    if (name.empty()) field::required(e, at["name"]);
    if (names.count(name) != 0) field::invalid(e, at["name"], name, "must be unique");
    if (volume && (*volume)["persistentVolumeClaim"].is_null() &&
        (*volume)["ephemeral"].is_null()) {
      field::invalid(e, at["name"], name,
                     "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                     "block mode");
    }
    if (!volume) field::not_found(e, at["name"], name);
    if (path.empty()) field::required(e, at["devicePath"]);
    if (paths.count(path) != 0) field::invalid(e, at["devicePath"], path, "must be unique");
    if (has_backsteps(path)) {
      field::invalid(e, at["devicePath"], path, "can not contain backsteps ('..')");
    } else {
      paths.insert(path);
    }
    if (any(c.volume_mounts(), [&](auto m) { return m.name() == name; })) {
      field::invalid(e, at["name"], name, "must not already exist in volumeMounts");
    }
    if (any(c.volume_mounts(), [&](auto m) { return m.mount_path() == path; })) {
      field::invalid(e, at["devicePath"], path, "must not already exist as a path in volumeMounts");
    }
    if (!name.empty()) names.insert(name);
  }
}

// --- what all containers share ------------------------------------------------------------------

void check_resize_policy(FieldErrors& e, const FieldPath& p, const core::Container& c,
                         std::string_view pod_restarts) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (core::ContainerResizePolicy policy : c.resize_policy()) {
    const std::string_view name = policy.resource_name(), what = policy.restart_policy();
    if (!names.insert(name).second) field::duplicate(e, p[i], name);
    ++i;
    check_word(e, p, name, {"cpu", "memory"});
    check_word(e, p, what, {"NotRequired", "RestartContainer"});
    if (pod_restarts == "Never" && what != "NotRequired") {
      field::invalid(e, p, what, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
    }
  }
}

void check_container(FieldErrors& e, const FieldPath& p, const core::Container& c,
                     const PodContext& pod, const PodOptions& options) {
  described(e, p, c, "name");
  if (c.image().empty()) field::required(e, p["image"]);
  check_word(e, p["terminationMessagePolicy"], c.termination_message_policy(),
             {"File", "FallbackToLogsOnError"});
  check_ports(e, p["ports"], c.ports());
  validate_env(e, p["env"], c.env());
  validate_env_from(e, p["envFrom"], c.env_from());
  check_mounts(e, p["volumeMounts"], c, pod.volumes);
  check_devices(e, p["volumeDevices"], c, pod.volumes);
  validate_pull_policy(e, p["imagePullPolicy"], c.image_pull_policy());
  validate_container_resources(e, p["resources"], c.resources(), &pod.claims, options);
  check_resize_policy(e, p["resizePolicy"], c, pod.spec.restart_policy());
  validate_security_context(e, p["securityContext"], c.security_context(), pod.host_users);
}

void check_init_restarts(FieldErrors& e, const FieldPath& p, const core::Container& c) {
  if (!c.has_restart_policy()) {
    if (!c.restart_policy_rules().empty()) {
      field::required(e, p["restartPolicy"],
                      "must specify restartPolicy when restart rules are used");
    }
    return;
  }
  validate_restart_rules(e, p, c);
}

bool is_sidecar(const core::Container& c) { return c.restart_policy() == "Always"; }

constexpr std::string_view kNotEphemeral = "cannot be set for an Ephemeral Container";

bool is_set(const Value& v) {
  return v.is_string() ? !v.as_string().empty() : v.is_map() || !v.empty() || v.as_bool();
}

// Fields that only containers of a pod's own have, in the order of the type.
void check_ephemeral_fields(FieldErrors& e, const FieldPath& p, const Value& c) {
  for (std::string_view f :
       {"ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules",
        "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}) {
    const Value& v = c[f];
    if (is_set(v) && !(f == "resources" && v.empty())) {
      field::forbidden(e, p[f], std::string(kNotEphemeral));
    }
  }
  size_t i = 0;
  for (const Value& m : c["volumeMounts"].items()) {
    const FieldPath at = p["volumeMounts"][i++];
    for (std::string_view f : {"subPath", "subPathExpr"}) {
      if (!m[f].as_string().empty()) field::forbidden(e, at[f], std::string(kNotEphemeral));
    }
  }
}

}  // namespace

void validate_pull_policy(FieldErrors& e, const FieldPath& p, std::string_view policy) {
  check_word(e, p, policy, {"Always", "IfNotPresent", "Never"});
}

void validate_containers(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                         const PodOptions& options) {
  if (pod.spec.containers().empty()) return field::required(e, p);
  std::set<std::string_view> names;
  size_t i = 0;
  for (core::Container c : pod.spec.containers()) {
    const FieldPath at = p[i++];
    check_container(e, at, c, pod, options);
    if (!names.insert(c.name()).second) field::duplicate(e, at["name"], c.name());
    if (c.has_lifecycle()) validate_lifecycle(e, at["lifecycle"], c.lifecycle(), pod.spec);
    validate_probes(e, at, c, pod.spec);
    validate_restart_rules(e, at, c);
  }
  std::set<std::string> host_ports;
  i = 0;
  for (core::Container c : pod.spec.containers()) check_host_ports(e, p[i++], c, host_ports);
}

void validate_init_containers(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                              const PodOptions& options) {
  std::set<std::string_view> names;
  for (core::Container c : pod.spec.containers()) names.insert(c.name());
  size_t i = 0;
  for (core::Container c : pod.spec.init_containers()) {
    const FieldPath at = p[i++];
    check_container(e, at, c, pod, options);
    check_init_restarts(e, at, c);
    if (names.count(c.name()) != 0) {
      field::duplicate(e, at["name"], c.name());
    } else if (!c.name().empty()) {
      names.insert(c.name());
    }
    std::set<std::string> host_ports;
    check_host_ports(e, p[0], c, host_ports);  // each of its own: upstream names the first
    if (is_sidecar(c)) {
      if (c.has_lifecycle()) validate_lifecycle(e, at["lifecycle"], c.lifecycle(), pod.spec);
      validate_probes(e, at, c, pod.spec);
      continue;
    }
    for (std::string_view f : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
      if (c.value()[f].is_null()) continue;
      field::forbidden(e, at[f], "may not be set for init containers without restartPolicy=Always");
    }
    if (options.init_restarts_on_resize) continue;
    size_t j = 0;
    for (core::ContainerResizePolicy policy : c.resize_policy()) {
      const FieldPath what = at["resizePolicy"][j++]["restartPolicy"];
      if (policy.restart_policy() != "RestartContainer") continue;
      field::invalid(e, what, policy.restart_policy(),
                     "must not be set to 'RestartContainer' for non-sidecar initContainers");
    }
  }
}

void validate_ephemeral_containers(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                                   const PodOptions& options) {
  std::set<std::string_view> others;
  for (core::Container c : pod.spec.containers()) others.insert(c.name());
  for (core::Container c : pod.spec.init_containers()) others.insert(c.name());
  std::set<std::string_view> names = others;
  size_t i = 0;
  for (core::EphemeralContainer ephemeral : pod.spec.ephemeral_containers()) {
    const FieldPath at = p[i++];
    const core::Container c(ephemeral.value());
    check_container(e, at, c, pod, options);
    validate_image_space(e, at["image"], c.image());
    if (!names.insert(c.name()).second) field::duplicate(e, at["name"], c.name());
    const std::string_view target = ephemeral.target_container_name();
    if (!target.empty() && others.count(target) == 0) {
      field::not_found(e, at["targetContainerName"], target);
    }
    check_ephemeral_fields(e, at, c.value());
  }
}

void validate_image_space(FieldErrors& e, const FieldPath& p, std::string_view image) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  if (image.empty() ||
      (kSpace.find(image.front()) == kSpace.npos && kSpace.find(image.back()) == kSpace.npos)) {
    return;
  }
  field::invalid(e, p, image, "must not have leading or trailing whitespace");
}

}  // namespace keles::registry
