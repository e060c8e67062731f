// What a Service may say, on its creation, its change and its status; and the parts of its
// addresses' families that follow from the rest (KEP-563). Messages are upstream's. Pure functions;
// any thread.
#pragma once

#include "api/core_v1.h"
#include "machinery/validation.h"
#include "server/registry/ip_families.h"

namespace keles::registry {

// Fills in clusterIPs of clusterIP, ipFamilyPolicy and ipFamilies, as far as they are well formed.
// `before`: null on a create.
void prepare_ip_families(Document& now, const Value* before, IpFamilies served);

void validate_service(FieldErrors& e, const api::core_v1::Service& now,
                      const api::core_v1::Service* before, IpFamilies served);
void validate_service_update(FieldErrors& e, const api::core_v1::Service& now,
                             const api::core_v1::Service& before, IpFamilies served);
void validate_service_status(FieldErrors& e, const api::core_v1::Service& now,
                             const api::core_v1::Service& before);

}  // namespace keles::registry
