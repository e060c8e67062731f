#include "machinery/filled_object.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "machinery/codec_json.h"

namespace keles {
namespace {

using Way = std::vector<const TypeDesc*>;

Value filled(Arena& arena, const TypeDesc& type, const FieldDesc* as, Way& way);

Value text(Arena& arena, std::string s) { return Value::string(arena.copy(s)); }

// What a free-form field holds: an object that no description knows.
Value free_form(Arena& arena, const FieldDesc& f) {
  if (f.name == "fieldsV1") return Value::map();
  return *parse_json(arena, R"({"apiVersion":"example.com/v1","kind":"CustomType",)"
                            R"("spec":{"replicas":1},"status":{"available":1}})");
}

// A moment in the year 2000 + the field's number.
std::string moment(int number, bool micro) {
  char out[64];
  std::snprintf(out, sizeof out, micro ? "%04d-01-01T01:01:01.%06dZ" : "%04d-01-01T01:01:01Z",
                2000 + number, number);
  return out;
}

// A value of a type that JSON does not write as an object of its fields, in the field `name`.
Value other_form(Arena& arena, const TypeDesc& type, std::string_view name) {
  Value word = text(arena, std::string(name) + "Value");
  Value schema = Value::map();
  schema.set(arena, "description", word);
  Value list = Value::list();
  switch (type.form) {
    case Form::kSchemaOrBool:
      return schema;
    case Form::kSchemaOrArray:
      list.append(arena, schema);
      return list;
    case Form::kItems:
    case Form::kSchemaOrStrings:
    case Form::kObject:
    case Form::kValue:
      list.append(arena, word);
      return list;
  }
  return Value();
}

Value one(Arena& arena, const FieldDesc& f, Way& way) {
  const int number = f.number;
  switch (f.type) {
    case FieldType::kString:
    case FieldType::kIntOrString:
      return text(arena, std::string(f.name) + "Value");
    case FieldType::kEnum:
      return Value::string(f.enumeration->values.back().name);
    case FieldType::kBool:
      return true;
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kUint32:
    case FieldType::kUint64:
      return number;
    case FieldType::kDouble:
    case FieldType::kFloat:
      return number + 0.5;
    case FieldType::kBytes:
      return text(arena, base64_encode(std::string(1, static_cast<char>(number))));
    case FieldType::kQuantity:
      return Value::string("0");
    case FieldType::kTime:
      return f.cardinality == Cardinality::kMap ? Value() : text(arena, moment(number, false));
    case FieldType::kMicroTime:
      return text(arena, moment(number, true));
    case FieldType::kDuration:
      return text(arena, std::to_string(number) + "ns");
    case FieldType::kRaw:
      return free_form(arena, f);
    case FieldType::kMessage:
      return filled(arena, *f.message, &f, way);
  }
  return Value();
}

Value filled(Arena& arena, const TypeDesc& type, const FieldDesc* as, Way& way) {
  if (type.form != Form::kObject) return other_form(arena, type, as ? as->name : "items");
  way.push_back(&type);
  Value out = Value::map();
  for (const FieldDesc& f : type.fields) {
    if (f.number == 0) continue;  // kind and apiVersion of an object inside another
    if (f.message && std::find(way.begin(), way.end(), f.message) != way.end()) continue;
    Value v = one(arena, f, way);
    if (f.cardinality == Cardinality::kList) {
      Value list = Value::list();
      list.append(arena, v);
      v = list;
    } else if (f.cardinality == Cardinality::kMap) {
      Value map = Value::map();
      map.set(arena, arena.copy(std::string(f.name) + "Key"), v);
      v = map;
    }
    out.set(arena, f.name, v);
  }
  way.pop_back();
  return out;
}

}  // namespace

Value filled(Arena& arena, const TypeDesc& type) {
  Way way;
  return filled(arena, type, nullptr, way);
}

}  // namespace keles
