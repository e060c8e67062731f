// Definitions of custom kinds in OpenAPI documents: their own schemas, in the form that clients of
// each version of OpenAPI understand (upstream: apiextensions' openapi builder). Pure; any thread.
#pragma once

#include "machinery/custom_kind.h"
#include "machinery/value.h"
#include "server/discovery/openapi_schema.h"

namespace keles::server {

// The kind's definition and its list's. `object_meta` and `list_meta` refer to those of metadata.
Value custom_definition(Arena& arena, OpenApiVersion version, const KindDesc& kind,
                        const Value& object_meta);
Value custom_list_definition(Arena& arena, OpenApiVersion version, const KindDesc& kind,
                             const Value& item, const Value& list_meta);

}  // namespace keles::server
