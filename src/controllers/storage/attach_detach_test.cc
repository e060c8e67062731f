// Volumes attached where they are wanted; claims made for pods; claims that want to grow.
#include "controllers/storage/attach_detach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"
#include "controllers/storage/ephemeral.h"
#include "controllers/storage/expander.h"

namespace keles::controllers {
namespace {

using namespace api::core_v1;
using api::storage_v1::VolumeAttachment;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// --- Decisions ---------------------------------------------------------------------------------

std::string text_of(const AttachPlan& p) {
  std::string out;
  for (const auto& n : p.attach) out += "+" + n + " ";
  for (const auto& d : p.detach)
    out += "-" + d.node + (d.forced.empty() ? "" : "!") + d.forced + " ";
  if (p.look_again.count() > 0)
    out += "~" +
           std::to_string(std::chrono::duration_cast<std::chrono::seconds>(p.look_again).count());
  for (const auto& [pod, message] : p.refused) out += pod.name + ": " + message;
  return out;
}

TEST(AttachPlan, WhereAVolumeGoes) {
  const std::vector<PodName> p{{"ns", "p"}}, q{{"ns", "q"}};
  const Attachment on{true, false}, off{false, false}, going{true, true};
  const AttachNode mounted{true, true, false, 1min}, sick{true, false, false, 1min},
      long_sick{true, false, false, 6min}, out{true, false, true, 1s}, free{false, true, false, 1s};
  struct Row {
    const char* what;
    AttachState state;
    std::string plan;
  };
  const std::vector<Row> rows{
      {"nobody has it", {"v", true, {{"a", p}}, {}, {}}, "+a "},
      {"it is there", {"v", true, {{"a", p}}, {{"a", on}}, {{"a", mounted}}}, ""},
      {"on its way", {"v", true, {{"a", p}}, {{"a", off}}, {{"a", free}}}, ""},
      {"shared", {"v", false, {{"a", p}, {"b", q}}, {{"a", on}}, {{"a", mounted}}}, "+b "},
      {"one at a time", {"v", true, {{"a", p}, {"b", q}}, {}, {}}, "+a "},
      {"another has it",
       {"v", true, {{"a", p}, {"b", q}}, {{"a", on}}, {{"a", mounted}}},
       "q: Multi-Attach error for volume \"v\" Volume is already used by pod(s) p"},
      {"another's pods are elsewhere",
       {"v", true, {{"a", {{"x", "p"}}}, {"b", q}}, {{"a", on}}, {{"a", mounted}}},
       "q: Multi-Attach error for volume \"v\" Volume is already used by 1 pod(s) in different "
       "namespaces"},
      {"it has not left yet",
       {"v", true, {{"b", q}}, {{"a", going}}, {{"a", free}}},
       "q: Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node "
       "and can't be attached to another"},
      {"let go of", {"v", true, {}, {{"a", on}}, {{"a", free}}}, "-a "},
      {"still mounted", {"v", true, {}, {{"a", on}}, {{"a", mounted}}}, ""},
      {"still mounted, the node is not well", {"v", true, {}, {{"a", on}}, {{"a", sick}}}, "~300"},
      {"for six minutes", {"v", true, {}, {{"a", on}}, {{"a", long_sick}}}, "-a!timeout "},
      {"out of service", {"v", true, {}, {{"a", on}}, {{"a", out}}}, "-a!out-of-service "},
      {"its node has gone", {"v", true, {}, {{"a", on}}, {}}, "-a "},
  };
  for (const Row& r : rows) EXPECT_EQ(text_of(plan_attach(r.state)), r.plan) << r.what;
}

TEST(AttachPlan, NamesAreUpstreams) {
  EXPECT_EQ(attachment_name("h", "d.io", "a"),
            "csi-b9df34ad01b487dabdb5b8011eb153b9bca45910cab020de09acc0d42e41cbeb");
}

TEST(EphemeralPlan, ClaimsOfAPod) {
  auto pod = parse<Pod>(
      "{metadata: {name: p, namespace: ns, uid: u}, spec: {volumes: [{name: a, ephemeral: "
      "{volumeClaimTemplate: {metadata: {labels: {tier: gold}, annotations: {note: text}}, spec: "
      "{storageClassName: s}}}}, {name: b, emptyDir: {}}]}}");
  auto none = [](std::string_view) { return Ref<PersistentVolumeClaim>(); };
  auto plan = plan_ephemeral(*pod, none);
  ASSERT_EQ(plan.size(), 1u);
  PersistentVolumeClaim claim(plan[0].make->root);
  EXPECT_EQ(claim.metadata().name(), "p-a");
  EXPECT_EQ(claim.metadata().labels().get("tier"), "gold");
  EXPECT_EQ(claim.metadata().annotations().get("note"), "text");
  EXPECT_EQ(claim.spec().storage_class_name(), "s");
  EXPECT_EQ(claim.metadata().owner_references()[0].uid(), "u");
  EXPECT_TRUE(claim.metadata().owner_references()[0].controller());
  auto anothers = [](std::string_view name) {
    return parse<PersistentVolumeClaim>("{metadata: {name: " + std::string(name) +
                                        ", namespace: ns}}");
  };
  plan = plan_ephemeral(*pod, anothers);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].conflict.message(),
            "PVC ns/p-a was not created for pod ns/p (pod is not owner)");
  auto own = [](std::string_view) {
    return parse<PersistentVolumeClaim>(
        "{metadata: {name: p-a, namespace: ns, ownerReferences: [{uid: u, controller: true}]}}");
  };
  EXPECT_TRUE(plan_ephemeral(*pod, own).empty());
}

TEST(ExpandPlan, WhoGrowsAVolume) {
  auto claim = [](const char* asked) {
    return parse<PersistentVolumeClaim>(
        "{metadata: {name: c, namespace: ns, uid: u}, spec: {resources: {requests: {storage: " +
        std::string(asked) + "}}}, status: {capacity: {storage: 1Gi}}}");
  };
  auto volume = [](const char* source, const char* uid = "u") {
    return parse<PersistentVolume>("{metadata: {name: v}, spec: {" + std::string(source) +
                                   ": {}, claimRef: {namespace: ns, name: c, uid: " + uid + "}}}");
  };
  EXPECT_FALSE(plan_expand(*claim("1Gi"), *volume("csi")).wanted);
  EXPECT_EQ(plan_expand(*claim("2Gi"), *volume("csi")).event,
            "waiting for an external controller to expand this PVC");
  const ExpandPlan moved = plan_expand(*claim("2Gi"), *volume("gcePersistentDisk"));
  EXPECT_EQ(moved.event,
            "CSI migration enabled for kubernetes.io/gce-pd; waiting for external resizer to "
            "expand the pvc");
  EXPECT_EQ(moved.resizer, "pd.csi.storage.gke.io");
  EXPECT_EQ(plan_expand(*claim("2Gi"), *volume("csi", "other")).error.message(),
            "persistent Volume is not bound to PVC being updated : ns/c");
}

// --- The controllers ---------------------------------------------------------------------------

template <class C>
class World : public testing::Test {
 protected:
  World() : loop(5), client(loop), informers(client), ctx(Context::root(loop)) {
    log::set_output(-1);
    controller.emplace(Deps{client, informers, options});
    informers.start(ctx);
    spawn(loop,
          [](Context c, Controller* b) -> Task<void> { co_await b->run(c); }(ctx, &*controller));
    rest();
  }
  ~World() override {
    ctx.cancel();
    loop.advance(1min);
  }
  void rest(Duration d = 3s) { loop.advance(d); }
  std::string events() {
    std::string out;
    for (const auto& e : client.all<api::core_v1::Event>()) {
      out += std::string(e->reason()) + " " + std::string(e->involved_object().name()) + " " +
             std::string(e->message()) + "\n";
    }
    return out;
  }
  SimLoop loop;
  FakeClient client;
  InformerFactory informers;
  Options options;
  Context ctx;
  std::optional<C> controller;
};

class Attaching : public World<AttachDetach> {
 protected:
  void SetUp() override {
    for (const char* n : {"a", "b"}) put_node(n);
    client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {accessModes: "
        "[ReadWriteOnce], csi: {driver: d.io, volumeHandle: h}, claimRef: {namespace: ns, name: c, "
        "uid: u}}, status: {phase: Bound}}");
    client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns, uid: u}, "
        "spec: {volumeName: v}, status: {phase: Bound}}");
  }
  void put_node(const std::string& name, const std::string& status = "",
                const std::string& spec = "") {
    client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: " + name +
                    ", annotations: {volumes.kubernetes.io/controller-managed-attach-detach: "
                    "'true'}}, spec: {" +
                    spec + "}, status: {conditions: [{type: Ready, status: 'True'}]" + status +
                    "}}");
  }
  void put_pod(const std::string& name, const std::string& node) {
    client.put_yaml("{apiVersion: v1, kind: Pod, metadata: {name: " + name +
                    ", namespace: ns}, spec: {nodeName: " + node +
                    ", volumes: [{name: x, persistentVolumeClaim: {claimName: c}}]}}");
  }
  Ref<VolumeAttachment> attachment(const std::string& node) {
    return client.now<VolumeAttachment>("", attachment_name("h", "d.io", node));
  }
  void attached(const std::string& node) {
    Draft<api::storage_v1::VolumeAttachmentEdit> next(*attachment(node));
    next->edit_status().set_attached(true);
    client.put(kind_of<VolumeAttachment>(), next.take());
    rest();
  }
  std::vector<std::string> reported(const std::string& node) {
    std::vector<std::string> out;
    for (AttachedVolume v : client.now<Node>("", node)->status().volumes_attached())
      out.emplace_back(v.name());
    return out;
  }
};

TEST_F(Attaching, FromPodToNodeAndBack) {
  put_pod("p", "a");
  rest();
  ASSERT_TRUE(attachment("a"));
  EXPECT_EQ(attachment("a")->spec().attacher(), "d.io");
  EXPECT_EQ(attachment("a")->spec().source().persistent_volume_name(), "v");
  EXPECT_THAT(reported("a"), IsEmpty());
  attached("a");
  EXPECT_THAT(reported("a"), ElementsAre("kubernetes.io/csi/d.io^h"));
  EXPECT_THAT(events(), HasSubstr("SuccessfulAttachVolume p AttachVolume.Attach succeeded for "
                                  "volume \"v\" "));
  const std::string in_use = "storage_count_attachable_volumes_in_use{node=\"",
                    of_driver = "\",volume_plugin=\"kubernetes.io/csi:d.io\"} ",
                    total =
                        "attachdetach_controller_total_volumes{plugin_name=\"kubernetes.io/"
                        "csi:d.io\",state=\"";
  EXPECT_THAT(metrics::expose(), HasSubstr(in_use + "a" + of_driver + "1\n"));
  EXPECT_THAT(metrics::expose(), HasSubstr(total + "desired_state_of_world\"} 1\n"));
  EXPECT_THAT(metrics::expose(), HasSubstr(total + "actual_state_of_world\"} 1\n"));
  put_pod("q", "b");
  rest();
  EXPECT_THAT(metrics::expose(), HasSubstr(in_use + "b" + of_driver + "1\n"));
  EXPECT_FALSE(attachment("b"));
  EXPECT_THAT(events(), HasSubstr("FailedAttachVolume q Multi-Attach error for volume \"v\" "
                                  "Volume is already used by pod(s) p"));
  client.drop(kind_of<Pod>(), "ns", "p");
  rest();
  EXPECT_FALSE(attachment("a"));
  EXPECT_THAT(metrics::expose(), HasSubstr(in_use + "a" + of_driver + "0\n"));
  EXPECT_THAT(metrics::expose(), HasSubstr(total + "actual_state_of_world\"} 0\n"));
  EXPECT_THAT(reported("a"), IsEmpty());
  EXPECT_TRUE(attachment("b")) << "as soon as it is free";
  client.clear_calls();
  rest(1min);
  EXPECT_TRUE(client.writes().empty()) << "at rest";
}

TEST_F(Attaching, WhatCouldNotBeRemovedAndIsWantedAgainIsReportedAgain) {
  put_pod("p", "a");
  rest();
  attached("a");
  ASSERT_THAT(reported("a"), ElementsAre("kubernetes.io/csi/d.io^h"));
  client.fail("delete", "volumeattachments.storage.k8s.io", Status(Reason::kForbidden, "no"), 1000);
  client.drop(kind_of<Pod>(), "ns", "p");
  rest();
  ASSERT_TRUE(attachment("a"));
  EXPECT_THAT(reported("a"), IsEmpty()) << "the node hears of it first";
  put_pod("q", "a");
  rest(1min);
  EXPECT_TRUE(attachment("a"));
  EXPECT_THAT(reported("a"), ElementsAre("kubernetes.io/csi/d.io^h"));
}

TEST_F(Attaching, WhatIsMountedStaysUntilTheNodeIsOutOfService) {
  put_pod("p", "a");
  rest();
  attached("a");
  put_node("a", ", volumesInUse: [kubernetes.io/csi/d.io^h]");
  rest();
  client.drop(kind_of<Pod>(), "ns", "p");
  rest(30min);
  EXPECT_TRUE(attachment("a")) << "a node that is well has to let go of it";
  put_node("a", ", volumesInUse: [kubernetes.io/csi/d.io^h]",
           "taints: [{key: node.kubernetes.io/out-of-service, effect: NoExecute}]");
  rest();
  EXPECT_FALSE(attachment("a"));
}

TEST_F(Attaching, FailuresAreTold) {
  put_pod("p", "a");
  rest(3min);
  EXPECT_THAT(events(), HasSubstr("FailedAttachVolume p AttachVolume.Attach failed for volume "
                                  "\"v\" : timed out waiting for external-attacher of d.io CSI "
                                  "driver to attach volume h"));
  Draft<api::storage_v1::VolumeAttachmentEdit> next(*attachment("a"));
  next->edit_status().edit_attach_error().set_message("no such disk");
  client.put(kind_of<VolumeAttachment>(), next.take());
  rest();
  EXPECT_THAT(events(), HasSubstr("AttachVolume.Attach failed for volume \"v\" : no such disk"));
}

TEST_F(Attaching, DriversThatNeedItNotAndAttachmentsOfOthers) {
  client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: d.io}, spec: "
      "{attachRequired: false}}");
  client.put_yaml(
      "{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: by-hand}, spec: "
      "{attacher: d.io, nodeName: a, source: {persistentVolumeName: v}}}");
  put_pod("p", "a");
  rest(10min);
  EXPECT_FALSE(attachment("a"));
  EXPECT_TRUE(client.now<VolumeAttachment>("", "by-hand"));
  EXPECT_THAT(events(), Not(HasSubstr("Attach")));
}

using Ephemeral = World<EphemeralVolumes>;

TEST_F(Ephemeral, MakesClaimsAndTellsOfConflicts) {
  const std::string pod =
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns, uid: u}, spec: {volumes: "
      "[{name: a, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: s}}}}]}}";
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p-a, namespace: ns}}");
  client.put_yaml(pod);
  rest();
  EXPECT_THAT(events(), HasSubstr("FailedBinding p ephemeral volume a: PVC ns/p-a was not created "
                                  "for pod ns/p (pod is not owner)"));
  client.drop(kind_of<PersistentVolumeClaim>(), "ns", "p-a");
  rest();
  auto claim = client.now<PersistentVolumeClaim>("ns", "p-a");
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->metadata().owner_references()[0].uid(), "u");
}

}  // namespace
}  // namespace keles::controllers
