#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/metrics.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "scheduler/decide_test.h"

namespace keles::scheduler {
namespace {

using api::core_v1::Namespace;
using api::core_v1::Node;
using api::core_v1::Pod;

TEST_F(DecideTest, NoNodes) {
  EXPECT_EQ(choose(pod_text("p")), "no nodes available to schedule pods");
}

TEST_F(DecideTest, EveryReasonAsUpstreamWordsIt) {
  node(node_text("a", "1"));
  node(node_text("b", "8", "", "taints: [{key: dedicated, value: x, effect: NoSchedule}]"));
  node(node_text("c", "8", "", "unschedulable: true"));
  EXPECT_EQ(choose(pod_text("p", requests("2"))),
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), "
            "1 node(s) were unschedulable.");
  EXPECT_EQ(choose(pod_text("p", requests("2") + "  tolerations: [{operator: Exists}]\n")).size(),
            1u);
  EXPECT_EQ(choose(pod_text("p", "  nodeSelector: {disk: ssd}\n")),
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.");
}

TEST_F(DecideTest, NodeAffinityAndSelector) {
  node(node_text("a", "4", ", zone: east, rank: '5'"));
  node(node_text("b", "4", ", zone: west, rank: '9'"));
  auto with = [](const std::string& terms) {
    return pod_text("p",
                    "  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                    "{nodeSelectorTerms: [" +
                        terms + "]}}}\n");
  };
  EXPECT_EQ(choose(pod_text("p", "  nodeSelector: {zone: west}\n")), "b");
  EXPECT_EQ(choose(with("{matchExpressions: [{key: zone, operator: NotIn, values: [west]}]}")),
            "a");
  EXPECT_EQ(choose(with("{matchExpressions: [{key: rank, operator: Gt, values: ['7']}]}")), "b");
  EXPECT_EQ(choose(with("{matchFields: [{key: metadata.name, operator: In, values: [a]}]}")), "a");
  EXPECT_EQ(choose(with("{matchExpressions: [{key: gpu, operator: Exists}]}")),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
  EXPECT_EQ(choose(pod_text(
                "p",
                "  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: "
                "[{weight: 100, preference: {matchExpressions: "
                "[{key: zone, operator: In, values: [west]}]}}]}}\n")),
            "b");
}

TEST_F(DecideTest, PodAffinity) {
  node(node_text("a", "4", ", zone: east"));
  node(node_text("b", "4", ", zone: west"));
  placed(pod_text("web", "  nodeName: b\n", ", labels: {app: web}"));
  auto with = [](const std::string& kind, const std::string& app, const std::string& labels = "") {
    return pod_text("p",
                    "  affinity: {" + kind +
                        ": {requiredDuringSchedulingIgnoredDuringExecution: "
                        "[{topologyKey: zone, labelSelector: {matchLabels: {app: " +
                        app + "}}}]}}\n",
                    labels);
  };
  EXPECT_EQ(choose(with("podAffinity", "web")), "b");
  EXPECT_EQ(choose(with("podAntiAffinity", "web")), "a");
  EXPECT_EQ(choose(with("podAffinity", "db")),
            "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.");
  // The first of a group that wants to be together.
  EXPECT_EQ(choose(with("podAffinity", "db", ", labels: {app: db}")).size(), 1u);
  // Those placed keep others away.
  placed(with("podAntiAffinity", "cron", ", labels: {app: cron}") + "  nodeName: a\n");
  placed(pod_text("w2", "  nodeName: a\n", ", labels: {app: web}"));
  EXPECT_EQ(choose(with("podAntiAffinity", "web", ", labels: {app: cron}")),
            "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.");
  EXPECT_EQ(choose(pod_text("q", "", ", labels: {app: cron}")), "b");
}

TEST_F(DecideTest, HostPorts) {
  node(node_text("a"));
  std::string ports = "  hostNetwork: false\n";
  std::string text =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME, namespace: default, uid: NAME}\n"
      "spec: {EXTRA containers: [{name: c, image: i, ports: [{hostPort: 80, containerPort: 80}]}]}";
  auto make = [&](std::string name, std::string extra) {
    std::string t = text;
    for (size_t at; (at = t.find("NAME")) != t.npos;) t.replace(at, 4, name);
    t.replace(t.find("EXTRA"), 5, extra);
    return t;
  };
  placed(make("x", "nodeName: a,"));
  EXPECT_EQ(
      choose(make("y", "")),
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
}

TEST_F(DecideTest, SpreadsOverEmptyNodesAndCountsPods) {
  node(node_text("a"));
  node(node_text("b"));
  placed(pod_text("one", "  nodeName: a\n"));
  EXPECT_EQ(choose(pod_text("two")), "b");
}

TEST_F(DecideTest, PreemptsTheLeastImportant) {
  node(node_text("a", "2"));
  node(node_text("b", "2"));
  placed(pod_text("low", "  nodeName: a\n  priority: 1\n" + requests("2")));
  placed(pod_text("mid", "  nodeName: b\n  priority: 5\n" + requests("2")));
  EXPECT_EQ(preempt(pod_text("high", "  priority: 10\n" + requests("1"))), "a: low");
  EXPECT_EQ(preempt(pod_text("lowest", "  priority: 0\n" + requests("1"))),
            "2 No preemption victims found for incoming pod;");
}

TEST(Scheduler, SaysWhyItPreemptsBeforeItDeletes) {
  const int before = metric_now("scheduler_preemption_victims_count");
  SimLoop loop(1);
  FakeClient client(loop);
  client.put_yaml("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}");
  client.put_yaml(node_text("a", "1"));
  client.put_yaml(pod_text("low", "  priority: 1\n  nodeName: a\n  overhead: {cpu: '1'}\n",
                           ", finalizers: [example.com/hold], generation: 3"));
  client.put_yaml(pod_text("high", "  priority: 9\n" + requests("1"), ", generation: 5"));
  Context ctx = Context::root(loop).child();
  InformerFactory informers(client);
  EventRecorder recorder(client, "default-scheduler");
  Scheduler scheduler(client, informers, recorder);
  informers.start(ctx);
  recorder.start(ctx);
  spawn(loop, [](Context c, Scheduler* s) -> Task<void> { co_await s->run(c); }(ctx, &scheduler));
  loop.advance(3s);
  auto condition = [&](std::string_view name, std::string_view type) -> std::string {
    for (auto c : client.now<Pod>("default", name)->status().conditions()) {
      if (c.type() == type) {
        return std::string(c.status()) + " " + std::string(c.reason()) + " " +
               std::to_string(c.observed_generation()) + " " + std::string(c.message());
      }
    }
    return "none";
  };
  EXPECT_EQ(condition("low", "DisruptionTarget"),
            "True PreemptionByScheduler 3 default-scheduler: preempting to accommodate a higher "
            "priority pod");
  EXPECT_FALSE(client.now<Pod>("default", "low")->metadata().deletion_timestamp().empty());
  EXPECT_THAT(condition("high", "PodScheduled"), testing::StartsWith("False Unschedulable 5 0/1"));
  EXPECT_EQ(client.now<Pod>("default", "high")->status().nominated_node_name(), "a");
  const std::string metrics = metrics::expose();
  for (const char* series :
       {"scheduler_schedule_attempts_total{result=\"unschedulable\",profile=\"default-scheduler\"}",
        "scheduler_preemption_attempts_total",
        "scheduler_framework_extension_point_duration_seconds_count{extension_point=\"Filter\","
        "status=\"Success\",profile=\"default-scheduler\"}",
        "scheduler_unschedulable_pods{plugin=\"NodeResourcesFit\",profile=\"default-scheduler\"}",
        "scheduler_queue_incoming_pods_total{queue=\"active\",event=\"UnschedulablePodAdd\"}",
        "scheduler_pending_pods{queue=\"gated\"}"}) {
    EXPECT_THAT(metrics, testing::HasSubstr(series));
  }
  EXPECT_EQ(metric_now("scheduler_preemption_victims_count") - before, 1);
  ctx.cancel();
  loop.advance(1min);
}

}  // namespace
}  // namespace keles::scheduler
