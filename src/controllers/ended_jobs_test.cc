// What becomes of Jobs that have ended, what is counted of them, and what is tried while all fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "api/apps_v1.h"
#include "api/batch_v1.h"
#include "base/metrics.h"
#include "controllers/cluster_testing.h"
#include "controllers/plan_testing.h"
#include "controllers/ttl_after_finished.h"
#include "controllers/written.h"

namespace keles::controllers {
namespace {

using api::batch_v1::Job;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(TtlAfterFinished, CountsFromTheEnd) {
  struct Case {
    std::string spec, status, meta;
    int64_t seconds;  // from noon; -1: never
  };
  const std::string done =
      "conditions: [{type: Complete, status: 'True', lastTransitionTime: '2026-01-01T12:00:00Z'}]";
  const Case cases[] = {
      {"ttlSecondsAfterFinished: 100", done, "", 100},
      {"ttlSecondsAfterFinished: 0", done, "", 0},
      {"ttlSecondsAfterFinished: 5",
       "conditions: [{type: Failed, status: 'True', lastTransitionTime: '2026-01-01T12:00:01Z'}]",
       "", 6},
      {"ttlSecondsAfterFinished: 5, managedBy: example.com/other", done, "", 5},
      {"", done, "", -1},
      {"ttlSecondsAfterFinished: 5", "", "", -1},
      {"ttlSecondsAfterFinished: 5",
       "conditions: [{type: SuccessCriteriaMet, status: 'True', lastTransitionTime: "
       "'2026-01-01T12:00:00Z'}]",
       "", -1},
      {"ttlSecondsAfterFinished: 5", "conditions: [{type: Complete, status: 'True'}]", "", -1},
      {"ttlSecondsAfterFinished: 5", done, ", deletionTimestamp: '2026-01-01T12:00:00Z'", -1},
  };
  for (const Case& c : cases) {
    auto job = parse<Job>("metadata: {name: j" + c.meta + "}\nspec: {" + c.spec + "}\nstatus: {" +
                          c.status + "}");
    auto when = expires_at(*job);
    EXPECT_EQ(when ? (*when - kNow) / 1s : -1, c.seconds) << c.spec << " " << c.status;
  }
}

// By its own name, and of whoever's Jobs.
TEST(TtlAfterFinished, IsAControllerOfItsOwn) {
  for (bool wanted : {true, false}) {
    TestCluster c({"*", wanted ? "job" : "-ttl-after-finished-controller"});
    c.client.put_yaml(
        "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: w}, spec: "
        "{ttlSecondsAfterFinished: 100, managedBy: example.com/other, template: {}}, status: "
        "{conditions: [{type: Complete, status: 'True', lastTransitionTime: '" +
        format_time(c.loop.wall_now()) + "'}]}}");
    c.start();
    c.loop.advance(97s);
    EXPECT_THAT(c.client.writes(), Not(Contains("delete jobs.batch w/j")));
    c.loop.advance(5s);
    const auto writes = c.client.writes();
    EXPECT_EQ(std::count(writes.begin(), writes.end(), std::string("delete jobs.batch w/j")),
              wanted ? 1 : 0);
  }
}

// The names and labels that dashboards ask for.
TEST(JobMetrics, TellOfALife) {
  TestCluster c({"job"});
  c.client.put_yaml(
      "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: w}, spec: {completions: 2, "
      "parallelism: 2, completionMode: Indexed, selector: {matchLabels: {a: b}}, template: "
      "{metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: c, image: "
      "i}]}}}}");
  c.start();
  for (int i = 0; i < 5; ++i) {
    for (const auto& p : c.client.all<api::core_v1::Pod>()) {
      if (p->status().phase() == "Succeeded") continue;
      Draft<api::core_v1::PodEdit> d(*p);
      d->edit_status().set_phase("Succeeded");
      c.client.put(kind_of<api::core_v1::Pod>(), d.take());
    }
    c.loop.advance(5s);
  }
  const std::string text = metrics::expose();
  for (const char* line :
       {"job_controller_job_syncs_total{completion_mode=\"Indexed\",result=\"success\",action="
        "\"pods_"
        "created\"}",
        "job_controller_job_sync_duration_seconds_bucket{completion_mode=\"Indexed\"",
        "job_controller_jobs_finished_total{completion_mode=\"Indexed\",result=\"succeeded\","
        "reason="
        "\"CompletionsReached\"}",
        "job_controller_job_pods_finished_total{completion_mode=\"Indexed\",result=\"succeeded\"}",
        "job_controller_job_finished_indexes_total{status=\"succeeded\",backoffLimit=\"global\"}",
        "job_controller_job_pods_creation_total{reason=\"new\",status=\"succeeded\"}",
        "job_controller_terminated_pods_tracking_finalizer_total{event=\"add\"}",
        "job_controller_terminated_pods_tracking_finalizer_total{event=\"delete\"}"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

// When every create fails, few are tried: of Jobs and of daemons as of ReplicaSets.
TEST(SlowStart, StopsAtTheFirstBatchThatFails) {
  const std::string of =
      "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
      "spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}";
  const std::string objects[] = {
      "{apiVersion: batch/v1, kind: Job, metadata: {name: o, namespace: w}, spec: {parallelism: "
      "50, "
      "completions: 50, " +
          of,
      "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: o, namespace: w}, spec: {" + of,
      "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: o, namespace: w}, spec: {replicas: "
      "50, " +
          of};
  for (const std::string& object : objects) {
    TestCluster c({"job", "daemonset", "replicaset"});
    for (int i = 0; i < 50; ++i) {
      c.client.put_yaml("{apiVersion: v1, kind: Node, metadata: {name: n" + std::to_string(i) +
                        "}}");
    }
    c.client.put_yaml(object);
    c.client.fail("create", "pods", Status(Reason::kForbidden, "exceeded quota"), 1000);
    c.start();
    c.loop.advance(1s);
    size_t tried = 0;
    for (const FakeCall& call : c.client.calls())
      tried += call.verb == "create" && call.resource == "pods";
    EXPECT_GE(tried, 1u) << object;
    EXPECT_LE(tried, 15u) << "one each time that it is tried again: " << object;
    EXPECT_THAT(c.told("w"), Contains("FailedCreate: Error creating: exceeded quota"));
  }
}

TEST(Written, WhatIsOlderIsNotPlannedFrom) {
  SimLoop loop(1);
  Written w(loop);
  EXPECT_EQ(w.behind("u", 5), Duration(0));
  w.wrote("u", 7);
  EXPECT_GT(w.behind("u", 6), Duration(0));
  EXPECT_EQ(w.behind("other", 1), Duration(0));
  EXPECT_EQ(w.behind("u", 7), Duration(0));
  EXPECT_EQ(w.size(), 0u) << "what has been seen is forgotten";
  w.wrote("u", 9);
  loop.advance(6min);
  EXPECT_EQ(w.behind("u", 8), Duration(0)) << "nobody waits for ever";
  w.wrote("v", 3);
  w.forget("v");
  EXPECT_EQ(w.size(), 0u);
}

}  // namespace
}  // namespace keles::controllers
