// DynamicResources over an API server in memory: who has a device from the decision until the API
// shows it.
#include <gtest/gtest.h>

#include "api/resource_v1.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_json.h"
#include "scheduler/decide_test.h"
#include "scheduler/dra/claims.h"
#include "scheduler/dra/extended_resources.h"
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

TEST_F(DevicePlugin, WhichClaimsHelpWhom) {
  claim("c");
  claim("d");
  put_pod("p", "c");
  auto known = handle.informers().informer<ResourceClaim>();
  auto hint = [&](const ObjectPtr& before, const ObjectPtr& now) {
    Event e;
    e.bits = before ? updated(Watched::kResourceClaim) : added(Watched::kResourceClaim);
    e.before = before;
    e.now = now;
    return profile->plugins()[0]->hint(*waiting, e);
  };
  const ObjectPtr c = known.base().get("default", "c"), d = known.base().get("default", "d");
  EXPECT_EQ(hint(nullptr, c), Hint::kQueue) << "its own has come";
  EXPECT_EQ(hint(nullptr, d), Hint::kSkip) << "another's";
  EXPECT_EQ(hint(c, c), Hint::kSkip) << "nothing of its status is new";
  EXPECT_EQ(verdict(*profile, "p", "c"), "ok");
  reserve();
  std::optional<Status> bound;
  spawn(loop, pre_bind_into(profile.get(), ctx, cycle, "a", &bound));
  rest();
  const ObjectPtr taken = known.base().get("default", "c");
  EXPECT_EQ(hint(c, taken), Hint::kQueue) << "its own is allocated";
  put_pod("q", "d");
  EXPECT_EQ(hint(c, taken), Hint::kSkip) << "another's is allocated";
  EXPECT_EQ(hint(taken, c), Hint::kQueue) << "another's devices are free";
}

TEST_F(DevicePlugin, AClaimOfAsManyAsMayUseItIsInUse) {
  claim("c");
  Document d;
  d.root = deep_copy(d.arena, client.now<ResourceClaim>("default", "c")->value());
  auto status = api::resource_v1::ResourceClaimEdit(EditTarget{&d.root, &d.arena}).edit_status();
  status.edit_allocation().edit_devices();
  for (int i = 0; i < 256; ++i) {
    auto user = status.edit_reserved_for().add();
    user.set_resource("pods");
    user.set_name("other");
    user.set_uid("uid-n" + std::to_string(i));
  }
  client.put(std::move(d));
  EXPECT_EQ(verdict(*profile, "p", "c"), "resourceclaim in use");
  EXPECT_EQ(verdict(*profile, "n7", "c"), "ok") << "one of them";
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

// Extended resources that a class stands for (KEP-5004).
class DevicesByResource : public DevicePlugin {
 protected:
  void SetUp() override {
    DevicePlugin::SetUp();
    Layout layout;
    layout.entries.push_back({"NodeResourcesFit", ~0U, 1});
    layout.entries.push_back({"DynamicResources", ~0U, 1});
    profile = std::move(*make_profile("test", layout, nullptr, &handle));
    client.put_yaml(
        "{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu}, spec: "
        "{extendedResourceName: a.b/gpu}}");
    rest();
  }
  void put(const std::string& name, const std::string& resource = "a.b/gpu") {
    const std::string text =
        "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: default, uid: u-" +
        name +
        "}, spec: {schedulerName: test, containers: [{name: main, image: i, resources: "
        "{limits: {" +
        resource + ": '1'}, requests: {" + resource + ": '1'}}}]}}";
    client.put_yaml(text);
    rest();
    waiting = extract_pod(*client.now<api::core_v1::Pod>("default", name));
  }
  Ref<ResourceClaim> made_for(const std::string& pod) {
    auto of = client.now<api::core_v1::Pod>("default", pod);
    const std::string name(of->status().extended_resource_claim_status().resource_claim_name());
    return name.empty() ? Ref<ResourceClaim>() : client.now<ResourceClaim>("default", name);
  }
  std::optional<Status> bind() {
    std::optional<Status> bound;
    EXPECT_TRUE(profile->wants_pre_bind(*cycle, "a"));
    spawn(loop, pre_bind_into(profile.get(), ctx, cycle, "a", &bound));
    rest();
    return bound;
  }
};

TEST_F(DevicesByResource, AClaimIsMadeForThem) {
  for (const char* resource : {"a.b/gpu", "deviceclass.resource.kubernetes.io/gpu"}) {
    put("p", resource);
    ASSERT_EQ(judge(*profile), "ok") << resource;
    reserve();
    const CyclePtr first = cycle;
    put("q", resource);
    EXPECT_EQ(judge(*profile), kNone) << "taken from the decision on";
    cycle = first;
    const auto bound = bind();
    ASSERT_TRUE(bound && bound->ok()) << bound->to_string();
    const Ref<ResourceClaim> claim = made_for("p");
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->metadata().annotations().get(dra::kExtendedClaim), "true");
    EXPECT_EQ(to_json(claim->value()["spec"]),
              R"({"devices":{"requests":[{"name":"container-0-request-0","exactly":)"
              R"({"deviceClassName":"gpu","allocationMode":"ExactCount","count":1}}]}})");
    EXPECT_TRUE(dra::is_reserved_for(*claim, "u-p"));
    EXPECT_EQ(to_json(client.now<api::core_v1::Pod>("default", "p")
                          ->value()["status"]["extendedResourceClaimStatus"]["requestMappings"]),
              R"([{"containerName":"main","resourceName":")" + std::string(resource) +
                  R"(","requestName":"container-0-request-0"}])");
    put("q", resource);
    EXPECT_EQ(judge(*profile), kNone) << "taken when it is written";
    // The binding fails elsewhere: the claim goes, and the device is free.
    profile->unreserve(*first, "a");
    rest();
    EXPECT_FALSE(client.now<ResourceClaim>("default", std::string(claim->metadata().name())));
    put("q", resource);
    EXPECT_EQ(judge(*profile), "ok");
  }
}

TEST_F(DevicesByResource, WhatADevicePluginHasIsNotTaken) {
  node("{metadata: {name: a}, status: {allocatable: {cpu: '4', pods: '110', a.b/gpu: '1'}}}");
  put("p");
  ASSERT_EQ(judge(*profile), "ok");
  reserve();
  EXPECT_FALSE(profile->wants_pre_bind(*cycle, "a"));
  put("q", "a.b/other");
  EXPECT_EQ(judge(*profile), "Insufficient a.b/other");
}

TEST_F(DevicesByResource, AClaimOfAnEarlierAttemptIsClearedAway) {
  put("p");
  client.put_yaml(
      "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: old, namespace: "
      "default, uid: u-old, finalizers: [resource.kubernetes.io/delete-protection], annotations: "
      "{resource.kubernetes.io/extended-resource-claim: 'true'}, ownerReferences: [{apiVersion: "
      "v1, kind: Pod, name: p, uid: u-p, controller: true}]}, spec: {devices: {requests: [{name: "
      "r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1}}]}}}");
  rest();
  EXPECT_EQ(judge(*profile), "cannot schedule extended resource claim");
  Failure f;
  EXPECT_EQ(profile->post_filter(*cycle, f).verdict.code, Code::kUnschedulable);
  EXPECT_EQ(f.post_filter_message, "deletion of ResourceClaim completed");
  rest();
  EXPECT_FALSE(client.now<ResourceClaim>("default", "old"));
  EXPECT_EQ(judge(*profile), "ok");
}

}  // namespace
}  // namespace keles::scheduler
