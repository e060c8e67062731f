// Kinds that definitions make, as clients see them: discovery, OpenAPI, tables, metadata alone, the
// end of a watch; and those that people install. Over HTTPS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/sync.h"
#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "server/http/served_api.h"

namespace keles::server {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

constexpr const char* kCrons = R"({"apiVersion":"apiextensions.k8s.io/v1",
  "kind":"CustomResourceDefinition","metadata":{"name":"crons.stable.example.com"},
  "spec":{"group":"stable.example.com","scope":"Namespaced",
    "names":{"plural":"crons","kind":"Cron","shortNames":["cr"],"categories":["all"]},
    "versions":[{"name":"v1","served":true,"storage":true,
      "schema":{"openAPIV3Schema":{"type":"object","description":"A cron.","properties":{
        "spec":{"type":"object","required":["when","maybe"],"properties":{
          "when":{"type":"string","description":"The time."},
          "maybe":{"type":"string","nullable":true},
          "port":{"x-kubernetes-int-or-string":true},
          "any":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
          "pod":{"type":"object","x-kubernetes-embedded-resource":true,
                 "x-kubernetes-preserve-unknown-fields":true},
          "ready":{"type":"boolean"},"count":{"type":"integer"},
          "list":{"type":"array","items":{"type":"object","properties":{
            "name":{"type":"string"},"value":{"type":"integer"}}}}}}}}},
      "subresources":{"status":{}},
      "additionalPrinterColumns":[
        {"name":"When","type":"string","jsonPath":".spec.when","description":"The time."},
        {"name":"Ready","type":"boolean","jsonPath":".spec.ready"},
        {"name":"B","type":"integer","jsonPath":".spec.list[?(@.name==\"b\")].value"},
        {"name":"Made","type":"date","jsonPath":".metadata.creationTimestamp"}],
      "selectableFields":[{"jsonPath":".spec.when"}]}]}})";

class CustomKindsTest : public testing::Test {
 protected:
  CustomKindsTest() : life_(api_.ctx.child()), group_(*api_.loop) {
    group_.spawn(api_.api->run(life_));
    by_ = api_.connect(api_.admin());
  }
  ~CustomKindsTest() override {
    life_.cancel();
    (void)api_.run(joined(&group_));
  }
  static Task<Status> joined(TaskGroup* group) {
    co_await group->join();
    co_return Status();
  }

  net::Response send(std::string method, const std::string& target, std::string body = "",
                     net::Headers headers = {}) {
    return api_.send(by_.get(),
                     ServedApi::request(std::move(method), target, std::move(body), headers));
  }
  std::string get(const std::string& target, const std::string& accept = "application/json") {
    net::Response r = send("GET", target, "", {{"Accept", accept}});
    EXPECT_EQ(r.status, 200) << target << ": " << r.body;
    return r.body;
  }
  // Defines it and waits until that is told.
  bool define(const std::string& json) {
    net::Response made = send("POST", kDefinitions, json);
    EXPECT_EQ(made.status, 201) << made.body;
    auto doc = parse_json(made.body);
    if (made.status != 201 || !doc.ok()) return false;
    const std::string name(doc->root["metadata"]["name"].as_string());
    for (int i = 0; i < 500; ++i) {
      net::Response now = send("GET", std::string(kDefinitions) + "/" + name);
      if (now.body.find("InitialNamesAccepted") != now.body.npos) return true;
      Status slept = api_.run(api_.ctx.sleep(2ms));
      EXPECT_TRUE(slept.ok());
    }
    return false;
  }

  ServedApi api_;
  Context life_;
  TaskGroup group_;
  std::unique_ptr<net::HttpClient> by_;
};

TEST_F(CustomKindsTest, AreDiscovered) {
  EXPECT_EQ(send("GET", "/apis/stable.example.com/v1/crons").status, 404);
  EXPECT_EQ(send("GET", "/apis/stable.example.com").status, 404);
  ASSERT_TRUE(define(kCrons));
  EXPECT_THAT(get("/apis/stable.example.com"),
              HasSubstr(R"("groupVersion":"stable.example.com/v1")"));
  const std::string resources = get("/apis/stable.example.com/v1");
  EXPECT_THAT(resources, HasSubstr(R"("name":"crons","singularName":"cron","namespaced":true)"));
  EXPECT_THAT(resources, HasSubstr(R"("name":"crons/status")"));
  EXPECT_THAT(resources, HasSubstr(R"("shortNames":["cr"])"));
  const std::string all =
      get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_THAT(all, HasSubstr(R"("name":"stable.example.com")"));
  EXPECT_THAT(all, HasSubstr(R"("singularResource":"cron")"));
}

// Upstream keeps these lists as maps, and writes a map's members by their names.
TEST_F(CustomKindsTest, ListsHaveTheirMembersByName) {
  ASSERT_TRUE(define(kCrons));
  const std::string home = "/apis/stable.example.com/v1/namespaces/default/crons";
  EXPECT_THAT(
      get(home),
      testing::MatchesRegex("\\{\"apiVersion\":\"stable.example.com/v1\",\"items\":\\[\\],\"kind\":"
                            "\"CronList\",\"metadata\":\\{\"continue\":\"\",\"resourceVersion\":"
                            "\"[0-9]+\"\\}\\}\n"));
  for (const char* name : {"a", "b"}) {
    ASSERT_EQ(send("POST", home,
                   R"({"apiVersion":"stable.example.com/v1","kind":"Cron","metadata":{"name":")" +
                       std::string(name) + R"("},"spec":{"when":"noon","maybe":null}})")
                  .status,
              201);
  }
  const std::string first = get(home + "?limit=1");
  EXPECT_THAT(first, testing::StartsWith(R"({"apiVersion":"stable.example.com/v1","items":[{")"
                                         R"(apiVersion":"stable.example.com/v1","kind":"Cron",)"));
  EXPECT_THAT(first, testing::ContainsRegex(
                         "\\}\\],\"kind\":\"CronList\",\"metadata\":\\{\"continue\":\"[^\"]+\","
                         "\"remainingItemCount\":1,\"resourceVersion\":\"[0-9]+\"\\}\\}\n$"));
  auto whole = parse_json(get(home + "?pretty=true"));
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->root["items"].size(), 2u);
  auto yaml = parse_yaml(get(home, "application/yaml"));
  ASSERT_TRUE(yaml.ok());
  EXPECT_TRUE(yaml->root["items"].equals(whole->root["items"]));
  EXPECT_THAT(get(home, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
              testing::StartsWith(R"({"kind":"PartialObjectMetadataList","apiVersion":)"));
}

TEST_F(CustomKindsTest, AreDescribedToClients) {
  ASSERT_TRUE(define(kCrons));
  auto v2 = parse_json(get("/openapi/v2"));
  ASSERT_TRUE(v2.ok());
  const Value& cron = v2->root["definitions"]["com.example.stable.v1.Cron"];
  EXPECT_EQ(cron["description"].as_string(), "A cron.");
  EXPECT_EQ(to_json(cron["x-kubernetes-group-version-kind"]),
            R"([{"group":"stable.example.com","kind":"Cron","version":"v1"}])");
  const Value& spec = cron["properties"]["spec"];
  // Without what OpenAPI v2 and kubectl have no words for.
  EXPECT_EQ(to_json(spec["required"]), R"(["when"])");
  EXPECT_EQ(to_json(spec["properties"]["maybe"]), "{}");
  EXPECT_EQ(to_json(spec["properties"]["any"]), R"({"x-kubernetes-preserve-unknown-fields":true})");
  EXPECT_EQ(to_json(spec["properties"]["port"]), R"({"x-kubernetes-int-or-string":true})");
  EXPECT_TRUE(cron["properties"]["metadata"]["$ref"].is_string());
  EXPECT_TRUE(v2->root["definitions"]["com.example.stable.v1.CronList"].is_map());
  EXPECT_TRUE(
      v2->root["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crons"].is_map());

  EXPECT_THAT(get("/openapi/v3"), HasSubstr(R"("apis/stable.example.com/v1":)"));
  auto v3 = parse_json(get("/openapi/v3/apis/stable.example.com/v1"));
  ASSERT_TRUE(v3.ok());
  const Value& full = v3->root["components"]["schemas"]["com.example.stable.v1.Cron"];
  const Value& properties = full["properties"]["spec"]["properties"];
  EXPECT_TRUE(properties["maybe"]["nullable"].as_bool());
  EXPECT_EQ(to_json(properties["port"]["anyOf"]), R"([{"type":"integer"},{"type":"string"}])");
  EXPECT_EQ(to_json(properties["pod"]["required"]), R"(["kind","apiVersion"])");
  EXPECT_EQ(to_json(full["x-kubernetes-selectable-fields"]), R"([{"fieldPath":"spec.when"}])");
}

TEST_F(CustomKindsTest, AreShownInTheirColumns) {
  ASSERT_TRUE(define(kCrons));
  const std::string home = "/apis/stable.example.com/v1/namespaces/default/crons";
  ASSERT_EQ(send("POST", home, R"({"apiVersion":"stable.example.com/v1","kind":"Cron",
      "metadata":{"name":"a"},"spec":{"when":"noon","maybe":null,"ready":true,
      "list":[{"name":"a","value":1},{"name":"b","value":2}]}})")
                .status,
            201);
  ASSERT_EQ(send("POST", home, R"({"apiVersion":"stable.example.com/v1","kind":"Cron",
      "metadata":{"name":"b"}})")
                .status,
            201);
  auto table = parse_json(get(home, "application/json;as=Table;v=v1;g=meta.k8s.io"));
  ASSERT_TRUE(table.ok());
  std::string names;
  for (const Value& c : table->root["columnDefinitions"].items()) {
    names += std::string(c["name"].as_string()) + " ";
  }
  EXPECT_EQ(names, "Name When Ready B Made ");
  EXPECT_THAT(to_json(table->root["rows"].at(0)["cells"]), HasSubstr(R"(["a","noon",true,2,")"));
  EXPECT_THAT(to_json(table->root["rows"].at(1)["cells"]), HasSubstr(R"(["b",null,null,null,")"));
  EXPECT_THAT(get(home + "?fieldSelector=spec.when%3Dnoon"),
              Not(HasSubstr(R"("name":"b","namespace")")));
  EXPECT_THAT(send("GET", home + "?fieldSelector=spec.count%3D1").body,
              HasSubstr("field label not supported: spec.count"));
  // Their metadata has a protobuf form; they themselves have none.
  EXPECT_EQ(get(home + "/a",
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
                .substr(0, 4),
            std::string("k8s\0", 4));
  EXPECT_EQ(
      send("GET", home + "/a", "", {{"Accept", "application/vnd.kubernetes.protobuf"}}).status,
      406);
  EXPECT_THAT(send("POST", home, R"({"apiVersion":"stable.example.com/v2","kind":"Cron",
      "metadata":{"name":"c"}})")
                  .body,
              HasSubstr("the API version in the data (stable.example.com/v2) does not match the "
                        "expected API version (stable.example.com/v1)"));
}

TEST_F(CustomKindsTest, EndWithTheirDefinition) {
  ASSERT_TRUE(define(kCrons));
  const std::string home = "/apis/stable.example.com/v1/namespaces/default/crons";
  ASSERT_EQ(send("POST", home, R"({"apiVersion":"stable.example.com/v1","kind":"Cron",
      "metadata":{"name":"a"}})")
                .status,
            201);
  auto opened = api_.run(
      by_->open(api_.ctx.with_timeout(20s), ServedApi::request("GET", home + "?watch=true")));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(send("DELETE", std::string(kDefinitions) + "/crons.stable.example.com").status, 200);
  std::string told;
  while (true) {
    auto piece = api_.run((*opened)->read(api_.ctx.with_timeout(20s)));
    ASSERT_TRUE(piece.ok()) << piece.status().to_string() << " after " << told;
    if (piece->empty()) break;  // the end, in good order
    told += *piece;
  }
  EXPECT_THAT(told, HasSubstr(R"("type":"ADDED")"));
  EXPECT_THAT(told, HasSubstr(R"("type":"DELETED")"));
  EXPECT_EQ(send("GET", home).status, 404);
  EXPECT_THAT(get("/openapi/v3"), Not(HasSubstr("stable.example.com")));
}

// While something holds its objects a definition that is being deleted serves all but new ones.
TEST_F(CustomKindsTest, TakeNoNewObjectsWhileTheirDefinitionEnds) {
  ASSERT_TRUE(define(kCrons));
  const std::string home = "/apis/stable.example.com/v1/namespaces/default/crons";
  auto cron = [](const std::string& name, const std::string& more = "") {
    return R"({"apiVersion":"stable.example.com/v1","kind":"Cron","metadata":{"name":")" + name +
           "\"" + more + "}}";
  };
  ASSERT_EQ(send("POST", home, cron("a", R"(,"finalizers":["e.com/hold"])")).status, 201);
  ASSERT_EQ(send("DELETE", std::string(kDefinitions) + "/crons.stable.example.com").status, 200);
  const net::Headers apply{{"Content-Type", "application/apply-patch+yaml"}},
      merge{{"Content-Type", "application/merge-patch+json"}};
  const std::string refused =
      "crons.stable.example.com \\\"b\\\" is forbidden: create not allowed while custom resource "
      "definition is terminating";
  net::Response r = send("POST", home, cron("b"));
  EXPECT_EQ(r.status, 403);
  EXPECT_THAT(r.body, HasSubstr(refused));
  r = send("PATCH", home + "/b?fieldManager=me", cron("b"), apply);
  EXPECT_EQ(r.status, 403);
  EXPECT_THAT(r.body, HasSubstr(refused));
  EXPECT_EQ(send("GET", home + "/a").status, 200);
  EXPECT_THAT(get(home), HasSubstr(R"("name":"a")"));
  EXPECT_EQ(send("PATCH", home + "/a?fieldManager=me", cron("a"), apply).status, 200);
  EXPECT_EQ(send("PATCH", home + "/a", R"({"metadata":{"labels":{"x":"y"}}})", merge).status, 200);
  EXPECT_EQ(send("PATCH", home + "/a", R"({"metadata":{"finalizers":null}})", merge).status, 200);
  for (int i = 0; i < 500 && send("GET", home).status != 404; ++i) {
    ASSERT_TRUE(api_.run(api_.ctx.sleep(2ms)).ok());
  }
  EXPECT_EQ(send("GET", home).status, 404);
}

// The definitions that people install: taken, served, described.
TEST_F(CustomKindsTest, AreThoseThatPeopleInstall) {
  const std::filesystem::path folder = shared_dir() / "oracles" / "crds";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no definitions in " << folder;
  int defined = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    auto text = read_file(entry.path().string());
    ASSERT_TRUE(text.ok());
    auto doc = parse_yaml(*text);
    if (!doc.ok() || doc->root["kind"].as_string() != "CustomResourceDefinition") continue;
    SCOPED_TRACE(entry.path().filename().string());
    ASSERT_TRUE(define(to_json(doc->root)));
    ++defined;
    const Value& spec = doc->root["spec"];
    const std::string group(spec["group"].as_string());
    const std::string plural(spec["names"]["plural"].as_string());
    const std::string kind(spec["names"]["kind"].as_string());
    for (const Value& v : spec["versions"].items()) {
      if (!v["served"].as_bool()) continue;
      const std::string home = "/apis/" + group + "/" + std::string(v["name"].as_string());
      EXPECT_THAT(get(home), HasSubstr("\"name\":\"" + plural + "\""));
      EXPECT_THAT(get(home + "/" + plural), HasSubstr("\"kind\":\"" + kind + "List\""));
      EXPECT_THAT(get("/openapi/v3" + home), HasSubstr("\"kind\":\"" + kind + "\""));
    }
  }
  EXPECT_GT(defined, 20);
  auto v2 = parse_json(get("/openapi/v2"));
  ASSERT_TRUE(v2.ok());
  EXPECT_TRUE(v2->root["definitions"]["io.cert-manager.v1.Certificate"].is_map());
}

}  // namespace
}  // namespace keles::server
