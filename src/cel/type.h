// The types of CEL's static checking: what a variable, a function's argument or an expression is.
//
// Immutable and shared; any thread. Two types are compared by structure, never by address. Texts
// are the ones that Kubernetes shows in compile errors.
// Source: the CEL language definition, "Type Checking".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace keles::cel {

enum class TypeKind : uint8_t {
  kDyn,
  kAny,
  kBool,
  kBytes,
  kDouble,
  kDuration,
  kError,  // of an expression that was found faulty: fits everything, so that one fault is told
           // once
  kInt,
  kList,
  kMap,
  kNull,
  kOpaque,  // a library's, with parameters: optional_type(int), net.IP
  kString,
  kStruct,  // an object with fields, by name
  kTimestamp,
  kType,   // the type of a type
  kParam,  // a type parameter
  kUint,
};

class Type;
using TypePtr = std::shared_ptr<const Type>;

class Type {
 public:
  TypeKind kind;
  std::string name;  // as `type(x)` prints it; of a parameter, its own name
  std::vector<TypePtr> params;
  bool nullable = false;  // a protobuf wrapper: the scalar or null

  bool is_dyn() const { return kind == TypeKind::kDyn || kind == TypeKind::kAny; }
  bool is_error() const { return kind == TypeKind::kError; }
  bool is_param() const { return kind == TypeKind::kParam; }
  bool is_optional() const { return kind == TypeKind::kOpaque && name == "optional_type"; }
  // Equal in structure; `equivalent`: whatever parameters are called.
  bool same(const Type& o) const { return same_as(o, true); }
  bool equivalent(const Type& o) const { return same_as(o, false); }
  // A value of `from` may stand where this type is declared.
  bool takes(const Type& from) const;
  // "map(string, list(int))", "timestamp", "<A>" is "A".
  std::string to_string() const;

 private:
  bool same_as(const Type& o, bool names_of_params) const;
};

const TypePtr& dyn_type();
const TypePtr& bool_type();
const TypePtr& bytes_type();
const TypePtr& double_type();
const TypePtr& duration_type();
const TypePtr& error_type();
const TypePtr& int_type();
const TypePtr& null_type();
const TypePtr& string_type();
const TypePtr& timestamp_type();
const TypePtr& type_type();
const TypePtr& uint_type();
TypePtr list_type(TypePtr element);
TypePtr map_type(TypePtr key, TypePtr value);
TypePtr optional_type(TypePtr value);
TypePtr opaque_type(std::string name, std::vector<TypePtr> params = {});
TypePtr struct_type(std::string name);
TypePtr param_type(std::string name);
TypePtr type_of_type(TypePtr of);
TypePtr nullable_type(const TypePtr& scalar);

// The type by its declared name: as to_string, but null is null_type and a duration
// google.protobuf.Duration.
std::string declared_text(const Type& t);

// "(list(int), string) -> bool"; of a member function "list(int).(string) -> bool". Without a
// result, "(int)".
std::string signature_text(const Type* result, const std::vector<TypePtr>& args, bool member);

}  // namespace keles::cel
