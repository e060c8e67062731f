// What keeps storage, by tables; and the controllers against FakeClient on virtual time.
#include "controllers/storage_protection.h"

#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/manager.h"
#include "machinery/codec_yaml.h"

namespace keles::controllers {
namespace {

namespace core = api::core_v1;

template <class T>
Ref<T> read_yaml(const std::string& yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml;
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

TEST(StorageProtection, IsGivenAndTaken) {
  struct Row {
    const char* metadata;
    bool in_use;
    Protection what;
  };
  const char* dying = "deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [f]";
  for (const Row& r : std::initializer_list<Row>{
           {"name: a", false, Protection::kAdd},
           {"name: a, finalizers: [f]", true, Protection::kNothing},
           {"name: a, finalizers: [g]", true, Protection::kAdd},
           {dying, true, Protection::kNothing},
           {dying, false, Protection::kRemove},
           {"deletionTimestamp: '2026-01-01T00:00:00Z'", false, Protection::kNothing}}) {
    auto claim =
        read_yaml<core::PersistentVolumeClaim>("metadata: {" + std::string(r.metadata) + "}");
    EXPECT_EQ(plan_protection(claim->metadata(), "f", r.in_use), r.what) << r.metadata;
  }
}

TEST(StorageProtection, WhatPodsUse) {
  auto claim = read_yaml<core::PersistentVolumeClaim>(
      "metadata: {name: p-v, ownerReferences: [{uid: u, controller: true}]}");
  struct Row {
    const char* pod;
    bool uses;
  };
  for (const Row& r : std::initializer_list<Row>{
           {"spec: {nodeName: n1, volumes: [{name: x, persistentVolumeClaim: {claimName: p-v}}]}",
            true},
           {"spec: {volumes: [{name: x, persistentVolumeClaim: {claimName: p-v}}]}", false},
           // One that its node is done with waits, in the foreground, for the claim that it owns.
           {"{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 0, "
            "finalizers: [foregroundDeletion]}, spec: {nodeName: n1, volumes: [{name: x, "
            "persistentVolumeClaim: {claimName: p-v}}]}}",
            false},
           {"{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: "
            "30}, "
            "spec: {nodeName: n1, volumes: [{name: x, persistentVolumeClaim: {claimName: p-v}}]}}",
            true},
           {"spec: {nodeName: n1, volumes: [{name: x, persistentVolumeClaim: {claimName: q}}]}",
            false},
           {"{metadata: {name: p, uid: u}, spec: {nodeName: n1, volumes: [{name: v, ephemeral: "
            "{}}]}}",
            true},
           {"{metadata: {name: p, uid: other}, spec: {nodeName: n1, volumes: [{name: v, ephemeral: "
            "{}}]}}",
            false},
           {"{metadata: {name: p, uid: u}, spec: {nodeName: n1, volumes: [{name: v, ephemeral: "
            "{}}]}, status: {phase: Succeeded}}",
            false}}) {
    EXPECT_EQ(pod_uses_claim(*read_yaml<core::Pod>(r.pod), *claim), r.uses) << r.pod;
  }
}

Task<void> remove_claim(Context ctx, FakeClient* client) {
  (void)co_await client->remove<core::PersistentVolumeClaim>(ctx, "default", "c");
}

TEST(StorageProtection, AClaimGoesWithTheLastPodThatUsesIt) {
  SimLoop loop{3};
  FakeClient client(loop);
  Manager manager(client, Options());
  Context ctx = Context::root(loop);
  spawn(loop, manager.run(ctx));
  auto rest = [&loop](Duration d) { (void)loop.run_until([] { return false; }, d); };
  client.put_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: default}}");
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: default}}");
  client.put_yaml(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {nodeName: n1, "
      "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}}");
  client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n1}}");
  auto claim = [&] { return client.now<core::PersistentVolumeClaim>("default", "c"); };
  rest(2s);
  ASSERT_TRUE(claim());
  ASSERT_EQ(claim()->metadata().finalizers().size(), 1u);
  spawn(loop, remove_claim(ctx, &client));
  rest(5s);
  EXPECT_TRUE(claim()) << "in use";
  client.drop(kind_of<core::Pod>(), "default", "p");
  rest(5s);
  EXPECT_FALSE(claim());
  ctx.cancel();
  rest(5s);
}

}  // namespace
}  // namespace keles::controllers
