// Checks of pods and of what makes pods: each error that upstream finds, in its words and its order
// (k8s.io/kubernetes/pkg/apis/core/validation). Everything is said here, the description's required
// fields and words too: strategies that call these set `described` to false. Pure, any thread.
#pragma once

#include <set>
#include <string_view>

#include "api/core_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

namespace core = api::core_v1;

// How a pod's spec is looked at: what is asked of pods alone, and what a stored object has that
// would be refused today and that its updates may keep.
struct PodOptions {
  bool is_pod = false;              // not a template
  const Value* metadata = nullptr;  // the pod's; null for templates
  bool invalid_deletion_cost = false;
  bool indivisible_huge_pages = false;
  bool invalid_affinity_selectors = false;
  bool invalid_node_affinity_values = false;
  bool invalid_spread_selectors = false;
  bool invalid_spread_label_keys = false;
  bool nonlocal_token_paths = false;
  bool host_sysctls = false;
  bool any_selinux_policy = false;
  bool devices_in_user_namespace = false;
  bool init_restarts_on_resize = false;
};
// `stored`: the spec and the annotations of the stored object; null on a create.
PodOptions pod_options(const core::PodSpec* stored, const Value* stored_annotations = nullptr);
// Of a template, and of the stored one.
PodOptions template_options(const core::PodTemplateSpec* stored);

void validate_pod_spec(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                       const PodOptions& options);
// Labels and annotations, and the spec.
void validate_pod_template(FieldErrors& e, const FieldPath& p, const core::PodTemplateSpec& tmpl,
                           const PodOptions& options);
// Annotations that mean something for a pod. `p` is the annotations' path.
void validate_pod_annotations(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& all,
                              const core::PodSpec& spec, const PodOptions& options);
// Whole pods: as they are created, updated, and as their subresources change them. Metadata itself
// is checked by the generic registry.
void validate_pod(FieldErrors& e, const core::Pod& pod, const PodOptions& options);
void validate_pod_create(FieldErrors& e, const core::Pod& pod);
void validate_pod_update(FieldErrors& e, const core::Pod& now, const core::Pod& before);
void validate_pod_status(FieldErrors& e, const core::Pod& now, const core::Pod& before);
void validate_pod_ephemeral(FieldErrors& e, const core::Pod& now, const core::Pod& before);
void validate_pod_resize(FieldErrors& e, const core::Pod& now, const core::Pod& before);
std::string_view qos_class(const core::PodSpec& spec);

// --- parts, each in a file of its own -----------------------------------------------------------

// The volumes that are in order, by name: what mounts may use.
class NamedVolumes {
 public:
  void add(std::string_view name, const Value& volume) { all_.emplace_back(name, &volume); }
  // Null when there is none.
  const Value* find(std::string_view name) const {
    for (const auto& [n, v] : all_) {
      if (n == name) return v;
    }
    return nullptr;
  }

 private:
  std::vector<std::pair<std::string_view, const Value*>> all_;
};

// What containers refer to in their pod.
struct PodContext {
  core::PodSpec spec;
  NamedVolumes volumes;
  std::set<std::string_view> claims;  // names in spec.resourceClaims
  bool host_users = true;
};

NamedVolumes validate_volumes(FieldErrors& e, const FieldPath& p, const List<core::Volume>& volumes,
                              const PodOptions& options);
void validate_containers(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                         const PodOptions& options);
void validate_init_containers(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                              const PodOptions& options);
void validate_ephemeral_containers(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                                   const PodOptions& options);
void validate_pull_policy(FieldErrors& e, const FieldPath& p, std::string_view policy);
void validate_image_space(FieldErrors& e, const FieldPath& p, std::string_view image);
void validate_env(FieldErrors& e, const FieldPath& p, const List<core::EnvVar>& vars);
void validate_env_from(FieldErrors& e, const FieldPath& p, const List<core::EnvFromSource>& vars);
void validate_field_selector(FieldErrors& e, const FieldPath& p,
                             const core::ObjectFieldSelector& from,
                             std::initializer_list<std::string_view> known);
void validate_resource_selector(FieldErrors& e, const FieldPath& p,
                                const core::ResourceFieldSelector& from, bool volume);

// Probes, hooks and what follows an exit.
void validate_probes(FieldErrors& e, const FieldPath& p, const core::Container& c,
                     const core::PodSpec& spec);
void validate_lifecycle(FieldErrors& e, const FieldPath& p, const core::Lifecycle& lifecycle,
                        const core::PodSpec& spec);
void validate_restart_rules(FieldErrors& e, const FieldPath& p, const core::Container& c);

// Resources. `claims`: names that the pod has; null where there are none to name.
void validate_container_resources(FieldErrors& e, const FieldPath& p,
                                  const core::ResourceRequirements& resources,
                                  const std::set<std::string_view>* claims,
                                  const PodOptions& options);
void validate_overhead(FieldErrors& e, const FieldPath& p, const Value& overhead,
                       const PodOptions& options);
void validate_pod_resources(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                            const PodOptions& options);
bool indivisible_huge_page(std::string_view name, std::string_view amount);

// Security contexts.
void validate_security_context(FieldErrors& e, const FieldPath& p, const core::SecurityContext& sc,
                               bool host_users);
void validate_pod_security_context(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                                   const PodOptions& options);
void validate_host_process(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec);
void validate_os_fields(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec);
// Annotations of older days against the fields that say the same.
void validate_seccomp_match(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& all,
                            const core::PodSpec& spec);
void validate_app_armor_match(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& all,
                              const core::PodSpec& spec);
void validate_seccomp_annotations(FieldErrors& e, const FieldPath& p,
                                  const Map<std::string_view>& all);
void validate_app_armor_annotations(FieldErrors& e, const FieldPath& p,
                                    const Map<std::string_view>& all, const core::PodSpec& spec);
// securityContext.sysctls, of `p`.
void validate_sysctls(FieldErrors& e, const FieldPath& p, const core::PodSpec& spec,
                      bool with_hosts_allowed);
bool has_host_sysctl(const core::PodSpec& spec);

// Where pods may run.
void validate_affinity(FieldErrors& e, const FieldPath& p, const core::Affinity& affinity,
                       const PodOptions& options);
void validate_tolerations(FieldErrors& e, const FieldPath& p,
                          const List<core::Toleration>& tolerations);
void validate_spread(FieldErrors& e, const FieldPath& p,
                     const List<core::TopologySpreadConstraint>& list, const PodOptions& options);
// What of these an older object has, see PodOptions.
void note_placement(const core::PodSpec& stored, PodOptions& options);

// --- paths --------------------------------------------------------------------------------------

// Relative, and that.
void descending_path(FieldErrors& e, const FieldPath& p, std::string_view path);
// That, and no name that begins with two dots.
void local_path(FieldErrors& e, const FieldPath& p, std::string_view path);

void validate_quantity(FieldErrors& e, const FieldPath& p, const Value& quantity);

// Every container, the init containers first and the ephemeral ones last: fn(container, path).
template <class Fn>
void each_container(const FieldPath& p, const core::PodSpec& spec, const Fn& fn) {
  size_t i = 0;
  for (core::Container c : spec.init_containers()) fn(c, p["initContainers"][i++]);
  i = 0;
  for (core::Container c : spec.containers()) fn(c, p["containers"][i++]);
  i = 0;
  for (core::EphemeralContainer c : spec.ephemeral_containers()) {
    fn(core::Container(c.value()), p["ephemeralContainers"][i++]);
  }
}

}  // namespace keles::registry
