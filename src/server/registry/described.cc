#include "server/registry/described.h"

#include <algorithm>

namespace keles::registry {
namespace {

constexpr int kMaxDepth = 64;  // descriptions may refer to themselves (JSONSchemaProps)

void check_value(FieldErrors& e, const FieldDesc& f, const FieldPath& p, const Value& v, int depth);

void check_message(FieldErrors& e, const TypeDesc& type, const FieldPath& p, const Value& v,
                   int depth) {
  if (depth > kMaxDepth || !v.is_map() || type.form != Form::kObject) return;
  for (const FieldDesc& f : type.fields) {
    const Value* found = v.find(f.name);
    if (found && !found->is_null()) {
      check_value(e, f, p[f.name], *found, depth + 1);
    } else if (f.required && f.cardinality == Cardinality::kSingle &&
               (f.type == FieldType::kString || f.type == FieldType::kIntOrString)) {
      field::required(e, p[f.name]);
    }
  }
}

void check_value(FieldErrors& e, const FieldDesc& f, const FieldPath& p, const Value& v,
                 int depth) {
  bool enumerated = f.type == FieldType::kString && !f.enum_values.empty();
  bool message = f.type == FieldType::kMessage && f.message;
  if (!enumerated && !message) return;
  auto one = [&](const FieldPath& at, const Value& x) {
    if (message) {
      check_message(e, *f.message, at, x, depth);
      return;
    }
    std::string_view s = x.as_string();
    if (s.empty()) return;
    if (std::find(f.enum_values.begin(), f.enum_values.end(), s) == f.enum_values.end()) {
      field::not_supported(e, at, s, f.enum_values);
    }
  };
  switch (f.cardinality) {
    case Cardinality::kSingle:
      one(p, v);
      break;
    case Cardinality::kList: {
      size_t i = 0;
      for (const Value& x : v.items()) one(p[i++], x);
      break;
    }
    case Cardinality::kMap:
      for (const Member& m : v.members()) one(p.key(m.key()), m.value);
      break;
  }
}

}  // namespace

void validate_described(FieldErrors& errors, const TypeDesc& type, const Value& object) {
  for (const FieldDesc& f : type.fields) {
    if (f.name == "metadata" || f.name == "status") continue;
    const Value* found = object.find(f.name);
    if (found && !found->is_null()) {
      check_value(errors, f, FieldPath(f.name), *found, 0);
    } else if (f.required && f.cardinality == Cardinality::kSingle &&
               f.type == FieldType::kString) {
      field::required(errors, FieldPath(f.name));
    }
  }
}

}  // namespace keles::registry
