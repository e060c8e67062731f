// Fields of raw JSON that trees keep as its text: fieldsV1 of managed fields, which nearly every
// object has, which are long, and into which hardly anybody looks. In a tree such a field is a
// string, compact JSON of an object; on the wire and in JSON it is what that text says. A tree that
// somebody made by hand may have the object itself instead: writers take both.
#pragma once

#include <string>
#include <string_view>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

inline bool kept_as_text(const FieldDesc& f) {
  return f.type == FieldType::kRaw && f.name == "fieldsV1";
}

// Whether the text is a JSON object (compact or not) that is not too deep: what may be written as
// it is.
bool is_json_object(std::string_view text);

// Appends JSON text as Go's encoding/json appends raw JSON: compact, with <, > and & escaped.
void append_raw_json(std::string& out, std::string_view text);

// Turns the text of every managed field of an object's metadata into the object that it says: for
// who looks into them (JSON patches), and for custom resources, whose trees are plain JSON.
void open_managed_fields(Arena& arena, Value& metadata);

}  // namespace keles
