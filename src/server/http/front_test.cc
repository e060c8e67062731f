// The HTTP front over real sockets and TLS: forms of answers, errors as Statuses, watches.
#include "server/http/front.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/loop.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "server/http/backup.h"
#include "server/http/negotiate.h"
#include "server/http/request_info.h"
#include "server/http/served_api.h"
#include "store/backup.h"

namespace keles::server {
namespace {

// A server with a client that is an administrator.
struct Served : ServedApi {
  std::unique_ptr<net::HttpClient> client = connect(admin());

  net::Response send(std::string method, const std::string& target, std::string body = "",
                     net::Headers headers = {}, net::HttpClient* by = nullptr) {
    net::Request r = request(std::move(method), target, std::move(body), std::move(headers));
    return ServedApi::send(by ? by : client.get(), std::move(r));
  }
};

std::string config_map(const std::string& name) {
  return R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + name +
         R"("},"data":{"k":"v"}})";
}
constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

TEST(Front, Paths) {
  Served s;
  EXPECT_EQ(s.send("GET", "/healthz").body, "ok");
  auto ready = s.send("GET", "/readyz?verbose");
  EXPECT_EQ(ready.status, 200);
  EXPECT_NE(ready.body.find("[+]etcd ok\n"), std::string::npos);
  EXPECT_TRUE(ready.body.ends_with("readyz check passed\n"));
  EXPECT_EQ(s.send("GET", "/livez/ping").body, "ok");
  EXPECT_NE(s.send("GET", "/version").body.find("\"gitVersion\": \"v1.36"), std::string::npos);
  EXPECT_NE(s.send("GET", "/metrics").body.find("process_cpu_seconds_total"), std::string::npos);
  EXPECT_NE(s.send("GET", "/api").body.find("\"APIVersions\""), std::string::npos);
  EXPECT_NE(s.send("GET", "/apis").body.find("\"apps\""), std::string::npos);
  EXPECT_NE(s.send("GET", "/api/v1").body.find("\"pods/log\""), std::string::npos);
  auto nothing = s.send("GET", "/apis/no.such/v1/things");
  EXPECT_EQ(nothing.status, 404);
  EXPECT_EQ(nothing.body, "404 page not found\n");
}

TEST(Front, CreateGetListDelete) {
  Served s;
  auto made = s.send("POST", kMaps, config_map("a"));
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_TRUE(
      made.body.starts_with(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a")"))
      << made.body;
  std::string one = std::string(kMaps) + "/a";
  EXPECT_EQ(s.send("GET", one).body, made.body);
  auto yaml = s.send("GET", one, "", {{"Accept", "application/yaml"}});
  EXPECT_TRUE(yaml.body.starts_with("apiVersion: v1\n")) << yaml.body;
  auto proto = s.send("GET", one, "", {{"Accept", "application/vnd.kubernetes.protobuf"}});
  ASSERT_TRUE(proto.body.starts_with(kProtobufMagic));
  auto decoded = decode_object_protobuf(*find_kind("v1", "ConfigMap"), proto.body);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->root["data"]["k"].as_string(), "v");

  s.send("POST", kMaps, config_map("b"));
  auto list = s.send("GET", std::string(kMaps) + "?limit=1");
  auto tree = parse_json(list.body);
  ASSERT_TRUE(tree.ok()) << list.body;
  EXPECT_EQ(tree->root["kind"].as_string(), "ConfigMapList");
  EXPECT_EQ(tree->root["items"].size(), 1u);
  EXPECT_EQ(tree->root["metadata"]["remainingItemCount"].as_int(), 1);
  EXPECT_FALSE(tree->root["metadata"]["continue"].as_string().empty());
  auto binary = s.send("GET", kMaps, "", {{"Accept", "application/vnd.kubernetes.protobuf"}});
  auto both = decode_object_protobuf(*find_kind("v1", "ConfigMapList"), binary.body);
  ASSERT_TRUE(both.ok()) << both.status().to_string();
  EXPECT_EQ(both->root["items"].size(), 2u);

  auto gone = s.send("DELETE", one);
  EXPECT_EQ(gone.status, 200);
  auto status = parse_json(gone.body);
  EXPECT_EQ(status->root["status"].as_string(), "Success");
  EXPECT_EQ(status->root["details"]["kind"].as_string(), "configmaps");
  EXPECT_EQ(s.send("GET", one).status, 404);
}

TEST(Front, ABackupIsWholeAndForAdministrators) {
  Served s;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(s.send("POST", kMaps, config_map("m" + std::to_string(i))).status, 201);
  }
  auto answer = s.send("GET", std::string(kBackupPath));
  EXPECT_EQ(answer.status, 200);
  BackupReader reader(true);
  ASSERT_TRUE(reader.take(answer.body).ok());
  ASSERT_TRUE(reader.finish().ok());
  EXPECT_EQ(reader.revision(), s.store->revision());
  Contents contents = std::move(reader).contents();
  size_t maps = 0;
  for (const Change& r : contents.records)
    maps += r.key->starts_with("/registry/configmaps/default/m");
  EXPECT_EQ(maps, 300u);
  auto user = s.connect(s.certificate("jane", false, {"developers"}));
  EXPECT_EQ(s.send("GET", std::string(kBackupPath), "", {}, user.get()).status, 403);
  auto nobody = s.connect(std::nullopt);
  EXPECT_EQ(s.send("GET", std::string(kBackupPath), "", {}, nobody.get()).status, 403);
  EXPECT_EQ(s.send("POST", std::string(kBackupPath), "{}").status, 405);
}

TEST(Front, TablesAndPartialObjects) {
  Served s;
  s.send("POST", kMaps, config_map("a"));
  auto table =
      s.send("GET", kMaps, "",
             {{"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}});
  auto t = parse_json(table.body);
  ASSERT_TRUE(t.ok()) << table.body;
  EXPECT_EQ(t->root["kind"].as_string(), "Table");
  EXPECT_EQ(t->root["rows"].at(0)["cells"].at(0).as_string(), "a");
  EXPECT_EQ(t->root["rows"].at(0)["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_EQ(t->root["columnDefinitions"].at(0)["name"].as_string(), "Name");
  auto partial =
      s.send("GET", kMaps, "",
             {{"Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}});
  auto p = parse_json(partial.body);
  EXPECT_EQ(p->root["kind"].as_string(), "PartialObjectMetadataList");
  EXPECT_TRUE(p->root["items"].at(0)["data"].is_null());
}

TEST(Front, TablesOfOlderClientsAndOfWhatHasNone) {
  Served s;
  s.send("POST", kMaps, config_map("a"));
  const std::string one = std::string(kMaps) + "/a";
  const char* kReview = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const char* kAsk = R"({"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}})";
  struct Row {
    const char *method, *target, *body, *accept;
    int code;
    const char *kind, *api_version;
  };
  const Row kRows[] = {
      {"GET", kMaps, "", "application/json;as=Table;v=v1beta1;g=meta.k8s.io", 200, "Table",
       "meta.k8s.io/v1beta1"},
      {"GET", one.c_str(), "", "application/json;as=Table;v=v1;g=meta.k8s.io", 200, "Table",
       "meta.k8s.io/v1"},
      {"GET", kMaps, "", "application/json;as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io",
       200, "PartialObjectMetadataList", "meta.k8s.io/v1beta1"},
      {"GET", one.c_str(), "", "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
       200, "PartialObjectMetadata", "meta.k8s.io/v1beta1"},
      {"GET", kMaps, "", "application/json;as=Table;v=v2;g=meta.k8s.io", 406, "Status", "v1"},
      {"GET", kMaps, "", "application/json;as=Chair;v=v1;g=meta.k8s.io", 406, "Status", "v1"},
      {"GET", kMaps, "", "text/html, application/json;q=0.1, */*;q=0.5", 200, "ConfigMapList",
       "v1"},
      {"POST", kReview, kAsk, "application/json;as=Table;v=v1;g=meta.k8s.io", 406, "Status", "v1"},
      {"POST", kReview, kAsk, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", 201,
       "SelfSubjectAccessReview", "authorization.k8s.io/v1"},
  };
  for (const Row& row : kRows) {
    auto r = s.send(row.method, row.target, row.body, {{"Accept", row.accept}});
    EXPECT_EQ(r.status, row.code) << row.accept << r.body;
    auto tree = parse_json(r.body);
    ASSERT_TRUE(tree.ok()) << r.body;
    EXPECT_EQ(tree->root["kind"].as_string(), row.kind) << row.accept;
    EXPECT_EQ(tree->root["apiVersion"].as_string(), row.api_version) << row.accept;
  }
  auto beta =
      s.send("GET", kMaps, "", {{"Accept", "application/json;as=Table;v=v1beta1;g=meta.k8s.io"}});
  EXPECT_NE(beta.body.find(
                R"("object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1beta1")"),
            std::string::npos);
}

TEST(Front, HumansGetIndentedJson) {
  Served s;
  s.send("POST", kMaps, config_map("a"));
  const std::string one = std::string(kMaps) + "/a";
  struct Row {
    const char* target;
    const char* agent;
    bool indented;
  };
  const std::string wanted = one + "?pretty=1", unwanted = one + "?pretty=false",
                    missing = std::string(kMaps) + "/none", table = std::string(kMaps) + "?limit=1";
  const Row kRows[] = {
      {one.c_str(), "curl/8.5.0", true},
      {one.c_str(), "Wget/1.21", true},
      {one.c_str(), "Mozilla/5.0 (X)", true},
      {one.c_str(), "kubectl/v1.36.0", false},
      {one.c_str(), "xcurl", false},
      {wanted.c_str(), "kubectl", true},
      {unwanted.c_str(), "curl/8", false},
      {missing.c_str(), "curl/8", true},
      {kMaps, "curl/8", true},
      {kMaps, "", false},
      {table.c_str(), "curl/8", true},
      {"/apis", "curl/8", true},
      {"/api/v1", "curl/8", true},
      {"/api/v1", "Go-http-client/2.0", false},
  };
  for (const Row& row : kRows) {
    auto r = s.send("GET", row.target, "", {{"User-Agent", row.agent}});
    EXPECT_EQ(r.body.starts_with("{\n  \""), row.indented) << row.target << " " << row.agent;
    EXPECT_TRUE(parse_json(r.body).ok());
  }
}

TEST(Front, Timeouts) {
  Served s;
  const std::string maps = kMaps;
  const std::pair<const char*, const char*> kBad[] = {
      {"invalid", "time: invalid duration \"invalid\""},
      {"10", "time: missing unit in duration \"10\""},
      {"1x", "time: unknown unit \"x\" in duration \"1x\""},
  };
  for (auto [text, why] : kBad) {
    auto r = s.send("GET", maps + "?timeout=" + text);
    EXPECT_EQ(r.status, 400);
    auto status = parse_json(r.body);
    EXPECT_EQ(status->root["message"].as_string(),
              std::string("invalid timeout specified in the request URL - ") + why);
  }
  for (const char* fine : {"5s", "0s", "2h", ""}) {
    EXPECT_EQ(s.send("GET", maps + "?timeout=" + fine).status, 200) << fine;
  }
}

TEST(Front, HealthByName) {
  Served s;
  const char* kNames[] = {"ping",
                          "log",
                          "etcd",
                          "poststarthook/start-apiserver-admission-initializer",
                          "poststarthook/crd-informer-synced",
                          "poststarthook/bootstrap-controller",
                          "poststarthook/scheduling/bootstrap-system-priority-classes",
                          "autoregister-completion",
                          "poststarthook/storage-readiness"};
  for (const char* endpoint : {"/healthz", "/livez", "/readyz"}) {
    std::string report = s.send("GET", std::string(endpoint) + "?verbose=1").body;
    for (const char* name : kNames) {
      EXPECT_NE(report.find("[+]" + std::string(name) + " ok\n"), std::string::npos) << name;
      EXPECT_EQ(s.send("GET", std::string(endpoint) + "/" + name).body, "ok") << name;
    }
    const bool ready = std::string(endpoint) == "/readyz";
    for (const char* name : {"informer-sync", "shutdown"}) {
      EXPECT_EQ(report.find("[+]" + std::string(name)) != std::string::npos, ready) << name;
      EXPECT_EQ(s.send("GET", std::string(endpoint) + "/" + name).status, ready ? 200 : 404);
    }
  }
  // What a part says of itself is shown, and taken back.
  s.api->health().report("etcd", Status::unavailable("disk full"));
  s.api->health().report("of-its-own", Status::unavailable("broken"));
  auto bad = s.send("GET", "/livez");
  EXPECT_EQ(bad.status, 500);
  EXPECT_NE(bad.body.find("[-]etcd failed: reason withheld\n"), std::string::npos);
  EXPECT_TRUE(bad.body.ends_with("livez check failed\n"));
  EXPECT_EQ(s.send("GET", "/livez/etcd").body, "internal server error: disk full\n");
  auto excused = s.send("GET", "/livez?verbose&exclude=etcd&exclude=of-its-own&exclude=nothing");
  EXPECT_EQ(excused.status, 200);
  EXPECT_NE(excused.body.find("[+]etcd excluded: ok\n"), std::string::npos);
  EXPECT_NE(excused.body.find(
                "warn: some health checks cannot be excluded: no matches for \"nothing\"\n"),
            std::string::npos);
  s.api->health().report("etcd", Status());
  s.api->health().report("of-its-own", Status());
  EXPECT_EQ(s.send("GET", "/livez").body, "ok");
}

TEST(Front, Patch) {
  Served s;
  s.send("POST", kMaps, config_map("a"));
  auto merged = s.send("PATCH", std::string(kMaps) + "/a", R"({"data":{"k":"w"}})",
                       {{"Content-Type", "application/merge-patch+json"}});
  EXPECT_EQ(merged.status, 200) << merged.body;
  EXPECT_NE(merged.body.find(R"("data":{"k":"w"})"), std::string::npos);
  auto odd = s.send("PATCH", std::string(kMaps) + "/a", "{}", {{"Content-Type", "text/plain"}});
  EXPECT_EQ(odd.status, 415);
}

struct Bad {
  const char* what;
  const char *method, *target, *body, *content_type;
  int code;
  const char *reason, *message;  // the message begins so
};

// CVE-2019-11247, CVE-2022-3162: what is authorized by its path is what is served.
TEST(Front, APathIsOfItsKindsScopeAndOfNoOther) {
  Served s;
  s.send("POST", kMaps, config_map("x"));
  const char* const kRbac = "/apis/rbac.authorization.k8s.io/v1";
  for (const std::string& path : {
           std::string("/api/v1/namespaces/default/nodes"),
           std::string("/api/v1/namespaces/default/nodes/n"),
           std::string(kRbac) + "/namespaces/default/clusterroles",
           std::string(kRbac) + "/namespaces/default/clusterroles/cluster-admin",
           std::string("/api/v1/configmaps/x"),
           std::string("/api/v1/namespaces//configmaps/x"),
           std::string("/api/v1/namespaces/default/secrets/..%2fconfigmaps%2fx"),
           std::string("/api/v1/namespaces/default/secrets/%2e%2e/configmaps/x"),
           std::string("/api/v1/namespaces/default/../default/configmaps/x"),
       }) {
    const net::Response r = s.send("GET", path);
    EXPECT_GE(r.status, 400) << path;
    EXPECT_EQ(r.body.find("\"data\""), std::string::npos) << path;
  }
}

TEST(Front, BadInput) {
  Served s;
  const char* kTaken = "/api/v1/namespaces/default/configmaps/taken";
  s.send("POST", kMaps, config_map("taken"));
  const Bad kCases[] = {
      {"unknown field", "POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
       R"({"metadata":{"name":"x"},"spec":{}})", "application/json", 400, "BadRequest",
       "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: "
       "unknown field \"spec\""},
      {"wrong type", "POST", kMaps, R"({"metadata":{"name":5}})", "application/json", 400,
       "BadRequest",
       "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot "
       "unmarshal number into Go struct field ObjectMeta.metadata.name of type string"},
      {"no name", "POST", kMaps, R"({"data":{}})", "application/json", 422, "Invalid",
       "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is "
       "required"},
      {"invalid label", "POST", kMaps, R"({"metadata":{"name":"x","labels":{"a":"-"}}})",
       "application/json", 422, "Invalid",
       "ConfigMap \"x\" is invalid: metadata.labels: Invalid value"},
      {"broken JSON", "POST", kMaps, "{", "application/json", 400, "BadRequest", ""},
      {"broken YAML", "POST", kMaps, "a: [", "application/yaml", 400, "BadRequest", ""},
      {"media type", "POST", kMaps, "{}", "text/plain", 415, "UnsupportedMediaType",
       "the body of the request was in an unknown format"},
      {"taken", "POST", kMaps, R"({"metadata":{"name":"taken"}})", "application/json", 409,
       "AlreadyExists", "configmaps \"taken\" already exists"},
      {"no namespace", "POST", "/api/v1/namespaces/no/configmaps", R"({"metadata":{"name":"x"}})",
       "application/json", 404, "NotFound", "namespaces \"no\" not found"},
      {"other namespace", "POST", kMaps, R"({"metadata":{"name":"x","namespace":"y"}})",
       "application/json", 400, "BadRequest",
       "the namespace of the provided object does not match the namespace sent on the request"},
      {"absent", "GET", "/api/v1/namespaces/default/configmaps/x", "", "", 404, "NotFound",
       "configmaps \"x\" not found"},
      {"selector", "GET", "/api/v1/namespaces/default/configmaps?labelSelector=a%20b", "", "", 400,
       "BadRequest", "unable to parse requirement"},
      {"version", "GET", "/api/v1/namespaces/default/configmaps?resourceVersion=x", "", "", 400,
       "BadRequest", ""},
      {"future", "GET", "/api/v1/namespaces/default/configmaps?resourceVersion=99999", "", "", 504,
       "Timeout", "Timeout: Too large resource version: 99999, current: "},
      {"token", "GET", "/api/v1/namespaces/default/configmaps?continue=zz", "", "", 400,
       "BadRequest", "invalid continue token: continue key is not valid: "},
      {"token's version", "GET",
       // {"v":"meta.k8s.io/v9","rv":2,"start":"zz"}
       "/api/v1/namespaces/default/"
       "configmaps?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjkiLCJydiI6Miwic3RhcnQiOiJ6eiJ9",
       "", "", 400, "BadRequest",
       "invalid continue token: continue key is not valid: server does not recognize this encoded "
       "version meta.k8s.io/v9"},
      {"limit", "GET", "/api/v1/namespaces/default/configmaps?limit=x", "", "", 400, "BadRequest",
       "strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"timeout", "GET", "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=x", "", "",
       400, "BadRequest", "strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"initial events of a list", "GET",
       "/api/v1/namespaces/default/configmaps?sendInitialEvents=true", "", "", 422, "Invalid",
       "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden"},
      {"another kind", "POST", kMaps, R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}})",
       "application/json", 400, "BadRequest",
       "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to "
       "(core.ConfigMap): unknown conversion"},
      {"an unknown version", "POST", kMaps, R"({"apiVersion":"v2","metadata":{"name":"x"}})",
       "application/json", 400, "BadRequest",
       "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is "
       "registered for version \"v2\" in scheme "},
      {"another version", "POST",
       "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
       R"({"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler"})", "application/json",
       400, "BadRequest",
       "the API version in the data (autoscaling/v1) does not match the expected API version "
       "(autoscaling/v2)"},
      {"a list", "POST", kMaps, "[]", "application/json", 400, "BadRequest",
       "the object provided is unrecognized (must be of type ConfigMap): couldn't get "
       "version/kind; "
       "json parse error: json: cannot unmarshal array into Go value of type struct"},
      {"nothing", "POST", kMaps, "", "application/json", 400, "BadRequest",
       "the object provided is unrecognized (must be of type ConfigMap): couldn't get "
       "version/kind; "
       "json parse error: unexpected end of JSON input (<empty>)"},
      {"delete with another kind", "DELETE", kTaken, R"({"kind":"Pod"})", "application/json", 400,
       "BadRequest", "no kind \"Pod\" is registered"},
      {"delete for x seconds", "DELETE",
       "/api/v1/namespaces/default/configmaps/taken?gracePeriodSeconds=x", "", "", 400,
       "BadRequest", "strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"merge patch, wrong type", "PATCH", kTaken, R"({"data":7})", "application/merge-patch+json",
       422, "Invalid", " \"\" is invalid: patch: Invalid value: \"{"},
      {"merge patch, another kind", "PATCH", kTaken, R"({"kind":"Pod"})",
       "application/merge-patch+json", 422, "Invalid", " \"\" is invalid: patch: Invalid value: "},
      {"merge patch, a list", "PATCH", kTaken, "[]", "application/merge-patch+json", 400,
       "BadRequest",
       "error decoding patch: json: cannot unmarshal array into Go value of type map[string]"},
      {"strategic patch, wrong type", "PATCH", kTaken, R"({"data":7})",
       "application/strategic-merge-patch+json", 422, "Invalid",
       " \"\" is invalid: patch: Invalid value: \"map[data:7]\": cannot restore map from int64"},
      {"strategic patch, unknown field", "PATCH",
       "/api/v1/namespaces/default/configmaps/taken?fieldValidation=Strict", R"({"foo":[1,"a"]})",
       "application/strategic-merge-patch+json", 422, "Invalid",
       " \"\" is invalid: patch: Invalid value: \"map[foo:[1 a]]\": strict decoding error: "
       "unknown field \"foo\""},
      {"JSON patch, absent path", "PATCH", kTaken, R"([{"op":"remove","path":"/nope"}])",
       "application/json-patch+json", 422, "Invalid",
       "the server rejected our request due to an error in our request"},
      {"JSON patch, no list", "PATCH", kTaken, "{}", "application/json-patch+json", 400,
       "BadRequest",
       "error decoding patch: json: cannot unmarshal object into Go value of type "
       "[]handlers.jsonPatchOp"},
      {"patch to an old version", "PATCH", kTaken, R"({"metadata":{"resourceVersion":"1"}})",
       "application/merge-patch+json", 409, "Conflict",
       "Operation cannot be fulfilled on configmaps \"taken\": the object has been modified"},
      {"unknown resource", "GET", "/api/v1/namespaces/default/unicorns", "", "", 404, "NotFound",
       "the server could not find the requested resource"},
      {"unknown version", "GET", "/apis/apps/v9/deployments", "", "", 404, "NotFound",
       "the server could not find the requested resource"},
      {"method of a path", "POST", "/version", "{}", "application/json", 405, "MethodNotAllowed",
       "the server does not allow this method on the requested resource"},
      {"method", "PUT", "/api/v1/namespaces/default/configmaps", "{}", "application/json", 405,
       "MethodNotAllowed", "the server does not allow this method on the requested resource"},
  };
  const int64_t before = s.store->revision();
  for (const Bad& c : kCases) {
    SCOPED_TRACE(c.what);
    net::Headers h;
    if (*c.content_type) h.add("Content-Type", c.content_type);
    auto got = s.send(c.method, c.target, c.body, h);
    EXPECT_EQ(got.status, c.code) << got.body;
    auto status = parse_json(got.body);
    ASSERT_TRUE(status.ok()) << got.body;
    EXPECT_EQ(status->root["kind"].as_string(), "Status");
    EXPECT_EQ(status->root["status"].as_string(), "Failure");
    EXPECT_EQ(status->root["code"].as_int(), c.code);
    EXPECT_EQ(status->root["reason"].as_string(), c.reason) << got.body;
    EXPECT_TRUE(status->root["message"].as_string().starts_with(c.message)) << got.body;
  }
  EXPECT_EQ(s.store->revision(), before) << "nothing is stored";
  auto large = s.send("POST", kMaps, std::string(4 << 20, 'x'));
  EXPECT_EQ(large.status, 413);
}

// What a body is said to be counts in either encoding, and is refused in the same words.
TEST(Front, ABodyOfAnotherKindIsRefusedInEitherEncoding) {
  Served s;
  struct Case {
    const char *target, *api, *kind;
  };
  const char* kScalers = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  for (const Case& c :
       {Case{kMaps, "v1", "Pod"}, Case{kMaps, "v2", "ConfigMap"}, Case{kMaps, "v1", "Unicorn"},
        Case{kScalers, "autoscaling/v1", "HorizontalPodAutoscaler"}}) {
    SCOPED_TRACE(c.kind);
    const std::string json =
        "{\"apiVersion\":\"" + std::string(c.api) + "\",\"kind\":\"" + c.kind + "\"}";
    auto in_json = s.send("POST", c.target, json, {{"Content-Type", "application/json"}});
    auto in_protobuf = s.send("POST", c.target, wrap_protobuf(c.api, c.kind, ""),
                              {{"Content-Type", "application/vnd.kubernetes.protobuf"}});
    EXPECT_EQ(in_protobuf.status, 400);
    EXPECT_EQ(in_protobuf.body, in_json.body);
  }
}

TEST(Front, UnknownFieldsWarn) {
  Served s;
  auto made = s.send("POST", kMaps, R"({"metadata":{"name":"x"},"spec":{}})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.headers.get("Warning").value_or(""), "299 - \"unknown field \\\"spec\\\"\"");
}

std::vector<std::string> warnings_of(const net::Headers& headers) {
  std::vector<std::string> out;
  for (const auto& [name, value] : headers)
    if (name == "Warning" || name == "warning") out.push_back(value);
  return out;
}

TEST(Front, WarningsAreSaidOnceAndWithinBounds) {
  Served s;
  std::string body = R"({"metadata":{"name":"x"})";
  for (int i = 0; i < 40; ++i) body += ",\"" + std::string(500, 'a') + std::to_string(i) + "\":1";
  auto made = s.send("POST", kMaps, body + "}");
  EXPECT_EQ(made.status, 201) << made.body;
  auto told = warnings_of(made.headers);
  EXPECT_EQ(told.size(), 16u) << "4096 characters, at 256 a warning";
  const std::string start = "299 - \"unknown field \\\"";
  for (const std::string& w : told) {
    EXPECT_TRUE(w.starts_with(start)) << w;
    EXPECT_EQ(w.size(), std::string_view("299 - \"\\\"").size() + 256) << w;
  }
  auto twice = s.send("POST", kMaps, R"({"metadata":{"name":"y"},"spec":{},"other":1,"other":2})");
  EXPECT_EQ(twice.status, 201) << twice.body;
  auto once = warnings_of(twice.headers);
  for (size_t i = 0; i < once.size(); ++i)
    EXPECT_EQ(std::count(once.begin(), once.end(), once[i]), 1) << once[i];
}

TEST(Front, WhatNothingActsOnIsSaid) {
  Served s;
  auto set = s.send(
      "POST", "/apis/apps/v1/namespaces/default/statefulsets",
      R"({"metadata":{"name":"x"},"spec":{"serviceName":"x","selector":{"matchLabels":{"a":"b"}},)"
      R"("template":{"metadata":{"labels":{"a":"b"}},"spec":{"securityContext":)"
      R"({"seLinuxChangePolicy":"Recursive"},"containers":[{"name":"c","image":"i"}]}}}})");
  EXPECT_EQ(set.status, 201) << set.body;
  EXPECT_THAT(
      warnings_of(set.headers),
      testing::Contains("299 - \"spec.template.spec.securityContext.seLinuxChangePolicy: accepted "
                        "and stored, but this version of keles does not act on it\""));
}

// Once each, before and beside whatever the answer is.
TEST(Front, Warnings) {
  Served s;
  constexpr const char* kServices = "/api/v1/namespaces/default/services";
  constexpr const char* kNotes = "/api/v1/namespaces/default/endpoints";
  const std::string service =
      R"({"metadata":{"name":"w"},"spec":{"type":"ExternalName","externalName":"a.b",)"
      R"("externalIPs":["10.1.2.3"]}})";
  const std::string ignored =
      "299 - \"spec.externalIPs is ignored when spec.type is \\\"ExternalName\\\"\"";
  auto made = s.send("POST", kServices, service);
  EXPECT_EQ(made.status, 201) << made.body;
  auto count = [&](const net::Headers& h) {
    auto all = warnings_of(h);
    return std::count(all.begin(), all.end(), ignored);
  };
  EXPECT_EQ(count(made.headers), 1);
  auto again = s.send("POST", kServices, service);
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(count(again.headers), 1);
  auto list = s.send("GET", kNotes);
  EXPECT_EQ(list.headers.get("Warning").value_or(""),
            "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 "
            "EndpointSlice\"");
  EXPECT_FALSE(s.send("GET", kServices).headers.get("Warning"));
}

TEST(Front, WhoMayDoWhat) {
  Served s;
  auto nobody = s.connect(std::nullopt);
  auto refused = s.send("GET", kMaps, "", {}, nobody.get());
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("configmaps is forbidden: User \\\"system:anonymous\\\" cannot list "
                              "resource \\\"configmaps\\\" in API group \\\"\\\" in the namespace "
                              "\\\"default\\\""),
            std::string::npos)
      << refused.body;
  EXPECT_EQ(s.send("GET", "/version", "", {}, nobody.get()).status, 200);
  EXPECT_EQ(s.send("GET", kMaps, "", {{"Authorization", "Bearer nonsense"}}, nobody.get()).status,
            401);
  auto user = s.connect(s.certificate("jane", false));
  EXPECT_EQ(s.send("GET", kMaps, "", {}, user.get()).status, 403);
  auto late = s.connect(s.certificate("jane", false, {}, -24h));
  EXPECT_EQ(s.send("GET", kMaps, "", {}, late.get()).status, 401);
  auto review = s.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                       R"({"spec":{"resourceAttributes":{"verb":"list","resource":"pods"}}})");
  EXPECT_EQ(review.status, 201) << review.body;
  EXPECT_NE(review.body.find("\"allowed\":true"), std::string::npos);
}

Task<Result<std::string>> read_lines(Context ctx, net::HttpClient* client, net::Request request,
                                     size_t lines) {
  auto stream = co_await client->open(ctx, std::move(request));
  if (!stream.ok()) co_return stream.status();
  std::string out;
  while (static_cast<size_t>(std::count(out.begin(), out.end(), '\n')) < lines) {
    auto piece = co_await (*stream)->read(ctx);
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) break;
    out += *piece;
  }
  co_return out;
}

TEST(Front, Watch) {
  Served s;
  s.send("POST", kMaps, config_map("a"));
  auto request = [](std::string query) {
    net::Request r;
    r.method = "GET";
    r.path = kMaps;
    r.query = std::move(query);
    return r;
  };
  auto first = s.run(read_lines(s.ctx.with_timeout(5s), s.client.get(), request("watch=true"), 1));
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  EXPECT_TRUE(first->starts_with(R"({"type":"ADDED","object":{"kind":"ConfigMap")")) << *first;
  // What a list with a bookmark at its end looks like (sendInitialEvents).
  auto streamed =
      s.run(read_lines(s.ctx.with_timeout(5s), s.client.get(),
                       request("watch=1&allowWatchBookmarks=true&sendInitialEvents=true&"
                               "resourceVersionMatch=NotOlderThan"),
                       2));
  ASSERT_TRUE(streamed.ok());
  EXPECT_NE(streamed->find(R"("k8s.io/initial-events-end":"true")"), std::string::npos)
      << *streamed;
  s.store->compact(s.store->revision());
  auto expired = s.run(
      read_lines(s.ctx.with_timeout(5s), s.client.get(), request("watch=1&resourceVersion=1"), 1));
  ASSERT_TRUE(expired.ok());
  EXPECT_TRUE(expired->starts_with(R"({"type":"ERROR","object":{"kind":"Status")")) << *expired;
  EXPECT_NE(expired->find("too old resource version: 1 ("), std::string::npos);
  EXPECT_NE(expired->find("\"code\":410"), std::string::npos);
  auto over = s.run(
      read_lines(s.ctx.with_timeout(5s), s.client.get(), request("watch=1&timeoutSeconds=1"), 99));
  EXPECT_TRUE(over.ok()) << over.status().to_string();
}

// Adds one to a counter, `times` times, as users do: read, change, write, and again on a conflict.
Task<void> count_up(Context ctx, net::Endpoint endpoint, int times, int* conflicts) {
  auto client = net::HttpClient::create(ctx.loop(), std::move(endpoint));
  const std::string path = std::string(kMaps) + "/counter";
  for (int done = 0; done < times;) {
    net::Request get;
    get.method = "GET";
    get.path = path;
    auto got = co_await client->send(ctx, std::move(get));
    if (!got.ok()) co_return;
    auto tree = parse_json(got->body);
    int64_t n = std::stoll(std::string(tree->root["data"]["n"].as_string()));
    net::Request put;
    put.method = "PUT";
    put.path = path;
    put.headers.add("Content-Type", "application/json");
    put.body = R"({"metadata":{"name":"counter","resourceVersion":")" +
               std::string(tree->root["metadata"]["resourceVersion"].as_string()) +
               R"("},"data":{"n":")" + std::to_string(n + 1) + "\"}}";
    auto answer = co_await client->send(ctx, std::move(put));
    if (!answer.ok()) co_return;
    if (answer->status == 200) ++done;
    if (answer->status == 409) ++*conflicts;
  }
}

Task<bool> count_together(Context ctx, net::Endpoint endpoint, int workers, int times,
                          int* conflicts) {
  TaskGroup group(ctx.loop());
  for (int i = 0; i < workers; ++i) group.spawn(count_up(ctx, endpoint, times, conflicts));
  co_await group.join();
  co_return true;
}

// Several threads, a durable store: no update is lost, and a watcher sees every one, in order.
TEST(Front, ConcurrentUpdatesOnManyLoops) {
  TemporaryDirectory directory = *TemporaryDirectory::make();
  auto store = open_embedded_store({directory.path()});
  ASSERT_TRUE(store.ok()) << store.status().to_string();
  Served authority;  // for its loop and its certificates
  RealLoop& main_loop = *authority.loop;
  Context ctx = authority.ctx;
  auto run = [&](auto task) { return run_task(main_loop, std::move(task)); };
  ApiServer api(store->get(), {});
  ASSERT_TRUE(run(api.start(ctx)).ok());
  Front front(&api, {});
  std::vector<std::unique_ptr<RealLoop>> loops;
  std::vector<std::thread> threads;
  std::vector<Loop*> serving;
  for (int i = 0; i < 3; ++i) {
    loops.push_back(make_real_loop());
    serving.push_back(loops.back().get());
    threads.emplace_back([loop = loops.back().get()] { loop->run(); });
  }
  net::ServerOptions o;
  o.tls = authority.certificate("kube-apiserver", true);
  o.client_ca_pem = authority.ca.certificate_pem;
  auto http = net::Server::start(serving, o, front.handler());
  ASSERT_TRUE(http.ok());
  net::Endpoint e;
  e.host = "127.0.0.1";
  e.port = (*http)->port();
  net::ClientTls tls;
  tls.ca_pem = authority.ca.certificate_pem;
  tls.identity = authority.admin();
  e.tls = tls;
  auto client = net::HttpClient::create(main_loop, e);
  net::Request make;
  make.method = "POST";
  make.path = kMaps;
  make.headers.add("Content-Type", "application/json");
  make.body = R"({"metadata":{"name":"counter"},"data":{"n":"0"}})";
  auto made = run(client->send(ctx, std::move(make)));
  ASSERT_EQ(made->status, 201) << made->body;
  int conflicts = 0;
  constexpr int kWorkers = 8, kTimes = 25;
  run(count_together(ctx.with_timeout(60s), e, kWorkers, kTimes, &conflicts));

  net::Request watch;
  watch.method = "GET";
  watch.path = kMaps;
  watch.query =
      "watch=1&resourceVersion=" +
      std::string(parse_json(made->body)->root["metadata"]["resourceVersion"].as_string());
  auto lines = run(read_lines(ctx.with_timeout(10s), client.get(), watch, kWorkers * kTimes));
  ASSERT_TRUE(lines.ok()) << lines.status().to_string();
  int64_t expected = 0;
  std::istringstream in(*lines);
  for (std::string line; std::getline(in, line);) {
    auto event = parse_json(line);
    ASSERT_TRUE(event.ok()) << line;
    EXPECT_EQ(event->root["type"].as_string(), "MODIFIED");
    EXPECT_EQ(event->root["object"]["data"]["n"].as_string(), std::to_string(++expected));
  }
  EXPECT_EQ(expected, kWorkers * kTimes);
  EXPECT_GT(conflicts, 0) << "the workers did not meet";
  client.reset();
  run((*http)->stop(ctx.with_timeout(2s)));
  for (auto& loop : loops) loop->stop();
  for (auto& t : threads) t.join();
  EXPECT_TRUE(run((*store)->close(ctx)).ok());
}

TEST(RequestInfo, Paths) {
  struct Case {
    const char *method, *path, *query, *want;
  };
  const Case kCases[] = {
      {"GET", "/api/v1/pods", "", "list /v1 pods//"},
      {"GET", "/api/v1/pods", "watch=true", "watch /v1 pods//"},
      {"GET", "/api/v1/namespaces", "", "list /v1 namespaces//"},
      {"GET", "/api/v1/namespaces/x", "", "get /v1 namespaces/x/"},
      {"PUT", "/api/v1/namespaces/x/finalize", "", "update /v1 namespaces/x/finalize"},
      {"POST", "/api/v1/namespaces/x/pods", "", "create /v1 x pods//"},
      {"POST", "/api/v1/namespaces/x/pods/p/exec", "", "create /v1 x pods/p/exec"},
      {"DELETE", "/apis/apps/v1/namespaces/x/deployments", "",
       "deletecollection apps/v1 x deployments//"},
      {"PATCH", "/apis/apps/v1/namespaces/x/deployments/d", "", "patch apps/v1 x deployments/d/"},
      {"GET", "/healthz", "", "get /healthz"},
      {"GET", "/apis/apps/v1", "", "get /apis/apps/v1"},
      {"GET", "/api/v1/watch/namespaces/x/pods", "", "watch /v1 x pods//"},
      {"POST", "/api/v1/watch/namespaces/x/pods/p", "", "watch /v1 x pods/p/"},
      {"DELETE", "/api/v1/proxy/namespaces/x/pods/p", "", "proxy /v1 x pods/p/"},
  };
  for (const Case& c : kCases) {
    RequestInfo i = parse_request_info(c.method, c.path, Query::parse(c.query));
    std::string got = i.verb + " ";
    if (i.is_resource) {
      got += i.group + "/" + i.version + " " + (i.ns.empty() ? "" : i.ns + " ") + i.resource + "/" +
             i.name + "/" + i.subresource;
    } else {
      got += i.path;
    }
    EXPECT_EQ(got, c.want);
  }
  auto proxied = parse_request_info("GET", "/api/v1/nodes/n/proxy/a/b", {});
  EXPECT_EQ(proxied.rest, "/a/b");
}

}  // namespace
}  // namespace keles::server
