#include "node/csi/csi_source.h"

#include <algorithm>

#include "machinery/volumes/claim_rules.h"

namespace keles::node {

using namespace api::core_v1;

namespace {

template <class Ref>
std::pair<std::string, std::string> named(const Ref& ref) {
  return {std::string(ref.namespace_()), std::string(ref.name())};
}

// A driver's name becomes part of paths (the API lets no other through).
bool is_driver_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && name.front() != '.' &&
         name.find('/') == std::string_view::npos;
}

}  // namespace

void CsiVolumes::Policy::read(const api::storage_v1::CSIDriver& driver) {
  const auto spec = driver.spec();
  known = true;
  attach = !spec.has_attach_required() || spec.attach_required();
  pod_info = spec.pod_info_on_mount();
  republish = spec.requires_republish();
  tokens_in_secrets = spec.service_account_token_in_secrets();
  if (!spec.fs_group_policy().empty()) group_policy = spec.fs_group_policy();
  for (std::string_view mode : spec.volume_lifecycle_modes()) modes.emplace_back(mode);
  for (auto t : spec.token_requests())
    tokens.emplace_back(std::string(t.audience()), t.expiration_seconds());
}

Status CsiVolumes::Source::read(const CsiRequest& r) {
  volume = r.volume;
  uid = r.pod->metadata().uid();
  group = r.group;
  if (r.persistent) {
    const auto spec = r.persistent->spec();
    const auto csi = spec.csi();
    name = r.persistent->metadata().name();
    driver = csi.driver();
    handle = csi.volume_handle();
    attributes = csi::map_of(csi.volume_attributes());
    stage_secret = named(csi.node_stage_secret_ref());
    publish_secret = named(csi.node_publish_secret_ref());
    expand_secret = named(csi.node_expand_secret_ref());
    block = volumes::is_block(*r.persistent);
    access.fs_type = csi.fs_type();
    for (std::string_view o : spec.mount_options()) access.mount_flags.emplace_back(o);
    if (spec.access_modes().size() > 0) access.mode = spec.access_modes()[0];
    for (std::string_view mode : spec.access_modes())
      write_once = write_once || mode == "ReadWriteOnce" || mode == "ReadWriteOncePod";
  } else {
    for (Volume v : r.pod->spec().volumes()) {
      if (v.name() != r.volume) continue;
      const auto csi = v.csi();
      driver = csi.driver();
      attributes = csi::map_of(csi.volume_attributes());
      access.fs_type = csi.fs_type();
      if (!csi.node_publish_secret_ref().name().empty())
        publish_secret = {std::string(r.pod->metadata().namespace_()),
                          std::string(csi.node_publish_secret_ref().name())};
    }
    name = r.volume;
    handle = inline_handle(uid, name);
    ephemeral = true;
    write_once = true;
  }
  access.block = block;
  if (block) access.mount_flags.clear();
  if (!is_driver_name(driver))
    return Status(Reason::kInvalid, "the driver's name is none: " + driver);
  return handle.empty() ? Status(Reason::kInvalid, "missing volume id") : Status();
}

Status CsiVolumes::Source::check_mode() const {
  const std::string mode = ephemeral ? "Ephemeral" : "Persistent";
  const std::string what =
      "kubernetes.io/csi: mounter.SetupAt failed to check volume lifecycle "
      "mode: volume mode \"" +
      mode + "\" not supported by driver " + driver;
  if (!policy.known) {
    if (!ephemeral) return {};
    return Status(Reason::kInvalid, what + " (no CSIDriver object)");
  }
  if (std::find(policy.modes.begin(), policy.modes.end(), mode) != policy.modes.end()) return {};
  std::string list;
  for (const std::string& m : policy.modes) list += (list.empty() ? "\"" : " \"") + m + "\"";
  return Status(Reason::kInvalid, what + " (only supports [" + list + "])");
}

bool CsiVolumes::Source::gives_to_group(bool read_only) const {
  if (!group || block || read_only || policy.group_policy == "None") return false;
  if (policy.group_policy == "File") return true;
  return !access.fs_type.empty() && write_once;
}

void CsiVolumes::Source::add_pod_info(const Pod& pod) {
  const std::string prefix = "csi.storage.k8s.io/";
  attributes[prefix + "pod.name"] = pod.metadata().name();
  attributes[prefix + "pod.namespace"] = pod.metadata().namespace_();
  attributes[prefix + "pod.uid"] = pod.metadata().uid();
  attributes[prefix + "serviceAccount.name"] = pod.spec().service_account_name();
  attributes[prefix + "ephemeral"] = ephemeral ? "true" : "false";
}

VolumeData CsiVolumes::Source::data(const std::string& attachment, const std::string& node) const {
  VolumeData out;
  out["specVolID"] = name;
  out["volumeHandle"] = handle;
  out["driverName"] = driver;
  out["nodeName"] = node;
  out["volumeLifecycleMode"] = ephemeral ? "Ephemeral" : "Persistent";
  out["attachmentID"] = attachment;
  return out;
}

Status CsiVolumes::Source::no_driver(const Status& why) const {
  const std::string what = ephemeral || block
                               ? "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client"
                               : "kubernetes.io/csi: attacher.MountDevice failed to create "
                                 "newCsiDriverClient";
  return why.with_prefix(what).with_prefix(ephemeral ? setting_up() : mounting_device());
}

}  // namespace keles::node
