// What becomes of a pod between the decision and its node: over an API server in memory, on
// virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "scheduler/decide_test.h"
#include "scheduler/scheduler.h"

namespace keles::scheduler {
namespace {

using api::core_v1::PersistentVolumeClaim;
using api::core_v1::Pod;
using testing::Contains;
using testing::Not;

class Binding : public testing::Test {
 protected:
  SimLoop loop{1};
  FakeClient client{loop};
  Context ctx = Context::root(loop).child();
  InformerFactory informers{client};
  EventRecorder recorder{client, "default-scheduler"};
  std::unique_ptr<Scheduler> scheduler;

  void SetUp() override {
    client.put_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: default}}");
    client.put_yaml(node_text("a"));
    client.put_yaml(node_text("b"));
  }
  void TearDown() override {
    ctx.cancel();
    loop.advance(1min);
  }
  void start(SchedulerOptions options = {}) {
    scheduler = std::make_unique<Scheduler>(client, informers, recorder, std::move(options));
    informers.start(ctx);
    recorder.start(ctx);
    spawn(loop,
          [](Context c, Scheduler* s) -> Task<void> { co_await s->run(c); }(ctx, scheduler.get()));
    loop.advance(1s);
  }
  std::string node_of(std::string_view pod) const {
    Ref<Pod> p = client.now<Pod>("default", pod);
    return p ? std::string(p->spec().node_name()) : "gone";
  }
  std::string scheduled(std::string_view pod) const {  // why it is not
    Ref<Pod> p = client.now<Pod>("default", pod);
    for (auto c : p->status().conditions())
      if (c.type() == "PodScheduled") return std::string(c.reason());
    return "";
  }
  // A claim that waits for its pod; nobody carries out what the scheduler asks for. With `more` it
  // has got its volume, on the node that was chosen.
  void put_claim(const std::string& more = "") {
    std::string done;
    if (auto was = client.now<PersistentVolumeClaim>("default", "data"); was && !more.empty()) {
      done = ", annotations: {pv.kubernetes.io/bind-completed: 'yes'";
      for (auto [key, text] : was->metadata().annotations())
        done += ", " + std::string(key) + ": '" + std::string(text) + "'";
      done += "}";
    }
    client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: default, "
        "uid: u-data" +
        done +
        "}, spec: {storageClassName: late, accessModes: [ReadWriteOnce], resources: "
        "{requests: {storage: 1Gi}}" +
        more + "}, status: {phase: " + (more.empty() ? "Pending" : "Bound") + "}}");
  }
  void put_pod_with_claim(const std::string& provisioner) {
    client.put_yaml(
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: late}, "
        "provisioner: " +
        provisioner + ", volumeBindingMode: WaitForFirstConsumer}");
    put_claim();
    client.put_yaml(
        pod_text("slow", "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n"));
  }
  void put_volume() {
    client.put_yaml(
        "{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv1}, spec: {capacity: "
        "{storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: late, nodeAffinity: "
        "{required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, "
        "operator: In, values: [b]}]}]}}}, status: {phase: Available}}");
  }
};

TEST_F(Binding, WhatIsNotFoundNeedNotBeThePod) {
  start();
  put_volume();
  client.fail("update", "persistentvolumes",
              Status::not_found("", "persistentvolumes", "pv1"));  // deleted under our hands
  put_pod_with_claim("kubernetes.io/no-provisioner");
  loop.advance(500ms);
  EXPECT_EQ(scheduled("slow"), "SchedulerError");
  loop.advance(10s);  // the second attempt writes it
  put_claim(", volumeName: pv1");
  loop.advance(5s);
  EXPECT_EQ(node_of("slow"), "b");

  client.fail("create", "pods/binding", Status::not_found("", "nodes", "a"));
  client.put_yaml(pod_text("p"));
  loop.advance(500ms);
  EXPECT_EQ(scheduled("p"), "SchedulerError");
  loop.advance(10s);
  EXPECT_NE(node_of("p"), "");
}

TEST_F(Binding, APodThatGoesMeanwhileIsNotReported) {
  start();
  client.set_latency(2s);
  client.put_yaml(pod_text("p"));
  loop.advance(1s);
  client.drop(kind_of<Pod>(), "default", "p");
  client.clear_calls();
  loop.advance(20s);
  EXPECT_THAT(client.writes(), testing::ElementsAre("create pods/binding default/p"));
}

TEST_F(Binding, ABindingThatIsPreparedForMinutesHoldsUpNobody) {
  SchedulerOptions one;
  one.max_bindings_in_flight = 1;
  start(std::move(one));
  put_pod_with_claim("example.com/slow");
  loop.advance(5s);
  EXPECT_EQ(node_of("slow"), "");
  for (const char* name : {"p1", "p2", "p3"}) client.put_yaml(pod_text(name));
  loop.advance(5s);
  for (const char* name : {"p1", "p2", "p3"}) EXPECT_NE(node_of(name), "") << name;
  client.put_yaml(
      "{apiVersion: v1, kind: PersistentVolume, metadata: {name: made}, spec: {capacity: {storage: "
      "1Gi}, accessModes: [ReadWriteOnce], storageClassName: late, claimRef: {namespace: default, "
      "name: data, uid: u-data}}, status: {phase: Bound}}");
  put_claim(", volumeName: made");
  loop.advance(5s);
  EXPECT_NE(node_of("slow"), "");
  client.put_yaml(pod_text("p4"));  // and its slot has come back
  loop.advance(5s);
  EXPECT_NE(node_of("p4"), "");
}

TEST_F(Binding, WhoGoesOrIsPlacedWhileItWaitsForASlotIsPassedOver) {
  SchedulerOptions one;
  one.max_bindings_in_flight = 1;
  start(std::move(one));
  client.set_latency(2s);
  for (const char* gone : {"deleted", "placed"}) {
    client.put_yaml(pod_text(std::string("before-") + gone));
    loop.advance(500ms);
    client.put_yaml(pod_text(gone));  // taken from the queue, but the only slot is held
    loop.advance(500ms);
    if (gone == std::string("deleted")) {
      client.drop(kind_of<Pod>(), "default", gone);
    } else {
      client.put_yaml(pod_text(gone, "  nodeName: b\n"));
    }
    loop.advance(10s);
    EXPECT_NE(node_of(std::string("before-") + gone), "");
    EXPECT_THAT(client.writes(), Not(Contains(std::string("create pods/binding default/") + gone)));
  }
  client.put_yaml(pod_text("after"));
  loop.advance(10s);
  EXPECT_NE(node_of("after"), "");
}

TEST_F(Binding, AnAttemptAfterAFailureGoesByThePodAsItIsNow) {
  start();
  client.set_latency(2s);
  client.fail("create", "pods/binding", Status::internal("no"));
  client.put_yaml(pod_text("p", "  nodeSelector: {kubernetes.io/hostname: a}\n"));
  loop.advance(1s);  // decided for a
  client.put_yaml(pod_text("p", "  nodeSelector: {kubernetes.io/hostname: b}\n"));
  loop.advance(20s);
  EXPECT_EQ(node_of("p"), "b");
}

// Of the victims the one that goes by itself, its name taken by another, stops nothing.
TEST_F(Binding, AVictimThatHasGoneByItselfIsAVictimLess) {
  const int before = metric_now("scheduler_preemption_victims_count");
  client.drop(*find_kind("", "v1", "Node"), "", "b");
  for (const char* name : {"low1", "low2"}) {
    client.put_yaml(pod_text(name, "  priority: " + std::string(1, name[3]) +
                                       "\n  nodeName: a\n  overhead: {cpu: '2'}\n"));
  }
  start();
  client.set_latency(2s);
  client.put_yaml(pod_text("high", "  priority: 9\n" + requests("4")));
  loop.advance(1s);
  client.drop(kind_of<Pod>(), "default", "low2");
  std::string other = pod_text("low2");
  other.replace(other.find("uid-"), 4, "new-");
  other.replace(other.find("default-scheduler"), 17, "somebody-else");
  client.put_yaml(other);
  loop.advance(10s);
  EXPECT_FALSE(client.now<Pod>("default", "low1")->metadata().deletion_timestamp().empty());
  EXPECT_TRUE(client.now<Pod>("default", "low2")->metadata().deletion_timestamp().empty());
  EXPECT_EQ(metric_now("scheduler_preemption_victims_count") - before, 1);
}

}  // namespace
}  // namespace keles::scheduler
