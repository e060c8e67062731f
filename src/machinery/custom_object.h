// What happens to an object of a custom kind between its text and its validation: metadata is
// brought into form, what the schema does not describe is dropped and told, nulls that the schema
// does not allow go, defaults come in. Works on types made by structural_schema.h; for order, texts
// and corner cases see upstream's pruning, defaulting and objectmeta packages of apiextensions.
// decode.h calls these for custom kinds, so that most callers need not know of them.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles {

// Drops what the type does not describe, but for apiVersion, kind and metadata of the root and of
// embedded resources. The paths of what was dropped ("spec.foo", "spec.list[0].bar") are appended
// to `unknown`, sorted.
void prune(const TypeDesc& type, Value& object, std::vector<std::string>* unknown = nullptr);
void prune_field(const FieldDesc& field, Value& value);

// Drops members that are null where that is no value and no default takes its place.
void prune_nulls(const TypeDesc& type, Value& object);

// Fills what is absent, or null where that is no value, from the schema's defaults. Idempotent.
void fill_defaults(const TypeDesc& type, Arena& arena, Value& object);

// A body as it was parsed, root a map: metadata checked and normalised, then prune(),
// prune_nulls(), and the metadata of embedded resources. The status is a BadRequest in the words of
// Go's JSON decoder or of a field error. `unknown`: paths in the order in which upstream tells
// them.
Status shape_custom(const TypeDesc& type, Arena& arena, Value& object,
                    std::vector<std::string>* unknown = nullptr);
// The same of a stored object, which may be older than the schema: members of metadata that cannot
// be read are dropped, and a generation is there. With defaults.
void shape_stored_custom(const TypeDesc& type, Arena& arena, Value& object);

// apiVersion, kind and metadata of embedded resources are valid. The root is no embedded resource.
void check_embedded_resources(FieldErrors& errors, const TypeDesc& type, const Value& object);

// Both for a part, as a default is: metadata in it is normalised, and is valid. The first that
// cannot be read ends it.
void check_embedded_part(FieldErrors& errors, const FieldDesc& field, Arena& arena, Value& value,
                         std::string_view path);

}  // namespace keles
