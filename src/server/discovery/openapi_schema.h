// Definitions of OpenAPI documents, from type descriptors. Used by openapi.cc alone.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::server {

enum class OpenApiVersion : uint8_t { kV2, kV3 };

// Adds to a definitions map every type that is asked for and those it refers to.
class Definitions {
 public:
  Definitions(Arena& arena, OpenApiVersion version) : arena_(arena), version_(version) {}

  // {"$ref": "#/definitions/io.k8s..."}; the type is defined too.
  Value reference(const TypeDesc& type);
  // A type that JSON writes as one value: "io.k8s.apimachinery.pkg.api.resource.Quantity".
  Value scalar_reference(std::string_view name);
  // The definition of a kind carries the kind.
  void set_kind(const KindDesc& kind);
  // All definitions, by name.
  Value take();

 private:
  Value reference_to(std::string_view name);
  Value define(const TypeDesc& type);
  Value property(const TypeDesc& owner, const FieldDesc& f);
  Value element(const TypeDesc& owner, const FieldDesc& f);
  Value text(std::string_view s) { return Value::string(s); }

  Arena& arena_;
  OpenApiVersion version_;
  Value definitions_ = Value::map();
  std::set<std::string_view> begun_;
};

}  // namespace keles::server
