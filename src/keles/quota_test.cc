// Quotas as their users meet them: admission and the controller together, through the in-process
// client on virtual time; and several servers on one store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "base/sync.h"
#include "controllers/manager.h"
#include "keles/local_client.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/quota/check.h"
#include "net/pki.h"
#include "store/replica.h"
#include "store/sim/fan_out.h"
#include "store/sim/sim_store.h"

namespace keles {
namespace {

using testing::HasSubstr;

const KindDesc& kind(std::string_view name) { return *find_kind("v1", name); }

class QuotaTest : public testing::Test {
 protected:
  SimLoop loop{11};
  SimDisk disk{loop};
  Lag lags[2];
  std::unique_ptr<FanOut> fan_out;
  std::vector<std::unique_ptr<Store>> stores;
  std::vector<std::unique_ptr<ApiServer>> servers;
  std::vector<std::unique_ptr<Client>> clients;
  std::unique_ptr<Client> controller_client;
  std::unique_ptr<controllers::Manager> manager;
  Context ctx = Context::root(loop);
  Context running = Context::root(loop);
  TaskGroup group{loop};

  // `count` servers on one backend, each with a replica of its own that hears of writes late.
  void serve(size_t count, ApiServerOptions options = {}) {
    options.auth.keys = {*net::SigningKey::generate(net::SigningKey::Algorithm::kEs256)};
    fan_out = std::make_unique<FanOut>(loop, std::move(*open_sim_backend(disk)));
    for (size_t i = 0; i < count; ++i) {
      if (count > 1) lags[i] = Lag{10ms, 50ms, false};
      stores.push_back(std::make_unique<Replica>(ReplicaOptions(), fan_out->follower(&lags[i])));
      servers.push_back(std::make_unique<ApiServer>(stores[i].get(), options));
      Status s = run_task(loop, servers[i]->start(ctx));
      ASSERT_TRUE(s.ok()) << s.to_string();
      clients.push_back(make_local_client(*servers[i], loop, "admin"));
    }
    controller_client = make_local_client(*servers[0], loop, "controllers");
    manager = std::make_unique<controllers::Manager>(*controller_client, controllers::Options());
    group.spawn(manager->run(running));
    rest(2s);
  }
  void TearDown() override {
    running.cancel();
    run_task(loop, group.join());
  }
  void rest(Duration d) { (void)run_task(loop, ctx.sleep(d)); }

  Task<Result<ObjectPtr>> creation(Client* who, std::string k, std::string yaml,
                                   bool dry_run = false) {
    auto d = decode_body(kind(k), to_json(parse_yaml(yaml)->root));
    WriteOptions o;
    o.dry_run = dry_run;
    co_return co_await who->create(ctx, &kind(k), "default", "", std::move(*d), o);
  }
  struct Tally {
    int made = 0, refused = 0;
    std::string other;
  };
  Task<void> make_map(int i, Tally* tally) {
    std::string yaml = "metadata: {name: m" + std::to_string(i) + "}";
    auto done = co_await creation(clients[i % 2].get(), "ConfigMap", yaml);
    const std::string why = done.status().message();
    const bool exceeded = why.find("exceeded quota: q") != std::string::npos;
    tally->made += done.ok();
    tally->refused += exceeded;
    if (!done.ok() && !exceeded) tally->other = why;
  }
  std::string create(std::string k, std::string yaml, bool dry_run = false) {
    return run_task(loop, creation(clients[0].get(), k, yaml, dry_run)).status().message();
  }
  std::string patch(std::string k, std::string name, std::string yaml) {
    WriteOptions o;
    return run_task(loop, clients[0]->patch(ctx, &kind(k), "default", name, PatchType::kMerge,
                                            *parse_yaml(yaml), o))
        .status()
        .message();
  }
  void remove(std::string k, std::string name) {
    DeleteOptions now;
    now.grace_period_seconds = 0;
    auto r = run_task(loop, clients[0]->remove(ctx, &kind(k), "default", name, now));
    EXPECT_TRUE(r.ok()) << r.status().message();
  }
  std::string used(std::string name = "q") {
    auto q = run_task(loop, clients[0]->get(ctx, &kind("ResourceQuota"), "default", name));
    if (!q.ok()) return q.status().message();
    DocumentPtr tree = (*q)->tree();
    return quota::text_of(quota::read_resource_list(tree->root["status"]["used"]));
  }
  static std::string pod(const std::string& name, const std::string& cpu = "100m") {
    return "metadata: {name: " + name +
           "}\nspec: {containers: [{name: c, image: i, resources: " + "{requests: {cpu: " + cpu +
           "}}}]}";
  }
};

TEST_F(QuotaTest, APodsLife) {
  serve(1);
  EXPECT_EQ(create("ResourceQuota",
                   "metadata: {name: q}\nspec: {hard: {pods: 2, requests.cpu: 300m, count/secrets: "
                   "1}}"),
            "");
  rest(1s);  // promptly
  EXPECT_EQ(used(), "count/secrets=0,pods=0,requests.cpu=0");
  EXPECT_EQ(create("Pod", pod("dry"), true), "");
  EXPECT_EQ(used(), "count/secrets=0,pods=0,requests.cpu=0");
  EXPECT_EQ(create("Pod", pod("a")), "");
  EXPECT_EQ(used(), "count/secrets=0,pods=1,requests.cpu=100m");
  EXPECT_EQ(create("Pod", pod("b", "300m")),
            "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=300m, used: "
            "requests.cpu=100m, limited: requests.cpu=300m");
  EXPECT_EQ(create("Pod", pod("b", "300m"), true),
            "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=300m, used: "
            "requests.cpu=100m, limited: requests.cpu=300m");
  EXPECT_EQ(create("Pod", "metadata: {name: b}\nspec: {containers: [{name: c, image: i}]}"),
            "pods \"b\" is forbidden: failed quota: q: must specify requests.cpu for: c");
  EXPECT_EQ(create("Pod", pod("b")), "");
  EXPECT_EQ(create("Pod", pod("c")),
            "pods \"c\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: "
            "pods=2");
  // Gone, and given back: at once where nobody was charged lately.
  rest(20s);
  EXPECT_EQ(used(), "count/secrets=0,pods=2,requests.cpu=200m");
  remove("Pod", "a");
  rest(1s);
  EXPECT_EQ(used(), "count/secrets=0,pods=1,requests.cpu=100m");
  // One that has ended uses nothing.
  WriteOptions status;
  status.subresource = "status";
  EXPECT_TRUE(run_task(loop, clients[0]->patch(ctx, &kind("Pod"), "default", "b", PatchType::kMerge,
                                               *parse_yaml("status: {phase: Succeeded}"), status))
                  .ok());
  rest(1s);
  EXPECT_EQ(used(), "count/secrets=0,pods=0,requests.cpu=0");
  // Another limit, promptly as well.
  EXPECT_EQ(patch("ResourceQuota", "q", "spec: {hard: {pods: 0, requests.cpu: null}}"), "");
  rest(1s);
  EXPECT_EQ(used(), "count/secrets=0,pods=0");
  EXPECT_THAT(create("Pod", pod("d")), HasSubstr("exceeded quota: q"));
}

TEST_F(QuotaTest, WhatWasChargedForNothingComesBack) {
  serve(1);
  create("ResourceQuota", "metadata: {name: q}\nspec: {hard: {configmaps: 5}}");
  rest(1s);
  EXPECT_EQ(used(), "configmaps=0");
  EXPECT_EQ(create("ConfigMap", "metadata: {name: a}"), "");
  EXPECT_THAT(create("ConfigMap", "metadata: {name: a}"), HasSubstr("already exists"));
  EXPECT_EQ(used(), "configmaps=2");
  rest(12s);
  EXPECT_EQ(used(), "configmaps=1");
}

TEST_F(QuotaTest, ServicesAreChargedForWhatChanges) {
  serve(1);  // "kubernetes" is there
  create("ResourceQuota",
         "metadata: {name: q}\nspec: {hard: {services: 3, services.nodeports: 1, "
         "services.loadbalancers: 0}}");
  rest(1s);
  EXPECT_EQ(create("Service", "metadata: {name: s}\nspec: {ports: [{port: 80}]}"), "");
  EXPECT_EQ(used(), "services=2,services.loadbalancers=0,services.nodeports=0");
  EXPECT_EQ(patch("Service", "s", "spec: {type: NodePort}"), "");
  EXPECT_EQ(used(), "services=2,services.loadbalancers=0,services.nodeports=1");
  EXPECT_EQ(patch("Service", "s", "spec: {type: LoadBalancer}"),
            "services \"s\" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, "
            "used: services.loadbalancers=0, limited: services.loadbalancers=0");
  EXPECT_EQ(patch("Service", "s", "spec: {type: ClusterIP}"), "");
  rest(12s);
  EXPECT_EQ(used(), "services=2,services.loadbalancers=0,services.nodeports=0");
}

TEST_F(QuotaTest, ScopesOfPriorityClasses) {
  serve(1);
  const std::string high =
      "metadata: {name: p}\nspec: {priorityClassName: system-node-critical, "
      "containers: [{name: c, image: i}]}";
  create("ResourceQuota",
         "metadata: {name: q}\nspec: {hard: {pods: 0}, scopeSelector: {matchExpressions: "
         "[{scopeName: PriorityClass, operator: In, values: [system-node-critical]}]}}");
  rest(1s);
  EXPECT_EQ(create("Pod", high),
            "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: "
            "pods=0");
  EXPECT_EQ(create("Pod", pod("other")), "");
  EXPECT_EQ(used(), "pods=0");
}

TEST_F(QuotaTest, LimitedResourcesAreRefusedWithoutAQuota) {
  ApiServerOptions options;
  options.admission.plugins.quota.resources = {{"", "secrets", {"secrets"}, {}}};
  serve(1, options);
  EXPECT_EQ(create("Secret", "metadata: {name: s}"),
            "secrets \"s\" is forbidden: insufficient quota to consume: count/secrets,secrets");
  create("ResourceQuota", "metadata: {name: q}\nspec: {hard: {secrets: 1, count/secrets: 1}}");
  rest(1s);
  EXPECT_EQ(create("Secret", "metadata: {name: s}"), "");
}

// What all servers let in is no more than the quota says, and what it allows comes through.
TEST_F(QuotaTest, SeveralServersLetInNoMore) {
  serve(2);
  create("ResourceQuota",
         "metadata: {name: q}\nspec: {hard: {configmaps: 25, count/configmaps: 20}}");
  rest(2s);
  EXPECT_EQ(used(), "configmaps=0,count/configmaps=0");
  Tally tally;
  TaskGroup writers(loop);
  for (int i = 0; i < 80; ++i) writers.spawn(make_map(i, &tally));
  run_task(loop, writers.join());
  EXPECT_EQ(tally.other, "");
  EXPECT_EQ(tally.made, 20);
  EXPECT_EQ(tally.refused, 60);
  rest(30s);
  EXPECT_EQ(used(), "configmaps=20,count/configmaps=20");
}

}  // namespace
}  // namespace keles
