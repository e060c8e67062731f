#include "machinery/volumes/plugins.h"

#include <array>

#include "machinery/volumes/claim_rules.h"

namespace keles::volumes {

using api::core_v1::PersistentVolume;

namespace {

struct Plugin {
  std::string_view source, name, successor;
  bool in_controllers = false, deletes = false, recycles = false;
};

constexpr std::array kPlugins{
    Plugin{"hostPath", "kubernetes.io/host-path", "", true, true, true},
    Plugin{"nfs", "kubernetes.io/nfs", "", true, false, true},
    Plugin{"fc", "kubernetes.io/fc", "", true},
    Plugin{"iscsi", "kubernetes.io/iscsi", "", true},
    Plugin{"csi", "kubernetes.io/csi", "", true},
    Plugin{"awsElasticBlockStore", "kubernetes.io/aws-ebs", "ebs.csi.aws.com"},
    Plugin{"gcePersistentDisk", "kubernetes.io/gce-pd", "pd.csi.storage.gke.io"},
    Plugin{"azureDisk", "kubernetes.io/azure-disk", "disk.csi.azure.com"},
    Plugin{"azureFile", "kubernetes.io/azure-file", "file.csi.azure.com"},
    Plugin{"cinder", "kubernetes.io/cinder", "cinder.csi.openstack.org"},
    Plugin{"vsphereVolume", "kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"},
    Plugin{"portworxVolume", "kubernetes.io/portworx-volume", "pxd.portworx.com"},
};

const Plugin* by_name(std::string_view name) {
  for (const Plugin& p : kPlugins) {
    if (p.name == name) return &p;
  }
  return nullptr;
}

const Plugin* plugin_of(const PersistentVolume& volume) {
  for (const Plugin& p : kPlugins) {
    if (!volume.spec().value()[p.source].is_null()) return &p;
  }
  return nullptr;
}

Deleter failed(std::string why) { return {Deleter::Who::kError, std::move(why)}; }

}  // namespace

std::string_view csi_successor(std::string_view plugin) {
  const Plugin* p = by_name(plugin);
  return p == nullptr ? "" : p->successor;
}

std::string_view csi_successor(const PersistentVolume& volume) {
  const Plugin* p = plugin_of(volume);
  return p == nullptr ? "" : p->successor;
}

std::string_view source_plugin(const PersistentVolume& volume) {
  const Plugin* p = plugin_of(volume);
  return p == nullptr ? "" : p->name;
}

std::string plugin_label(const PersistentVolume& volume) {
  const Plugin* p = plugin_of(volume);
  if (p == nullptr || !p->in_controllers) return "N/A";
  std::string name(p->name);
  if (p->source == "csi") name += ":" + std::string(volume.spec().csi().driver());
  return name;
}

Deleter deleter_of(const PersistentVolume& volume) {
  const auto annotations = volume.metadata().annotations();
  const std::string by(annotations.get(kProvisionedBy));
  if (!by.empty()) {
    const Plugin* p = by_name(by);
    const bool there = p != nullptr && p->in_controllers;
    if (there && p->deletes) return {Deleter::Who::kHostPath, ""};
    if (!by.starts_with("kubernetes.io/")) return {};
    return failed(there ? "no deletable volume plugin matched"
                        : "no volume plugin matched name: " + by);
  }
  if (annotations.contains(kMigratedTo) || volume.spec().has_csi()) return {};
  const Plugin* p = plugin_of(volume);
  const bool there = p != nullptr && p->in_controllers;
  if (there && p->deletes) return {Deleter::Who::kHostPath, ""};
  return failed(
      "error getting deleter volume plugin for volume \"" + std::string(volume.metadata().name()) +
      "\": " + (there ? "no deletable volume plugin matched" : "no volume plugin matched"));
}

bool is_recyclable(const PersistentVolume& volume) {
  const Plugin* p = plugin_of(volume);
  return p != nullptr && p->recycles;
}

Provisioner provisioner_of(std::string_view of_class) {
  const std::string name(of_class);
  if (!name.starts_with("kubernetes.io/")) return {name, ""};
  const Plugin* p = by_name(name);
  if (p != nullptr && !p->successor.empty()) return {std::string(p->successor), ""};
  if (p == nullptr || !p->in_controllers) return {name, "no volume plugin matched name: " + name};
  if (p->source == "hostPath") {
    return {name, "Failed to create provisioner: provisioning in volume plugin \"" + name +
                      "\" is disabled"};
  }
  return {name, "no provisionable volume plugin matched"};
}

}  // namespace keles::volumes
