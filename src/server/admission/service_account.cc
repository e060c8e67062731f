#include "base/parse_bool.h"
#include "server/admission/plugins.h"
#include "server/objects/meta.h"
#include "server/objects/pod_references.h"

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

void mount_token(const Attributes& a, Document& pod, Value& spec) {
  std::string volume;
  for (const Value& v : spec["volumes"].items()) {
    if (v["name"].as_string().starts_with(kVolumePrefix) && v.find("projected")) {
      volume = v["name"].as_string();
    }
  }
  const bool there = !volume.empty();
  if (!there) volume = std::string(kVolumePrefix) + a.random->suffix(5);
  if (mount(pod, spec, volume) && !there) add_volume(pod, spec, volume);
}

// A mirror pod is as its node has it, so nothing is added; and nothing may be had by it.
Status check_mirror_pod(const Attributes& a, const Value& spec) {
  if (!spec["serviceAccountName"].as_string().empty()) {
    return refuse(a, "a mirror pod may not reference service accounts");
  }
  if (!server::visit_secrets(spec, [](std::string_view) { return false; })) {
    return refuse(a, "a mirror pod may not reference secrets");
  }
  for (const Value& v : spec["volumes"].items()) {
    for (const Value& source : v["projected"]["sources"].items()) {
      if (source["serviceAccountToken"].is_null()) continue;
      return refuse(a, "a mirror pod may not use ServiceAccountToken volume projections");
    }
  }
  return {};
}

bool enforces_mountable_secrets(const Value& account) {
  const Value& annotations = registry::metadata(account)["annotations"];
  return parse_bool(annotations["kubernetes.io/enforce-mountable-secrets"].as_string()) == true;
}

bool lists(const Value& references, std::string_view name) {
  for (const Value& r : references.items()) {
    if (r["name"].as_string() == name) return true;
  }
  return false;
}

// Containers' environments (of ephemeral ones, or of the others) hold only secrets that the account
// lists.
Status limit_environments(const Attributes& a, const Value& spec, const Value& account,
                          bool ephemeral) {
  const std::string owner = "\" is not allowed because service account " +
                            std::string(registry::meta(account, "name")) +
                            " does not reference that secret";
  Status out;
  server::visit_containers(spec, [&](const Value& c, std::string_view what) {
    if ((what == "ephemeral container") != ephemeral) return true;
    const std::string head =
        std::string(what) + " " + std::string(c["name"].as_string()) + " with ";
    auto check = [&](const Value& reference, const std::string& how) {
      const std::string name(reference["name"].as_string());
      if (reference.is_null() || lists(account["secrets"], name)) return true;
      out = refuse(a, head + how + " referencing secret.secretName=\"" + name + owner);
      return false;
    };
    for (const Value& e : c["env"].items()) {
      if (!check(e["valueFrom"]["secretKeyRef"], "envVar " + std::string(e["name"].as_string()))) {
        return false;
      }
    }
    for (const Value& e : c["envFrom"].items()) {
      if (!check(e["secretRef"], "envFrom")) return false;
    }
    return true;
  });
  return out;
}

Status limit_secrets(const Attributes& a, const Value& spec, const Value& account) {
  const std::string owner(registry::meta(account, "name"));
  for (const Value& v : spec["volumes"].items()) {
    if (v["secret"].is_null()) continue;
    const std::string name(v["secret"]["secretName"].as_string());
    if (lists(account["secrets"], name)) continue;
    return refuse(a, "volume with secret.secretName=\"" + name +
                         "\" is not allowed because service account " + owner +
                         " does not reference that secret");
  }
  TRY(limit_environments(a, spec, account, false));
  size_t i = 0;
  for (const Value& s : spec["imagePullSecrets"].items()) {
    const std::string name(s["name"].as_string());
    if (!lists(account["imagePullSecrets"], name)) {
      return refuse(a, "imagePullSecrets[" + std::to_string(i) + "].name=\"" + name +
                           "\" is not allowed because service account " + owner +
                           " does not reference that imagePullSecret");
    }
    ++i;
  }
  return {};
}

Result<DocumentPtr> account_of(const Attributes& a, const std::string& name) {
  ObjectPtr found = find(a, "", "v1", "ServiceAccount", a.namespace_, name);
  if (found) return found->tree();
  return refuse(a, "error looking up service account " + std::string(a.namespace_) + "/" + name +
                       ": serviceaccount \"" + name + "\" not found");
}

Status check_pod(const Attributes& a, const Value& spec, const Value& account) {
  return enforces_mountable_secrets(account) ? limit_secrets(a, spec, account) : Status();
}

}  // namespace

Status service_account(const Attributes& a, Document& pod, const Value*) {
  if (!pod_create(a)) return {};
  Value& spec = edit_map(pod, pod.root, "spec");
  if (server::is_mirror_pod(pod.root)) return check_mirror_pod(a, spec);
  std::string name(spec["serviceAccountName"].as_string());
  if (name.empty()) name = spec["serviceAccount"].as_string();
  if (name.empty()) name = "default";
  set_text(pod, spec, "serviceAccountName", name);
  set_text(pod, spec, "serviceAccount", name);
  TRY_ASSIGN(account, account_of(a, name));
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
  if (automount) mount_token(a, pod, spec);
  return check_pod(a, spec, account->root);
}

// Once more when all plugins have had their turn; and what debugging adds to a pod that there is.
Status service_account_validate(const Attributes& a, const Value* pod, const Value*) {
  if (!pod || !a.is("", "Pod")) return {};
  const Value& spec = (*pod)["spec"];
  if (pod_create(a)) {
    if (server::is_mirror_pod(*pod)) return check_mirror_pod(a, spec);
    TRY_ASSIGN(account, account_of(a, std::string(spec["serviceAccountName"].as_string())));
    return check_pod(a, spec, account->root);
  }
  if (a.operation != Operation::kUpdate || a.subresource != "ephemeralcontainers") return {};
  TRY_ASSIGN(account, account_of(a, std::string(spec["serviceAccountName"].as_string())));
  if (!enforces_mountable_secrets(account->root)) return {};
  return limit_environments(a, spec, account->root, true);
}

}  // namespace keles::admission
