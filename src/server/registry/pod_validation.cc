// Containers: names, images, ports, environment, mounts, probes, resources. See pod_validation.h.
#include "server/registry/pod_validation.h"

#include <algorithm>
#include <array>
#include <set>

#include "machinery/quantity.h"
#include "server/objects/pod_references.h"

namespace keles::registry {
namespace {

using Names = std::vector<std::string_view>;

// Every container of one pod: names and host ports must differ across them.
struct PodScope {
  Names volumes;
  std::set<std::string_view> names;
  std::set<std::string> host_ports;
  bool host_network = false;
  std::string_view restart_policy;
};

bool contains(std::string_view s, std::string_view part) {
  return s.find(part) != std::string_view::npos;
}

void validate_port_value(FieldErrors& e, const FieldPath& p, const Value& port) {
  if (port.is_int()) {
    for (auto& m : check_port_number(port.as_int())) field::invalid(e, p, port.as_int(), m);
  } else if (port.is_string()) {
    field::invalid_each(e, p, port.as_string(), check_port_name(port.as_string()));
  }
}

void validate_handler(FieldErrors& e, const FieldPath& p, const Value& handler) {
  size_t found = 0;
  auto one = [&](std::string_view name) -> const Value* {
    const Value* h = handler.find(name);
    if (!h || h->is_null()) return nullptr;
    if (++found > 1) {
      field::forbidden(e, p[name], "may not specify more than 1 handler type");
      return nullptr;
    }
    return h;
  };
  if (const Value* h = one("exec"); h && (*h)["command"].empty()) {
    field::required(e, p["exec"]["command"]);
  }
  if (const Value* h = one("httpGet")) {
    FieldPath at = p["httpGet"];
    if ((*h)["path"].as_string().empty()) field::required(e, at["path"]);
    validate_port_value(e, at["port"], (*h)["port"]);
    size_t i = 0;
    for (const Value& header : (*h)["httpHeaders"].items()) {
      field::invalid_each(e, at["httpHeaders"][i++]["name"], header["name"].as_string(),
                          check_http_header_name(header["name"].as_string()));
    }
  }
  if (const Value* h = one("tcpSocket")) {
    validate_port_value(e, p["tcpSocket"]["port"], (*h)["port"]);
  }
  if (const Value* h = one("grpc")) validate_port_value(e, p["grpc"]["port"], (*h)["port"]);
  if (const Value* h = one("sleep")) {
    if ((*h)["seconds"].as_int() < 0) {
      field::invalid(e, p["sleep"], (*h)["seconds"].as_int(), "must be non-negative integer");
    }
  }
  if (found == 0) {
    field::required(e, p, "must specify a handler type");
  }
}

void validate_probe(FieldErrors& e, const FieldPath& p, const Value& probe, bool only_one_success) {
  if (probe.is_null()) return;
  validate_handler(e, p, probe);
  for (std::string_view f : {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                             "successThreshold", "failureThreshold"}) {
    field::nonnegative(e, p[f], probe[f].as_int());
  }
  if (const Value& grace = probe["terminationGracePeriodSeconds"];
      !grace.is_null() && grace.as_int() <= 0) {
    field::invalid(e, p["terminationGracePeriodSeconds"], grace.as_int(), "must be greater than 0");
  }
  if (only_one_success && probe["successThreshold"].as_int() != 1) {
    field::invalid(e, p["successThreshold"], probe["successThreshold"].as_int(), "must be 1");
  }
}

void validate_ports(FieldErrors& e, const FieldPath& p, const Value& ports, PodScope* pod) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Value& port : ports.items()) {
    FieldPath at = p[i++];
    if (std::string_view name = port["name"].as_string(); !name.empty()) {
      auto bad = check_port_name(name);
      if (!bad.empty()) {
        field::invalid_each(e, at["name"], name, std::move(bad));
      } else if (!names.insert(name).second) {
        field::duplicate(e, at["name"], name);
      }
    }
    int64_t number = port["containerPort"].as_int(), host = port["hostPort"].as_int();
    if (number == 0) {
      field::required(e, at["containerPort"]);
    } else {
      for (auto& m : check_port_number(number)) {
        field::invalid(e, at["containerPort"], number, m);
      }
    }
    std::string_view protocol = port["protocol"].as_string();
    if (protocol.empty()) field::required(e, at["protocol"]);
    if (host == 0) continue;
    for (auto& m : check_port_number(host)) field::invalid(e, at["hostPort"], host, m);
    if (pod->host_network && host != number) {
      field::invalid(e, at["containerPort"], number,
                     "must match `hostPort` when `hostNetwork` is true");
    }
    std::string key = std::string(protocol) + "/" + std::string(port["hostIP"].as_string()) + "/" +
                      std::to_string(host);
    if (!pod->host_ports.insert(key).second) field::duplicate(e, at["hostPort"], key);
  }
}

void validate_env_source(FieldErrors& e, const FieldPath& p, const Value& env) {
  const Value& from = env["valueFrom"];
  if (from.is_null()) return;
  size_t sources = 0;
  for (const Member& m : from.members()) sources += m.value.is_null() ? 0 : 1;
  if (const Value& ref = from["fieldRef"]; !ref.is_null()) {
    static constexpr std::array<std::string_view, 9> kPaths{"metadata.name",
                                                            "metadata.namespace",
                                                            "metadata.uid",
                                                            "spec.nodeName",
                                                            "spec.serviceAccountName",
                                                            "status.hostIP",
                                                            "status.hostIPs",
                                                            "status.podIP",
                                                            "status.podIPs"};
    std::string_view path = ref["fieldPath"].as_string();
    bool subscript =
        path.substr(0, 17) == "metadata.labels['" || path.substr(0, 22) == "metadata.annotations['";
    if (path.empty()) {
      field::required(e, p["fieldRef"]["fieldPath"]);
    } else if (!subscript && std::find(kPaths.begin(), kPaths.end(), path) == kPaths.end()) {
      field::not_supported(e, p["fieldRef"]["fieldPath"], path, kPaths);
    }
  }
  if (const Value& ref = from["resourceFieldRef"];
      !ref.is_null() && ref["resource"].as_string().empty()) {
    field::required(e, p["resourceFieldRef"]["resource"]);
  }
  for (std::string_view source : {"configMapKeyRef", "secretKeyRef"}) {
    const Value& ref = from[source];
    if (ref.is_null()) continue;
    if (ref["name"].as_string().empty()) field::required(e, p[source]["name"]);
    std::string_view key = ref["key"].as_string();
    if (key.empty()) {
      field::required(e, p[source]["key"]);
    } else {
      field::invalid_each(e, p[source]["key"], key, check_config_map_key(key));
    }
  }
  if (!env["value"].as_string().empty()) {
    if (sources != 0) field::invalid(e, p, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    field::invalid(e, p, "", "may not have more than one field specified at a time");
  } else if (sources == 0) {
    field::invalid(e, p, "",
                   "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                   "`secretKeyRef`");
  }
}

void validate_env(FieldErrors& e, const FieldPath& p, const Value& container) {
  size_t i = 0;
  for (const Value& env : container["env"].items()) {
    FieldPath at = p["env"][i++];
    const Value* name = env.find("name");
    if (name && name->as_string().empty()) {
      field::required(e, at["name"]);
    } else if (name) {
      field::invalid_each(e, at["name"], name->as_string(), check_env_var_name(name->as_string()));
    }
    validate_env_source(e, at["valueFrom"], env);
  }
  i = 0;
  for (const Value& from : container["envFrom"].items()) {
    FieldPath at = p["envFrom"][i++];
    if (std::string_view prefix = from["prefix"].as_string(); !prefix.empty()) {
      field::invalid_each(e, at["prefix"], prefix, check_env_var_name(prefix));
    }
    bool map = !from["configMapRef"].is_null(), secret = !from["secretRef"].is_null();
    if (map && secret) {
      field::invalid(e, at, "", "may not have more than one field specified at a time");
    } else if (!map && !secret) {
      field::invalid(e, at, "", "must specify one of: `configMapRef` or `secretRef`");
    }
    for (std::string_view ref : {"configMapRef", "secretRef"}) {
      if (!from[ref].is_null() && from[ref]["name"].as_string().empty()) {
        field::required(e, at[ref]["name"]);
      }
    }
  }
}

void validate_sub_path(FieldErrors& e, const FieldPath& p, std::string_view path) {
  if (path.empty()) return;
  if (path[0] == '/') field::invalid(e, p, path, "must be a relative path");
  if (contains("/" + std::string(path) + "/", "/../")) {
    field::invalid(e, p, path, "must not contain '..'");
  }
}

void validate_mounts(FieldErrors& e, const FieldPath& p, const Value& mounts, const PodScope& pod) {
  std::set<std::string_view> paths;
  size_t i = 0;
  for (const Value& m : mounts.items()) {
    FieldPath at = p[i++];
    std::string_view name = m["name"].as_string(), path = m["mountPath"].as_string();
    if (name.empty()) {
      if (m.find("name")) field::required(e, at["name"]);
    } else if (std::find(pod.volumes.begin(), pod.volumes.end(), name) == pod.volumes.end()) {
      field::not_found(e, at["name"], name);
    }
    if (path.empty()) {
      if (m.find("mountPath")) field::required(e, at["mountPath"]);
    } else if (!paths.insert(path).second) {
      field::invalid(e, at["mountPath"], path, "must be unique");
    }
    validate_sub_path(e, at["subPath"], m["subPath"].as_string());
    if (!m["subPathExpr"].as_string().empty()) {
      if (!m["subPath"].as_string().empty()) {
        field::invalid(e, at["subPathExpr"], m["subPathExpr"],
                       "subPathExpr and subPath are mutually exclusive");
      }
      validate_sub_path(e, at["subPathExpr"], m["subPathExpr"].as_string());
    }
  }
}

void validate_security(FieldErrors& e, const FieldPath& p, const Value& sc) {
  if (sc.is_null()) return;
  for (std::string_view id : {"runAsUser", "runAsGroup"}) {
    if (sc[id].is_null()) continue;
    for (auto& m : check_range(sc[id].as_int(), 0, 2147483647)) {
      field::invalid(e, p[id], sc[id].as_int(), m);
    }
  }
  const Value& escalate = sc["allowPrivilegeEscalation"];
  if (escalate.is_bool() && !escalate.as_bool() && sc["privileged"].as_bool()) {
    field::invalid(e, p, sc,
                   "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
  }
}

void validate_image(FieldErrors& e, const FieldPath& p, const Value& container) {
  std::string_view image = container["image"].as_string();
  if (image.empty()) {
    field::required(e, p);
  } else if (image.front() == ' ' || image.back() == ' ' || image.back() == '\n') {
    field::invalid(e, p, image, "must not have leading or trailing whitespace");
  }
}

void validate_name(FieldErrors& e, const FieldPath& p, const Value& container, PodScope* pod) {
  const Value* name = container.find("name");
  if (!name) return;  // reported as required already
  if (name->as_string().empty()) {
    field::required(e, p);
    return;
  }
  auto bad = check_dns1123_label(name->as_string());
  if (!bad.empty()) {
    field::invalid_each(e, p, name->as_string(), std::move(bad));
  } else if (!pod->names.insert(name->as_string()).second) {
    field::duplicate(e, p, name->as_string());
  }
}

enum class Role : uint8_t { kMain, kInit, kSidecar };

void validate_lifecycle(FieldErrors& e, const FieldPath& p, const Value& c, Role role) {
  for (std::string_view probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    if (role == Role::kInit && !c[probe].is_null()) {
      field::forbidden(e, p[probe],
                       "may not be set for init containers without "
                       "restartPolicy=Always");
    } else {
      validate_probe(e, p[probe], c[probe], probe != "readinessProbe");
    }
  }
  if (c["lifecycle"].is_null()) return;
  if (role == Role::kInit) {
    field::forbidden(e, p["lifecycle"],
                     "may not be set for init containers without restartPolicy=Always");
    return;
  }
  for (std::string_view hook : {"postStart", "preStop"}) {
    const Value& h = c["lifecycle"][hook];
    if (!h.is_null()) validate_handler(e, p["lifecycle"][hook], h);
  }
}

void validate_container(FieldErrors& e, const FieldPath& p, const Value& c, Role role,
                        PodScope* pod) {
  validate_name(e, p["name"], c, pod);
  validate_image(e, p["image"], c);
  validate_lifecycle(e, p, c, role);
  validate_ports(e, p["ports"], c["ports"], pod);
  validate_env(e, p, c);
  validate_mounts(e, p["volumeMounts"], c["volumeMounts"], *pod);
  validate_resources(e, p["resources"], c["resources"]);
  validate_security(e, p["securityContext"], c["securityContext"]);
}

void validate_containers(FieldErrors& e, const FieldPath& p, const Value& spec, PodScope* pod,
                         const PodValidation& options) {
  if (spec["containers"].empty()) field::required(e, p["containers"]);
  size_t i = 0;
  for (const Value& c : spec["containers"].items()) {
    validate_container(e, p["containers"][i++], c, Role::kMain, pod);
  }
  i = 0;
  // Init containers run one after the other: their host ports may repeat.
  std::set<std::string> main_ports = pod->host_ports;
  for (const Value& c : spec["initContainers"].items()) {
    bool sidecar = c["restartPolicy"].as_string() == "Always";
    if (!sidecar) pod->host_ports.clear();
    validate_container(e, p["initContainers"][i++], c, sidecar ? Role::kSidecar : Role::kInit, pod);
    pod->host_ports = main_ports;
  }
  if (!spec["ephemeralContainers"].empty() && !options.ephemeral_allowed) {
    field::forbidden(e, p["ephemeralContainers"], "cannot be set on create");
  }
}

void validate_dns(FieldErrors& e, const FieldPath& p, const Value& spec) {
  const Value& nameservers = spec["dnsConfig"]["nameservers"];
  if (spec["dnsPolicy"].as_string() == "None" && nameservers.empty()) {
    field::required(e, p["dnsConfig"]["nameservers"],
                    "must provide at least one DNS nameserver when `dnsPolicy` is None");
  }
  if (nameservers.size() > 3) {
    field::invalid(e, p["dnsConfig"]["nameservers"], nameservers,
                   "must not have more than 3 nameservers");
  }
  size_t i = 0;
  for (const Value& n : nameservers.items()) {
    field::invalid_each(e, p["dnsConfig"]["nameservers"][i++], n.as_string(),
                        check_ip(n.as_string()));
  }
  i = 0;
  for (const Value& h : spec["hostAliases"].items()) {
    FieldPath at = p["hostAliases"][i++];
    field::invalid_each(e, at["ip"], h["ip"].as_string(), check_ip(h["ip"].as_string()));
    size_t j = 0;
    for (const Value& name : h["hostnames"].items()) {
      field::invalid_each(e, at["hostnames"][j++], name.as_string(),
                          check_dns1123_subdomain(name.as_string()));
    }
  }
}

void validate_spec_names(FieldErrors& e, const FieldPath& p, const Value& spec) {
  struct Check {
    std::string_view name;
    Messages (*check)(std::string_view);
  };
  for (const Check& c :
       {Check{"serviceAccountName", check_dns1123_subdomain},
        Check{"nodeName", check_dns1123_subdomain}, Check{"hostname", check_dns1123_label},
        Check{"subdomain", check_dns1123_label},
        Check{"priorityClassName", check_dns1123_subdomain},
        Check{"runtimeClassName", check_dns1123_subdomain},
        Check{"schedulerName", check_qualified_name}}) {
    std::string_view v = spec[c.name].as_string();
    if (!v.empty()) field::invalid_each(e, p[c.name], v, c.check(v));
  }
}

}  // namespace

void validate_quantity(FieldErrors& e, const FieldPath& p, const Value& quantity) {
  Quantity q = Quantity::parse_or_zero(quantity.as_string());
  if (q.sign() < 0) {
    field::invalid(e, p, quantity.as_string(), "must be greater than or equal to 0");
  }
}

void validate_resources(FieldErrors& e, const FieldPath& p, const Value& resources) {
  auto standard = [](std::string_view n) {
    return n == "cpu" || n == "memory" || n == "ephemeral-storage" ||
           n.substr(0, 10) == "hugepages-";
  };
  auto check = [&](const FieldPath& at, std::string_view name, const Value& v) {
    auto bad = check_qualified_name(name);
    if (!bad.empty()) {
      field::invalid_each(e, at, name, std::move(bad));
    } else if (!contains(name, "/") && !standard(name)) {
      field::invalid(e, at, name, "must be a standard resource type or fully qualified");
      field::invalid(e, at, name, "must be a standard resource for containers");
    }
    validate_quantity(e, at, v);
    if (contains(name, "/") && Quantity::parse_or_zero(v.as_string()).milli_value() % 1000 != 0) {
      field::invalid(e, at, v.as_string(), "must be an integer");
    }
  };
  const Value &limits = resources["limits"], &requests = resources["requests"];
  for (const Member& m : limits.members()) check(p["limits"].key(m.key()), m.key(), m.value);
  for (const Member& m : requests.members()) {
    FieldPath at = p["requests"].key(m.key());
    check(at, m.key(), m.value);
    const Value* limit = limits.find(m.key());
    bool overcommit = m.key() == "cpu" || m.key() == "memory" || m.key() == "ephemeral-storage";
    if (!limit) {
      if (!overcommit && contains(m.key(), "/")) {
        field::required(e, p["limits"], "Limit must be set for non overcommitable resources");
      }
      continue;
    }
    auto have = Quantity::parse_or_zero(m.value.as_string()),
         most = Quantity::parse_or_zero(limit->as_string());
    if (!overcommit && have != most) {
      field::invalid(e, p["requests"], have.to_string(),
                     "must be equal to " + std::string(m.key()) + " limit of " + most.to_string());
    } else if (have > most) {
      field::invalid(e, p["requests"], have.to_string(),
                     "must be less than or equal to " + std::string(m.key()) + " limit of " +
                         most.to_string());
    }
  }
}

void validate_pod_spec(FieldErrors& e, const FieldPath& p, const Value& spec,
                       const PodValidation& options) {
  PodScope pod;
  pod.host_network = spec["hostNetwork"].as_bool();
  pod.restart_policy = spec["restartPolicy"].as_string();
  validate_volumes(e, p["volumes"], spec["volumes"], &pod.volumes);
  validate_containers(e, p, spec, &pod, options);
  validate_dns(e, p, spec);
  validate_labels(e, p["nodeSelector"], spec["nodeSelector"]);
  validate_spec_names(e, p, spec);
  validate_placement(e, p, spec);
  if (const Value& d = spec["activeDeadlineSeconds"]; !d.is_null()) {
    for (auto& m : check_range(d.as_int(), 1, 2147483647)) {
      field::invalid(e, p["activeDeadlineSeconds"], d.as_int(), m);
    }
  }
  const Value& sc = spec["securityContext"];
  if (spec["hostPID"].as_bool() && spec["shareProcessNamespace"].as_bool()) {
    field::invalid(e, p["shareProcessNamespace"], Value(true),
                   "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  for (std::string_view id : {"runAsUser", "runAsGroup", "fsGroup"}) {
    if (sc[id].is_null()) continue;
    for (auto& m : check_range(sc[id].as_int(), 0, 2147483647)) {
      field::invalid(e, p["securityContext"][id], sc[id].as_int(), m);
    }
  }
  validate_sysctls(e, p, spec);
}

void validate_pod_annotations(FieldErrors& e, const Value& pod) {
  const FieldPath at = FieldPath("metadata")["annotations"];
  const Value& annotations = pod["metadata"]["annotations"];
  const Value* mirror = annotations.find(server::kMirrorAnnotation);
  if (mirror && pod["spec"]["nodeName"].as_string().empty()) {
    field::invalid(e, at.key(server::kMirrorAnnotation), *mirror,
                   "must set spec.nodeName if mirror pod annotation is set");
  }
}

void validate_pod_annotation_update(FieldErrors& e, const Value& now, const Value& before) {
  const FieldPath at = FieldPath("metadata")["annotations"];
  const Value& annotations = now["metadata"]["annotations"];
  const Value& old_annotations = before["metadata"]["annotations"];
  for (std::string_view prefix :
       {std::string_view("container.apparmor.security.beta.kubernetes.io/"),
        server::kMirrorAnnotation}) {
    const bool mirror = prefix == server::kMirrorAnnotation;
    auto meant = [&](std::string_view key) {
      return mirror ? key == prefix : key.starts_with(prefix);
    };
    const char* what = mirror ? "mirror pod annotation" : "AppArmor annotations";
    for (const Member& m : old_annotations.members()) {
      const Value* kept = annotations.find(m.key());
      if (!meant(m.key()) || (kept && kept->equals(m.value))) continue;
      field::forbidden(e, at.key(m.key()), std::string("may not remove or update ") + what);
    }
    for (const Member& m : annotations.members()) {
      if (!meant(m.key()) || old_annotations.find(m.key())) continue;
      field::forbidden(e, at.key(m.key()), std::string("may not add ") + what);
    }
  }
}

void validate_pod_template(FieldErrors& e, const FieldPath& p, const Value& tmpl) {
  validate_labels(e, p["metadata"]["labels"], tmpl["metadata"]["labels"]);
  validate_annotations(e, p["metadata"]["annotations"], tmpl["metadata"]["annotations"]);
  PodValidation options;
  if (!tmpl["spec"]["ephemeralContainers"].empty()) {
    options.ephemeral_allowed = true;
    field::forbidden(e, p["spec"]["ephemeralContainers"],
                     "ephemeral containers not allowed in pod template");
  }
  validate_pod_spec(e, p["spec"], tmpl["spec"], options);
}

}  // namespace keles::registry
