// CustomResourceDefinitions: what is refused, in upstream's words, on create and on update.
#include "server/registry/definition_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "machinery/codec_yaml.h"
#include "machinery/decode.h"

namespace keles::registry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

Document definition(std::string_view text) {
  auto doc = parse_yaml(text);
  EXPECT_TRUE(doc.ok()) << text;
  const KindDesc* kind = find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  Status s = decode_object(*kind, *doc, FieldValidation::kIgnore);
  EXPECT_TRUE(s.ok()) << s.message();
  apply_defaults(*kind, *doc);
  return std::move(*doc);
}

// A definition of things, with `spec` besides, and versions.
std::string things(std::string_view versions, std::string_view more = "",
                   std::string_view status = "") {
  std::string out = R"(
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions: )";
  out += versions;
  out += "\n";
  if (!more.empty()) out += "  " + std::string(more) + "\n";
  out += status.empty() ? "status: {storedVersions: [v1]}" : std::string(status);
  return out;
}

constexpr std::string_view kOne =
    "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]";

std::vector<std::string> texts(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const StatusCause& c : errors) out.push_back(c.field + ": " + c.message);
  return out;
}
std::vector<std::string> created(const std::string& text) {
  Document now = definition(text);
  FieldErrors errors;
  check_definition(errors, now.root, nullptr);
  return texts(errors);
}
std::vector<std::string> updated(const std::string& text, const std::string& old) {
  Document now = definition(text), before = definition(old);
  FieldErrors errors;
  check_definition(errors, now.root, &before.root);
  return texts(errors);
}

struct Case {
  std::string text;
  std::vector<std::string> faults;
};

TEST(DefinitionCheck, WhatIsRefusedOnCreate) {
  const std::string v1 = "name: v1, served: true, storage: true";
  const std::string object = "schema: {openAPIV3Schema: {type: object}}";
  const Case cases[] = {
      {things(kOne), {}},
      {R"(
metadata: {name: wrong.example.com}
spec:
  group: nodots
  scope: Everywhere
  names: {plural: Things, kind: 9Thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
status: {storedVersions: [v1]}
)",
       {"metadata.name: Invalid value: \"wrong.example.com\": must be "
        "spec.names.plural+\".\"+spec.group",
        "spec.group: Invalid value: \"nodots\": should be a domain with at least one dot",
        "spec.scope: Unsupported value: \"Everywhere\": supported values: \"Cluster\", "
        "\"Namespaced\"",
        "spec.names.plural: Invalid value: \"Things\": a DNS-1035 label must consist of lower case "
        "alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
        "'[a-z]([-a-z0-9]*[a-z0-9])?')",
        "spec.names.singular: Invalid value: \"9thing\": a DNS-1035 label must consist of lower "
        "case "
        "alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
        "'[a-z]([-a-z0-9]*[a-z0-9])?')",
        "spec.names.kind: Invalid value: \"9Thing\": may have mixed case, but should otherwise "
        "match: "
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
        "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        "spec.names.listKind: Invalid value: \"9ThingList\": may have mixed case, but should "
        "otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or "
        "'-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
        "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"}},
      {things("[{" + v1 + "}]"), {"spec.versions[0].schema.openAPIV3Schema: Required value"}},
      {things("[{name: v1, served: true, storage: false, " + object + "}]"),
       {"spec.versions: Invalid value: "
        "[{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,"
        "\"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,"
        "\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}]: must have exactly one "
        "version "
        "marked as storage version"}},
      // What all versions share is told of at the spec.
      {things("[{" + v1 + ", schema: {openAPIV3Schema: {type: object, properties: {a: {}}}}}]"),
       {"spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for "
        "specified object fields"}},
      {things("[{" + v1 +
              ", schema: {openAPIV3Schema: {type: object, properties: {a: {}}}}}, {name: "
              "v2, served: true, storage: false, " +
              object + "}]"),
       {"spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must not be "
        "empty for specified object fields"}},
      {things("[{" + v1 + ", " + object +
              ", subresources: {scale: {specReplicasPath: replicas, "
              "statusReplicasPath: .spec.replicas}}}]"),
       {"spec.subresources.scale.specReplicasPath: Invalid value: \"replicas\": must be a simple "
        "json "
        "path starting with .",
        "spec.subresources.scale.statusReplicasPath: Invalid value: \".spec.replicas\": should be "
        "a "
        "json path under .status"}},
      {things("[{" + v1 + ", " + object +
              ", additionalPrinterColumns: [{name: A, type: text, "
              "jsonPath: .a}, {name: B, type: string, format: odd, jsonPath: b}]}]"),
       {"spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of "
        "boolean,date,integer,number,string",
        "spec.additionalPrinterColumns[1].format: Invalid value: \"odd\": must be one of "
        "byte,date,date-time,double,float,int32,int64,password",
        "spec.additionalPrinterColumns[1].JSONPath: Invalid value: \"b\": must be a simple json "
        "path "
        "starting with ."}},
      {things("[{" + v1 +
              ", schema: {openAPIV3Schema: {type: object, properties: {spec: {type: "
              "object, properties: {a: {type: string}, o: {type: object}}}}}}, selectableFields: "
              "[{jsonPath: .spec.a}, {jsonPath: .spec.a}, {jsonPath: .spec.o}, {jsonPath: "
              ".spec.gone}, {jsonPath: '.spec[0]'}]}]"),
       {"spec.selectableFields[1].jsonPath: Duplicate value: \".spec.a\"",
        "spec.selectableFields[2].jsonPath: Invalid value: \".spec.o\": must point to a field of "
        "type "
        "string, boolean or integer. Enum string fields and strings with formats are allowed.",
        "spec.selectableFields[3].jsonPath: Invalid value: \".spec.gone\": is an invalid path: "
        "does "
        "not refer to a valid field",
        "spec.selectableFields[4].jsonPath: Invalid value: \".spec[0]\": is an invalid path: array "
        "notation is not allowed"}},
      {things(kOne, "conversion: {strategy: Webhook}"),
       {"spec.conversion.webhookClientConfig: Required value: required when strategy is set to "
        "Webhook",
        "spec.conversion.conversionReviewVersions: Required value"}},
      {things(kOne,
              "conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v9], "
              "clientConfig: {url: 'http://user@host/a?b#c'}}}"),
       {"spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only "
        "allowed URL scheme; desired format: https://host[/path]",
        "spec.conversion.webhookClientConfig.url: Invalid value: \"user\": user information is not "
        "permitted in the URL",
        "spec.conversion.webhookClientConfig.url: Invalid value: \"c\": fragments are not "
        "permitted "
        "in the URL",
        "spec.conversion.webhookClientConfig.url: Invalid value: \"b\": query parameters are not "
        "permitted in the URL",
        "spec.conversion.conversionReviewVersions: Invalid value: [\"v9\"]: must include at least "
        "one "
        "of v1, v1beta1"}},
      {things(kOne, "preserveUnknownFields: true"),
       {"spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
        "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"}},
      {things(kOne, "", "status: {storedVersions: [v0]}"),
       {"status.storedVersions: Invalid value: [\"v0\"]: must have the storage version v1",
        "status.storedVersions[0]: Invalid value: \"v0\": missing from spec.versions; v0 was "
        "previously a storage version, and must remain in spec.versions until a storage migration "
        "ensures no data remains persisted in v0 and removes v0 from status.storedVersions"}},
      {things("[{" + v1 + ", " + object + ", deprecationWarning: old}]"),
       {"spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for "
        "deprecated "
        "versions"}},
  };
  for (const Case& c : cases) EXPECT_EQ(created(c.text), c.faults) << c.text;
}

TEST(DefinitionCheck, GroupsOfTheCommunityAreApproved) {
  auto text = [](std::string_view annotation) {
    return "metadata: {name: things.apps.k8s.io, annotations: {" + std::string(annotation) +
           "}}\nspec: {group: apps.k8s.io, scope: Cluster, names: {plural: things, kind: Thing}, "
           "versions: " +
           std::string(kOne) + "}\nstatus: {storedVersions: [v1]}";
  };
  EXPECT_THAT(created(text("")),
              ElementsAre("metadata.annotations[api-approved.kubernetes.io]: Required value: "
                          "protected groups must have approval annotation "
                          "\"api-approved.kubernetes.io\", see "
                          "https://github.com/kubernetes/enhancements/pull/1111"));
  EXPECT_THAT(created(text("api-approved.kubernetes.io: maybe")), testing::SizeIs(1));
  EXPECT_THAT(created(text("api-approved.kubernetes.io: 'unapproved, a test'")), IsEmpty());
  EXPECT_THAT(created(text("api-approved.kubernetes.io: 'https://example.com/1'")), IsEmpty());
}

TEST(DefinitionCheck, AnUpdateMayKeepWhatIsThere) {
  const std::string established =
      "status: {storedVersions: [v1], conditions: [{type: Established, status: 'True'}]}";
  std::string other = things(kOne, "", established);
  EXPECT_THAT(updated(other, other), IsEmpty());
  std::string cluster = other;
  cluster.replace(cluster.find("Namespaced"), 10, "Cluster");
  EXPECT_THAT(updated(cluster, other),
              ElementsAre("spec.scope: Invalid value: \"Cluster\": field is immutable"));
  EXPECT_THAT(updated(cluster, things(kOne)), IsEmpty());
  // An old definition without a schema, whose fields are kept, stays as it was.
  const std::string old =
      things("[{name: v1, served: true, storage: true}]", "preserveUnknownFields: true");
  EXPECT_THAT(updated(old, old), IsEmpty());
  EXPECT_THAT(created(old),
              testing::Contains(testing::HasSubstr("openAPIV3Schema: Required value")));
  // So does a set of objects that are not atomic.
  const std::string set = things(
      "[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, "
      "properties: "
      "{s: {type: array, x-kubernetes-list-type: set, items: {type: object, properties: {a: {type: "
      "string}}}}}}}}]");
  EXPECT_THAT(
      created(set),
      ElementsAre("spec.validation.openAPIV3Schema.properties[s].items.x-kubernetes-map-type: "
                  "Invalid value: null: must be atomic as item of a list with "
                  "x-kubernetes-list-type=set"));
  EXPECT_THAT(updated(set, set), IsEmpty());
}

TEST(DefinitionCheck, UnknownFormatsAreWarnedOfOnce) {
  auto with = [](std::string_view format) {
    return definition(
        things("[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, "
               "properties: {a: {type: string, format: " +
               std::string(format) + "}}}}}]"));
  };
  Document odd = with("odd"), known = with("date-time");
  EXPECT_THAT(definition_warnings(odd.root, nullptr), ElementsAre("unrecognized format \"odd\""));
  EXPECT_THAT(definition_warnings(odd.root, &odd.root), IsEmpty());
  EXPECT_THAT(definition_warnings(known.root, nullptr), IsEmpty());
}

}  // namespace
}  // namespace keles::registry
