// DynamicResources over an API server in memory: who has a device from the decision until the API
// shows it.
#include <gtest/gtest.h>

#include "api/resource_v1.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "scheduler/decide_test.h"
#include "scheduler/handle_test.h"

namespace keles::scheduler {
namespace {

using api::resource_v1::ResourceClaim;

// One node, one device.
class DevicePlugin : public DecideTest {
 protected:
  void SetUp() override {
    DecideTest::SetUp();
    Layout layout;
    layout.entries.push_back({"DynamicResources", ~0U, 1});
    profile = std::move(*make_profile("test", layout, nullptr, &handle));
    other = std::move(*make_profile("other", layout, nullptr, &handle));
    node(node_text("a"));
    client.put_yaml(node_text("a"));
    client.put_yaml(
        "{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu}, spec: {}}");
    client.put_yaml(
        "{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: s}, spec: {driver: "
        "d.example.com, nodeName: a, pool: {name: p, generation: 1, resourceSliceCount: 1}, "
        "devices: [{name: one}]}}");
    (void)handle.pods();  // watched from the start, as by the scheduler
    handle.informers().start(ctx);
    rest();
  }
  void TearDown() override {
    ctx.cancel();
    rest();
  }
  void rest(Duration d = 1s) { loop.advance(d); }
  void claim(const std::string& name) {
    client.put_yaml("{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: " +
                    name + ", namespace: default, uid: u-" + name +
                    "}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu, "
                    "allocationMode: ExactCount, count: 1}}]}}}");
    rest();
  }
  void put_pod(const std::string& name, const std::string& claim_name) {
    const std::string text =
        pod_text(name, "  resourceClaims: [{name: c, resourceClaimName: " + claim_name + "}]\n");
    client.put_yaml(text);
    rest();
    waiting = pod(text);
  }
  // What the profile says of the waiting pod on the node.
  std::string judge(Profile& by) {
    cycle = std::make_shared<Cycle>(waiting, by);
    const ClusterView& view = cache.view();
    cycle->view = &view;
    Profile::Prepared p = by.pre_filter(*cycle);
    if (!p.verdict.ok()) return p.verdict.message();
    Plugin* who = nullptr;
    Verdict v = by.filter(*cycle, *view.find("a"), &who);
    return v.ok() ? "ok" : v.message();
  }
  std::string verdict(Profile& by, const std::string& pod_name, const std::string& claim_name) {
    put_pod(pod_name, claim_name);
    return judge(by);
  }
  void reserve() {
    Plugin* who = nullptr;
    EXPECT_TRUE(cycle->profile.reserve(*cycle, "a", &who).ok());
  }

  static constexpr const char* kNone = "cannot allocate all claims";
  SimLoop loop{3};
  FakeClient client{loop};
  Context ctx = Context::root(loop);
  TestHandle handle{client, cache};
  std::unique_ptr<Profile> other;  // of the same scheduler
  PodPtr waiting;
  CyclePtr cycle;
};

TEST_F(DevicePlugin, WhatOneProfileReservesIsTakenInTheOthers) {
  claim("c");
  claim("d");
  EXPECT_EQ(verdict(*profile, "p", "c"), "ok");
  reserve();
  const CyclePtr first = cycle;
  EXPECT_EQ(verdict(*other, "q", "d"), kNone);
  EXPECT_EQ(verdict(*other, "r", "c"),
            "resource claim default/c is in the process of being allocated");
  profile->unreserve(*first, "a");
  EXPECT_EQ(verdict(*other, "q", "d"), "ok");
}

TEST_F(DevicePlugin, WhatIsWrittenIsTakenBeforeItIsShown) {
  claim("c");
  claim("d");
  EXPECT_EQ(verdict(*profile, "p", "c"), "ok");
  reserve();
  const CyclePtr first = cycle;
  put_pod("q", "d");
  // Nothing of the claims is heard for a while.
  const Status away = Status::unavailable("away");
  client.fail("watch", "resourceclaims.resource.k8s.io", away, 4);
  client.break_watches(away);
  std::optional<Status> bound;
  spawn(loop, pre_bind_into(profile.get(), ctx, first, "a", &bound));
  rest(100ms);
  ASSERT_TRUE(bound.has_value());
  ASSERT_TRUE(bound->ok()) << bound->to_string();
  auto known = handle.informers().informer<ResourceClaim>();
  ASSERT_FALSE(known.get("default", "c")->status().has_allocation());
  // The binding fails elsewhere: the allocation stays, whoever uses it.
  profile->unreserve(*first, "a");
  EXPECT_EQ(judge(*profile), kNone);
  rest(10min);
  auto c = client.now<ResourceClaim>("default", "c");
  EXPECT_TRUE(c->status().has_allocation());
  EXPECT_TRUE(c->status().reserved_for().empty());
  EXPECT_EQ(judge(*profile), kNone);
  client.drop(kind_of<ResourceClaim>(), "default", "c");
  rest();
  EXPECT_EQ(judge(*profile), "ok") << "counted once";
}

}  // namespace
}  // namespace keles::scheduler
