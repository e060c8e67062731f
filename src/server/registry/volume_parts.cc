#include "server/registry/volume_parts.h"

#include <algorithm>
#include <string>

#include "base/ascii.h"
#include "base/text_parts.h"
#include "machinery/pattern.h"
#include "server/registry/checks.h"

namespace keles::registry {
namespace {

void needs(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.empty()) field::required(e, p);
}

// "host:port", "[v6]:port".
bool is_host_port(std::string_view s) {
  const size_t colon = s.rfind(':');
  if (colon == s.npos) return false;
  if (s[0] == '[') {
    const size_t end = s.find(']');
    return end != s.npos && end + 1 == colon;
  }
  const std::string_view host = s.substr(0, colon);
  return host.find_first_of(":[]") == host.npos;
}

}  // namespace

void validate_host_path(FieldErrors& e, const FieldPath& p,
                        const api::core_v1::HostPathVolumeSource& s) {
  if (s.path().empty()) return field::required(e, p["path"]);
  no_backsteps(e, p["path"], s.path());
  if (s.has_type()) {
    check_known(e, p["type"], s.type(),
                {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                 "FileOrCreate", "Socket"});
  }
}

void validate_nfs(FieldErrors& e, const FieldPath& p, const api::core_v1::NFSVolumeSource& s) {
  needs(e, p["server"], s.server());
  needs(e, p["path"], s.path());
  if (!s.path().starts_with('/')) {
    field::invalid(e, p["path"], s.path(), "must be an absolute path");
  }
}

void validate_fc(FieldErrors& e, const FieldPath& p, const api::core_v1::FCVolumeSource& s) {
  const FieldPath at = p["targetWWNs"];
  if (s.target_wwns().empty() && s.wwids().empty()) {
    field::required(e, at, "must specify either targetWWNs or wwids, but not both");
  }
  if (s.target_wwns().empty()) return;
  if (!s.wwids().empty()) {
    field::invalid(e, at, s.target_wwns().value(),
                   "targetWWNs and wwids can not be specified simultaneously");
  }
  if (s.has_lun()) {
    validate_number(e, p["lun"], s.lun(), 0, 255, 0);
  } else {
    field::required(e, p["lun"], "lun is required if targetWWNs is specified");
  }
}

void validate_quobyte(FieldErrors& e, const FieldPath& p,
                      const api::core_v1::QuobyteVolumeSource& s) {
  constexpr const char* kPairs = "must be a host:port pair or multiple pairs separated by commas";
  const std::string_view registry = s.registry();
  if (registry.empty()) {
    field::required(e, p["registry"], kPairs);
  } else if (s.tenant().size() >= 65) {
    field::required(e, p["tenant"], "must be a UUID and may not exceed a length of 64 characters");
  } else {
    for (std::string_view one : split(registry, ','))
      if (!is_host_port(one)) field::invalid(e, p["registry"], registry, kPairs);
  }
  needs(e, p["volume"], s.volume());
}

void validate_flocker(FieldErrors& e, const FieldPath& p,
                      const api::core_v1::FlockerVolumeSource& s) {
  const std::string_view name = s.dataset_name(), id = s.dataset_uuid();
  if (name.empty() && id.empty()) {
    field::required(e, p, "one of datasetName and datasetUUID is required");
  }
  if (!name.empty() && !id.empty()) {
    field::invalid(e, p, "resource",
                   "datasetName and datasetUUID can not be specified simultaneously");
  }
  if (name.find('/') != name.npos) {
    field::invalid(e, p["datasetName"], name, "must not contain '/'");
  }
}

void validate_azure_disk(FieldErrors& e, const FieldPath& p,
                         const api::core_v1::AzureDiskVolumeSource& s) {
  const FieldPath uri = p["diskURI"];
  needs(e, p["diskName"], s.disk_name());
  needs(e, uri, s.disk_uri());
  if (s.has_caching_mode()) {
    check_known(e, p["cachingMode"], s.caching_mode(), {"None", "ReadOnly", "ReadWrite"});
  }
  if (!s.has_kind()) return;
  check_known(e, p["kind"], s.kind(), {"Dedicated", "Managed", "Shared"});
  const bool managed = s.kind() == "Managed";
  if (managed && !s.disk_uri().starts_with("/subscriptions/")) {
    field::not_supported(e, uri, s.disk_uri(),
                         {"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
                          "microsoft.compute/disks/{disk-id}"});
  } else if (!managed && !s.disk_uri().starts_with("https://")) {
    field::not_supported(
        e, uri, s.disk_uri(),
        {"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
  }
}

void validate_flex_options(FieldErrors& e, const FieldPath& p,
                           const Map<std::string_view>& options) {
  for (auto [key, value] : options) {
    const std::string space = "." + ascii_lower(key.substr(0, key.find('/')));
    if (!space.ends_with(".kubernetes.io") && !space.ends_with(".k8s.io")) continue;
    field::invalid(e, p.key(key), key, "kubernetes.io and k8s.io namespaces are reserved");
  }
}

void validate_storageos_names(FieldErrors& e, const FieldPath& p, std::string_view volume,
                              std::string_view ns) {
  check_name(e, p["volumeName"], volume, check_dns1123_label);
  if (!ns.empty()) field::invalid_each(e, p["volumeNamespace"], ns, check_dns1123_label(ns));
}

void validate_number(FieldErrors& e, const FieldPath& p, int64_t n, int64_t lo, int64_t hi,
                     int64_t shown_lo) {
  if (n >= lo && n <= hi) return;
  field::invalid(
      e, p, n,
      "must be between " + std::to_string(shown_lo) + " and " + std::to_string(hi) + ", inclusive");
}

bool is_iscsi_name(std::string_view s) {
  static const Pattern iqn(R"(iqn\.\d{4}-\d{2}\.([[:alnum:].-]+)(:[^,;*&$|\s]+)$)"),
      eui(R"(^eui.[[:alnum:]]{16}$)"), naa(R"(^naa.[[:alnum:]]{32}$)");
  const std::string_view head = s.substr(0, 3);
  return head == "iqn" ? iqn.matches(s) : head == "eui" ? eui.matches(s) : naa.matches(s);
}

void validate_driver_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  constexpr size_t kLongest = 63;
  if (name.empty()) return field::required(e, p);
  if (name.size() > kLongest) field::too_long(e, p, kLongest);
  field::invalid_each(e, p, name, check_dns1123_subdomain(ascii_lower(name)));
}

}  // namespace keles::registry
