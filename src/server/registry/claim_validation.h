// Checks of a PersistentVolumeClaim's spec, which pods' ephemeral volumes and StatefulSets have
// too. Messages and order are upstream's. Pure, any thread.
#pragma once

#include "api/core_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

// What a stored claim has that would be refused today.
struct ClaimOptions {
  bool invalid_selector_values = false;
  bool invalid_source_groups = false;
};
void validate_claim_spec(FieldErrors& e, const FieldPath& p,
                         const api::core_v1::PersistentVolumeClaimSpec& spec,
                         const ClaimOptions& options = {});
void validate_claim_template(FieldErrors& e, const FieldPath& p,
                             const api::core_v1::PersistentVolumeClaimTemplate& tmpl);

}  // namespace keles::registry
