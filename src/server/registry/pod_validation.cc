// A pod's spec as a whole, and pods on create. See pod_validation.h.
#include "server/registry/pod_validation.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "server/objects/pod_references.h"
#include "server/registry/checks.h"

namespace keles::registry {
namespace {

constexpr size_t kMostNameservers = 3, kMostSearches = 32, kLongestSearches = 2048,
                 kLongestHostname = 64;
constexpr std::string_view kDeletionCost = "controller.kubernetes.io/pod-deletion-cost";

// --- names and addresses ------------------------------------------------------------------------

// A subdomain whose parts may begin with an underscore and have more within.
bool is_search(std::string_view search) {
  auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  while (true) {
    const size_t dot = search.find('.');
    std::string_view part = search.substr(0, dot);
    if (part.starts_with('_')) part.remove_prefix(1);
    if (part.empty() || !alnum(part.front()) || !alnum(part.back())) return false;
    for (char c : part) {
      if (!alnum(c) && c != '-' && c != '_') return false;
    }
    if (dot == search.npos) return true;
    search.remove_prefix(dot + 1);
  }
}

void check_search(FieldErrors& e, const FieldPath& p, std::string_view search) {
  if (search == ".") return;
  if (search.ends_with('.')) search.remove_suffix(1);
  if (search.size() > 253) field::invalid(e, p, search, "must be no more than 253 characters");
  if (is_search(search)) return;
  field::invalid(e, p, search,
                 "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                 "characters, '_', '-' or '.', and must start and end with an alphanumeric "
                 "character (e.g. 'example.com', regex used for validation is "
                 "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')");
}

void check_dns(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  const core::PodDNSConfig config = spec.dns_config();
  if (spec.dns_policy() == "None") {
    if (!config) {
      field::required(e, p, "must provide `dnsConfig` when `dnsPolicy` is None");
      return;
    }
    if (config.nameservers().empty()) {
      field::required(e, p["nameservers"],
                      "must provide at least one DNS nameserver when `dnsPolicy` is None");
      return;
    }
  }
  if (!config) return;
  size_t i = 0, length = 0;
  if (config.nameservers().size() > kMostNameservers) {
    field::invalid(e, p["nameservers"], config.nameservers().value(),
                   "must not have more than 3 nameservers");
  }
  for (std::string_view ns : config.nameservers()) {
    field::invalid_each(e, p["nameservers"][i++], ns, check_ip(ns));
  }
  if (config.searches().size() > kMostSearches) {
    field::invalid(e, p["searches"], config.searches().value(),
                   "must not have more than 32 search paths");
  }
  for (std::string_view s : config.searches()) length += s.size() + (length ? 1 : 0);
  if (length > kLongestSearches) {
    field::invalid(e, p["searches"], config.searches().value(),
                   "must not have more than 2048 characters (including spaces) in the search list");
  }
  i = 0;
  for (std::string_view s : config.searches()) check_search(e, p["searches"][i++], s);
  i = 0;
  for (core::PodDNSConfigOption option : config.options()) {
    if (option.name().empty()) field::required(e, p["options"][i], "must not be empty");
    ++i;
  }
}

void check_hostname(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  if (!spec.has_hostname_override()) return;
  if (spec.set_hostname_as_fqdn()) {
    field::forbidden(e, p, "may not be specified when setHostnameAsFQDN is true");
  }
  if (spec.host_network()) {
    field::forbidden(e, p, "may not be specified when hostNetwork is true");
  }
  const std::string_view name = spec.hostname_override();
  if (name.size() > kLongestHostname) field::too_long(e, p, kLongestHostname);
  field::invalid_each(e, p, name, check_dns1123_subdomain(name));
}

void check_unless_empty(FieldErrors& e, const FieldPath& p, std::string_view name,
                        Messages (*check)(std::string_view)) {
  if (!name.empty()) field::invalid_each(e, p, name, check(name));
}

void check_host_aliases(FieldErrors& e, const FieldPath& p, const List<core::HostAlias>& aliases) {
  size_t i = 0;
  for (core::HostAlias alias : aliases) {
    const FieldPath at = p[i++];
    field::invalid_each(e, at["ip"], alias.ip(), check_ip(alias.ip()));
    size_t j = 0;
    for (std::string_view name : alias.hostnames()) {
      field::invalid_each(e, at["hostnames"][j++], name, check_dns1123_subdomain(name));
    }
  }
}

// --- gates and claims ---------------------------------------------------------------------------

void check_gates(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  size_t i = 0;
  for (core::PodReadinessGate gate : spec.readiness_gates()) {
    const FieldPath at = p["readinessGates"][i++]["conditionType"];
    field::invalid_each(e, at, gate.condition_type(), check_qualified_name(gate.condition_type()));
  }
  std::set<std::string_view> seen;
  i = 0;
  for (core::PodSchedulingGate gate : spec.scheduling_gates()) {
    const FieldPath at = p["schedulingGates"][i++];
    field::invalid_each(e, at, gate.name(), check_qualified_name(gate.name()));
    if (!seen.insert(gate.name()).second) field::duplicate(e, at, gate.name());
  }
}

void check_claim(FieldErrors& e, const FieldPath& p, const core::PodResourceClaim& claim,
                 std::set<std::string_view>& seen) {
  if (claim.name().empty()) {
    field::required(e, p["name"]);
  } else if (!seen.insert(claim.name()).second) {
    field::duplicate(e, p["name"], claim.name());
  } else {
    field::invalid_each(e, p["name"], claim.name(), check_dns1123_label(claim.name()));
  }
  const bool own = claim.has_resource_claim_name(), made = claim.has_resource_claim_template_name();
  if (own && made) {
    invalid_as(e, p, struct_text(claim),
               "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be "
               "specified");
  } else if (!own && !made) {
    invalid_as(e, p, struct_text(claim),
               "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
  }
  for (std::string_view f : {"resourceClaimName", "resourceClaimTemplateName"}) {
    const Value& name = claim.value()[f];
    if (name.is_null()) continue;
    field::invalid_each(e, p[f], name.as_string(), check_dns1123_subdomain(name.as_string()));
  }
}

void check_claims(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                  const PodOptions& options) {
  const bool mirror =
      options.metadata && (*options.metadata)["annotations"].find(server::kMirrorAnnotation);
  std::set<std::string_view> seen;
  size_t i = 0;
  for (core::PodResourceClaim claim : spec.resource_claims()) {
    const FieldPath at = p[i++];
    if (mirror) {
      field::forbidden(e, FieldPath(""), "static pods do not support resource claims");
    } else {
      check_claim(e, at, claim, seen);
    }
  }
}

// --- the node's namespaces ----------------------------------------------------------------------

// With the node's network a port of the container is one of the node; templates may leave it open.
void check_host_network(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                        const PodOptions& options) {
  if (!spec.host_network()) return;
  size_t i = 0;
  for (core::Container c : spec.containers()) {
    const FieldPath at = p["containers"][i++]["ports"];
    size_t j = 0;
    for (core::ContainerPort port : c.ports()) {
      const FieldPath here = at[j++]["hostPort"];
      if (port.host_port() == port.container_port()) continue;
      if (!options.is_pod && port.host_port() == 0) continue;
      field::invalid(e, here, port.host_port(),
                     "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

void check_host_users(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                      const PodOptions& options) {
  if (!spec.has_host_users() || spec.host_users()) return;
  constexpr std::string_view kWhen = "when `hostUsers` is false";
  if (spec.host_network()) field::forbidden(e, p["hostNetwork"], std::string(kWhen));
  if (spec.host_pid()) field::forbidden(e, p["HostPID"], std::string(kWhen));
  if (spec.host_ipc()) field::forbidden(e, p["HostIPC"], std::string(kWhen));
  if (options.devices_in_user_namespace) return;
  each_container(p, spec, [&](const core::Container& c, const FieldPath& at) {
    if (c.volume_devices().empty()) return;
    field::forbidden(e, at["volumeDevices"], std::string(kWhen));
  });
}

// Variables from a file take it from an emptyDir.
void check_file_volumes(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec) {
  each_container(p, spec, [&](const core::Container& c, const FieldPath& where) {
    size_t i = 0;
    for (core::EnvVar var : c.env()) {
      const FieldPath at = where["env"][i++]["valueFrom"]["fileKeyRef"]["volumeName"];
      if (!var.value_from().has_file_key_ref()) continue;
      const std::string_view name = var.value_from().file_key_ref().volume_name();
      bool found = false, empty_dir = false;
      for (core::Volume v : spec.volumes()) {
        if (v.name() == name) found = true, empty_dir = v.has_empty_dir();
      }
      if (!found) {
        field::not_found(e, at, name);
      } else if (!empty_dir) {
        field::invalid(e, at, name, "referenced volume must be of type emptyDir");
      }
    }
  });
}

PodContext context_of(const core::PodSpec& spec) {
  PodContext pod;
  pod.spec = spec;
  pod.host_users = !spec.has_host_users() || spec.host_users();
  for (core::PodResourceClaim c : spec.resource_claims()) {
    if (!c.name().empty()) pod.claims.insert(c.name());
  }
  return pod;
}

void check_names(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                 const PodOptions& options) {
  check_unless_empty(e, p["serviceAccountName"], spec.service_account_name(),
                     check_dns1123_subdomain);
  check_unless_empty(e, p["nodeName"], spec.node_name(), check_dns1123_subdomain);
  if (spec.has_active_deadline_seconds()) {
    for (auto& m : check_range(spec.active_deadline_seconds(), 1, 2147483647)) {
      field::invalid(e, p["activeDeadlineSeconds"], spec.active_deadline_seconds(), m);
    }
  }
  check_unless_empty(e, p["hostname"], spec.hostname(), check_dns1123_label);
  check_unless_empty(e, p["subdomain"], spec.subdomain(), check_dns1123_label);
  validate_tolerations(e, p["tolerations"], spec.tolerations());
  check_host_aliases(e, p["hostAliases"], spec.host_aliases());
  check_unless_empty(e, p["priorityClassName"], spec.priority_class_name(),
                     check_dns1123_subdomain);
  if (spec.has_runtime_class_name()) {
    field::invalid_each(e, p["runtimeClassName"], spec.runtime_class_name(),
                        check_dns1123_subdomain(spec.runtime_class_name()));
  }
  if (spec.has_preemption_policy()) {
    check_word(e, p["preemptionPolicy"], spec.preemption_policy(),
               {"PreemptLowerPriority", "Never"});
  }
  if (!spec.overhead().empty()) {
    validate_overhead(e, p["overhead"], spec.value()["overhead"], options);
  }
}

bool is_deletion_cost(std::string_view text) {
  if (text.empty() || (text[0] == '0' && text.size() > 1)) return false;
  int32_t n = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), n);
  return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

bool has_bad_cost(const Value& annotations) {
  const Value* cost = annotations.find(kDeletionCost);
  return cost && !is_deletion_cost(cost->as_string());
}

void note_resources(const core::PodSpec& stored, PodOptions& options) {
  auto look = [&](const Value& amounts) {
    for (const Member& m : amounts.members()) {
      options.indivisible_huge_pages |= indivisible_huge_page(m.key(), m.value.as_string());
    }
  };
  each_container(FieldPath("spec"), stored, [&](const core::Container& c, const FieldPath&) {
    look(c.resources().value()["limits"]);
    look(c.resources().value()["requests"]);
    options.devices_in_user_namespace |=
        stored.has_host_users() && !stored.host_users() && !c.volume_devices().empty();
  });
  look(stored.value()["overhead"]);
  for (core::Container c : stored.init_containers()) {
    for (core::ContainerResizePolicy policy : c.resize_policy()) {
      options.init_restarts_on_resize |=
          c.restart_policy() != "Always" && policy.restart_policy() == "RestartContainer";
    }
  }
}

}  // namespace

// --- paths --------------------------------------------------------------------------------------

void descending_path(FieldErrors& e, const FieldPath& p, std::string_view path) {
  if (path.starts_with('/')) field::invalid(e, p, path, "must be a relative path");
  no_backsteps(e, p, path);
}

void local_path(FieldErrors& e, const FieldPath& p, std::string_view path) {
  descending_path(e, p, path);
  if (path.starts_with("..") && !path.starts_with("../")) {
    field::invalid(e, p, path, "must not start with '..'");
  }
}

// --- the whole ----------------------------------------------------------------------------------

PodOptions pod_options(const core::PodSpec* stored, const Value* stored_annotations) {
  PodOptions out;
  if (stored_annotations) out.invalid_deletion_cost = has_bad_cost(*stored_annotations);
  if (!stored) return out;
  note_placement(*stored, out);
  note_resources(*stored, out);
  out.host_sysctls = has_host_sysctl(*stored);
  out.any_selinux_policy = stored->security_context().has_se_linux_change_policy();
  for (core::Volume v : stored->volumes()) {
    for (core::VolumeProjection s : v.projected().sources()) {
      FieldErrors found;
      if (s.has_service_account_token()) {
        local_path(found, FieldPath(""), s.service_account_token().path());
      }
      out.nonlocal_token_paths |= !found.empty();
    }
  }
  return out;
}

PodOptions template_options(const core::PodTemplateSpec* stored) {
  if (!stored) return {};
  const core::PodSpec spec = stored->spec();
  return pod_options(&spec, &stored->value()["metadata"]["annotations"]);
}

void validate_pod_spec(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                       const PodOptions& options) {
  if (!spec.has_termination_grace_period_seconds()) {
    field::required(e, p["terminationGracePeriodSeconds"]);
  }
  PodContext pod = context_of(spec);
  pod.volumes = validate_volumes(e, p["volumes"], spec.volumes(), options);
  check_claims(e, p["resourceClaims"], spec, options);
  validate_containers(e, p["containers"], pod, options);
  validate_init_containers(e, p["initContainers"], pod, options);
  validate_ephemeral_containers(e, p["ephemeralContainers"], pod, options);
  validate_pod_resources(e, p["resources"], pod, options);
  check_host_network(e, p, spec, options);
  check_word(e, p["restartPolicy"], spec.restart_policy(), {"Always", "OnFailure", "Never"});
  check_word(e, p["dnsPolicy"], spec.dns_policy(),
             {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"});
  validate_labels(e, p["nodeSelector"], spec.value()["nodeSelector"]);
  validate_pod_security_context(e, p["securityContext"], spec, options);
  validate_affinity(e, p["affinity"], spec.affinity(), options);
  check_dns(e, p["dnsConfig"], spec);
  check_gates(e, p, spec);
  validate_spread(e, p["topologySpreadConstraints"], spec.topology_spread_constraints(), options);
  validate_host_process(e, p, spec);
  check_host_users(e, p, spec, options);
  check_hostname(e, p["hostnameOverride"], spec);
  check_names(e, p, spec, options);
  validate_os_fields(e, p, spec);
  check_file_volumes(e, p, spec);
}

void validate_pod_annotations(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& all,
                              const core::PodSpec& spec, const PodOptions& options) {
  if (all.contains(server::kMirrorAnnotation) && spec.node_name().empty()) {
    field::invalid(e, p.key(server::kMirrorAnnotation), all.get(server::kMirrorAnnotation),
                   "must set spec.nodeName if mirror pod annotation is set");
  }
  if (!options.invalid_deletion_cost && has_bad_cost(all.value())) {
    field::invalid(e, p.key(kDeletionCost), all.get(kDeletionCost), "must be a 32bit integer");
  }
  validate_seccomp_annotations(e, p, all);
  validate_app_armor_annotations(e, p, all, spec);
}

void validate_pod_template(FieldErrors& e, const FieldPath& p, const core::PodTemplateSpec& tmpl,
                           const PodOptions& options) {
  const Value& meta = tmpl.value()["metadata"];
  const Map<std::string_view> annotations(meta["annotations"]);
  validate_labels(e, p["labels"], meta["labels"]);
  validate_annotations(e, p["annotations"], meta["annotations"]);
  validate_pod_annotations(e, p["annotations"], annotations, tmpl.spec(), options);
  validate_pod_spec(e, p["spec"], tmpl.spec(), options);
  validate_seccomp_match(e, p["spec"], annotations, tmpl.spec());
  validate_app_armor_match(e, p["spec"], annotations, tmpl.spec());
  if (!tmpl.spec().ephemeral_containers().empty()) {
    field::forbidden(e, p["spec"]["ephemeralContainers"],
                     "ephemeral containers not allowed in pod template");
  }
}

void validate_pod(FieldErrors& e, const core::Pod& pod, const PodOptions& options) {
  const FieldPath p("spec");
  const core::PodSpec spec = pod.spec();
  const Map<std::string_view> annotations(pod.value()["metadata"]["annotations"]);
  validate_pod_annotations(e, FieldPath("metadata")["annotations"], annotations, spec, options);
  validate_pod_spec(e, p, spec, options);
  size_t i = 0;
  for (core::Volume v : spec.volumes()) {
    const FieldPath at = p["volumes"][i++]["projected"]["sources"];
    size_t j = 0;
    for (core::VolumeProjection s : v.projected().sources()) {
      const FieldPath token = at[j++]["serviceAccountToken"];
      if (!s.has_service_account_token() || !spec.service_account_name().empty()) continue;
      field::forbidden(e, token, "must not be specified when serviceAccountName is not set");
    }
  }
  i = 0;
  for (core::Container c : spec.containers()) {
    validate_image_space(e, p["containers"][i++]["image"], c.image());
  }
  i = 0;
  for (core::Container c : spec.init_containers()) {
    validate_image_space(e, p["initContainers"][i++]["image"], c.image());
  }
}

void validate_pod_create(FieldErrors& e, const core::Pod& pod) {
  PodOptions options = pod_options(nullptr);
  options.is_pod = true;
  options.metadata = &pod.value()["metadata"];
  const FieldPath p("spec");
  const core::PodSpec spec = pod.spec();
  validate_pod(e, pod, options);
  if (!spec.ephemeral_containers().empty()) {
    field::forbidden(e, p["ephemeralContainers"], "cannot be set on create");
  }
  if (!spec.node_name().empty() && !spec.scheduling_gates().empty()) {
    field::forbidden(e, p["nodeName"], "cannot be set until all schedulingGates have been cleared");
  }
  const Map<std::string_view> annotations(pod.value()["metadata"]["annotations"]);
  validate_seccomp_match(e, p, annotations, spec);
  validate_app_armor_match(e, p, annotations, spec);
}

}  // namespace keles::registry
