// Holds a value against a schema: types, bounds, formats, enums, required members, junctors, with
// the words, paths and order of upstream's validation of custom resources (kube-openapi's
// validation as apiextensions uses it). Pure; any thread; a valid value costs no allocation.
#pragma once

#include <string_view>

#include "machinery/schema.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles {

// Appends what is wrong with `value`, an object of `type` (made by structural_schema.h).
void check_schema(FieldErrors& errors, const TypeDesc& type, const Value& value);
// The same of an update from `before`: what is wrong where nothing was changed is let pass
// (ratcheting, KEP-4008). Items of lists are matched by their keys, where the schema has some.
void check_schema_update(FieldErrors& errors, const TypeDesc& type, const Value& value,
                         const Value& before);

// The same of a part, `value` of `field`, which lies at `path`. `before`: null when it is new.
void check_schema_field(FieldErrors& errors, const FieldDesc& field, const Value& value,
                        const Value* before, std::string_view path);

// No two items of a list that is a set, or a map by its keys, are the same
// (x-kubernetes-list-type).
void check_list_types(FieldErrors& errors, const TypeDesc& type, const Value& value);

}  // namespace keles
