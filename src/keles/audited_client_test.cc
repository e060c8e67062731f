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
    client = make_audited_client(make_local_client(server, loop, who.name), auditor.get(), who);
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
    const std::string all = read_file(log()).value_or("");
    size_t from = 0;
    for (size_t end = all.find('\n'); end != all.npos; end = all.find('\n', from)) {
      auto e = parse_json(std::string_view(all).substr(from, end - from));
      EXPECT_TRUE(e.ok());
      from = end + 1;
      if (e.ok()) out.push_back(line_of(e->root));
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

}  // namespace
}  // namespace keles
