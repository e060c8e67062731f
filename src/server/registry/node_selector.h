// NodeSelectors: where pods may run, and from where volumes and slices of devices are reached.
// Messages are upstream's. Pure; any thread.
#pragma once

#include "api/core_v1.h"
#include "machinery/validation.h"

namespace keles::registry {

// `any_values`: values that no label can have are let through, as where the stored object has some.
void validate_node_terms(FieldErrors& e, const FieldPath& p,
                         const api::core_v1::NodeSelector& selector, bool any_values = false);
void validate_node_term(FieldErrors& e, const FieldPath& p,
                        const api::core_v1::NodeSelectorTerm& term, bool any_values);
bool has_ill_node_value(const api::core_v1::NodeSelector& selector);

}  // namespace keles::registry
