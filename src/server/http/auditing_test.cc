// What is recorded of requests as they go through the front.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "server/audit/auditor.h"
#include "server/http/served_api.h"

namespace keles::server {
namespace {

class Auditing : public ::testing::Test {
 protected:
  Auditing() {
    log_ = dir_.path() + "/audit.log";
    options_.log.path = log_;
    options_.policy_file = dir_.path() + "/policy.yaml";
  }

  void serve(const std::string& rules, const std::string& top = "") {
    ASSERT_TRUE(write_file(options_.policy_file,
                           "apiVersion: audit.k8s.io/v1\nkind: Policy\n" + top + "rules:\n" + rules)
                    .ok());
    auto auditor = audit::Auditor::make(*served_.loop, options_, std::nullopt);
    ASSERT_TRUE(auditor.ok()) << auditor.status().message();
    auditor_ = std::move(*auditor);
    FrontOptions front;
    front.auditor = auditor_.get();
    served_.serve(front);
    client_ = served_.connect(served_.admin());
  }

  net::Response send(const std::string& method, const std::string& target,
                     const std::string& body = "", net::Headers headers = {}) {
    return served_.send(client_.get(),
                        ServedApi::request(method, target, body, std::move(headers)));
  }

  // The events since the last call; each a line.
  std::vector<Document> events() {
    std::vector<Document> out;
    auto text = read_file(log_);
    EXPECT_TRUE(text.ok());
    if (!text.ok()) return out;
    std::string_view rest = std::string_view(*text).substr(read_);
    read_ = text->size();
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      auto doc = parse_json(rest.substr(0, end));
      EXPECT_TRUE(doc.ok()) << rest;
      if (doc.ok()) out.push_back(std::move(*doc));
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
    return out;
  }
  Document last() {
    auto all = events();
    EXPECT_FALSE(all.empty());
    return all.empty() ? Document() : std::move(all.back());
  }

  TemporaryDirectory dir_ = *TemporaryDirectory::make();
  std::string log_;
  audit::Options options_;
  std::unique_ptr<audit::Auditor> auditor_;
  ServedApi served_;
  std::unique_ptr<net::HttpClient> client_;
  size_t read_ = 0;
};

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

TEST_F(Auditing, StagesOfAWrite) {
  serve("- level: RequestResponse\n");
  auto made = send("POST", kMaps, R"({"metadata":{"name":"a"},"data":{"x":"1"}})");
  ASSERT_EQ(made.status, 201) << made.body;
  auto all = events();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].root["stage"].as_string(), "RequestReceived");
  EXPECT_TRUE(all[0].root["responseStatus"].is_null());
  EXPECT_TRUE(all[0].root["requestObject"].is_null());
  const Value& e = all[1].root;
  EXPECT_EQ(e["stage"].as_string(), "ResponseComplete");
  EXPECT_EQ(e["auditID"].as_string(), *made.headers.get("Audit-Id"));
  EXPECT_EQ(e["auditID"].as_string(), all[0].root["auditID"].as_string());
  EXPECT_EQ(e["requestReceivedTimestamp"].as_string(), all[0].root["stageTimestamp"].as_string());
  EXPECT_EQ(e["verb"].as_string(), "create");
  EXPECT_EQ(e["user"]["username"].as_string(), "admin");
  EXPECT_EQ(e["responseStatus"]["code"].as_int(), 201);
  EXPECT_EQ(e["objectRef"]["name"].as_string(), "a");
  EXPECT_EQ(e["requestObject"]["data"]["x"].as_string(), "1");
  EXPECT_EQ(e["responseObject"]["metadata"]["name"].as_string(), "a");
  EXPECT_EQ(e["annotations"]["authorization.k8s.io/decision"].as_string(), "allow");
}

TEST_F(Auditing, LevelsSayHowMuch) {
  for (const char* level : {"None", "Metadata", "Request", "RequestResponse"}) {
    const std::string l = level;
    serve("- level: " + l + "\n", "omitStages: [RequestReceived]\n");
    send("POST", kMaps,
         R"({"metadata":{"name":")" + std::string(1, static_cast<char>(l[0] + 32)) +
             std::to_string(l.size()) + R"("}})");
    auto all = events();
    ASSERT_EQ(all.size(), l == "None" ? 0u : 1u);
    if (all.empty()) continue;
    EXPECT_EQ(all[0].root["level"].as_string(), l);
    EXPECT_EQ(all[0].root["requestObject"].is_null(), l == "Metadata");
    EXPECT_EQ(all[0].root["responseObject"].is_null(), l != "RequestResponse");
    EXPECT_FALSE(all[0].root["objectRef"]["name"].as_string().empty());
  }
}

TEST_F(Auditing, EveryVerbHasItsObjects) {
  serve("- level: RequestResponse\n", "omitStages: [RequestReceived]\n");
  send("POST", kMaps, R"({"metadata":{"name":"a"},"data":{"x":"1"}})");
  (void)events();
  const std::string one = std::string(kMaps) + "/a";
  send("GET", one);
  EXPECT_EQ(last().root["responseObject"]["kind"].as_string(), "ConfigMap");
  // What a client takes as protobuf is recorded as JSON.
  net::Headers protobuf{{"Accept", "application/vnd.kubernetes.protobuf"}};
  send("GET", one, "", protobuf);
  EXPECT_EQ(last().root["responseObject"]["data"]["x"].as_string(), "1");
  send("GET", kMaps, "", protobuf);
  Document list = last();
  EXPECT_EQ(list.root["verb"].as_string(), "list");
  EXPECT_EQ(list.root["responseObject"]["kind"].as_string(), "ConfigMapList");
  EXPECT_TRUE(list.root["objectRef"]["name"].is_null());
  send("PATCH", one, R"({"data":{"x":"2"}})", {{"Content-Type", "application/merge-patch+json"}});
  Document patch = last();
  EXPECT_EQ(to_json(patch.root["requestObject"]), R"({"data":{"x":"2"}})");
  EXPECT_EQ(patch.root["responseObject"]["data"]["x"].as_string(), "2");
  send("PATCH", one + "?fieldManager=f", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
       {{"Content-Type", "application/apply-patch+yaml"}});
  EXPECT_EQ(last().root["requestObject"]["metadata"]["name"].as_string(), "a");
  send("PUT", one, R"({"metadata":{"name":"a","resourceVersion":"1"}})");
  Document put = last();
  EXPECT_EQ(put.root["objectRef"]["resourceVersion"].as_string(), "1");
  EXPECT_EQ(put.root["responseStatus"]["reason"].as_string(), "Conflict");
  EXPECT_EQ(put.root["responseObject"]["kind"].as_string(), "Status");
  send("DELETE", one, R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0})");
  Document removed = last();
  EXPECT_EQ(removed.root["requestObject"]["kind"].as_string(), "DeleteOptions");
  EXPECT_EQ(removed.root["responseStatus"]["status"].as_string(), "Success");
  EXPECT_EQ(removed.root["responseStatus"]["code"].as_int(), 200);
}

TEST_F(Auditing, DefaultsAreInWhatWasAskedFor) {
  serve("- level: Request\n", "omitStages: [RequestReceived]\n");
  send("POST", "/api/v1/namespaces/default/services",
       R"({"metadata":{"name":"s"},"spec":{"ports":[{"port":80}]}})");
  EXPECT_EQ(last().root["requestObject"]["spec"]["ports"].at(0)["protocol"].as_string(), "TCP");
}

TEST_F(Auditing, ManagedFieldsMayBeLeftOut) {
  serve("- level: RequestResponse\n", "omitManagedFields: true\n");
  send("POST", kMaps, R"({"metadata":{"name":"a"},"data":{"x":"1"}})");
  EXPECT_TRUE(last().root["responseObject"]["metadata"]["managedFields"].is_null());
  send("GET", kMaps, "",
       {{"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io, application/json"}});
  Document table = last();
  EXPECT_EQ(table.root["responseObject"]["kind"].as_string(), "Table");
  for (const Value& row : table.root["responseObject"]["rows"].items()) {
    EXPECT_TRUE(row["object"]["metadata"]["managedFields"].is_null());
  }
}

TEST_F(Auditing, ARequestWithATimeoutThatIsNoneIsRecorded) {
  serve("- level: Metadata\n");
  EXPECT_EQ(send("GET", kMaps + std::string("?timeout=soon"), "").status, 400);
  auto all = events();
  ASSERT_EQ(all.size(), 1u);
  const Value& e = all[0].root;
  EXPECT_EQ(e["stage"].as_string(), "ResponseStarted");
  EXPECT_EQ(e["responseStatus"]["code"].as_int(), 400);
  EXPECT_EQ(e["responseStatus"]["reason"].as_string(), "BadRequest");
  EXPECT_TRUE(e["responseStatus"]["message"].as_string().starts_with(
      "invalid timeout specified in the request URL"));
  EXPECT_TRUE(e["user"]["username"].is_null()) << "nobody was asked who it is";
}

TEST_F(Auditing, WhoseCredentialsDoNotHoldIsRecorded) {
  serve("- level: Metadata\n");
  auto stranger = served_.connect(std::nullopt);
  auto answer = served_.send(stranger.get(),
                             ServedApi::request("GET", kMaps, "", {{"Authorization", "Bearer x"}}));
  EXPECT_EQ(answer.status, 401);
  auto all = events();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].root["stage"].as_string(), "ResponseStarted");
  EXPECT_EQ(all[0].root["responseStatus"]["message"].as_string(),
            "Authentication failed, attempted: bearer");
  EXPECT_EQ(to_json(all[0].root["user"]), "{}");
}

TEST_F(Auditing, ActingForSomebodyElseIsRecorded) {
  serve("- level: Metadata\n", "omitStages: [RequestReceived]\n");
  send("GET", kMaps, "", {{"Impersonate-User", "jane"}, {"X-Forwarded-For", "1.2.3.4"}});
  Document e = last();
  EXPECT_EQ(e.root["user"]["username"].as_string(), "admin");
  EXPECT_EQ(e.root["impersonatedUser"]["username"].as_string(), "jane");
  EXPECT_EQ(e.root["annotations"]["authorization.k8s.io/decision"].as_string(), "forbid");
  EXPECT_EQ(e.root["responseStatus"]["code"].as_int(), 403);
  EXPECT_EQ(e.root["sourceIPs"].at(0).as_string(), "1.2.3.4");
  EXPECT_EQ(e.root["sourceIPs"].at(1).as_string(), "127.0.0.1");
}

TEST_F(Auditing, AWatchBeginsAndEnds) {
  serve("- level: RequestResponse\n");
  send("GET", std::string(kMaps) + "?watch=1&timeoutSeconds=1");
  auto all = events();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].root["stage"].as_string(), "ResponseStarted");
  EXPECT_EQ(all[1].root["responseStatus"]["code"].as_int(), 200);
  EXPECT_EQ(all[2].root["stage"].as_string(), "ResponseComplete");
  EXPECT_GT(all[2].root["stageTimestamp"].as_string(), all[1].root["stageTimestamp"].as_string());
}

TEST_F(Auditing, ANamespaceLiesInItself) {
  serve("- level: Metadata\n  namespaces: [default]\n", "omitStages: [RequestReceived]\n");
  send("GET", "/api/v1/namespaces/default");
  Document e = last();
  EXPECT_EQ(e.root["objectRef"]["namespace"].as_string(), "default");
  EXPECT_EQ(e.root["objectRef"]["name"].as_string(), "default");
}

TEST_F(Auditing, WhatCannotBeRecordedIsRefusedWhenStrict) {
  options_.log.path = "/dev/full";
  options_.log.max_size = 0;
  options_.log.batch.mode = "blocking-strict";
  serve("- level: Metadata\n");
  auto answer = send("POST", kMaps, R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(answer.status, 500);
  EXPECT_NE(answer.body.find("failed to store audit event"), std::string::npos);
  EXPECT_FALSE(served_.store->snapshot()->get("/registry/configmaps/default/a"));
}

TEST_F(Auditing, PodSecurityTellsWhatItFound) {
  serve("- level: Metadata\n", "omitStages: [RequestReceived]\n");
  send("POST", "/api/v1/namespaces",
       R"({"metadata":{"name":"n","labels":{"pod-security.kubernetes.io/enforce":"baseline",)"
       R"("pod-security.kubernetes.io/audit":"restricted"}}})");
  send("POST", "/api/v1/namespaces/n/serviceaccounts", R"({"metadata":{"name":"default"}})");
  auto made = send("POST", "/api/v1/namespaces/n/pods",
                   R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  ASSERT_EQ(made.status, 201) << made.body;
  Document e = last();
  const Value& a = e.root["annotations"];
  EXPECT_EQ(a["pod-security.kubernetes.io/enforce-policy"].as_string(), "baseline:latest");
  EXPECT_TRUE(a["pod-security.kubernetes.io/audit-violations"].as_string().starts_with(
      "would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false"));
  send("POST", "/api/v1/namespaces/n/pods",
       R"({"metadata":{"name":"q"},"spec":{"hostNetwork":true,"containers":[{"name":"c",)"
       R"("image":"i"}]}})");
  Document refused = last();
  EXPECT_EQ(refused.root["responseStatus"]["code"].as_int(), 403);
  EXPECT_EQ(refused.root["annotations"]["pod-security.kubernetes.io/enforce-policy"].as_string(),
            "baseline:latest");
}

TEST_F(Auditing, OffItIsNotThere) {
  served_.serve(FrontOptions());
  client_ = served_.connect(served_.admin());
  EXPECT_FALSE(send("GET", kMaps).headers.get("Audit-Id"));
  EXPECT_EQ(*send("GET", kMaps, "", {{"Audit-ID", "mine"}}).headers.get("Audit-Id"), "mine");
}

}  // namespace
}  // namespace keles::server
