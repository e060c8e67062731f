// The zero of a field, as Go has it: what a list or map holds where JSON says null or protobuf says
// nothing, and what a field that is no pointer leaves out. For decoders and writers.
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

// Whether `v` is what `omitempty` leaves out.
inline bool is_zero(const Value& v) {
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
      return v.as_string().empty();
    default:
      return v.empty();
  }
}

// Whether `v`, the value of a single field that is no pointer, says no more than its absence: its
// zero, unless that is something that was said (empty bytes, an empty text in the place of a
// number, an empty list that stands for a message).
inline bool says_nothing(const FieldDesc& f, const Value& v) {
  if (v.is_string() && (f.type == FieldType::kBytes || f.type == FieldType::kIntOrString))
    return false;
  if (v.is_list() || (v.is_map() && f.type != FieldType::kMessage)) return false;
  return is_zero(v);
}

}  // namespace keles
