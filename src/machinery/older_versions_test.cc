#include "machinery/older_versions.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/object.h"

namespace keles {
namespace {

// The spec in v1, as JSON.
std::string served_spec(const std::string& spec) {
  auto doc = parse_json(
      R"({"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1","spec":)" +
      spec + "}");
  EXPECT_TRUE(doc.ok()) << doc.status().message();
  to_served_version(*doc);
  EXPECT_EQ(doc->root["apiVersion"].as_string(), "apiextensions.k8s.io/v1");
  return to_json(doc->root["spec"]);
}

TEST(OlderVersions, AreKnown) {
  EXPECT_TRUE(is_older_version("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"));
  EXPECT_FALSE(is_older_version("apiextensions.k8s.io/v1", "CustomResourceDefinition"));
  EXPECT_FALSE(is_older_version("example.com/v1beta1", "CustomResourceDefinition"));
}

// What all versions share stands once in v1beta1, and in each of them in v1.
TEST(OlderVersions, DefinitionsSayOfEachVersionWhatWasSaidOfAll) {
  const std::string shared =
      R"("schema":{"x":1},"subresources":{"status":{}},"additionalPrinterColumns":[{"name":"X","jsonPath":".x"}],)"
      R"("selectableFields":[{"jsonPath":".y"}]})";
  EXPECT_EQ(
      served_spec(
          R"({"group":"b","version":"v1","validation":{"x":1},"subresources":{"status":{}},)"
          R"("versions":[{"name":"v1"},{"name":"v2"}],"additionalPrinterColumns":[{"name":"X","JSONPath":".x"}],)"
          R"("selectableFields":[{"jsonPath":".y"}]})"),
      R"({"group":"b","versions":[{"name":"v1",)" + shared + R"(,{"name":"v2",)" + shared + "]}");
  // Where they differ they stand in each.
  EXPECT_EQ(
      served_spec(R"({"version":"v1","versions":[{"name":"v1","schema":{"x":1},)"
                  R"("additionalPrinterColumns":[{"JSONPath":".x"}]},{"name":"v2"}]})"),
      R"({"versions":[{"name":"v1","schema":{"x":1},"additionalPrinterColumns":[{"jsonPath":".x"}]},{"name":"v2"}]})");
}

TEST(OlderVersions, ADefinitionOfOneVersionHasAListOfIt) {
  EXPECT_EQ(served_spec(R"({"version":"v1","validation":{"x":1}})"),
            R"({"versions":[{"name":"v1","served":true,"storage":true,"schema":{"x":1}}]})");
}

TEST(OlderVersions, ConversionsHaveAWebhook) {
  EXPECT_EQ(
      served_spec(
          R"({"versions":[],"conversion":{"strategy":"Webhook","webhookClientConfig":{"url":"https://x"},)"
          R"("conversionReviewVersions":["v1"]}})"),
      R"({"versions":[],"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"url":"https://x"},)"
      R"("conversionReviewVersions":["v1"]}}})");
  EXPECT_EQ(served_spec(R"({"versions":[],"conversion":{"strategy":"None"}})"),
            R"({"versions":[],"conversion":{"strategy":"None"}})");
}

// A stored one is an object of the kind that is served.
TEST(OlderVersions, AreReadFromTheStore) {
  auto object = Object::from_json(
      [](std::string_view api_version, std::string_view kind) {
        return find_kind(api_version, kind);
      },
      std::make_shared<const std::string>(
          R"({"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1","metadata":{"name":"a.b"},)"
          R"("spec":{"group":"b","version":"v1","names":{"plural":"a","kind":"A"},"scope":"Cluster","validation":)"
          R"({"openAPIV3Schema":{"type":"object"}}}})"),
      7);
  ASSERT_TRUE(object.ok()) << object.status().message();
  EXPECT_EQ((*object)->kind().version, "v1");
  EXPECT_EQ((*object)->name(), "a.b");
  EXPECT_NE(
      (*object)->json()->find(R"("versions":[{"name":"v1","served":true,"storage":true,"schema")"),
      std::string::npos)
      << *(*object)->json();
}

}  // namespace
}  // namespace keles
