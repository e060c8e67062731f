// Claims and a driver on a real socket, against an API server in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/resource_v1.h"
#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "node/devices/test_plugin.h"
#include "node/dra/cdi.h"
#include "node/dra/dra_manager.h"
#include "node/testing.h"

namespace keles::node {
namespace {

using api::resource_v1::ResourceClaim;
using api::resource_v1::ResourceSlice;
using testing::ElementsAre;
using testing::IsEmpty;

// The text and its checksum are upstream's kubelet's.
TEST(ClaimBook, ReadsWhatUpstreamWrote) {
  const std::string text =
      R"({"Data":"{\"kind\":\"DRACheckpoint\",\"apiVersion\":\"checkpoint.dra.kubelet.k8s.io/v1\",)"
      R"(\"ClaimInfoStateList\":[{\"ClaimUID\":\"067798be-454e-4be4-9047-1aa06aea63f7\",)"
      R"(\"ClaimName\":\"example\",\"Namespace\":\"default\",\"PodUIDs\":)"
      R"({\"139cdb46-f989-4f17-9561-ca10cfb509a6\":{}},\"DriverState\":)"
      R"({\"test-driver.cdi.k8s.io\":{\"Devices\":[{\"PoolName\":\"worker-1\",\"DeviceName\":)"
      R"(\"dev-1\",\"ShareID\":null,\"RequestNames\":[\"test request\"],\"CDIDeviceIDs\":)"
      R"([\"example.com/example=cdi-example\"]}]}}}]}","Checksum":2570581864})";
  auto book = ClaimBook::parse(text);
  ASSERT_TRUE(book.ok()) << book.status().message();
  const PreparedClaim* claim = book->find("default", "example");
  ASSERT_TRUE(claim);
  EXPECT_FALSE(claim->prepared);
  EXPECT_THAT(claim->cdi_ids("test request"), ElementsAre("example.com/example=cdi-example"));
  EXPECT_THAT(claim->cdi_ids("other"), IsEmpty());
  EXPECT_EQ(book->text(), text);
  std::string wrong = text;
  wrong.replace(wrong.find("dev-1"), 5, "dev-2");
  EXPECT_EQ(ClaimBook::parse(wrong).status().message(), "checkpoint is corrupted");
}

TEST(DraService, IsTheFirstThatIsKnown) {
  EXPECT_EQ(*dra_service({"v9.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAPlugin"}),
            "v1beta1.DRAPlugin");
  EXPECT_EQ(dra_service({}).status().message(),
            "empty list of supported gRPC services (aka supported versions)");
  EXPECT_EQ(dra_service({"v9.X"}).status().message(),
            "none of services supported by the plugin ([\"v9.X\"]) are supported by the kubelet "
            "([\"v1.DRAPlugin\" \"v1beta1.DRAPlugin\"])");
}

TEST(Cdi, IsDoneForRuntimesThatDoNot) {
  EXPECT_FALSE(runtime_does_cdi("containerd", "1.6.20~ds1"));
  EXPECT_TRUE(runtime_does_cdi("containerd", "v2.0.0"));
  EXPECT_TRUE(runtime_does_cdi("cri-o", "1.28.0"));
  const std::string spec = R"({"cdiVersion":"0.6.0","kind":"example.com/gizmo",
      "containerEdits":{"env":["ALL=1"]},"devices":[
      {"name":"a","containerEdits":{"env":["A=1"],"deviceNodes":[{"path":"/dev/a"}],
        "mounts":[{"hostPath":"/h","containerPath":"/c","options":["ro","bind"]}]}},
      {"name":"h","containerEdits":{"hooks":[{"hookName":"createRuntime","path":"/x"}]}}]})";
  ContainerExtras out;
  ASSERT_TRUE(inject_cdi_specs({spec}, {"example.com/gizmo=a"}, &out).ok());
  EXPECT_THAT(out.env, ElementsAre(std::make_pair("ALL", "1"), std::make_pair("A", "1")));
  EXPECT_EQ(out.devices[0].host_path, "/dev/a");
  EXPECT_EQ(out.devices[0].permissions, "rwm");
  EXPECT_TRUE(out.mounts[0].readonly);
  EXPECT_EQ(inject_cdi_specs({spec}, {"example.com/gizmo=x", "b.c/d=e"}, &out).message(),
            "CDI device injection failed: unresolvable CDI devices example.com/gizmo=x, b.c/d=e");
  EXPECT_EQ(inject_cdi_specs({spec}, {"example.com/gizmo=h"}, &out).message(),
            "CDI device example.com/gizmo=h has hooks, which the container runtime does not "
            "support");
}

TEST(Cdi, WhatCannotBePassedOnIsRefused) {
  struct Row {
    const char *edits, *error;  // of CDI device d/c=a
  };
  const Row rows[] = {
      {R"("mounts":[{"hostPath":"/h","containerPath":"/c","type":"bind",)"
       R"("options":["rw","nosuid","nodev","noexec","rbind","rslave"]}])",
       ""},
      {R"("mounts":[{"hostPath":"/h","containerPath":"/c","type":"tmpfs"}])",
       " has a mount of type tmpfs, which the container runtime does not support"},
      {R"("mounts":[{"hostPath":"/h","containerPath":"/c","options":["size=1m"]}])",
       " has a mount of option size=1m, which the container runtime does not support"},
      {R"("additionalGids":[])", ""},
      {R"("additionalGids":[5])",
       " has additionalGids, which the container runtime does not support"},
      {R"("deviceNodes":[{"path":"/dev/null","type":"c","major":1,"minor":3}])", ""},
      {R"("deviceNodes":[{"path":"/dev/n","hostPath":"/dev/null","minor":5}])",
       " wants /dev/null as it is not on the host, which the container runtime does not support"},
      {R"("deviceNodes":[{"path":"/dev/null","type":"b"}])",
       " wants /dev/null as it is not on the host, which the container runtime does not support"},
      {R"("deviceNodes":[{"path":"/nowhere/x","uid":5}])", ": there is no /nowhere/x"}};
  for (const Row& row : rows) {
    const std::string spec = R"({"kind":"d/c","devices":[{"name":"a","containerEdits":{)" +
                             std::string(row.edits) + "}}]}";
    ContainerExtras out;
    const Status s = inject_cdi_specs({spec}, {"d/c=a"}, &out);
    EXPECT_EQ(s.message(), *row.error ? "CDI device d/c=a" + std::string(row.error) : "");
  }
}

Ref<api::core_v1::Pod> pod_with(const std::string& uid, const std::string& claim = "c1") {
  return pod_from(R"({"metadata":{"name":"p","namespace":"default","uid":")" + uid +
                  R"("},"spec":{"resourceClaims":[{"name":"g","resourceClaimName":")" + claim +
                  R"("}],"containers":[
          {"name":"a","resources":{"claims":[{"name":"g","request":"gizmo"}]}},
          {"name":"b","resources":{"claims":[{"name":"g","request":"other"}]}},{"name":"c"}]},
      "status":{"containerStatuses":[{"name":"a"}]}})");
}

struct World {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string root = directory.path();
  Context all = Context::root(*loop).with_timeout(60s);
  Context ctx = all.child();
  FakeClient client{*loop};
  DraPlugins plugins{ctx, client, "n1"};
  DraManager manager{ctx, client, plugins};
  TestPlugin driver{*loop};
  std::vector<std::string> healths;
  Event changed;

  World() {
    driver.cdi_ids = [](const std::string&, const std::string& name) {
      return std::vector<std::string>{"example.com/gizmo=" + name};
    };
    driver.listen(root + "/dra.sock");
    plugins.on_health([this](const std::string&, const auto& devices) {
      for (const auto& [pool, device] : devices) healths.push_back(pool + "/" + device);
      changed.set();
    });
    if (!manager.start(root).ok()) std::abort();
  }
  PluginInfo info() const {
    PluginInfo i;
    i.type = kDraPlugin;
    i.name = driver.driver;
    i.endpoint = root + "/dra.sock";
    i.versions = {"v1.DRAPlugin"};
    return i;
  }
  static void make_claim(World* w, const std::string& name, const std::string& reserved,
                         bool allocated = true) {
    std::string json =
        R"({"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaim","metadata":{"name":")" + name +
        R"(","namespace":"default"},"spec":{},"status":{"reservedFor":[)" + reserved + "]";
    if (allocated)
      json += R"(,"allocation":{"devices":{"results":[{"request":"gizmo","driver":)"
              R"("gizmo.example.com","pool":"pool","device":"gizmo-0"}]}})";
    w->client.put_yaml(json + "}}");
  }
  static Task<void> end(World* w) {
    w->ctx.cancel();
    co_await w->plugins.stop();
    co_await w->driver.stop();
    w->loop->stop();
  }
};

template <class Steps>
void play(Steps steps) {
  World w;
  struct Run {
    static Task<bool> all(World* w, Steps steps) {
      co_await steps(w);
      co_await World::end(w);
      co_return true;
    }
  };
  (void)run_task(*w.loop, Run::all(&w, steps));
}

constexpr const char* kForU1 = R"({"resource":"pods","name":"p","uid":"u1"})";

struct Steps {
  static Task<void> life(World* w) {
    World::make_claim(w, "c1",
                      std::string(kForU1) + R"(,{"resource":"pods","name":"q","uid":"u2"})");
    Ref<api::core_v1::Pod> pod = pod_with("u1");
    Status s = co_await w->manager.prepare(w->all, pod);
    EXPECT_EQ(s.message(),
              "prepare dynamic resources: DRA driver gizmo.example.com is not registered");
    s = co_await w->plugins.add(w->all, w->info());
    EXPECT_TRUE(s.ok());
    s = co_await w->manager.prepare(w->all, pod);
    EXPECT_TRUE(s.ok()) << s.message();
    s = co_await w->manager.prepare(w->all, pod);  // it is prepared
    EXPECT_TRUE(s.ok());
    EXPECT_THAT(w->driver.calls, ElementsAre("prepare c1"));
    EXPECT_TRUE(w->manager.holds("u1"));
    // By the requests that they name.
    EXPECT_THAT(*w->manager.cdi_devices(*pod, pod->spec().containers()[0]),
                ElementsAre("example.com/gizmo=c1"));
    EXPECT_THAT(*w->manager.cdi_devices(*pod, pod->spec().containers()[1]), IsEmpty());
    EXPECT_THAT(*w->manager.cdi_devices(*pod, pod->spec().containers()[2]), IsEmpty());
    // Another pod has it, too: the last one gives it up.
    Ref<api::core_v1::Pod> other = pod_with("u2");
    s = co_await w->manager.prepare(w->all, other);
    EXPECT_TRUE(s.ok());
    s = co_await w->manager.unprepare(w->all, pod);
    EXPECT_TRUE(s.ok());
    EXPECT_FALSE(w->manager.holds("u1"));
    EXPECT_THAT(w->driver.calls, ElementsAre("prepare c1"));
    s = co_await w->manager.unprepare(w->all, other);
    EXPECT_TRUE(s.ok());
    EXPECT_THAT(w->driver.calls, ElementsAre("prepare c1", "unprepare c1"));
    EXPECT_FALSE(w->manager.holds("u2"));
  }

  static Task<void> prepare(World* w, Ref<api::core_v1::Pod> pod, int* done) {
    Status s = co_await w->manager.prepare(w->all, pod);
    EXPECT_TRUE(s.ok()) << s.message();
    ++*done;
  }
  static Task<void> unprepare(World* w, Ref<api::core_v1::Pod> pod, int* done) {
    Status s = co_await w->manager.unprepare(w->all, pod);
    EXPECT_TRUE(s.ok()) << s.message();
    ++*done;
  }

  // Pods that share a claim and come or go at once.
  static Task<void> at_once(World* w) {
    World::make_claim(w, "c1",
                      std::string(kForU1) + R"(,{"resource":"pods","name":"q","uid":"u2"})");
    Status s = co_await w->plugins.add(w->all, w->info());
    EXPECT_TRUE(s.ok());
    Ref<api::core_v1::Pod> pod = pod_with("u1"), other = pod_with("u2");
    int done = 0;
    TaskGroup tasks(*w->loop);
    tasks.spawn(prepare(w, pod, &done));
    tasks.spawn(prepare(w, other, &done));
    co_await tasks.join();
    EXPECT_EQ(done, 2);
    EXPECT_THAT(w->driver.calls, ElementsAre("prepare c1"));
    s = co_await w->manager.unprepare(w->all, other);
    EXPECT_TRUE(s.ok());
    // What is being given up is prepared again for the next.
    tasks.spawn(unprepare(w, pod, &done));
    tasks.spawn(prepare(w, other, &done));
    co_await tasks.join();
    EXPECT_EQ(done, 4);
    EXPECT_THAT(w->driver.calls, ElementsAre("prepare c1", "unprepare c1", "prepare c1"));
    EXPECT_THAT(*w->manager.cdi_devices(*other, other->spec().containers()[0]),
                ElementsAre("example.com/gizmo=c1"));
  }

  static Task<void> refusals(World* w) {
    Status s = co_await w->plugins.add(w->all, w->info());
    EXPECT_TRUE(s.ok());
    s = co_await w->plugins.add(w->all, w->info());
    EXPECT_FALSE(s.ok());
    s = co_await w->manager.prepare(w->all, pod_with("u1"));
    EXPECT_THAT(s.message(), testing::HasSubstr("fetch ResourceClaim c1: "));
    World::make_claim(w, "c1", "");
    s = co_await w->manager.prepare(w->all, pod_with("u1"));
    EXPECT_THAT(s.message(),
                testing::HasSubstr("pod p (u1) is not allowed to use ResourceClaim c1"));
    World::make_claim(w, "c2", kForU1, false);
    s = co_await w->manager.prepare(w->all, pod_with("u1", "c2"));
    EXPECT_EQ(s.message(), "prepare dynamic resources: ResourceClaim c2: not allocated");
    World::make_claim(w, "c3", kForU1);
    w->driver.prepare_error = "no more gizmos";
    s = co_await w->manager.prepare(w->all, pod_with("u1", "c3"));
    EXPECT_EQ(
        s.message(),
        "prepare dynamic resources: NodePrepareResources failed for ResourceClaim c3: no more "
        "gizmos");
    EXPECT_TRUE(w->manager.holds("u1"));  // the driver may have done part of it
  }

  // An agent that was started anew asks the driver again: it may have been started anew, too.
  static Task<void> agent_anew(World* w) {
    World::make_claim(w, "c1", kForU1);
    Status s = co_await w->plugins.add(w->all, w->info());
    s = co_await w->manager.prepare(w->all, pod_with("u1"));
    EXPECT_TRUE(s.ok());
    DraManager fresh(w->ctx, w->client, w->plugins);
    EXPECT_TRUE(fresh.start(w->root).ok());
    EXPECT_TRUE(fresh.holds("u1"));
    s = co_await fresh.prepare(w->all, pod_with("u1"));
    EXPECT_TRUE(s.ok());
    EXPECT_THAT(w->driver.calls, ElementsAre("prepare c1", "prepare c1"));
    EXPECT_EQ(fresh.claims_of(*pod_with("u1"), pod_with("u1")->spec().containers()[0]).size(), 1u);
  }

  static Task<void> health(World* w) {
    w->driver.health = {{"pool/gizmo-0", "HEALTHY"}};
    World::make_claim(w, "c1", kForU1);
    Status s = co_await w->plugins.add(w->all, w->info());
    s = co_await w->manager.prepare(w->all, pod_with("u1"));
    while (w->healths.empty() && !w->all.done()) (void)co_await w->changed.wait(w->all);
    Ref<api::core_v1::Pod> pod = pod_with("u1");
    Draft<api::core_v1::PodEdit> edit(*pod);
    w->manager.fill_status(*pod, edit->edit_status());
    EXPECT_EQ(
        to_json(edit.value()["status"]["containerStatuses"]),
        R"([{"name":"a","allocatedResourcesStatus":[{"name":"claim:g/gizmo","resources":[)"
        R"({"resourceID":"example.com/gizmo=c1","health":"Healthy","message":"it is HEALTHY"}]}]}])");
    EXPECT_THAT(w->manager.pods_with("gizmo.example.com", {{"pool", "gizmo-0"}}),
                ElementsAre("u1"));
  }

  // Two plug-ins of a driver, as while it is replaced: what one tells outlives the other.
  static Task<void> two_plugins(World* w) {
    TestPlugin second(*w->loop);
    second.health = w->driver.health = {{"pool/gizmo-0", "HEALTHY"}};
    PluginInfo info = w->info();
    Status s = co_await w->plugins.add(w->all, info);
    while (w->healths.empty() && !w->all.done()) (void)co_await w->changed.wait(w->all);
    second.listen(w->root + "/second.sock");
    second.health["pool/gizmo-1"] = "HEALTHY";
    PluginInfo newer = info;
    newer.endpoint = w->root + "/second.sock";
    w->changed.reset();
    s = co_await w->plugins.add(w->all, newer);
    EXPECT_TRUE(s.ok());
    while (w->healths.size() < 2 && !w->all.done()) {
      (void)co_await w->changed.wait(w->all);
      w->changed.reset();
    }
    co_await w->plugins.remove(w->all, info);
    co_await w->driver.stop();
    (void)co_await w->all.sleep(50ms);
    EXPECT_EQ(w->plugins.health("gizmo.example.com", "pool", "gizmo-0").status, "Healthy");
    EXPECT_EQ(w->healths.size(), 2u);
    // The last one's end is told.
    co_await second.stop();
    while (w->healths.size() < 4 && !w->all.done()) {
      w->changed.reset();
      (void)co_await w->changed.wait(w->all);
    }
    EXPECT_EQ(w->plugins.health("gizmo.example.com", "pool", "gizmo-0").status, "Unknown");
  }

  // What no driver stands behind is deleted when the agent starts.
  static Task<void> slices(World* w) {
    for (const char* node : {"n1", "n2"}) {
      auto doc = parse_json(R"({"metadata":{"name":"of-)" + std::string(node) +
                            R"("},"spec":{"driver":"d","nodeName":")" + node +
                            R"(","pool":{"name":"p","generation":1,"resourceSliceCount":1}}})");
      auto made = co_await w->client.create<ResourceSlice>(w->all, std::move(*doc));
      EXPECT_TRUE(made.ok()) << made.status().message();
    }
    w->plugins.start();
    size_t left = 2;
    while (left > 1 && !w->all.done()) {
      auto list = co_await w->client.list<ResourceSlice>(w->all, "");
      left = list->size();
      if (left > 1) (void)co_await w->all.sleep(5ms);
    }
    EXPECT_TRUE(w->client.now<ResourceSlice>("", "of-n2"));
  }
};

TEST(Claims, ArePreparedAndGivenUp) { play(&Steps::life); }
TEST(Claims, AreOnePodsAtATime) { play(&Steps::at_once); }
TEST(Claims, AreRefusedInWords) { play(&Steps::refusals); }
TEST(Claims, OutliveTheAgent) { play(&Steps::agent_anew); }
TEST(Claims, HealthIsToldOfPods) { play(&Steps::health); }
TEST(Claims, HealthIsTheLivingPluginsWord) { play(&Steps::two_plugins); }
TEST(Claims, SlicesWithoutADriverGo) { play(&Steps::slices); }

}  // namespace
}  // namespace keles::node
