// The volume plug-ins by cases, over an API server in memory: what they refuse, in whose words,
// what they decide, and how that is carried out while the pod waits.
#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "scheduler/decide_test.h"
#include "scheduler/handle_test.h"

namespace keles::scheduler {
namespace {

using api::core_v1::PersistentVolume;
using api::core_v1::PersistentVolumeClaim;
using api::core_v1::Pod;

class VolumePlugins : public DecideTest {
 protected:
  void SetUp() override {
    DecideTest::SetUp();
    Layout layout;
    for (const char* p : {"VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone"})
      layout.entries.push_back({p, ~0U, 1});
    profile = std::move(*make_profile("test", layout, nullptr, &handle));
    other = std::move(*make_profile("other", layout, nullptr, &handle));
    put_node("a", ", topology.kubernetes.io/zone: z1");
    put_node("b", ", topology.kubernetes.io/zone: z2");
    handle.informers().start(ctx);
    rest();
  }
  void TearDown() override {
    ctx.cancel();
    rest();
  }
  void rest(Duration d = 1s) { loop.advance(d); }
  void put_node(const std::string& name, const std::string& labels) {
    node(node_text(name, "4", labels));
    client.put_yaml(node_text(name, "4", labels));
  }
  void put(const std::string& yaml) {
    client.put_yaml(yaml);
    rest();
  }
  // A volume in reach of one node ("": of all).
  void volume(const std::string& name, const std::string& size, const std::string& node,
              const std::string& more = "", const std::string& metadata = "") {
    const std::string affinity =
        node.empty() ? ""
                     : ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: "
                       "kubernetes.io/hostname, operator: In, values: [" +
                           node + "]}]}]}}";
    put("{apiVersion: v1, kind: PersistentVolume, metadata: {name: " + name +
        (metadata.empty() ? "" : ", " + metadata) + "}, spec: {capacity: {storage: " + size +
        "}, accessModes: [ReadWriteOnce], storageClassName: late" + affinity +
        (more.empty() ? "" : ", " + more) + "}, status: {phase: Available}}");
  }
  void claim(const std::string& name, const std::string& spec, const std::string& metadata = "",
             const std::string& phase = "Pending") {
    put("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: " + name +
        ", namespace: default, uid: u-" + name + (metadata.empty() ? "" : ", " + metadata) +
        "}, spec: {accessModes: [ReadWriteOnce], " + spec + "}, status: {phase: " + phase + "}}");
  }
  void late_class(const std::string& provisioner, const std::string& more = "") {
    put("{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: late}, "
        "provisioner: " +
        provisioner + ", volumeBindingMode: WaitForFirstConsumer" + more + "}");
  }
  static std::string late(const std::string& size) {
    return "storageClassName: late, resources: {requests: {storage: " + size + "}}";
  }
  static std::string bound_to(const std::string& volume) { return "volumeName: " + volume; }
  static constexpr const char* kBound = "annotations: {pv.kubernetes.io/bind-completed: 'yes'}";
  static std::string using_claims(std::initializer_list<const char*> claims) {
    std::string out = "  volumes: [";
    int i = 0;
    for (const char* c : claims) {
      out += std::string(i > 0 ? ", " : "") + "{name: v" + std::to_string(i) +
             ", persistentVolumeClaim: {claimName: " + c + "}}";
      ++i;
    }
    return out + "]\n";
  }
  // What is said of the nodes a and b: "ok", "-" for the same as before.
  std::string verdicts(const std::string& spec) {
    const std::string text = pod_text("p", spec);
    client.put_yaml(text);
    rest();
    cycle = std::make_shared<Cycle>(pod(text), *profile);
    const ClusterView& view = cache.view();
    cycle->view = &view;
    Profile::Prepared p = profile->pre_filter(*cycle);
    if (!p.verdict.ok() && p.verdict.code != Code::kSkip) return p.verdict.message();
    std::string out;
    for (const char* n : {"a", "b"}) {
      Plugin* by = nullptr;
      Verdict v = profile->filter(*cycle, *view.find(n), &by);
      out += (out.empty() ? "" : "; ") + std::string(n) + ": " + (v.ok() ? "ok" : v.message());
    }
    return out;
  }
  void reserve_on(const std::string& node) {
    Plugin* by = nullptr;
    EXPECT_TRUE(profile->reserve(*cycle, node, &by).ok());
    EXPECT_TRUE(profile->wants_pre_bind(*cycle, node));
  }
  std::optional<Status> bind_on(const std::string& node) {
    reserve_on(node);
    return carry_out(node);
  }
  std::optional<Status> carry_out(const std::string& node) {
    spawn(loop, pre_bind_into(profile.get(), ctx, cycle, node, &bound));
    rest();
    return bound;
  }

  const std::string kRunning = "running PreBind plugin \"VolumeBinding\": ";
  SimLoop loop{3};
  FakeClient client{loop};
  Context ctx = Context::root(loop);
  TestHandle handle{client, cache};
  std::unique_ptr<Profile> other;  // of the same scheduler
  CyclePtr cycle;
  std::optional<Status> bound;
};

TEST_F(VolumePlugins, ClaimsThatCannotBeUsed) {
  const std::string pod = using_claims({"c"});
  EXPECT_EQ(verdicts(""), "a: ok; b: ok");
  EXPECT_EQ(verdicts(pod), "persistentvolumeclaim \"c\" not found");
  claim("c", "volumeName: v", "", "Lost");
  volume("v", "1Gi", "");
  EXPECT_EQ(verdicts(pod),
            "persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\"");
  claim("c", "volumeName: v", "deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [x/y]");
  EXPECT_EQ(verdicts(pod), "persistentvolumeclaim \"c\" is being deleted");
  claim("c", "storageClassName: now");
  EXPECT_EQ(verdicts(pod), "pod has unbound immediate PersistentVolumeClaims");
}

TEST_F(VolumePlugins, EphemeralClaims) {
  const std::string pod = "  volumes: [{name: e, ephemeral: {volumeClaimTemplate: {}}}]\n";
  EXPECT_EQ(verdicts(pod),
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-e\"");
  const char* made = "ownerReferences: [{uid: uid-p, controller: true}]";
  claim("p-e", "storageClassName: now", made);
  EXPECT_EQ(verdicts(pod), "pod has unbound immediate PersistentVolumeClaims");
}

TEST_F(VolumePlugins, BoundVolumesDecideWhere) {
  volume("v", "1Gi", "a", "claimRef: {namespace: default, name: c, uid: u-c}");
  claim("c", bound_to("v"), kBound, "Bound");
  EXPECT_EQ(verdicts(using_claims({"c"})),
            "a: ok; b: node(s) didn't match PersistentVolume's node affinity");
  EXPECT_FALSE(profile->wants_pre_bind(*cycle, "a"));
}

TEST_F(VolumePlugins, FreeVolumesWhereTheyAre) {
  late_class("kubernetes.io/no-provisioner");
  volume("small", "1Gi", "a");
  volume("big", "5Gi", "a");
  volume("other", "5Gi", "b");
  claim("c", late("2Gi"));
  claim("d", late("1Gi"));
  EXPECT_EQ(verdicts(using_claims({"c"})), "a: ok; b: ok");
  EXPECT_EQ(verdicts(using_claims({"c", "d"})),
            "a: ok; b: node(s) didn't find available persistent volumes to bind")
      << "whichever is named first, the smaller claim takes the smaller volume";
  // Bound by the scheduler, carried on by the binder.
  EXPECT_FALSE(bind_on("a").has_value());
  auto big = client.now<PersistentVolume>("", "big");
  EXPECT_EQ(big->spec().claim_ref().name(), "c");
  EXPECT_EQ(big->metadata().annotations().get("pv.kubernetes.io/bound-by-controller"), "yes");
  EXPECT_EQ(client.now<PersistentVolume>("", "small")->spec().claim_ref().uid(), "u-d");
  claim("c", bound_to("big"), kBound, "Bound");
  rest();
  EXPECT_FALSE(bound.has_value()) << "one of two";
  claim("d", bound_to("small"), kBound, "Bound");
  rest();
  ASSERT_TRUE(bound.has_value());
  EXPECT_TRUE(bound->ok()) << bound->to_string();
}

TEST_F(VolumePlugins, WhatIsReservedIsTaken) {
  late_class("kubernetes.io/no-provisioner");
  volume("v", "1Gi", "a");
  claim("c", late("1Gi"));
  claim("d", late("1Gi"));
  EXPECT_EQ(verdicts(using_claims({"c"})),
            "a: ok; b: node(s) didn't find available persistent volumes to bind");
  CyclePtr first = cycle;
  Plugin* by = nullptr;
  ASSERT_TRUE(profile->reserve(*first, "a", &by).ok());
  const std::string none =
      "a: node(s) didn't find available persistent volumes to bind; b: node(s) didn't find "
      "available persistent volumes to bind";
  EXPECT_EQ(verdicts(using_claims({"d"})), none);
  profile->unreserve(*first, "a");
  EXPECT_EQ(verdicts(using_claims({"d"})),
            "a: ok; b: node(s) didn't find available persistent volumes to bind");
}

TEST_F(VolumePlugins, WhatBecameAnothersIsNotTaken) {
  late_class("kubernetes.io/no-provisioner");
  volume("v", "1Gi", "a");
  claim("c", late("1Gi"));
  verdicts(using_claims({"c"}));
  reserve_on("a");
  volume("v", "1Gi", "a", "claimRef: {namespace: default, name: other, uid: u-other}");
  carry_out("a");
  ASSERT_TRUE(bound.has_value());
  EXPECT_TRUE(bound->is(Reason::kConflict)) << bound->to_string();
  EXPECT_EQ(client.now<PersistentVolume>("", "v")->spec().claim_ref().uid(), "u-other");
  // It is free again and another pod's, before the first gives back what it had.
  const CyclePtr first = cycle;
  volume("v", "1Gi", "a");
  claim("d", late("1Gi"));
  EXPECT_EQ(verdicts(using_claims({"d"})),
            "a: ok; b: node(s) didn't find available persistent volumes to bind");
  reserve_on("a");
  profile->unreserve(*first, "a");
  EXPECT_EQ(verdicts(using_claims({"c"})),
            "a: node(s) didn't find available persistent volumes to bind; b: node(s) didn't find "
            "available persistent volumes to bind");
}

TEST_F(VolumePlugins, WhatIsReservedStaysTakenWhateverElseChanges) {
  late_class("kubernetes.io/no-provisioner");
  volume("v", "1Gi", "a");
  claim("c", late("1Gi"));
  claim("d", late("1Gi"));
  verdicts(using_claims({"c"}));
  reserve_on("a");
  const CyclePtr first = cycle;
  volume("v", "1Gi", "a", "", "labels: {tier: gold}");
  EXPECT_EQ(verdicts(using_claims({"d"})),
            "a: node(s) didn't find available persistent volumes to bind; b: node(s) didn't find "
            "available persistent volumes to bind");
  cycle = first;
  carry_out("a");
  ASSERT_TRUE(bound.has_value());
  EXPECT_TRUE(bound->is(Reason::kConflict)) << "it is looked at anew: " << bound->to_string();
  EXPECT_FALSE(client.now<PersistentVolume>("", "v")->spec().has_claim_ref());
  profile->unreserve(*first, "a");
  EXPECT_EQ(verdicts(using_claims({"d"})),
            "a: ok; b: node(s) didn't find available persistent volumes to bind");
}

TEST_F(VolumePlugins, WhatOneProfileReservesIsTakenInTheOthers) {
  late_class("x.io/y");
  volume("v", "1Gi", "a");
  claim("c", late("1Gi"));
  claim("d", late("5Gi"));
  EXPECT_EQ(verdicts(using_claims({"c", "d"})), "a: ok; b: ok");
  reserve_on("a");
  std::swap(profile, other);
  const std::string none = "node(s) didn't find available persistent volumes to bind";
  EXPECT_EQ(verdicts(using_claims({"d"})), "a: ok; b: " + none) << "where it is to be made";
  late_class("kubernetes.io/no-provisioner");
  claim("e", late("1Gi"));
  EXPECT_EQ(verdicts(using_claims({"e"})), "a: " + none + "; b: " + none);
}

TEST_F(VolumePlugins, ProvisionedWhereThePodGoes) {
  late_class("x.io/y",
             ", allowedTopologies: [{matchLabelExpressions: [{key: "
             "topology.kubernetes.io/zone, values: [z2]}]}]");
  claim("c", late("1Gi"));
  EXPECT_EQ(verdicts(using_claims({"c"})),
            "a: node(s) didn't find available persistent volumes to bind; b: ok");
  EXPECT_FALSE(bind_on("b").has_value());
  auto c = client.now<PersistentVolumeClaim>("default", "c");
  EXPECT_EQ(c->metadata().annotations().get("volume.kubernetes.io/selected-node"), "b");
  // The provisioner gives up: the pod is tried anew.
  claim("c", late("1Gi"), "annotations: {x: z}");
  rest();
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->message(), kRunning + "binding volumes: provisioning failed for PVC \"c\"");
}

TEST_F(VolumePlugins, BindingEndsWithTimeAndWithThePod) {
  late_class("x.io/y");
  claim("c", late("1Gi"));
  EXPECT_EQ(verdicts(using_claims({"c"})), "a: ok; b: ok");
  EXPECT_FALSE(bind_on("b").has_value());
  rest(9min);
  EXPECT_FALSE(bound.has_value());
  rest(2min);
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->message(), kRunning + "binding volumes: context deadline exceeded");
  bound.reset();
  profile->unreserve(*cycle, "b");
  EXPECT_EQ(verdicts(using_claims({"c"})),
            "a: node(s) didn't find available persistent volumes to bind; b: ok")
      << "its node is chosen";
  EXPECT_FALSE(bind_on("b").has_value());
  client.drop(kind_of<Pod>(), "default", "p");
  rest();
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->message(),
            kRunning + "binding volumes: pod does not exist any more: pod \"p\" not found");
}

TEST_F(VolumePlugins, CapacityThatDriversTell) {
  late_class("x.io/y");
  claim("c", late("2Gi"));
  put("{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: x.io/y}, spec: "
      "{storageCapacity: true}}");
  put("{apiVersion: storage.k8s.io/v1, kind: CSIStorageCapacity, metadata: {name: s, namespace: "
      "default}, storageClassName: late, capacity: 3Gi, nodeTopology: {matchLabels: "
      "{kubernetes.io/hostname: a}}}");
  EXPECT_EQ(verdicts(using_claims({"c"})), "a: ok; b: node(s) did not have enough free storage");
  put("{apiVersion: storage.k8s.io/v1, kind: CSIStorageCapacity, metadata: {name: s, namespace: "
      "default}, storageClassName: late, capacity: 3Gi, maximumVolumeSize: 1Gi, nodeTopology: "
      "{matchLabels: {kubernetes.io/hostname: a}}}");
  EXPECT_EQ(verdicts(using_claims({"c"})),
            "a: node(s) did not have enough free storage; b: node(s) did not have enough free "
            "storage");
}

TEST_F(VolumePlugins, Zones) {
  volume("v", "1Gi", "", "claimRef: {namespace: default, name: c, uid: u-c}",
         "labels: {failure-domain.beta.kubernetes.io/zone: z2__z3}");
  claim("c", bound_to("v"), kBound, "Bound");
  EXPECT_EQ(verdicts(using_claims({"c"})), "a: node(s) had no available volume zone; b: ok");
}

TEST_F(VolumePlugins, OnePodAlone) {
  volume("v", "1Gi", "", "claimRef: {namespace: default, name: c, uid: u-c}");
  put("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: default, uid: "
      "u-c, annotations: {pv.kubernetes.io/bind-completed: 'yes'}}, spec: {accessModes: "
      "[ReadWriteOncePod], volumeName: v}, status: {phase: Bound}}");
  EXPECT_EQ(verdicts(using_claims({"c"})), "a: ok; b: ok");
  placed(pod_text("first", using_claims({"c"}) + "  nodeName: a\n"));
  const std::string used =
      "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already "
      "in-use by another pod";
  EXPECT_EQ(verdicts(using_claims({"c"})), "a: " + used + "; b: " + used);
  // Preemption sees what would be without it.
  const ClusterView& view = cache.view();
  const PodPtr first = view.find("a")->pods.front();
  profile->remove_pod(*cycle, *first, *view.find("a"));
  Plugin* by = nullptr;
  EXPECT_TRUE(profile->filter(*cycle, *view.find("a"), &by).ok());
  profile->add_pod(*cycle, *first, *view.find("a"));
  EXPECT_FALSE(profile->filter(*cycle, *view.find("a"), &by).ok());
}

TEST_F(VolumePlugins, DisksOfOneNode) {
  const std::string disk = "  volumes: [{name: d, gcePersistentDisk: {pdName: x}}]\n";
  const std::string there = pod_text("there", disk + "  nodeName: a\n");
  client.put_yaml(there);
  rest();
  placed(there);
  EXPECT_EQ(verdicts(disk), "a: node(s) had no available disk; b: ok");
  EXPECT_EQ(verdicts("  volumes: [{name: d, gcePersistentDisk: {pdName: y}}]\n"), "a: ok; b: ok");
}

TEST_F(VolumePlugins, LimitsOfDrivers) {
  for (const char* v : {"v", "w"}) {
    const std::string c = std::string("c-") + v;
    volume(v, "1Gi", "",
           "csi: {driver: x.io, volumeHandle: h-" + std::string(v) +
               "}, claimRef: {namespace: default, name: " + c + ", uid: u-" + c + "}");
    claim(c, bound_to(v), kBound, "Bound");
  }
  put("{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: a}, spec: {drivers: [{name: "
      "x.io, nodeID: n, allocatable: {count: 1}}]}}");
  EXPECT_EQ(verdicts(using_claims({"c-v"})), "a: ok; b: ok");
  EXPECT_EQ(verdicts(using_claims({"c-v", "c-w"})), "a: node(s) exceed max volume count; b: ok");
  placed(pod_text("there", using_claims({"c-v"}) + "  nodeName: a\n"));
  EXPECT_EQ(verdicts(using_claims({"c-w"})), "a: node(s) exceed max volume count; b: ok");
  EXPECT_EQ(verdicts(using_claims({"c-v"})), "a: ok; b: ok") << "it is there already";
}

TEST_F(VolumePlugins, WhatMayHelp) {
  auto hint = [&](const char* plugin, Events bits, const std::string& before,
                  const std::string& now, const std::string& spec) {
    for (const auto& each : profile->plugins()) {
      if (each->name() != plugin) continue;
      Event e;
      e.bits = bits;
      auto object = [&](const std::string& text) {
        return text.empty() ? ObjectPtr() : client.put_yaml(text);
      };
      e.before = object(before);
      e.now = object(now);
      return each->hint(*pod(pod_text("p", spec)), e) == Hint::kQueue;
    }
    return false;
  };
  auto c = [](const std::string& name) {
    return "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: " + name +
           ", namespace: default}}";
  };
  const std::string uses = using_claims({"c"});
  EXPECT_TRUE(hint("VolumeBinding", added(Watched::kVolumeClaim), "", c("c"), uses));
  EXPECT_FALSE(hint("VolumeBinding", added(Watched::kVolumeClaim), "", c("d"), uses));
  EXPECT_TRUE(hint("NodeVolumeLimits", added(Watched::kVolumeClaim), "", c("c"), uses));
  auto csi = [](const std::string& n) {
    return "{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: a}, spec: {drivers: "
           "[{name: x, allocatable: {count: " +
           n + "}}]}}";
  };
  EXPECT_TRUE(hint("NodeVolumeLimits", updated(Watched::kCsiNode), csi("1"), csi("2"), uses));
  EXPECT_FALSE(hint("NodeVolumeLimits", updated(Watched::kCsiNode), csi("2"), csi("1"), uses));
  auto v = [](const std::string& zone) {
    return "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v, labels: "
           "{topology.kubernetes.io/zone: " +
           zone + "}}}";
  };
  EXPECT_TRUE(hint("VolumeZone", updated(Watched::kVolume), v("a1"), v("b1"), uses));
  EXPECT_FALSE(hint("VolumeZone", updated(Watched::kVolume), v("a1"), v("a1"), uses));
}

}  // namespace
}  // namespace keles::scheduler
