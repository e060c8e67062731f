// CRI messages to and from bytes. Field numbers: runtime.v1 of the CRI.
#include "node/cri/codec.h"

namespace keles::node::cri {
namespace {

WireWriter int_value(int64_t v) {
  WireWriter w;
  w.number(1, static_cast<uint64_t>(v));
  return w;
}

WireWriter namespaces(const NamespaceOptions& n) {
  WireWriter w;
  w.number(1, static_cast<uint64_t>(n.network));
  w.number(2, static_cast<uint64_t>(n.pid));
  w.number(3, static_cast<uint64_t>(n.ipc));
  w.text(4, n.target_id);
  return w;
}

// repeated int64, packed.
void packed(WireWriter& out, uint32_t field, const std::vector<int64_t>& values) {
  if (values.empty()) return;
  std::string bytes;
  for (int64_t i : values) {
    uint64_t v = static_cast<uint64_t>(i);
    for (; v >= 0x80; v >>= 7) bytes.push_back(static_cast<char>(v | 0x80));
    bytes.push_back(static_cast<char>(v));
  }
  out.element(field, bytes);
}

WireWriter seccomp(Seccomp type, const std::string& localhost) {
  WireWriter w;
  w.number(1, static_cast<uint64_t>(type));
  w.text(2, localhost);
  return w;
}

WireWriter selinux(const SeLinux& s) {
  WireWriter w;
  w.text(1, s.user);
  w.text(2, s.role);
  w.text(3, s.type);
  w.text(4, s.level);
  return w;
}

// The form that runtimes of before CRI's SecurityProfile read.
std::string old_apparmor(Seccomp type, const std::string& localhost) {
  if (type == Seccomp::kLocalhost) return "localhost/" + localhost;
  return type == Seccomp::kRuntimeDefault ? "runtime/default" : "unconfined";
}

WireWriter linux_sandbox(const SandboxConfig& c) {
  WireWriter security, w;
  security.message(1, namespaces(c.namespaces));
  if (c.run_as_user) security.message(3, int_value(*c.run_as_user));
  packed(security, 5, c.supplemental_groups);
  security.boolean(6, c.privileged);
  if (c.run_as_group) security.message(8, int_value(*c.run_as_group));
  if (c.selinux) security.message(2, selinux(*c.selinux));
  security.message(9, seccomp(Seccomp::kRuntimeDefault, ""));
  security.boolean(11, c.strict_groups);
  w.text(1, c.cgroup_parent);
  w.message(2, security);
  w.text_map(3, c.sysctls);
  return w;
}

WireWriter resources(const Resources& r) {
  WireWriter w;
  w.number(1, static_cast<uint64_t>(r.cpu_period_us));
  w.number(2, static_cast<uint64_t>(r.cpu_quota_us));
  w.number(3, static_cast<uint64_t>(r.cpu_shares));
  w.number(4, static_cast<uint64_t>(r.memory_limit_bytes));
  w.number(5, static_cast<uint64_t>(r.oom_score_adj));
  return w;
}

const char* const kMaskedPaths[] = {"/proc/asound",
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
const char* const kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                      "/proc/sysrq-trigger"};

WireWriter linux_container(const ContainerConfig& c) {
  WireWriter capabilities, security, w;
  capabilities.texts(1, c.add_capabilities);
  capabilities.texts(2, c.drop_capabilities);
  security.message(1, capabilities);
  security.boolean(2, c.privileged);
  security.message(3, namespaces(c.namespaces));
  if (c.run_as_user) security.message(5, int_value(*c.run_as_user));
  security.text(6, c.run_as_username);
  security.boolean(7, c.readonly_rootfs);
  packed(security, 8, c.supplemental_groups);
  security.boolean(11, c.no_new_privs);
  if (c.run_as_group) security.message(12, int_value(*c.run_as_group));
  if (c.default_masks && !c.privileged) {
    security.texts(13, kMaskedPaths);
    security.texts(14, kReadonlyPaths);
  }
  if (c.selinux) security.message(4, selinux(*c.selinux));
  if (c.apparmor) security.text(9, old_apparmor(*c.apparmor, c.apparmor_localhost));
  security.message(15, seccomp(c.seccomp, c.seccomp_localhost));
  if (c.apparmor) security.message(16, seccomp(*c.apparmor, c.apparmor_localhost));
  security.boolean(17, c.strict_groups);
  w.message(1, resources(c.resources));
  w.message(2, security);
  return w;
}

WireWriter mount(const Mount& m) {
  WireWriter w;
  w.text(1, m.container_path);
  w.text(2, m.host_path);
  w.boolean(3, m.readonly);
  w.number(5, static_cast<uint64_t>(m.propagation));
  return w;
}

}  // namespace

std::string encode(const SandboxConfig& c) {
  WireWriter w, metadata, dns;
  metadata.text(1, c.name);
  metadata.text(2, c.uid);
  metadata.text(3, c.ns);
  metadata.number(4, c.attempt);
  w.message(1, metadata);
  w.text(2, c.hostname);
  w.text(3, c.log_directory);
  dns.texts(1, c.dns_servers);
  dns.texts(2, c.dns_searches);
  dns.texts(3, c.dns_options);
  w.message(4, dns);
  for (const PortMapping& p : c.ports) {
    WireWriter port;
    port.number(1, static_cast<uint64_t>(p.protocol));
    port.number(2, static_cast<uint64_t>(p.container_port));
    port.number(3, static_cast<uint64_t>(p.host_port));
    port.text(4, p.host_ip);
    w.message(5, port);
  }
  w.text_map(6, c.labels);
  w.text_map(7, c.annotations);
  w.message(8, linux_sandbox(c));
  return w.take();
}

std::string encode(const ContainerConfig& c) {
  WireWriter w, metadata, image;
  metadata.text(1, c.name);
  metadata.number(2, c.attempt);
  w.message(1, metadata);
  image.text(1, c.image);
  image.text(18, c.user_image);
  w.message(2, image);
  w.texts(3, c.command);
  w.texts(4, c.args);
  w.text(5, c.working_dir);
  for (const auto& [name, value] : c.env) {
    WireWriter e;
    e.text(1, name);
    e.text(2, value);
    w.message(6, e);
  }
  for (const Mount& m : c.mounts) w.message(7, mount(m));
  w.text_map(9, c.labels);
  w.text_map(10, c.annotations);
  w.text(11, c.log_path);
  w.boolean(12, c.stdin_open);
  w.boolean(13, c.stdin_once);
  w.boolean(14, c.tty);
  w.message(15, linux_container(c));
  return w.take();
}

namespace {

void read_metadata(std::string_view in, Sandbox& s) {
  WireReader r(in);
  while (r.next()) switch (r.field()) {
      case 1:
        s.name = r.text();
        break;
      case 2:
        s.uid = r.text();
        break;
      case 3:
        s.ns = r.text();
        break;
      case 4:
        s.attempt = static_cast<uint32_t>(r.number());
        break;
    }
}

void read_metadata(std::string_view in, Container& c) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() == 1) c.name = r.text();
    if (r.field() == 2) c.attempt = static_cast<uint32_t>(r.number());
  }
}

// The text of field 1: ImageSpec.image, PodIP.ip, ...
std::string first_text(std::string_view in) {
  WireReader r(in);
  std::string out;
  while (r.next())
    if (r.field() == 1) out = r.text();
  return out;
}

void read_network(std::string_view in, Sandbox& s) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() == 1) s.ip = r.text();
    if (r.field() == 2) s.additional_ips.push_back(first_text(r.bytes()));
  }
}

// LinuxPodSandboxStatus { namespaces = 1 { options = 2 { network = 1 } } }
void read_linux(std::string_view in, Sandbox& s) {
  WireReader a(in);
  while (a.next()) {
    if (a.field() != 1) continue;
    WireReader b(a.bytes());
    while (b.next())
      if (b.field() == 2) s.network = static_cast<NamespaceMode>(b.wrapped() & 3);
  }
}

ContainerState container_state(uint64_t n) {
  return n <= 3 ? static_cast<ContainerState>(n) : ContainerState::kUnknown;
}

}  // namespace

bool read_sandbox(std::string_view in, bool full, Sandbox& s) {
  WireReader r(in);
  s.state = SandboxState::kReady;  // zero is left out on the wire
  while (r.next()) {
    uint32_t f = r.field();
    if (f == 1) s.id = r.text();
    if (f == 2) read_metadata(r.bytes(), s);
    if (f == 3) s.state = r.number() == 0 ? SandboxState::kReady : SandboxState::kNotReady;
    if (f == 4) s.created_at_ns = r.signed_number();
    if (full && f == 5) read_network(r.bytes(), s);
    if (full && f == 6) read_linux(r.bytes(), s);
    if (f == (full ? 7u : 5u)) r.entry(s.labels);
    if (f == (full ? 8u : 6u)) r.entry(s.annotations);
  }
  return r.ok();
}

bool read_container(std::string_view in, Container& c) {
  WireReader r(in);
  c.state = ContainerState::kCreated;
  while (r.next()) switch (r.field()) {
      case 1:
        c.id = r.text();
        break;
      case 2:
        c.sandbox_id = r.text();
        break;
      case 3:
        read_metadata(r.bytes(), c);
        break;
      case 4:
        c.image = first_text(r.bytes());
        break;
      case 5:
        c.image_ref = r.text();
        break;
      case 6:
        c.state = container_state(r.number());
        break;
      case 7:
        c.created_at_ns = r.signed_number();
        break;
      case 8:
        r.entry(c.labels);
        break;
      case 9:
        r.entry(c.annotations);
        break;
      case 10:
        c.image_id = r.text();
        break;
    }
  return r.ok();
}

namespace {

bool read_container_status(std::string_view in, Container& c) {
  WireReader r(in);
  c.state = ContainerState::kCreated;
  while (r.next()) switch (r.field()) {
      case 1:
        c.id = r.text();
        break;
      case 2:
        read_metadata(r.bytes(), c);
        break;
      case 3:
        c.state = container_state(r.number());
        break;
      case 4:
        c.created_at_ns = r.signed_number();
        break;
      case 5:
        c.started_at_ns = r.signed_number();
        break;
      case 6:
        c.finished_at_ns = r.signed_number();
        break;
      case 7:
        c.exit_code = static_cast<int>(r.signed_number());
        break;
      case 8:
        c.image = first_text(r.bytes());
        break;
      case 9:
        c.image_ref = r.text();
        break;
      case 10:
        c.reason = r.text();
        break;
      case 11:
        c.message = r.text();
        break;
      case 12:
        r.entry(c.labels);
        break;
      case 13:
        r.entry(c.annotations);
        break;
      case 15:
        c.log_path = r.text();
        break;
      case 17:
        c.image_id = r.text();
        break;
    }
  return r.ok();
}

}  // namespace

namespace {

// RuntimeStatus { conditions = 1 { type = 1, status = 2, reason = 3, message = 4 } }
bool read_conditions(std::string_view in, RuntimeStatus& s) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() != 1) continue;
    RuntimeCondition c;
    WireReader one(r.bytes());
    while (one.next()) {
      if (one.field() == 1) c.type = one.text();
      if (one.field() == 2) c.status = one.boolean();
      if (one.field() == 3) c.reason = one.text();
      if (one.field() == 4) c.message = one.text();
    }
    if (!one.ok()) return false;
    s.conditions.push_back(std::move(c));
  }
  return r.ok();
}

// RuntimeHandler { name = 1, features = 2 { recursive_read_only_mounts = 1, user_namespaces = 2 } }
bool read_handler(std::string_view in, RuntimeStatus& s) {
  WireReader r(in);
  std::string name;
  RuntimeHandler h;
  while (r.next()) {
    if (r.field() == 1) name = r.text();
    if (r.field() != 2) continue;
    WireReader features(r.bytes());
    while (features.next()) {
      if (features.field() == 1) h.recursive_read_only_mounts = features.boolean();
      if (features.field() == 2) h.user_namespaces = features.boolean();
    }
    if (!features.ok()) return false;
  }
  s.handlers[name] = h;
  return r.ok();
}

}  // namespace

std::optional<RuntimeStatus> decode_runtime_status(std::string_view message) {
  WireReader r(message);
  RuntimeStatus s;
  bool ok = true;
  while (r.next()) {
    if (r.field() == 1) ok = ok && read_conditions(r.bytes(), s);
    if (r.field() == 3) ok = ok && read_handler(r.bytes(), s);
    if (r.field() != 4) continue;
    WireReader features(r.bytes());
    while (features.next())
      if (features.field() == 1) s.supplemental_groups_policy = features.boolean();
    ok = ok && features.ok();
  }
  if (!r.ok() || !ok) return std::nullopt;
  return s;
}

std::optional<Sandbox> decode_sandbox_status(std::string_view message) {
  WireReader r(message);
  Sandbox s;
  bool ok = true;
  while (r.next())
    if (r.field() == 1) ok = ok && read_sandbox(r.bytes(), true, s);
  if (!r.ok() || !ok) return std::nullopt;
  return s;
}

std::optional<Container> decode_container_status(std::string_view message) {
  WireReader r(message);
  Container c;
  bool ok = true;
  while (r.next())
    if (r.field() == 1) ok = ok && read_container_status(r.bytes(), c);
  if (!r.ok() || !ok) return std::nullopt;
  return c;
}

std::optional<std::vector<Container>> decode_container_list(std::string_view message) {
  WireReader r(message);
  std::vector<Container> out;
  while (r.next()) {
    if (r.field() != 1) continue;
    Container c;
    if (!read_container(r.bytes(), c)) return std::nullopt;
    out.push_back(std::move(c));
  }
  if (!r.ok()) return std::nullopt;
  return out;
}

std::string decode_event(std::string_view message) {
  // Envelope { timestamp = 1, namespace = 2, topic = 3, event = 4 Any { type_url = 1, value = 2 }
  // }. A task event has its container's id in field 1; an exit has in field 2 the process, which is
  // the container itself or a command that was run in it.
  WireReader r(message);
  std::string topic, id, process;
  std::string_view any;
  while (r.next()) {
    if (r.field() == 3) topic = r.text();
    if (r.field() == 4) any = r.bytes();
  }
  if (!r.ok() || !topic.starts_with("/tasks/")) return "";
  WireReader a(any);
  while (a.next()) {
    if (a.field() != 2) continue;
    WireReader event(a.bytes());
    while (event.next()) {
      if (event.field() == 1) id = event.text();
      if (event.field() == 2) process = event.text();
    }
  }
  if (topic == "/tasks/exit" && process != id) return "";
  return a.ok() ? id : "";
}

bool read_image(std::string_view in, Image& i) {
  WireReader r(in);
  while (r.next()) switch (r.field()) {
      case 1:
        i.id = r.text();
        break;
      case 2:
        i.tags.push_back(r.text());
        break;
      case 3:
        i.digests.push_back(r.text());
        break;
      case 4:
        i.size_bytes = r.number();
        break;
      case 5:
        i.uid = static_cast<int64_t>(r.wrapped());
        break;
      case 6:
        i.username = r.text();
        break;
      case 8:
        i.pinned = r.boolean();
        break;
    }
  return r.ok();
}

namespace {

void read_attributes(std::string_view in, ContainerStats& s) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() == 1) s.id = r.text();
    if (r.field() == 2) s.name = first_text(r.bytes());
    if (r.field() == 3) r.entry(s.labels);
  }
}

void read_cpu(std::string_view in, ContainerStats& s) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() == 1) s.cpu_time_ns = r.signed_number();
    if (r.field() == 2) s.cpu_usage_ns = r.wrapped();
    if (r.field() == 3) s.cpu_nano_cores = r.wrapped();
  }
}

void read_memory(std::string_view in, ContainerStats& s) {
  WireReader r(in);
  while (r.next()) switch (r.field()) {
      case 2:
        s.memory_working_set_bytes = r.wrapped();
        break;
      case 4:
        s.memory_usage_bytes = r.wrapped();
        break;
      case 5:
        s.memory_rss_bytes = r.wrapped();
        break;
      case 6:
        s.page_faults = r.wrapped();
        break;
      case 7:
        s.major_page_faults = r.wrapped();
        break;
    }
}

}  // namespace

bool read_filesystem(std::string_view in, FilesystemUsage& f) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() == 2) f.mountpoint = first_text(r.bytes());
    if (r.field() == 3) f.used_bytes = r.wrapped();
    if (r.field() == 4) f.inodes = r.wrapped();
  }
  return r.ok();
}

bool read_stats(std::string_view in, ContainerStats& s) {
  WireReader r(in);
  while (r.next()) {
    if (r.field() == 1) read_attributes(r.bytes(), s);
    if (r.field() == 2) read_cpu(r.bytes(), s);
    if (r.field() == 3) read_memory(r.bytes(), s);
    if (r.field() == 4) {
      FilesystemUsage f;
      read_filesystem(r.bytes(), f);
      s.writable_used_bytes = f.used_bytes;
      s.writable_inodes = f.inodes;
    }
  }
  return r.ok();
}

}  // namespace keles::node::cri
