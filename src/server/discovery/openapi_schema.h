// Definitions of OpenAPI documents, from type descriptors. Used by openapi.cc alone.
#pragma once

#include <map>
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
  // What refers to a kind, or to its list (null: there is none): its type, or one that stands for a
  // custom kind's schema, which is not compiled for this.
  const TypeDesc& type_of(const KindDesc& kind);
  const TypeDesc* list_type_of(const KindDesc& kind);
  // All definitions, by name.
  Value take();

 private:
  Value reference_to(std::string_view name);
  Value define(const TypeDesc& type);
  Value property(const TypeDesc& owner, const FieldDesc& f);
  Value element(const TypeDesc& owner, const FieldDesc& f);
  Value text(std::string_view s) { return Value::string(s); }

  struct CustomTypes {
    TypeDesc item{}, list{};
  };
  const CustomTypes& custom_types(const KindDesc& kind);

  Arena& arena_;
  OpenApiVersion version_;
  std::map<const KindDesc*, CustomTypes> custom_;
  Value definitions_ = Value::map();
  std::set<std::string_view> begun_;
};

}  // namespace keles::server
