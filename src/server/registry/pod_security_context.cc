// Security contexts of pods and containers, and the annotations that said the same before there
// were fields. See pod_validation.h.
#include <algorithm>

#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

void check_id(FieldErrors& e, const FieldPath& p, const Value& id) {
  if (id.is_null()) return;
  for (auto& m : check_range(id.as_int(), 0, 2147483647)) field::invalid(e, p, id.as_int(), m);
}

void check_seccomp(FieldErrors& e, const FieldPath& p, const core::SeccompProfile& profile) {
  if (!profile) return;
  const std::string_view type = profile.type();
  if (type.empty()) {
    field::required(e, p["type"], "type is required when seccompProfile is set");
  } else {
    check_known(e, p["type"], type, {"Localhost", "RuntimeDefault", "Unconfined"});
  }
  const FieldPath at = p["localhostProfile"];
  if (type != "Localhost") {
    if (profile.has_localhost_profile()) {
      invalid_as(e, at, struct_text(profile), "can only be set when seccomp type is Localhost");
    }
  } else if (!profile.has_localhost_profile()) {
    field::required(e, at, "must be set when seccomp type is Localhost");
  } else {
    descending_path(e, at, profile.localhost_profile());
  }
}

bool padded(std::string_view s) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  return !s.empty() &&
         (kSpace.find(s.front()) != kSpace.npos || kSpace.find(s.back()) != kSpace.npos);
}

constexpr size_t kLongestProfile = 4095;

void check_app_armor(FieldErrors& e, const FieldPath& p, const core::AppArmorProfile& profile) {
  if (!profile) return;
  const FieldPath at = p["localhostProfile"];
  const std::string_view type = profile.type(), name = profile.localhost_profile();
  if (type == "Localhost") {
    if (!profile.has_localhost_profile()) {
      field::required(e, at, "must be set when AppArmor type is Localhost");
      return;
    }
    if (padded(name)) {
      field::invalid(e, at, name, "must not be padded with whitespace");
    } else if (name.empty()) {
      field::required(e, at, "must be set when AppArmor type is Localhost");
    }
    if (name.size() > kLongestProfile) field::too_long(e, at, kLongestProfile);
  } else if (type == "RuntimeDefault" || type == "Unconfined") {
    if (profile.has_localhost_profile()) {
      field::invalid(e, at, name, "can only be set when AppArmor type is Localhost");
    }
  } else if (type.empty()) {
    field::required(e, p["type"], "type is required when appArmorProfile is set");
  } else {
    field::not_supported(e, p["type"], type, {"Localhost", "RuntimeDefault", "Unconfined"});
  }
}

// --- Windows ------------------------------------------------------------------------------------

constexpr size_t kLongestDomain = 255, kLongestUser = 104, kLargestSpec = 64 * 1024;

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_netbios(std::string_view s) {
  return !s.empty() && s.size() <= 15 && s[0] != '.' && s.find_first_of("\\/:*?\"<>|") == s.npos;
}

bool is_dns(std::string_view s) {
  while (true) {
    const size_t dot = s.find('.');
    const std::string_view label = s.substr(0, dot);
    if (label.empty() || label.size() > 63 || !is_alnum(label.front()) || !is_alnum(label.back())) {
      return false;
    }
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; })) {
      return false;
    }
    if (dot == s.npos) return true;
    s.remove_prefix(dot + 1);
  }
}

void check_user_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  auto bad = [&](const char* why) { field::invalid(e, p, name, why); };
  if (name.empty()) return bad("runAsUserName cannot be an empty string");
  auto control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };
  if (std::any_of(name.begin(), name.end(), control)) {
    return bad("runAsUserName cannot contain control characters");
  }
  const size_t slash = name.find('\\');
  if (slash != name.npos && name.find('\\', slash + 1) != name.npos) {
    return bad("runAsUserName cannot contain more than one backslash");
  }
  const bool has_domain = slash != name.npos;
  const std::string_view domain = has_domain ? name.substr(0, slash) : std::string_view();
  const std::string_view user = has_domain ? name.substr(slash + 1) : name;
  if (domain.size() > kLongestDomain) {
    bad("runAsUserName's Domain length must be under 256 characters");
  }
  if (has_domain && !is_netbios(domain) && !is_dns(domain)) {
    bad("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user.empty()) {
    bad("runAsUserName's User cannot be empty");
  } else if (user.size() > kLongestUser) {
    bad("runAsUserName's User length must not be longer than 104 characters");
  }
  if (!user.empty() && user.find_first_not_of(". ") == user.npos) {
    bad("runAsUserName's User cannot contain only periods or spaces");
  }
  if (user.find_first_of("\"/\\:;|=,+*?<>@[]") != user.npos) {
    bad("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
  }
}

void check_windows(FieldErrors& e, const FieldPath& p,
                   const core::WindowsSecurityContextOptions& windows) {
  if (!windows) return;
  if (windows.has_gmsa_credential_spec_name()) {
    const std::string_view name = windows.gmsa_credential_spec_name();
    field::invalid_each(e, p["gmsaCredentialSpecName"], name, check_dns1123_subdomain(name));
  }
  if (windows.has_gmsa_credential_spec()) {
    const FieldPath at = p["gmsaCredentialSpec"];
    const std::string_view spec = windows.gmsa_credential_spec();
    if (spec.empty()) {
      field::invalid(e, at, spec, "gmsaCredentialSpec cannot be an empty string");
    } else if (spec.size() > kLargestSpec) {
      field::invalid(e, at, spec, "gmsaCredentialSpec size must be under 64 KiB");
    }
  }
  if (windows.has_run_as_user_name()) {
    check_user_name(e, p["runAsUserName"], windows.run_as_user_name());
  }
}

constexpr std::string_view kNotOnWindows = "cannot be set for a windows pod";

void forbid(FieldErrors& e, const FieldPath& p, const Value& v,
            std::initializer_list<std::string_view> fields) {
  for (std::string_view f : fields) {
    const Value& x = v[f];
    if (!x.is_null()) field::forbidden(e, p[f], std::string(kNotOnWindows));
  }
}

void forbid_on_windows(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  const FieldPath at = p["securityContext"];
  const Value &s = spec.value(), &sc = s["securityContext"];
  forbid(e, at, sc, {"appArmorProfile", "seLinuxOptions"});
  forbid(e, p, s, {"hostUsers"});
  for (std::string_view f : {"hostPID", "hostIPC"}) {
    if (s[f].as_bool()) field::forbidden(e, p[f], std::string(kNotOnWindows));
  }
  forbid(e, at, sc, {"seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"});
  forbid(e, p, s, {"shareProcessNamespace"});
  forbid(e, at, sc,
         {"runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
          "seLinuxChangePolicy"});
  each_container(p, spec, [&](const core::Container& c, const FieldPath& where) {
    forbid(e, where["securityContext"], c.security_context().value(),
           {"appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
            "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount",
            "runAsUser", "runAsGroup"});
  });
}

// --- annotations --------------------------------------------------------------------------------

constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod",
                           kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/",
                           kAppArmor = "container.apparmor.security.beta.kubernetes.io/",
                           kLocalhost = "localhost/";

void check_seccomp_text(FieldErrors& e, const FieldPath& p, std::string_view profile) {
  if (is_one_of(profile, {"runtime/default", "docker/default", "unconfined"})) return;
  if (profile.starts_with(kLocalhost)) {
    descending_path(e, p, profile.substr(kLocalhost.size()));
  } else {
    field::invalid(e, p, profile, "must be a valid seccomp profile");
  }
}

void match_seccomp(FieldErrors& e, const FieldPath& p, std::string_view text,
                   const core::SeccompProfile& profile) {
  constexpr std::string_view kTypes = "seccomp type in annotation and field must match";
  const std::string_view type = profile.type();
  bool same = true;
  if (type == "Unconfined") {
    same = text == "unconfined";
  } else if (type == "RuntimeDefault") {
    same = is_one_of(text, {"runtime/default", "docker/default"});
  } else if (type == "Localhost") {
    same = text.starts_with(kLocalhost);
    if (same && text.substr(kLocalhost.size()) != profile.localhost_profile()) {
      field::forbidden(e, p["localhostProfile"],
                       "seccomp profile in annotation and field must match");
    }
  }
  if (!same) field::forbidden(e, p["type"], std::string(kTypes));
}

void match_app_armor(FieldErrors& e, const FieldPath& p, std::string_view text,
                     const core::AppArmorProfile& profile) {
  const std::string_view type = profile.type();
  bool same = true;
  if (type == "Unconfined") {
    same = text == "unconfined";
  } else if (type == "RuntimeDefault") {
    same = text == "runtime/default";
  } else if (type == "Localhost") {
    same = text.starts_with(kLocalhost);
    if (same && text.substr(kLocalhost.size()) != profile.localhost_profile()) {
      field::forbidden(e, p["localhostProfile"],
                       "apparmor profile in annotation and field must match");
    }
  }
  if (!same) field::forbidden(e, p["type"], "apparmor type in annotation and field must match");
}

}  // namespace

void validate_security_context(FieldErrors& e, const FieldPath& p, const core::SecurityContext& sc,
                               bool host_users) {
  if (!sc) return;
  check_id(e, p["runAsUser"], sc.value()["runAsUser"]);
  check_id(e, p["runAsGroup"], sc.value()["runAsGroup"]);
  if (sc.has_proc_mount()) {
    described(e, p, sc, "procMount");
    if (host_users && sc.proc_mount() == "Unmasked") {
      field::invalid(e, p["procMount"], sc.proc_mount(),
                     "`hostUsers` must be false to use `Unmasked`");
    }
  }
  check_seccomp(e, p["seccompProfile"], sc.seccomp_profile());
  if (sc.has_allow_privilege_escalation() && !sc.allow_privilege_escalation()) {
    if (sc.privileged()) {
      invalid_as(e, p, struct_text(sc),
                 "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    for (std::string_view c : sc.capabilities().add()) {
      if (c != "CAP_SYS_ADMIN") continue;
      invalid_as(e, p, struct_text(sc),
                 "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                 "CAP_SYS_ADMIN");
    }
  }
  check_windows(e, p["windowsOptions"], sc.windows_options());
  check_app_armor(e, p["appArmorProfile"], sc.app_armor_profile());
}

void validate_pod_security_context(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                                   const PodOptions& options) {
  const core::PodSecurityContext sc = spec.security_context();
  const Value& v = sc.value();
  for (std::string_view id : {"fsGroup", "runAsUser", "runAsGroup"}) check_id(e, p[id], v[id]);
  size_t i = 0;
  for (const Value& id : v["supplementalGroups"].items()) {
    check_id(e, p["supplementalGroups"][i++], id);
  }
  if (spec.share_process_namespace() && spec.host_pid()) {
    field::invalid(e, p["shareProcessNamespace"], Value(true),
                   "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  validate_sysctls(e, p["sysctls"], spec, options.host_sysctls);
  described(e, p, sc, "fsGroupChangePolicy");
  check_seccomp(e, p["seccompProfile"], sc.seccomp_profile());
  check_windows(e, p["windowsOptions"], sc.windows_options());
  check_app_armor(e, p["appArmorProfile"], sc.app_armor_profile());
  described(e, p, sc, "supplementalGroupsPolicy");
  if (!sc.has_se_linux_change_policy()) return;
  // Labels by a mount option are behind a gate that is closed.
  if (options.any_selinux_policy) {
    check_known(e, p["seLinuxChangePolicy"], sc.se_linux_change_policy(),
                {"MountOption", "Recursive"});
  } else {
    check_known(e, p["seLinuxChangePolicy"], sc.se_linux_change_policy(), {"Recursive"});
  }
}

void validate_host_process(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  const core::WindowsSecurityContextOptions own = spec.security_context().windows_options();
  const bool pod_says = own.has_host_process(), pod = own.host_process();
  size_t all = 0, host = 0;
  each_container(p, spec, [&](const core::Container& c, const FieldPath& at) {
    ++all;
    const core::WindowsSecurityContextOptions windows = c.security_context().windows_options();
    const bool says = windows.has_host_process(), value = windows.host_process();
    if (pod_says && says && pod != value) {
      field::invalid(e, at["securityContext"]["windowsOptions"]["hostProcess"], Value(value),
                     std::string("pod hostProcess value must be identical if both are specified, "
                                 "was ") +
                         (pod ? "true" : "false"));
    }
    if (says ? value : pod) ++host;
  });
  if (host == 0) return;
  if (host != all) {
    field::invalid(e, p, "",
                   "If pod contains any hostProcess containers then all containers must be "
                   "HostProcess containers");
  }
  if (!spec.host_network()) {
    field::invalid(e, p["hostNetwork"], Value(false),
                   "hostNetwork must be true if pod contains any hostProcess containers");
  }
}

void validate_os_fields(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  if (!spec.has_os()) return;
  const std::string_view os = spec.os().name();
  if (os.empty()) return field::required(e, p["os"]["name"]);
  if (os == "windows") return forbid_on_windows(e, p, spec);
  if (os != "linux") return field::not_supported(e, p["os"], os, {"linux", "windows"});
  constexpr std::string_view kNotOnLinux = "windows options cannot be set for a linux pod";
  if (spec.security_context().has_windows_options()) {
    field::forbidden(e, p["securityContext"]["windowsOptions"], std::string(kNotOnLinux));
  }
  each_container(p, spec, [&](const core::Container& c, const FieldPath& at) {
    if (!c.security_context().has_windows_options()) return;
    field::forbidden(e, at["securityContext"]["windowsOptions"], std::string(kNotOnLinux));
  });
}

void validate_seccomp_annotations(FieldErrors& e, const FieldPath& p,
                                  const Map<std::string_view>& all) {
  if (all.contains(kSeccompPod)) check_seccomp_text(e, p[kSeccompPod], all.get(kSeccompPod));
  for (const auto& a : all) {
    if (a.key.starts_with(kSeccompContainer)) check_seccomp_text(e, p[a.key], a.value);
  }
}

void validate_app_armor_annotations(FieldErrors& e, const FieldPath& p,
                                    const Map<std::string_view>& all, const core::PodSpec& spec) {
  for (const auto& a : all) {
    if (!a.key.starts_with(kAppArmor)) continue;
    const std::string_view name = a.key.substr(kAppArmor.size());
    bool found = false;
    each_container(p, spec,
                   [&](const core::Container& c, const FieldPath&) { found |= c.name() == name; });
    if (!found) field::invalid(e, p.key(a.key), name, "container not found");
    if (a.value.empty() || is_one_of(a.value, {"runtime/default", "unconfined"}) ||
        a.value.starts_with(kLocalhost)) {
      continue;
    }
    field::invalid(e, p.key(a.key), a.value, "invalid AppArmor profile name: " + quoted(a.value));
  }
}

void validate_seccomp_match(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& all,
                            const core::PodSpec& spec) {
  const core::SeccompProfile own = spec.security_context().seccomp_profile();
  if (own && all.contains(kSeccompPod)) {
    match_seccomp(e, p["securityContext"]["seccompProfile"], all.get(kSeccompPod), own);
  }
  each_container(p, spec, [&](const core::Container& c, const FieldPath& at) {
    const core::SeccompProfile profile = c.security_context().seccomp_profile();
    const std::string key = std::string(kSeccompContainer) + std::string(c.name());
    if (!profile || !all.contains(key)) return;
    match_seccomp(e, at["securityContext"]["seccompProfile"], all.get(key), profile);
  });
}

void validate_app_armor_match(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& all,
                              const core::PodSpec& spec) {
  if (spec.os().name() == "windows") return;
  const core::AppArmorProfile own = spec.security_context().app_armor_profile();
  each_container(p, spec, [&](const core::Container& c, const FieldPath& at) {
    core::AppArmorProfile profile = c.security_context().app_armor_profile();
    if (!profile) profile = own;
    const std::string key = std::string(kAppArmor) + std::string(c.name());
    if (!profile || !all.contains(key)) return;
    match_app_armor(e, at["securityContext"]["appArmorProfile"], all.get(key), profile);
  });
}

}  // namespace keles::registry
