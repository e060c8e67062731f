// Warnings of a pod's spec, for pods and every kind that holds a template. See warnings.h.
#include <array>
#include <map>
#include <set>

#include "server/objects/meta.h"
#include "server/registry/pod_app_armor.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

constexpr std::string_view kNullSelector = "a null labelSelector results in matching no pod";
constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kUseSeccomp =
    "non-functional in v1.27+; use the \"seccompProfile\" field instead";

template <class Visit>
void each_container(const FieldPath& spec_path, const Value& spec, Visit visit) {
  for (std::string_view list : {"initContainers", "containers", "ephemeralContainers"}) {
    size_t i = 0;
    for (const Value& c : spec[list].items()) visit(spec_path[list][i++], c);
  }
}

void warn_of_placement(Warnings& out, const FieldPath& p, const Value& spec) {
  for (const Member& m : spec["nodeSelector"].members()) {
    if (const char* why = deprecated_node_label(m.key())) {
      warn(out, p["nodeSelector"].key(m.key()), why);
    }
  }
  const FieldPath at = p["affinity"]["nodeAffinity"];
  const Value& nodes = spec["affinity"]["nodeAffinity"];
  constexpr std::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
  constexpr std::string_view kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
  size_t i = 0;
  for (const Value& term : nodes[kRequired]["nodeSelectorTerms"].items()) {
    warn_of_node_term(out, at[kRequired]["nodeSelectorTerms"][i++], term, false);
  }
  i = 0;
  for (const Value& term : nodes[kPreferred].items()) {
    warn_of_node_term(out, at[kPreferred][i++]["preference"], term["preference"], true);
  }
  i = 0;
  for (const Value& spread : spec["topologySpreadConstraints"].items()) {
    const FieldPath here = p["topologySpreadConstraints"][i++];
    const std::string_view key = spread["topologyKey"].as_string();
    if (const char* why = deprecated_node_label(key)) {
      warn(out, here["topologyKey"], std::string(key) + " is " + why);
    }
    if (spread["labelSelector"].is_null()) warn(out, here["labelSelector"], kNullSelector);
  }
}

void warn_of_annotations(Warnings& out, const FieldPath& p, const Value& annotations) {
  struct Old {
    std::string_view key, text;
  };
  static constexpr std::array kOld{
      Old{"scheduler.alpha.kubernetes.io/critical-pod",
          "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
      Old{"security.alpha.kubernetes.io/sysctls",
          "non-functional in v1.11+; use the \"sysctls\" field instead"},
      Old{"security.alpha.kubernetes.io/unsafe-sysctls",
          "non-functional in v1.11+; use the \"sysctls\" field instead"},
  };
  for (const Old& old : kOld) {
    if (annotations.find(old.key)) warn(out, p.key(old.key), old.text);
  }
}

void warn_of_volumes(Warnings& out, const FieldPath& p, const Value& volumes) {
  struct Plugin {
    std::string_view field, text;
  };
  static constexpr std::array kGone{
      Plugin{"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
      Plugin{"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
      Plugin{"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
      Plugin{"flocker", "deprecated in v1.22, non-functional in v1.25+"},
      Plugin{"storageos", "deprecated in v1.22, non-functional in v1.25+"},
      Plugin{"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
      Plugin{"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
      Plugin{"ephemeral", ""},
      Plugin{"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
      Plugin{"rbd", "deprecated in v1.28, non-functional in v1.31+"},
  };
  size_t i = 0;
  for (const Value& v : volumes.items()) {
    const FieldPath at = p[i++];
    for (const Plugin& plugin : kGone) {
      const Value& source = v[plugin.field];
      if (source.is_null()) continue;
      if (!plugin.text.empty()) {
        // Upstream's path has the field's Go name here.
        warn(out, at[plugin.field == "storageos" ? "storageOS" : plugin.field], plugin.text);
        continue;
      }
      const Value& claim = source["volumeClaimTemplate"];
      if (!claim.is_null()) {
        warn_of_claim_spec(out, at["ephemeral"]["volumeClaimTemplate"]["spec"], claim["spec"]);
      }
    }
  }
  warn_of_overlapping_paths(out, volumes);
}

// `field` of the list's entries that an earlier entry has.
void warn_of_repeated(Warnings& out, const FieldPath& p, const Value& list,
                      std::string_view field) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& item : list.items()) {
    const FieldPath at = p[i++][field];
    const std::string_view value = item[field].as_string();
    if (!seen.insert(value).second) {
      warn(out, at, "duplicate " + std::string(field) + " " + quoted(value));
    }
  }
}

void warn_of_profiles(Warnings& out, const FieldPath& annotations_path, const Value& pod,
                      const Value& container, bool is_template) {
  const Value& annotations = pod["metadata"]["annotations"];
  const std::string name(container["name"].as_string());
  const std::string seccomp = std::string(kSeccompContainer) + name;
  if (container["securityContext"]["seccompProfile"].is_null() && annotations.find(seccomp)) {
    warn(out, annotations_path.key(seccomp), kUseSeccomp);
  }
  // Of pods themselves it is said where the annotation becomes the field.
  const std::string key = std::string(kAppArmorAnnotation) + name;
  const Value* annotation = annotations.find(key);
  if (!is_template || !annotation) return;
  if (!container["securityContext"]["appArmorProfile"].is_null()) return;
  const auto of_pod = app_armor_of_field(pod["spec"]["securityContext"]["appArmorProfile"]);
  if (!of_pod || of_pod != app_armor_of_annotation(annotation->as_string())) {
    warn(out, annotations_path.key(key), kAppArmorDeprecated);
  }
}

// A later variable of a name replaces the earlier one, unless it adds to it.
void warn_of_hidden_variables(Warnings& out, const FieldPath& p, const Value& env) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& e : env.items()) {
    const FieldPath at = p[i++];
    const std::string_view name = e["name"].as_string(), value = e["value"].as_string();
    if (seen.insert(name).second) continue;
    const std::string reference = "$(" + std::string(name) + ")";
    const bool adds = e["valueFrom"].is_null() && value != reference &&
                      value.find(reference) != std::string_view::npos;
    if (adds) continue;
    warn(
        out, at,
        "hides previous definition of " + quoted(name) + ", which may be dropped when using apply");
  }
}

std::string go_port(const Value& port) {
  return "{Name:" + std::string(port["name"].as_string()) +
         " HostPort:" + std::to_string(port["hostPort"].as_int()) +
         " ContainerPort:" + std::to_string(port["containerPort"].as_int()) +
         " Protocol:" + std::string(port["protocol"].as_string()) +
         " HostIP:" + std::string(port["hostIP"].as_string()) + "}";
}

// What two ports of one number and protocol are to each other; null: no matter.
const char* conflict_of(const Value& a, const Value& b) {
  const std::string_view ip = a["hostIP"].as_string(), other_ip = b["hostIP"].as_string();
  const int64_t host = a["hostPort"].as_int(), other = b["hostPort"].as_int();
  if (ip == other_ip && host == other) return "duplicate";
  if (host == 0 || other == 0) return "overlapping";
  return host == other && ip.empty() != other_ip.empty() ? "dangerously ambiguous" : nullptr;
}

void warn_of_ports(Warnings& out, const FieldPath& p, const Value& spec) {
  struct Port {
    std::string where;
    const Value* port;
  };
  std::map<std::pair<int64_t, std::string_view>, std::vector<Port>> all;
  each_container(p, spec, [&](const FieldPath& at, const Value& c) {
    size_t i = 0;
    for (const Value& port : c["ports"].items()) {
      const FieldPath here = at["ports"][i++];
      if (!port["hostIP"].as_string().empty() && port["hostPort"].as_int() == 0) {
        warn(out, here, "hostIP set without hostPort: " + go_port(port));
      }
      auto& others = all[{port["containerPort"].as_int(), port["protocol"].as_string()}];
      for (const Port& other : others) {
        if (const char* what = conflict_of(port, *other.port)) {
          warn(out, here, std::string(what) + " port definition with " + other.where);
        }
      }
      others.push_back({here.text(), &port});
    }
  });
  std::map<std::string_view, std::string> names;
  each_container(p, spec, [&](const FieldPath& at, const Value& c) {
    size_t i = 0;
    for (const Value& port : c["ports"].items()) {
      const FieldPath here = at["ports"][i++];
      const std::string_view name = port["name"].as_string();
      if (name.empty()) continue;
      auto [first, fresh] = names.try_emplace(name, here.text());
      if (fresh) continue;
      warn(out, here,
           "duplicate port name " + quoted(name) + " with " + first->second +
               ", services and probes that select ports by name will use " + first->second);
    }
  });
}

void warn_of_pod_affinity(Warnings& out, const FieldPath& p, const Value& affinity) {
  for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    for (std::string_view list : {"requiredDuringSchedulingIgnoredDuringExecution",
                                  "preferredDuringSchedulingIgnoredDuringExecution"}) {
      const bool weighted = list.starts_with("preferred");
      size_t i = 0;
      for (const Value& t : affinity[kind][list].items()) {
        const FieldPath at = p[kind][list][i++];
        const Value& term = weighted ? t["podAffinityTerm"] : t;
        if (!term["labelSelector"].is_null()) continue;
        warn(out, (weighted ? at["podAffinityTerm"] : at)["labelSelector"], kNullSelector);
      }
    }
  }
}

void warn_of_addresses(Warnings& out, const FieldPath& p, const Value& spec) {
  size_t i = 0;
  for (const Value& server : spec["dnsConfig"]["nameservers"].items()) {
    warn_of_ip(out, p["dnsConfig"]["nameservers"][i++], server.as_string());
  }
  i = 0;
  for (const Value& alias : spec["hostAliases"].items()) {
    warn_of_ip(out, p["hostAliases"][i++]["ip"], alias["ip"].as_string());
  }
}

void warn_of_containers(Warnings& out, const FieldPath& p, const Value& pod, bool is_template) {
  each_container(p["spec"], pod["spec"], [&](const FieldPath& at, const Value& c) {
    warn_of_profiles(out, p["metadata"]["annotations"], pod, c, is_template);
    for (std::string_view name : {"memory", "ephemeral-storage"}) {
      for (std::string_view list : {"limits", "requests"}) {
        warn_of_fraction(out, at["resources"][list], c["resources"][list], name);
      }
    }
    warn_of_hidden_variables(out, at["env"], c["env"]);
  });
}

}  // namespace

void warn_of_pod(Warnings& out, const FieldPath& p, const Value& pod, bool is_template) {
  const Value& spec = pod["spec"];
  const Value& annotations = pod["metadata"]["annotations"];
  const FieldPath at = p["spec"], notes = p["metadata"]["annotations"];
  warn_of_placement(out, at, spec);
  warn_of_annotations(out, notes, annotations);
  warn_of_volumes(out, at["volumes"], spec["volumes"]);
  warn_of_repeated(out, at["hostAliases"], spec["hostAliases"], "ip");
  warn_of_repeated(out, at["imagePullSecrets"], spec["imagePullSecrets"], "name");
  size_t i = 0;
  for (const Value& secret : spec["imagePullSecrets"].items()) {
    const FieldPath name = at["imagePullSecrets"][i++]["name"];
    if (secret["name"].as_string().empty()) warn(out, name, "invalid empty name \"\"");
  }
  for (std::string_view name : {"memory", "ephemeral-storage"}) {
    warn_of_fraction(out, at["overhead"], spec["overhead"], name);
  }
  if (spec["securityContext"]["seccompProfile"].is_null() && annotations.find(kSeccompPod)) {
    warn(out, notes.key(kSeccompPod), kUseSeccomp);
  }
  warn_of_containers(out, p, pod, is_template);
  warn_of_ports(out, at, spec);
  if (spec["terminationGracePeriodSeconds"].as_int() < 0) {
    warn(out, at["terminationGracePeriodSeconds"],
         "must be >= 0; negative values are invalid and will be treated as 1");
  }
  warn_of_pod_affinity(out, at["affinity"], spec["affinity"]);
  warn_of_addresses(out, at, spec);
}

// Pods are updated by their controllers and nodes, whom nobody reads warnings for.
void pod_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  if (before) return;
  if (auto bad = check_dns1123_label(meta(now, "name")); !bad.empty()) {
    warn(out, FieldPath("metadata")["name"],
         "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label "
         "is recommended: " +
             listed(bad));
  }
  warn_of_pod(out, FieldPath(), now, false);
}

void pod_status_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  for (std::string_view list : {"podIPs", "hostIPs"}) {
    size_t i = 0;
    for (const Value& ip : now["status"][list].items()) {
      warn_of_ip(out, FieldPath("status")[list][i++]["ip"], ip["ip"].as_string());
    }
  }
}

}  // namespace keles::registry
