#include "server/admission/pod_security_policy.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <set>

#include "server/objects/pod_references.h"

namespace keles::admission {
namespace {

using server::visit_containers;
using Level = PodSecurityLevel;
using Texts = std::vector<std::string>;
using TextSet = std::set<std::string, std::less<>>;
using Found = std::optional<PodSecurityViolation>;
using Allowed = std::initializer_list<std::string_view>;

struct Pod {
  const Value& metadata;
  const Value& spec;
  const Value& context() const { return spec["securityContext"]; }
  bool windows() const { return spec["os"]["name"].as_string() == "windows"; }
  // Root inside is nobody outside.
  bool own_users() const { return spec["hostUsers"].is_bool() && !spec["hostUsers"].as_bool(); }
};

std::string join(const Texts& list, std::string_view separator) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "" : std::string(separator)) + s;
  return out;
}
template <class List>
std::string quoted(const List& list) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "\"" : ", \"") + s + "\"";
  return out;
}
std::string plural(std::string one, size_t n) { return n == 1 ? one : one + "s"; }
std::string named(std::string one, const Texts& names) {
  return plural(std::move(one), names.size()) + " " + quoted(names);
}
bool in(Allowed allowed, std::string_view what) {
  return std::find(allowed.begin(), allowed.end(), what) != allowed.end();
}
bool is_true(const Value& v) { return v.as_bool(); }
bool is_false(const Value& v) { return v.is_bool() && !v.as_bool(); }

// Names of the containers of which `bad` is true.
template <class Bad>
Texts containers(const Pod& pod, Bad bad) {
  Texts out;
  visit_containers(pod.spec, [&](const Value& c, std::string_view) {
    if (bad(c)) out.emplace_back(c["name"].as_string());
    return true;
  });
  return out;
}

// Who sets something that is forbidden: the pod, and containers.
template <class Bad>
Texts setters(const Pod& pod, Bad bad) {
  Texts out;
  if (bad(pod.context())) out.emplace_back("pod");
  Texts named_ones = containers(pod, [&](const Value& c) { return bad(c["securityContext"]); });
  if (!named_ones.empty()) out.push_back(named("container", named_ones));
  return out;
}

// --- baseline ---

Found app_armor(const Pod& pod) {
  TextSet types;
  Texts who = setters(pod, [&](const Value& sc) {
    const Value& profile = sc["appArmorProfile"];
    if (profile.is_null() || in({"RuntimeDefault", "Localhost"}, profile["type"].as_string())) {
      return false;
    }
    types.emplace(profile["type"].as_string());
    return true;
  });
  Texts annotations;
  for (const Member& m : pod.metadata["annotations"].members()) {
    const std::string key(m.key()), value(m.value.as_string());
    if (!key.starts_with("container.apparmor.security.beta.kubernetes.io/")) continue;
    if (value.empty() || value == "runtime/default" || value.starts_with("localhost/")) continue;
    annotations.push_back(key + "=\"" + value + "\"");
  }
  std::sort(annotations.begin(), annotations.end());
  Texts values(types.begin(), types.end());
  if (!annotations.empty()) {
    values.insert(values.end(), annotations.begin(), annotations.end());
    who.push_back(plural("annotation", annotations.size()));
  }
  if (who.empty()) return {};
  return PodSecurityViolation{
      plural("forbidden AppArmor profile", values.size()),
      join(who, " and ") + " must not set AppArmor profile type to " + quoted(values)};
}

Found capabilities_baseline(const Pod& pod) {
  TextSet bad;
  Texts who = containers(pod, [&](const Value& c) {
    bool found = false;
    for (const Value& add : c["securityContext"]["capabilities"]["add"].items()) {
      if (in({"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
              "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"},
             add.as_string())) {
        continue;
      }
      bad.emplace(add.as_string());
      found = true;
    }
    return found;
  });
  if (who.empty()) return {};
  return PodSecurityViolation{"non-default capabilities",
                              named("container", who) + " must not include " + quoted(bad) +
                                  " in securityContext.capabilities.add"};
}

Found host_namespaces(const Pod& pod) {
  Texts bad;
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"}) {
    if (is_true(pod.spec[field])) bad.push_back(std::string(field) + "=true");
  }
  if (bad.empty()) return {};
  return PodSecurityViolation{"host namespaces", join(bad, ", ")};
}

Found host_path_volumes(const Pod& pod) {
  Texts bad;
  for (const Value& v : pod.spec["volumes"].items()) {
    if (!v["hostPath"].is_null()) bad.emplace_back(v["name"].as_string());
  }
  if (bad.empty()) return {};
  return PodSecurityViolation{"hostPath volumes", named("volume", bad)};
}

std::string use(size_t users) { return users == 1 ? " uses " : " use "; }

Found host_ports(const Pod& pod) {
  TextSet ports;
  Texts who = containers(pod, [&](const Value& c) {
    bool found = false;
    for (const Value& p : c["ports"].items()) {
      if (p["hostPort"].as_int() == 0) continue;
      ports.insert(std::to_string(p["hostPort"].as_int()));
      found = true;
    }
    return found;
  });
  if (who.empty()) return {};
  return PodSecurityViolation{"hostPort", named("container", who) + use(who.size()) +
                                              plural("hostPort", ports.size()) + " " +
                                              join({ports.begin(), ports.end()}, ", ")};
}

Found host_probes(const Pod& pod) {
  TextSet hosts, who;
  visit_containers(pod.spec, [&](const Value& c, std::string_view) {
    for (const Value* handler : {&c["livenessProbe"], &c["readinessProbe"], &c["startupProbe"],
                                 &c["lifecycle"]["postStart"], &c["lifecycle"]["preStop"]}) {
      for (const char* action : {"httpGet", "tcpSocket"}) {
        std::string_view host = (*handler)[action]["host"].as_string();
        if (host.empty()) continue;
        hosts.emplace(host);
        who.emplace(c["name"].as_string());
      }
    }
    return true;
  });
  if (who.empty()) return {};
  return PodSecurityViolation{"probe or lifecycle host",
                              named("container", {who.begin(), who.end()}) + use(who.size()) +
                                  plural("probe or lifecycle host", hosts.size()) + " " +
                                  quoted(hosts)};
}

Found privileged(const Pod& pod) {
  Texts who =
      containers(pod, [](const Value& c) { return is_true(c["securityContext"]["privileged"]); });
  if (who.empty()) return {};
  return PodSecurityViolation{
      "privileged", named("container", who) + " must not set securityContext.privileged=true"};
}

Found proc_mount(const Pod& pod) {
  TextSet types;
  Texts who = containers(pod, [&](const Value& c) {
    const Value& type = c["securityContext"]["procMount"];
    if (type.is_null() || type.as_string() == "Default") return false;
    types.emplace(type.as_string());
    return true;
  });
  if (who.empty()) return {};
  return PodSecurityViolation{
      "procMount",
      named("container", who) + " must not set securityContext.procMount to " + quoted(types)};
}

Found proc_mount_of_own_users(const Pod& pod) {
  return pod.own_users() ? Found() : proc_mount(pod);
}

Found selinux(const Pod& pod, Allowed allowed) {
  TextSet types;
  bool user = false, role = false;
  Texts who = setters(pod, [&](const Value& sc) {
    const Value& o = sc["seLinuxOptions"];
    std::string_view type = o["type"].as_string();
    const bool bad_type = !in(allowed, type);
    if (bad_type) types.emplace(type);
    const bool has_user = !o["user"].as_string().empty(), has_role = !o["role"].as_string().empty();
    user |= has_user;
    role |= has_role;
    return bad_type || has_user || has_role;
  });
  if (who.empty()) return {};
  Texts bad;
  if (!types.empty()) bad.push_back(plural("type", types.size()) + " " + quoted(types));
  if (user) bad.emplace_back("user may not be set");
  if (role) bad.emplace_back("role may not be set");
  return PodSecurityViolation{
      "seLinuxOptions",
      join(who, " and ") + " set forbidden securityContext.seLinuxOptions: " + join(bad, "; ")};
}
Found selinux_0(const Pod& pod) {
  return selinux(pod, {"", "container_t", "container_init_t", "container_kvm_t"});
}
Found selinux_31(const Pod& pod) {
  return selinux(pod,
                 {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"});
}

// Before the field there were annotations.
Found seccomp_annotations(const Pod& pod) {
  TextSet bad;
  const Value& annotations = pod.metadata["annotations"];
  auto look = [&](const std::string& key) {
    const Value* found = annotations.find(key);
    if (!found) return;
    const std::string value(found->as_string());
    if (value == "runtime/default" || value == "docker/default" || value.starts_with("localhost/"))
      return;
    bad.insert(key + "=\"" + value + "\"");
  };
  look("seccomp.security.alpha.kubernetes.io/pod");
  visit_containers(pod.spec, [&](const Value& c, std::string_view) {
    look("container.seccomp.security.alpha.kubernetes.io/" + std::string(c["name"].as_string()));
    return true;
  });
  if (bad.empty()) return {};
  return PodSecurityViolation{"seccompProfile", "forbidden " + plural("annotation", bad.size()) +
                                                    " " + join({bad.begin(), bad.end()}, ", ")};
}

bool good_seccomp(const Value& profile) {
  return in({"Localhost", "RuntimeDefault"}, profile["type"].as_string());
}

Found seccomp_baseline(const Pod& pod) {
  TextSet types;
  Texts who = setters(pod, [&](const Value& sc) {
    const Value& profile = sc["seccompProfile"];
    if (profile.is_null() || good_seccomp(profile)) return false;
    types.emplace(profile["type"].as_string());
    return true;
  });
  if (who.empty()) return {};
  return PodSecurityViolation{
      "seccompProfile",
      join(who, " and ") + " must not set securityContext.seccompProfile.type to " + quoted(types)};
}

Found sysctls(const Pod& pod, int minor) {
  Texts bad;
  for (const Value& s : pod.context()["sysctls"].items()) {
    std::string_view name = s["name"].as_string();
    bool fine =
        in({"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
            "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"},
           name);
    fine |= minor >= 27 && name == "net.ipv4.ip_local_reserved_ports";
    fine |= minor >= 29 && in({"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
                               "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"},
                              name);
    fine |= minor >= 32 && in({"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}, name);
    if (!fine) bad.emplace_back(name);
  }
  if (bad.empty()) return {};
  return PodSecurityViolation{"forbidden sysctls", join(bad, ", ")};
}
Found sysctls_0(const Pod& pod) { return sysctls(pod, 0); }
Found sysctls_27(const Pod& pod) { return sysctls(pod, 27); }
Found sysctls_29(const Pod& pod) { return sysctls(pod, 29); }
Found sysctls_32(const Pod& pod) { return sysctls(pod, 32); }

Found host_process(const Pod& pod) {
  Texts who =
      setters(pod, [](const Value& sc) { return is_true(sc["windowsOptions"]["hostProcess"]); });
  if (who.empty()) return {};
  return PodSecurityViolation{
      "hostProcess",
      join(who, " and ") + " must not set securityContext.windowsOptions.hostProcess=true"};
}

// --- restricted ---

Found escalation(const Pod& pod) {
  Texts who = containers(pod, [](const Value& c) {
    return !is_false(c["securityContext"]["allowPrivilegeEscalation"]);
  });
  if (who.empty()) return {};
  return PodSecurityViolation{
      "allowPrivilegeEscalation != false",
      named("container", who) + " must set securityContext.allowPrivilegeEscalation=false"};
}

Found capabilities_restricted(const Pod& pod) {
  auto has = [](const Value& list, std::string_view name) {
    for (const Value& v : list.items()) {
      if (v.as_string() == name) return true;
    }
    return false;
  };
  Texts keep = containers(pod, [&](const Value& c) {
    return !has(c["securityContext"]["capabilities"]["drop"], "ALL");
  });
  TextSet bad;
  Texts add = containers(pod, [&](const Value& c) {
    bool found = false;
    for (const Value& v : c["securityContext"]["capabilities"]["add"].items()) {
      if (v.as_string() == "NET_BIND_SERVICE") continue;
      bad.emplace(v.as_string());
      found = true;
    }
    return found;
  });
  Texts details;
  if (!keep.empty()) {
    details.push_back(named("container", keep) +
                      " must set securityContext.capabilities.drop=[\"ALL\"]");
  }
  if (!add.empty()) {
    details.push_back(named("container", add) + " must not include " + quoted(bad) +
                      " in securityContext.capabilities.add");
  }
  if (details.empty()) return {};
  return PodSecurityViolation{"unrestricted capabilities", join(details, "; ")};
}

Found restricted_volumes(const Pod& pod) {
  Texts bad;
  TextSet types;
  for (const Value& v : pod.spec["volumes"].items()) {
    std::string type;
    bool good = false;
    for (const Member& m : v.members()) {
      if (m.key() == "name" || m.value.is_null()) continue;
      good |= in({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
                  "persistentVolumeClaim", "projected", "secret"},
                 m.key());
      type = m.key();
    }
    if (good || type.empty()) continue;  // no source: it is an emptyDir
    bad.emplace_back(v["name"].as_string());
    types.insert(type);
  }
  if (bad.empty()) return {};
  return PodSecurityViolation{"restricted volume types",
                              named("volume", bad) + use(bad.size()) +
                                  plural("restricted volume type", types.size()) + " " +
                                  quoted(types)};
}

Found non_root(const Pod& pod) {
  Texts who = setters(pod, [](const Value& sc) { return is_false(sc["runAsNonRoot"]); });
  if (!who.empty()) {
    return PodSecurityViolation{
        "runAsNonRoot != true",
        join(who, " and ") + " must not set securityContext.runAsNonRoot=false"};
  }
  if (is_true(pod.context()["runAsNonRoot"])) return {};
  Texts silent = containers(
      pod, [](const Value& c) { return !c["securityContext"]["runAsNonRoot"].is_bool(); });
  if (silent.empty()) return {};
  return PodSecurityViolation{
      "runAsNonRoot != true",
      "pod or " + named("container", silent) + " must set securityContext.runAsNonRoot=true"};
}

Found run_as_user(const Pod& pod) {
  Texts who = setters(pod, [](const Value& sc) {
    return sc["runAsUser"].is_number() && sc["runAsUser"].as_int() == 0;
  });
  if (who.empty()) return {};
  return PodSecurityViolation{"runAsUser=0", join(who, " and ") + " must not set runAsUser=0"};
}

Found seccomp_restricted(const Pod& pod) {
  if (Found bad = seccomp_baseline(pod)) return bad;
  if (good_seccomp(pod.context()["seccompProfile"])) return {};
  Texts silent = containers(
      pod, [](const Value& c) { return c["securityContext"]["seccompProfile"].is_null(); });
  if (silent.empty()) return {};
  return PodSecurityViolation{"seccompProfile",
                              "pod or " + named("container", silent) +
                                  " must set securityContext.seccompProfile.type to "
                                  "\"RuntimeDefault\" or \"Localhost\""};
}

using CheckPod = Found (*)(const Pod&);
template <CheckPod check>
Found unless_windows(const Pod& pod) {
  return pod.windows() ? Found() : check(pod);
}
template <CheckPod check>
Found unless_own_users(const Pod& pod) {
  return pod.own_users() ? Found() : check(pod);
}

// --- the table: in the order of answers; of one name, the newest that is not too new counts ---

struct Row {
  std::string_view name;
  Level level;
  int since;  // 1.x
  CheckPod check;
  std::string_view instead_of = {};  // a baseline check that this one makes needless
};
constexpr Row kRows[] = {
    {"appArmorProfile", Level::kBaseline, 0, app_armor},
    {"capabilities_baseline", Level::kBaseline, 0, capabilities_baseline},
    {"hostNamespaces", Level::kBaseline, 0, host_namespaces},
    {"hostPathVolumes", Level::kBaseline, 0, host_path_volumes},
    {"hostPorts", Level::kBaseline, 0, host_ports},
    {"hostProbesAndHostLifecycle", Level::kBaseline, 34, host_probes},
    {"privileged", Level::kBaseline, 0, privileged},
    {"procMount", Level::kBaseline, 0, proc_mount},
    {"procMount", Level::kBaseline, 35, proc_mount_of_own_users},
    {"seLinuxOptions", Level::kBaseline, 0, selinux_0},
    {"seLinuxOptions", Level::kBaseline, 31, selinux_31},
    {"seccompProfile_baseline", Level::kBaseline, 0, seccomp_annotations},
    {"seccompProfile_baseline", Level::kBaseline, 19, seccomp_baseline},
    {"sysctls", Level::kBaseline, 0, sysctls_0},
    {"sysctls", Level::kBaseline, 27, sysctls_27},
    {"sysctls", Level::kBaseline, 29, sysctls_29},
    {"sysctls", Level::kBaseline, 32, sysctls_32},
    {"windowsHostProcess", Level::kBaseline, 0, host_process},
    {"allowPrivilegeEscalation", Level::kRestricted, 8, escalation},
    {"allowPrivilegeEscalation", Level::kRestricted, 25, unless_windows<escalation>},
    {"capabilities_restricted", Level::kRestricted, 22, capabilities_restricted,
     "capabilities_baseline"},
    {"capabilities_restricted", Level::kRestricted, 25, unless_windows<capabilities_restricted>,
     "capabilities_baseline"},
    {"procMount_restricted", Level::kRestricted, 35, proc_mount, "procMount"},
    {"restrictedVolumes", Level::kRestricted, 0, restricted_volumes, "hostPathVolumes"},
    {"runAsNonRoot", Level::kRestricted, 0, non_root},
    {"runAsNonRoot", Level::kRestricted, 35, unless_own_users<non_root>},
    {"runAsUser", Level::kRestricted, 23, run_as_user},
    {"runAsUser", Level::kRestricted, 35, unless_own_users<run_as_user>},
    {"seccompProfile_restricted", Level::kRestricted, 19, seccomp_restricted,
     "seccompProfile_baseline"},
    {"seccompProfile_restricted", Level::kRestricted, 25, unless_windows<seccomp_restricted>,
     "seccompProfile_baseline"},
};

// Whether the row counts in this version and level.
bool counts(const Row& row, const PodSecurity& wanted) {
  if (row.level > wanted.level || row.since > wanted.minor) return false;
  for (const Row& other : kRows) {
    if (other.level > wanted.level || other.since > wanted.minor) continue;
    if (other.instead_of == row.name) return false;
    if (other.name == row.name && other.since > row.since) return false;
  }
  return true;
}

}  // namespace

std::optional<PodSecurityLevel> parse_pod_security_level(std::string_view text) {
  if (text == "privileged") return Level::kPrivileged;
  if (text == "baseline") return Level::kBaseline;
  if (text == "restricted") return Level::kRestricted;
  return std::nullopt;
}

std::optional<int> parse_pod_security_version(std::string_view text) {
  if (text == "latest") return kLatestPodSecurity;
  if (!text.starts_with("v1.")) return std::nullopt;
  text.remove_prefix(3);
  int minor = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minor);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  const bool plain = whole && text[0] != '-' && (text[0] != '0' || text.size() == 1);
  return plain ? std::optional<int>(minor) : std::nullopt;
}

std::string PodSecurity::text() const {
  const char* name = level == Level::kPrivileged ? "privileged"
                     : level == Level::kBaseline ? "baseline"
                                                 : "restricted";
  return std::string(name) + ":" +
         (minor == kLatestPodSecurity ? "latest" : "v1." + std::to_string(minor));
}

std::vector<PodSecurityViolation> check_pod_security(const PodSecurity& wanted,
                                                     const Value& metadata, const Value& spec) {
  std::vector<PodSecurityViolation> out;
  const Pod pod{metadata, spec};
  for (const Row& row : kRows) {
    if (!counts(row, wanted)) continue;
    if (Found bad = row.check(pod)) out.push_back(std::move(*bad));
  }
  return out;
}

std::string reasons_of(const std::vector<PodSecurityViolation>& violations) {
  Texts out;
  for (const PodSecurityViolation& v : violations) out.push_back(v.reason);
  return join(out, ", ");
}

std::string details_of(const std::vector<PodSecurityViolation>& violations) {
  Texts out;
  for (const PodSecurityViolation& v : violations) out.push_back(v.reason + " (" + v.detail + ")");
  return join(out, ", ");
}

}  // namespace keles::admission
