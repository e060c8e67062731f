// What the API accepts and stores though nothing acts on it yet, as the description marks it
// (`inert` in api/). Constant; any thread may read.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

struct InertField {
  std::string_view name;
  // Texts with which the field asks for what happens anyway.
  std::span<const std::string_view> except;
  // Of a map: only these keys are inert. Empty: the field is.
  std::span<const std::string_view> keys;
  // Inert unless the field beside it called unless_field has this text; "" when it always is.
  std::string_view unless_field, unless_value;
};

struct InertType {
  const TypeDesc* type;
  std::span<const InertField> fields;
  std::span<const std::string_view> inner;  // fields whose types hold others, at any depth
};

struct InertKind {
  const KindDesc* kind;
  std::string_view why;
};

// Why nothing acts on objects of the kind; "" when something does.
std::string_view inert_kind(const KindDesc& kind);

// Paths of the inert fields that an object of the kind sets, in the description's order:
// "spec.containers[0].resizePolicy". At most `limit`.
std::vector<std::string> inert_fields(const KindDesc& kind, const Value& object, size_t limit);

}  // namespace keles
