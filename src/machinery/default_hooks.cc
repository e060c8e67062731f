#include "machinery/default_hooks.h"

#include <algorithm>

namespace keles::tables {

namespace {

Value text(std::string_view literal) { return Value::string(literal); }

void put_if_absent(EditTarget t, Value* map, std::string_view key, Value v) {
  if ((*map)[key].is_null()) map->set(*t.arena, key, v);
}

Value* child(EditTarget t, std::string_view key) {
  Value& v = t.value->get_or_add(*t.arena, key);
  if (!v.is_map()) v = Value::map();
  return &v;
}

void set_rolling_update(EditTarget t, std::string_view strategy_field, std::string_view type,
                        std::initializer_list<std::pair<std::string_view, Value>> values) {
  Value* strategy = t.value->find(strategy_field);
  if (strategy == nullptr || (*strategy)["type"].as_string() != type) return;
  Value& rolling = strategy->get_or_add(*t.arena, "rollingUpdate");
  if (!rolling.is_map()) rolling = Value::map();
  for (const auto& [key, v] : values) put_if_absent(t, &rolling, key, v);
}

// The tag of an image reference: "latest" when there is neither a tag nor a digest.
std::string_view image_tag(std::string_view image) {
  if (image.find('@') != std::string_view::npos) return "digest";
  auto slash = image.rfind('/');
  auto colon = image.rfind(':');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && colon < slash)) {
    return "latest";
  }
  return image.substr(colon + 1);
}

}  // namespace

void default_container(EditTarget t) {
  if (!(*t.value)["imagePullPolicy"].as_string().empty()) return;
  bool latest = image_tag((*t.value)["image"].as_string()) == "latest";
  t.value->set(*t.arena, "imagePullPolicy", text(latest ? "Always" : "IfNotPresent"));
}

void default_volume(EditTarget t) {
  // Every member but the name is a volume source.
  for (const Member& m : t.value->members()) {
    if (m.key() != "name" && !m.value.is_null()) return;
  }
  t.value->set(*t.arena, "emptyDir", Value::map());
}

// An alpha feature that is off (GenericWorkload): what is asked of it is dropped, as upstream does.
void drop_scheduling_group(EditTarget t) { t.value->erase("schedulingGroup"); }

void default_pod_spec(EditTarget t) {
  drop_scheduling_group(t);
  if (!(*t.value)["hostNetwork"].as_bool()) return;
  for (std::string_view list : {"containers", "initContainers"}) {
    Value* containers = t.value->find(list);
    if (containers == nullptr) continue;
    for (Value& c : containers->items()) {
      Value* ports = c.find("ports");
      if (ports == nullptr) continue;
      for (Value& p : ports->items()) {
        if (p["hostPort"].as_int() == 0) p.set(*t.arena, "hostPort", p["containerPort"]);
      }
    }
  }
}

namespace {
// A container that names a limit and no request asks for its limit.
void default_requests(EditTarget t, Value& container) {
  Value* resources = container.find("resources");
  if (resources == nullptr) return;
  const Value limits = (*resources)["limits"];
  if (limits.empty()) return;
  Value& requests = resources->get_or_add(*t.arena, "requests");
  if (!requests.is_map()) requests = Value::map();
  for (const Member& m : limits.members()) put_if_absent(t, &requests, m.key(), m.value);
}
}  // namespace

void default_pod(EditTarget t) {
  Value* spec = child(t, "spec");
  for (std::string_view list : {"containers", "initContainers"}) {
    if (Value* containers = spec->find(list)) {
      for (Value& c : containers->items()) default_requests(t, c);
    }
  }
  default_requests(t, *spec);
  // Upstream's rule for pods, which it does not apply to their templates.
  if ((*spec)["terminationGracePeriodSeconds"].as_int() < 0) {
    spec->set(*t.arena, "terminationGracePeriodSeconds", Value(1));
  }
  put_if_absent(t, spec, "enableServiceLinks", Value(true));
}

void default_service(EditTarget t) {
  Value* spec = child(t, "spec");
  std::string_view type = (*spec)["type"].as_string();
  if (Value* ports = spec->find("ports")) {
    for (Value& p : ports->items()) {
      const Value& target = p["targetPort"];
      if (target.is_null() || (target.is_int() && target.as_int() == 0) ||
          (target.is_string() && target.as_string().empty())) {
        p.set(*t.arena, "targetPort", p["port"]);
      }
    }
  }
  if ((*spec)["sessionAffinity"].as_string() == "ClientIP") {
    Value& config = spec->get_or_add(*t.arena, "sessionAffinityConfig");
    if (!config.is_map()) config = Value::map();
    Value& client_ip = config.get_or_add(*t.arena, "clientIP");
    if (!client_ip.is_map()) client_ip = Value::map();
    put_if_absent(t, &client_ip, "timeoutSeconds", Value(10800));
  } else {
    spec->erase("sessionAffinityConfig");
  }
  const bool balanced = type == "LoadBalancer";
  if (balanced || type == "NodePort" || (type == "ClusterIP" && !(*spec)["externalIPs"].empty())) {
    put_if_absent(t, spec, "externalTrafficPolicy", text("Cluster"));
  }
  if (balanced || type == "NodePort" || type == "ClusterIP") {
    put_if_absent(t, spec, "internalTrafficPolicy", text("Cluster"));
  }
  if (!balanced) return;
  put_if_absent(t, spec, "allocateLoadBalancerNodePorts", Value(true));
  Value* status = t.value->find("status");
  Value* lb = status != nullptr ? status->find("loadBalancer") : nullptr;
  Value* ingress = lb != nullptr ? lb->find("ingress") : nullptr;
  if (ingress == nullptr) return;
  for (Value& i : ingress->items()) {
    if (!i["ip"].as_string().empty()) put_if_absent(t, &i, "ipMode", text("VIP"));
  }
}

void default_namespace(EditTarget t) {
  Value* metadata = child(t, "metadata");
  std::string_view name = (*metadata)["name"].as_string();
  if (name.empty()) return;
  Value& labels = metadata->get_or_add(*t.arena, "labels");
  labels.set(*t.arena, "kubernetes.io/metadata.name", Value::string(name));
}

void default_node(EditTarget t) {
  Value* status = t.value->find("status");
  if (status == nullptr || (*status)["capacity"].empty()) return;
  put_if_absent(t, status, "allocatable", deep_copy(*t.arena, (*status)["capacity"]));
}

void default_limit_range_item(EditTarget t) {
  if ((*t.value)["type"].as_string() != "Container") return;
  auto fill = [&](std::string_view into, std::string_view from) {
    const Value source = (*t.value)[from];
    if (source.empty()) return;
    Value& target = t.value->get_or_add(*t.arena, into);
    for (const Member& m : source.members()) {
      if (target[m.key()].is_null()) target.set(*t.arena, m.key(), m.value);
    }
  };
  fill("default", "max");
  fill("defaultRequest", "default");
  fill("defaultRequest", "min");
}

void default_labels_from_template(EditTarget t) {
  const Value labels = (*t.value)["spec"]["template"]["metadata"]["labels"];
  if (labels.empty()) return;
  Value* spec = child(t, "spec");
  // Only the core group's controllers infer a selector; a ReplicaSet's is required.
  if ((*spec)["selector"].empty() && (*t.value)["kind"].as_string() == "ReplicationController") {
    spec->set(*t.arena, "selector", deep_copy(*t.arena, labels));
  }
  Value* metadata = child(t, "metadata");
  if ((*metadata)["labels"].empty()) {
    metadata->set(*t.arena, "labels", deep_copy(*t.arena, labels));
  }
}

void default_deployment(EditTarget t) {
  EditTarget spec{child(t, "spec"), t.arena};
  set_rolling_update(spec, "strategy", "RollingUpdate",
                     {{"maxUnavailable", text("25%")}, {"maxSurge", text("25%")}});
}

void default_daemon_set(EditTarget t) {
  EditTarget spec{child(t, "spec"), t.arena};
  set_rolling_update(spec, "updateStrategy", "RollingUpdate",
                     {{"maxUnavailable", Value(1)}, {"maxSurge", Value(0)}});
}

void default_stateful_set(EditTarget t) {
  EditTarget spec{child(t, "spec"), t.arena};
  set_rolling_update(spec, "updateStrategy", "RollingUpdate", {{"partition", Value(0)}});
}

void default_job(EditTarget t) {
  Value* spec = child(t, "spec");
  if ((*spec)["parallelism"].is_null()) {
    // Neither given: one pod. Only completions given: one at a time.
    if ((*spec)["completions"].is_null()) spec->set(*t.arena, "completions", Value(1));
    spec->set(*t.arena, "parallelism", Value(1));
  }
  const bool per_index = !(*spec)["backoffLimitPerIndex"].is_null();
  put_if_absent(t, spec, "backoffLimit", Value(int64_t{per_index ? 2147483647 : 6}));
  const bool policy = !(*spec)["podFailurePolicy"].is_null();
  put_if_absent(t, spec, "podReplacementPolicy", text(policy ? "Failed" : "TerminatingOrFailed"));
  put_if_absent(t, spec, "manualSelector", Value(false));
  default_labels_from_template(t);
}

void default_network_policy(EditTarget t) {
  Value* spec = child(t, "spec");
  if (!(*spec)["policyTypes"].empty()) return;
  Value types = Value::list();
  types.append(*t.arena, text("Ingress"));
  if (!(*spec)["egress"].empty()) types.append(*t.arena, text("Egress"));
  spec->set(*t.arena, "policyTypes", types);
}

void default_rbac_subject(EditTarget t) {
  if (!(*t.value)["apiGroup"].as_string().empty()) return;
  std::string_view kind = (*t.value)["kind"].as_string();
  if (kind == "User" || kind == "Group") {
    t.value->set(*t.arena, "apiGroup", text("rbac.authorization.k8s.io"));
  }
}

void default_custom_resource_definition(EditTarget t) {
  Value* spec = child(t, "spec");
  Value* names = spec->find("names");
  if (names == nullptr) return;
  std::string_view kind = (*names)["kind"].as_string();
  if (kind.empty()) return;
  if ((*names)["singular"].as_string().empty()) {
    auto* lower = static_cast<char*>(t.arena->allocate(kind.size(), 1));
    std::transform(kind.begin(), kind.end(), lower,
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    names->set(*t.arena, "singular", Value::string({lower, kind.size()}));
  }
  if ((*names)["listKind"].as_string().empty()) {
    auto* list = static_cast<char*>(t.arena->allocate(kind.size() + 4, 1));
    std::copy(kind.begin(), kind.end(), list);
    std::copy_n("List", 4, list + kind.size());
    names->set(*t.arena, "listKind", Value::string({list, kind.size() + 4}));
  }
}

void default_device_count(EditTarget t) {
  if ((*t.value)["allocationMode"].as_string() == "ExactCount" &&
      (*t.value)["count"].as_int() == 0) {
    t.value->set(*t.arena, "count", Value(1));
  }
}

}  // namespace keles::tables
