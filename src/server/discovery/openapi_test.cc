// OpenAPI documents against upstream's v2 document.
#include "server/discovery/openapi.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"

namespace keles::server {
namespace {

namespace fs = std::filesystem;

class Oracle : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path file = shared_dir() / "api" / "v1.36" / "openapi-v2.json";
    if (!fs::exists(file)) GTEST_SKIP() << "the shared tables are not at " << file;
    auto text = read_file(file.string());
    ASSERT_TRUE(text.ok());
    auto doc = parse_json(*text);
    ASSERT_TRUE(doc.ok());
    want_ = std::move(*doc);
    have_ = openapi_v2(all_kinds(), "v1.36.2");
  }
  Document want_, have_;
};

// Texts are ours.
void drop_texts(Value& v) {
  if (v.is_map()) {
    v.erase("description");
    if (v["type"].is_string()) v.erase("enum");
    // What says no more than the type already does.
    if (v["x-kubernetes-map-type"].as_string() == "granular") v.erase("x-kubernetes-map-type");
    if (v["format"].as_string() == "byte") v.erase("x-kubernetes-list-type");
    for (Member& m : v.members()) drop_texts(m.value);
  }
  for (Value& x : v.items()) drop_texts(x);
}

TEST_F(Oracle, EveryPathAndOperation) {
  int operations = 0;
  for (const Member& path : want_.root["paths"].members()) {
    if (path.key().starts_with("/.well-known") || path.key().starts_with("/logs") ||
        path.key().starts_with("/openid") || path.key() == "/apis/internal.apiserver.k8s.io/" ||
        path.key() == "/apis/storagemigration.k8s.io/") {  // groups without a GA version
      continue;
    }
    SCOPED_TRACE(std::string(path.key()));
    const Value& ours = have_.root["paths"][path.key()];
    EXPECT_TRUE(ours.is_map()) << "no such path";
    for (const Member& m : path.value.members()) {
      if (m.key() == "parameters") continue;
      ++operations;
      const Value& op = ours[m.key()];
      EXPECT_EQ(op["operationId"].as_string(), m.value["operationId"].as_string());
      EXPECT_TRUE(op["x-kubernetes-action"].equals(m.value["x-kubernetes-action"]));
      EXPECT_TRUE(
          op["x-kubernetes-group-version-kind"].equals(m.value["x-kubernetes-group-version-kind"]));
      EXPECT_TRUE(op["tags"].equals(m.value["tags"])) << to_json(op["tags"]);
    }
  }
  EXPECT_GT(operations, 800);
  for (const Member& path : have_.root["paths"].members()) {
    if (path.key().starts_with("/apis/metrics.k8s.io")) continue;  // metrics-server's
    EXPECT_TRUE(want_.root["paths"][path.key()].is_map()) << "not upstream's: " << path.key();
  }
}

TEST_F(Oracle, EveryDefinition) {
  drop_texts(have_.root);
  drop_texts(want_.root);
  int seen = 0;
  for (Member& d : have_.root.find("definitions")->members()) {
    // metrics-server's, and what only its kinds are made of.
    if (d.key().starts_with("io.k8s.metrics.") || d.key().ends_with(".meta.v1.Duration")) continue;
    SCOPED_TRACE(std::string(d.key()));
    Value want = want_.root["definitions"][d.key()];
    if (!want.is_map()) {
      ADD_FAILURE() << "upstream does not define it";
      continue;
    }
    ++seen;
    // The many groups that share a definition are not all served here.
    for (Value* v : {&want, &d.value}) {
      if (d.key().ends_with("DeleteOptions") || d.key().ends_with("WatchEvent")) {
        v->erase("x-kubernetes-group-version-kind");
      }
      v->erase("x-kubernetes-unions");
    }
    EXPECT_TRUE(d.value.equals(want)) << to_json(d.value) << "\n" << to_json(want);
  }
  EXPECT_GT(seen, 500);
}

TEST(OpenApi, V3) {
  OpenApi api(all_kinds(), "v1.36.2");
  auto index = api.get("/openapi/v3", "", "application/json");
  ASSERT_TRUE(index.has_value());
  auto doc = parse_json(*index->bytes);
  ASSERT_TRUE(doc.ok());
  std::string url(doc->root["paths"]["apis/apps/v1"]["serverRelativeURL"].as_string());
  ASSERT_TRUE(url.starts_with("/openapi/v3/apis/apps/v1?hash=")) << url;
  auto apps = api.get("/openapi/v3/apis/apps/v1", url.substr(url.find('=') + 1), "*/*");
  ASSERT_TRUE(apps.has_value());
  EXPECT_TRUE(apps->immutable);
  auto v3 = parse_json(*apps->bytes);
  ASSERT_TRUE(v3.ok());
  const Value& patch =
      v3->root["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
  EXPECT_TRUE(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_map());
  std::set<std::string_view> names;
  for (const Value& p : patch["parameters"].items()) names.insert(p["name"].as_string());
  EXPECT_TRUE(names.contains("fieldValidation"));
  EXPECT_TRUE(names.contains("dryRun"));
  const Value& schemas = v3->root["components"]["schemas"];
  const Value& spec = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
  EXPECT_EQ(spec["x-kubernetes-patch-merge-key"].as_string(), "name");
  EXPECT_EQ(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"]
                .at(0)["kind"]
                .as_string(),
            "Deployment");
  // Every reference leads somewhere.
  std::string text = *apps->bytes;
  constexpr std::string_view kRef = "#/components/schemas/";
  for (size_t at = text.find(kRef); at != std::string::npos; at = text.find(kRef, at + 1)) {
    const size_t begin = at + kRef.size();
    std::string name = text.substr(begin, text.find('"', begin) - begin);
    ASSERT_TRUE(schemas[name].is_map()) << name;
  }
  EXPECT_FALSE(api.get("/openapi/v3/apis/none/v1", "", "").has_value());
}

TEST(OpenApi, V2Forms) {
  OpenApi api(all_kinds(), "v1.36.2");
  auto pb =
      api.get("/openapi/v2", "", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
  ASSERT_TRUE(pb.has_value());
  // The document's second field is info {title = 1}.
  WireReader r(*pb->bytes);
  EXPECT_EQ(r.tag(), 1u);
  EXPECT_EQ(r.bytes(), "2.0");
  EXPECT_EQ(r.tag(), 2u);
  WireReader info(r.bytes());
  EXPECT_EQ(info.tag(), 1u);
  EXPECT_EQ(info.bytes(), "Kubernetes");
  EXPECT_EQ(r.tag(), 8u);
  auto json = api.get("/openapi/v2", "", "application/json");
  ASSERT_TRUE(json.has_value());
  EXPECT_TRUE(parse_json(*json->bytes).ok());
}

// What a message has at `number`, one after the other.
std::vector<std::string_view> fields(std::string_view message, uint32_t number) {
  std::vector<std::string_view> out;
  WireReader r(message);
  while (!r.done() && r.ok()) {
    const uint32_t tag = r.tag();
    if (tag == number && r.type() == 2) {
      out.push_back(r.bytes());
    } else {
      r.skip();
    }
  }
  EXPECT_TRUE(r.ok());
  return out;
}
// The value of that name in a list of {name = 1, value = 2}.
std::string_view named(const std::vector<std::string_view>& list, std::string_view name) {
  for (std::string_view one : list) {
    if (fields(one, 1).at(0) == name) return fields(one, 2).at(0);
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(OpenApi, V3Forms) {
  OpenApi api(all_kinds(), "v1.36.2");
  const char* const kPath = "/openapi/v3/apis/apps/v1";
  auto json = api.get(kPath, "", "application/json");
  ASSERT_TRUE(json.has_value());
  auto doc = parse_json(*json->bytes);
  ASSERT_TRUE(doc.ok());
  for (const char* accept : {"application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
                             "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"}) {
    auto pb = api.get(kPath, "", accept);
    ASSERT_TRUE(pb.has_value());
    EXPECT_EQ(pb->content_type, "application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
    EXPECT_EQ(pb->etag, json->etag);
    const std::string_view all = *pb->bytes;
    EXPECT_EQ(fields(all, 1).at(0), "3.0.0");
    EXPECT_EQ(fields(fields(all, 2).at(0), 6).at(0), "v1.36.2");
    const auto paths = fields(fields(all, 4).at(0), 1);
    EXPECT_EQ(paths.size(), doc->root["paths"].size());
    const std::string path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
    const std::string_view get = fields(named(paths, path), 4).at(0);
    EXPECT_EQ(fields(get, 5).at(0), doc->root["paths"][path]["get"]["operationId"].as_string());
    const auto schemas = fields(fields(fields(all, 5).at(0), 1).at(0), 1);
    EXPECT_EQ(schemas.size(), doc->root["components"]["schemas"].size());
    const std::string_view deployment =
        fields(named(schemas, "io.k8s.api.apps.v1.Deployment"), 1).at(0);
    EXPECT_EQ(fields(deployment, 25).at(0), "object");
    // metadata is allOf [{$ref}] with a default, which is no scalar.
    const std::string_view metadata =
        fields(named(fields(fields(deployment, 31).at(0), 1), "metadata"), 1).at(0);
    EXPECT_EQ(fields(fields(fields(metadata, 26).at(0), 2).at(0), 1).at(0),
              "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    named(fields(deployment, 36), "x-kubernetes-group-version-kind");
  }
  EXPECT_FALSE(api.get(kPath, "", "application/yaml")->acceptable);
}

}  // namespace
}  // namespace keles::server
