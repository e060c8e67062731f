// What a value must be beyond its type: the rules of a field, as an OpenAPI schema or the
// description in api/ says them. One form for custom resources, whose rules are compiled at run
// time (structural_schema.h), and built-in kinds, whose rules are constants of the build. Constant
// once made; any thread may read. rule_check.h and described_rules.h hold values against them.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>

#include "machinery/pattern.h"
#include "machinery/schema.h"
#include "machinery/text_formats.h"
#include "machinery/validation.h"
#include "machinery/value.h"

namespace keles {

// Types of JSON values, as a mask; kAnyType: no type is asked for.
enum JsonTypes : uint8_t {
  kAnyType = 0,
  kBooleanType = 1,
  kIntegerType = 2,
  kNumberType = 4,
  kStringType = 8,
  kArrayType = 16,
  kObjectType = 32,
};

// Bounds of numbers and sizes. NaN, or kNone: no bound.
struct Limits {
  static constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::min();
  double minimum = kNoNumber, maximum = kNoNumber, multiple_of = kNoNumber;
  bool exclusive_minimum = false, exclusive_maximum = false;
  int64_t min_length = kNone, max_length = kNone;  // characters (of built-in kinds: bytes)
  int64_t min_items = kNone, max_items = kNone;
  int64_t min_properties = kNone, max_properties = kNone;
};

// One of x-kubernetes-validations.
struct ExpressionRule {
  std::string_view rule, message, message_expression, reason, field_path;
  enum class OptionalOldSelf : uint8_t { kUnset, kFalse, kTrue } optional_old_self;
};

// The expressions of one place in a schema, and what their evaluator has made of them.
struct ExpressionRules {
  std::span<const ExpressionRule> rules;
  // Made by whoever evaluates, when first needed; this library does not know what it is.
  mutable std::atomic<std::shared_ptr<const void>> program;
};

struct ValueRules;

struct PropertyRules {
  std::string_view name;
  const ValueRules* rules;
};

// allOf and its like.
struct Junctors {
  std::span<const ValueRules*const> all_of, any_of, one_of;
  const ValueRules* not_ = nullptr;
};

// At most, or exactly, one of the fields of a message is set.
struct UnionRule {
  std::span<const std::string_view> fields;
  bool exactly_one;
};

// What only the description of built-in kinds says.
struct DescribedRules {
  Messages (*text)(std::string_view) = nullptr;  // what is wrong with a text
  Messages (*key)(std::string_view) = nullptr;   // with a key of a map
  // What is wrong with a whole value: labels, a selector.
  void (*whole)(FieldErrors&, const FieldPath&, const Value&) = nullptr;
  bool immutable = false;       // an update may not change it
  bool set_once = false;        // an update may not change it once it is set
  bool quantity = false;        // a quantity that is not negative
  bool not_empty = false;       // "Required value" where it is absent or empty
  bool sized_as_range = false;  // "must be between 1 and 5, inclusive" for minimum and maximum
  std::string_view detail;      // in the place of the rule's own words
  std::span<const UnionRule> unions;
  std::span<const std::string_view> words;   // it is one of these
  std::span<const std::string_view> unique;  // no two items are alike in these; "": as a whole
};

struct ValueRules {
  uint8_t types = kAnyType;  // of JsonTypes
  bool nullable = false;
  bool unique_items = false;
  bool additional_forbidden = false;   // additionalProperties: false
  std::string_view format_name;        // as the schema says it; "" for none, or none known
  const TextFormat* format = nullptr;  // its check of strings, or null (int32, float ...)
  const Limits* limits = nullptr;      // null: none
  const Pattern* pattern = nullptr;    // null: none
  std::span<const Value> enum_values;  // any JSON; none: anything
  std::span<const std::string_view> required;
  const Junctors* junctors = nullptr;  // null: none
  // Of what lies within, where no descriptor says it: inside junctors, and of metadata.
  const ValueRules* items = nullptr;
  const ValueRules* additional = nullptr;
  std::span<const PropertyRules> properties;
  const ExpressionRules* expressions = nullptr;
  const DescribedRules* described = nullptr;
};

}  // namespace keles
