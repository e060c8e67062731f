// Kinds of storage as pods and PersistentVolumes both have them, one at a time; drivers' names.
// Messages, paths and order are upstream's. Pure; any thread.
#pragma once

#include <string_view>

#include "api/core_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

void validate_host_path(FieldErrors& e, const FieldPath& p,
                        const api::core_v1::HostPathVolumeSource& s);
void validate_nfs(FieldErrors& e, const FieldPath& p, const api::core_v1::NFSVolumeSource& s);
void validate_fc(FieldErrors& e, const FieldPath& p, const api::core_v1::FCVolumeSource& s);
void validate_quobyte(FieldErrors& e, const FieldPath& p,
                      const api::core_v1::QuobyteVolumeSource& s);
void validate_flocker(FieldErrors& e, const FieldPath& p,
                      const api::core_v1::FlockerVolumeSource& s);
void validate_azure_disk(FieldErrors& e, const FieldPath& p,
                         const api::core_v1::AzureDiskVolumeSource& s);
void validate_flex_options(FieldErrors& e, const FieldPath& p,
                           const Map<std::string_view>& options);
// The volume and the namespace that a StorageOS volume names.
void validate_storageos_names(FieldErrors& e, const FieldPath& p, std::string_view volume,
                              std::string_view ns);
// A partition or a logical unit; the message shows `shown_lo` for the lower end.
void validate_number(FieldErrors& e, const FieldPath& p, int64_t n, int64_t lo, int64_t hi,
                     int64_t shown_lo);
// "iqn.2006-04.com.example:storage", "eui." and "naa." with 16 and 32 digits.
bool is_iscsi_name(std::string_view s);
// A CSI driver's name, and others of its form.
void validate_driver_name(FieldErrors& e, const FieldPath& p, std::string_view name);

}  // namespace keles::registry
