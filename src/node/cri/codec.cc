// CRI messages to and from plain structs, by the names that the CRI gives its fields.
#include "node/cri/codec.h"

#include <algorithm>
#include <array>

#include "base/encoding.h"

namespace keles::node::cri {
namespace {

// Texts of the CRI's enums, in the order of ours. An absent one is the first; what nobody knows is
// the last.
template <class Enum, size_t kSize>
std::string_view text_of(const std::array<std::string_view, kSize>& texts, Enum value) {
  return texts[std::min<size_t>(static_cast<size_t>(value), kSize - 1)];
}
template <class Enum, size_t kSize>
Enum value_of(const std::array<std::string_view, kSize>& texts, std::string_view text) {
  if (text.empty()) return Enum{};
  const auto at = std::find(texts.begin(), texts.end() - 1, text);
  return static_cast<Enum>(at - texts.begin());
}

constexpr std::array kModes{v1::kNamespaceMode_POD, v1::kNamespaceMode_CONTAINER,
                            v1::kNamespaceMode_NODE, v1::kNamespaceMode_TARGET};
constexpr std::array kPropagations{v1::kMountPropagation_PROPAGATION_PRIVATE,
                                   v1::kMountPropagation_PROPAGATION_HOST_TO_CONTAINER,
                                   v1::kMountPropagation_PROPAGATION_BIDIRECTIONAL};
constexpr std::array kProfiles{v1::kProfileType_RuntimeDefault, v1::kProfileType_Unconfined,
                               v1::kProfileType_Localhost};
constexpr std::array kProtocols{v1::kProtocol_TCP, v1::kProtocol_UDP, v1::kProtocol_SCTP};
constexpr std::array kSandboxStates{v1::kPodSandboxState_SANDBOX_READY,
                                    v1::kPodSandboxState_SANDBOX_NOTREADY};
constexpr std::array kContainerStates{
    v1::kContainerState_CONTAINER_CREATED, v1::kContainerState_CONTAINER_RUNNING,
    v1::kContainerState_CONTAINER_EXITED, v1::kContainerState_CONTAINER_UNKNOWN};

template <class Texts>
void add_all(const ListEdit<std::string_view>& out, const Texts& texts) {
  for (std::string_view s : texts) out.add(s);
}
void add_all(const ListEdit<int64_t>& out, const std::vector<int64_t>& numbers) {
  for (int64_t n : numbers) out.add(n);
}
void add_all(const MapEdit& out, const StringMap& map) {
  for (const auto& [key, value] : map) out.set(key, value);
}
template <class List>
void add_all(const List& out, const std::vector<IdMapping>& ids) {
  for (const IdMapping& id : ids) {
    auto one = out.add();
    one.set_host_id(id.host_id);
    one.set_container_id(id.container_id);
    one.set_length(id.length);
  }
}
std::vector<std::string> strings(const List<std::string_view>& in) {
  std::vector<std::string> out;
  for (std::string_view s : in) out.emplace_back(s);
  return out;
}
StringMap strings(const Map<std::string_view>& in) {
  StringMap out;
  for (const auto& [key, value] : in) out.emplace(key, value);
  return out;
}

void fill(v1::NamespaceOptionEdit out, const NamespaceOptions& n) {
  auto users = out.edit_userns_options();
  users.set_mode(text_of(kModes, n.user_ids.empty() ? NamespaceMode::kNode : NamespaceMode::kPod));
  add_all(users.edit_uids(), n.user_ids);
  add_all(users.edit_gids(), n.user_ids);
  out.set_network(text_of(kModes, n.network));
  out.set_pid(text_of(kModes, n.pid));
  out.set_ipc(text_of(kModes, n.ipc));
  out.set_target_id(n.target_id);
}

void fill(v1::SecurityProfileEdit out, Seccomp type, const std::string& localhost) {
  out.set_profile_type(text_of(kProfiles, type));
  out.set_localhost_ref(localhost);
}

void fill(v1::SELinuxOptionEdit out, const SeLinux& s) {
  out.set_user(s.user);
  out.set_role(s.role);
  out.set_type(s.type);
  out.set_level(s.level);
}

std::string_view groups_policy(bool strict) {
  return strict ? v1::kSupplementalGroupsPolicy_Strict : v1::kSupplementalGroupsPolicy_Merge;
}

// The form that runtimes of before CRI's SecurityProfile read.
std::string old_apparmor(Seccomp type, const std::string& localhost) {
  if (type == Seccomp::kLocalhost) return "localhost/" + localhost;
  return type == Seccomp::kRuntimeDefault ? "runtime/default" : "unconfined";
}

void fill(v1::LinuxPodSandboxConfigEdit out, const SandboxConfig& c) {
  out.set_cgroup_parent(c.cgroup_parent);
  add_all(out.edit_sysctls(), c.sysctls);
  auto security = out.edit_security_context();
  fill(security.edit_namespace_options(), c.namespaces);
  if (c.selinux) fill(security.edit_selinux_options(), *c.selinux);
  if (c.run_as_user) security.edit_run_as_user().set_value(*c.run_as_user);
  if (c.run_as_group) security.edit_run_as_group().set_value(*c.run_as_group);
  add_all(security.edit_supplemental_groups(), c.supplemental_groups);
  security.set_privileged(c.privileged);
  fill(security.edit_seccomp(), Seccomp::kRuntimeDefault, "");
  security.set_supplemental_groups_policy(groups_policy(c.strict_groups));
}

constexpr std::string_view kMaskedPaths[] = {"/proc/asound",
                                             "/proc/acpi",
                                             "/proc/kcore",
                                             "/proc/keys",
                                             "/proc/latency_stats",
                                             "/proc/timer_list",
                                             "/proc/timer_stats",
                                             "/proc/sched_debug",
                                             "/proc/scsi",
                                             "/sys/firmware",
                                             "/sys/devices/virtual/powercap"};
constexpr std::string_view kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger"};

void fill(v1::LinuxContainerSecurityContextEdit out, const ContainerConfig& c) {
  auto capabilities = out.edit_capabilities();
  add_all(capabilities.edit_add_capabilities(), c.add_capabilities);
  add_all(capabilities.edit_drop_capabilities(), c.drop_capabilities);
  out.set_privileged(c.privileged);
  fill(out.edit_namespace_options(), c.namespaces);
  if (c.selinux) fill(out.edit_selinux_options(), *c.selinux);
  if (c.run_as_user) out.edit_run_as_user().set_value(*c.run_as_user);
  if (c.run_as_group) out.edit_run_as_group().set_value(*c.run_as_group);
  out.set_run_as_username(c.run_as_username);
  out.set_readonly_rootfs(c.readonly_rootfs);
  add_all(out.edit_supplemental_groups(), c.supplemental_groups);
  out.set_supplemental_groups_policy(groups_policy(c.strict_groups));
  out.set_no_new_privs(c.no_new_privs);
  if (c.default_masks && !c.privileged) {
    add_all(out.edit_masked_paths(), kMaskedPaths);
    add_all(out.edit_readonly_paths(), kReadonlyPaths);
  }
  fill(out.edit_seccomp(), c.seccomp, c.seccomp_localhost);
  if (!c.apparmor) return;
  fill(out.edit_apparmor(), *c.apparmor, c.apparmor_localhost);
  out.set_apparmor_profile(old_apparmor(*c.apparmor, c.apparmor_localhost));
}

}  // namespace

void fill(v1::LinuxContainerResourcesEdit out, const Resources& r) {
  out.set_cpu_period(r.cpu_period_us);
  out.set_cpu_quota(r.cpu_quota_us);
  out.set_cpu_shares(r.cpu_shares);
  out.set_memory_limit_in_bytes(r.memory_limit_bytes);
  out.set_oom_score_adj(r.oom_score_adj);
  out.set_cpuset_cpus(r.cpuset_cpus);
  out.set_cpuset_mems(r.cpuset_mems);
  out.set_memory_swap_limit_in_bytes(r.memory_swap_limit_bytes);
  add_all(out.edit_unified(), r.unified);
  if (r.huge_pages.empty()) return;
  auto pages = out.edit_hugepage_limits();
  for (const auto& [unit, bytes] : r.huge_pages) {
    auto one = pages.add();
    one.set_page_size(unit);
    one.set_limit(bytes);
  }
}

void fill(v1::PodSandboxConfigEdit out, const SandboxConfig& c) {
  auto metadata = out.edit_metadata();
  metadata.set_name(c.name);
  metadata.set_uid(c.uid);
  metadata.set_namespace_(c.ns);
  metadata.set_attempt(c.attempt);
  out.set_hostname(c.hostname);
  out.set_log_directory(c.log_directory);
  auto dns = out.edit_dns_config();
  add_all(dns.edit_servers(), c.dns_servers);
  add_all(dns.edit_searches(), c.dns_searches);
  add_all(dns.edit_options(), c.dns_options);
  auto ports = out.edit_port_mappings();
  for (const PortMapping& p : c.ports) {
    auto port = ports.add();
    port.set_protocol(text_of(kProtocols, p.protocol));
    port.set_container_port(p.container_port);
    port.set_host_port(p.host_port);
    port.set_host_ip(p.host_ip);
  }
  add_all(out.edit_labels(), c.labels);
  add_all(out.edit_annotations(), c.annotations);
  fill(out.edit_linux(), c);
}

void fill(v1::ContainerConfigEdit out, const ContainerConfig& c) {
  auto metadata = out.edit_metadata();
  metadata.set_name(c.name);
  metadata.set_attempt(c.attempt);
  auto image = out.edit_image();
  image.set_image(c.image);
  image.set_user_specified_image(c.user_image);
  add_all(out.edit_command(), c.command);
  add_all(out.edit_args(), c.args);
  out.set_working_dir(c.working_dir);
  auto env = out.edit_envs();
  for (const auto& [name, value] : c.env) {
    auto one = env.add();
    one.set_key(name);
    one.set_value(base64_encode(value));  // as trees hold bytes
  }
  for (const Device& d : c.devices) {
    auto device = out.edit_devices().add();
    device.set_container_path(d.container_path);
    device.set_host_path(d.host_path);
    device.set_permissions(d.permissions);
  }
  for (const std::string& name : c.cdi_devices) out.edit_cdi_devices().add().set_name(name);
  auto mounts = out.edit_mounts();
  for (const Mount& m : c.mounts) {
    auto mount = mounts.add();
    mount.set_container_path(m.container_path);
    mount.set_host_path(m.host_path);
    mount.set_readonly(m.readonly);
    mount.set_propagation(text_of(kPropagations, m.propagation));
    mount.set_recursive_read_only(m.recursive_readonly);
    add_all(mount.edit_uid_mappings(), c.namespaces.user_ids);
    add_all(mount.edit_gid_mappings(), c.namespaces.user_ids);
    if (m.image.empty()) continue;
    mount.edit_image().set_image(m.image);
    mount.edit_image().set_user_specified_image(m.user_image);
    mount.set_image_sub_path(m.image_sub_path);
  }
  add_all(out.edit_labels(), c.labels);
  add_all(out.edit_annotations(), c.annotations);
  out.set_log_path(c.log_path);
  out.set_stdin(c.stdin_open);
  out.set_stdin_once(c.stdin_once);
  out.set_tty(c.tty);
  if (!c.stop_signal.empty()) out.set_stop_signal(c.stop_signal);
  auto linux_part = out.edit_linux();
  fill(linux_part.edit_resources(), c.resources);
  fill(linux_part.edit_security_context(), c);
}

namespace {

// What PodSandbox and PodSandboxStatus, Container and ContainerStatus have in common.
template <class Message>
Sandbox sandbox_of(const Message& in) {
  Sandbox s;
  s.id = in.id();
  s.name = in.metadata().name();
  s.uid = in.metadata().uid();
  s.ns = in.metadata().namespace_();
  s.attempt = static_cast<uint32_t>(in.metadata().attempt());
  s.state = value_of<SandboxState>(kSandboxStates, in.state());
  s.created_at_ns = in.created_at();
  s.labels = strings(in.labels());
  s.annotations = strings(in.annotations());
  return s;
}

template <class Message>
Container container_of(const Message& in) {
  Container c;
  c.id = in.id();
  c.name = in.metadata().name();
  c.attempt = static_cast<uint32_t>(in.metadata().attempt());
  c.image = in.image().image();
  c.image_ref = in.image_ref();
  c.image_id = in.image_id();
  c.state = value_of<ContainerState>(kContainerStates, in.state());
  c.created_at_ns = in.created_at();
  c.labels = strings(in.labels());
  c.annotations = strings(in.annotations());
  return c;
}

uint64_t number(const v1::UInt64Value& v) { return static_cast<uint64_t>(v.value()); }

}  // namespace

Sandbox read(const v1::PodSandbox& in) { return sandbox_of(in); }

Sandbox read(const v1::PodSandboxStatus& in) {
  Sandbox s = sandbox_of(in);
  s.ip = in.network().ip();
  for (const v1::PodIP& more : in.network().additional_ips())
    s.additional_ips.emplace_back(more.ip());
  s.network = value_of<NamespaceMode>(kModes, in.linux().namespaces().options().network());
  return s;
}

Container read(const v1::Container& in) {
  Container c = container_of(in);
  c.sandbox_id = in.pod_sandbox_id();
  return c;
}

Container read(const v1::ContainerStatus& in) {
  Container c = container_of(in);
  c.started_at_ns = in.started_at();
  c.finished_at_ns = in.finished_at();
  c.exit_code = static_cast<int>(in.exit_code());
  c.reason = in.reason();
  c.message = in.message();
  c.log_path = in.log_path();
  if (in.stop_signal() != v1::kSignal_RUNTIME_DEFAULT) c.stop_signal = in.stop_signal();
  if (auto user = in.user().linux()) {
    c.user.emplace();
    c.user->uid = user.uid();
    c.user->gid = user.gid();
    for (int64_t group : user.supplemental_groups()) c.user->groups.push_back(group);
  }
  return c;
}

RuntimeStatus read(const v1::StatusResponse& in) {
  RuntimeStatus s;
  for (const v1::RuntimeCondition& c : in.status().conditions()) {
    s.conditions.push_back(
        {std::string(c.type()), c.status(), std::string(c.reason()), std::string(c.message())});
  }
  for (const v1::RuntimeHandler& h : in.runtime_handlers()) {
    s.handlers[std::string(h.name())] = {h.features().user_namespaces(),
                                         h.features().recursive_read_only_mounts()};
  }
  s.supplemental_groups_policy = in.features().supplemental_groups_policy();
  return s;
}

Image read(const v1::Image& in) {
  Image i;
  i.id = in.id();
  i.tags = strings(in.repo_tags());
  i.digests = strings(in.repo_digests());
  i.size_bytes = static_cast<uint64_t>(in.size());
  if (in.has_uid()) i.uid = in.uid().value();
  i.username = in.username();
  i.pinned = in.pinned();
  return i;
}

FilesystemUsage read(const v1::FilesystemUsage& in) {
  return {std::string(in.fs_id().mountpoint()), number(in.used_bytes()), number(in.inodes_used())};
}

ContainerStats read(const v1::ContainerStats& in) {
  ContainerStats s;
  s.id = in.attributes().id();
  s.name = in.attributes().metadata().name();
  s.labels = strings(in.attributes().labels());
  s.cpu_time_ns = in.cpu().timestamp();
  s.cpu_usage_ns = number(in.cpu().usage_core_nano_seconds());
  s.cpu_nano_cores = number(in.cpu().usage_nano_cores());
  const v1::MemoryUsage memory = in.memory();
  s.memory_working_set_bytes = number(memory.working_set_bytes());
  s.memory_usage_bytes = number(memory.usage_bytes());
  s.memory_rss_bytes = number(memory.rss_bytes());
  s.page_faults = number(memory.page_faults());
  s.major_page_faults = number(memory.major_page_faults());
  s.writable_used_bytes = number(in.writable_layer().used_bytes());
  s.writable_inodes = number(in.writable_layer().inodes_used());
  return s;
}

namespace {
// The last of the message's texts or messages of that number; "" when there is none, or no message.
std::string_view field(std::string_view message, uint32_t number) {
  std::string_view out;
  WireReader r(message);
  while (!r.done()) {
    const uint32_t n = r.tag();
    if (n == number && r.type() == 2) {
      out = r.bytes();
    } else {
      r.skip();
    }
    if (!r.ok()) return {};
  }
  return out;
}
}  // namespace

Result<DocumentPtr> receive(const TypeDesc& type, std::string bytes) {
  auto held = std::make_shared<const std::string>(std::move(bytes));
  TRY_ASSIGN(tree, decode_protobuf(type, *held, held));
  return std::make_shared<const Document>(std::move(tree));
}

std::string decode_event(std::string_view message) {
  // Envelope { timestamp = 1, namespace = 2, topic = 3, event = 4 Any { type_url = 1, value = 2 }
  // }. A task event has its container's id in field 1; an exit has in field 2 the process, which is
  // the container itself or a command that was run in it.
  const std::string_view topic = field(message, 3), event = field(field(message, 4), 2);
  const std::string_view id = field(event, 1), process = field(event, 2);
  if (!topic.starts_with("/tasks/") || (topic == "/tasks/exit" && process != id)) return "";
  return std::string(id);
}

}  // namespace keles::node::cri
