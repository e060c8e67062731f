// The autoscaler: how many replicas a metric asks for, how fast the count follows, and the
// controller against FakeClient on virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/apps_v1.h"
#include "api/autoscaling_v2.h"
#include "api/core_v1.h"
#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/autoscaling/horizontal_pod_autoscaler.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"
#include "machinery/codec_json.h"

namespace keles::controllers::hpa {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// --- how many -----------------------------------------------------------------------------------

// A pod as a word: its phase and readiness, and since when it has been so.
//   "ready", "never": not ready since it began; "was": it was ready once; "fresh": ready for 5 s,
//   "pending", "failed", "going"; each requests 1 core and 1Ki.
Ref<api::core_v1::Pod> pod(size_t i, const std::string& word) {
  const std::string phase = word == "pending" ? "Pending" : word == "failed" ? "Failed" : "Running";
  const bool ready = word == "ready" || word == "fresh" || word == "going";
  std::string started = "2026-01-01T11:00:00Z", since = "2026-01-01T11:00:10Z";
  if (word == "was") since = "2026-01-01T11:50:00Z";
  if (word == "fresh") {
    started = "2026-01-01T11:59:50Z";
    since = "2026-01-01T11:59:55Z";
  }
  return parse<api::core_v1::Pod>(
      "metadata: {name: p" + std::to_string(i) +
      (word == "going" ? ", deletionTimestamp: '2026-01-01T11:59:59Z'" : "") +
      "}\nspec: {containers: [{name: c, resources: {requests: {cpu: '1', memory: 1Ki}}}]}\n"
      "status: {phase: " +
      phase + ", startTime: '" + started + "', conditions: [{type: Ready, status: '" +
      (ready ? "True" : "False") + "', lastTransitionTime: '" + since + "'}]}\n");
}

struct CountCase {
  const char* what;
  std::vector<std::string> pods;
  std::vector<int64_t> used;  // thousandths; negative: no metric
  int64_t current, target;    // percent, or thousandths
  int64_t replicas;           // negative: an error
  int64_t utilization = -1;
};

Pods make_pods(const CountCase& c) {
  Pods out;
  for (size_t i = 0; i < c.pods.size(); ++i) out.push_back(pod(i, c.pods[i]));
  return out;
}

PodMetrics make_metrics(const CountCase& c) {
  PodMetrics out;
  for (size_t i = 0; i < c.used.size(); ++i) {
    if (c.used[i] >= 0) out["p" + std::to_string(i)] = {kNow, 30s, c.used[i]};
  }
  return out;
}

Readiness usual() {
  Readiness r;
  r.now = kNow;
  return r;
}

TEST(ReplicaCount, ByUtilization) {
  const CountCase cases[] = {
      {"as many as are needed", {"ready", "ready", "ready"}, {300, 500, 700}, 3, 30, 5, 50},
      {"near enough", {"ready", "ready"}, {520, 540}, 2, 50, 2, 53},
      {"fewer",
       {"ready", "ready", "ready", "ready", "ready"},
       {100, 300, 500, 250, 250},
       5,
       50,
       3,
       28},
      {"up: the unready use nothing, and it is enough",
       {"ready", "never", "never"},
       {600, 1000, 1000},
       3,
       30,
       3,
       60},
      {"up: the unready use nothing, and it is not",
       {"ready", "ready", "never"},
       {900, 900, 100},
       3,
       30,
       6,
       90},
      {"down: the unready do not count",
       {"ready", "ready", "never"},
       {100, 100, 900},
       3,
       50,
       1,
       10},
      {"what was ready once counts", {"ready", "was"}, {400, 400}, 2, 20, 4, 40},
      {"what just became ready does not, before a window of it was measured",
       {"ready", "fresh"},
       {400, 900},
       2,
       40,
       2,
       40},
      {"up: the missing use nothing", {"ready", "ready", "ready"}, {900, 900, -1}, 3, 30, 6, 90},
      {"up: the missing use nothing, and it is enough",
       {"ready", "ready"},
       {800, -1},
       2,
       50,
       2,
       80},
      {"down: the missing use all that they request",
       {"ready", "ready", "ready", "ready"},
       {100, 100, 100, -1},
       4,
       100,
       2,
       10},
      {"down: the missing use the target beyond 100 percent",
       {"ready", "ready"},
       {1200, -1},
       2,
       300,
       2,
       120},
      {"the direction never turns", {"ready", "ready"}, {300, -1}, 2, 50, 2, 30},
      {"ended ones and those that go are no pods",
       {"ready", "failed", "going"},
       {600, 100, 100},
       3,
       30,
       2,
       60},
      {"pending ones wait", {"ready", "ready", "pending"}, {600, 600, -1}, 3, 50, 3, 60},
      {"no pods", {}, {500}, 1, 50, -1},
      {"no metrics of pods that count", {"never"}, {500}, 1, 50, -1},
  };
  for (const CountCase& c : cases) {
    auto p = by_utilization(make_pods(c), make_metrics(c), c.current, c.target, "cpu", "",
                            Tolerances(), usual());
    EXPECT_EQ(p.ok(), c.replicas >= 0) << c.what << ": " << p.status().message();
    if (!p.ok() || c.replicas < 0) continue;
    EXPECT_EQ(p->replicas, c.replicas) << c.what;
    EXPECT_EQ(p->utilization, c.utilization) << c.what;
  }
}

TEST(ReplicaCount, ByAverage) {
  const CountCase cases[] = {
      {"more", {"ready", "ready", "ready"}, {20000, 10000, 30000}, 3, 15000, 4},
      {"near enough", {"ready", "ready"}, {10500, 10500}, 2, 10000, 2},
      {"fewer", {"ready", "ready", "ready"}, {2000, 2000, 2000}, 3, 6000, 1},
      {"of what is no cpu the unready count", {"ready", "never"}, {20000, 20000}, 2, 10000, 4},
      {"up: the missing use nothing", {"ready", "ready"}, {30000, -1}, 2, 10000, 3},
      {"down: the missing use the target",
       {"ready", "ready", "ready"},
       {1000, 1000, -1},
       3,
       10000,
       2},
      {"none", {"ready"}, {}, 1, 10000, -1},
  };
  for (const CountCase& c : cases) {
    auto p =
        by_average(make_pods(c), make_metrics(c), c.current, c.target, "", Tolerances(), usual());
    EXPECT_EQ(p.ok(), c.replicas >= 0) << c.what;
    if (!p.ok() || c.replicas < 0) continue;
    EXPECT_EQ(p->replicas, c.replicas) << c.what;
  }
}

TEST(ReplicaCount, ByOneValue) {
  const CountCase three{"", {"ready", "ready", "was"}, {}, 3, 10000, 0};
  const Pods pods = make_pods(three);
  EXPECT_EQ(by_value(pods, 20000, 3, 10000, Tolerances())->replicas, 4);  // of the two that are
  EXPECT_EQ(by_value(pods, 10900, 3, 10000, Tolerances())->replicas, 3);
  EXPECT_EQ(by_value({}, 25000, 0, 10000, Tolerances())->replicas, 3);
  EXPECT_FALSE(by_value({}, 25000, 3, 10000, Tolerances()).ok());
  EXPECT_EQ(by_value(pods, INT64_MAX, 3, 1, Tolerances())->replicas, INT32_MAX);
  EXPECT_EQ(by_value_per_pod(80000, 4, 10000, Tolerances()).replicas, 8);
  EXPECT_EQ(by_value_per_pod(80000, 4, 10000, Tolerances()).usage, 20000);
  EXPECT_EQ(by_value_per_pod(42000, 4, 10000, Tolerances()).replicas, 4);
  EXPECT_EQ(by_value_per_pod(42000, 0, 10000, Tolerances()).replicas, 5);
}

TEST(ReplicaCount, ToleranceHasTwoSides) {
  Tolerances t{0.5, 0.05};
  EXPECT_EQ(by_value_per_pod(60000, 10, 10000, t).replicas, 10);
  EXPECT_EQ(by_value_per_pod(40000, 10, 10000, t).replicas, 4);
  EXPECT_EQ(by_value_per_pod(106000, 10, 10000, t).replicas, 11);
}

TEST(ReplicaCount, WhatPodsRequest) {
  auto of = [](const std::string& spec, const std::string& container) {
    Pods pods{parse<api::core_v1::Pod>("metadata: {name: p0}\nspec: " + spec +
                                       "\nstatus: {phase: Running, startTime: "
                                       "'2026-01-01T10:00:00Z', conditions: [{type: Ready, status: "
                                       "'True', lastTransitionTime: '2026-01-01T10:00:00Z'}]}\n")};
    PodMetrics metrics;
    metrics["p0"] = {kNow, 30s, 500};
    auto p = by_utilization(pods, metrics, 1, 50, "cpu", container, Tolerances(), usual());
    return p.ok() ? std::to_string(p->utilization) : p.status().message();
  };
  const std::string two =
      "{containers: [{name: a, resources: {requests: {cpu: 500m}}}, {name: b, resources: "
      "{requests: {cpu: 500m}}}]}";
  EXPECT_EQ(of(two, ""), "50");
  EXPECT_EQ(of(two, "a"), "100");
  EXPECT_EQ(of(two, "z"), "container z not found in Pod p0");
  EXPECT_EQ(of("{containers: [{name: a}]}", ""),
            "missing request for cpu in container a of Pod p0");
  EXPECT_EQ(of("{containers: [{name: a, resources: {requests: {cpu: 500m}}}], initContainers: "
               "[{name: s, restartPolicy: Always, resources: {requests: {cpu: 500m}}}, {name: i, "
               "resources: {requests: {cpu: '8'}}}]}",
               ""),
            "50");
  EXPECT_EQ(of("{resources: {requests: {cpu: '2'}}, containers: [{name: a}]}", ""), "25");
}

// --- how fast -----------------------------------------------------------------------------------

using api::autoscaling_v2::HorizontalPodAutoscalerBehavior;

constexpr const char* kUsualBehavior =
    "scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Max, policies: [{type: Pods, value: 4, "
    "periodSeconds: 60}, {type: Percent, value: 100, periodSeconds: 60}]}\n"
    "scaleDown: {stabilizationWindowSeconds: 300, selectPolicy: Max, policies: [{type: Percent, "
    "value: 100, periodSeconds: 15}]}\n";

struct PaceStep {
  int64_t seconds, wanted, replicas;  // at a time; what is asked for; what is done
  const char *able, *limited;
};

void walk(const char* behavior_text, Bounds bounds, std::vector<PaceStep> steps) {
  Ref<HorizontalPodAutoscalerBehavior> behavior;
  if (behavior_text) behavior = parse<HorizontalPodAutoscalerBehavior>(behavior_text);
  const HorizontalPodAutoscalerBehavior rules =
      behavior_text ? *behavior : HorizontalPodAutoscalerBehavior();
  History h;
  const TimePoint start{};
  h.recommendations.push_back({bounds.current, start});
  for (const PaceStep& s : steps) {
    const TimePoint now = start + std::chrono::seconds(s.seconds);
    Pace p = paced(rules, bounds, s.wanted, 5min, now, &h);
    EXPECT_EQ(p.replicas, s.replicas) << "after " << s.seconds << " s";
    EXPECT_EQ(p.able_reason, s.able) << "after " << s.seconds << " s";
    EXPECT_EQ(p.limited_reason, s.limited) << "after " << s.seconds << " s";
    EXPECT_EQ(p.limited, std::string_view(s.limited) != "DesiredWithinRange");
    if (p.replicas != bounds.current) note_change(rules, bounds.current, p.replicas, now, &h);
    bounds.current = p.replicas;
  }
}

TEST(Pace, WithoutABehaviour) {
  walk(nullptr, {3, 2, 100},
       {{15, 20, 6, "ReadyForNewScale", "ScaleUpLimit"},
        {30, 20, 12, "ReadyForNewScale", "ScaleUpLimit"},
        {45, 20, 20, "ReadyForNewScale", "DesiredWithinRange"},
        {60, 1, 20, "ScaleDownStabilized", "DesiredWithinRange"},
        {346, 1, 2, "ReadyForNewScale", "TooFewReplicas"}});
  walk(nullptr, {1, 1, 3}, {{15, 9, 3, "ReadyForNewScale", "TooManyReplicas"}});
}

TEST(Pace, Policies) {
  // Four or twice as many a minute; down when five minutes have asked for it.
  walk(kUsualBehavior, {2, 1, 50},
       {{15, 40, 6, "ReadyForNewScale", "ScaleUpLimit"},
        {30, 40, 6, "ReadyForNewScale", "ScaleUpLimit"},
        {76, 40, 12, "ReadyForNewScale", "ScaleUpLimit"},
        {140, 12, 12, "ReadyForNewScale", "DesiredWithinRange"},
        {155, 3, 12, "ScaleDownStabilized", "DesiredWithinRange"},
        {445, 3, 3, "ReadyForNewScale", "DesiredWithinRange"}});
  // The least of them, and a pace on the way down.
  const char* slow =
      "scaleUp: {selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 60}, {type: "
      "Percent, value: 50, periodSeconds: 60}]}\n"
      "scaleDown: {stabilizationWindowSeconds: 0, selectPolicy: Min, policies: [{type: Pods, "
      "value: "
      "3, periodSeconds: 30}, {type: Percent, value: 10, periodSeconds: 30}]}\n";
  walk(slow, {10, 1, 50},
       {{15, 20, 11, "ReadyForNewScale", "ScaleUpLimit"},
        {16, 1, 9, "ReadyForNewScale", "ScaleDownLimit"}});
  // Neither way.
  const char* never =
      "scaleUp: {selectPolicy: Disabled, policies: [{type: Pods, value: 1, periodSeconds: 60}]}\n"
      "scaleDown: {stabilizationWindowSeconds: 0, selectPolicy: Disabled, policies: [{type: Pods, "
      "value: 1, periodSeconds: 60}]}\n";
  walk(never, {5, 1, 50},
       {{15, 9, 5, "ReadyForNewScale", "ScaleUpLimit"},
        {30, 1, 5, "ReadyForNewScale", "ScaleDownLimit"}});
  // Up only when a minute has asked for it.
  const char* calm =
      "scaleUp: {stabilizationWindowSeconds: 60, selectPolicy: Max, policies: [{type: Percent, "
      "value: 900, periodSeconds: 15}]}\n"
      "scaleDown: {selectPolicy: Max, policies: [{type: Percent, value: 100, periodSeconds: "
      "15}]}\n";
  walk(calm, {2, 1, 50},
       {{15, 8, 2, "ScaleUpStabilized", "DesiredWithinRange"},
        {45, 6, 2, "ScaleUpStabilized", "DesiredWithinRange"},
        {61, 9, 6, "ScaleUpStabilized", "DesiredWithinRange"}});
}

// CVE-2024-0793: rules for one way alone, or none in a block that is there.
TEST(Pace, HalfABehaviourIsNoHarm) {
  for (const char* text :
       {"scaleDown: {stabilizationWindowSeconds: 0}", "scaleUp: {}",
        "scaleUp: {policies: []}\nscaleDown: {selectPolicy: Max}", "{}",
        "scaleDown: {policies: [{type: Pods}]}", "scaleUp: {tolerance: '0.5'}"}) {
    const auto rules = parse<HorizontalPodAutoscalerBehavior>(text);
    for (int64_t wanted : {1, 40}) {
      History h;
      const Pace p = paced(*rules, {5, 1, 50}, wanted, 5min, TimePoint{}, &h);
      EXPECT_GE(p.replicas, 1) << text;
      EXPECT_LE(p.replicas, 50) << text;
    }
  }
}

// --- the metrics of others ----------------------------------------------------------------------

TEST(ReadMetrics, OfBothCustomVersions) {
  auto read = [](std::string_view json) {
    auto d = parse_json(json);
    EXPECT_TRUE(d.ok());
    return read_metric_values(d->root);
  };
  PodMetrics one = read(
      R"({"items":[{"describedObject":{"kind":"Pod","name":"a"},"metricName":"qps",
      "timestamp":"2026-01-01T12:00:00Z","window":30,"value":"1500m"}]})");
  EXPECT_EQ(one.at("a").value, 1500);
  EXPECT_EQ(one.at("a").window, 30s);
  EXPECT_EQ(one.at("a").at, kNow);
  PodMetrics two =
      read(R"({"items":[{"describedObject":{"name":"b"},"metric":{"name":"qps"},"value":"2"}]})");
  EXPECT_EQ(two.at("b").value, 2000);
  EXPECT_EQ(two.at("b").window, 1min);
  auto d = parse_json(R"({"items":[{"value":"1"},{"value":"500m"}]})");
  EXPECT_EQ(sum_external(d->root), 1500);
  auto much = parse_json(R"({"items":[{"value":"9e18"},{"value":"9e18"}]})");
  EXPECT_EQ(sum_external(much->root), INT64_MAX);
}

// --- the controller -----------------------------------------------------------------------------

class Elsewhere final : public PathsClient {
 public:
  Task<Result<net::Response>> ask(Context, std::string, std::string path,
                                  std::string query) override {
    if (path == "/apis") {
      net::Response r;
      r.status = 200;
      r.body = discovery;
      co_return r;
    }
    asked.push_back(path + (query.empty() ? "" : "?" + query));
    net::Response r;
    auto at = answers.find(path);
    r.status = at == answers.end() ? 404 : 200;
    if (at != answers.end()) r.body = at->second;
    co_return r;
  }
  std::string discovery = "{}";
  std::map<std::string, std::string> answers;
  std::vector<std::string> asked;
};

class AutoscalerTest : public testing::Test {
 protected:
  AutoscalerTest() : loop(3), client(loop), informers(client), ctx(Context::root(loop)) {
    log::set_output(-1);
    autoscaling.elsewhere = &elsewhere;
    client.put_yaml(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: x}, spec: "
        "{replicas: 2, selector: {matchLabels: {app: web}}}, status: {replicas: 2}}");
    for (const char* name : {"p0", "p1"}) {
      client.put_yaml("{apiVersion: v1, kind: Pod, metadata: {name: " + std::string(name) +
                      ", namespace: x, labels: {app: web}}, spec: {containers: [{name: c, "
                      "resources: {requests: {cpu: '1', memory: 1Gi}}}]}, status: {phase: Running, "
                      "startTime: '1990-01-01T00:00:00Z', conditions: [{type: Ready, status: "
                      "'True', lastTransitionTime: '1990-01-01T00:00:10Z'}]}}");
    }
    controller = std::make_unique<HorizontalPodAutoscalerController>(
        Deps{client, informers, options}, autoscaling);
    informers.start(ctx);
    spawn(loop, run(ctx, controller.get()));
  }
  ~AutoscalerTest() override {
    ctx.cancel();
    loop.advance(1min);
  }
  static Task<void> run(Context c, Controller* r) { co_await r->run(c); }

  void uses(const std::string& cpu) {
    for (const char* name : {"p0", "p1"}) {
      client.put_yaml("{apiVersion: metrics.k8s.io/v1beta1, kind: PodMetrics, metadata: {name: " +
                      std::string(name) +
                      ", namespace: x, labels: {app: web}}, timestamp: '2026-01-01T12:00:00Z', "
                      "window: 15s, containers: [{name: c, usage: {cpu: " +
                      cpu + ", memory: 256Mi}}]}");
    }
  }
  void scaler(const std::string& metrics, const std::string& more = "",
              const std::string& name = "h",
              const std::string& target = "{apiVersion: apps/v1, kind: Deployment, name: web}") {
    client.put_yaml(
        "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: " + name +
        ", namespace: x}, spec: {maxReplicas: 10, scaleTargetRef: " + target + ", metrics: [" +
        metrics + "]" + more + "}}");
  }
  static std::string cpu(int percent) {
    return "{type: Resource, resource: {name: cpu, target: {type: Utilization, "
           "averageUtilization: " +
           std::to_string(percent) + "}}}";
  }
  int64_t replicas() { return client.now<api::apps_v1::Deployment>("x", "web")->spec().replicas(); }
  // "TYPE=STATUS REASON" of each condition.
  std::vector<std::string> conditions(const std::string& name = "h") {
    std::vector<std::string> out;
    auto hpa = client.now<api::autoscaling_v2::HorizontalPodAutoscaler>("x", name);
    for (auto c : hpa->status().conditions()) {
      out.push_back(std::string(c.type()) + "=" + std::string(c.status()) + " " +
                    std::string(c.reason()));
    }
    return out;
  }
  std::string message(std::string_view type) {
    auto hpa = client.now<api::autoscaling_v2::HorizontalPodAutoscaler>("x", "h");
    for (auto c : hpa->status().conditions()) {
      if (c.type() == type) return std::string(c.message());
    }
    return "";
  }
  std::string metrics() {
    auto hpa = client.now<api::autoscaling_v2::HorizontalPodAutoscaler>("x", "h");
    return to_json(hpa->status().value()["currentMetrics"]);
  }
  std::vector<std::string> events() {
    std::vector<std::string> out;
    for (const auto& e : client.all<api::core_v1::Event>("x")) {
      out.push_back(std::string(e->reason()) + ": " + std::string(e->message()));
    }
    return out;
  }

  SimLoop loop;
  FakeClient client;
  InformerFactory informers;
  Options options;
  AutoscalingOptions autoscaling;
  Elsewhere elsewhere;
  Context ctx;
  std::unique_ptr<HorizontalPodAutoscalerController> controller;
};

TEST_F(AutoscalerTest, ScalesByUtilizationAndTells) {
  uses("900m");
  scaler(cpu(50));
  loop.advance(14s);
  EXPECT_EQ(replicas(), 2) << "not before a period is over";
  loop.advance(2s);
  EXPECT_EQ(replicas(), 4);
  EXPECT_THAT(conditions(), ElementsAre("AbleToScale=True SucceededRescale",
                                        "ScalingActive=True ValidMetricFound",
                                        "ScalingLimited=False DesiredWithinRange"));
  EXPECT_EQ(message("ScalingActive"),
            "the HPA was able to successfully calculate a replica count from cpu resource "
            "utilization (percentage of request)");
  EXPECT_THAT(events(), ElementsAre("SuccessfulRescale: New size: 4; reason: cpu resource "
                                    "utilization (percentage of request) above target"));
  EXPECT_EQ(metrics(), R"([{"type":"Resource","resource":{"name":"cpu","current":)"
                       R"({"averageUtilization":90,"averageValue":"900m"}}}])");
  auto hpa = client.now<api::autoscaling_v2::HorizontalPodAutoscaler>("x", "h");
  EXPECT_EQ(hpa->status().current_replicas(), 2);
  EXPECT_EQ(hpa->status().desired_replicas(), 4);
  EXPECT_FALSE(hpa->status().last_scale_time().empty());
  // Less: the highest recommendation of five minutes holds.
  uses("100m");
  loop.advance(60s);
  EXPECT_EQ(replicas(), 4);
  EXPECT_EQ(conditions()[0], "AbleToScale=True ScaleDownStabilized");
  loop.advance(5min);
  EXPECT_LE(replicas(), 1);
}

TEST_F(AutoscalerTest, BoundsNeedNoMetrics) {
  scaler(cpu(50), ", minReplicas: 5");
  loop.advance(16s);
  EXPECT_EQ(replicas(), 5);
  EXPECT_THAT(events(), ElementsAre("SuccessfulRescale: New size: 5; reason: Current number of "
                                    "replicas below Spec.MinReplicas"));
}

TEST_F(AutoscalerTest, WithoutMetricsItSaysSo) {
  scaler(cpu(50));
  loop.advance(16s);
  EXPECT_EQ(replicas(), 2);
  EXPECT_EQ(
      message("ScalingActive"),
      "the HPA was unable to compute the replica count: failed to get cpu utilization: unable "
      "to get metrics for resource cpu: no metrics returned from resource metrics API");
  EXPECT_THAT(conditions(), ElementsAre("AbleToScale=True SucceededGetScale",
                                        "ScalingActive=False FailedGetResourceMetric"));
  EXPECT_THAT(
      events(),
      testing::UnorderedElementsAre(
          "FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for "
          "resource cpu: no metrics returned from resource metrics API",
          "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: "
          "failed to get cpu resource metric value: failed to get cpu utilization: unable to get "
          "metrics for resource cpu: no metrics returned from resource metrics API"));
}

TEST_F(AutoscalerTest, OneMetricOfTwoMayFailOnTheWayUpAlone) {
  uses("900m");
  const std::string broken =
      "{type: Pods, pods: {metric: {name: qps}, target: {type: AverageValue, averageValue: '5'}}}";
  scaler(broken + ", " + cpu(50));
  loop.advance(16s);
  EXPECT_EQ(replicas(), 4);
  EXPECT_THAT(metrics(), HasSubstr(R"([{"type":""},{"type":"Resource")"));
  uses("100m");
  loop.advance(10min);
  EXPECT_EQ(replicas(), 4);
  EXPECT_EQ(message("ScalingActive"),
            "the HPA was unable to compute the replica count: unable to get metric qps: unable to "
            "fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) "
            "registered");
}

TEST_F(AutoscalerTest, TargetsThatCannotBeScaled) {
  scaler(cpu(50), "", "h", "{apiVersion: apps/v1, kind: Deployment, name: none}");
  scaler(cpu(50), "", "i", "{apiVersion: v9.example.com/v1, kind: Thing, name: none}");
  loop.advance(16s);
  EXPECT_THAT(conditions(), ElementsAre("AbleToScale=False FailedGetScale"));
  EXPECT_EQ(message("AbleToScale"),
            "the HPA controller was unable to get the target's current scale: deployments.apps "
            "\"none\" not found");
  EXPECT_THAT(conditions("i"), ElementsAre("AbleToScale=False FailedGetScale"));
}

TEST_F(AutoscalerTest, ZeroMeansNotNow) {
  client.put_yaml(
      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: x}, spec: "
      "{replicas: 0, selector: {matchLabels: {app: web}}}}");
  scaler(cpu(50));
  loop.advance(16s);
  EXPECT_EQ(replicas(), 0);
  EXPECT_THAT(conditions(), ElementsAre("AbleToScale=True SucceededGetScale",
                                        "ScalingActive=False ScalingDisabled"));
}

TEST_F(AutoscalerTest, TwoOfOnePodScaleNeither) {
  uses("900m");
  scaler(cpu(50), "", "h");
  scaler(cpu(50), "", "i");
  loop.advance(31s);
  EXPECT_EQ(message("ScalingActive"),
            "pods by selector app=web are controlled by multiple HPAs: [x/h x/i]");
  EXPECT_EQ(conditions()[1], "ScalingActive=False AmbiguousSelector");
  // One is gone: the other goes on.
  client.drop(kind_of<api::autoscaling_v2::HorizontalPodAutoscaler>(), "x", "i");
  loop.advance(16s);
  EXPECT_EQ(conditions()[1], "ScalingActive=True ValidMetricFound");
}

TEST_F(AutoscalerTest, OneThatGoesWhileItIsLookedAtLeavesNothingBehind) {
  uses("900m");
  scaler(cpu(50), "", "h");
  scaler(cpu(50), "", "i");
  loop.advance(14s);
  // Gone while its scale is asked for, then while its metrics are.
  for (Duration until : {Duration(1500ms), Duration(6s)}) {
    client.set_latency(4s);
    loop.advance(until);
    client.drop(kind_of<api::autoscaling_v2::HorizontalPodAutoscaler>(), "x", "i");
    loop.advance(10s);
    client.set_latency(0s);
    loop.advance(31s);
    EXPECT_EQ(conditions()[1], "ScalingActive=True ValidMetricFound");
    scaler(cpu(50), "", "i");
    loop.advance(14s);
  }
}

TEST_F(AutoscalerTest, MetricsOfOthers) {
  elsewhere.discovery = R"({"items":[{"metadata":{"name":"custom.metrics.k8s.io"},"versions":)"
                        R"([{"version":"v1beta1"},{"version":"v1beta2"}]}]})";
  elsewhere.answers["/apis/custom.metrics.k8s.io/v1beta2/namespaces/x/pods/*/qps"] =
      R"({"items":[{"describedObject":{"name":"p0"},"value":"30"},)"
      R"({"describedObject":{"name":"p1"},"value":"10"}]})";
  elsewhere.answers["/apis/custom.metrics.k8s.io/v1beta2/namespaces/x/services/front/hits"] =
      R"({"items":[{"describedObject":{"name":"front"},"value":"600"}]})";
  elsewhere.answers["/apis/external.metrics.k8s.io/v1beta1/namespaces/x/queue"] =
      R"({"items":[{"value":"50"},{"value":"10"}]})";
  scaler(
      "{type: Pods, pods: {metric: {name: qps}, target: {type: AverageValue, averageValue: "
      "'10'}}}, "
      "{type: Object, object: {describedObject: {apiVersion: v1, kind: Service, name: front}, "
      "metric: {name: hits, selector: {matchLabels: {verb: get}}}, target: {type: Value, value: "
      "'300'}}}, {type: External, external: {metric: {name: queue}, target: {type: AverageValue, "
      "averageValue: '10'}}}",
      ", behavior: {scaleUp: {selectPolicy: Max, policies: [{type: Pods, value: 9, periodSeconds: "
      "15}]}, scaleDown: {selectPolicy: Max, policies: [{type: Percent, value: 100, periodSeconds: "
      "15}]}}");
  loop.advance(16s);
  EXPECT_EQ(replicas(), 6);
  EXPECT_EQ(message("ScalingActive"),
            "the HPA was able to successfully calculate a replica count from external metric "
            "queue(nil)");
  EXPECT_EQ(
      metrics(),
      R"([{"type":"Pods","pods":{"metric":{"name":"qps"},"current":{"averageValue":"20"}}},)"
      R"({"type":"Object","object":{"metric":{"name":"hits","selector":{"matchLabels":)"
      R"({"verb":"get"}}},"describedObject":{"apiVersion":"v1","kind":"Service","name":"front"},)"
      R"("current":{"value":"600"}}},)"
      R"({"type":"External","external":{"metric":{"name":"queue"},"current":)"
      R"({"averageValue":"30"}}}])");
  EXPECT_THAT(elsewhere.asked,
              testing::Contains("/apis/custom.metrics.k8s.io/v1beta2/namespaces/x/services/front/"
                                "hits?metricLabelSelector=verb%3Dget"));
}

TEST_F(AutoscalerTest, AnothersWriteMeanwhileIsNoHarm) {
  uses("900m");
  scaler(cpu(50));
  client.fail("update", "deployments.apps/scale", Status(Reason::kConflict, "somebody was first"),
              2);
  loop.advance(17s);
  EXPECT_EQ(replicas(), 4);
  EXPECT_EQ(conditions()[0], "AbleToScale=True SucceededRescale");
}

TEST_F(AutoscalerTest, ARefusedRescaleIsTold) {
  uses("900m");
  scaler(cpu(50));
  client.fail("update", "deployments.apps/scale", Status(Reason::kForbidden, "no"), 1);
  loop.advance(16s);
  EXPECT_EQ(replicas(), 2);
  EXPECT_EQ(conditions()[0], "AbleToScale=False FailedUpdateScale");
  EXPECT_THAT(events(), ElementsAre("FailedRescale: New size: 4; reason: cpu resource utilization "
                                    "(percentage of request) above target; error: no"));
}

}  // namespace
}  // namespace keles::controllers::hpa
