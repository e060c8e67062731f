// Fields by their dotted path ("spec.template"), as the description names them. A dot before the
// first name is allowed; "" is the whole. No lists: what goes through one names nothing.
#pragma once

#include <string_view>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// Null where there is nothing.
const Value& value_at(const Value& root, std::string_view path);
// Puts a value there; makes the maps on the way. `path` is not empty; its text and the value's
// outlive the document (or lie in its arena).
void put_at(Document& doc, std::string_view path, Value value);
// nullptr where the type has no such field.
const FieldDesc* field_at(const TypeDesc& type, std::string_view path);

}  // namespace keles
