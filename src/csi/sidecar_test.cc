// Claims served by a driver on a real socket, against an API server in memory.
#include "csi/sidecar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "csi/local_driver.h"
#include "machinery/codec_yaml.h"

namespace keles::csi {
namespace {

using namespace api::core_v1;
using api::storage_v1::CSIStorageCapacity;
using api::storage_v1::VolumeAttachment;
using testing::HasSubstr;

struct World {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string root = directory.path();
  const std::string socket = root + "/csi.sock";
  FakeClient client{*loop};
  Context ctx = Context::root(*loop).with_timeout(60s);
  Context life = ctx.child();
  TaskGroup tasks{*loop};
  std::unique_ptr<LocalDriver> driver;
  InformerFactory informers{client};
  controllers::Options options;
  std::unique_ptr<Sidecar> sidecar;

  World() {
    LocalDriver::Options o;
    o.directory = root + "/state";
    o.node = "n1";
    driver = std::make_unique<LocalDriver>(o);
  }
  static Task<void> serve(World* w) {
    (void)co_await run_local_driver(w->life, w->driver.get(), "unix://" + w->socket, "");
  }
  static Task<void> serve_claims(World* w) { co_await w->sidecar->run(w->life); }
  static Task<void> start(World* w) {
    w->tasks.spawn(serve(w));
    auto asked = co_await ask_driver(w->ctx, w->socket);
    EXPECT_EQ(asked->driver, kLocalDriver);
    SidecarOptions o = *asked;
    o.node = "n1";
    o.capacity_namespace = "kube-system";
    controllers::Deps deps{w->client, w->informers, w->options};
    w->sidecar = std::make_unique<Sidecar>(deps, o);
    w->informers.start(w->life);
    w->tasks.spawn(serve_claims(w));
  }
  static Task<void> end(World* w) {
    w->life.cancel();
    co_await w->tasks.join();
    co_await w->informers.join();
  }
  void put_cluster() {
    client.put_yaml(
        "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: "
        "{topology.local.csi.keles.dev/node: n1}}}");
    client.put_yaml(
        "{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: n1}, spec: {drivers: "
        "[{name: local.csi.keles.dev, nodeID: n1, topologyKeys: "
        "[topology.local.csi.keles.dev/node]}]}}");
    client.put_yaml(
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: c}, provisioner: "
        "local.csi.keles.dev, reclaimPolicy: Delete, volumeBindingMode: WaitForFirstConsumer, "
        "allowVolumeExpansion: true}");
  }
  void put_claim(const std::string& name, const std::string& node, const std::string& size,
                 const std::string& more = "") {
    client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: " + name +
        ", namespace: ns, uid: u-" + name +
        ", annotations: {volume.kubernetes.io/storage-provisioner: local.csi.keles.dev, "
        "volume.kubernetes.io/selected-node: " +
        node +
        "}}, spec: {accessModes: [ReadWriteOnce], storageClassName: c, resources: {requests: "
        "{storage: " +
        size + "}}" + more + "}}");
  }
  // Waits until `done`; a minute is all there is.
  template <class Done>
  static Task<bool> until(World* w, Done done) {
    while (!done() && !w->ctx.done()) (void)co_await w->ctx.sleep(5ms);
    co_return !w->ctx.done();
  }
};

Task<void> life(World* w) {
  w->put_cluster();
  co_await World::start(w);
  w->put_claim("a", "n1", "1Gi");
  w->put_claim("elsewhere", "m", "1Gi");
  auto made = [w] { return static_cast<bool>(w->client.now<PersistentVolume>("", "pvc-u-a")); };
  bool in_time = co_await World::until(w, made);
  EXPECT_TRUE(in_time);
  if (!in_time) co_return;
  auto v = w->client.now<PersistentVolume>("", "pvc-u-a");
  EXPECT_EQ(v->spec().csi().volume_handle(), "pvc-u-a");
  EXPECT_EQ(v->spec().csi().driver(), kLocalDriver);
  EXPECT_EQ(v->spec().capacity().get("storage"), "1Gi");
  EXPECT_EQ(v->spec().claim_ref().uid(), "u-a");
  StringMap here, there;
  here[kLocalTopology] = "n1";
  there[kLocalTopology] = "m";
  EXPECT_TRUE(lies_at(*v, here));
  EXPECT_FALSE(lies_at(*v, there));
  EXPECT_FALSE(w->client.now<PersistentVolume>("", "pvc-u-elsewhere"));
  EXPECT_TRUE(path_exists(w->root + "/state/volumes/pvc-u-a/data"));
  // Bound, and asked to grow.
  // The claim cannot be told for a while: it is, in the end.
  w->client.fail("update", "persistentvolumeclaims/status", Status(Reason::kConflict, "newer"), 7);
  w->client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns, uid: u-a}, "
      "spec: {accessModes: [ReadWriteOnce], storageClassName: c, volumeName: pvc-u-a, resources: "
      "{requests: {storage: 2Gi}}}, status: {phase: Bound, capacity: {storage: 1Gi}}}");
  auto grown = [w] {
    return w->client.now<PersistentVolumeClaim>("ns", "a")->status().capacity().get("storage") ==
           "2Gi";
  };
  in_time = co_await World::until(w, grown);
  EXPECT_TRUE(in_time);
  const auto calls = w->client.calls();
  EXPECT_GE(std::count_if(calls.begin(), calls.end(),
                          [](const FakeCall& c) {
                            return c.verb == "update" &&
                                   c.resource == "persistentvolumeclaims/status";
                          }),
            8);
  EXPECT_EQ(w->client.now<PersistentVolume>("", "pvc-u-a")->spec().capacity().get("storage"),
            "2Gi");
  // What room there is.
  auto told = [w] { return !w->client.all<CSIStorageCapacity>("kube-system").empty(); };
  in_time = co_await World::until(w, told);
  EXPECT_TRUE(in_time);
  auto capacity = w->client.all<CSIStorageCapacity>("kube-system")[0];
  EXPECT_EQ(capacity->storage_class_name(), "c");
  EXPECT_EQ(capacity->node_topology().match_labels().get(kLocalTopology), "n1");
  // A clone, and a claim that cannot be: its source only names somebody else's volume.
  w->put_claim("thief", "n1", "1Gi", ", volumeName: pvc-u-a");
  w->put_claim("loot", "n1", "2Gi", ", dataSource: {kind: PersistentVolumeClaim, name: thief}");
  w->put_claim("b", "n1", "2Gi", ", dataSource: {kind: PersistentVolumeClaim, name: a}");
  auto cloned = [w] { return static_cast<bool>(w->client.now<PersistentVolume>("", "pvc-u-b")); };
  in_time = co_await World::until(w, cloned);
  EXPECT_TRUE(in_time);
  auto refused = [w] {
    for (const FakeCall& c : w->client.calls())
      if (c.verb == "create" && c.resource.starts_with("events") && c.name.starts_with("loot."))
        return true;
    return false;
  };
  in_time = co_await World::until(w, refused);
  EXPECT_TRUE(in_time);
  EXPECT_FALSE(w->client.now<PersistentVolume>("", "pvc-u-loot"));
  // Released, it goes, and what it held: not while it is attached.
  w->client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: att}, spec: "
      "{attacher: local.csi.keles.dev, nodeName: n1, source: {persistentVolumeName: pvc-u-a}}}");
  auto seen = [w] {
    return static_cast<bool>(w->informers.informer<VolumeAttachment>().get("", "att"));
  };
  in_time = co_await World::until(w, seen);
  EXPECT_TRUE(in_time);
  Draft<PersistentVolumeEdit> released(*w->client.now<PersistentVolume>("", "pvc-u-a"));
  released->edit_status().set_phase("Released");
  w->client.put(kind_of<PersistentVolume>(), released.take());
  auto held = [w] {
    for (const FakeCall& c : w->client.calls())
      if (c.verb == "create" && c.resource.starts_with("events") && c.name.starts_with("pvc-u-a."))
        return true;
    return false;
  };
  in_time = co_await World::until(w, held);
  EXPECT_TRUE(in_time);
  EXPECT_TRUE(path_exists(w->root + "/state/volumes/pvc-u-a"));
  w->client.drop(kind_of<VolumeAttachment>(), "", "att");
  auto gone = [w] { return !w->client.now<PersistentVolume>("", "pvc-u-a"); };
  in_time = co_await World::until(w, gone);
  EXPECT_TRUE(in_time);
  EXPECT_FALSE(path_exists(w->root + "/state/volumes/pvc-u-a"));
  co_await World::end(w);
}

// A claim whose status its owner has written, too, is not the volume's: the volume says whose it
// is.
TEST(Sidecar, ClonesAreOfTheClaimsOwnVolumeOnly) {
  auto claim = [](const std::string& uid, const std::string& more) {
    return *parse_yaml(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns, uid: " +
        uid + more + "}, spec: {volumeName: v}, status: {phase: Bound}}");
  };
  auto volume = [](const std::string& ns, const std::string& driver) {
    return *parse_yaml(
        "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {csi: {driver: " +
        driver + "}, claimRef: {namespace: " + ns + ", name: a, uid: u}}}");
  };
  auto may = [](const Document& c, const Document& v) {
    return may_be_cloned(PersistentVolumeClaim(c.root), PersistentVolume(v.root), "d");
  };
  EXPECT_TRUE(may(claim("u", ""), volume("ns", "d")));
  EXPECT_FALSE(may(claim("other", ""), volume("ns", "d")));
  EXPECT_FALSE(may(claim("u", ""), volume("elsewhere", "d")));
  EXPECT_FALSE(may(claim("u", ""), volume("ns", "e")));
  EXPECT_FALSE(may(claim("u", ", deletionTimestamp: '2026-01-01T00:00:00Z'"), volume("ns", "d")));
}

TEST(Sidecar, AClaimsWholeLife) {
  World w;
  run_task(*w.loop, life(&w));
}

Task<void> modified(World* w) {
  w->put_cluster();
  auto put_attributes = [w](const std::string& name, const std::string& parameters) {
    w->client.put_yaml(
        "{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {name: " + name +
        "}, driverName: local.csi.keles.dev, parameters: {" + parameters + "}}");
  };
  auto put_bound = [w](const std::string& attributes) {
    w->client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns, uid: "
        "u-a}, spec: {accessModes: [ReadWriteOnce], storageClassName: c, volumeName: pvc-u-a, "
        "volumeAttributesClassName: " +
        attributes +
        ", resources: {requests: {storage: 1Gi}}}, status: {phase: Bound, capacity: {storage: "
        "1Gi}}}");
  };
  co_await World::start(w);
  w->put_claim("a", "n1", "1Gi");
  auto made = [w] { return static_cast<bool>(w->client.now<PersistentVolume>("", "pvc-u-a")); };
  bool in_time = co_await World::until(w, made);
  EXPECT_TRUE(in_time);
  auto state = [w] {
    return std::string(
        w->client.now<PersistentVolumeClaim>("ns", "a")->status().modify_volume_status().status());
  };
  // A class that is not there yet; one that a directory cannot be of; one that it can.
  put_bound("thick");
  auto pending = [state] { return state() == "Pending"; };
  in_time = co_await World::until(w, pending);
  EXPECT_TRUE(in_time);
  put_attributes("thick", "allocation: full");
  auto infeasible = [state] { return state() == "Infeasible"; };
  in_time = co_await World::until(w, infeasible);
  EXPECT_TRUE(in_time);
  put_attributes("plain", "");
  put_bound("plain");
  auto changed = [w] {
    auto c = w->client.now<PersistentVolumeClaim>("ns", "a");
    return c->status().current_volume_attributes_class_name() == "plain" &&
           !c->status().has_modify_volume_status();
  };
  in_time = co_await World::until(w, changed);
  EXPECT_TRUE(in_time);
  EXPECT_EQ(w->client.now<PersistentVolume>("", "pvc-u-a")->spec().volume_attributes_class_name(),
            "plain");
  co_await World::end(w);
}

TEST(Sidecar, VolumesAreChangedToAnotherAttributesClass) {
  World w;
  run_task(*w.loop, modified(&w));
}

// Of a claim that binds at once, this node takes what lies here or lies nowhere yet.
Task<void> at_once(World* w) {
  w->put_cluster();
  w->client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: now}, provisioner: "
      "local.csi.keles.dev, reclaimPolicy: Delete, volumeBindingMode: Immediate}");
  w->client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns, uid: u-a, "
      "annotations: {volume.kubernetes.io/storage-provisioner: local.csi.keles.dev}}, spec: "
      "{accessModes: [ReadWriteOnce], storageClassName: now, resources: {requests: {storage: "
      "1Gi}}}}");
  co_await World::start(w);
  auto made = [w] { return static_cast<bool>(w->client.now<PersistentVolume>("", "pvc-u-a")); };
  bool in_time = co_await World::until(w, made);
  EXPECT_TRUE(in_time);
  EXPECT_EQ(w->client.now<PersistentVolumeClaim>("ns", "a")->metadata().annotations().get(
                "volume.kubernetes.io/selected-node"),
            "n1");
  co_await World::end(w);
}

TEST(Sidecar, ClaimsThatBindAtOnceAreTakenOn) {
  World w;
  run_task(*w.loop, at_once(&w));
}

Task<void> doubt(World* w) {
  w->put_cluster();
  co_await World::start(w);
  // The driver makes the volume, and nobody can be told of it until the claim has gone.
  w->client.fail("create", "persistentvolumes", Status(Reason::kUnavailable, "away"), 1000000);
  w->put_claim("a", "n1", "1Gi");
  const std::string place = w->root + "/state/volumes/pvc-u-a";
  auto made = [place] { return path_exists(place + "/vol_data.json"); };
  bool in_time = co_await World::until(w, made);
  EXPECT_TRUE(in_time);
  w->client.drop(kind_of<PersistentVolumeClaim>(), "ns", "a");
  auto gone = [place] { return !path_exists(place); };
  in_time = co_await World::until(w, gone);
  EXPECT_TRUE(in_time);
  co_await World::end(w);
}

TEST(Sidecar, WhatWasMadeForAClaimThatHasGoneIsDeleted) {
  World w;
  run_task(*w.loop, doubt(&w));
}

Task<void> capacities(World* w) {
  w->put_cluster();
  auto put = [w](const std::string& name, const std::string& node, const std::string& manager) {
    w->client.put_yaml(
        "{apiVersion: storage.k8s.io/v1, kind: CSIStorageCapacity, metadata: {name: " + name +
        ", namespace: kube-system, labels: {csi.storage.k8s.io/drivername: local.csi.keles.dev, "
        "csi.storage.k8s.io/managed-by: " +
        manager +
        "}}, storageClassName: c, nodeTopology: {matchLabels: "
        "{topology.local.csi.keles.dev/node: " +
        node + "}}}");
  };
  put("old", "n1", "external-provisioner");
  put("theirs", "n2", "external-provisioner");
  put("else", "n1", "somebody");
  co_await World::start(w);
  auto done = [w] { return !w->client.now<CSIStorageCapacity>("kube-system", "old"); };
  bool in_time = co_await World::until(w, done);
  EXPECT_TRUE(in_time);
  EXPECT_EQ(w->client.all<CSIStorageCapacity>("kube-system").size(), 3u);  // and its own
  // A class that is another driver's by now.
  w->client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: c}, provisioner: x}");
  auto none = [w] { return w->client.all<CSIStorageCapacity>("kube-system").size() == 2; };
  in_time = co_await World::until(w, none);
  EXPECT_TRUE(in_time);
  co_await World::end(w);
}

TEST(Sidecar, CapacitiesThatAreToldNoMoreGo) {
  World w;
  run_task(*w.loop, capacities(&w));
}

Ref<PersistentVolumeClaim> claim_of(FakeClient& c, const std::string& spec) {
  return read<PersistentVolumeClaim>(
      c.put_yaml("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: "
                 "ns, uid: u1, annotations: {team: red}}, spec: {" +
                 spec + "}}"));
}

TEST(ProvisionPlan, AClassSaysHow) {
  World w;
  auto c = read<api::storage_v1::StorageClass>(w.client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: c}, provisioner: x, "
      "mountOptions: [noatime], parameters: {kind: image, csi.storage.k8s.io/fstype: xfs, "
      "csi.storage.k8s.io/provisioner-secret-name: \"s-${pvc.name}-${pvc.annotations['team']}\", "
      "csi.storage.k8s.io/provisioner-secret-namespace: \"${pvc.namespace}\"}}"));
  auto p = plan_provisioning(
      *claim_of(w.client, "accessModes: [ReadWriteOncePod], resources: {requests: {storage: 1Ki}}"),
      *c);
  ASSERT_TRUE(p.ok()) << p.status().to_string();
  EXPECT_EQ(p->name, "pvc-u1");
  EXPECT_EQ(p->bytes, 1024);
  EXPECT_EQ(p->parameters, (StringMap{{"kind", "image"}}));
  EXPECT_EQ(p->provision.name, "s-data-red");
  EXPECT_EQ(p->provision.ns, "ns");
  ASSERT_EQ(p->accesses.size(), 1u);
  EXPECT_EQ(p->accesses[0].fs_type, "xfs");
  EXPECT_EQ(p->accesses[0].mount_flags, std::vector<std::string>{"noatime"});
  for (const char* bad : {"selector: {}", "dataSource: {kind: VolumeSnapshot, name: s}"})
    EXPECT_FALSE(plan_provisioning(*claim_of(w.client, bad), *c).ok()) << bad;
}

}  // namespace
}  // namespace keles::csi
