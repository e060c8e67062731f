// The schema of a custom resource (OpenAPI v3, structural: KEP-1023's rules, see schema_check.h)
// compiled to a type descriptor with its rules, so that custom kinds take the path of built-in
// ones. Constant once made; any thread may read; the descriptors live as long as the object.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "machinery/pattern.h"
#include "machinery/schema.h"
#include "machinery/value.h"
#include "machinery/value_rules.h"

namespace keles {

class StructuralSchema {
 public:
  // `schema` is `openAPIV3Schema` as a CustomResourceDefinition holds it; it need not live on. Null
  // for none: then nothing but the metadata is known. With `keep_unknown` nothing is dropped
  // (`preserveUnknownFields` of old definitions). `name` is the type's name in OpenAPI.
  // What is not structural is an error, or leads to a schema that takes and drops what it says.
  static Result<std::shared_ptr<const StructuralSchema>> compile(const Value& schema,
                                                                 std::string_view name,
                                                                 bool keep_unknown = false);

  const TypeDesc& type() const { return *type_; }
  // `status` of it, or null when the schema does not speak of it.
  const FieldDesc* status() const { return type_->find("status"); }
  // Whether x-kubernetes-validations occur in it.
  bool has_expressions() const { return !expressions_.empty(); }
  // What it takes in memory, but for compiled patterns and expressions.
  size_t bytes() const;

  StructuralSchema(const StructuralSchema&) = delete;

 private:
  friend class SchemaCompiler;
  StructuralSchema() = default;
  Arena arena_;
  std::deque<Pattern> patterns_;
  std::deque<ExpressionRules> expressions_;
  const TypeDesc* type_ = nullptr;
};

// The descriptor of a built-in type that every object has.
const TypeDesc& object_meta_type();

}  // namespace keles
