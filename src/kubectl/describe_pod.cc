#include <algorithm>

#include "base/host_port.h"
#include "kubectl/describe.h"
#include "kubectl/print.h"
#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

void write_resources(const Value& resources, Description& d, int level) {
  for (const char* which : {"limits", "requests"}) {
    const Value& map = resources[which];
    if (map.empty()) continue;
    d.line(level, which[0] == 'l' ? "Limits:" : "Requests:");
    for (const std::string& key : sorted_keys(map)) d.line(level + 1, key + ":\t" + str(map[key]));
  }
}

std::string ports_text(const Value& ports, const char* field) {
  std::string out;
  for (const Value& p : ports.items()) {
    if (!out.empty()) out += ", ";
    out += std::to_string(p[field].as_int()) + "/" + str(p["protocol"]);
    if (!p["name"].as_string().empty()) out += " (" + str(p["name"]) + ")";
  }
  return out;
}

void write_ports(const Value& ports, const char* field, const std::string& title, Description& d) {
  std::string text = ports_text(ports, field);
  bool several = text.find(',') != text.npos;
  d.line(2, title + (several ? "s" : "") + ":\t" + (text.empty() ? "<none>" : text));
}

void write_words(const Value& words, const char* title, Description& d) {
  if (words.empty()) return;
  d.line(2, title);
  for (const Value& w : words.items()) {
    std::string_view rest = w.as_string();
    for (;;) {
      size_t end = rest.find('\n');
      d.line(3, rest.substr(0, end));
      if (end == rest.npos) break;
      rest = rest.substr(end + 1);
    }
  }
}

void write_state(const std::string& title, const Value& state, Description& d) {
  if (state["running"].is_map()) {
    d.line(2, title + ":\tRunning");
    d.line(3, "Started:\t" + local_time(state["running"]["startedAt"]));
    return;
  }
  if (!state["terminated"].is_map()) {
    d.line(2, title + ":\tWaiting");
    std::string reason = str(state["waiting"]["reason"]);
    if (!reason.empty()) d.line(3, "Reason:\t" + reason);
    return;
  }
  const Value& t = state["terminated"];
  d.line(2, title + ":\tTerminated");
  if (!str(t["reason"]).empty()) d.line(3, "Reason:\t" + str(t["reason"]));
  if (!str(t["message"]).empty()) d.line(3, "Message:\t" + str(t["message"]));
  d.line(3, "Exit Code:\t" + std::to_string(t["exitCode"].as_int()));
  if (t["signal"].as_int() > 0) d.line(3, "Signal:\t" + str(t["signal"]));
  d.line(3, "Started:\t" + local_time(t["startedAt"]));
  d.line(3, "Finished:\t" + local_time(t["finishedAt"]));
}

std::string probe_text(const Value& p) {
  auto n = [&p](const char* field) { return std::to_string(p[field].as_int()); };
  std::string attributes = " delay=" + n("initialDelaySeconds") +
                           "s timeout=" + n("timeoutSeconds") + "s period=" + n("periodSeconds") +
                           "s #success=" + n("successThreshold") +
                           " #failure=" + n("failureThreshold");
  if (p["exec"].is_map()) return "exec " + go_text(p["exec"]["command"]) + attributes;
  if (p["httpGet"].is_map()) {
    const Value& h = p["httpGet"];
    std::string scheme = str(h["scheme"]), host = str(h["host"]), path = str(h["path"]);
    for (char& c : scheme) c = static_cast<char>(std::tolower(c));
    host = url_host(host);
    if (!path.empty() && path[0] != '/') path = "/" + path;
    return "http-get " + scheme + "://" + host + ":" + str(h["port"]) + path + attributes;
  }
  if (p["tcpSocket"].is_map()) {
    return "tcp-socket " + str(p["tcpSocket"]["host"]) + ":" + str(p["tcpSocket"]["port"]) +
           attributes;
  }
  if (p["grpc"].is_map()) {
    return "grpc <pod>:" + str(p["grpc"]["port"]) + " " + str(p["grpc"]["service"]) + attributes;
  }
  return "unknown" + attributes;
}

std::string optional_text(const Value& v) { return v["optional"].as_bool() ? "true" : "false"; }

void write_environment(const Value& c, const Value& pod, Description& d) {
  if (!c["envFrom"].empty()) {
    d.line(2, "Environment Variables from:");
    for (const Value& e : c["envFrom"].items()) {
      bool secret = e["secretRef"].is_map();
      const Value& ref = secret ? e["secretRef"] : e["configMapRef"];
      std::string prefix = str(e["prefix"]);
      d.line(3, str(ref["name"]) + "\t" + (secret ? "Secret" : "ConfigMap") +
                    (prefix.empty() ? "" : " with prefix '" + prefix + "'") +
                    "\tOptional: " + optional_text(ref));
    }
  }
  d.line(2, c["env"].empty() ? "Environment:\t<none>" : "Environment:");
  for (const Value& e : c["env"].items()) {
    std::string name = str(e["name"]);
    const Value& from = e["valueFrom"];
    if (from["fieldRef"].is_map()) {
      std::string path = str(from["fieldRef"]["fieldPath"]);
      Result<JsonPath> at = JsonPath::parse("{." + path + "}");
      Result<std::string> value = at.ok() && !pod.is_null() ? at->execute(pod) : std::string();
      d.line(3, name + ":\t" + value.value_or("") + " (" +
                    str_or(from["fieldRef"]["apiVersion"], "v1") + ":" + path + ")");
    } else if (from["resourceFieldRef"].is_map()) {
      std::string resource = str(from["resourceFieldRef"]["resource"]);
      size_t dot = resource.find('.');
      const Value& group = c["resources"][resource.substr(0, dot)];
      std::string value = dot == resource.npos ? "" : str(group[resource.substr(dot + 1)]);
      if (value.empty()) value = resource.starts_with("limits.") ? "node allocatable" : "0";
      d.line(3, name + ":\t" + value + " (" + resource + ")");
    } else if (from["secretKeyRef"].is_map()) {
      const Value& r = from["secretKeyRef"];
      d.line(3, name + ":\t<set to the key '" + str(r["key"]) + "' in secret '" + str(r["name"]) +
                    "'>\tOptional: " + optional_text(r));
    } else if (from["configMapKeyRef"].is_map()) {
      const Value& r = from["configMapKeyRef"];
      d.line(3, name + ":\t<set to the key '" + str(r["key"]) + "' of config map '" +
                    str(r["name"]) + "'>\tOptional: " + optional_text(r));
    } else {
      std::string value = str(e["value"]), head = name + ":";
      for (size_t start = 0;;) {
        size_t end = value.find('\n', start);
        d.line(3, head + "\t" + value.substr(start, end == value.npos ? end : end - start));
        head.clear();
        if (end == value.npos) break;
        start = end + 1;
      }
    }
  }
}

void write_mounts(const Value& c, Description& d) {
  std::vector<const Value*> mounts;
  for (const Value& m : c["volumeMounts"].items()) mounts.push_back(&m);
  std::sort(mounts.begin(), mounts.end(), [](const Value* a, const Value* b) {
    return (*a)["mountPath"].as_string() < (*b)["mountPath"].as_string();
  });
  d.line(2, mounts.empty() ? "Mounts:\t<none>" : "Mounts:");
  for (const Value* m : mounts) {
    std::string flags = (*m)["readOnly"].as_bool() ? "ro" : "rw";
    std::string sub = str((*m)["subPath"]);
    if (!sub.empty()) flags += ",path=\"" + sub + "\"";
    d.line(3, str((*m)["mountPath"]) + " from " + str((*m)["name"]) + " (" + flags + ")");
  }
  if (c["volumeDevices"].empty()) return;
  d.line(2, "Devices:");
  for (const Value& v : c["volumeDevices"].items()) {
    d.line(3, str(v["devicePath"]) + " from " + str(v["name"]));
  }
}

void write_containers(const std::string& title, const Value& containers, const Value& statuses,
                      const Value& pod, bool in_template, Description& d) {
  std::string space = in_template ? "  " : "", indent = in_template ? " " : "";
  d.line(0, space + title + ":" + (containers.empty() ? " <none>" : ""));
  for (const Value& c : containers.items()) {
    const Value* status = nullptr;
    for (const Value& s : statuses.items()) {
      if (s["name"].equals(c["name"])) status = &s;
    }
    d.line(1, indent + str(c["name"]) + ":");
    if (status) d.line(2, "Container ID:\t" + str((*status)["containerID"]));
    d.line(2, "Image:\t" + str(c["image"]));
    if (status) d.line(2, "Image ID:\t" + str((*status)["imageID"]));
    write_ports(c["ports"], "containerPort", "Port", d);
    write_ports(c["ports"], "hostPort", "Host Port", d);
    const Value& seccomp = c["securityContext"]["seccompProfile"];
    if (seccomp.is_map()) {
      d.line(2, "SeccompProfile:\t" + str(seccomp["type"]));
      if (!str(seccomp["localhostProfile"]).empty()) {
        d.line(3, "LocalhostProfile:\t" + str(seccomp["localhostProfile"]));
      }
    }
    write_words(c["command"], "Command:", d);
    write_words(c["args"], "Args:", d);
    if (status) {
      write_state("State", (*status)["state"], d);
      if ((*status)["lastState"]["terminated"].is_map()) {
        write_state("Last State", (*status)["lastState"], d);
      }
      d.line(2, std::string("Ready:\t") + ((*status)["ready"].as_bool() ? "True" : "False"));
      d.line(2, "Restart Count:\t" + std::to_string((*status)["restartCount"].as_int()));
    }
    write_resources(c["resources"], d, 2);
    for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
      if (!c[probe].is_map()) continue;
      std::string name(probe, std::string_view(probe).size() - 5);
      name[0] = static_cast<char>(std::toupper(name[0]));
      d.line(2, name + ":\t" + probe_text(c[probe]));
    }
    write_environment(c, pod, d);
    write_mounts(c, d);
  }
}

// --- volumes
// --------------------------------------------------------------------------------------

struct VolumeText {
  const char *member, *type;
  // "Title=field" lines below, in order; "!field" is a bool that is false when absent.
  std::vector<std::pair<const char*, const char*>> fields;
};

const std::vector<VolumeText>& volume_texts() {
  static const std::vector<VolumeText> kTexts = {
      {"secret",
       "Secret (a volume populated by a Secret)",
       {{"SecretName", "secretName"}, {"Optional", "!optional"}}},
      {"configMap",
       "ConfigMap (a volume populated by a ConfigMap)",
       {{"Name", "name"}, {"Optional", "!optional"}}},
      {"nfs",
       "NFS (an NFS mount that lasts the lifetime of a pod)",
       {{"Server", "server"}, {"Path", "path"}, {"ReadOnly", "!readOnly"}}},
      {"persistentVolumeClaim",
       "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
       {{"ClaimName", "claimName"}, {"ReadOnly", "!readOnly"}}},
      {"csi",
       "CSI (a Container Storage Interface (CSI) volume source)",
       {{"Driver", "driver"}, {"FSType", "fsType"}, {"ReadOnly", "!readOnly"}}},
      {"image",
       "Image (a container image or OCI artifact)",
       {{"Reference", "reference"}, {"PullPolicy", "pullPolicy"}}},
  };
  return kTexts;
}

void write_projected(const Value& sources, Description& d) {
  d.line(2, "Type:\tProjected (a volume that contains injected data from multiple sources)");
  for (const Value& s : sources.items()) {
    if (s["secret"].is_map()) {
      d.line(2, "SecretName:\t" + str(s["secret"]["name"]));
      d.line(2, "Optional:\t" + optional_text(s["secret"]));
    } else if (s["downwardAPI"].is_map()) {
      d.line(2, "DownwardAPI:\ttrue");
    } else if (s["configMap"].is_map()) {
      d.line(2, "ConfigMapName:\t" + str(s["configMap"]["name"]));
      d.line(2, "Optional:\t" + optional_text(s["configMap"]));
    } else if (s["serviceAccountToken"].is_map()) {
      d.line(2, "TokenExpirationSeconds:\t" + str(s["serviceAccountToken"]["expirationSeconds"]));
    }
  }
}

void write_volume(const Value& v, Description& d) {
  if (v["hostPath"].is_map()) {
    d.line(2, "Type:\tHostPath (bare host directory volume)");
    d.line(2, "Path:\t" + str(v["hostPath"]["path"]));
    const Value& type = v["hostPath"]["type"];
    d.line(2, "HostPathType:\t" + (type.is_null() ? "<none>" : str(type)));
    return;
  }
  if (v["emptyDir"].is_map()) {
    d.line(2, "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)");
    d.line(2, "Medium:\t" + str(v["emptyDir"]["medium"]));
    d.line(2, "SizeLimit:\t" + str_or(v["emptyDir"]["sizeLimit"], "<unset>"));
    return;
  }
  if (v["downwardAPI"].is_map()) {
    d.line(2, "Type:\tDownwardAPI (a volume populated by information about the pod)");
    d.line(2, "Items:");
    for (const Value& i : v["downwardAPI"]["items"].items()) {
      if (i["fieldRef"].is_map()) {
        d.line(3, str(i["fieldRef"]["fieldPath"]) + " -> " + str(i["path"]));
      } else {
        d.line(3, str(i["resourceFieldRef"]["resource"]) + " -> " + str(i["path"]));
      }
    }
    return;
  }
  if (v["projected"].is_map()) return write_projected(v["projected"]["sources"], d);
  for (const VolumeText& t : volume_texts()) {
    if (!v[t.member].is_map()) continue;
    d.line(2, std::string("Type:\t") + t.type);
    for (const auto& [title, field] : t.fields) {
      std::string_view name = field;
      bool is_switch = name[0] == '!';
      if (is_switch) name.remove_prefix(1);
      std::string value =
          is_switch ? (v[t.member][name].as_bool() ? "true" : "false") : str(v[t.member][name]);
      d.line(2, std::string(title) + ":\t" + value);
    }
    return;
  }
  // Another source: its fields as they are.
  for (const Member& m : v.members()) {
    if (m.key() == "name") continue;
    d.line(2, "Type:\t" + std::string(m.key()));
    for (const std::string& key : sorted_keys(m.value)) {
      d.line(2, key + ":\t" + str(m.value[key]));
    }
  }
}

void write_volumes(const Value& volumes, bool in_template, Description& d) {
  std::string space = in_template ? "  " : "", indent = in_template ? " " : "";
  d.line(0, space + (volumes.empty() ? "Volumes:\t<none>" : "Volumes:"));
  for (const Value& v : volumes.items()) {
    d.line(1, indent + str(v["name"]) + ":");
    write_volume(v, d);
  }
}

void write_tolerations(const std::string& title, const Value& tolerations, Description& d) {
  std::string head = title + ":\t";
  std::vector<const Value*> sorted;
  for (const Value& t : tolerations.items()) sorted.push_back(&t);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Value* a, const Value* b) {
    return (*a)["key"].as_string() < (*b)["key"].as_string();
  });
  for (const Value* p : sorted) {
    const Value& t = *p;
    std::string line = head + str(t["key"]);
    if (!str(t["value"]).empty()) line += "=" + str(t["value"]);
    if (!str(t["effect"]).empty()) line += ":" + str(t["effect"]);
    // A toleration of everything, or of a key whatever its value.
    if (t["operator"].as_string() == "Exists" && str(t["value"]).empty()) {
      bool bare = !str(t["key"]).empty() || !str(t["effect"]).empty();
      line += bare ? " op=Exists" : "op=Exists";
    }
    if (t["tolerationSeconds"].is_int()) line += " for " + str(t["tolerationSeconds"]) + "s";
    d.line(0, line);
    head = "\t";
  }
  if (tolerations.empty()) d.line(0, head + "<none>");
}

void write_spread(const Value& constraints, const std::string& space, Description& d) {
  std::string head = space + "Topology Spread Constraints:\t";
  std::vector<const Value*> sorted;
  for (const Value& t : constraints.items()) sorted.push_back(&t);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Value* a, const Value* b) {
    return (*a)["topologyKey"].as_string() < (*b)["topologyKey"].as_string();
  });
  for (const Value* p : sorted) {
    const Value& t = *p;
    std::string line = head + str(t["topologyKey"]) + ":" + str(t["whenUnsatisfiable"]) +
                       " when max skew " + str(t["maxSkew"]) + " is exceeded";
    if (t["labelSelector"].is_map()) {
      Result<Selector> s = Selector::from_label_selector(t["labelSelector"]);
      std::string text = s.ok() ? s->to_string() : "";
      line += " for selector " + (text.empty() ? "<none>" : text);
    }
    d.line(0, line);
    head = space + "\t";
  }
}

}  // namespace

void describe_pod_template(const Value& t, Description& d) {
  const Value& spec = t["spec"];
  d.line(0, "Pod Template:");
  d.labels("  Labels", t["metadata"]["labels"]);
  if (!t["metadata"]["annotations"].empty()) {
    d.annotations("  Annotations", t["metadata"]["annotations"]);
  }
  std::string account = str(spec["serviceAccountName"]);
  if (!account.empty()) d.line(1, "Service Account:\t" + account);
  if (!spec["initContainers"].empty()) {
    write_containers("Init Containers", spec["initContainers"], Value::null(), Value::null(), true,
                     d);
  }
  write_containers("Containers", spec["containers"], Value::null(), Value::null(), true, d);
  write_volumes(spec["volumes"], true, d);
  write_spread(spec["topologySpreadConstraints"], "  ", d);
  std::string priority = str(spec["priorityClassName"]);
  if (!priority.empty()) d.line(1, "Priority Class Name:\t" + priority);
  d.labels("  Node-Selectors", spec["nodeSelector"]);
  write_tolerations("  Tolerations", spec["tolerations"], d);
}

void describe_pod(const PageContext&, const Value& o, Description& d) {
  const Value &meta = o["metadata"], &spec = o["spec"], &status = o["status"];
  d.line(0, "Name:\t" + str(meta["name"]));
  d.line(0, "Namespace:\t" + str(meta["namespace"]));
  if (spec["priority"].is_int()) d.line(0, "Priority:\t" + str(spec["priority"]));
  for (const auto& [title, field] : {std::pair("Priority Class Name", "priorityClassName"),
                                     std::pair("Runtime Class Name", "runtimeClassName"),
                                     std::pair("Service Account", "serviceAccountName")}) {
    if (!str(spec[field]).empty()) d.line(0, std::string(title) + ":\t" + str(spec[field]));
  }
  std::string node = str(spec["nodeName"]);
  d.line(0, "Node:\t" + (node.empty() ? "<none>" : node + "/" + str(status["hostIP"])));
  if (!status["startTime"].is_null()) d.line(0, "Start Time:\t" + local_time(status["startTime"]));
  d.labels("Labels", meta["labels"]);
  d.annotations("Annotations", meta["annotations"]);
  std::string phase = str(status["phase"]);
  if (!meta["deletionTimestamp"].is_null() && phase != "Failed" && phase != "Succeeded") {
    d.line(0, "Status:\tTerminating (lasts " + age_of(meta["deletionTimestamp"]) + ")");
    d.line(0, "Termination Grace Period:\t" + str(meta["deletionGracePeriodSeconds"]) + "s");
  } else {
    d.line(0, "Status:\t" + phase);
  }
  if (!str(status["reason"]).empty()) d.line(0, "Reason:\t" + str(status["reason"]));
  if (!str(status["message"]).empty()) d.line(0, "Message:\t" + str(status["message"]));
  const Value& seccomp = spec["securityContext"]["seccompProfile"];
  if (seccomp.is_map()) {
    d.line(0, "SeccompProfile:\t" + str(seccomp["type"]));
    std::string profile = str(seccomp["localhostProfile"]);
    if (!profile.empty()) d.line(0, "LocalhostProfile:\t" + profile);
  }
  d.line(0, "IP:\t" + str(status["podIP"]));
  d.line(0, status["podIPs"].empty() ? "IPs:\t<none>" : "IPs:");
  for (const Value& ip : status["podIPs"].items()) d.line(1, "IP:\t" + str(ip["ip"]));
  if (!controller_of(o).empty()) d.line(0, "Controlled By:\t" + controller_of(o));
  std::string nominated = str(status["nominatedNodeName"]);
  if (!nominated.empty()) d.line(0, "NominatedNodeName:\t" + nominated);
  if (spec["resources"].is_map()) {
    d.line(0, "Resources:");
    write_resources(spec["resources"], d, 1);
  }
  if (!spec["initContainers"].empty()) {
    write_containers("Init Containers", spec["initContainers"], status["initContainerStatuses"], o,
                     false, d);
  }
  write_containers("Containers", spec["containers"], status["containerStatuses"], o, false, d);
  if (!spec["ephemeralContainers"].empty()) {
    write_containers("Ephemeral Containers", spec["ephemeralContainers"],
                     status["ephemeralContainerStatuses"], o, false, d);
  }
  if (!spec["readinessGates"].empty()) {
    d.line(0, "Readiness Gates:");
    d.line(1, "Type\tStatus");
    for (const Value& g : spec["readinessGates"].items()) {
      std::string value = "<none>";
      for (const Value& c : status["conditions"].items()) {
        if (c["type"].equals(g["conditionType"])) value = str(c["status"]);
      }
      d.line(1, str(g["conditionType"]) + " \t" + value + " ");
    }
  }
  if (!status["conditions"].empty()) {
    d.line(0, "Conditions:");
    d.line(1, "Type\tStatus");
    for (const Value& c : status["conditions"].items()) {
      d.line(1, str(c["type"]) + " \t" + str(c["status"]) + " ");
    }
  }
  write_volumes(spec["volumes"], false, d);
  d.line(0, "QoS Class:\t" + str(status["qosClass"]));
  d.labels("Node-Selectors", spec["nodeSelector"]);
  write_tolerations("Tolerations", spec["tolerations"], d);
  write_spread(spec["topologySpreadConstraints"], "", d);
}

}  // namespace keles::kubectl
