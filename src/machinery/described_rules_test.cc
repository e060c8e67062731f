// The rules of the description, each on a type made for it; and those of kinds that have some.
#include "machinery/described_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "machinery/codec_yaml.h"
#include "machinery/value_rules.h"

namespace keles {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> texts(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const StatusCause& c : errors) {
    out.push_back(c.type.substr(10) + " " + c.field + ": " + c.message);
  }
  return out;
}

// A type with one field, x.
struct OneField {
  FieldDesc field{};
  uint16_t index = 0;
  TypeDesc type{};
  OneField(FieldType t, Cardinality c, const ValueRules* rules) {
    field.name = "x";
    field.type = t;
    field.cardinality = c;
    field.rules = rules;
    type.fields = {&field, 1};
    type.by_name = {&index, 1};
    type.has_rules = true;
  }
  std::vector<std::string> check(std::string_view now, std::string_view before = "") {
    auto a = parse_yaml(now);
    auto b = parse_yaml(before.empty() ? "{}" : before);
    EXPECT_TRUE(a.ok() && b.ok());
    FieldErrors errors;
    check_described(errors, type, a->root, before.empty() ? nullptr : &b->root);
    return texts(errors);
  }
};

TEST(DescribedRules, Numbers) {
  static constexpr Limits kFrom{.minimum = 0}, kRange{.minimum = 1, .maximum = 65535};
  static constexpr DescribedRules kAsRange{.sized_as_range = true},
      kSaid{.detail = "must be small"};
  const ValueRules from{.limits = &kFrom}, range{.limits = &kRange, .described = &kAsRange},
      said{.limits = &kRange, .described = &kSaid};
  OneField a(FieldType::kInt32, Cardinality::kSingle, &from);
  EXPECT_THAT(a.check("x: 0"), IsEmpty());
  EXPECT_THAT(a.check("{}"), IsEmpty());
  EXPECT_THAT(a.check("x: -1"),
              ElementsAre("Invalid x: Invalid value: -1: must be greater than or equal to 0"));
  OneField b(FieldType::kInt32, Cardinality::kSingle, &range);
  EXPECT_THAT(b.check("x: 65536"), ElementsAre("Invalid x: Invalid value: 65536: must be between 1 "
                                               "and 65535, inclusive"));
  OneField c(FieldType::kInt32, Cardinality::kSingle, &said);
  EXPECT_THAT(c.check("x: 65536"), ElementsAre("Invalid x: Invalid value: 65536: must be small"));
}

TEST(DescribedRules, Texts) {
  static constexpr Limits kLength{.max_length = 3};
  static constexpr DescribedRules kLabel{.text = check_dns1123_label};
  static const Pattern digits("^[0-9]+$");
  const ValueRules length{.limits = &kLength}, label{.described = &kLabel},
      pattern{.pattern = &digits};
  OneField a(FieldType::kString, Cardinality::kSingle, &length);
  EXPECT_THAT(a.check("x: abcd"), ElementsAre("TooLong x: Too long: may not be more than 3 bytes"));
  OneField b(FieldType::kString, Cardinality::kSingle, &label);
  EXPECT_THAT(b.check("x: a.b"), ElementsAre("Invalid x: Invalid value: \"a.b\": must not contain "
                                             "dots"));
  OneField c(FieldType::kString, Cardinality::kSingle, &pattern);
  EXPECT_THAT(c.check("x: '12'"), IsEmpty());
  EXPECT_THAT(c.check("x: '1a'"),
              ElementsAre("Invalid x: Invalid value: \"1a\": must match the regex ^[0-9]+$"));
}

TEST(DescribedRules, ListsAndMaps) {
  static constexpr Limits kItems{.min_items = 1, .max_items = 2};
  static constexpr std::string_view kWhole[] = {""}, kName[] = {"name"};
  static constexpr DescribedRules kUnique{.unique = kWhole}, kByName{.unique = kName},
      kKeys{.key = check_config_map_key}, kLabel{.text = check_dns1123_label};
  const ValueRules label{.described = &kLabel};
  const ValueRules items{.limits = &kItems, .items = &label}, unique{.described = &kUnique},
      by_name{.described = &kByName}, keys{.described = &kKeys};
  OneField a(FieldType::kString, Cardinality::kList, &items);
  EXPECT_THAT(a.check("x: [a, b, c]"),
              ElementsAre("TooMany x: Too many: 3: must have at most 2 items"));
  EXPECT_THAT(a.check("x: [a.b]"),
              ElementsAre("Invalid x[0]: Invalid value: \"a.b\": must not contain dots"));
  EXPECT_THAT(a.check("x: []"),
              ElementsAre("Invalid x: Invalid value: []: must have at least 1 item"));
  OneField b(FieldType::kString, Cardinality::kList, &unique);
  EXPECT_THAT(b.check("x: [a, b, a]"), ElementsAre("Duplicate x[2]: Duplicate value: \"a\""));
  OneField c(FieldType::kRaw, Cardinality::kList, &by_name);
  EXPECT_THAT(c.check("x: [{name: a, v: 1}, {name: a, v: 2}]"),
              ElementsAre("Duplicate x[1].name: Duplicate value: \"a\""));
  OneField d(FieldType::kString, Cardinality::kMap, &keys);
  EXPECT_THAT(d.check("x: {a: b}"), IsEmpty());
  EXPECT_THAT(
      d.check("x: {'a/b': c}"),
      ElementsAre(testing::StartsWith("Invalid x[a/b]: Invalid value: \"a/b\": a valid config "
                                      "key must consist of")));
}

TEST(DescribedRules, WhatMustBeThereAndWhatMayNotChange) {
  static constexpr DescribedRules kNotEmpty{.not_empty = true}, kImmutable{.immutable = true},
      kOnce{.set_once = true}, kQuantity{.quantity = true};
  const ValueRules not_empty{.described = &kNotEmpty}, immutable{.described = &kImmutable},
      once{.described = &kOnce}, quantity{.described = &kQuantity};
  OneField a(FieldType::kString, Cardinality::kList, &not_empty);
  EXPECT_THAT(a.check("{}"), ElementsAre("Required x: Required value"));
  EXPECT_THAT(a.check("x: [a]"), IsEmpty());
  OneField b(FieldType::kString, Cardinality::kSingle, &immutable);
  EXPECT_THAT(b.check("x: a", "x: a"), IsEmpty());
  EXPECT_THAT(b.check("x: b", "x: a"),
              ElementsAre("Invalid x: Invalid value: \"b\": field is immutable"));
  EXPECT_THAT(b.check("{}", "x: a"),
              ElementsAre("Invalid x: Invalid value: null: field is immutable"));
  OneField c(FieldType::kString, Cardinality::kSingle, &once);
  EXPECT_THAT(c.check("x: b", "{}"), IsEmpty());
  EXPECT_THAT(c.check("x: b", "x: a"),
              ElementsAre("Invalid x: Invalid value: \"b\": field is immutable"));
  OneField d(FieldType::kQuantity, Cardinality::kSingle, &quantity);
  EXPECT_THAT(d.check("x: 1Gi"), IsEmpty());
  EXPECT_THAT(d.check("x: '-1'"),
              ElementsAre("Invalid x: Invalid value: \"-1\": must be greater than or equal to 0"));
}

TEST(DescribedRules, Unions) {
  static constexpr std::string_view kFields[] = {"a", "b"};
  static constexpr UnionRule kExactly[] = {{kFields, true}}, kAtMost[] = {{kFields, false}};
  static constexpr DescribedRules kOne{.unions = kExactly}, kMost{.unions = kAtMost};
  const ValueRules one{.described = &kOne}, most{.described = &kMost};
  std::array<FieldDesc, 2> fields{};
  fields[0].name = "a";
  fields[1].name = "b";
  for (FieldDesc& f : fields) f.pointer = true;
  std::array<uint16_t, 2> by_name{0, 1};
  TypeDesc inner{};
  inner.fields = fields;
  inner.by_name = by_name;
  inner.has_rules = true;
  auto check = [&](const ValueRules* rules, std::string_view text) {
    inner.rules = rules;
    auto doc = parse_yaml(text);
    FieldErrors errors;
    check_described_part(errors, inner, FieldPath("x"), doc->root);
    return texts(errors);
  };
  EXPECT_THAT(check(&one, "{a: p}"), IsEmpty());
  EXPECT_THAT(check(&one, "{}"),
              ElementsAre("Invalid x: Invalid value: \"\": must specify one of: `a`, `b`"));
  EXPECT_THAT(check(&one, "{a: p, b: q}"),
              ElementsAre("Invalid x: Invalid value: \"{a, b}\": must specify exactly one of: `a`, "
                          "`b`"));
  EXPECT_THAT(check(&most, "{}"), IsEmpty());
  EXPECT_THAT(check(&most, "{a: p, b: q}"),
              ElementsAre("Invalid x: Invalid value: \"{a, b}\": must specify at most one of: `a`, "
                          "`b`"));
}

TEST(DescribedRules, OfTheDescription) {
  const KindDesc* kind = find_kind("node.k8s.io/v1", "RuntimeClass");
  auto now = parse_yaml("handler: b.c"), before = parse_yaml("handler: a");
  const auto dots = ElementsAre("Invalid handler: Invalid value: \"b.c\": must not contain dots");
  FieldErrors errors;
  check_described(errors, *kind->type, now->root);
  EXPECT_THAT(texts(errors), dots);
  errors.clear();
  check_described(errors, *kind->type, now->root, &before->root);
  EXPECT_THAT(texts(errors), dots);
}

}  // namespace
}  // namespace keles
