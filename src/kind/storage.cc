#include "kind/storage.h"

#include "base/file.h"
#include "base/loop_devices.h"
#include "kind/api_wait.h"
#include "kind/cluster_pki.h"

namespace keles::kind {
namespace {

constexpr char kVolumes[] = "/var/lib/keles/csi-local";

struct Object {
  const char *path, *json;
};
// Capacity is tracked once somebody says so in the CSIDriver: a directory has no size that would
// be enforced, and claims may ask for more than a laptop has.
constexpr Object kObjects[] = {
    {"/apis/rbac.authorization.k8s.io/v1/clusterroles", R"({
"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
"metadata": {"name": "keles:csi-local"},
"rules": [
  {"apiGroups": [""], "resources": ["persistentvolumes"],
   "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
  {"apiGroups": [""], "resources": ["persistentvolumeclaims"],
   "verbs": ["get", "list", "watch", "update", "patch"]},
  {"apiGroups": [""], "resources": ["persistentvolumeclaims/status", "persistentvolumes/status"],
   "verbs": ["update", "patch"]},
  {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
  {"apiGroups": ["", "events.k8s.io"], "resources": ["events"],
   "verbs": ["create", "update", "patch"]},
  {"apiGroups": ["storage.k8s.io"],
   "resources": ["storageclasses", "csinodes", "csidrivers", "volumeattachments",
                 "volumeattributesclasses"],
   "verbs": ["get", "list", "watch"]},
  {"apiGroups": ["storage.k8s.io"], "resources": ["csistoragecapacities"],
   "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]}
]})"},
    {"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", R"({
"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
"metadata": {"name": "keles:csi-local"},
"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "keles:csi-local"},
"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group",
              "name": "keles:csi-local"}]})"},
    {"/apis/storage.k8s.io/v1/csidrivers", R"({
"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
"metadata": {"name": "local.csi.keles.dev"},
"spec": {"attachRequired": false, "podInfoOnMount": true, "fsGroupPolicy": "File",
         "volumeLifecycleModes": ["Persistent", "Ephemeral"]}})"},
    {"/apis/storage.k8s.io/v1/storageclasses", R"({
"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
"metadata": {"name": "standard",
             "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
"provisioner": "local.csi.keles.dev", "reclaimPolicy": "Delete",
"volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true})"},
};

}  // namespace

Service storage_service(const NodeSpec& node) {
  return {
      "csi-local",
      {kNodeBinary, "csi-local", "--node-id=" + node.name, std::string("--directory=") + kVolumes,
       std::string("--kubeconfig=") + kStorageKubeconfig, "--capacity-namespace=kube-system"}};
}

Status install_storage(const KubeconfigEntry& entry, Duration timeout) {
  for (const Object& o : kObjects) TRY(create_object(entry, o.path, o.json, timeout));
  return Status();
}

void release_storage(const std::string& rootfs) {
  const std::string volumes = rootfs + kVolumes + "/volumes";
  auto ids = list_directory(volumes);
  if (!ids.ok()) return;
  for (const std::string& id : *ids) {
    const std::string device = loop_device_of(volumes + "/" + id + "/image");
    if (!device.empty()) (void)detach_loop_device(device);
  }
}

}  // namespace keles::kind
