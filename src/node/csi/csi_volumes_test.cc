// Volumes of a driver on a real socket, against an API server in memory.
#include "node/csi/csi_volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "node/csi/fake_driver.h"
#include "node/testing.h"
#include "node/volumes/volumes.h"

namespace keles::node {
namespace {

using namespace api::core_v1;
using api::storage_v1::CSINode;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kDriver = "fruit.example.com";

struct Told final : Events {
  std::vector<std::string> events;
  void pod(const Ref<Pod>&, std::string, std::string, std::string reason, std::string) override {
    events.push_back(std::move(reason));
  }
  void volume(const Ref<api::core_v1::PersistentVolume>&, std::string, std::string,
              std::string) override {}
  void node(std::string, std::string, std::string) override {}
};

struct World {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string root = directory.path();
  FakeClient client{*loop};
  FakeCsiDriver driver;
  Told told;
  CsiDrivers drivers{client, "n1"};
  std::unique_ptr<CsiVolumes> volumes = fresh();
  Context ctx = Context::root(*loop).with_timeout(60s);

  std::unique_ptr<CsiVolumes> fresh() {
    auto v = std::make_unique<CsiVolumes>(root, "n1", client, drivers, told);
    v->tokens_from(
        [](Context, Ref<Pod>, std::string audience, int64_t) { return token(audience); });
    return v;
  }
  static Task<Result<CsiVolumes::Token>> token(std::string audience) {
    CsiVolumes::Token t;
    t.token = "for-" + audience;
    t.expires = "2030-01-01T00:00:00Z";
    co_return t;
  }
  PluginInfo info() const {
    PluginInfo i;
    i.type = kCsiPlugin;
    i.name = kDriver;
    i.endpoint = root + "/csi.sock";
    i.versions = {"1.0.0"};
    return i;
  }
  void put_driver(const std::string& more) {
    client.put_yaml("{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: " +
                    std::string(kDriver) + "}, spec: {" + more + "}}");
  }
  void start() {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n1}}");
    driver.listen(*loop, root + "/csi.sock");
    Status s = run_task(*loop, drivers.add(ctx, info()));
    ASSERT_TRUE(s.ok()) << s.to_string();
  }
  // A pod's volume "data": of a claim, with what its PersistentVolume says.
  CsiRequest request(const std::string& uid, const std::string& spec = "") {
    CsiRequest r;
    r.pod = pod_from(R"({"metadata":{"name":"p","namespace":"ns","uid":")" + uid +
                     R"("},"spec":{"serviceAccountName":"sa"}})");
    r.volume = "data";
    auto pv = client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-1}, spec: {accessModes: "
        "[ReadWriteOnce], capacity: {storage: 1Gi}, csi: {driver: fruit.example.com, volumeHandle: "
        "h/1, fsType: ext4, volumeAttributes: {colour: red}}" +
        spec + "}}");
    r.persistent = read<PersistentVolume>(pv);
    r.claim = read<PersistentVolumeClaim>(
        client.put_yaml("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, "
                        "namespace: ns}, status: {capacity: {storage: 1Gi}}}"));
    return r;
  }
  Result<CsiMounted> set_up(CsiRequest r) { return run_task(*loop, volumes->set_up(ctx, r)); }
  Status tear_down(const std::string& uid) { return run_task(*loop, volumes->tear_down(ctx, uid)); }
  // Paths below the root that are there, beside the socket.
  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& e : std::filesystem::recursive_directory_iterator(root))
      if (!e.is_directory() && e.path().filename() != "csi.sock")
        out.push_back(std::filesystem::relative(e.path(), root));
    std::sort(out.begin(), out.end());
    return out;
  }
  void end() { run_task(*loop, driver.stop()); }
};

TEST(CsiDrivers, ANodeTellsOfItsDrivers) {
  World w;
  w.driver.max_volumes = 5;
  w.start();
  auto node = w.client.now<Node>("", "n1");
  EXPECT_EQ(node->metadata().annotations().get("csi.volume.kubernetes.io/nodeid"),
            R"({"fruit.example.com":"node-7"})");
  EXPECT_EQ(node->metadata().labels().get("topology.fruit.example.com/shelf"), "a");
  auto csi = w.client.now<CSINode>("", "n1");
  ASSERT_EQ(csi->spec().drivers().size(), 1u);
  EXPECT_EQ(csi->spec().drivers()[0].node_id(), "node-7");
  EXPECT_EQ(csi->spec().drivers()[0].topology_keys()[0], "topology.fruit.example.com/shelf");
  EXPECT_EQ(csi->spec().drivers()[0].allocatable().count(), 5);
  EXPECT_EQ(csi->metadata().owner_references()[0].uid(), node->metadata().uid());
  // Once more changes nothing.
  w.client.clear_calls();
  EXPECT_TRUE(run_task(*w.loop, w.drivers.add(w.ctx, w.info())).ok());
  for (const FakeCall& c : w.client.calls()) EXPECT_EQ(c.verb, "get") << c.to_string();
  // Another place of the same name is refused, and the place that left takes nothing with it.
  PluginInfo other = w.info();
  other.endpoint = "/elsewhere.sock";
  EXPECT_THAT(w.drivers.validate(other).message(), HasSubstr("already registered"));
  run_task(*w.loop, w.drivers.remove(w.ctx, other));
  EXPECT_TRUE(w.drivers.find(kDriver).ok());
  run_task(*w.loop, w.drivers.remove(w.ctx, w.info()));
  EXPECT_EQ(w.drivers.find(kDriver).status().message(),
            "driver name fruit.example.com not found in the list of registered CSI drivers");
  EXPECT_EQ(w.client.now<CSINode>("", "n1")->spec().drivers().size(), 0u);
  EXPECT_FALSE(w.client.now<Node>("", "n1")->metadata().annotations().contains(
      "csi.volume.kubernetes.io/nodeid"));
  w.end();
}

TEST(CsiDrivers, VersionsAndTopologyThatDoNotFitAreRefused) {
  using Versions = std::vector<std::string>;
  EXPECT_EQ(*highest_csi_version({"1.0.0", "v1.10", "1.9.1", "2.0.0"}), std::pair(1, 10));
  for (const Versions& bad : {Versions{"0.3.0"}, Versions{"2.0.0"}, Versions{"x"}, Versions{"1"}})
    EXPECT_FALSE(highest_csi_version(bad).ok()) << bad[0];
  World w;
  w.start();
  w.driver.topology["topology.fruit.example.com/shelf"] = "b";
  Status s = run_task(*w.loop, w.drivers.add(w.ctx, w.info()));
  EXPECT_THAT(s.message(), HasSubstr("detected topology value collision"));
  w.end();
}

TEST(CsiVolumes, OneStageForAllPodsAndNothingIsLeft) {
  World w;
  w.start();
  w.put_driver("attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: [Persistent]");
  auto one = w.set_up(w.request("u1"));
  ASSERT_TRUE(one.ok()) << one.status().to_string();
  EXPECT_EQ(one->path, w.root + "/pods/u1/volumes/kubernetes.io~csi/pv-1/mount");
  auto two = w.set_up(w.request("u2"));
  ASSERT_TRUE(two.ok());
  EXPECT_THAT(w.driver.calls,
              ElementsAre("NodeStageVolume", "NodePublishVolume", "NodePublishVolume"));
  EXPECT_THAT(w.driver.last["NodeStageVolume"], HasSubstr("/globalmount"));
  const std::string& published = w.driver.last["NodePublishVolume"];
  for (const char* part :
       {R"("volume_id":"h/1")", R"("fs_type":"ext4")", R"("mode":"SINGLE_NODE_WRITER")",
        R"("colour":"red")", R"("csi.storage.k8s.io/pod.name":"p")",
        R"("csi.storage.k8s.io/pod.uid":"u2")", R"("csi.storage.k8s.io/serviceAccount.name":"sa")",
        R"("csi.storage.k8s.io/ephemeral":"false")"})
    EXPECT_THAT(published, HasSubstr(part));
  auto data = load_volume_data(w.root + "/pods/u1/volumes/kubernetes.io~csi/pv-1");
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(data->at("volumeHandle"), "h/1");
  EXPECT_EQ(data->at("driverName"), kDriver);
  EXPECT_EQ(data->at("volumeLifecycleMode"), "Persistent");
  w.driver.calls.clear();
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_THAT(w.driver.calls, ElementsAre("NodeUnpublishVolume"));
  EXPECT_TRUE(w.tear_down("u2").ok());
  EXPECT_THAT(w.driver.calls,
              ElementsAre("NodeUnpublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"));
  EXPECT_THAT(w.files(), ElementsAre());
  w.end();
}

TEST(CsiVolumes, AnAgentThatStartsAnewFindsAllAndLeavesNothing) {
  World w;
  w.start();
  w.put_driver("attachRequired: false, volumeLifecycleModes: [Persistent]");
  ASSERT_TRUE(w.set_up(w.request("u1")).ok());
  w.volumes = w.fresh();
  // What a pod has stays staged, though this agent never saw the pod.
  EXPECT_TRUE(run_task(*w.loop, w.volumes->clean(w.ctx)).ok());
  EXPECT_EQ(w.driver.calls.back(), "NodePublishVolume");
  // Nor does a stage that fails for the next pod take it back.
  w.driver.failing["NodeStageVolume"] = Status(Reason::kBadRequest, "no such thing");
  EXPECT_FALSE(w.set_up(w.request("u2")).ok());
  EXPECT_TRUE(w.tear_down("u2").ok());
  EXPECT_EQ(w.files().size(), 2u);
  w.driver.failing.clear();
  // A driver that is not there keeps all as it is.
  run_task(*w.loop, w.drivers.remove(w.ctx, w.info()));
  EXPECT_FALSE(w.tear_down("u1").ok());
  EXPECT_EQ(w.files().size(), 2u);
  EXPECT_TRUE(run_task(*w.loop, w.drivers.add(w.ctx, w.info())).ok());
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_THAT(w.files(), ElementsAre());
  EXPECT_EQ(w.driver.calls.back(), "NodeUnstageVolume");
  w.end();
}

TEST(CsiVolumes, FailuresAreToldAndCleanedUpWhenTheyAreFinal) {
  World w;
  w.start();
  w.put_driver("attachRequired: false, volumeLifecycleModes: [Persistent]");
  w.driver.failing["NodeStageVolume"] = Status(Reason::kUnavailable, "not now");
  auto r = w.set_up(w.request("u1"));
  EXPECT_EQ(r.status().message(),
            "MountVolume.MountDevice failed for volume \"pv-1\" : rpc error: code = Unavailable "
            "desc = not now");
  EXPECT_EQ(w.files().size(), 1u);  // it may be staged
  w.driver.failing["NodeStageVolume"] = Status(Reason::kBadRequest, "no such thing");
  EXPECT_FALSE(w.set_up(w.request("u1")).ok());
  EXPECT_EQ(w.files().size(), 1u);  // still
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_EQ(w.driver.calls.back(), "NodeUnstageVolume");
  EXPECT_THAT(w.files(), ElementsAre());
  EXPECT_FALSE(w.set_up(w.request("u1")).ok());  // at once for good: there is nothing to unstage
  EXPECT_THAT(w.files(), ElementsAre());
  w.driver.failing.clear();
  w.driver.failing["NodePublishVolume"] = Status(Reason::kBadRequest, "no such place");
  r = w.set_up(w.request("u1"));
  EXPECT_EQ(r.status().message(),
            "MountVolume.SetUp failed for volume \"pv-1\" : rpc error: code = InvalidArgument desc "
            "= no such place");
  w.driver.failing.clear();
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_THAT(w.files(), ElementsAre());
  // A driver that the node has not.
  run_task(*w.loop, w.drivers.remove(w.ctx, w.info()));
  r = w.set_up(w.request("u1"));
  EXPECT_EQ(r.status().message(),
            "MountVolume.MountDevice failed for volume \"pv-1\" : kubernetes.io/csi: "
            "attacher.MountDevice failed to create newCsiDriverClient: driver name "
            "fruit.example.com not found in the list of registered CSI drivers");
  w.end();
}

TEST(CsiVolumes, WhatIsAttachedIsSaidToBeInUseFirst) {
  World w;
  w.start();
  w.put_driver("volumeLifecycleModes: [Persistent]");
  w.client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: "
      "csi-9a1e60491b7513f39969cbf1526136340c7cef434b8da528bd93e19763b0bd04}, spec: {attacher: "
      "fruit.example.com, nodeName: n1, source: {persistentVolumeName: pv-1}}, status: {attached: "
      "true, attachmentMetadata: {device: sdb}}}");
  auto attached = pod_from(
      R"({"status":{"volumesAttached":[{"name":"kubernetes.io/csi/fruit.example.com^h/1"}]}})");
  w.volumes->observe(Node(attached->value()));
  auto r = w.set_up(w.request("u1"));
  ASSERT_TRUE(r.ok()) << r.status().to_string();
  EXPECT_EQ(w.client.now<Node>("", "n1")->status().volumes_in_use()[0],
            "kubernetes.io/csi/fruit.example.com^h/1");
  EXPECT_THAT(w.driver.last["NodeStageVolume"], HasSubstr(R"("publish_context":{"device":"sdb"})"));
  EXPECT_THAT(w.driver.last["NodePublishVolume"],
              HasSubstr(R"("publish_context":{"device":"sdb"})"));
  // A Node that was deleted is registered again: with what is in use.
  EXPECT_FALSE(w.volumes->observe(*w.client.now<Node>("", "n1")));
  w.client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n1, uid: other}}");
  EXPECT_TRUE(w.volumes->observe(*w.client.now<Node>("", "n1")));
  EXPECT_TRUE(run_task(*w.loop, w.volumes->report_in_use(w.ctx)).ok());
  EXPECT_EQ(w.client.now<Node>("", "n1")->status().volumes_in_use().size(), 1u);
  EXPECT_TRUE(run_task(*w.loop, w.drivers.tell_again(w.ctx)).ok());
  EXPECT_EQ(w.client.now<CSINode>("", "n1")->metadata().owner_references()[0].uid(),
            w.client.now<Node>("", "n1")->metadata().uid());
  EXPECT_EQ(w.client.now<CSINode>("", "n1")->spec().drivers().size(), 1u);
  EXPECT_THAT(std::string(w.client.now<Node>("", "n1")->metadata().annotations().get(
                  "csi.volume.kubernetes.io/nodeid")),
              HasSubstr(kDriver));
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_EQ(w.client.now<Node>("", "n1")->status().volumes_in_use().size(), 0u);
  w.end();
}

TEST(CsiVolumes, InlineVolumesTokensAndSecrets) {
  World w;
  w.start();
  CsiRequest r;
  r.pod = pod_from(
      R"({"metadata":{"name":"p","namespace":"ns","uid":"u1"},"spec":{"serviceAccountName":"sa",
      "volumes":[{"name":"data","csi":{"driver":"fruit.example.com","volumeAttributes":{"a":"b"},
      "nodePublishSecretRef":{"name":"s"}}}]}})");
  r.volume = "data";
  EXPECT_THAT(w.set_up(r).status().message(), HasSubstr("(no CSIDriver object)"));
  w.put_driver("volumeLifecycleModes: [Persistent]");
  EXPECT_THAT(w.set_up(r).status().message(), HasSubstr("(only supports [\"Persistent\"])"));
  w.put_driver(
      "volumeLifecycleModes: [Ephemeral], requiresRepublish: true, tokenRequests: [{audience: "
      "vault}]");
  EXPECT_THAT(w.set_up(r).status().message(),
              HasSubstr("fetching NodePublishSecretRef ns/s failed"));
  w.client.put_yaml(
      "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, data: {k: dmFsdWU=}}");
  auto got = w.set_up(r);
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_TRUE(got->republish);
  const std::string& published = w.driver.last["NodePublishVolume"];
  EXPECT_THAT(published, HasSubstr(R"("k":"value")"));
  EXPECT_THAT(published, HasSubstr(R"(\"vault\":{\"token\":\"for-vault\")"));
  EXPECT_THAT(published, HasSubstr(inline_handle("u1", "data")));
  EXPECT_THAT(w.driver.calls, ElementsAre("NodePublishVolume"));  // nothing to stage
  r.again = true;
  EXPECT_TRUE(w.set_up(r).ok());
  // One that fails takes nothing from the pod.
  w.driver.failing["NodePublishVolume"] = Status(Reason::kBadRequest, "expired");
  EXPECT_FALSE(w.set_up(r).ok());
  EXPECT_TRUE(path_exists(got->path));
  w.driver.failing.clear();
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_THAT(w.files(), ElementsAre());
  w.end();
}

// A driver that fails keeps no other volume of a running pod from being brought up to date; and a
// pod that has ended lets go of all of them.
TEST(CsiVolumes, AmongOtherVolumesOfAPod) {
  World w;
  w.start();
  w.put_driver("volumeLifecycleModes: [Ephemeral], requiresRepublish: true");
  Context life = w.ctx.child();
  ObjectCache objects(life, w.client, [](const std::string&) {});
  Volumes all(w.root, w.client, objects, w.told);
  all.use(*w.volumes);
  auto pod = [](const std::string& colour) {
    return pod_from(R"({"metadata":{"name":"p","namespace":"ns","uid":"u1","labels":{"c":")" +
                    colour + R"("}},"spec":{"serviceAccountName":"sa","containers":[{"name":"a",
      "volumeMounts":[{"name":"data","mountPath":"/d"},{"name":"about","mountPath":"/a"}]}],
      "volumes":[{"name":"data","csi":{"driver":"fruit.example.com"}},{"name":"about",
      "downwardAPI":{"items":[{"path":"c","fieldRef":{"fieldPath":"metadata.labels['c']"}}]}}]}})");
  };
  auto got = run_task(*w.loop, all.setup(w.ctx, pod("red"), PodFacts(), MountedVolumes()));
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  MountedVolumes known = *got;
  known["data"].looked_at = WallTime{};
  w.driver.failing["NodePublishVolume"] = Status(Reason::kBadRequest, "expired");
  got = run_task(*w.loop, all.setup(w.ctx, pod("green"), PodFacts(), known));
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_THAT(got->at("data").trouble, HasSubstr("expired"));
  EXPECT_EQ(got->at("data").path, known["data"].path);
  EXPECT_EQ(*read_file(got->at("about").path + "/c"), "green");
  w.driver.failing.clear();
  w.driver.failing["NodeUnpublishVolume"] = Status(Reason::kUnavailable, "not now");
  EXPECT_FALSE(run_task(*w.loop, all.give_up(w.ctx, "u1")).ok());
  EXPECT_TRUE(path_exists(got->at("about").path));
  w.driver.failing.clear();
  EXPECT_TRUE(run_task(*w.loop, all.give_up(w.ctx, "u1")).ok());
  EXPECT_EQ(w.driver.calls.back(), "NodeUnpublishVolume");
  EXPECT_THAT(w.files(), ElementsAre());
  EXPECT_TRUE(path_exists(w.root + "/pods/u1"));  // until the object is gone
  life.cancel();
  run_task(*w.loop, objects.join());
  w.end();
}

TEST(CsiVolumes, BlockDevices) {
  World w;
  w.start();
  w.put_driver("attachRequired: false, volumeLifecycleModes: [Persistent]");
  auto got = w.set_up(w.request("u1", ", volumeMode: Block"));
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_TRUE(got->device);
  EXPECT_EQ(got->path, w.root + "/plugins/kubernetes.io/csi/volumeDevices/publish/pv-1/u1");
  EXPECT_THAT(w.driver.last["NodePublishVolume"], HasSubstr(R"("block":{})"));
  EXPECT_TRUE(
      std::filesystem::is_symlink(w.root + "/pods/u1/volumeDevices/kubernetes.io~csi/pv-1"));
  EXPECT_TRUE(w.tear_down("u1").ok());
  EXPECT_THAT(w.driver.calls, ElementsAre("NodeStageVolume", "NodePublishVolume",
                                          "NodeUnpublishVolume", "NodeUnstageVolume"));
  EXPECT_THAT(w.files(), ElementsAre());
  w.end();
}

TEST(CsiVolumes, GrowOnTheNodeAndAreMeasured) {
  World w;
  w.start();
  w.put_driver("attachRequired: false, volumeLifecycleModes: [Persistent]");
  CsiRequest r = w.request("u1");
  ASSERT_TRUE(w.set_up(r).ok());
  r.persistent = read<PersistentVolume>(w.client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-1}, spec: {accessModes: "
      "[ReadWriteOnce], capacity: {storage: 2Gi}, csi: {driver: fruit.example.com, volumeHandle: "
      "h/1, fsType: ext4}}}"));
  r.claim = read<PersistentVolumeClaim>(w.client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns}, status: "
      "{capacity: {storage: 1Gi}, allocatedResourceStatuses: {storage: NodeResizePending}, "
      "conditions: [{type: FileSystemResizePending, status: 'True'}, {type: Mine, status: "
      "'True'}]}}"));
  r.again = true;
  EXPECT_TRUE(w.set_up(r).ok());
  EXPECT_THAT(w.driver.last["NodeExpandVolume"], HasSubstr("2147483648"));
  auto claim = w.client.now<PersistentVolumeClaim>("ns", "c");
  EXPECT_EQ(claim->status().capacity().get("storage"), "2Gi");
  ASSERT_EQ(claim->status().conditions().size(), 1u);
  EXPECT_EQ(claim->status().conditions()[0].type(), "Mine");
  EXPECT_FALSE(claim->status().allocated_resource_statuses().contains("storage"));
  EXPECT_THAT(w.told.events, ElementsAre("FileSystemResizeSuccessful"));
  auto used = run_task(*w.loop, w.volumes->usage(w.ctx, "u1"));
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].volume, r.volume);
  EXPECT_EQ(used[0].fs.capacity, 100u);
  EXPECT_EQ(used[0].fs.used, 40u);
  EXPECT_EQ(used[0].fs.inodes, 0u);
  // Not while it is in use: not asked again until it is set up anew.
  r.persistent = read<PersistentVolume>(w.client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-1}, spec: {accessModes: "
      "[ReadWriteOnce], capacity: {storage: 8Gi}, csi: {driver: fruit.example.com, volumeHandle: "
      "h/1, fsType: ext4}}}"));
  r.claim = claim;
  w.driver.failing["NodeExpandVolume"] = Status(Reason::kConflict, "in use");
  w.driver.calls.clear();
  EXPECT_TRUE(w.set_up(r).ok());
  EXPECT_TRUE(w.set_up(r).ok());
  EXPECT_THAT(w.driver.calls, ElementsAre("NodeExpandVolume"));
  r.again = false;
  EXPECT_FALSE(w.set_up(r).ok());
  r.again = true;
  w.driver.failing.clear();
  EXPECT_TRUE(w.tear_down("u1").ok());
  r.again = false;
  EXPECT_TRUE(w.set_up(r).ok());
  claim = w.client.now<PersistentVolumeClaim>("ns", "c");
  EXPECT_EQ(claim->status().capacity().get("storage"), "8Gi");
  r.again = true;
  // What cannot be is not tried for ever.
  r.persistent = read<PersistentVolume>(w.client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-1}, spec: {accessModes: "
      "[ReadWriteOnce], capacity: {storage: 9Gi}, csi: {driver: fruit.example.com, volumeHandle: "
      "h/1, fsType: ext4}}}"));
  w.driver.failing["NodeExpandVolume"] = Status(Reason::kExpired, "too large");
  r.claim = claim;
  EXPECT_TRUE(w.set_up(r).ok());
  claim = w.client.now<PersistentVolumeClaim>("ns", "c");
  EXPECT_EQ(claim->status().allocated_resource_statuses().get("storage"), "NodeResizeInfeasible");
  w.end();
}

TEST(VolumeData, IsReadWithinBounds) {
  EXPECT_FALSE(parse_volume_data("[]").ok());
  EXPECT_FALSE(parse_volume_data(R"({"driverName":"../../etc"})").ok());
  EXPECT_EQ(parse_volume_data(R"({"driverName":"d.io","volumeHandle":"h"})")->at("volumeHandle"),
            "h");
}

}  // namespace
}  // namespace keles::node
