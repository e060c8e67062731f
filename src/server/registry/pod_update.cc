// What may change of a pod: by an update, and by each of its subresources. See pod_validation.h.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "machinery/equality.h"
#include "machinery/quantity.h"
#include "server/objects/pod_references.h"
#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"
#include "server/registry/struct_diff.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec"), kStatus("status");
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";

PodOptions options_of(const core::Pod& now, const core::Pod& before) {
  const core::PodSpec spec = before.spec();
  PodOptions out = pod_options(&spec, &before.value()["metadata"]["annotations"]);
  out.is_pod = true;
  out.metadata = &now.value()["metadata"];
  return out;
}

void check_annotation_changes(FieldErrors& e, const FieldPath& p, const Value& now,
                              const Value& before) {
  for (const Member& m : before.members()) {
    const Value* kept = now.find(m.key());
    if (kept && kept->equals(m.value)) continue;
    if (m.key().starts_with(kAppArmor)) {
      field::forbidden(e, p.key(m.key()), "may not remove or update AppArmor annotations");
    }
    if (m.key() == server::kMirrorAnnotation) {
      field::forbidden(e, p.key(m.key()), "may not remove or update mirror pod annotation");
    }
  }
  for (const Member& m : now.members()) {
    if (before.find(m.key())) continue;
    if (m.key().starts_with(kAppArmor)) {
      field::forbidden(e, p.key(m.key()), "may not add AppArmor annotations");
    }
    if (m.key() == server::kMirrorAnnotation) {
      field::forbidden(e, p.key(m.key()), "may not add mirror pod annotation");
    }
  }
}

void check_annotation_update(FieldErrors& e, const core::Pod& now, const core::Pod& before,
                             const PodOptions& options) {
  const FieldPath at = FieldPath("metadata")["annotations"];
  const Value& annotations = now.value()["metadata"]["annotations"];
  check_annotation_changes(e, at, annotations, before.value()["metadata"]["annotations"]);
  validate_pod_annotations(e, at, Map<std::string_view>(annotations), now.spec(), options);
}

// --- updates ------------------------------------------------------------------------------------

// False when the containers cannot be compared one by one.
bool check_containers(FieldErrors& e, const FieldPath& p, const Value& now, const Value& before) {
  if (now.size() != before.size()) {
    field::forbidden(e, p, "pod updates may not add or remove containers");
    return false;
  }
  size_t i = 0;
  for (const Value& c : now.items()) {
    const FieldPath at = p[i++]["image"];
    const std::string_view image = c["image"].as_string();
    if (image.empty()) field::required(e, at);
    validate_image_space(e, at, image);
  }
  return true;
}

// False when nothing more is said of the update.
bool check_deadline(FieldErrors& e, const core::PodSpec& now, const core::PodSpec& before) {
  const FieldPath at = kSpec["activeDeadlineSeconds"];
  const int64_t deadline = now.active_deadline_seconds();
  if (!now.has_active_deadline_seconds()) {
    if (before.has_active_deadline_seconds()) {
      invalid_as(e, at, "null", "must not update from a positive integer to nil value");
    }
    return true;
  }
  if (auto bad = check_range(deadline, 0, 2147483647); !bad.empty()) {
    field::invalid(e, at, deadline, bad[0]);
    return false;
  }
  if (before.has_active_deadline_seconds() && before.active_deadline_seconds() < deadline) {
    field::invalid(e, at, deadline, "must be less than or equal to previous value");
    return false;
  }
  return true;
}

bool has_toleration(const Value& list, const Value& wanted) {
  auto same = [&](const Value& t) {
    for (std::string_view key : {"key", "operator", "value", "effect"}) {
      if (t[key].as_string() != wanted[key].as_string()) return false;
    }
    return true;
  };
  return std::any_of(list.items().begin(), list.items().end(), same);
}

void check_tolerations(FieldErrors& e, const core::PodSpec& now, const core::PodSpec& before) {
  const FieldPath at = kSpec["tolerations"];
  for (const Value& t : before.value()["tolerations"].items()) {
    if (has_toleration(now.value()["tolerations"], t)) continue;
    field::forbidden(e, at, "existing toleration can not be modified except its tolerationSeconds");
    return;
  }
  validate_tolerations(e, at, now.tolerations());
}

void check_scheduling_gates(FieldErrors& e, const core::PodSpec& now, const core::PodSpec& before) {
  std::set<std::string_view> known;
  for (core::PodSchedulingGate g : before.scheduling_gates()) known.insert(g.name());
  size_t i = 0;
  for (core::PodSchedulingGate g : now.scheduling_gates()) {
    const FieldPath at = kSpec["schedulingGates"][i++]["name"];
    if (known.count(g.name()) != 0) continue;
    field::forbidden(
        e, at,
        "only deletion is allowed, but found new scheduling gate '" + std::string(g.name()) + "'");
  }
}

// A list of structs as upstream shows it.
template <class View>
std::string structs_text(const Value& list) {
  if (list.empty()) return "null";
  std::string out = "[";
  for (const Value& v : list.items()) {
    if (out.size() > 1) out += ',';
    out += struct_text(View(v));
  }
  return out + "]";
}

// What a pod that is held back may narrow: where it may run.
void check_node_selector_change(FieldErrors& e, const Value& now, const Value& before) {
  for (const Member& m : before.members()) {
    const Value* kept = now.find(m.key());
    if (kept && kept->equals(m.value)) continue;
    field::invalid(e, kSpec["nodeSelector"], now,
                   "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    return;
  }
}

bool only_adds(const TypeDesc& type, const Value& now, const Value& before) {
  const size_t had = before["matchExpressions"].size() + before["matchFields"].size();
  const size_t has = now["matchExpressions"].size() + now["matchFields"].size();
  if (had == 0 && has != 0) return false;
  for (std::string_view list : {"matchExpressions", "matchFields"}) {
    if (now[list].size() < before[list].size()) return false;
    for (size_t i = 0; i < before[list].size(); ++i) {
      if (!same_meaning(type, now[list].at(i), before[list].at(i))) return false;
    }
  }
  return true;
}

void check_node_affinity_change(FieldErrors& e, const Value& now, const Value& before) {
  constexpr std::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
  const FieldPath at = kSpec["affinity"]["nodeAffinity"][kRequired]["nodeSelectorTerms"];
  const Value &terms = now[kRequired]["nodeSelectorTerms"],
              &old = before[kRequired]["nodeSelectorTerms"];
  if (before[kRequired].is_null()) return;
  if (!old.empty() && old.size() != terms.size()) {
    invalid_as(e, at, structs_text<core::NodeSelectorTerm>(terms),
               "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    return;
  }
  for (size_t i = 0; i < old.size(); ++i) {
    if (only_adds(core::NodeSelectorRequirement::descriptor(), terms.at(i), old.at(i))) continue;
    invalid_as(e, at[i], struct_text(core::NodeSelectorTerm(terms.at(i))),
               "only additions are allowed (no mutations or deletions)");
  }
}

void take_back(Arena& a, Value& into, const Value& from, std::string_view key) {
  if (const Value* old = from.find(key)) {
    into.set(a, key, deep_copy(a, *old));
  } else {
    into.erase(key);
  }
}

void take_back_images(Arena& a, Value& spec, const Value& before, std::string_view list) {
  Value* containers = spec.find(list);
  if (!containers) return;
  size_t i = 0;
  for (Value& c : containers->items()) take_back(a, c, before[list].at(i++), "image");
}

void take_back_node_affinity(Arena& a, Value& spec, const Value& before) {
  const Value& old = before["affinity"]["nodeAffinity"];
  Value* affinity = spec.find("affinity");
  if (!old.is_null()) {
    Value& into = spec.get_or_add(a, "affinity");
    if (!into.is_map()) into = Value::map();
    into.set(a, "nodeAffinity", deep_copy(a, old));
  } else if (affinity && affinity->is_map()) {
    affinity->erase("nodeAffinity");
    if (affinity->empty() && before["affinity"].is_null()) spec.erase("affinity");
  }
}

constexpr std::string_view kMayNotChange =
    "pod updates may not change fields other than "
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

void check_rest(FieldErrors& e, const core::PodSpec& now, const core::PodSpec& before) {
  const Value& old = before.value();
  Document rest;
  rest.root = deep_copy(rest.arena, now.value());
  Arena& a = rest.arena;
  take_back_images(a, rest.root, old, "containers");
  take_back_images(a, rest.root, old, "initContainers");
  for (std::string_view key : {"activeDeadlineSeconds", "schedulingGates", "tolerations"}) {
    take_back(a, rest.root, old, key);
  }
  if (before.termination_grace_period_seconds() < 0 &&
      now.termination_grace_period_seconds() == 1) {
    take_back(a, rest.root, old, "terminationGracePeriodSeconds");
  }
  if (!before.scheduling_gates().empty()) {
    check_node_selector_change(e, rest.root["nodeSelector"], old["nodeSelector"]);
    take_back(a, rest.root, old, "nodeSelector");
    const Value &affinity = rest.root["affinity"]["nodeAffinity"],
                &old_affinity = old["affinity"]["nodeAffinity"];
    if (!same_meaning(core::NodeAffinity::descriptor(), affinity, old_affinity)) {
      check_node_affinity_change(e, affinity, old_affinity);
      take_back_node_affinity(a, rest.root, old);
    }
  }
  if (same_meaning(core::PodSpec::descriptor(), rest.root, old)) return;
  const TypeDesc& type = core::PodSpec::descriptor();
  field::forbidden(e, kSpec,
                   std::string(kMayNotChange) + "\n" +
                       json_diff(struct_text(type, old), struct_text(type, rest.root)));
}

// --- status -------------------------------------------------------------------------------------

bool restarts_everything(const core::PodSpec& spec) {
  auto any = [](const List<core::Container>& list) {
    for (core::Container c : list) {
      for (core::ContainerRestartRule r : c.restart_policy_rules()) {
        if (r.action() == "RestartAllContainers") return true;
      }
    }
    return false;
  };
  return any(spec.init_containers()) || any(spec.containers());
}

bool rule_applies(const core::Container& c, int64_t code) {
  for (core::ContainerRestartRule r : c.restart_policy_rules()) {
    if (!r.has_exit_codes()) continue;
    bool found = false;
    for (int64_t v : r.exit_codes().values()) found |= v == code;
    const std::string_view op = r.exit_codes().operator_();
    if ((op == "In" && found) || (op == "NotIn" && !found)) return true;
  }
  return false;
}

bool should_restart(const core::Container& c, const core::PodSpec& spec, int64_t code) {
  auto by = [&](std::string_view policy) {
    return policy == "OnFailure" ? code != 0 : policy != "Never";
  };
  if (!c.has_restart_policy()) return by(spec.restart_policy());
  return rule_applies(c, code) || by(c.restart_policy());
}

void check_transitions(FieldErrors& e, const FieldPath& p, const List<core::ContainerStatus>& now,
                       const List<core::ContainerStatus>& before,
                       const List<core::Container>& containers, const core::PodSpec& spec) {
  size_t i = 0;
  for (core::ContainerStatus old : before) {
    const FieldPath at = p[i++]["state"];
    if (!old.state().has_terminated()) continue;
    for (core::ContainerStatus s : now) {
      if (s.name() != old.name() || s.state().has_terminated()) continue;
      bool allowed = false;
      for (core::Container c : containers) {
        if (c.name() != old.name()) continue;
        allowed = should_restart(c, spec, old.state().terminated().exit_code());
        break;
      }
      if (!allowed) field::forbidden(e, at, "may not be transitioned to non-terminated state");
      break;
    }
  }
}

void check_conditions(FieldErrors& e, const FieldPath& p, const core::PodStatus& status) {
  size_t i = 0;
  for (core::PodCondition c : status.conditions()) {
    const FieldPath at = p[i++];
    if (c.observed_generation() < 0) {
      field::invalid(e, at["observedGeneration"], c.observed_generation(),
                     "must be a non-negative integer");
    }
    if (is_one_of(c.type(), {"PodScheduled", "Ready", "Initialized"})) continue;
    field::invalid_each(e, at["Type"], c.type(), check_qualified_name(c.type()));
  }
}

void check_claim_statuses(FieldErrors& e, const FieldPath& p, const core::PodStatus& status,
                          const core::PodSpec& spec) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (core::PodResourceClaimStatus s : status.resource_claim_statuses()) {
    const FieldPath at = p[i++];
    bool known = false;
    for (core::PodResourceClaim c : spec.resource_claims()) known |= c.name() == s.name();
    if (!known) {
      field::invalid(e, at["name"], s.name(),
                     "must match the name of an entry in `spec.resourceClaims`");
    }
    if (!seen.insert(s.name()).second) field::duplicate(e, at["name"], s.name());
    if (!s.has_resource_claim_name()) continue;
    field::invalid_each(e, at["resourceClaimName"], s.resource_claim_name(),
                        check_dns1123_subdomain(s.resource_claim_name()));
  }
}

// KEP-5004: which request of the pod's claim stands for which container's extended resource.
void check_extended_claim(FieldErrors& e, const FieldPath& p, const core::PodStatus& status,
                          const core::PodSpec& spec) {
  if (!status.has_extended_resource_claim_status()) return;
  const auto said = status.extended_resource_claim_status();
  std::map<std::string_view, core::Container> containers;
  for (core::Container c : spec.init_containers()) containers.insert_or_assign(c.name(), c);
  for (core::Container c : spec.containers()) containers.insert_or_assign(c.name(), c);
  const FieldPath mappings = p["requestMappings"];
  if (said.request_mappings().empty())
    field::required(e, mappings, "at least one request mapping is required");
  std::set<std::array<std::string_view, 3>> seen;
  size_t i = 0;
  for (core::ContainerExtendedResourceRequest m : said.request_mappings()) {
    const FieldPath at = mappings[i++];
    auto of = containers.find(m.container_name());
    if (of == containers.end()) {
      field::invalid(e, at["containerName"], m.container_name(),
                     "must match the name of an entry in spec.initContainers.name or "
                     "spec.containers.name");
    } else if (!of->second.resources().requests().contains(m.resource_name())) {
      field::invalid(e, at["resourceName"], m.resource_name(),
                     "must match the extended resource name of an entry in "
                     "spec.initContainers.resources.requests or "
                     "spec.containers.resources.requests");
    }
    field::invalid_each(e, p["requestName"], m.request_name(),
                        check_dns1123_label(m.request_name()));
    if (seen.insert({m.container_name(), m.resource_name(), m.request_name()}).second) continue;
    field::duplicate(e, at["containerName"], m.container_name());
    field::duplicate(e, at["resourceName"], m.resource_name());
    field::duplicate(e, at["requestName"], m.request_name());
  }
  if (said.resource_claim_name().empty()) {
    field::required(e, p["resourceClaimName"], "");
  } else {
    field::invalid_each(e, p["resourceClaimName"], said.resource_claim_name(),
                        check_dns1123_subdomain(said.resource_claim_name()));
  }
}

std::string addresses_text(const Value& list) {
  std::string out = "[";
  for (const Value& ip : list.items()) {
    if (out.size() > 1) out += ',';
    out += "{\"IP\":" + quoted(ip["ip"].as_string()) + "}";
  }
  return out + "]";
}

// Addresses of the pod or of its node: well formed unless they were there, one of each family.
void check_addresses(FieldErrors& e, const FieldPath& p, const Value& now, const Value& before) {
  size_t i = 0, v6 = 0;
  bool parsed = true;
  for (const Value& ip : now.items()) {
    const FieldPath at = p[i++];
    const std::string_view text = ip["ip"].as_string();
    v6 += text.find(':') != text.npos ? 1 : 0;
    const Messages bad = check_ip(text);
    parsed &= bad.empty();
    const bool known = std::any_of(before.items().begin(), before.items().end(),
                                   [&](const Value& b) { return b["ip"].as_string() == text; });
    if (!known) field::invalid_each(e, at, text, bad);
  }
  if (i < 2) return;
  if (i > 2 || v6 != 1) {
    invalid_as(e, p, addresses_text(now), "may specify no more than one IP for each IP family");
  }
}

void check_users(FieldErrors& e, const FieldPath& p, const List<core::ContainerStatus>& statuses,
                 const core::PodSpec& spec) {
  const bool windows = spec.os().name() == "windows";
  size_t i = 0;
  for (core::ContainerStatus s : statuses) {
    const FieldPath at = p[i++]["user"]["linux"];
    const core::LinuxContainerUser user = s.user().linux();
    if (!user) continue;
    if (windows) {
      field::forbidden(e, at, "cannot be set for a windows pod");
      continue;
    }
    auto check = [&](const FieldPath& where, int64_t id) {
      for (auto& m : check_range(id, 0, 2147483647)) field::invalid(e, where, id, m);
    };
    check(at["uid"], user.uid());
    check(at["gid"], user.gid());
    size_t j = 0;
    for (int64_t id : user.supplemental_groups()) check(at["supplementalGroups"][j++], id);
  }
}

// What a device of a container is like: of a claim or a resource that the container has.
bool has_resource(const core::Container& c, std::string_view name) {
  constexpr std::string_view kClaim = "claim:";
  if (!name.starts_with(kClaim)) return c.resources().value()["requests"].find(name) != nullptr;
  name.remove_prefix(kClaim.size());
  for (core::ResourceClaim claim : c.resources().claims()) {
    std::string own(claim.name());
    if (!claim.request().empty()) own.append("/").append(claim.request());
    if (own == name) return true;
  }
  return false;
}

constexpr size_t kLongestHealthMessage = 1024;

void check_devices(FieldErrors& e, const FieldPath& p, const core::ResourceStatus& s) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (core::ResourceHealth r : s.resources()) {
    const FieldPath at = p["resources"][i++];
    check_known(e, at["health"], r.health(), {"Healthy", "Unhealthy", "Unknown"});
    if (r.has_message() && r.message().empty()) {
      field::required(e, at["message"], "must be non-empty if specified");
    } else if (r.message().size() > kLongestHealthMessage) {
      field::too_long(e, at["message"], kLongestHealthMessage);
    }
    if (!seen.insert(r.resource_id()).second)
      field::duplicate(e, at["resourceID"], r.resource_id());
  }
}

void check_allocated(FieldErrors& e, const FieldPath& p,
                     const List<core::ContainerStatus>& statuses,
                     const List<core::Container>& containers) {
  size_t i = 0;
  for (core::ContainerStatus status : statuses) {
    const FieldPath at = p[i++]["allocatedResourcesStatus"];
    size_t j = 0;
    for (core::ResourceStatus s : status.allocated_resources_status()) {
      const FieldPath here = at[j++];
      for (core::Container c : containers) {
        if (c.name() != status.name()) continue;
        if (!has_resource(c, s.name())) {
          field::invalid(e, here["name"], s.name(),
                         s.name().starts_with("claim:")
                             ? "must match one of the container's resource claims in a format "
                               "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is "
                               "empty"
                             : "must match one of the container's resource requests");
        }
        break;
      }
      check_devices(e, here, s);
    }
  }
}

void check_not_allocated(FieldErrors& e, const FieldPath& p,
                         const List<core::ContainerStatus>& statuses) {
  size_t i = 0;
  for (core::ContainerStatus s : statuses) {
    const FieldPath at = p[i++]["allocatedResourcesStatus"];
    if (s.allocated_resources_status().empty()) continue;
    field::forbidden(e, at, "must not be specified in container status");
  }
}

// --- resize -------------------------------------------------------------------------------------

bool removes(const Value& now, const Value& before) {
  if (before.size() > now.size()) return true;
  for (const Member& m : before.members()) {
    if (!now.find(m.key())) return true;
  }
  return false;
}

void check_kept(FieldErrors& e, const FieldPath& p, const Value& now, const Value& before,
                const std::string& what) {
  for (std::string_view list : {"requests", "limits"}) {
    if (removes(now[list], before[list])) {
      field::forbidden(e, p[list], what + "resource " + std::string(list) + " cannot be removed");
    }
  }
}

// The same but for cpu and memory, which become what they were.
void take_back_computes(Arena& a, Value& resources, const Value& before) {
  for (std::string_view list : {"limits", "requests"}) {
    Value& into = resources.get_or_add(a, list);
    if (!into.is_map()) into = Value::map();
    for (std::string_view name : {"cpu", "memory"}) take_back(a, into, before[list], name);
    if (into.empty()) resources.erase(list);
  }
}

bool is_sidecar(const Value& c) { return c["restartPolicy"].as_string() == "Always"; }

bool check_order(FieldErrors& e, const core::PodSpec& now, const core::PodSpec& before) {
  const size_t errors = e.size();
  for (std::string_view list : {"containers", "initContainers"}) {
    const Value &cs = now.value()[list], &old = before.value()[list];
    if (cs.size() != old.size()) {
      field::forbidden(e, kSpec[list],
                       std::string(list) + " may not be added or removed on resize");
      continue;
    }
    for (size_t i = 0; i < old.size(); ++i) {
      if (cs.at(i)["name"].equals(old.at(i)["name"])) continue;
      field::forbidden(e, kSpec[list][i]["name"],
                       std::string(list) + " may not be renamed or reordered on resize");
    }
  }
  return e.size() == errors;
}

class Resize {
 public:
  Resize(FieldErrors& e, const core::Pod& now, const core::Pod& before)
      : e_(e), now_(now.spec()), before_(before.spec()) {
    made_.root = deep_copy(made_.arena, now_.value());
  }

  void check(const core::Pod& before) {
    pod_level();
    if (!before.status().node_allocatable_resource_claim_statuses().empty()) {
      field::forbidden(e_, kSpec, "pods with node allocatable resource claims cannot be resized");
    }
    if (!check_order(e_, now_, before_)) return;
    for (std::string_view list : {"initContainers", "containers"}) {
      for (size_t i = 0; i < before_.value()[list].size(); ++i) {
        check_kept(e_, kSpec[list][i]["resources"], now_.value()[list].at(i)["resources"],
                   before_.value()[list].at(i)["resources"], "");
      }
    }
    containers();
    init_containers();
    if (!e_.empty()) return;
    if (!same_meaning(core::PodSpec::descriptor(), made_.root, before_.value())) {
      field::forbidden(e_, kSpec, "only cpu and memory resources are mutable");
    }
  }

 private:
  void pod_level() {
    const Value &now = now_.value()["resources"], &old = before_.value()["resources"];
    auto set = [](const Value& r) { return !r["requests"].empty() || !r["limits"].empty(); };
    if (!set(now) && !set(old)) return;
    if (!old.is_null() && now.is_null()) {
      field::forbidden(e_, kSpec["resources"], "pod-level resources cannot be removed");
      return;
    }
    if (!old.is_null()) check_kept(e_, kSpec["resources"], now, old, "pod-level ");
    Value& made = *made_.root.find("resources");
    take_back_computes(made_.arena, made, old);
    if (old.is_null() && made.empty()) made_.root.erase("resources");
    if (!same_meaning(core::ResourceRequirements::descriptor(), made_.root["resources"], old)) {
      field::forbidden(e_, kSpec, "only cpu and memory resources are mutable at pod-level");
    }
  }

  Value& without_computes(std::string_view list, size_t i) {
    Value& c = made_.root.find(list)->items()[i];
    Value& resources = c.get_or_add(made_.arena, "resources");
    if (!resources.is_map()) resources = Value::map();
    resources.erase("claims");  // as upstream: claims of a container are no part of a resize
    take_back_computes(made_.arena, resources, before_.value()[list].at(i)["resources"]);
    return c;
  }

  bool same(const Value& a, const Value& b) const {
    return same_meaning(core::Container::descriptor(), a, b);
  }

  void containers() {
    for (size_t i = 0; i < before_.containers().size(); ++i) {
      const Value& c = without_computes("containers", i);
      if (same(c, before_.value()["containers"].at(i))) continue;
      field::forbidden(e_, kSpec, "only cpu and memory resources are mutable");
    }
  }

  void init_containers() {
    for (size_t i = 0; i < before_.init_containers().size(); ++i) {
      const FieldPath at = kSpec["initContainers"][i];
      const Value& old = before_.value()["initContainers"].at(i);
      const bool modified = !same(now_.value()["initContainers"].at(i), old);
      const Value& c = without_computes("initContainers", i);
      if (!same(c, old)) {
        field::forbidden(e_, at,
                         "only cpu and memory resources for init or sidecar containers are "
                         "mutable");
      }
      if (!modified || is_sidecar(c)) continue;
      for (const Value& policy : c["resizePolicy"].items()) {
        if (policy["restartPolicy"].as_string() != "RestartContainer") continue;
        field::forbidden(e_, at,
                         "non-sidecar init containers with a resize policy of RestartContainer "
                         "cannot be resized");
      }
    }
  }

  FieldErrors& e_;
  core::PodSpec now_, before_;
  Document made_;
};

// Whether the node of a running pod says what its containers have.
bool node_resizes(const core::Pod& pod) {
  for (core::ContainerStatus s : pod.status().container_statuses()) {
    if (s.state().has_running()) return s.has_resources();
  }
  return true;
}

bool is_mirror(const core::Pod& pod) { return server::is_mirror_pod(pod.value()); }

}  // namespace

void validate_pod_update(FieldErrors& e, const core::Pod& now, const core::Pod& before) {
  const PodOptions options = options_of(now, before);
  const core::PodSpec spec = now.spec(), old = before.spec();
  validate_pod(e, now, options);
  check_annotation_update(e, now, before, options);
  for (std::string_view list : {"containers", "initContainers"}) {
    if (!check_containers(e, kSpec[list], spec.value()[list], old.value()[list])) return;
  }
  if (!check_deadline(e, spec, old)) return;
  check_tolerations(e, spec, old);
  check_scheduling_gates(e, spec, old);
  if (!same_meaning(core::PodSpec::descriptor(), spec.value(), old.value())) {
    check_rest(e, spec, old);
  }
}

void validate_pod_status(FieldErrors& e, const core::Pod& now, const core::Pod& before) {
  const PodOptions options = options_of(now, before);
  const core::PodStatus status = now.status(), old = before.status();
  const core::PodSpec spec = before.spec();
  check_annotation_update(e, now, before, options);
  check_conditions(e, kStatus["conditions"], status);
  const std::string_view node = status.nominated_node_name();
  if (node != old.nominated_node_name() && !node.empty()) {
    const FieldPath at = kStatus["nominatedNodeName"];
    field::invalid_each(e, at, node, check_dns1123_subdomain(node));
    if (!spec.node_name().empty()) {
      field::forbidden(e, at, "may not be set on pods that are already bound to a node");
    }
  }
  if (status.observed_generation() < 0) {
    field::invalid(e, kStatus["observedGeneration"], status.observed_generation(),
                   "must be a non-negative integer");
  }
  if (status.qos_class() != old.qos_class()) {
    field::invalid(e, kStatus["qosClass"], status.qos_class(), "field is immutable");
  }
  if (!restarts_everything(spec)) {
    check_transitions(e, kStatus["containerStatuses"], status.container_statuses(),
                      old.container_statuses(), spec.containers(), spec);
    check_transitions(e, kStatus["initContainerStatuses"], status.init_container_statuses(),
                      old.init_container_statuses(), spec.init_containers(), spec);
  }
  check_transitions(e, kStatus["ephemeralContainerStatuses"], status.ephemeral_container_statuses(),
                    old.ephemeral_container_statuses(), {}, spec);
  check_claim_statuses(e, kStatus["resourceClaimStatuses"], status, spec);
  check_extended_claim(e, kStatus["extendedResourceClaimStatus"], status, spec);
  const Value &v = status.value(), &o = old.value();
  check_addresses(e, kStatus["podIPs"], v["podIPs"], o["podIPs"]);
  if (!v["hostIPs"].empty() && v["hostIPs"].at(0)["ip"].as_string() != status.host_ip()) {
    field::invalid(e, kStatus["hostIPs"][0]["ip"], v["hostIPs"].at(0)["ip"].as_string(),
                   "must be equal to `hostIP`");
  }
  check_addresses(e, kStatus["hostIPs"], v["hostIPs"], o["hostIPs"]);
  check_users(e, kStatus["containerStatuses"], status.container_statuses(), spec);
  check_users(e, kStatus["initContainerStatuses"], status.init_container_statuses(), spec);
  check_users(e, kStatus["ephemeralContainerStatuses"], status.ephemeral_container_statuses(),
              spec);
  check_allocated(e, kStatus["containerStatuses"], status.container_statuses(), spec.containers());
  check_allocated(e, kStatus["initContainerStatuses"], status.init_container_statuses(),
                  spec.init_containers());
  check_not_allocated(e, kStatus["ephemeralContainerStatuses"],
                      status.ephemeral_container_statuses());
}

void validate_pod_ephemeral(FieldErrors& e, const core::Pod& now, const core::Pod& before) {
  if (is_mirror(before)) {
    e.clear();
    field::forbidden(e, FieldPath(""), "static pods do not support ephemeral containers");
    return;
  }
  const PodOptions options = options_of(now, before);
  validate_pod(e, now, options);
  check_annotation_update(e, now, before, options);
  const FieldPath at = kSpec["ephemeralContainers"];
  for (core::EphemeralContainer old : before.spec().ephemeral_containers()) {
    const Value* kept = nullptr;
    for (core::EphemeralContainer c : now.spec().ephemeral_containers()) {
      if (c.name() == old.name()) kept = &c.value();
    }
    if (!kept) {
      field::forbidden(
          e, at, "existing ephemeral containers " + quoted(old.name()) + " may not be removed\n");
    } else if (!same_meaning(core::EphemeralContainer::descriptor(), *kept, old.value())) {
      field::forbidden(
          e, at,
          "existing ephemeral containers " + quoted(old.name()) + " may not be changed\n" +
              json_diff(struct_text(old), struct_text(core::EphemeralContainer(*kept))));
    }
  }
}

void validate_pod_resize(FieldErrors& e, const core::Pod& now, const core::Pod& before) {
  const bool windows = before.spec().os().name() == "windows";
  if (is_mirror(before) || windows) {
    e.clear();
    field::forbidden(e, FieldPath(""),
                     windows ? "windows pods cannot be resized" : "static pods cannot be resized");
    return;
  }
  validate_pod(e, now, options_of(now, before));
  const std::string_view qos = before.status().qos_class();
  if (qos_class(now.spec()) != (qos.empty() ? qos_class(before.spec()) : qos)) {
    field::invalid(e, kSpec, now.status().qos_class(),
                   "Pod QOS Class may not change as a result of resizing");
  }
  if (!node_resizes(before)) {
    field::forbidden(e, kSpec, "Pod running on node without support for resize");
  }
  Resize(e, now, before).check(before);
}

}  // namespace keles::registry
