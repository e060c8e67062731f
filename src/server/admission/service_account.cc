#include "server/admission/plugins.h"
#include "server/registry/meta.h"

namespace keles::admission {
namespace {

using registry::edit_map;
using registry::set_text;

constexpr std::string_view kVolumePrefix = "kube-api-access-";
constexpr std::string_view kMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr int64_t kTokenSeconds = 3607;  // upstream's mark of a token that may be extended

Value& list_of(Document& d, Value& in, std::string_view key) {
  Value* found = in.find(key);
  if (!found) found = &in.set(d.arena, key, Value::list());
  if (!found->is_list()) *found = Value::list();
  return *found;
}

Value& append_map(Document& d, Value& list) { return list.append(d.arena, Value::map()); }

// Mounts `volume` in every container that mounts nothing there. Says whether any does now.
bool mount(Document& d, Value& spec, std::string_view volume) {
  bool any = false;
  for (std::string_view field : {"initContainers", "containers"}) {
    Value* containers = spec.find(field);
    if (!containers) continue;
    for (Value& c : containers->items()) {
      bool taken = false;
      for (const Value& m : c["volumeMounts"].items()) {
        taken |= m["mountPath"].as_string() == kMountPath;
      }
      if (taken || !c.is_map()) continue;
      Value& m = append_map(d, list_of(d, c, "volumeMounts"));
      set_text(d, m, "name", volume);
      m.set(d.arena, "readOnly", Value(true));
      set_text(d, m, "mountPath", kMountPath);
      any = true;
    }
  }
  return any;
}

void add_volume(Document& d, Value& spec, std::string_view name) {
  Value& volume = append_map(d, list_of(d, spec, "volumes"));
  set_text(d, volume, "name", name);
  Value& projected = edit_map(d, volume, "projected");
  Value& sources = list_of(d, projected, "sources");
  Value& token = edit_map(d, append_map(d, sources), "serviceAccountToken");
  token.set(d.arena, "expirationSeconds", Value(kTokenSeconds));
  set_text(d, token, "path", "token");
  Value& ca = edit_map(d, append_map(d, sources), "configMap");
  set_text(d, ca, "name", "kube-root-ca.crt");
  Value& item = append_map(d, list_of(d, ca, "items"));
  set_text(d, item, "key", "ca.crt");
  set_text(d, item, "path", "ca.crt");
  Value& downward = edit_map(d, append_map(d, sources), "downwardAPI");
  Value& file = append_map(d, list_of(d, downward, "items"));
  set_text(d, file, "path", "namespace");
  Value& ref = edit_map(d, file, "fieldRef");
  set_text(d, ref, "apiVersion", "v1");
  set_text(d, ref, "fieldPath", "metadata.namespace");
  projected.set(d.arena, "defaultMode", Value(int64_t{0644}));
}

}  // namespace

Status service_account(const Attributes& a, Document& pod, const Value*) {
  if (!pod_create(a)) return {};
  Value& spec = edit_map(pod, pod.root, "spec");
  if (registry::metadata(pod.root)["annotations"].find("kubernetes.io/config.mirror")) {
    if (!spec["serviceAccountName"].as_string().empty()) {
      return refuse(a, "a mirror pod may not reference service accounts");
    }
    return {};
  }
  std::string name(spec["serviceAccountName"].as_string());
  if (name.empty()) name = spec["serviceAccount"].as_string();
  if (name.empty()) name = "default";
  set_text(pod, spec, "serviceAccountName", name);
  set_text(pod, spec, "serviceAccount", name);
  ObjectPtr found = find(a, "", "v1", "ServiceAccount", a.namespace_, name);
  if (!found) {
    return refuse(a, "error looking up service account " + std::string(a.namespace_) + "/" + name +
                         ": serviceaccount \"" + name + "\" not found");
  }
  DocumentPtr account = found->tree();
  if (spec["imagePullSecrets"].empty() && !account->root["imagePullSecrets"].empty()) {
    registry::copy_member(pod, spec, "imagePullSecrets", account->root.find("imagePullSecrets"));
  }
  bool automount = true;
  if (const Value& own = spec["automountServiceAccountToken"]; own.is_bool()) {
    automount = own.as_bool();
  } else if (const Value& theirs = account->root["automountServiceAccountToken"];
             theirs.is_bool()) {
    automount = theirs.as_bool();
  }
  if (!automount) return {};
  std::string volume;
  for (const Value& v : spec["volumes"].items()) {
    if (v["name"].as_string().starts_with(kVolumePrefix) && v.find("projected")) {
      volume = v["name"].as_string();
    }
  }
  const bool there = !volume.empty();
  if (!there) volume = std::string(kVolumePrefix) + a.random->suffix(5);
  if (mount(pod, spec, volume) && !there) add_volume(pod, spec, volume);
  return {};
}

}  // namespace keles::admission
