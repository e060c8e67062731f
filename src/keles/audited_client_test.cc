// What components in the server's own process ask is recorded like what comes by the network.
#include "keles/audited_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "keles/local_client.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

using testing::ElementsAre;

class Audited : public testing::Test {
 protected:
  SimLoop loop{7};
  SimDisk disk{loop};
  std::unique_ptr<Store> store = std::move(*open_sim_store(disk));
  ApiServer server{store.get(), ApiServerOptions()};
  Context ctx = Context::root(loop);
  TemporaryDirectory dir = *TemporaryDirectory::make();
  std::unique_ptr<audit::Auditor> auditor;
  std::unique_ptr<Client> client;
  const KindDesc* maps = find_kind("v1", "ConfigMap");

  void serve(std::string_view rules) {
    EXPECT_TRUE(run(server.start(ctx)).ok());
    const std::string policy = dir.path() + "/policy.yaml";
    ASSERT_TRUE(write_file(policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n" +
                                       std::string(rules))
                    .ok());
    audit::Options o;
    o.policy_file = policy;
    o.log.path = log();
    auto made = audit::Auditor::make(loop, o, std::nullopt);
    ASSERT_TRUE(made.ok()) << made.status().message();
    auditor = std::move(*made);
    Caller who;
    who.name = "system:kube-scheduler";
    who.groups = {"system:authenticated"};
    auto make = [this, name = who.name](admission::AuditAnnotations* annotations) {
      return make_local_client(server, loop, name, annotations);
    };
    client = make_audited_client(std::move(make), auditor.get(), who);
  }
  std::string log() { return dir.path() + "/audit.log"; }
  template <class T>
  T run(Task<T> t) {
    return run_task(loop, std::move(t));
  }
  Result<ObjectPtr> create(std::string_view yaml) {
    return run(client->create(ctx, maps, "default", "", *parse_yaml(yaml), WriteOptions()));
  }
  // "stage verb uri code", and with objects what they are called.
  std::vector<std::string> told() {
    std::vector<std::string> out;
    for (const Document& e : events()) out.push_back(line_of(e.root));
    return out;
  }
  std::vector<Document> events() {
    std::vector<Document> out;
    const std::string all = read_file(log()).value_or("");
    size_t from = 0;
    for (size_t end = all.find('\n'); end != all.npos; end = all.find('\n', from)) {
      auto e = parse_json(std::string_view(all).substr(from, end - from));
      EXPECT_TRUE(e.ok());
      from = end + 1;
      if (e.ok()) out.push_back(std::move(*e));
    }
    return out;
  }
  static std::string line_of(const Value& v) {
    EXPECT_EQ(v["user"]["username"].as_string(), "system:kube-scheduler");
    std::string out(v["stage"].as_string());
    for (const char* part : {"verb", "requestURI"}) out += " " + std::string(v[part].as_string());
    if (v["responseStatus"].is_map()) {
      out += " " + std::to_string(v["responseStatus"]["code"].as_int());
    }
    for (const char* object : {"requestObject", "responseObject"}) {
      const Value& name = v[object]["metadata"]["name"];
      if (name.is_string()) out += " " + std::string(object) + "=" + std::string(name.as_string());
    }
    return out;
  }
};

TEST_F(Audited, EachCallIsARequest) {
  serve("- level: RequestResponse\n");
  ASSERT_TRUE(create("metadata: {name: a}").ok());
  ASSERT_TRUE(run(client->get(ctx, maps, "default", "a")).ok());
  EXPECT_FALSE(run(client->get(ctx, maps, "default", "b")).ok());
  ASSERT_TRUE(run(client->remove(ctx, maps, "default", "a", DeleteOptions())).ok());
  const std::string all = "/api/v1/namespaces/default/configmaps";
  EXPECT_THAT(
      told(),
      ElementsAre("RequestReceived create " + all,
                  "ResponseComplete create " + all + " 201 requestObject=a responseObject=a",
                  "RequestReceived get " + all + "/a",
                  "ResponseComplete get " + all + "/a 200 responseObject=a",
                  "RequestReceived get " + all + "/b", "ResponseComplete get " + all + "/b 404",
                  "RequestReceived delete " + all + "/a",
                  "ResponseComplete delete " + all + "/a 200 responseObject=a"));
}

TEST_F(Audited, ThePolicyDecides) {
  serve(
      "- {level: None, verbs: [get]}\n- {level: Metadata, users: ['system:kube-scheduler'], "
      "omitStages: [RequestReceived]}\n");
  ASSERT_TRUE(create("metadata: {name: a}").ok());
  ASSERT_TRUE(run(client->get(ctx, maps, "default", "a")).ok());
  EXPECT_THAT(told(),
              ElementsAre("ResponseComplete create /api/v1/namespaces/default/configmaps 201"));
}

// What admission says to who audits is in the event of that request, and of no other.
TEST_F(Audited, AdmissionsAnnotations) {
  serve("- {level: Metadata, omitStages: [RequestReceived]}\n");
  const KindDesc* namespaces = find_kind("v1", "Namespace");
  const std::string label = "pod-security.kubernetes.io/";
  ASSERT_TRUE(
      run(client->create(ctx, namespaces, "", "",
                         *parse_yaml("metadata: {name: a, labels: {" + label + "audit: baseline}}"),
                         WriteOptions()))
          .ok());
  ASSERT_TRUE(run(client->create(ctx, find_kind("v1", "ServiceAccount"), "a", "",
                                 *parse_yaml("metadata: {name: default}"), WriteOptions()))
                  .ok());
  const KindDesc* pods = find_kind("v1", "Pod");
  const char* pod =
      "metadata: {name: p}\nspec: {hostNetwork: true, containers: [{name: c, image: i}]}";
  auto made = run(client->create(ctx, pods, "a", "", *parse_yaml(pod), WriteOptions()));
  ASSERT_TRUE(made.ok()) << made.status().message();
  ASSERT_TRUE(run(client->get(ctx, pods, "a", "p")).ok());
  const std::vector<Document> all = events();
  ASSERT_EQ(all.size(), 4u);
  const std::string key = label + "audit-violations";
  for (const size_t other : {0, 1, 3}) {
    EXPECT_TRUE(all[other].root["annotations"][key].is_null()) << other;
  }
  EXPECT_EQ(all[2].root["annotations"][key].as_string(),
            "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)");
}

TEST_F(Audited, DeleteOptionsAndLists) {
  serve("- {level: RequestResponse, omitStages: [RequestReceived]}\n");
  ASSERT_TRUE(create("metadata: {name: a}").ok());
  ASSERT_TRUE(create("metadata: {name: b}").ok());
  auto list = run(client->list(ctx, maps, "default", ListOptions()));
  ASSERT_TRUE(list.ok());
  DeleteOptions how;
  how.grace_period_seconds = 0;
  how.propagation_policy = "Background";
  how.uid = list->items[0]->uid();
  ASSERT_TRUE(run(client->remove(ctx, maps, "default", "a", how)).ok());
  const std::vector<Document> all = events();
  ASSERT_EQ(all.size(), 4u);
  const Value& answer = all[2].root["responseObject"];
  EXPECT_EQ(answer["kind"].as_string(), "ConfigMapList");
  EXPECT_EQ(answer["metadata"]["resourceVersion"].as_string(), list->resource_version);
  ASSERT_EQ(answer["items"].size(), 2u);
  EXPECT_EQ(answer["items"].at(1)["metadata"]["name"].as_string(), "b");
  EXPECT_EQ(to_json(all[3].root["requestObject"]),
            "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":0,"
            "\"preconditions\":{\"uid\":\"" +
                how.uid + "\"},\"propagationPolicy\":\"Background\"}");
}

class Answers final : public PathsClient {
 public:
  Task<Result<net::Response>> ask(Context, std::string, std::string path, std::string) override {
    if (path == "/apis") co_return Status::unavailable("nobody is there");
    net::Response out;
    out.status = 404;
    co_return std::move(out);
  }
};

TEST_F(Audited, PathsOfExtensionServers) {
  serve("- {level: None, verbs: [create]}\n- {level: RequestResponse}\n");
  Caller who;
  who.name = "system:kube-scheduler";
  auto paths = make_audited_paths(std::make_unique<Answers>(), auditor.get(), who);
  const std::string things = "/apis/x.io/v1/namespaces/n/things";
  EXPECT_EQ(run(paths->ask(ctx, "GET", things, "limit=5"))->status, 404);
  EXPECT_EQ(run(paths->ask(ctx, "DELETE", things + "/t"))->status, 404);
  EXPECT_EQ(run(paths->ask(ctx, "POST", things))->status, 404);
  EXPECT_FALSE(run(paths->ask(ctx, "GET", "/apis")).ok());
  EXPECT_THAT(told(), ElementsAre("RequestReceived list " + things + "?limit=5",
                                  "ResponseComplete list " + things + "?limit=5 404",
                                  "RequestReceived delete " + things + "/t",
                                  "ResponseComplete delete " + things + "/t 404",
                                  "RequestReceived get /apis", "ResponseComplete get /apis 503"));
  const std::vector<Document> all = events();
  EXPECT_EQ(all[2].root["objectRef"]["resource"].as_string(), "things");
  EXPECT_EQ(all[2].root["objectRef"]["namespace"].as_string(), "n");
  EXPECT_EQ(all[2].root["objectRef"]["name"].as_string(), "t");
}

}  // namespace
}  // namespace keles
