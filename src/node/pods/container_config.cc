#include "node/pods/container_config.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "node/cgroup/allocatable.h"
#include "node/cgroup/resources.h"
#include "node/pods/admission.h"
#include "node/pods/labels.h"
#include "node/pods/plan.h"
#include "node/pods/resize.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;

namespace {
constexpr int64_t kSystemCritical = 2'000'000'000;  // a pod's priority from which on it is
}  // namespace

std::string pod_log_directory(const std::string& logs, const Pod& pod) {
  return logs + "/" + std::string(pod.metadata().namespace_()) + "_" +
         std::string(pod.metadata().name()) + "_" + std::string(pod.metadata().uid());
}

std::string pod_full_name(const Pod& pod) {
  return std::string(pod.metadata().name()) + "_" + std::string(pod.metadata().namespace_()) + "(" +
         std::string(pod.metadata().uid()) + ")";
}

std::string pod_hostname(const Pod& pod) {
  auto spec = pod.spec();
  std::string h(!spec.hostname_override().empty() ? spec.hostname_override()
                : !spec.hostname().empty()        ? spec.hostname()
                                                  : pod.metadata().name());
  if (h.size() > 63) h.resize(63);
  while (!h.empty() && (h.back() == '-' || h.back() == '.')) h.pop_back();
  return h;
}

std::string pod_domain(const Pod& pod, std::string_view cluster_domain) {
  auto spec = pod.spec();
  if (spec.subdomain().empty() || !spec.hostname_override().empty()) return "";
  return std::string(spec.subdomain()) + "." + std::string(pod.metadata().namespace_()) + ".svc." +
         std::string(cluster_domain);
}

Result<std::string> kernel_hostname(const Pod& pod, std::string_view cluster_domain) {
  std::string host = pod_hostname(pod), domain = pod_domain(pod, cluster_domain);
  if (!pod.spec().set_hostname_as_fqdn() || domain.empty()) return host;
  std::string full = host + "." + domain;
  if (full.size() > 64)
    return Status(Reason::kInvalid,
                  "failed to construct FQDN from pod hostname and cluster domain, FQDN " + full +
                      " is too long (64 characters is the max, " + std::to_string(full.size()) +
                      " characters requested)");
  return full;
}

namespace {

struct ResolvConf {
  std::vector<std::string> servers, searches, options;
};

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> out;
  size_t i = 0;
  while (i < line.size()) {
    size_t j = line.find_first_of(" \t\r", i);
    if (j == std::string_view::npos) j = line.size();
    if (j > i) out.emplace_back(line.substr(i, j - i));
    i = j + 1;
  }
  return out;
}

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::vector<std::string> w = words(line);
    if (w.size() < 2) continue;
    if (w[0] == "nameserver") out.servers.push_back(w[1]);
    if (w[0] == "search") out.searches.assign(w.begin() + 1, w.end());
    if (w[0] == "options") out.options.assign(w.begin() + 1, w.end());
  }
  return out;
}

void add_unique(std::vector<std::string>& list, std::string s) {
  if (std::find(list.begin(), list.end(), s) == list.end()) list.push_back(std::move(s));
}

ResolvConf pod_dns(const Pod& pod, const DnsDefaults& defaults) {
  std::string_view policy = pod.spec().dns_policy();
  bool host_network = pod.spec().host_network();
  bool cluster = policy == "ClusterFirstWithHostNet" ||
                 ((policy == "ClusterFirst" || policy.empty()) && !host_network);
  ResolvConf host = parse_resolv_conf(defaults.host_resolv_conf), out;
  if (policy == "None") {
  } else if (cluster && !defaults.cluster_servers.empty()) {
    std::string ns(pod.metadata().namespace_()), domain = defaults.cluster_domain;
    out.servers = defaults.cluster_servers;
    out.searches = {ns + ".svc." + domain, "svc." + domain, domain};
    for (const std::string& s : host.searches) add_unique(out.searches, s);
    out.options = {"ndots:5"};
  } else {
    out = host;
  }
  auto own = pod.spec().dns_config();
  for (std::string_view s : own.nameservers()) add_unique(out.servers, std::string(s));
  for (std::string_view s : own.searches()) add_unique(out.searches, std::string(s));
  for (auto o : own.options()) {
    std::string name(o.name());
    std::erase_if(out.options, [&](const std::string& have) {
      return have == name || have.starts_with(name + ":");
    });
    out.options.push_back(o.value().empty() ? name : name + ":" + std::string(o.value()));
  }
  return out;
}

cri::NamespaceOptions namespaces(const Pod& pod) {
  using Mode = cri::NamespaceMode;
  cri::NamespaceOptions n;
  auto spec = pod.spec();
  n.network = spec.host_network() ? Mode::kNode : Mode::kPod;
  n.ipc = spec.host_ipc() ? Mode::kNode : Mode::kPod;
  n.pid = spec.host_pid()                  ? Mode::kNode
          : spec.share_process_namespace() ? Mode::kPod
                                           : Mode::kContainer;
  return n;
}

int protocol_number(std::string_view p) { return p == "UDP" ? 1 : p == "SCTP" ? 2 : 0; }

cri::StringMap pod_labels(const Pod& pod) {
  return {{kPodNameLabel, std::string(pod.metadata().name())},
          {kPodNamespaceLabel, std::string(pod.metadata().namespace_())},
          {kPodUidLabel, std::string(pod.metadata().uid())}};
}

std::optional<cri::SeLinux> se_linux(const api::core_v1::SELinuxOptions& o) {
  if (!o) return std::nullopt;
  return cri::SeLinux{std::string(o.user()), std::string(o.role()), std::string(o.type()),
                      std::string(o.level())};
}

std::vector<int64_t> groups(const Pod& pod) {
  std::vector<int64_t> out;
  auto sc = pod.spec().security_context();
  if (sc.has_fs_group()) out.push_back(sc.fs_group());
  for (int64_t g : sc.supplemental_groups()) out.push_back(g);
  return out;
}

}  // namespace

Result<cri::SandboxConfig> make_sandbox_config(const Pod& pod, uint32_t attempt,
                                               const std::string& logs,
                                               const std::string& cgroup_parent,
                                               const DnsDefaults& dns) {
  cri::SandboxConfig c;
  c.name = pod.metadata().name();
  c.ns = pod.metadata().namespace_();
  c.uid = pod.metadata().uid();
  c.attempt = attempt;
  TRY_ASSIGN(hostname, kernel_hostname(pod, dns.cluster_domain));
  if (!pod.spec().host_network()) c.hostname = hostname;
  c.log_directory = pod_log_directory(logs, pod);
  c.cgroup_parent = cgroup_parent;
  ResolvConf r = pod_dns(pod, dns);
  c.dns_servers = std::move(r.servers);
  c.dns_searches = std::move(r.searches);
  c.dns_options = std::move(r.options);
  c.labels = pod_labels(pod);
  for (auto l : pod.metadata().labels()) c.labels.emplace(std::string(l.key), std::string(l.value));
  for (auto a : pod.metadata().annotations())
    c.annotations.emplace(std::string(a.key), std::string(a.value));
  c.namespaces = namespaces(pod);
  auto add_ports = [&](const Container& container) {
    for (auto p : container.ports())
      if (p.host_port() > 0)
        c.ports.push_back({protocol_number(p.protocol()), static_cast<int>(p.container_port()),
                           static_cast<int>(p.host_port()), std::string(p.host_ip())});
    if (container.security_context().privileged()) c.privileged = true;
  };
  for (Container container : pod.spec().containers()) add_ports(container);
  for (Container container : pod.spec().init_containers()) add_ports(container);
  if (pod.spec().host_network()) c.ports.clear();
  auto sc = pod.spec().security_context();
  if (sc.has_run_as_user()) c.run_as_user = sc.run_as_user();
  if (sc.has_run_as_group() && sc.has_run_as_user()) c.run_as_group = sc.run_as_group();
  c.supplemental_groups = groups(pod);
  c.strict_groups = sc.supplemental_groups_policy() == "Strict";
  c.selinux = se_linux(sc.se_linux_options());
  for (auto s : sc.sysctls())
    c.sysctls[SysctlAllowlist::normalize(s.name())] = std::string(s.value());
  return c;
}

namespace {

Status config_error(std::string message) { return Status(Reason::kInvalid, std::move(message)); }

// "SIGRTMIN+3" is SIGRTMINPLUS3 to the CRI.
std::string cri_signal(std::string_view name) {
  std::string out(name);
  const size_t sign = out.find_first_of("+-");
  if (sign != std::string::npos) out.replace(sign, 1, out[sign] == '+' ? "PLUS" : "MINUS");
  return out;
}

class ContainerBuilder {
 public:
  explicit ContainerBuilder(const ContainerInputs& in)
      : in_(in), pod_(*in.pod), c_(*in.container) {}

  Result<cri::ContainerConfig> build() {
    out_.name = c_.name();
    out_.attempt = in_.attempt;
    out_.image = in_.image.id;
    out_.user_image = c_.image();
    out_.env = in_.environment;
    out_.working_dir = c_.working_dir();
    out_.log_path = out_.name + "/" + std::to_string(in_.attempt) + ".log";
    out_.stdin_open = c_.stdin();
    out_.stdin_once = c_.stdin_once();
    out_.tty = c_.tty();
    out_.namespaces = namespaces(pod_);
    out_.namespaces.user_ids = in_.user_ids;
    out_.stop_signal = cri_signal(c_.lifecycle().stop_signal());
    if (!in_.target_id.empty()) {
      out_.namespaces.pid = cri::NamespaceMode::kTarget;
      out_.namespaces.target_id = in_.target_id;
    }
    auto lookup = [this](std::string_view name) -> std::optional<std::string> {
      for (const auto& [k, v] : in_.environment)
        if (k == name) return v;
      return std::nullopt;
    };
    for (std::string_view s : c_.command()) out_.command.push_back(expand(s, lookup));
    for (std::string_view s : c_.args()) out_.args.push_back(expand(s, lookup));
    set_labels();
    out_.resources = container_resources(pod_, c_, in_.node_memory_bytes, in_.page_units, in_.swap);
    TRY(set_mounts());
    TRY(set_security());
    return std::move(out_);
  }

 private:
  void set_labels() {
    out_.labels = pod_labels(pod_);
    out_.labels[kContainerNameLabel] = out_.name;
    auto& a = out_.annotations;
    a[kHashAnnotation] = container_hash(c_);
    a[kRestartCountAnnotation] = std::to_string(in_.attempt);
    a[kTerminationPathAnnotation] = c_.termination_message_path();
    a[kTerminationPolicyAnnotation] = c_.termination_message_policy();
    a[kTerminationFileAnnotation] = in_.termination_file;
    a[kGracePeriodAnnotation] = std::to_string(pod_.spec().termination_grace_period_seconds());
  }

  // subPath, or subPathExpr with its variables replaced; "" for the whole volume.
  Result<std::string> sub_path_of(const api::core_v1::VolumeMount& m) const {
    std::string sub(m.sub_path());
    if (!m.sub_path_expr().empty()) {
      std::set<std::string> missing;
      auto lookup = [&](std::string_view name) -> std::optional<std::string> {
        for (const auto& [k, v] : in_.environment)
          if (k == name && !v.empty()) return v;
        missing.emplace(name);
        return "";
      };
      sub = expand(m.sub_path_expr(), lookup);
      std::string names;
      for (const std::string& n : missing) names += (names.empty() ? "" : ", ") + n;
      if (!names.empty()) return config_error("missing value for " + names);
    }
    if (sub.starts_with('/'))
      return config_error("error SubPath `" + sub + "` must not be an absolute path");
    if (("/" + sub + "/").find("/../") != std::string::npos)
      return config_error("unable to provision SubPath `" + sub + "`: must not contain '..'");
    return sub;
  }

  Status set_devices() {
    for (auto d : c_.volume_devices()) {
      auto volume = in_.volumes.find(std::string(d.name()));
      if (volume == in_.volumes.end() || !volume->second.device)
        return config_error("cannot find volume \"" + std::string(d.name()) +
                            "\" to pass into container \"" + out_.name + "\"");
      out_.devices.push_back({std::string(d.device_path()), volume->second.path,
                              volume->second.read_only ? "r" : "mrw"});
    }
    return {};
  }

  Status set_mounts() {
    bool hosts_mounted = false;
    size_t index = 0;
    for (auto m : c_.volume_mounts()) {
      auto volume = in_.volumes.find(std::string(m.name()));
      if (volume == in_.volumes.end())
        return config_error("cannot find volume \"" + std::string(m.name()) +
                            "\" to mount into container \"" + out_.name + "\"");
      cri::Mount mount;
      mount.container_path = m.mount_path();
      if (!mount.container_path.starts_with('/')) mount.container_path = "/" + mount.container_path;
      mount.host_path = volume->second.path;
      TRY_ASSIGN(sub, sub_path_of(m));
      auto image = in_.image_volumes.find(volume->first);
      if (image != in_.image_volumes.end()) {
        mount.host_path.clear();
        mount.image = image->second.id;
        mount.user_image = image->second.reference;
        mount.image_sub_path = sub;
      } else if (!sub.empty()) {
        TRY_ASSIGN(path, in_.bind_sub_path(volume->first, volume->second.path, index, sub));
        mount.host_path = path;
      }
      ++index;
      TRY_ASSIGN(recursive, recursive_read_only(m, in_.recursive_read_only));
      mount.recursive_readonly = recursive;
      mount.readonly = m.read_only() || volume->second.read_only;
      if (m.mount_propagation() == "Bidirectional")
        mount.propagation = cri::Propagation::kBidirectional;
      if (m.mount_propagation() == "HostToContainer")
        mount.propagation = cri::Propagation::kHostToContainer;
      hosts_mounted = hosts_mounted || mount.container_path == "/etc/hosts";
      out_.mounts.push_back(std::move(mount));
    }
    TRY(set_devices());
    if (!in_.hosts_file.empty() && !hosts_mounted)
      out_.mounts.push_back({.container_path = "/etc/hosts", .host_path = in_.hosts_file});
    if (!in_.termination_file.empty() && !c_.termination_message_path().empty())
      out_.mounts.push_back({.container_path = std::string(c_.termination_message_path()),
                             .host_path = in_.termination_file});
    return {};
  }

  Status set_security() {
    auto own = c_.security_context();
    auto whole = pod_.spec().security_context();
    out_.privileged = own.privileged();
    out_.readonly_rootfs = own.read_only_root_filesystem();
    out_.no_new_privs = own.has_allow_privilege_escalation() && !own.allow_privilege_escalation();
    out_.default_masks = own.proc_mount() != "Unmasked";
    for (std::string_view s : own.capabilities().add()) out_.add_capabilities.emplace_back(s);
    for (std::string_view s : own.capabilities().drop()) out_.drop_capabilities.emplace_back(s);
    if (own.has_run_as_user()) {
      out_.run_as_user = own.run_as_user();
    } else if (whole.has_run_as_user()) {
      out_.run_as_user = whole.run_as_user();
    } else if (in_.image.uid) {
      out_.run_as_user = in_.image.uid;
    } else {
      out_.run_as_username = in_.image.username;
    }
    if (own.has_run_as_group()) {
      out_.run_as_group = own.run_as_group();
    } else if (whole.has_run_as_group()) {
      out_.run_as_group = whole.run_as_group();
    }
    if (!out_.run_as_user && out_.run_as_username.empty()) out_.run_as_group.reset();
    out_.supplemental_groups = groups(pod_);
    auto profile = own.seccomp_profile() ? own.seccomp_profile() : whole.seccomp_profile();
    if (profile.type() == "RuntimeDefault") out_.seccomp = cri::Seccomp::kRuntimeDefault;
    if (profile.type() == "Localhost") {
      out_.seccomp = cri::Seccomp::kLocalhost;
      out_.seccomp_localhost = in_.seccomp_root + "/" + std::string(profile.localhost_profile());
    }
    if (out_.privileged) out_.seccomp = cri::Seccomp::kUnconfined;
    out_.strict_groups = whole.supplemental_groups_policy() == "Strict";
    auto labels = own.se_linux_options() ? own.se_linux_options() : whole.se_linux_options();
    out_.selinux = se_linux(labels);
    set_apparmor();
    bool non_root = own.has_run_as_non_root() ? own.run_as_non_root() : whole.run_as_non_root();
    return non_root ? check_non_root(own.has_run_as_user() || whole.has_run_as_user()) : Status();
  }

  // The container's own profile, then the annotation of before the field, then the pod's.
  void set_apparmor() {
    auto profile = c_.security_context().app_armor_profile();
    std::string type(profile.type()), localhost(profile.localhost_profile());
    std::string old(pod_.metadata().annotations().get(
        "container.apparmor.security.beta.kubernetes.io/" + out_.name));
    if (type.empty() && old.starts_with("localhost/")) {
      type = "Localhost";
      localhost = old.substr(10);
    } else if (type.empty() && !old.empty()) {
      type = old == "unconfined" ? "Unconfined" : "RuntimeDefault";
    } else if (type.empty()) {
      auto whole = pod_.spec().security_context().app_armor_profile();
      type = whole.type();
      localhost = whole.localhost_profile();
    }
    if (type.empty()) return;
    out_.apparmor = type == "Localhost"    ? cri::Seccomp::kLocalhost
                    : type == "Unconfined" ? cri::Seccomp::kUnconfined
                                           : cri::Seccomp::kRuntimeDefault;
    if (type == "Localhost") out_.apparmor_localhost = localhost;
  }

  Status check_non_root(bool set_by_pod) const {
    std::string where = " (pod: \"" + pod_full_name(pod_) + "\", container: " + out_.name + ")";
    if (set_by_pod)
      return out_.run_as_user == 0
                 ? config_error("container's runAsUser breaks non-root policy" + where)
                 : Status();
    if (!in_.image.username.empty())
      return config_error("container has runAsNonRoot and image has non-numeric user (" +
                          in_.image.username + "), cannot verify user is non-root" + where);
    if (in_.image.uid.value_or(0) == 0)
      return config_error("container has runAsNonRoot and image will run as root" + where);
    return {};
  }

  const ContainerInputs& in_;
  const Pod& pod_;
  const Container& c_;
  cri::ContainerConfig out_;
};

}  // namespace

Result<bool> recursive_read_only(const api::core_v1::VolumeMount& m, bool runtime_can) {
  std::string_view mode = m.recursive_read_only(), propagation = m.mount_propagation();
  if (mode.empty() || mode == "Disabled") return false;
  std::string what = "failed to resolve recursive read-only mode: ";
  std::string volume =
      "volume \"" + std::string(m.name()) + "\" requested recursive read-only mode";
  if (mode != "IfPossible" && mode != "Enabled")
    return config_error(what + "unknown recursive read-only mode \"" + std::string(mode) + "\"");
  if (!m.read_only()) return config_error(what + volume + ", but it is not read-only");
  if (!propagation.empty() && propagation != "None")
    return config_error(what + volume + ", but it is not compatible with propagation \"" +
                        std::string(propagation) + "\"");
  if (runtime_can || mode == "IfPossible") return runtime_can;
  return config_error(what + volume + ", but it is not supported by the runtime");
}

namespace {

bool may_swap(const Pod& pod, const Container& c, const NodeSwap& swap) {
  if (!swap.limited || !swap.unified || pod.spec().priority() >= kSystemCritical) return false;
  const int64_t request = unit_value(request_of(c, "memory")),
                limit = unit_value(limit_of(c, "memory"));
  return qos_of(pod) == Qos::kBurstable && (request > 0 || limit > 0) && request != limit;
}

// A part of the node's swap as large as the container's part of its memory, or none.
void set_swap(const Pod& pod, const Container& c, int64_t node_memory, const NodeSwap& swap,
              cri::Resources* r) {
  if (!swap.controlled) return;
  if (!swap.unified) {
    r->memory_swap_limit_bytes = r->memory_limit_bytes;
    return;
  }
  int64_t bytes = 0;
  const int64_t request = unit_value(request_of(c, "memory"));
  if (may_swap(pod, c, swap) && node_memory > 0 && request <= node_memory)
    bytes = static_cast<int64_t>(static_cast<double>(request) / static_cast<double>(node_memory) *
                                 static_cast<double>(swap.capacity_bytes));
  r->unified["memory.swap.max"] = std::to_string(bytes);
}

}  // namespace

cri::Resources container_resources(const Pod& pod, const Container& c, int64_t node_memory_bytes,
                                   const std::vector<std::string>& page_units,
                                   const NodeSwap& swap) {
  Given g = given(resource_texts(pod.spec().resources()), resource_texts(c.resources()));
  cri::Resources r;
  r.cpu_shares = shares_of_milli(g.cpu_request);
  r.cpu_quota_us = quota_of_milli(g.cpu_limit);
  if (r.cpu_quota_us > 0) r.cpu_period_us = kQuotaPeriodUs;
  r.memory_limit_bytes = g.memory_limit;
  r.oom_score_adj = oom_score_adj(qos_of(pod), g.memory_request, node_memory_bytes);
  for (const std::string& unit : page_units) r.huge_pages[unit] = 0;
  for (auto [name, amount] : c.resources().limits())
    if (std::string unit = huge_page_unit(name); !unit.empty())
      r.huge_pages[unit] = unit_value(amount);
  set_swap(pod, c, node_memory_bytes, swap, &r);
  return r;
}

Result<cri::ContainerConfig> make_container_config(const ContainerInputs& in) {
  return ContainerBuilder(in).build();
}

namespace {

std::string host_aliases(const Pod& pod) {
  auto aliases = pod.spec().host_aliases();
  std::string out;
  if (!aliases.empty()) out += "\n# Entries added by HostAliases.\n";
  for (auto a : aliases) {
    out += a.ip();
    for (std::string_view name : a.hostnames()) out += "\t" + std::string(name);
    out += "\n";
  }
  return out;
}

}  // namespace

std::string hosts_file(const Pod& pod, const std::vector<std::string>& pod_ips,
                       std::string_view cluster_domain) {
  if (pod.spec().host_network()) {
    auto host = read_file("/etc/hosts", 1u << 20);
    std::string out = "# Kubernetes-managed hosts file (host network).\n" + host.value_or("");
    return out + host_aliases(pod);
  }
  std::string out =
      "# Kubernetes-managed hosts file.\n"
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "fe00::0\tip6-mcastprefix\n"
      "fe00::1\tip6-allnodes\n"
      "fe00::2\tip6-allrouters\n";
  std::string host = pod_hostname(pod);
  for (const std::string& ip : pod_ips) {
    out += ip + "\t";
    std::string domain = pod_domain(pod, cluster_domain);
    if (!domain.empty()) out += host + "." + domain + "\t";
    out += host + "\n";
  }
  return out + host_aliases(pod);
}

}  // namespace keles::node
