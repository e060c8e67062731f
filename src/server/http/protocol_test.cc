// The protocol beside the objects: forms, codes and words of answers, for which clients were
// written elsewhere. Over real sockets.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "net/inflate.h"
#include "server/http/front.h"
#include "server/http/options.h"
#include "server/http/served_api.h"

namespace keles::server {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";
constexpr std::string_view kMerge = "application/merge-patch+json";

std::string_view header(const net::Response& r, std::string_view name) {
  return r.headers.get(name).value_or(std::string_view());
}

struct Protocol : ServedApi {
  std::unique_ptr<net::HttpClient> client = connect(admin());

  net::Response send(std::string method, const std::string& target, std::string body = "",
                     net::Headers headers = {}) {
    return ServedApi::send(client.get(),
                           request(std::move(method), target, std::move(body), std::move(headers)));
  }
  Document tree(const net::Response& r) {
    const bool yaml = header(r, "Content-Type") == "application/yaml";
    auto d = yaml ? parse_yaml(r.body) : parse_json(r.body);
    EXPECT_TRUE(d.ok()) << r.status << " " << r.body;
    return d.ok() ? std::move(*d) : Document();
  }
  std::string message(const net::Response& r) {
    return std::string(tree(r).root["message"].as_string());
  }
  // Makes the object, and shows how the server has it.
  Document make(const std::string& target, std::string body) {
    auto r = send("POST", target, std::move(body));
    EXPECT_EQ(r.status, 201) << r.body;
    return tree(r);
  }
  void make_map(const std::string& name, const std::string& more = "") {
    make(kMaps, R"({"metadata":{"name":")" + name + "\"" + more + "}}");
  }
  // The first lines of a watch, until `lines` have come or it ends.
  std::vector<Document> watch(std::string query, size_t lines, std::string path = kMaps) {
    net::Request r;
    r.method = "GET";
    r.path = std::move(path);
    r.query = std::move(query);
    auto text = run(read_lines(ctx.with_timeout(60s), client.get(), std::move(r), lines));
    EXPECT_TRUE(text.ok()) << text.status().to_string();
    std::vector<Document> out;
    if (!text.ok()) return out;
    for (size_t at = 0; at < text->size() && out.size() < lines;) {
      const size_t end = std::min(text->find('\n', at), text->size());
      auto d = parse_json(std::string_view(*text).substr(at, end - at));
      EXPECT_TRUE(d.ok()) << *text;
      if (d.ok()) out.push_back(std::move(*d));
      at = end + 1;
    }
    return out;
  }
  static Task<Result<std::string>> read_lines(Context ctx, net::HttpClient* client,
                                              net::Request request, size_t lines) {
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
};

// --- forms
// ----------------------------------------------------------------------------------------

TEST(Negotiation, WhatNobodyCanAnswerIsRefusedInTheRightWords) {
  Protocol s;
  s.make_map("a");
  const std::string one = std::string(kMaps) + "/a";
  const std::string router =
      "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
      "application/vnd.kubernetes.protobuf";
  const std::string streams =
      ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
  const std::string types =
      "only the following media types are accepted: application/json, application/yaml, "
      "application/vnd.kubernetes.protobuf";
  struct Row {
    std::string target, accept, message;
  };
  const Row kRows[] = {
      {one, "text/html", router},
      {kMaps, "text/html", router + streams},
      {one, "application/*", router},  // the router knows no such wildcard
      {one, "application/json;as=Chair;g=meta.k8s.io;v=v1", types},
      {one, "application/json;as=Table;g=meta.k8s.io;v=v2", types},
      {one, "application/json;g=meta.k8s.io", types},
      {one, "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", types},
      {one, "application/json;stream=other", types},
      {kMaps, "application/yaml;stream=watch", types},
      {one, "application/json;sv=v9", types},
      {std::string(kMaps) + "?watch=1", "application/yaml",
       "only the following media types are accepted: application/json;stream=watch, "
       "application/vnd.kubernetes.protobuf;stream=watch"},
      {kMaps, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
       "you requested PartialObjectMetadata, but the requested object is a list "
       "(*core.ConfigMapList)"},
      {one, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
       "you requested PartialObjectMetadataList, but the requested object is not a list "
       "(*core.ConfigMap)"},
      {"/apis", "text/html", router},
      {"/api/v1", "application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v2", types},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.target + " " + row.accept);
    auto r = s.send("GET", row.target, "", {{"Accept", row.accept}});
    EXPECT_EQ(r.status, 406);
    EXPECT_EQ(s.message(r), row.message);
    EXPECT_EQ(s.tree(r).root["reason"].as_string(), "NotAcceptable");
  }
  for (const char* fine :
       {"*/*", "application/json;profile=x", "application/json;stream=watch",
        "application/json;sv=v1", "application/yaml", "application/vnd.kubernetes.protobuf"}) {
    EXPECT_EQ(s.send("GET", one, "", {{"Accept", fine}}).status, 200) << fine;
  }
}

// A Status has no columns and no metadata: its form is chosen as if no other shape had been asked
// for, and who takes nothing else is shown indented JSON.
TEST(Negotiation, ErrorsHaveAFormOfTheirOwn) {
  Protocol s;
  const std::string none = std::string(kMaps) + "/none";
  struct Row {
    const char *accept, *type, *begins;
  };
  const Row kRows[] = {
      {"application/json", "application/json", "{\"kind\":\"Status\""},
      {"application/yaml", "application/yaml", "apiVersion: v1\n"},
      {"application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf", "k8s"},
      {"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
       "application/json",
       "application/json", "{\"kind\":\"Status\""},
      {"application/json;as=Table;g=meta.k8s.io;v=v1", "application/json",
       "{\n  \"kind\": \"Status\""},
      {"text/html", "application/json", "{\n  \"kind\": \"Status\""},
  };
  for (const Row& row : kRows) {
    auto r = s.send("GET", none, "", {{"Accept", row.accept}});
    EXPECT_EQ(header(r, "Content-Type"), row.type) << row.accept;
    EXPECT_TRUE(r.body.starts_with(row.begins)) << row.accept << r.body;
  }
}

TEST(Negotiation, TablesShowWhatIsAskedFor) {
  Protocol s;
  s.make_map("a");
  const net::Headers table{{"Accept", "application/json;as=Table;g=meta.k8s.io;v=v1"}};
  auto object = [&](const char* include) {
    auto r = s.send("GET", std::string(kMaps) + "/a?includeObject=" + include, "", table);
    EXPECT_EQ(r.status, 200) << r.body;
    Document d = s.tree(r);
    return std::string(d.root["rows"].at(0)["object"]["kind"].as_string());
  };
  EXPECT_EQ(object("None"), "");
  EXPECT_EQ(object("Metadata"), "PartialObjectMetadata");
  EXPECT_EQ(object(""), "PartialObjectMetadata");
  EXPECT_EQ(object("Object"), "ConfigMap");
  for (const char* target :
       {"/a?includeObject=All", "?includeObject=All", "?watch=1&includeObject=All"}) {
    auto bad = s.send("GET", std::string(kMaps) + target, "", table);
    EXPECT_EQ(bad.status, 400);
    EXPECT_EQ(
        s.message(bad),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must "
        "be 'Metadata', 'Object', 'None', or empty");
  }
}

// The list says once what its items are.
TEST(Lists, ItemsOfBuiltInKindsSayNoKind) {
  Protocol s;
  for (const char* name : {"b", "c"}) s.make_map(name, R"(,"labels":{"x":"y"})");
  const std::string selected = std::string(kMaps) + "?labelSelector=x%3Dy";
  for (const std::string& target : {std::string(kMaps), selected, selected + "&pretty=1"}) {
    Document list = s.tree(s.send("GET", target));
    EXPECT_EQ(list.root["kind"].as_string(), "ConfigMapList");
    EXPECT_EQ(list.root["apiVersion"].as_string(), "v1");
    EXPECT_GE(list.root["items"].size(), 2U);
    for (const Value& item : list.root["items"].items()) {
      EXPECT_TRUE(item.find("kind") == nullptr && item.find("apiVersion") == nullptr) << target;
      EXPECT_FALSE(item["metadata"]["name"].as_string().empty()) << target;
    }
  }
  auto yaml = s.send("GET", selected, "", {{"Accept", "application/yaml"}});
  auto list = parse_yaml(yaml.body);
  ASSERT_TRUE(list.ok()) << yaml.body;
  EXPECT_EQ(list->root["kind"].as_string(), "ConfigMapList");
  EXPECT_TRUE(list->root["items"].at(0)["kind"].is_null()) << yaml.body;
  // What stands alone, or was made of another kind, says what it is.
  EXPECT_EQ(s.tree(s.send("GET", std::string(kMaps) + "/b")).root["kind"].as_string(), "ConfigMap");
  Document partial = s.tree(
      s.send("GET", kMaps, "",
             {{"Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}}));
  EXPECT_EQ(partial.root["items"].at(0)["kind"].as_string(), "PartialObjectMetadata");
  auto events = s.watch("watch=1&labelSelector=x%3Dy", 1);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].root["object"]["kind"].as_string(), "ConfigMap");
}

// What a list answers, by what it is asked: the number of its objects, or the error. There are ten
// now, and a token after six of them; the state called old is forgotten.
std::string expected_of(int64_t limit, std::string_view token, std::string_view revision,
                        std::string_view match) {
  const bool any = revision == "0", named = !revision.empty() && !any;
  if (!match.empty()) {
    if (revision.empty()) return "resourceVersionMatch is forbidden unless resourceVersion is";
    if (!token.empty()) return "resourceVersionMatch is forbidden when continue is provided";
    if (match == "Some") return "supported values";
    if (match == "Exact" && any) return "is forbidden for resourceVersion \\\"0\\\"";
  }
  if (token == "bad") return "continue key is not valid";
  if (!token.empty() && named) return "specifying resource version is not allowed when using";
  if (revision == "word") return "Invalid value";
  const bool exact = match == "Exact" || (limit > 0 && match.empty());
  if (named && exact) return "The resourceVersion for the provided list is too old.";
  if (!token.empty()) return "4";
  return limit > 0 && !any ? std::to_string(limit) : "10";
}

TEST(Lists, EveryWayToAsk) {
  Protocol s;
  const int64_t old = s.store->revision();
  for (int i = 0; i < 10; ++i) {
    s.make_map("m" + std::to_string(i), R"(,"labels":{"of":"ten"})");
  }
  s.store->compact(s.store->revision());
  s.make_map("other");
  const std::string ten = std::string(kMaps) + "?labelSelector=of%3Dten";
  Document first = s.tree(s.send("GET", ten + "&limit=6"));
  const std::string good(first.root["metadata"]["continue"].as_string());
  ASSERT_FALSE(good.empty());
  for (int64_t limit : {0, 6}) {
    for (const char* token : {"", "good", "bad"}) {
      for (const char* revision : {"", "0", "old", "word"}) {
        for (const char* match : {"", "NotOlderThan", "Exact", "Some"}) {
          const std::string text = std::string(revision) == "old" ? std::to_string(old) : revision;
          std::string target = ten + "&limit=" + std::to_string(limit);
          if (*token) target += "&continue=" + (std::string(token) == "good" ? good : token);
          if (!text.empty()) target += "&resourceVersion=" + text;
          if (*match) target += "&resourceVersionMatch=" + std::string(match);
          auto r = s.send("GET", target);
          const std::string wanted = expected_of(limit, token, revision, match);
          const std::string got =
              r.status == 200 ? std::to_string(s.tree(r).root["items"].size()) : r.body;
          EXPECT_TRUE(r.status == 200 ? got == wanted : got.find(wanted) != std::string::npos)
              << "limit " << limit << " continue " << token << " revision " << revision << " match "
              << match << ": " << got << "; expected " << wanted;
        }
      }
    }
  }
}

std::string inflated(const std::string& bytes) {
  auto gzip = net::Inflater::create("gzip");
  gzip->append(bytes);
  std::string out;
  for (;;) {
    auto some = gzip->next();
    EXPECT_TRUE(some.ok());
    if (!some.ok() || some->empty()) return out;
    out += *some;
  }
}

TEST(Gzip, LargeAnswersToWhoTakesIt) {
  Protocol s;
  auto filled = [](const std::string& name, size_t bytes) {
    return R"({"metadata":{"name":")" + name + R"("},"data":{"k":")" + std::string(bytes, 'x') +
           "\"}}";
  };
  s.make(kMaps, filled("large", 200'000));
  s.make(kMaps, filled("small", 100'000));
  for (int i = 0; i < 20; ++i) s.make(kMaps, filled("many-" + std::to_string(i), 20'000));
  struct Row {
    const char *target, *encoding;
    bool compressed;
  };
  const std::string large = std::string(kMaps) + "/large", small = std::string(kMaps) + "/small",
                    list = kMaps, pages = list + "?limit=2";
  const Row kRows[] = {
      {large.c_str(), "gzip", true},      {large.c_str(), "deflate, gzip", true},
      {large.c_str(), "", false},         {large.c_str(), "deflate", false},
      {large.c_str(), "gzip;q=1", false},  // as upstream reads it
      {small.c_str(), "gzip", false},     {list.c_str(), "gzip", true},
      {list.c_str(), "", false},          {pages.c_str(), "gzip", true},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(row.target) + " " + row.encoding);
    net::Headers plain{{"Accept", "application/json"}}, asked = plain;
    if (*row.encoding) asked.add("Accept-Encoding", row.encoding);
    auto r = s.send("GET", row.target, "", asked);
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(header(r, "Content-Encoding"), row.compressed ? "gzip" : "");
    EXPECT_EQ(header(r, "Vary"), row.compressed ? "Accept-Encoding" : "");
    const std::string whole = s.send("GET", row.target, "", plain).body;
    if (row.compressed) {
      EXPECT_LT(r.body.size(), whole.size() / 10);
      EXPECT_TRUE(inflated(r.body) == whole);
    } else {
      EXPECT_TRUE(r.body == whole);
    }
  }
  // Every form is.
  for (const char* form : {"application/yaml", "application/vnd.kubernetes.protobuf",
                           "application/json;as=Table;g=meta.k8s.io;v=v1"}) {
    const std::string target = list + "?includeObject=Object";
    auto r = s.send("GET", target, "", {{"Accept", form}, {"Accept-Encoding", "gzip"}});
    EXPECT_EQ(header(r, "Content-Encoding"), "gzip") << form;
    EXPECT_TRUE(inflated(r.body) == s.send("GET", target, "", {{"Accept", form}}).body) << form;
  }
}

// --- requests
// -------------------------------------------------------------------------------------

TEST(Methods, OfPathsThatAreThere) {
  Protocol s;
  s.make_map("a");
  struct Row {
    const char *method, *target;
    int code;
  };
  const Row kRows[] = {
      // A list of all namespaces can be read and watched, and that is all.
      {"GET", "/api/v1/configmaps", 200},
      {"POST", "/api/v1/configmaps", 405},
      {"DELETE", "/api/v1/configmaps", 405},
      {"PUT", "/api/v1/configmaps", 405},
      {"GET", "/api/v1/configmaps/a", 404},
      {"GET", "/api/v1/namespaces/default/nodes", 404},
      {"GET", "/apis/authorization.k8s.io/v1/localsubjectaccessreviews", 404},
      {"GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405},
      // Objects and what tells of them take no HEAD.
      {"HEAD", kMaps, 405},
      {"HEAD", "/api/v1/namespaces/default/configmaps/a", 405},
      {"HEAD", "/api/v1", 405},
      {"HEAD", "/apis", 405},
      {"HEAD", "/version", 405},
      {"HEAD", "/healthz", 200},
      {"HEAD", "/openapi/v3", 200},
      {"GET", "/api/v1/namespaces/default/configmaps/a/status", 404},
      {"PUT", "/api/v1/namespaces/default/pods/a/log", 405},
      {"DELETE", "/api/v1/nodes/n/status", 405},
      {"OPTIONS", kMaps, 405},
      // A verb that the path begins with is the request's, whatever its method.
      {"POST", "/api/v1/watch/namespaces/default/configmaps", 405},
      {"DELETE", "/api/v1/watch/namespaces/default/configmaps/a", 405},
      {"GET", "/api/v1/watch", 404},
      {"GET", "/api/v1/proxy/namespaces/default/configmaps/a", 404},
      {"POST", "/api/v1/proxy/namespaces/default/configmaps", 404},
      // Nothing is served beneath a group without a name.
      {"GET", "/apis//v1/namespaces/default/configmaps/a", 404},
  };
  for (const Row& row : kRows) {
    auto r = s.send(row.method, row.target, row.method[0] == 'P' ? "{}" : "");
    EXPECT_EQ(r.status, row.code) << row.method << " " << row.target << " " << r.body;
  }
}

struct BadRequest {
  const char *method, *target, *body, *type;
  int code;
  const char* message;
};

TEST(Options, AllThatIsWrongIsSaid) {
  Protocol s;
  s.make_map("a");
  const BadRequest kRows[] = {
      {"POST", "?fieldManager=a%09b&dryRun=Some&fieldValidation=Perhaps", "{}", "application/json",
       422,
       "CreateOptions.meta.k8s.io \"\" is invalid: [fieldManager: Invalid value: \"a\\tb\": "
       "invalid "
       "character U+0009 (at position 1), dryRun: Unsupported value: [\"Some\"]: supported values: "
       "\"All\", fieldValidation: Unsupported value: \"Perhaps\": supported values: \"\", "
       "\"Ignore\", \"Strict\", \"Warn\"]"},
      {"PATCH", "/a?force=true", "{}", "application/merge-patch+json", 422,
       "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for "
       "non-apply patch"},
      {"PUT", "/a?dryRun=", "{}", "application/json", 422,
       "UpdateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"\"]: supported "
       "values: \"All\""},
      // A deletion has other options; those of writes mean nothing to it.
      {"DELETE", "/a?propagationPolicy=Later&dryRun=Some&fieldValidation=Perhaps", "", "", 422,
       "DeleteOptions.meta.k8s.io \"\" is invalid: [propagationPolicy: Unsupported value: "
       "\"Later\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\", dryRun: "
       "Unsupported value: [\"Some\"]: supported values: \"All\"]"},
      {"DELETE", "/a", R"({"orphanDependents":true,"propagationPolicy":"Orphan"})",
       "application/json", 422,
       "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": "
       "orphanDependents and deletionPropagation cannot be both set"},
      {"DELETE", "", R"({"ignoreStoreReadErrorWithClusterBreakingPotential":true})",
       "application/json", 422,
       "DeleteOptions.meta.k8s.io \"\" is invalid: "
       "ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: is not allowed with "
       "DELETECOLLECTION, try again after removing the option"},
      {"DELETE", "?labelSelector=none%3Dhere&propagationPolicy=Later", "", "", 422,
       "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: "
       "\"Later\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""},
      {"GET", "?limit=99999999999999999999", "", "", 400,
       "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"},
      {"GET", "/a?export=true", "", "", 400,
       "the export parameter, deprecated since v1.14, is no longer supported"},
      {"GET", "/a%25b", "", "", 400, "Name parameter invalid: \"a%b\": may not contain '%'"},
      {"GET", "?sendInitialEvents=true&resourceVersionMatch=Some", "", "", 422,
       "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: "
       "resourceVersionMatch is forbidden unless resourceVersion is provided, "
       "resourceVersionMatch: Unsupported value: \"Some\": supported values: \"Exact\", "
       "\"NotOlderThan\", \"\", sendInitialEvents: Forbidden: sendInitialEvents is forbidden for "
       "list]"},
      {"GET", "?watch=1&resourceVersionMatch=Exact&continue=x", "", "", 422,
       "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: "
       "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, "
       "resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\", "
       "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is "
       "provided]"},
      {"GET", "?watch=1&sendInitialEvents=true", "", "", 422,
       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
       "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
      {"GET", "?resourceVersion=x", "", "", 400,
       "invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: "
       "parsing "
       "\"x\": invalid syntax"},
      {"GET", "/a?resourceVersion=x", "", "", 500,
       "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"},
      {"GET", "?watch=1&resourceVersion=x", "", "", 500,
       "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"},
  };
  for (const BadRequest& row : kRows) {
    SCOPED_TRACE(std::string(row.method) + " " + row.target);
    net::Headers h;
    if (*row.type) h.add("Content-Type", row.type);
    auto r = s.send(row.method, std::string(kMaps) + row.target, row.body, h);
    EXPECT_EQ(r.status, row.code) << r.body;
    EXPECT_EQ(s.message(r), row.message);
  }
  EXPECT_EQ(s.send("GET", std::string(kMaps) + "/a").status, 200) << "nothing was deleted";
}

TEST(Options, WatchOfOneName) {
  Protocol s;
  s.make_map("a");
  const std::string by_path = "/api/v1/watch/namespaces/default/configmaps/a";
  auto bad = s.send("GET", by_path + "?fieldSelector=metadata.name%3Db");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(s.message(bad), "fieldSelector metadata.name doesn't match requested name");
  auto fine = s.watch("fieldSelector=metadata.name%3Da", 1, by_path);
  ASSERT_EQ(fine.size(), 1U);
  EXPECT_EQ(fine[0].root["object"]["metadata"]["name"].as_string(), "a");
}

// --- writes
// ---------------------------------------------------------------------------------------

TEST(Writes, ABodyAndItsPath) {
  Protocol s;
  s.make_map("a");
  s.make("/apis/rbac.authorization.k8s.io/v1/clusterroles",
         R"({"metadata":{"name":"r","namespace":"anywhere"},"rules":[]})");
  Document role = s.tree(s.send("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/r"));
  EXPECT_TRUE(role.root["metadata"]["namespace"].is_null()) << "a namespace without meaning goes";
  const std::string uid(
      s.tree(s.send("GET", std::string(kMaps) + "/a")).root["metadata"]["uid"].as_string());
  const std::string other =
      R"({"metadata":{"name":"a","uid":"11111111-1111-1111-1111-111111111111"}})";
  const std::string unmet =
      "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, "
      "Key: /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
      "failed: UID in precondition: 11111111-1111-1111-1111-111111111111, UID in object meta: " +
      uid;
  const BadRequest kRows[] = {
      {"PUT", "/a", R"({"data":{"k":"v"}})", "application/json", 400,
       "the name of the object (a based on URL) was undeterminable: name must be provided"},
      {"PUT", "/a", R"({"metadata":{"name":"b"}})", "application/json", 400,
       "the name of the object (b) does not match the name on the URL (a)"},
      {"PUT", "/a", R"({"metadata":{"name":"a","namespace":"other"}})", "application/json", 400,
       "the namespace of the provided object does not match the namespace sent on the request"},
      {"PUT", "/a", other.c_str(), "application/json", 409, unmet.c_str()},
      {"PUT", "/a", R"({"metadata":{"name":"a","resourceVersion":"x"}})", "application/json", 500,
       "strconv.ParseUint: parsing \"x\": invalid syntax"},
      {"PUT", "/absent", R"({"metadata":{"name":"absent"}})", "application/json", 404,
       "configmaps \"absent\" not found"},
      {"PATCH", "/a", R"({"metadata":{"name":null}})", "application/merge-patch+json", 400,
       "the name of the object (a based on URL) was undeterminable: name must be provided"},
      {"PATCH", "/a", R"({"metadata":{"namespace":"other"}})", "application/merge-patch+json", 400,
       "the namespace of the provided object does not match the namespace sent on the request"},
      {"POST", "", R"({"metadata":{"name":"b","resourceVersion":"7"}})", "application/json", 500,
       "resourceVersion should not be set on objects to be created"},
      {"POST", "", R"({"metadata":{"name":"a","generateName":"a"}})", "application/json", 409,
       "configmaps \"a\" already exists, the server was not able to generate a unique name for the "
       "object"},
  };
  for (const BadRequest& row : kRows) {
    SCOPED_TRACE(std::string(row.method) + " " + row.target + " " + row.body);
    auto r =
        s.send(row.method, std::string(kMaps) + row.target, row.body, {{"Content-Type", row.type}});
    EXPECT_EQ(r.status, row.code) << r.body;
    EXPECT_EQ(s.message(r), row.message);
  }
  auto conflict = s.send("POST", kMaps, R"({"metadata":{"name":"a","generateName":"a"}})");
  EXPECT_EQ(header(conflict, "Retry-After"), "1");
  // A dry run of a create does not come as far as the store, which has no place for a version.
  EXPECT_EQ(s.send("POST", std::string(kMaps) + "?dryRun=All",
                   R"({"metadata":{"name":"b","resourceVersion":"7"}})")
                .status,
            201);
  auto lease = s.send("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
                      R"({"metadata":{"name":"l"}})");
  EXPECT_EQ(lease.status, 201) << "a put makes it";
  lease = s.send("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
                 R"({"metadata":{"name":"l"}})");
  EXPECT_EQ(lease.status, 422);
  EXPECT_EQ(s.message(lease),
            "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: "
            "0x0: must be specified for an update");
}

// What the server has said of an object's times stays, whatever a client sends back.
TEST(Writes, TimesAreTheServers) {
  Protocol s;
  Document made = s.make(kMaps, R"({"metadata":{"name":"a","creationTimestamp":)"
                                R"("2001-01-01T00:00:00Z","uid":"x","generation":9,)"
                                R"("deletionTimestamp":"2001-01-01T00:00:00Z"}})");
  const std::string created(made.root["metadata"]["creationTimestamp"].as_string());
  EXPECT_NE(created, "2001-01-01T00:00:00Z");
  EXPECT_NE(made.root["metadata"]["uid"].as_string(), "x");
  EXPECT_TRUE(made.root["metadata"]["deletionTimestamp"].is_null());
  auto put = s.send("PUT", std::string(kMaps) + "/a",
                    R"({"metadata":{"name":"a","creationTimestamp":"2001-01-01T00:00:00Z"},)"
                    R"("data":{"k":"v"}})");
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(s.tree(put).root["metadata"]["creationTimestamp"].as_string(), created);
  auto patched = s.send("PATCH", std::string(kMaps) + "/a",
                        R"({"metadata":{"creationTimestamp":null,"uid":null}})",
                        {{"Content-Type", std::string(kMerge)}});
  EXPECT_EQ(patched.status, 200) << patched.body;
  EXPECT_EQ(s.tree(patched).root["metadata"]["creationTimestamp"].as_string(), created);
}

TEST(Writes, PatchesAreReadStrictly) {
  Protocol s;
  s.make_map("a");
  const std::string one = std::string(kMaps) + "/a";
  struct Row {
    const char *query, *type, *body;
    int code;
    const char *message, *warning;
  };
  const Row kRows[] = {
      {"", "application/json-patch+json", R"([{"op":"add","path":"/data","value":{}}])", 200, "",
       ""},
      {"", "application/json-patch+json", "null", 200, "", ""},
      {"", "application/strategic-merge-patch+json", "null", 200, "", ""},
      {"", "application/merge-patch+json", "null", 400, "Invalid JSON Patch", ""},
      {"", "application/json-patch+json", R"([7])", 400,
       "error decoding patch: json: cannot unmarshal number into Go value of type "
       "handlers.jsonPatchOp",
       ""},
      {"", "application/json-patch+json", R"([{"op":"add","path":7}])", 400,
       "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path "
       "of type string",
       ""},
      {"", "application/json-patch+json",
       R"([{"op":"test","path":"/kind","value":"ConfigMap","why":1}])", 200, "",
       "299 - \"json patch unknown field \\\"[0].why\\\"\""},
      {"?fieldValidation=Ignore", "application/json-patch+json",
       R"([{"op":"test","path":"/kind","value":"ConfigMap","why":1}])", 200, "", ""},
      {"", "application/merge-patch+json", R"({"data":{"a":"1"},"data":{"a":"2"}})", 200, "",
       "299 - \"duplicate field \\\"data\\\"\""},
      {"?fieldValidation=Strict", "application/strategic-merge-patch+json",
       R"({"foo":1,"data":{"a":"1","a":"2"}})", 422,
       " \"\" is invalid: patch: Invalid value: \"map[data:map[a:2] foo:1]\": strict decoding "
       "error: duplicate field \"data.a\", unknown field \"foo\"",
       ""},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(row.type) + " " + row.body);
    auto r = s.send("PATCH", one + row.query, row.body, {{"Content-Type", row.type}});
    EXPECT_EQ(r.status, row.code) << r.body;
    if (row.code != 200) {
      EXPECT_EQ(s.message(r), row.message);
    }
    EXPECT_EQ(header(r, "Warning"), row.warning);
  }
  std::string many = "[";
  for (int i = 0; i <= 10'000; ++i) many += i ? ",{}" : "{}";
  auto r = s.send("PATCH", one, many + "]", {{"Content-Type", "application/json-patch+json"}});
  EXPECT_EQ(r.status, 413) << r.body;
  EXPECT_EQ(
      s.message(r),
      "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got "
      "10001");
}

TEST(Deletes, CodesAndWhatIsLeft) {
  Protocol s;
  const char* kHeld = R"(,"finalizers":["example.com/held"])";
  s.make_map("held", kHeld);
  // In the deprecated form 202 says that it is not done yet.
  auto first = s.send("DELETE", std::string(kMaps) + "/held?orphanDependents=false");
  EXPECT_EQ(first.status, 202) << first.body;
  EXPECT_EQ(s.tree(first).root["kind"].as_string(), "ConfigMap");
  s.make_map("held-too", kHeld);
  EXPECT_EQ(s.send("DELETE", std::string(kMaps) + "/held-too").status, 200);
  s.make_map("free");
  auto done = s.send("DELETE", std::string(kMaps) + "/free?orphanDependents=false");
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(s.tree(done).root["kind"].as_string(), "Status");
}

TEST(Deletes, ACollectionInPages) {
  Protocol s;
  for (const char* name : {"a", "b", "c", "d"}) s.make_map(name, R"(,"labels":{"of":"us"})");
  const std::string ours = std::string(kMaps) + "?labelSelector=of%3Dus";
  auto names = [&](const net::Response& r) {
    std::string out;
    Document d = s.tree(r);
    for (const Value& item : d.root["items"].items()) {
      out.append(item["metadata"]["name"].as_string()).push_back(' ');
    }
    return out;
  };
  EXPECT_EQ(names(s.send("DELETE", ours + "&dryRun=All")), "a b c d ");
  EXPECT_EQ(names(s.send("GET", ours)), "a b c d ");
  auto first = s.send("DELETE", ours + "&limit=3");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(names(first), "a b c ");
  EXPECT_EQ(names(s.send("GET", ours)), "d ");
  EXPECT_EQ(names(s.send("DELETE", ours)), "d ");
  EXPECT_EQ(names(s.send("DELETE", ours)), "");
}

// --- watches
// --------------------------------------------------------------------------------------

std::string shown(const std::vector<Document>& events) {
  std::string out;
  for (const Document& e : events) {
    const Value& o = e.root["object"];
    out.append(e.root["type"].as_string()).push_back(':');
    out.append(o["metadata"]["name"].as_string());
    if (!o["metadata"]["annotations"]["k8s.io/initial-events-end"].is_null()) out += "end";
    if (o["kind"].as_string() == "Status") out += std::to_string(o["code"].as_int());
    out.push_back(' ');
  }
  return out;
}

TEST(Watches, WhereTheyBegin) {
  Protocol s;
  s.make_map("a");
  const int64_t old = s.store->revision();
  s.make_map("b");
  const std::string only = "&fieldSelector=metadata.name!%3Dkube-root-ca.crt";
  const std::string from = "watch=1&timeoutSeconds=1" + only;
  const std::string bookmarks = from + "&allowWatchBookmarks=true";
  const std::string since = "&resourceVersion=" + std::to_string(old);
  const std::string fresh = "&resourceVersionMatch=NotOlderThan";
  struct Row {
    std::string query, events;
  };
  const Row kRows[] = {
      // From the beginning: what there is, as a streamed list ends for who takes bookmarks.
      {from, "ADDED:a ADDED:b "},
      {from + "&resourceVersion=0", "ADDED:a ADDED:b "},
      {bookmarks, "ADDED:a ADDED:b BOOKMARK:end "},
      {bookmarks + "&resourceVersion=0", "ADDED:a ADDED:b BOOKMARK:end "},
      {bookmarks + "&sendInitialEvents=true" + fresh, "ADDED:a ADDED:b BOOKMARK:end "},
      {bookmarks + "&sendInitialEvents=true" + fresh + since, "ADDED:a ADDED:b BOOKMARK:end "},
      {from + "&sendInitialEvents=true" + fresh + since, "ADDED:a ADDED:b "},
      // From a state: what came after it.
      {from + since, "ADDED:b "},
      {bookmarks + since, "ADDED:b "},
      {from + since + "&sendInitialEvents=false" + fresh, "ADDED:b "},
      // From here on.
      {from + "&sendInitialEvents=false" + fresh, ""},
      {from + "&resourceVersion=0&sendInitialEvents=false" + fresh, ""},
      // A state to come is waited for, by a list no longer than three seconds.
      {from + "&resourceVersion=999999", ""},
      {"watch=1&timeoutSeconds=9&sendInitialEvents=true" + fresh + "&resourceVersion=999999",
       "ERROR:504 "},
  };
  for (const Row& row : kRows) EXPECT_EQ(shown(s.watch(row.query, 9)), row.events) << row.query;
}

// Shortly before its time is over a watch says how far it came.
TEST(Watches, ABookmarkBeforeTheEnd) {
  Protocol s;
  s.make_map("a");
  const std::string since = "&resourceVersion=" + std::to_string(s.store->revision());
  auto events = s.watch("watch=1&timeoutSeconds=3&allowWatchBookmarks=true" + since, 9);
  EXPECT_EQ(shown(events), "BOOKMARK: ");
  EXPECT_EQ(shown(s.watch("watch=1&timeoutSeconds=3" + since, 9)), "");
}

// Who watches from a state that is still to come hears of nothing before it.
TEST(Watches, FromAStateToCome) {
  Protocol s;
  const int64_t now = s.store->revision();
  net::Request r;
  r.method = "GET";
  r.path = kMaps;
  r.query = "watch=1&resourceVersion=" + std::to_string(now + 2);
  auto stream = s.run(s.client->open(s.ctx.with_timeout(60s), std::move(r)));
  ASSERT_TRUE(stream.ok());
  while (s.store->revision() < now + 2) s.make_map("m" + std::to_string(s.store->revision()));
  s.make_map("last");
  std::string text;
  while (text.find('\n') == std::string::npos) {
    auto piece = s.run((*stream)->read(s.ctx.with_timeout(60s)));
    ASSERT_TRUE(piece.ok());
    ASSERT_FALSE(piece->empty());
    text += *piece;
  }
  auto first = parse_json(std::string_view(text).substr(0, text.find('\n')));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->root["object"]["metadata"]["name"].as_string(), "last");
}

// --- documents
// ------------------------------------------------------------------------------------

TEST(Documents, OpenApiByHash) {
  Protocol s;
  Document root = s.tree(s.send("GET", "/openapi/v3"));
  const std::string url(root.root["paths"]["apis/apps/v1"]["serverRelativeURL"].as_string());
  ASSERT_TRUE(url.starts_with("/openapi/v3/apis/apps/v1?hash=")) << url;
  auto named = s.send("GET", url);
  EXPECT_EQ(named.status, 200);
  EXPECT_EQ(header(named, "Cache-Control"), "public, immutable");
  const std::string etag(header(named, "ETag"));
  auto unnamed = s.send("GET", "/openapi/v3/apis/apps/v1");
  EXPECT_EQ(unnamed.status, 200);
  EXPECT_EQ(header(unnamed, "Cache-Control"), "no-cache, private");
  EXPECT_EQ(header(unnamed, "ETag"), etag);
  EXPECT_EQ(s.send("GET", url, "", {{"If-None-Match", etag}}).status, 304);
  auto old = s.send("GET", "/openapi/v3/apis/apps/v1?hash=0000");
  EXPECT_EQ(old.status, 301);
  EXPECT_EQ(header(old, "Location"), url);
  for (const char* path : {"/openapi/v3/apis/apps/v1", "/openapi/v2"}) {
    EXPECT_EQ(s.send("GET", path, "", {{"Accept", "text/html"}}).status, 406) << path;
  }
  auto small = s.send("GET", "/openapi/v2", "", {{"Accept-Encoding", "gzip"}});
  EXPECT_EQ(header(small, "Content-Encoding"), "gzip");
  EXPECT_TRUE(inflated(small.body) == s.send("GET", "/openapi/v2").body);
}

TEST(Documents, DiscoveryByETag) {
  Protocol s;
  const char* kAccept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  for (const char* path : {"/api", "/apis"}) {
    auto all = s.send("GET", path, "", {{"Accept", kAccept}});
    EXPECT_EQ(all.status, 200);
    EXPECT_EQ(header(all, "Content-Type"), kAccept);
    EXPECT_EQ(header(all, "Vary"), "Accept");
    EXPECT_EQ(header(all, "Cache-Control"), "public");
    const std::string etag(header(all, "ETag"));
    ASSERT_FALSE(etag.empty());
    auto same = s.send("GET", path, "", {{"Accept", kAccept}, {"If-None-Match", etag}});
    EXPECT_EQ(same.status, 304);
    EXPECT_EQ(same.body, "");
    EXPECT_EQ(s.send("GET", path, "", {{"Accept", kAccept}, {"If-None-Match", "\"x\""}}).status,
              200);
    auto plain = s.send("GET", path);
    EXPECT_EQ(header(plain, "ETag"), "");
  }
}

TEST(FieldManagers, AreShortAndCanBeShown) {
  auto causes = [](std::string_view name) {
    std::vector<StatusCause> out;
    check_field_manager(out, name);
    std::string all;
    for (const StatusCause& c : out) all += c.message + "\n";
    return all;
  };
  EXPECT_EQ(causes(""), "");
  EXPECT_EQ(causes("kubectl-client-side-apply"), "");
  EXPECT_EQ(causes("k\u00fcche \u65e5\u672c"), "");
  EXPECT_EQ(causes(std::string(129, 'x')), "Too long: may not be more than 128 bytes\n");
  EXPECT_EQ(causes("a\u00a0b\u200b"),
            "Invalid value: \"a\\u00a0b\\u200b\": invalid character U+00A0 (at position 1)\n"
            "Invalid value: \"a\\u00a0b\\u200b\": invalid character U+200B (at position 4)\n");
}

}  // namespace
}  // namespace keles::server
