// The zero of a field, as Go has it: what a list or map holds where JSON says null or protobuf says
// nothing, and what a field that is no pointer leaves out. For the decoders.
#pragma once

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// One element of the field. Null: a time, or raw JSON, that is not set.
inline Value zero_value(const FieldDesc& f) {
  switch (f.type) {
    case FieldType::kMessage:
      return f.message->form == Form::kItems ? Value::list() : Value::map();
    case FieldType::kString:
    case FieldType::kEnum:
    case FieldType::kBytes:
      return Value::string("");
    case FieldType::kQuantity:
      return Value::string("0");
    case FieldType::kDuration:
      return Value::string("0s");
    case FieldType::kBool:
      return Value(false);
    case FieldType::kTime:
    case FieldType::kMicroTime:
    case FieldType::kRaw:
      return Value();
    default:
      return Value(0);
  }
}

// Whether `v`, the value of a single field, says no more than its absence. Of pointers and of what
// JSON always writes, only null does.
inline bool says_nothing(const FieldDesc& f, const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kNull:
      return true;
    case Value::Kind::kBool:
      return !v.as_bool();
    case Value::Kind::kInt:
      return v.as_int() == 0;
    case Value::Kind::kDouble:
      return v.as_double() == 0;
    case Value::Kind::kString:
      return v.as_string().empty() && f.type != FieldType::kBytes &&
             f.type != FieldType::kIntOrString;
    case Value::Kind::kMap:
      return v.empty() && f.type == FieldType::kMessage;
    default:
      return false;
  }
}

}  // namespace keles
