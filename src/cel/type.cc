#include "cel/type.h"

#include <utility>

namespace keles::cel {
namespace {

TypePtr make(TypeKind kind, std::string name, std::vector<TypePtr> params = {}) {
  auto t = std::make_shared<Type>();
  t->kind = kind;
  t->name = std::move(name);
  t->params = std::move(params);
  return t;
}

}  // namespace

bool Type::same_as(const Type& o, bool names_of_params) const {
  if (this == &o) return true;
  if (kind != o.kind || params.size() != o.params.size()) return false;
  if ((names_of_params || kind != TypeKind::kParam) && name != o.name) return false;
  for (size_t i = 0; i < params.size(); ++i) {
    if (!params[i]->same_as(*o.params[i], names_of_params)) return false;
  }
  return true;
}

bool Type::takes(const Type& from) const {
  if (this == &from || is_dyn() || is_param()) return true;
  if (nullable && from.kind == TypeKind::kNull) return true;
  if (kind != from.kind || name != from.name || params.size() != from.params.size()) return false;
  for (size_t i = 0; i < params.size(); ++i) {
    if (!params[i]->takes(*from.params[i])) return false;
  }
  return true;
}

std::string Type::to_string() const {
  switch (kind) {
    case TypeKind::kAny:
      return "any";
    case TypeKind::kDuration:
      return "duration";
    case TypeKind::kError:
      return "!error!";
    case TypeKind::kNull:
      return "null";
    case TypeKind::kTimestamp:
      return "timestamp";
    default:
      break;
  }
  if (params.empty()) return nullable ? "wrapper(" + name + ")" : name;
  std::string out = name + "(";
  for (size_t i = 0; i < params.size(); ++i) {
    if (i != 0) out += ", ";
    out += params[i]->to_string();
  }
  return out + ")";
}

#define KELES_CEL_TYPE(function, kind, name)                 \
  const TypePtr& function() {                                \
    static const TypePtr kType = make(TypeKind::kind, name); \
    return kType;                                            \
  }
KELES_CEL_TYPE(dyn_type, kDyn, "dyn")
KELES_CEL_TYPE(bool_type, kBool, "bool")
KELES_CEL_TYPE(bytes_type, kBytes, "bytes")
KELES_CEL_TYPE(double_type, kDouble, "double")
KELES_CEL_TYPE(duration_type, kDuration, "google.protobuf.Duration")
KELES_CEL_TYPE(error_type, kError, "error")
KELES_CEL_TYPE(int_type, kInt, "int")
KELES_CEL_TYPE(null_type, kNull, "null_type")
KELES_CEL_TYPE(string_type, kString, "string")
KELES_CEL_TYPE(timestamp_type, kTimestamp, "google.protobuf.Timestamp")
KELES_CEL_TYPE(type_type, kType, "type")
KELES_CEL_TYPE(uint_type, kUint, "uint")
#undef KELES_CEL_TYPE

TypePtr list_type(TypePtr element) { return make(TypeKind::kList, "list", {std::move(element)}); }
TypePtr map_type(TypePtr key, TypePtr value) {
  return make(TypeKind::kMap, "map", {std::move(key), std::move(value)});
}
TypePtr optional_type(TypePtr value) {
  return make(TypeKind::kOpaque, "optional_type", {std::move(value)});
}
TypePtr opaque_type(std::string name, std::vector<TypePtr> params) {
  return make(TypeKind::kOpaque, std::move(name), std::move(params));
}
TypePtr struct_type(std::string name) { return make(TypeKind::kStruct, std::move(name)); }
TypePtr param_type(std::string name) { return make(TypeKind::kParam, std::move(name)); }
TypePtr type_of_type(TypePtr of) { return make(TypeKind::kType, "type", {std::move(of)}); }
TypePtr nullable_type(const TypePtr& scalar) {
  auto t = std::make_shared<Type>(*scalar);
  t->nullable = true;
  return t;
}

std::string declared_text(const Type& t) {
  if (t.params.empty()) return t.name;
  std::string out = t.name + "(";
  for (size_t i = 0; i < t.params.size(); ++i) {
    if (i != 0) out += ", ";
    out += declared_text(*t.params[i]);
  }
  return out + ")";
}

std::string signature_text(const Type* result, const std::vector<TypePtr>& args, bool member) {
  std::string out;
  size_t at = 0;
  if (member && !args.empty()) {
    out = args[0]->to_string() + ".";
    at = 1;
  }
  out += "(";
  for (size_t i = at; i < args.size(); ++i) {
    if (i != at) out += ", ";
    out += args[i]->to_string();
  }
  out += ")";
  if (result != nullptr) out += " -> " + result->to_string();
  return out;
}

}  // namespace keles::cel
