// What a schema says reaches who writes: definitions that are refused, objects that are pruned,
// defaulted and judged, versions that a webhook converts. Over HTTPS, as clients see it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "server/http/served_api.h"

namespace keles::server {
namespace {

using testing::HasSubstr;

constexpr const char* kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

// Converts by renaming spec.old and spec.new into each other; refuses what is named "bad".
Task<void> webhook(Context, net::Request* q, net::Responder* r) {
  auto doc = parse_json(q->body);
  const Value& request = doc->root["request"];
  const bool to_v2 = request["desiredAPIVersion"].as_string() == "example.com/v2";
  std::string objects, failure;
  for (const Value& o : request["objects"].items()) {
    Document d;
    d.root = deep_copy(d.arena, o);
    if (o["metadata"]["name"].as_string() == "bad") failure = "it is bad";
    d.root.set(d.arena, "apiVersion", request["desiredAPIVersion"]);
    Value spec = Value::map();
    spec.set(d.arena, to_v2 ? "new" : "old", o["spec"][to_v2 ? "old" : "new"]);
    spec.set(d.arena, "unknown", Value(1));
    d.root.set(d.arena, "spec", spec);
    objects += (objects.empty() ? "" : ",") + to_json(d.root);
  }
  std::string result = failure.empty() ? R"({"status":"Success"})"
                                       : R"({"status":"Failure","message":")" + failure + "\"}";
  std::string out =
      R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":)" +
      to_json(request["uid"]) + R"(,"result":)" + result + R"(,"convertedObjects":[)" + objects +
      "]}}";
  auto body = net::as_body(std::move(out));
  (void)co_await r->respond(200, net::Headers(), std::move(body));
}

class CustomSchemaTest : public testing::Test {
 protected:
  CustomSchemaTest() : life_(api_.ctx.child()), group_(*api_.loop) {
    group_.spawn(api_.api->run(life_));
    by_ = api_.connect(api_.admin());
  }
  ~CustomSchemaTest() override {
    life_.cancel();
    (void)api_.run(joined(&group_));
  }
  static Task<Status> joined(TaskGroup* group) {
    co_await group->join();
    co_return Status();
  }

  struct Answer {
    int status = 0;
    Document body;
    std::string_view message() const { return body.root["message"].as_string(); }
    std::vector<std::string> causes() const {
      std::vector<std::string> out;
      for (const Value& c : body.root["details"]["causes"].items()) {
        out.push_back(std::string(c["field"].as_string()) + ": " +
                      std::string(c["message"].as_string()));
      }
      return out;
    }
  };
  Answer send(std::string method, const std::string& target, std::string body = "",
              net::Headers headers = {}) {
    net::Response r = api_.send(
        by_.get(), ServedApi::request(std::move(method), target, std::move(body), headers));
    Answer out;
    out.status = r.status;
    auto doc = parse_json(r.body);
    EXPECT_TRUE(doc.ok()) << r.body;
    if (doc.ok()) out.body = std::move(*doc);
    return out;
  }

  static std::string definition(std::string_view versions, std::string_view more = "") {
    return R"({"metadata":{"name":"things.example.com"},"spec":{"group":"example.com","scope":)"
           R"("Namespaced","names":{"plural":"things","kind":"Thing"},)" +
           std::string(more) + R"("versions":[)" + std::string(versions) + "]}}";
  }
  static std::string version(std::string_view name, bool stored, std::string_view spec) {
    return R"({"name":")" + std::string(name) + R"(","served":true,"storage":)" +
           (stored ? "true" : "false") +
           R"(,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","properties":)"
           R"({"spec":)" +
           std::string(spec) +
           R"(,"status":{"type":"object","properties":{"n":{"type":"integer",)"
           R"("maximum":5}}}}}}})";
  }
  // Creates the definition and waits until it is served.
  void define(const std::string& text) {
    Answer made = send("POST", kDefinitions, text);
    ASSERT_EQ(made.status, 201) << made.message();
    Context wait = api_.ctx.with_timeout(20s);
    while (!api_.api->kinds().current()->find_resource("example.com", "v1", "things")) {
      ASSERT_TRUE(api_.run(wait.sleep(1ms)).ok()) << "it is not served";
    }
  }

  ServedApi api_;
  Context life_;
  TaskGroup group_;
  std::unique_ptr<net::HttpClient> by_;
};

constexpr std::string_view kSpec =
    R"({"type":"object","required":["size"],"properties":{"size":{"type":"integer","minimum":1},)"
    R"("color":{"type":"string","default":"blue","enum":["blue","red"]},"note":{"type":"string",)"
    R"("maxLength":4}}})";
constexpr const char* kThings = "/apis/example.com/v1/namespaces/default/things";

std::string thing(const std::string& name, const std::string& spec) {
  return R"({"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":")" + name +
         R"("},"spec":)" + spec + "}";
}

TEST_F(CustomSchemaTest, ABadDefinitionIsRefusedWithEveryFault) {
  Answer a =
      send("POST", kDefinitions,
           definition(R"({"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":)"
                      R"({"type":"object","properties":{"a":{"type":"array"}}}}})"));
  EXPECT_EQ(a.status, 422);
  EXPECT_EQ(
      a.message(),
      "CustomResourceDefinition.apiextensions.k8s.io \"things.example.com\" is invalid: "
      "spec.validation.openAPIV3Schema.properties[a].items: Required value: must be specified");
  EXPECT_THAT(a.causes(),
              testing::ElementsAre("spec.validation.openAPIV3Schema.properties[a].items: Required "
                                   "value: must be specified"));
}

TEST_F(CustomSchemaTest, ObjectsAreShapedAndJudged) {
  define(definition(version("v1", true, kSpec)));
  Answer a = send("POST", kThings, thing("a", R"({"size":2,"odd":1})"));
  ASSERT_EQ(a.status, 201) << a.message();
  EXPECT_EQ(to_json(a.body.root["spec"]), R"({"color":"blue","size":2})");
  a = send("POST", std::string(kThings) + "?fieldValidation=Strict",
           thing("b", R"({"size":2,"odd":1})"));
  EXPECT_EQ(a.status, 400);
  EXPECT_EQ(a.message(),
            "Thing in version \"v1\" cannot be handled as a Thing: strict decoding error: unknown "
            "field \"spec.odd\"");
  a = send("POST", kThings, thing("b", R"({"color":"green","note":"long text"})"));
  EXPECT_EQ(a.status, 422);
  EXPECT_THAT(a.causes(), testing::UnorderedElementsAre(
                              "spec.size: Required value",
                              "spec.color: Unsupported value: \"green\": supported values: "
                              "\"blue\", \"red\"",
                              "spec.note: Too long: may not be more than 4 bytes"));
  EXPECT_THAT(std::string(a.message()), HasSubstr("Thing.example.com \"b\" is invalid: ["));
  net::Headers merge;
  merge.add("Content-Type", "application/merge-patch+json");
  a = send("PATCH", std::string(kThings) + "/a", R"({"spec":{"size":0}})", merge);
  EXPECT_EQ(a.status, 422);
  EXPECT_THAT(a.causes(), testing::ElementsAre(
                              "spec.size: Invalid value: 0: spec.size in body should be greater "
                              "than or equal to 1"));
  a = send("PATCH", std::string(kThings) + "/a/status", R"({"status":{"n":9}})", merge);
  EXPECT_EQ(a.status, 422);
  EXPECT_THAT(a.causes(),
              testing::ElementsAre("status.n: Invalid value: 9: n in body should be less "
                                   "than or equal to 5"));
}

TEST_F(CustomSchemaTest, WhatASchemaForbidsLaterMayStay) {
  define(definition(version("v1", true,
                            R"({"type":"object","properties":{"a":{"type":"string"},"b":)"
                            R"({"type":"string"}}})")));
  ASSERT_EQ(send("POST", kThings, thing("a", R"({"a":"long","b":"x"})")).status, 201);
  net::Headers merge;
  merge.add("Content-Type", "application/merge-patch+json");
  const KindDesc* before =
      api_.api->kinds().current()->find_resource("example.com", "v1", "things");
  Answer d =
      send("PATCH", std::string(kDefinitions) + "/things.example.com",
           R"({"spec":{"versions":[)" +
               version("v1", true,
                       R"({"type":"object","properties":{"a":{"type":"string","maxLength":2},"b":)"
                       R"({"type":"string"}}})") +
               "]}}",
           merge);
  ASSERT_EQ(d.status, 200) << d.message();
  Context wait = api_.ctx.with_timeout(20s);
  while (api_.api->kinds().current()->find_resource("example.com", "v1", "things") == before) {
    ASSERT_TRUE(api_.run(wait.sleep(1ms)).ok());
  }
  EXPECT_EQ(send("PATCH", std::string(kThings) + "/a", R"({"spec":{"b":"y"}})", merge).status, 200);
  Answer a = send("PATCH", std::string(kThings) + "/a", R"({"spec":{"a":"other"}})", merge);
  EXPECT_THAT(a.causes(), testing::ElementsAre("spec.a: Too long: may not be more than 2 bytes"));
}

TEST_F(CustomSchemaTest, AWebhookConverts) {
  net::ServerOptions options;
  options.tls = api_.certificate("hook", true);
  auto hook = net::Server::start({api_.loop.get()}, options, webhook);
  ASSERT_TRUE(hook.ok());
  const std::string conversion =
      R"("conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],)"
      R"("clientConfig":{"url":"https://127.0.0.1:)" +
      std::to_string((*hook)->port()) + R"(/convert","caBundle":")" +
      base64_encode(api_.ca.certificate_pem) + R"("}}},)";
  define(definition(
      version("v1", true, R"({"type":"object","properties":{"old":{"type":"string"}}})") + "," +
          version("v2", false,
                  R"({"type":"object","properties":{"new":{"type":"string"},"d":{"type":"integer",)"
                  R"("default":7}}})"),
      conversion));
  ASSERT_EQ(send("POST", kThings, thing("a", R"({"old":"x"})")).status, 201);
  const std::string v2 = "/apis/example.com/v2/namespaces/default/things";
  Answer a = send("GET", v2 + "/a");
  ASSERT_EQ(a.status, 200) << a.message();
  EXPECT_EQ(to_json(a.body.root["spec"]), R"({"d":7,"new":"x"})");
  EXPECT_EQ(a.body.root["apiVersion"].as_string(), "example.com/v2");
  a = send(
      "POST", v2,
      R"({"apiVersion":"example.com/v2","kind":"Thing","metadata":{"name":"b"},"spec":{"new":"y"}})");
  ASSERT_EQ(a.status, 201) << a.message();
  EXPECT_EQ(to_json(send("GET", std::string(kThings) + "/b").body.root["spec"]), R"({"old":"y"})");
  a = send("GET", v2);
  ASSERT_EQ(a.status, 200);
  EXPECT_EQ(a.body.root["items"].size(), 2u);

  // What a write changes for managers of another version is told in their version.
  const net::Headers apply{{"Content-Type", "application/apply-patch+yaml"}};
  auto as = [](std::string api, std::string spec) {
    return R"({"apiVersion":"example.com/)" + api +
           R"(","kind":"Thing","metadata":{"name":"c"},"spec":)" + spec + "}";
  };
  auto managers = [&] {
    std::string out;
    for (const Value& m :
         send("GET", std::string(kThings) + "/c").body.root["metadata"]["managedFields"].items()) {
      out += std::string(m["manager"].as_string()) + ' ' +
             std::string(m["apiVersion"].as_string()) + ' ' + to_json(m["fieldsV1"]) + '\n';
    }
    return out;
  };
  const std::string c1 = std::string(kThings) + "/c", c2 = v2 + "/c";
  ASSERT_EQ(send("PATCH", c1 + "?fieldManager=one", as("v1", R"({"old":"p"})"), apply).status, 201);
  a = send("PATCH", c2 + "?fieldManager=two", as("v2", R"({"new":"q"})"), apply);
  EXPECT_EQ(a.status, 409);
  EXPECT_EQ(a.message(), "Apply failed with 1 conflict: conflict with \"one\": .spec.old");
  a = send("PATCH", c2 + "?fieldManager=two", as("v2", R"({"new":"p"})"), apply);
  EXPECT_EQ(a.status, 200) << a.message();
  // Who changed nothing has no time, and comes first.
  EXPECT_EQ(managers(), R"(two example.com/v2 {"f:spec":{"f:new":{}}})"
                        "\n"
                        R"(one example.com/v1 {"f:spec":{"f:old":{}}})"
                        "\n");
  a = send("PATCH", c2 + "?fieldManager=three", R"({"spec":{"new":"r"}})",
           {{"Content-Type", "application/merge-patch+json"}});
  EXPECT_EQ(a.status, 200) << a.message();
  EXPECT_EQ(managers(), R"(three example.com/v2 {"f:spec":{"f:new":{}}})"
                        "\n");

  ASSERT_EQ(send("POST", kThings, thing("bad", R"({"old":"z"})")).status, 201);
  a = send("GET", v2 + "/bad");
  EXPECT_EQ(a.status, 500);
  EXPECT_EQ(a.message(), "conversion webhook for example.com/v1, Kind=Thing failed: it is bad");
  api_.run((*hook)->stop(api_.ctx.with_timeout(2s)));
}

}  // namespace
}  // namespace keles::server
