// The provisioner of local clusters: from a claim with a node to a volume there, and back.
#include "controllers/storage/local_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using namespace api::core_v1;
using api::storage_v1::StorageClass;
using testing::HasSubstr;

TEST(LocalPath, WhatItTakes) {
  struct Row {
    const char *spec, *why;
  };
  for (const Row& r : std::initializer_list<Row>{
           {"accessModes: [ReadWriteOnce]", ""},
           {"accessModes: [ReadWriteOncePod]", ""},
           {"accessModes: [ReadWriteMany]",
            "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"},
           {"volumeMode: Block", "block volumes are not supported"},
           {"selector: {}", "claim.Spec.Selector is not supported"}}) {
    auto claim = parse<PersistentVolumeClaim>("{spec: {" + std::string(r.spec) + "}}");
    EXPECT_EQ(check_local_path(*claim).message(), r.why) << r.spec;
  }
}

TEST(LocalPath, WhenAVolumeGoes) {
  struct Row {
    const char *by, *policy, *phase, *metadata;
    bool goes;
  };
  const char* dying = ", deletionTimestamp: '2026-01-01T00:00:00Z'";
  for (const Row& r :
       std::initializer_list<Row>{{"rancher.io/local-path", "Delete", "Bound", "", false},
                                  {"rancher.io/local-path", "Delete", "Released", "", true},
                                  {"rancher.io/local-path", "Retain", "Released", "", false},
                                  {"x.io/y", "Delete", "Released", "", false},
                                  {"rancher.io/local-path", "Delete", "Available", dying, true},
                                  {"rancher.io/local-path", "Delete", "Bound", dying, false}}) {
    auto v = parse<PersistentVolume>(
        "{metadata: {annotations: {pv.kubernetes.io/provisioned-by: " + std::string(r.by) + "}" +
        r.metadata + "}, spec: {persistentVolumeReclaimPolicy: " + r.policy +
        "}, status: {phase: " + r.phase + "}}");
    EXPECT_EQ(wants_removal(*v), r.goes) << r.by << r.policy << r.phase << r.metadata;
  }
}

class LocalPathTest : public testing::Test {
 protected:
  LocalPathTest() {
    log::set_output(-1);
    options.storage.local_path_directory = "/data";
    provisioner.emplace(Deps{client, informers, options});
    informers.start(ctx);
    spawn(loop,
          [](Context c, Controller* p) -> Task<void> { co_await p->run(c); }(ctx, &*provisioner));
    rest();
    client.put_yaml(
        "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {kubernetes.io/hostname: h1}}}");
  }
  ~LocalPathTest() override {
    ctx.cancel();
    loop.advance(2min);
  }
  void rest(Duration d = 3s) { loop.advance(d); }
  void put_claim(const std::string& mode = "ReadWriteOnce", const std::string& uid = "u") {
    client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns, uid: " +
        uid +
        ", annotations: {volume.kubernetes.io/selected-node: n1, "
        "volume.kubernetes.io/storage-provisioner: rancher.io/local-path}}, spec: {accessModes: [" +
        mode + "], storageClassName: standard, resources: {requests: {storage: 1Gi}}}}");
    rest();
  }
  Ref<Pod> helper(const char* name) { return client.now<Pod>("local-path-storage", name); }
  void end(const char* name, const char* phase) {
    Draft<PodEdit> next(*helper(name));
    next->edit_status().set_phase(phase);
    client.put(kind_of<Pod>(), next.take());
    rest();
  }
  void set_phase(const char* phase, const char* volume = "pvc-u") {
    Draft<PersistentVolumeEdit> next(*client.now<PersistentVolume>("", volume));
    next->edit_status().set_phase(phase);
    client.put(kind_of<PersistentVolume>(), next.take());
    rest();
  }
  std::string events() {
    std::string out;
    for (const auto& e : client.all<api::core_v1::Event>())
      out += std::string(e->reason()) + " " + std::string(e->message()) + "\n";
    return out;
  }
  SimLoop loop{9};
  FakeClient client{loop};
  InformerFactory informers{client};
  Options options;
  Context ctx = Context::root(loop);
  std::optional<LocalPathProvisioner> provisioner;
};

TEST_F(LocalPathTest, FromClaimToVolumeAndBack) {
  auto standard = client.now<StorageClass>("", "standard");
  ASSERT_TRUE(standard);
  EXPECT_EQ(standard->volume_binding_mode(), "WaitForFirstConsumer");
  put_claim();
  auto pod = helper("helper-pod-create-pvc-u");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->spec().node_name(), "n1");
  EXPECT_EQ(pod->spec().containers()[0].args()[1], "/data/pvc-u_ns_c");
  EXPECT_FALSE(client.now<PersistentVolume>("", "pvc-u"));
  end("helper-pod-create-pvc-u", "Succeeded");
  auto v = client.now<PersistentVolume>("", "pvc-u");
  ASSERT_TRUE(v);
  EXPECT_EQ(v->spec().host_path().path(), "/data/pvc-u_ns_c");
  EXPECT_EQ(v->spec().claim_ref().uid(), "u");
  EXPECT_EQ(v->spec()
                .node_affinity()
                .required()
                .node_selector_terms()[0]
                .match_expressions()[0]
                .values()[0],
            "h1");
  EXPECT_FALSE(helper("helper-pod-create-pvc-u"));
  EXPECT_THAT(events(), HasSubstr("ProvisioningSucceeded Successfully provisioned volume pvc-u"));
  set_phase("Bound");
  EXPECT_FALSE(helper("helper-pod-delete-pvc-u"));
  set_phase("Released");
  ASSERT_TRUE(helper("helper-pod-delete-pvc-u"));
  EXPECT_EQ(helper("helper-pod-delete-pvc-u")->spec().containers()[0].args()[0],
            "remove-directory");
  end("helper-pod-delete-pvc-u", "Succeeded");
  EXPECT_FALSE(client.now<PersistentVolume>("", "pvc-u"));
  EXPECT_FALSE(helper("helper-pod-delete-pvc-u"));
}

TEST_F(LocalPathTest, WhatFailsGoesBackToTheScheduler) {
  put_claim("ReadWriteMany");
  EXPECT_THAT(events(), HasSubstr("ProvisioningFailed failed to provision volume with StorageClass "
                                  "\"standard\": NodePath only supports"));
  EXPECT_FALSE(client.now<PersistentVolumeClaim>("ns", "c")->metadata().annotations().contains(
      "volume.kubernetes.io/selected-node"));
  put_claim();
  end("helper-pod-create-pvc-u", "Failed");
  EXPECT_THAT(events(), HasSubstr("failed to create volume pvc-u: the helper pod failed"));
  EXPECT_FALSE(helper("helper-pod-create-pvc-u"));
}

TEST_F(LocalPathTest, AHelperGoesWithWhatItWasMadeFor) {
  put_claim();
  ASSERT_TRUE(helper("helper-pod-create-pvc-u"));
  client.drop(kind_of<PersistentVolumeClaim>(), "ns", "c");
  rest();
  EXPECT_FALSE(helper("helper-pod-create-pvc-u"));
  // Another of the same name takes the first one's place at once.
  put_claim();
  ASSERT_TRUE(helper("helper-pod-create-pvc-u"));
  client.drop(kind_of<PersistentVolumeClaim>(), "ns", "c");
  put_claim("ReadWriteOnce", "w");
  EXPECT_FALSE(helper("helper-pod-create-pvc-u"));
  EXPECT_TRUE(helper("helper-pod-create-pvc-w"));
  // Likewise with a volume that somebody took away while its directory was being removed.
  end("helper-pod-create-pvc-w", "Succeeded");
  set_phase("Released", "pvc-w");
  ASSERT_TRUE(helper("helper-pod-delete-pvc-w"));
  client.drop(kind_of<PersistentVolumeClaim>(), "ns", "c");
  client.drop(kind_of<PersistentVolume>(), "", "pvc-w");
  rest();
  EXPECT_FALSE(helper("helper-pod-delete-pvc-w"));
}

TEST_F(LocalPathTest, NothingElseIsRemoved) {
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pvc-u, annotations: "
      "{pv.kubernetes.io/provisioned-by: rancher.io/local-path, "
      "local.path.provisioner/selected-node: n1}}, spec: {persistentVolumeReclaimPolicy: Delete, "
      "hostPath: {path: /etc/x}}, status: {phase: Released}}");
  rest();
  EXPECT_FALSE(helper("helper-pod-delete-pvc-u"));
  EXPECT_THAT(events(), HasSubstr("/etc/x is no directory of this provisioner"));
}

TEST_F(LocalPathTest, WhoDeletesTheClassHasDeletedIt) {
  client.drop(kind_of<StorageClass>(), "", "standard");
  InformerFactory again(client);
  LocalPathProvisioner second(Deps{client, again, options});
  Context until = ctx.child();
  again.start(until);
  spawn(loop, [](Context c, Controller* p) -> Task<void> { co_await p->run(c); }(until, &second));
  rest();
  EXPECT_FALSE(client.now<StorageClass>("", "standard"));
  until.cancel();
  rest();
}

}  // namespace
}  // namespace keles::controllers
