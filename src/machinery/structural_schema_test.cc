// Schemas of custom resources: what they compile to, what they say of values, and what objects
// become under them. Tables of texts: a schema, a value, what is found.
#include "machinery/structural_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/custom_object.h"
#include "machinery/rule_check.h"
#include "machinery/schema_check.h"

namespace keles {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Document yaml(std::string_view text) {
  auto doc = parse_yaml(text);
  EXPECT_TRUE(doc.ok()) << text << ": " << doc.status().message();
  return doc.ok() ? std::move(*doc) : Document();
}

std::shared_ptr<const StructuralSchema> compiled(std::string_view schema) {
  Document doc = yaml(schema);
  auto made = StructuralSchema::compile(doc.root, "com.example.v1.Thing");
  EXPECT_TRUE(made.ok());
  return *made;
}

std::vector<std::string> texts(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const StatusCause& c : errors) out.push_back(c.field + ": " + c.message);
  return out;
}

std::vector<std::string> faults(std::string_view schema, std::string_view value,
                                std::string_view before = {}) {
  auto s = compiled(schema);
  Document now = yaml(value);
  FieldErrors errors;
  if (before.empty()) {
    check_schema(errors, s->type(), now.root);
  } else {
    Document old = yaml(before);
    check_schema_update(errors, s->type(), now.root, old.root);
  }
  return texts(errors);
}

// A schema with one property, and a value of it.
std::vector<std::string> of_x(std::string_view schema, std::string_view value) {
  return faults("type: object\nproperties: {x: " + std::string(schema) + "}",
                "x: " + std::string(value));
}

struct Case {
  std::string_view schema, value;
  std::vector<std::string> faults;
};

TEST(SchemaValues, EachRuleInUpstreamsWords) {
  const Case cases[] = {
      {"{type: string}", "a", {}},
      {"{type: string}",
       "1",
       {"x: Invalid value: \"integer\": x in body must be of type string: \"integer\""}},
      {"{type: integer}",
       "text",
       {"x: Invalid value: \"string\": x in body must be of type integer: \"string\""}},
      {"{type: integer}", "1.0", {}},
      {"{type: integer}",
       "1.5",
       {"x: Invalid value: \"number\": x in body must be of type integer: \"number\"",
        "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in x"}},
      {"{type: number}", "1", {}},
      {"{type: boolean}",
       "[]",
       {"x: Invalid value: \"array\": x in body must be of type boolean: \"array\""}},
      {"{type: array, items: {type: string}}",
       "{}",
       {"x: Invalid value: \"object\": x in body must be of type array: \"object\""}},
      {"{type: string, nullable: true}", "null", {}},
      {"{type: string}",
       "null",
       {"x: Invalid value: \"null\": x in body must be of type string: \"null\""}},
      {"{x-kubernetes-int-or-string: true}",
       "true",
       {"x: Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\""}},
      {"{x-kubernetes-int-or-string: true}", "50%", {}},
      {"{type: string, maxLength: 3}", "äöüß", {"x: Too long: may not be more than 3 bytes"}},
      {"{type: string, maxLength: 4}", "äöüß", {}},
      {"{type: string, minLength: 2}",
       "ä",
       {"x: Invalid value: \"ä\": x in body should be at least 2 chars long"}},
      {"{type: string, pattern: '^a+$'}",
       "b",
       {"x: Invalid value: \"b\": x in body should match '^a+$'"}},
      {"{type: string, pattern: 'a'}", "bab", {}},
      {"{type: string, enum: [a, b]}",
       "c",
       {"x: Unsupported value: \"c\": supported values: \"a\", \"b\""}},
      {"{type: integer, enum: [1, 2]}",
       "3",
       {"x: Unsupported value: 3: supported values: \"1\", \"2\""}},
      {"{type: integer, minimum: 2}",
       "1",
       {"x: Invalid value: 1: x in body should be greater than or equal to 2"}},
      {"{type: integer, minimum: 2, exclusiveMinimum: true}",
       "2",
       {"x: Invalid value: 2: x in body should be greater than 2"}},
      {"{type: number, maximum: 1.5}",
       "2",
       {"x: Invalid value: 2: x in body should be less than or equal to 1"}},
      {"{type: number, maximum: 1.5}",
       "1.75",
       {"x: Invalid value: 1.75: x in body should be less than or equal to 1.5"}},
      {"{type: integer, multipleOf: 3}",
       "7",
       {"x: Invalid value: 7: x in body should be a multiple of 3"}},
      {"{type: number, multipleOf: 0.1}", "0.3", {}},
      {"{type: integer, format: int32}",
       "3000000000",
       {"<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in "
        "x"}},
      {"{type: array, items: {type: integer}, minItems: 2}",
       "[1]",
       {"x: Invalid value: 1: x in body should have at least 2 items"}},
      {"{type: array, items: {type: integer}, maxItems: 1}",
       "[1, 2]",
       {"x: Too many: 2: must have at most 1 item"}},
      {"{type: array, items: {type: integer}}",
       "[1, a]",
       {"x[1]: Invalid value: \"string\": x[1] in body must be of type integer: \"string\""}},
      {"{type: array, items: {type: array, items: {type: integer, maximum: 3}}}",
       "[[1], [2, 4]]",
       {"x[1][1]: Invalid value: 4: x[1][1] in body should be less than or equal to 3"}},
      {"{type: object, additionalProperties: {type: object, additionalProperties: {type: string}}}",
       "{a: {b: 1}}",
       {"x.a.b: Invalid value: \"integer\": x.a.b in body must be of type string: \"integer\""}},
      {"{type: object, additionalProperties: {type: string}, minProperties: 1}",
       "{}",
       {"x: Invalid value: 0: x in body should have at least 1 properties"}},
      {"{type: object, additionalProperties: {type: string}, maxProperties: 1}",
       "{a: b, c: d}",
       {"x: Too many: 2: must have at most 1 item"}},
      {"{type: object, required: [a], properties: {a: {type: string}}}",
       "{}",
       {"x.a: Required value"}},
      {"{type: string, format: date-time}",
       "yesterday",
       {"x: Invalid value: \"yesterday\": x in body must be of type date-time: \"yesterday\""}},
      {"{type: string, format: nobody-knows}", "yesterday", {}},
      {"{type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: "
       "[a]}, "
       "{required: [b]}]}",
       "{}",
       {"<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found "
        "none "
        "valid",
        "x.a: Required value"}},
      {"{type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: "
       "[a]}, "
       "{required: [b]}]}",
       "{a: p, b: q}",
       {"<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found 2 "
        "valid alternatives"}},
      {"{type: string, anyOf: [{maxLength: 1}, {pattern: '^zz'}]}",
       "abc",
       {"<nil>: Invalid value: \"\": \"x\" must validate at least one schema (anyOf)",
        "x: Too long: may not be more than 1 byte"}},
      {"{type: string, allOf: [{maxLength: 1}, {pattern: '^a'}]}",
       "abc",
       {"x: Too long: may not be more than 1 byte",
        "<nil>: Invalid value: \"\": \"x\" must validate all the schemas (allOf)"}},
      {"{type: string, not: {enum: [a]}}",
       "a",
       {"<nil>: Invalid value: \"\": \"x\" must not validate the schema (not)"}},
      {"{type: object, properties: {a: {type: integer}}, anyOf: [{properties: {a: {minimum: 5}}}]}",
       "{a: 1}",
       {"<nil>: Invalid value: \"\": \"x\" must validate at least one schema (anyOf)",
        "x.a: Invalid value: 1: x.a in body should be greater than or equal to 5"}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(of_x(c.schema, c.value), c.faults) << c.schema << " of " << c.value;
  }
}

TEST(SchemaValues, MetadataIsHeldAgainstWhatTheSchemaSaysOfIt) {
  constexpr std::string_view kSchema =
      "type: object\nproperties: {metadata: {type: object, properties: {name: {type: string, "
      "maxLength: 3}}}}";
  EXPECT_THAT(faults(kSchema, "metadata: {name: abc, labels: {a: b}}"), IsEmpty());
  EXPECT_THAT(faults(kSchema, "metadata: {name: abcd}"),
              ElementsAre("metadata.name: Too long: may not be more than 3 bytes"));
}

constexpr std::string_view kRatchet = R"(
type: object
properties:
  spec:
    type: object
    required: [z]
    properties:
      a: {type: string, maxLength: 2}
      z: {type: string}
      items:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name]
        items: {type: object, properties: {name: {type: string}, v: {type: integer, maximum: 3}}}
      plain: {type: array, items: {type: string, maxLength: 1}}
)";

TEST(SchemaValues, WhatDidNotChangeMayStayWrong) {
  EXPECT_THAT(faults(kRatchet, "spec: {a: long, z: b}", "spec: {a: long, z: c}"), IsEmpty());
  EXPECT_THAT(faults(kRatchet, "spec: {a: longer, z: b}", "spec: {a: long, z: b}"),
              ElementsAre("spec.a: Too long: may not be more than 2 bytes"));
  EXPECT_THAT(faults(kRatchet, "spec: {a: long}", "spec: {a: long}"), IsEmpty());
  EXPECT_THAT(faults(kRatchet, "spec: {a: ok}", "spec: {a: long}"),
              ElementsAre("spec.z: Required value"));
  // Items of a list map are found by their keys wherever they stand.
  EXPECT_THAT(faults(kRatchet, "spec: {z: z, items: [{name: o, v: 1}, {name: m, v: 9}]}",
                     "spec: {z: z, items: [{name: m, v: 9}]}"),
              IsEmpty());
  EXPECT_THAT(faults(kRatchet, "spec: {z: z, items: [{name: o, v: 9}]}",
                     "spec: {z: z, items: [{name: m, v: 9}]}"),
              ElementsAre("spec.items[0].v: Invalid value: 9: spec.items[0].v in body should be "
                          "less than or equal to 3"));
  // Those of other lists are not: the list is as it was, or it is judged anew.
  EXPECT_THAT(faults(kRatchet, "spec: {z: w, plain: [long]}", "spec: {z: z, plain: [long]}"),
              IsEmpty());
  EXPECT_THAT(faults(kRatchet, "spec: {z: z, plain: [long, a]}", "spec: {z: z, plain: [long]}"),
              ElementsAre("spec.plain[0]: Too long: may not be more than 1 byte"));
}

std::vector<std::string> list_faults(std::string_view schema, std::string_view value) {
  auto s = compiled(schema);
  Document doc = yaml(value);
  FieldErrors errors;
  check_list_types(errors, s->type(), doc.root);
  return texts(errors);
}

TEST(SchemaValues, SetsAndMapsHoldEachItemOnce) {
  constexpr std::string_view kSet =
      "type: object\nproperties: {s: {type: array, x-kubernetes-list-type: set, items: {type: "
      "string}}}";
  EXPECT_THAT(list_faults(kSet, "s: [a, b]"), IsEmpty());
  EXPECT_THAT(list_faults(kSet, "s: [a, b, a, a, b]"),
              ElementsAre("s[2]: Duplicate value: \"a\"", "s[4]: Duplicate value: \"b\""));
  constexpr std::string_view kMap =
      "type: object\nproperties: {m: {type: array, x-kubernetes-list-type: map, "
      "x-kubernetes-list-map-keys: [p, q], items: {type: object, properties: {p: {type: integer}, "
      "q: {type: string}}}}}";
  EXPECT_THAT(list_faults(kMap, "m: [{p: 1, q: a}, {p: 1, q: b}, {p: 1, q: a}]"),
              ElementsAre("m[2]: Duplicate value: {\"p\":1,\"q\":\"a\"}"));
  EXPECT_THAT(
      list_faults(kMap, "m: [{p: 1}, 2]"),
      ElementsAre("m[1]: Invalid value: 2: must be an object for an array of list-type map"));
}

// --- what objects become ------------------------------------------------------------------------

struct Shaped {
  std::string json;
  std::vector<std::string> unknown;
  std::string error;
};

Shaped shaped(std::string_view schema, std::string_view value) {
  auto s = compiled(schema);
  Document doc = yaml(value);
  Shaped out;
  Status status = shape_custom(s->type(), doc.arena, doc.root, &out.unknown);
  out.error = status.message();
  fill_defaults(s->type(), doc.arena, doc.root);
  write_json(out.json, s->type(), doc.root);
  return out;
}

TEST(CustomObjects, WhatNobodyDescribesIsDroppedAndTold) {
  constexpr std::string_view kSchema = R"(
type: object
properties:
  spec:
    type: object
    properties:
      known: {type: string}
      open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {in: {type: object, properties: {a: {type: string}}}}}
      map: {type: object, additionalProperties: {type: object, properties: {a: {type: string}}}}
      any: {type: object, additionalProperties: true}
      list: {type: array, items: {type: object, properties: {a: {type: string}}}}
)";
  Shaped s = shaped(kSchema, R"(
apiVersion: example.com/v1
kind: Thing
metadata: {name: a, labels: {x: w}, nothing: 1}
other: 1
spec:
  known: k
  unknown: {deep: 1}
  open: {x: {w: 1}, in: {a: b, c: d}}
  map: {k: {a: b, z: 1}}
  any: {k: {lost: 1}, p: 3}
  list: [{a: b}, {b: c}]
)");
  EXPECT_EQ(
      s.json,
      "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"metadata\":{\"labels\":{\"x\":"
      "\"w\"},\"name\":\"a\"},\"spec\":{\"any\":{\"k\":{},\"p\":3},\"known\":\"k\",\"list\":[{"
      "\"a\":\"b\"},{}],\"map\":{\"k\":{\"a\":\"b\"}},\"open\":{\"in\":{\"a\":\"b\"},\"x\":{"
      "\"w\":1}}}}");
  EXPECT_THAT(s.unknown,
              ElementsAre("metadata.nothing", "other", "spec.any.k.lost", "spec.list[1].b",
                          "spec.map.k.z", "spec.open.in.c", "spec.unknown"));
}

TEST(CustomObjects, DefaultsComeInAndNullsGo) {
  constexpr std::string_view kSchema = R"(
type: object
properties:
  spec:
    type: object
    default: {}
    properties:
      a: {type: string, default: x}
      o: {type: string, nullable: true, default: w}
      gone: {type: string}
      inner: {type: object, default: {b: 2}, properties: {b: {type: integer}, c: {type: integer, default: 3}}}
      list: {type: array, items: {type: object, properties: {d: {type: integer, default: 4}}}}
      nulls: {type: array, items: {type: string, default: z}}
      map: {type: object, additionalProperties: {type: object, properties: {e: {type: integer, default: 5}}}}
)";
  EXPECT_EQ(shaped(kSchema, "{}").json,
            "{\"spec\":{\"a\":\"x\",\"inner\":{\"b\":2,\"c\":3},\"o\":\"w\"}}");
  EXPECT_EQ(
      shaped(kSchema,
             "spec: {a: null, o: null, gone: null, inner: {}, list: [{}], nulls: [null], map: "
             "{k: {}}}")
          .json,
      "{\"spec\":{\"a\":\"x\",\"inner\":{\"c\":3},\"list\":[{\"d\":4}],\"map\":{\"k\":{\"e\":5}}"
      ",\"nulls\":[\"z\"],\"o\":null}}");
}

TEST(CustomObjects, EmbeddedResourcesHaveMetadataOfTheirOwn) {
  constexpr std::string_view kSchema = R"(
type: object
properties:
  e:
    type: object
    x-kubernetes-embedded-resource: true
    x-kubernetes-preserve-unknown-fields: true
)";
  Shaped s =
      shaped(kSchema, "e: {apiVersion: v1, kind: Pod, metadata: {name: m, odd: 1}, spec: {x: 1}}");
  EXPECT_EQ(
      s.json,
      "{\"e\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"m\"},\"spec\":{"
      "\"x\":1}}}");
  EXPECT_THAT(s.unknown, ElementsAre("e.metadata.odd"));
  EXPECT_EQ(shaped(kSchema, "e: {apiVersion: 1, kind: Pod}").error,
            "e.apiVersion: Invalid value: 1: must be a string");
  auto schema = compiled(kSchema);
  Document doc = yaml("e: {kind: 'Not A Kind', metadata: {name: a/b}}");
  FieldErrors errors;
  check_embedded_resources(errors, schema->type(), doc.root);
  EXPECT_THAT(texts(errors),
              UnorderedElementsAre(
                  "e.apiVersion: Required value",
                  testing::StartsWith("e.kind: Invalid value: \"Not A Kind\": may have mixed case, "
                                      "but should otherwise match: "),
                  "e.metadata.name: Invalid value: \"a/b\": may not contain '/'"));
}

TEST(CustomObjects, MetadataThatCannotBeReadIsRefusedAndInTheStoreDropped) {
  constexpr std::string_view kSchema = "type: object";
  EXPECT_THAT(shaped(kSchema, "metadata: {name: 5}").error,
              testing::HasSubstr("json: cannot unmarshal number into Go struct field "
                                 "ObjectMeta.name of type string"));
  auto schema = compiled(kSchema);
  Document doc = yaml("{metadata: {name: a, labels: {x: 1}, generation: 0}}");
  shape_stored_custom(schema->type(), doc.arena, doc.root);
  std::string json;
  write_json(json, schema->type(), doc.root);
  EXPECT_EQ(json, "{\"metadata\":{\"generation\":1,\"name\":\"a\"}}");
}

// --- what schemas may be ------------------------------------------------------------------------

std::vector<std::string> schema_faults(std::string_view schema, bool status = false) {
  Document doc = yaml(schema);
  FieldErrors errors;
  SchemaCheckOptions options;
  options.status_enabled = status;
  check_custom_schema(errors, doc.root, "spec.validation", options);
  return texts(errors);
}

struct SchemaCase {
  std::string_view schema;
  std::vector<std::string> faults;  // without the path of the schema
};

TEST(SchemaCheck, EachRuleInUpstreamsWords) {
  const std::string at = "spec.validation.openAPIV3Schema";
  const SchemaCase cases[] = {
      {"{type: object}", {}},
      {"{}", {".type: Required value: must not be empty at the root"}},
      {"{type: string}", {".type: Invalid value: \"string\": must be object at the root"}},
      {"{type: object, additionalProperties: {type: string}}",
       {".additionalProperties: Forbidden: must not be used at the root"}},
      {"{type: object, properties: {a: {}}}",
       {".properties[a].type: Required value: must not be empty for specified object fields"}},
      {"{type: object, properties: {a: {type: array}}}",
       {".properties[a].items: Required value: must be specified"}},
      {"{type: object, properties: {a: {type: array, items: {}}}}",
       {".properties[a].items.type: Required value: must not be empty for specified array items"}},
      {"{type: object, properties: {a: {type: strange}}}",
       {".properties[a].type: Unsupported value: \"strange\": supported values: \"array\", "
        "\"boolean\", \"integer\", \"number\", \"object\", \"string\""}},
      {"{type: object, properties: {a: {type: string, pattern: '[a'}}}",
       {".properties[a].pattern: Invalid value: \"[a\": must be a valid regular expression, but "
        "isn't: error parsing regexp: missing closing ]: `[a`"}},
      {"{type: object, properties: {a: {x-kubernetes-int-or-string: true, "
       "x-kubernetes-preserve-unknown-fields: true}}}",
       {".properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false "
        "if "
        "x-kubernetes-int-or-string is true"}},
      {"{type: object, properties: {a: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, "
       "{type: string}]}}}",
       {}},
      {"{type: object, properties: {a: {type: string, anyOf: [{type: string}]}}}",
       {".properties[a].anyOf[0].type: Forbidden: must be empty to be structural"}},
      {"{type: object, allOf: [{properties: {b: {minimum: 1}}}]}",
       {".properties[b]: Required value: because it is defined in "
        "spec.validation.openAPIV3Schema.allOf[0].properties[b]"}},
      {"{type: object, properties: {metadata: {type: object, properties: {labels: {type: "
       "object}}}}}",
       {".properties[metadata]: Forbidden: must not specify anything other than name and "
        "generateName, but metadata is implicitly specified"}},
      {"{type: object, properties: {metadata: {type: object, properties: {name: {type: string, "
       "pattern: '^a'}}}}}",
       {}},
      {"{type: object, properties: {kind: {type: integer}}}",
       {".properties[kind].type: Invalid value: \"integer\": must be string"}},
      {"{type: object, properties: {a: {type: string, default: 1}}}",
       {".properties[a].default: Invalid value: \"integer\": "
        " in body must be of type string: \"integer\""}},
      {"{type: object, properties: {a: {type: object, default: {x: 1}, properties: {w: {type: "
       "string}}}}}",
       {".properties[a].default: Invalid value: {\"x\":1}: must not have unknown fields"}},
      {"{type: object, properties: {a: {type: object, required: [w], default: {}, properties: {w: "
       "{type: string}}}}}",
       {".properties[a].default.w: Required value"}},
      {"{type: object, properties: {a: {type: array, uniqueItems: true, items: {type: string}}}}",
       {".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the "
        "runtime "
        "complexity becomes quadratic"}},
      {"{type: object, properties: {a: {type: array, x-kubernetes-list-type: map, items: {type: "
       "object, properties: {k: {type: string}}}}}}",
       {".properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if "
        "x-kubernetes-list-type is map"}},
      {"{type: object, properties: {a: {type: array, x-kubernetes-list-type: map, "
       "x-kubernetes-list-map-keys: [k], items: {type: object, properties: {k: {type: string}}}}}}",
       {".properties[a].items.properties[k].default: Required value: this property is in "
        "x-kubernetes-list-map-keys, so it must have a default or be a required property"}},
      {"{type: object, properties: {a: {type: array, x-kubernetes-list-type: heap, items: {type: "
       "string}}}}",
       {".properties[a].x-kubernetes-list-type: Unsupported value: \"heap\": supported values: "
        "\"atomic\", \"set\", \"map\""}},
      {"{type: object, properties: {a: {type: string, x-kubernetes-map-type: atomic}}}",
       {".properties[a].type: Invalid value: \"string\": must be object if x-kubernetes-map-type "
        "is "
        "specified"}},
      {"{type: object, x-kubernetes-validations: [{rule: ' '}]}",
       {".x-kubernetes-validations[0].rule: Required value: rule is not specified"}},
      {"{type: object, x-kubernetes-validations: [{rule: self.a, fieldPath: .b}], properties: {a: "
       "{type: string}}}",
       {".x-kubernetes-validations[0].fieldPath: Invalid value: \".b\": must be a valid path"}},
      {"{type: object, properties: {a: {type: object, x-kubernetes-embedded-resource: true}}}",
       {".properties[a].properties: Required value: must not be empty if "
        "x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"}},
      {"{type: object, properties: {a: {type: object, properties: {b: {type: string}}, "
       "additionalProperties: false}}}",
       {".properties[a].additionalProperties: Forbidden: additionalProperties and properties are "
        "mutual exclusive"}},
  };
  for (const SchemaCase& c : cases) {
    std::vector<std::string> want;
    for (const std::string& f : c.faults) want.push_back(at + f);
    EXPECT_THAT(schema_faults(c.schema), testing::UnorderedElementsAreArray(want)) << c.schema;
  }
  EXPECT_THAT(schema_faults("{type: object, maxProperties: 3}", true),
              ElementsAre(testing::HasSubstr("fields are allowed at the root of the schema if the "
                                             "status subresource is enabled")));
}

}  // namespace
}  // namespace keles
