// DynamicResources over an API server in memory: who has a device from the decision until the API
// shows it.
#include <gtest/gtest.h>

#include "api/resource_v1.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_json.h"
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

// Devices with binding conditions (KEP-5007): the pod is bound when the driver says that its device
// is ready; when it fails, or takes too long, the next attempt gives the device back.
class SlowDevice : public DevicePlugin {
 protected:
  void SetUp() override {
    DevicePlugin::SetUp();
    client.put_yaml(
        "{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: s}, spec: {driver: "
        "d.example.com, allNodes: true, pool: {name: p, generation: 2, resourceSliceCount: 1}, "
        "devices: [{name: one, bindsToNode: true, bindingConditions: [attached], "
        "bindingFailureConditions: [lost]}]}}");
    claim("c");
    EXPECT_EQ(verdict(*profile, "p", "c"), "ok");
    reserve();
    EXPECT_TRUE(profile->wants_pre_bind(*cycle, "a"));
    spawn(loop, pre_bind_into(profile.get(), ctx, cycle, "a", &bound));
    rest(2s);
  }
  void say(const std::string& type) {
    auto now = client.now<ResourceClaim>("default", "c");
    Document d;
    d.root = deep_copy(d.arena, now->value());
    auto device = api::resource_v1::ResourceClaimEdit(EditTarget{&d.root, &d.arena})
                      .edit_status()
                      .edit_devices()
                      .add();
    device.set_driver("d.example.com");
    device.set_pool("p");
    device.set_device("one");
    auto condition = device.edit_conditions().add();
    condition.set_type(type);
    condition.set_status("True");
    condition.set_reason("Said");
    client.put(std::move(d));
    rest();
  }
  // What the next attempt of the pod says, and what becomes of the claim.
  void expect_given_back() {
    profile->unreserve(*cycle, "a");
    rest();
    EXPECT_EQ(judge(*profile), "resourceclaim not available on the node");
    Failure f;
    EXPECT_EQ(profile->post_filter(*cycle, f).verdict.code, Code::kUnschedulable);
    EXPECT_EQ(f.post_filter_message, "deallocation of ResourceClaim completed");
    rest();
    EXPECT_FALSE(client.now<ResourceClaim>("default", "c")->status().has_allocation());
    EXPECT_EQ(judge(*profile), "ok");
  }
  std::optional<Status> bound;
};

TEST_F(SlowDevice, IsWaitedFor) {
  rest(1min);
  EXPECT_FALSE(bound.has_value());
  auto c = client.now<ResourceClaim>("default", "c");
  EXPECT_EQ(to_json(c->status().allocation().node_selector().value()),
            R"({"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In",)"
            R"("values":["a"]}]}]})");
  say("attached");
  ASSERT_TRUE(bound.has_value());
  EXPECT_TRUE(bound->ok()) << bound->to_string();
}

TEST_F(SlowDevice, ThatFailsIsGivenBack) {
  say("lost");
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->message(),
            "running PreBind plugin \"DynamicResources\": device binding failed: claim=c, "
            "reason=Said, message=\"\"");
  expect_given_back();
}

// An allocation without a time, by another scheduler, is counted from the first pod that is given
// it; and nobody has to change a claim for it to be late.
TEST_F(SlowDevice, IsLateByTheAllocationsTime) {
  Document d;
  d.root = deep_copy(d.arena, client.now<ResourceClaim>("default", "c")->value());
  api::resource_v1::ResourceClaimEdit(EditTarget{&d.root, &d.arena})
      .edit_status()
      .edit_allocation()
      .clear_allocation_timestamp();
  client.put(std::move(d));
  rest();
  auto join = [this](const char* pod_name, std::optional<Status>* out) {
    EXPECT_EQ(verdict(*profile, pod_name, "c"), "ok");
    reserve();
    spawn(loop, pre_bind_into(profile.get(), ctx, cycle, "a", out));
    rest(2s);
  };
  std::optional<Status> second, third;
  join("q", &second);
  EXPECT_FALSE(client.now<ResourceClaim>("default", "c")
                   ->status()
                   .allocation()
                   .allocation_timestamp()
                   .empty());
  rest(6min);
  join("r", &third);
  EXPECT_FALSE(second.has_value());
  rest(5min);
  ASSERT_TRUE(second.has_value() && third.has_value());
  EXPECT_NE(third->message().find("device binding timeout: claim=c"), std::string::npos)
      << third->message();
}

TEST_F(SlowDevice, ThatTakesTooLongIsGivenBack) {
  rest(11min);
  ASSERT_TRUE(bound.has_value());
  EXPECT_FALSE(bound->ok());
  expect_given_back();
}

}  // namespace
}  // namespace keles::scheduler
