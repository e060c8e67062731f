// What a definition's status says of its schemas.
#include "server/extensions/definition.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::server {
namespace {

ObjectPtr definition(const std::string& spec, const std::string& status = "{}") {
  auto doc =
      parse_yaml("metadata: {name: things.example.com, uid: u, generation: 1}\nspec: " + spec +
                 "\nstatus: " + status);
  EXPECT_TRUE(doc.ok()) << doc.status().message();
  return Object::from_document(*find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
                               std::move(*doc));
}

// "STATUS REASON MESSAGE" of the condition, "gone", or "as it is".
std::string structure_after(const ObjectPtr& object) {
  auto planned = plan_structure(read_definition(object), WallTime{1'700'000'000'000'000'000});
  if (!planned) return "as it is";
  for (const Value& c : planned->root["status"]["conditions"].items()) {
    if (c["type"].as_string() != "NonStructuralSchema") continue;
    return std::string(c["status"].as_string()) + ' ' + std::string(c["reason"].as_string()) + ' ' +
           std::string(c["message"].as_string());
  }
  return "gone";
}

std::string versions(const std::string& schema) {
  return "{versions: [{name: v1}, {name: v2, schema: {openAPIV3Schema: " + schema + "}}]}";
}

constexpr const char* kGood = "{type: object, properties: {a: {type: string}}}";

TEST(Definition, TellsOfSchemasThatAreNotStructural) {
  const std::string at = "spec.versions[1].schema.openAPIV3Schema";
  struct Case {
    std::string spec, told;
  };
  const Case cases[] = {
      {versions(kGood), "as it is"},
      {"{preserveUnknownFields: true, versions: []}",
       "True Violations spec.preserveUnknownFields: Invalid value: true: must be false"},
      {versions("{type: object, properties: {a: {}}}"),
       "True Violations " + at +
           ".properties[a].type: Required value: must not be empty for "
           "specified object fields"},
      {"{preserveUnknownFields: true, versions: [{name: v1, schema: {openAPIV3Schema: {properties: "
       "{a: {type: string}}}}}]}",
       "True Violations [spec.preserveUnknownFields: Invalid value: true: must be false, "
       "spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the "
       "root]"},
      {versions("{type: object, definitions: {a: {type: string}}}"),
       "Unknown StructuralError failed to check validation schema for version v2: "
       "OpenAPIV3Schema 'definitions' is not supported"},
  };
  for (const Case& c : cases) EXPECT_EQ(structure_after(definition(c.spec)), c.told) << c.spec;
}

TEST(Definition, WhatWasToldOfItsSchemaFollowsThem) {
  const std::string told =
      "{conditions: [{type: NonStructuralSchema, status: 'True', reason: Violations, message: "
      "'spec.preserveUnknownFields: Invalid value: true: must be false'}]}";
  EXPECT_EQ(structure_after(definition("{preserveUnknownFields: true, versions: []}", told)),
            "as it is");
  EXPECT_EQ(structure_after(definition(versions(kGood), told)), "gone");
}

}  // namespace
}  // namespace keles::server
