// What the descriptors say that only this library asks, in one place.
#pragma once

#include "machinery/schema.h"

namespace keles::apply {

// Raw JSON is owned as a whole (RawExtension), but for apiextensions' JSON values, and for what the
// schema of a custom resource leaves open (which has no number): there maps are owned by their
// keys.
inline bool is_json_value(const FieldDesc& f) {
  return f.number == 0 || f.name == "default" || f.name == "example" || f.name == "enum";
}

// Whether a tree of the type may have members that are no fields.
inline bool has_unknown(const TypeDesc& t) { return t.from_schema; }

// Whether words of a client may name members that are no fields: the schema keeps them, describes
// all of them together, or says nothing of the object at all.
inline bool takes_unknown(const TypeDesc& t) {
  return t.from_schema && (t.keeps_unknown || t.additional || t.fields.empty());
}

// Whether an absent field of the type may be Go's zero value, which is there.
inline bool may_be_zero(const TypeDesc& t, const FieldDesc& f) {
  return !t.from_schema && !f.omit_empty;
}

}  // namespace keles::apply
