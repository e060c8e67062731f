#include "machinery/older_versions.h"

#include <gtest/gtest.h>

#include "api/apiextensions_v1.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"

namespace keles {
namespace {

namespace v1 = api::apiextensions_v1;

template <class T>
std::string bytes(std::string_view json) {
  auto doc = parse_json(json);
  EXPECT_TRUE(doc.ok()) << doc.status().message();
  return encode_protobuf(T::descriptor(), doc->root);
}

// The spec of the definition with these fields in it, as v1 has it.
std::string served_spec(const std::string& fields) {
  std::string raw;
  append_bytes_field(raw, 1, bytes<api::meta_v1::ObjectMeta>(R"({"name":"a.b"})"));
  append_bytes_field(raw, 2, fields);
  auto served = in_served_version(
      wrap_protobuf("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", raw));
  if (!served.ok()) return served.status().message();
  auto envelope = open_protobuf(*served);
  EXPECT_EQ(envelope->api_version, "apiextensions.k8s.io/v1");
  auto doc = decode_protobuf(v1::CustomResourceDefinition::descriptor(), envelope->raw);
  if (!doc.ok()) return doc.status().message();
  EXPECT_EQ(doc->root["metadata"]["name"].as_string(), "a.b");
  std::string json;
  write_json(json, v1::CustomResourceDefinitionSpec::descriptor(), doc->root["spec"]);
  return json;
}

TEST(OlderVersions, AreKnown) {
  EXPECT_TRUE(is_older_version("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"));
  EXPECT_FALSE(is_older_version("apiextensions.k8s.io/v1", "CustomResourceDefinition"));
  EXPECT_FALSE(is_older_version("example.com/v1beta1", "CustomResourceDefinition"));
}

// What all versions share stands once in v1beta1, and in each of them in v1.
TEST(OlderVersions, DefinitionsSayOfEachVersionWhatWasSaidOfAll) {
  std::string spec;
  append_bytes_field(spec, 1, "b");
  append_bytes_field(spec, 2, "v1");
  append_bytes_field(spec, 4, "Namespaced");
  append_bytes_field(
      spec, 5, bytes<v1::CustomResourceValidation>(R"({"openAPIV3Schema":{"type":"object"}})"));
  append_bytes_field(spec, 6, bytes<v1::CustomResourceSubresources>(R"({"status":{}})"));
  for (const char* name : {"v1", "v2"}) {
    append_bytes_field(
        spec, 7,
        bytes<v1::CustomResourceDefinitionVersion>(
            std::string(R"({"served":true,"storage":false,"name":")") + name + "\"}"));
  }
  append_bytes_field(
      spec, 8,
      bytes<v1::CustomResourceColumnDefinition>(R"({"name":"X","type":"string","jsonPath":".x"})"));
  append_bytes_field(spec, 11, bytes<v1::SelectableField>(R"({"jsonPath":".y"})"));
  const std::string shared =
      R"(","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}},"subresources":{"status":{}},)"
      R"("additionalPrinterColumns":[{"name":"X","type":"string","jsonPath":".x"}],"selectableFields":[{"jsonPath":".y"}]})";
  EXPECT_EQ(
      served_spec(spec),
      R"({"group":"b","names":{"plural":"","kind":""},"scope":"Namespaced","versions":[{"name":"v1)" +
          shared + R"(,{"name":"v2)" + shared + "]}");
}

TEST(OlderVersions, ADefinitionOfOneVersionHasAListOfIt) {
  std::string spec;
  append_bytes_field(spec, 2, "v1");
  EXPECT_EQ(
      served_spec(spec),
      R"({"group":"","names":{"plural":"","kind":""},"scope":"","versions":[{"name":"v1","served":true,"storage":true}]})");
}

TEST(OlderVersions, ConversionsHaveAWebhook) {
  std::string conversion, spec;
  append_bytes_field(conversion, 1, "Webhook");
  append_bytes_field(conversion, 2, bytes<v1::WebhookClientConfig>(R"({"url":"https://x"})"));
  append_bytes_field(conversion, 3, "v1");
  append_bytes_field(conversion, 3, "v1beta1");
  append_bytes_field(spec, 9, conversion);
  EXPECT_EQ(
      served_spec(spec),
      R"({"group":"","names":{"plural":"","kind":""},"scope":"","versions":null,"conversion":{"strategy":"Webhook",)"
      R"("webhook":{"clientConfig":{"url":"https://x"},"conversionReviewVersions":["v1","v1beta1"]}}})");
}

TEST(OlderVersions, WhatIsDamagedIsTold) {
  std::string raw;
  append_bytes_field(raw, 2, "\x07");
  EXPECT_FALSE(in_served_version(wrap_protobuf("a", "b", raw)).ok());
  EXPECT_FALSE(in_served_version("nonsense").ok());
}

}  // namespace
}  // namespace keles
