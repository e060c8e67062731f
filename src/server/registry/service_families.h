// The checks of a Service's addresses and their families; parts of service_validation.h.
#pragma once

#include "server/registry/service_validation.h"

namespace keles::registry {

bool is_headless(const api::core_v1::ServiceSpec& spec);

// Each list by itself, and addresses beside their families.
void validate_cluster_ips(FieldErrors& e, const api::core_v1::ServiceSpec& spec,
                          const api::core_v1::ServiceSpec* old);
// What allocation asks before anything else is looked at: families that this cluster has, and as
// many as the policy says. False where it is in vain to go on.
bool validate_families(FieldErrors& e, const api::core_v1::ServiceSpec& spec,
                       const api::core_v1::ServiceSpec* old, IpFamilies served);
// What was allocated stays, but for a second address.
void validate_address_change(FieldErrors& e, const api::core_v1::ServiceSpec& spec,
                             const api::core_v1::ServiceSpec& old);

}  // namespace keles::registry
