// Claims and volumes brought together: the decisions by tables, and the controller against
// FakeClient on virtual time.
#include "controllers/storage/binder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"
#include "controllers/storage/recycler.h"

namespace keles::controllers {
namespace {

using namespace api::core_v1;
using api::storage_v1::StorageClass;
using testing::HasSubstr;

std::string volume_yaml(const std::string& name, const std::string& spec,
                        const std::string& metadata = "") {
  return "{apiVersion: v1, kind: PersistentVolume, metadata: {name: " + name +
         (metadata.empty() ? "" : ", " + metadata) +
         "}, spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteOnce], volumeMode: "
         "Filesystem, persistentVolumeReclaimPolicy: Retain, hostPath: {path: /tmp/x}" +
         (spec.empty() ? "" : ", " + spec) + "}, status: {phase: Pending}}";
}

std::string claim_yaml(const std::string& spec, const std::string& metadata = "",
                       const std::string& phase = "Pending") {
  return "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: default, "
         "uid: u1" +
         (metadata.empty() ? "" : ", " + metadata) +
         "}, spec: {accessModes: [ReadWriteOnce], volumeMode: Filesystem, resources: {requests: "
         "{storage: 1Gi}}" +
         (spec.empty() ? "" : ", " + spec) + "}, status: {phase: " + phase + "}}";
}

std::string class_yaml(const std::string& name, const std::string& more,
                       const std::string& metadata = "") {
  return "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: " + name +
         (metadata.empty() ? "" : ", " + metadata) + "}, " + more + "}";
}

// --- Decisions ---------------------------------------------------------------------------------

struct Decision {
  const char* what;
  std::vector<std::string> volumes;
  std::string claim;
  BindingPlan::Act act;
  std::string volume, event;  // "Reason: message"
};

BindingPlan decide(const std::vector<std::string>& yaml, const std::string& claim) {
  volumes::VolumeIndex index;
  std::map<std::string, Ref<PersistentVolume>, std::less<>> all;
  for (const std::string& text : yaml) {
    auto v = parse<PersistentVolume>(text);
    all[std::string(v->metadata().name())] = v;
    index.put(volumes::extract_volume(*v, 1));
  }
  ClaimWorld world;
  world.volumes = &index;
  world.volume = [&](std::string_view name) {
    auto it = all.find(name);
    return it == all.end() ? Ref<PersistentVolume>() : it->second;
  };
  world.storage_class = [](std::string_view name) {
    if (name == "late") {
      return parse<StorageClass>(
          class_yaml("late", "provisioner: x.io/y, volumeBindingMode: WaitForFirstConsumer"));
    }
    if (name == "made") return parse<StorageClass>(class_yaml("made", "provisioner: x.io/y"));
    if (name == "none") {
      return parse<StorageClass>(class_yaml("none", "provisioner: kubernetes.io/no-provisioner"));
    }
    return Ref<StorageClass>();
  };
  world.default_class = [] { return Ref<StorageClass>(); };
  world.waiting_pods = [] { return std::vector<std::string>{"p1", "p2"}; };
  return plan_binding(*parse<PersistentVolumeClaim>(claim), world);
}

std::string free_volume(const std::string& name, const std::string& spec = "") {
  std::string yaml = volume_yaml(name, spec);
  return yaml.replace(yaml.find("phase: Pending"), 14, "phase: Available");
}

TEST(BinderPlan, WhatBecomesOfAClaim) {
  using Act = BindingPlan::Act;
  const char* ours = "claimRef: {namespace: default, name: c, uid: u1}";
  const char* others = "claimRef: {namespace: default, name: d, uid: u2}";
  const char* bound = "annotations: {pv.kubernetes.io/bind-completed: 'yes'}";
  const char* by_us = "annotations: {pv.kubernetes.io/bound-by-controller: 'yes'}";
  const std::vector<Decision> rows{
      {"a free volume", {free_volume("v")}, claim_yaml(""), Act::kBind, "v", ""},
      {"none, and no class",
       {},
       claim_yaml(""),
       Act::kPending,
       "",
       "FailedBinding: no persistent volumes available for this claim and no storage class is set"},
      {"its class is not there",
       {},
       claim_yaml("storageClassName: gone"),
       Act::kNothing,
       "",
       "ProvisioningFailed: storageclass.storage.k8s.io \"gone\" not found"},
      {"its class provisions",
       {},
       claim_yaml("storageClassName: made"),
       Act::kProvision,
       "",
       "ExternalProvisioning: Waiting for a volume to be created either by the external "
       "provisioner 'x.io/y' or manually by the system administrator. If volume creation is "
       "delayed, please verify that the provisioner is running and correctly registered."},
      {"its class has no provisioner",
       {},
       claim_yaml("storageClassName: none"),
       Act::kNothing,
       "",
       "ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner"},
      {"its class waits",
       {free_volume("v", "storageClassName: late")},
       claim_yaml("storageClassName: late"),
       Act::kPending,
       "",
       "WaitForPodScheduled: waiting for pods p1,p2 to be scheduled"},
      {"its class waits, but a volume is reserved",
       {free_volume("v", "storageClassName: late, " + std::string(ours))},
       claim_yaml("storageClassName: late"),
       Act::kBind,
       "v",
       ""},
      {"its class waited and a node is chosen",
       {},
       claim_yaml("storageClassName: late",
                  "annotations: {volume.kubernetes.io/selected-node: n1}"),
       Act::kProvision,
       "",
       "ExternalProvisioning: Waiting for a volume to be created either by the external "
       "provisioner 'x.io/y' or manually by the system administrator. If volume creation is "
       "delayed, please verify that the provisioner is running and correctly registered."},
      {"names a volume that is not there", {}, claim_yaml("volumeName: v"), Act::kPending, "", ""},
      {"names a free volume", {free_volume("v")}, claim_yaml("volumeName: v"), Act::kBind, "v", ""},
      {"names one that does not fit",
       {free_volume("v", "storageClassName: x")},
       claim_yaml("volumeName: v"),
       Act::kPending,
       "",
       "VolumeMismatch: Cannot bind to requested volume \"v\": storageClassName does not match"},
      {"names one that is another's",
       {free_volume("v", others)},
       claim_yaml("volumeName: v"),
       Act::kPending,
       "",
       "FailedBinding: volume \"v\" already bound to a different claim."},
      {"the same, by us",
       {free_volume("v", others)},
       claim_yaml("volumeName: v", by_us),
       Act::kNothing,
       "",
       "FailedBinding: volume \"v\" already bound to a different claim."},
      {"bound, and well",
       {free_volume("v", ours)},
       claim_yaml("volumeName: v", bound),
       Act::kBind,
       "v",
       ""},
      {"bound, its volume gone",
       {},
       claim_yaml("volumeName: v", bound),
       Act::kLost,
       "",
       "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!"},
      {"bound, its volume another's",
       {free_volume("v", others)},
       claim_yaml("volumeName: v", bound),
       Act::kLost,
       "",
       "ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly"},
      {"bound, to nothing",
       {},
       claim_yaml("", bound),
       Act::kLost,
       "",
       "ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is "
       "lost!"},
  };
  for (const Decision& r : rows) {
    const BindingPlan p = decide(r.volumes, r.claim);
    EXPECT_EQ(static_cast<int>(p.act), static_cast<int>(r.act)) << r.what;
    EXPECT_EQ(p.volume, r.volume) << r.what;
    EXPECT_EQ(p.event ? std::string(p.event->reason) + ": " + p.event->message : "", r.event)
        << r.what;
  }
}

TEST(BinderPlan, WhatBecomesOfAVolume) {
  using Act = VolumePlan::Act;
  struct Row {
    const char *spec, *metadata;
    std::string claim;  // "": none
    Act act;
  };
  const char* ours = "claimRef: {namespace: default, name: c, uid: u1}";
  const char* made = "annotations: {pv.kubernetes.io/provisioned-by: x.io/y}";
  for (const Row& r : std::initializer_list<Row>{
           {"", "", "", Act::kAvailable},
           {"claimRef: {namespace: default, name: c}", "", "", Act::kAvailable},
           {ours, "", "", Act::kRelease},
           {ours, "", claim_yaml(""), Act::kSyncClaim},
           {ours, "", claim_yaml("volumeName: v"), Act::kBound},
           {ours, "", claim_yaml("volumeName: w"), Act::kUnbind},
           {ours, made, claim_yaml("volumeName: w"), Act::kUnbind}}) {
    auto v = parse<PersistentVolume>(volume_yaml("v", r.spec, r.metadata));
    Ref<PersistentVolumeClaim> c;
    if (!r.claim.empty()) c = parse<PersistentVolumeClaim>(r.claim);
    EXPECT_EQ(static_cast<int>(plan_volume(*v, c ? &*c : nullptr).act), static_cast<int>(r.act))
        << r.spec << " " << r.claim;
  }
  auto block = parse<PersistentVolume>("{metadata: {name: v}, spec: {volumeMode: Block, " +
                                       std::string(ours) + "}}");
  auto c = parse<PersistentVolumeClaim>(claim_yaml(""));
  const VolumePlan p = plan_volume(*block, &*c);
  EXPECT_EQ(p.event->message,
            "Cannot bind PersistentVolume to requested PersistentVolumeClaim \"c\" due to "
            "incompatible volumeMode.");
  EXPECT_EQ(p.claim_event->message,
            "Cannot bind PersistentVolume \"v\" to requested PersistentVolumeClaim due to "
            "incompatible volumeMode.");
}

TEST(BinderPlan, FinalizersOfWhoDeletes) {
  struct Row {
    const char *by, *policy, *finalizers;
    bool changed;
    std::vector<std::string> then;
  };
  const std::string own = "kubernetes.io/pv-controller",
                    external = "external-provisioner.volume.kubernetes.io/finalizer";
  for (const Row& r : std::initializer_list<Row>{
           {"x.io/y", "Delete", external.c_str(), false, {external}},
           {"kubernetes.io/host-path", "Delete", "", true, {own}},
           {"kubernetes.io/host-path", "Delete", external.c_str(), true, {own}},
           {"kubernetes.io/host-path", "Retain", own.c_str(), true, {}},
           {"kubernetes.io/host-path", "Retain", "", false, {}}}) {
    auto v = parse<PersistentVolume>(
        "{metadata: {name: v, annotations: {pv.kubernetes.io/provisioned-by: " + std::string(r.by) +
        "}, finalizers: [" + r.finalizers +
        "]}, spec: {persistentVolumeReclaimPolicy: " + r.policy + "}}");
    auto next = volume_annealed(*v);
    EXPECT_EQ(next.has_value(), r.changed) << r.by << " " << r.policy << " " << r.finalizers;
    if (!next) continue;
    std::vector<std::string> then;
    for (std::string_view f : PersistentVolume(next->root).metadata().finalizers())
      then.emplace_back(f);
    EXPECT_EQ(then, r.then);
  }
}

TEST(BinderPlan, Recyclers) {
  using Act = RecyclerPlan::Act;
  auto plan = [](const char* status, const char* users) {
    auto pod = parse<Pod>("{status: {" + std::string(status) + "}}");
    return plan_recycler(&*pod, users);
  };
  EXPECT_EQ(plan_recycler(nullptr, "").act, Act::kStart);
  EXPECT_EQ(plan_recycler(nullptr, "a/b").message, "Volume is used by pods: a/b");
  EXPECT_EQ(plan("phase: Running", "").act, Act::kWait);
  EXPECT_EQ(plan("phase: Succeeded", "").act, Act::kDone);
  EXPECT_EQ(plan("phase: Failed, message: why", "").message, "failed to recycle volume: why");
  auto pod = recycler_pod(*parse<PersistentVolume>(
      "{metadata: {name: v}, spec: {capacity: {storage: 10Gi}, hostPath: {path: /a}}}"));
  EXPECT_EQ(Pod(pod.root).spec().active_deadline_seconds(), 300);
}

// --- The controller ----------------------------------------------------------------------------

class Binder : public testing::Test {
 protected:
  Binder() : loop(11), client(loop), informers(client), ctx(Context::root(loop)) {
    log::set_output(-1);
    options.storage.remove_host_path = [this](const std::string& path) {
      removed.push_back(path);
      return Status();
    };
    binder.emplace(Deps{client, informers, options});
    informers.start(ctx);
    spawn(loop, [](Context c, Controller* b) -> Task<void> { co_await b->run(c); }(ctx, &*binder));
    rest();
  }
  ~Binder() override {
    ctx.cancel();
    loop.advance(1min);
  }
  void rest(Duration d = 3s) { loop.advance(d); }
  Ref<PersistentVolume> volume(const char* name) { return client.now<PersistentVolume>("", name); }
  Ref<PersistentVolumeClaim> claim() { return client.now<PersistentVolumeClaim>("default", "c"); }
  std::string events() {
    std::string out;
    for (const auto& e : client.all<api::core_v1::Event>()) {
      out += std::string(e->type()) + " " + std::string(e->reason()) + " " +
             std::string(e->message()) + "\n";
    }
    return out;
  }
  void drop_claim() { client.drop(kind_of<PersistentVolumeClaim>(), "default", "c"); }

  SimLoop loop;
  FakeClient client;
  InformerFactory informers;
  Options options;
  Context ctx;
  std::vector<std::string> removed;
  std::optional<VolumeBinder> binder;
};

TEST_F(Binder, BindsAndReleases) {
  client.put_yaml(volume_yaml("v", ""));
  rest();
  EXPECT_EQ(volume("v")->status().phase(), "Available");
  client.put_yaml(claim_yaml(""));
  rest();
  EXPECT_EQ(claim()->status().phase(), "Bound");
  EXPECT_EQ(claim()->spec().volume_name(), "v");
  EXPECT_EQ(claim()->status().capacity().get("storage"), "5Gi");
  EXPECT_EQ(claim()->metadata().annotations().get("pv.kubernetes.io/bind-completed"), "yes");
  EXPECT_EQ(claim()->metadata().annotations().get("pv.kubernetes.io/bound-by-controller"), "yes");
  EXPECT_EQ(volume("v")->status().phase(), "Bound");
  EXPECT_EQ(volume("v")->spec().claim_ref().uid(), "u1");
  EXPECT_EQ(volume("v")->spec().claim_ref().kind(), "PersistentVolumeClaim");
  client.clear_calls();
  rest(10min);
  EXPECT_TRUE(client.writes().empty()) << "at rest";
  drop_claim();
  rest();
  EXPECT_EQ(volume("v")->status().phase(), "Released");
  EXPECT_TRUE(removed.empty()) << "retained";
}

// It went while it was being bound, and had not heard of its volume.
TEST_F(Binder, AVolumeIsReleasedWhoseClaimNeverNamedIt) {
  client.put_yaml(volume_yaml("v", ""));
  client.fail("update", "persistentvolumeclaims", Status::unavailable("away"), 1000);
  client.put_yaml(claim_yaml(""));
  rest(1s);
  ASSERT_EQ(volume("v")->status().phase(), "Bound");
  ASSERT_EQ(claim()->spec().volume_name(), "");
  drop_claim();
  rest();
  EXPECT_EQ(volume("v")->status().phase(), "Released");
}

TEST_F(Binder, AClaimThatWaitsGetsTheVolumeThatComes) {
  client.put_yaml(claim_yaml(""));
  rest();
  EXPECT_EQ(claim()->status().phase(), "Pending");
  EXPECT_THAT(events(), HasSubstr("Normal FailedBinding no persistent volumes available for this "
                                  "claim and no storage class is set"));
  client.put_yaml(volume_yaml("v", ""));
  rest();
  EXPECT_EQ(claim()->status().phase(), "Bound");
}

// A volume that is free and changes into one that fits, in all that a claim may ask for.
TEST_F(Binder, AClaimThatWaitsGetsTheVolumeThatComesToFit) {
  struct Row {
    const char *asked, *was, *becomes;  // the claim's spec; the volume's metadata and spec
  };
  client.put_yaml(class_yaml("fast", "provisioner: kubernetes.io/no-provisioner"));
  const char* plain =
      "{name: v}, spec: {capacity: {storage: 500Mi}, accessModes: [ReadWriteOnce], volumeMode: "
      "Filesystem, hostPath: {path: /tmp/x}";
  const char* big =
      "{name: v}, spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteOnce], volumeMode: "
      "Filesystem, hostPath: {path: /tmp/x}";
  const char* gold =
      "{name: v, labels: {tier: gold}}, spec: {capacity: {storage: 5Gi}, accessModes: "
      "[ReadWriteOnce], volumeMode: Filesystem, hostPath: {path: /tmp/x}";
  const char* shared =
      "{name: v}, spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteMany], volumeMode: "
      "Filesystem, hostPath: {path: /tmp/x}";
  const char* classed =
      "{name: v}, spec: {storageClassName: fast, capacity: {storage: 5Gi}, accessModes: "
      "[ReadWriteOnce], volumeMode: Filesystem, hostPath: {path: /tmp/x}";
  const char* attributed =
      "{name: v}, spec: {volumeAttributesClassName: fast, capacity: {storage: 5Gi}, accessModes: "
      "[ReadWriteOnce], volumeMode: Filesystem, hostPath: {path: /tmp/x}";
  const char* block =
      "{name: v}, spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteOnce], volumeMode: "
      "Block, hostPath: {path: /tmp/x}";
  for (const Row& r :
       std::initializer_list<Row>{{"", plain, big},
                                  {"volumeName: v", plain, big},
                                  {"selector: {matchLabels: {tier: gold}}", big, gold},
                                  {"storageClassName: fast", big, classed},
                                  {"storageClassName: fast, volumeName: v", big, classed},
                                  {"volumeAttributesClassName: fast", big, attributed},
                                  {"", shared, big},
                                  {"", block, big}}) {
    const std::string head = "{apiVersion: v1, kind: PersistentVolume, metadata: ";
    client.put_yaml(head + r.was + "}, status: {phase: Pending}}");
    client.put_yaml(claim_yaml(r.asked));
    rest();
    EXPECT_EQ(claim()->status().phase(), "Pending") << r.asked << r.was;
    client.put_yaml(head + r.becomes + "}, status: {phase: Available}}");
    rest();
    EXPECT_EQ(claim()->status().phase(), "Bound") << r.asked << r.becomes;
    drop_claim();
    client.drop(kind_of<PersistentVolume>(), "", "v");
    rest();
  }
}

TEST_F(Binder, OneVolumeServesOneClaim) {
  for (const char* name : {"c", "d", "e"}) {
    std::string yaml = claim_yaml("");
    yaml.replace(yaml.find("name: c,"), 7, std::string("name: ") + name);
    yaml.replace(yaml.find("uid: u1"), 7, std::string("uid: u-") + name);
    client.put_yaml(yaml);
  }
  client.put_yaml(volume_yaml("v", ""));
  client.put_yaml(volume_yaml("w", ""));
  rest();
  int bound = 0;
  for (const auto& c : client.all<PersistentVolumeClaim>())
    bound += c->status().phase() == "Bound" ? 1 : 0;
  EXPECT_EQ(bound, 2);
}

TEST_F(Binder, DeletesWhatWasOnTheHost) {
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {capacity: "
      "{storage: 5Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: "
      "Delete, hostPath: {path: /tmp/data}}, status: {phase: Available}}");
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: w}, spec: {capacity: "
      "{storage: 9Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: "
      "Delete, hostPath: {path: /srv/data}, claimRef: {namespace: default, name: x, "
      "uid: gone}}, status: {phase: Bound}}");
  client.put_yaml(claim_yaml(""));
  rest();
  ASSERT_EQ(claim()->status().phase(), "Bound");
  EXPECT_EQ(volume("w")->status().phase(), "Failed");
  EXPECT_EQ(volume("w")->status().message(),
            "host_path deleter only supports /tmp/.+ but received provided /srv/data");
  drop_claim();
  rest();
  EXPECT_FALSE(volume("v"));
  EXPECT_EQ(removed, std::vector<std::string>{"/tmp/data"});
}

TEST_F(Binder, WhatCouldNotBeDeletedIsTriedAgain) {
  int tried = 0;
  bool works = false;
  options.storage.remove_host_path = [&](const std::string&) {
    ++tried;
    return works ? Status() : Status(Reason::kInternalError, "device busy");
  };
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {capacity: {storage: "
      "5Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Delete, hostPath: "
      "{path: /tmp/data}, claimRef: {namespace: default, name: x, uid: gone}}, status: {phase: "
      "Bound}}");
  rest(10min);
  EXPECT_EQ(volume("v")->status().phase(), "Failed");
  EXPECT_EQ(volume("v")->status().message(), "device busy");
  EXPECT_GT(tried, 8);
  EXPECT_LT(tried, 16) << "ever more rarely";
  works = true;
  rest(2min);
  EXPECT_FALSE(volume("v"));
}

TEST_F(Binder, ProvisioningIsAskedForAndBound) {
  client.put_yaml(class_yaml("made", "provisioner: x.io/y, volumeBindingMode: Immediate"));
  client.put_yaml(claim_yaml("storageClassName: made"));
  rest();
  auto annotations = claim()->metadata().annotations();
  EXPECT_EQ(annotations.get("volume.kubernetes.io/storage-provisioner"), "x.io/y");
  EXPECT_EQ(annotations.get("volume.beta.kubernetes.io/storage-provisioner"), "x.io/y");
  EXPECT_THAT(events(), HasSubstr("Normal ExternalProvisioning Waiting for a volume"));
  client.put_yaml(volume_yaml("pvc-u1",
                              "storageClassName: made, claimRef: {namespace: default, "
                              "name: c, uid: u1}"));
  rest();
  EXPECT_EQ(claim()->status().phase(), "Bound");
  EXPECT_EQ(volume("pvc-u1")->status().phase(), "Bound");
  EXPECT_FALSE(
      volume("pvc-u1")->metadata().annotations().contains("pv.kubernetes.io/bound-by-controller"))
      << "its maker bound it";
}

TEST_F(Binder, AClaimWithoutClassGetsTheDefaultThatComes) {
  client.put_yaml(claim_yaml(""));
  rest();
  client.put_yaml(class_yaml("std", "provisioner: x.io/y, volumeBindingMode: Immediate",
                             "annotations: {storageclass.kubernetes.io/is-default-class: 'true'}"));
  rest();
  EXPECT_EQ(claim()->spec().storage_class_name(), "std");
  EXPECT_EQ(claim()->metadata().annotations().get("volume.kubernetes.io/storage-provisioner"),
            "x.io/y");
}

TEST_F(Binder, TellsForWhomAClaimWaits) {
  client.put_yaml(
      class_yaml("late", "provisioner: x.io/y, volumeBindingMode: WaitForFirstConsumer"));
  client.put_yaml(claim_yaml("storageClassName: late"));
  rest();
  EXPECT_THAT(events(), HasSubstr("Normal WaitForFirstConsumer waiting for first consumer to be "
                                  "created before binding"));
  client.put_yaml(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {volumes: "
      "[{name: v, persistentVolumeClaim: {claimName: c}}]}}");
  rest();
  EXPECT_THAT(events(), HasSubstr("Normal WaitForPodScheduled waiting for pod p to be scheduled"));
}

TEST_F(Binder, AClaimIsLostWithItsVolume) {
  client.put_yaml(volume_yaml("v", ""));
  client.put_yaml(claim_yaml(""));
  rest();
  ASSERT_EQ(claim()->status().phase(), "Bound");
  client.drop(kind_of<PersistentVolume>(), "", "v");
  rest();
  EXPECT_EQ(claim()->status().phase(), "Lost");
  EXPECT_FALSE(claim()->status().has_capacity());
  EXPECT_THAT(events(), HasSubstr("Warning ClaimLost Bound claim has lost its PersistentVolume."));
}

TEST_F(Binder, AReservedVolumeIsFreeAgainForItsReserver) {
  // The claim that found another volume in the meantime.
  client.put_yaml(volume_yaml("w", ""));
  client.put_yaml(claim_yaml("volumeName: w"));
  rest();
  ASSERT_EQ(claim()->status().phase(), "Bound");
  client.put_yaml(volume_yaml("v", "claimRef: {namespace: default, name: c, uid: u1}"));
  client.put_yaml(volume_yaml("y", "claimRef: {namespace: default, name: c, uid: u1}",
                              "annotations: {pv.kubernetes.io/bound-by-controller: 'yes'}"));
  rest();
  EXPECT_EQ(volume("v")->status().phase(), "Available");
  EXPECT_EQ(volume("v")->spec().claim_ref().name(), "c");
  EXPECT_TRUE(volume("v")->spec().claim_ref().uid().empty());
  EXPECT_FALSE(volume("y")->spec().has_claim_ref());
  EXPECT_FALSE(volume("y")->metadata().has_annotations());
}

TEST_F(Binder, Recycles) {
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {capacity: "
      "{storage: 5Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: "
      "Recycle, hostPath: {path: /data}, claimRef: {namespace: default, name: x, uid: "
      "gone}}, status: {phase: Bound}}");
  rest();
  EXPECT_EQ(volume("v")->status().phase(), "Released");
  auto pod = client.now<Pod>("default", "recycler-for-v");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->spec().volumes()[0].host_path().path(), "/data");
  Draft<PodEdit> done(*pod);
  done->edit_status().set_phase("Succeeded");
  client.put(kind_of<Pod>(), done.take());
  rest(40s);
  EXPECT_FALSE(client.now<Pod>("default", "recycler-for-v"));
  EXPECT_EQ(volume("v")->status().phase(), "Available");
  EXPECT_TRUE(volume("v")->spec().claim_ref().uid().empty());
  EXPECT_THAT(events(), HasSubstr("Normal VolumeRecycled Volume recycled"));
}

TEST_F(Binder, WhatCouldNotBeRecycledIsTriedAgainEverMoreRarely) {
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {capacity: {storage: "
      "5Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Recycle, hostPath: "
      "{path: /data}, claimRef: {namespace: default, name: x, uid: gone}}, status: {phase: "
      "Bound}}");
  int started = 0;
  std::string last;
  auto end_recycler = [&](const char* phase) {
    auto pod = client.now<Pod>("default", "recycler-for-v");
    if (!pod || pod->metadata().uid() == last) return;
    last = pod->metadata().uid();
    ++started;
    Draft<PodEdit> ended(*pod);
    ended->edit_status().set_phase(phase);
    client.put(kind_of<Pod>(), ended.take());
    // Nothing of it is left on the node: its end is not waited for.
    rest(100ms);
    client.drop(kind_of<Pod>(), "default", "recycler-for-v");
  };
  for (int i = 0; i < 1200; ++i) {
    end_recycler("Failed");
    rest(500ms);
  }
  EXPECT_EQ(volume("v")->status().phase(), "Failed");
  EXPECT_THAT(events(), HasSubstr("Warning VolumeFailedRecycle Recycle failed: failed to recycle"));
  EXPECT_GT(started, 8);
  EXPECT_LT(started, 16);
  for (int i = 0; i < 300; ++i) {
    end_recycler("Succeeded");
    rest(500ms);
  }
  EXPECT_EQ(volume("v")->status().phase(), "Available");
}

TEST_F(Binder, AWriteThatIsRefusedIsTriedAgain) {
  for (const char* what : {"persistentvolumes", "persistentvolumes/status",
                           "persistentvolumeclaims", "persistentvolumeclaims/status"}) {
    client.fail("update", what, Status(Reason::kConflict, "not now"), 2);
  }
  client.put_yaml(volume_yaml("v", ""));
  client.put_yaml(claim_yaml(""));
  rest(10s);
  EXPECT_EQ(claim()->status().phase(), "Bound");
  EXPECT_EQ(volume("v")->status().phase(), "Bound");
}

}  // namespace
}  // namespace keles::controllers
