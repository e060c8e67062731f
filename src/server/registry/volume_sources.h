// What a PersistentVolume is made of, one kind of storage at a time; shared with attachments that
// name a volume inline. Messages, paths and order are upstream's. Pure; any thread.
#pragma once

#include "api/core_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

struct VolumeSpecCheck {
  std::string_view name;      // the volume's
  bool inline_ = false;       // inside an attachment: a CSI volume and little else
  bool label_values = false;  // values in node affinity that no label has are let through
};

void validate_volume_spec(FieldErrors& e, const FieldPath& p,
                          const api::core_v1::PersistentVolumeSpec& spec,
                          const VolumeSpecCheck& check);
void validate_access_modes(FieldErrors& e, const FieldPath& p, const List<std::string_view>& modes);
// Less than nothing is no amount.
void validate_basic_amount(FieldErrors& e, const FieldPath& p, std::string_view amount);

}  // namespace keles::registry
