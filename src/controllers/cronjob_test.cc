// CronJobs: the moments that are due, what is done at each, a year of them, and the controller
// against FakeClient.
#include "controllers/cronjob.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/log.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/cluster_testing.h"
#include "controllers/options.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using namespace api::batch_v1;
using api::core_v1::Event;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;

WallTime at(std::string_view text) { return *parse_time(text); }

// Made on Thursday, the 1st of January 2026, at ten. `spec` and `status` are more of them.
Ref<CronJob> cron(const std::string& schedule, const std::string& spec = "",
                  const std::string& status = "") {
  return parse<CronJob>(
      "metadata: {name: c, namespace: work, uid: u, creationTimestamp: '2026-01-01T10:00:00Z'}\n"
      "spec: {schedule: '" +
      schedule + "'" + (spec.empty() ? "" : ", " + spec) +
      ", jobTemplate: {metadata: {labels: {a: b}, annotations: {e: f}}, spec: {parallelism: 2}}}\n"
      "status: {" +
      status + "}\n");
}

CronTimes times_of(const CronJob& c) {
  return {*CronSchedule::parse(c.spec().schedule()), find_time_zone(c.spec().time_zone())};
}

std::string unmet(const CronJob& c, std::string_view now) {
  UnmetTime u = unmet_time(c, times_of(c), at(now), true);
  if (u.never) return "never";
  return (u.at ? format_time(*u.at).substr(5, 11) : "none") + (u.many_missed  ? " many"
                                                               : u.any_missed ? " few"
                                                                              : "");
}

TEST(UnmetTime, IsTheLastOneUpToNow) {
  struct Case {
    const char *schedule, *spec, *status, *now, *expected;
  };
  const char* none = "";
  const Case cases[] = {
      {"0 * * * *", none, none, "2026-01-01T10:00:30Z", "none"},
      {"0 * * * *", none, none, "2026-01-01T11:00:01Z", "01-01T11:00"},
      {"0 * * * *", none, "lastScheduleTime: '2026-01-01T11:00:00Z'", "2026-01-01T11:02:00Z",
       "none"},
      {"0 * * * *", none, none, "2026-01-01T15:01:00Z", "01-01T15:00 few"},
      {"0 * * * *", none, none, "2026-01-11T10:05:00Z", "01-11T10:00 many"},
      {"0 * * * *", "startingDeadlineSeconds: 7200", none, "2026-01-11T10:05:00Z",
       "01-11T10:00 few"},
      {"0 * * * *", "startingDeadlineSeconds: 60", none, "2026-01-11T10:05:00Z", "none"},
      {"30 6-16/4 * * 1-5", none, "lastScheduleTime: '2026-01-01T14:30:00Z'",
       "2026-01-05T11:00:00Z", "01-05T10:30 few"},
      {"30 10,11,12 * * 1-5", none, "lastScheduleTime: '2026-01-01T10:30:00Z'",
       "2026-01-02T16:30:00Z", "none few"},  // the estimate is too rough: as upstream's
      {"@every 1h", none, "lastScheduleTime: '2026-01-01T10:07:00Z'", "2026-01-01T14:08:00Z",
       "01-01T14:07 few"},
      {"@every 1h", none, "lastScheduleTime: '2026-01-01T10:07:00Z'", "2026-01-21T14:08:00Z",
       "01-21T14:07 many"},
      {"59 23 31 2 *", none, none, "2026-01-01T15:01:00Z", "never"},
      {"0 * * * *", "startingDeadlineSeconds: 9223372036854775807", none, "2026-01-01T11:00:01Z",
       "01-01T11:00"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(unmet(*cron(c.schedule, c.spec, c.status), c.now), c.expected)
        << c.schedule << " " << c.spec << " " << c.now;
  }
}

TEST(UntilNext, ComesBackAtTheNextMoment) {
  struct Case {
    const char *schedule, *status, *now;
    Duration expected;
  };
  const Case cases[] = {
      {"0 12 * * 5", "", "2026-01-01T16:00:00Z", 20h},
      {"0 * * * *", "", "2026-01-01T10:20:00Z", 40min},
      {"30 6-16/4 * * 1-5", "lastScheduleTime: '2026-01-01T14:30:00Z'", "2026-01-02T10:31:00Z",
       3h + 59min},
      {"@every 1h", "lastScheduleTime: '2026-01-01T10:07:00Z'", "2026-01-01T10:30:00Z", 37min},
  };
  for (const Case& c : cases) {
    auto one = cron(c.schedule, "", c.status);
    EXPECT_EQ(until_next(*one, times_of(*one), at(c.now)), c.expected + 100ms) << c.schedule;
  }
  auto never = cron("59 23 31 2 *");
  EXPECT_EQ(until_next(*never, times_of(*never), at("2026-01-01T10:00:00Z")), Duration(0));
}

Ref<Job> job(const std::string& name, const std::string& ending = "",
             const std::string& start = "10:00") {
  std::string status = "startTime: '2026-01-01T" + start + ":00Z'";
  if (!ending.empty()) status += ", conditions: [{type: " + ending + ", status: 'True'}]";
  if (ending == "Complete") status += ", completionTime: '2026-01-01T" + start + ":30Z'";
  return parse<Job>("metadata: {name: " + name + ", namespace: work, uid: u-" + name +
                    ", ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: c, uid: u, "
                    "controller: true}]}\nstatus: {" +
                    status + "}\n");
}

// "run 11:00; remove a; active b; told Reason"
std::string said(const CronJobPlan& p) {
  std::string out;
  if (p.run) out += "run " + format_time(*p.run).substr(11, 5) + "; ";
  for (const auto& r : p.remove) out += "remove " + r.name + "; ";
  for (auto a : p.status->status().active()) out += "active " + std::string(a.name()) + "; ";
  for (const auto& e : p.events) out += e.reason + "; ";
  return out;
}

std::string active(const std::string& name) {
  return "active: [{kind: Job, namespace: work, name: " + name + ", uid: u-" + name + "}]";
}

TEST(PlanCronJob, DecidesWhatIsDone) {
  struct Case {
    const char* why;
    std::string schedule, spec, status;
    std::vector<Ref<Job>> jobs;
    std::vector<std::string> gone;
    std::string expected;
  };
  const std::string hourly = "0 * * * *";
  const Case cases[] = {
      {"a moment has come", hourly, "", "", {}, {}, "run 11:00; "},
      {"it was answered", hourly, "", "lastScheduleTime: '2026-01-01T11:00:00Z'", {}, {}, ""},
      {"its Job is known already",
       hourly,
       "",
       active("c-29454420"),
       {job("c-29454420")},
       {},
       "active c-29454420; "},
      {"suspended", hourly, "suspend: true", "", {}, {}, ""},
      {"an unknown zone", hourly, "timeZone: No/Where", "", {}, {}, "UnknownTimeZone; "},
      {"no schedule", "x", "", "", {}, {}, "UnparseableSchedule; "},
      {"never", "59 23 31 2 *", "", "", {}, {}, "InvalidSchedule; "},
      {"a zone in the schedule",
       "TZ=UTC " + hourly,
       "",
       "",
       {},
       {},
       "run 11:00; UnsupportedSchedule; "},
      {"may run beside others",
       hourly,
       "concurrencyPolicy: Allow",
       active("a"),
       {job("a")},
       {},
       "run 11:00; active a; "},
      {"waits for others",
       hourly,
       "concurrencyPolicy: Forbid",
       active("a"),
       {job("a")},
       {},
       "active a; JobAlreadyActive; "},
      {"takes the place of others",
       hourly,
       "concurrencyPolicy: Replace",
       active("a"),
       {job("a")},
       {},
       "run 11:00; remove a; "},
      {"waits for none that ended",
       hourly,
       "concurrencyPolicy: Forbid",
       active("a"),
       {job("a", "Failed")},
       {},
       "run 11:00; SawCompletedJob; "},
      {"one went missing",
       hourly,
       "concurrencyPolicy: Forbid",
       active("a"),
       {},
       {"u-a"},
       "run 11:00; MissingJob; "},
      {"one is there, unseen",
       hourly,
       "concurrencyPolicy: Forbid",
       active("a"),
       {},
       {},
       "active a; JobAlreadyActive; "},
      {"one that it did not make", hourly, "suspend: true", "", {job("a")}, {}, "UnexpectedJob; "},
      {"the oldest go",
       hourly,
       "suspend: true, successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0",
       "",
       {job("a", "Complete", "10:07"), job("b", "Complete", "10:03"), job("d", "Failed")},
       {},
       "remove b; remove d; "},
      {"no limit",
       hourly,
       "suspend: true",
       "",
       {job("a", "Complete"), job("b", "Complete"), job("d", "Complete")},
       {},
       ""},
  };
  for (const Case& c : cases) {
    auto plan = plan_cron_job(*cron(c.schedule, c.spec, c.status), c.jobs, c.gone,
                              at("2026-01-01T11:00:20Z"));
    EXPECT_EQ(said(plan), c.expected) << c.why;
  }
}

TEST(PlanCronJob, TellsOfMissedMoments) {
  auto plan = plan_cron_job(*cron("* * * * *"), {}, {}, at("2026-01-01T12:00:20Z"));
  EXPECT_EQ(said(plan), "run 12:00; TooManyMissedTimes; ");
  EXPECT_EQ(plan.events[0].message,
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
            "clock skew");
  // Within the deadline when it was looked for, and late by a fraction of a second.
  plan = plan_cron_job(*cron("0 11 * * *", "startingDeadlineSeconds: 0"), {}, {},
                       at("2026-01-01T11:00:00.5Z"));
  EXPECT_EQ(said(plan), "");
  EXPECT_EQ(plan.requeue_after, 24h - 400ms);
}

TEST(PlanCronJob, RemembersTheLastSuccess) {
  auto plan = plan_cron_job(*cron("0 * * * *", "suspend: true", active("a")),
                            {job("a", "Complete", "10:07"), job("b", "Complete", "10:03")}, {},
                            at("2026-01-01T11:00:20Z"));
  EXPECT_TRUE(plan.status_changed);
  EXPECT_EQ(plan.status->status().last_successful_time(), "2026-01-01T10:07:30Z");
  EXPECT_EQ(plan.events[0].message, "Saw completed job: a, condition: Complete");
  auto level = cron("0 * * * *", "suspend: true", "lastSuccessfulTime: '2026-01-01T10:07:30Z'");
  EXPECT_FALSE(plan_cron_job(*level, {job("b", "Complete", "10:03")}, {}, kNow).status_changed);
}

TEST(JobOf, IsNamedByItsMinuteAndSaysItsMoment) {
  auto made = job_of(*cron("0 * * * *", "timeZone: Europe/Berlin"), at("2026-07-01T11:00:00Z"));
  EXPECT_EQ(made->metadata().name(), "c-29715060");
  EXPECT_EQ(made->metadata().labels().get("a"), "b");
  EXPECT_EQ(made->metadata().annotations().get("e"), "f");
  EXPECT_EQ(made->spec().parallelism(), 2);
  auto owner = made->metadata().owner_references()[0];
  EXPECT_EQ(owner.kind(), "CronJob");
  EXPECT_TRUE(owner.controller());
  if (!has_time_zones()) GTEST_SKIP() << "this machine has no zones";
  EXPECT_EQ(made->metadata().annotations().get("batch.kubernetes.io/cronjob-scheduled-timestamp"),
            "2026-07-01T13:00:00+02:00");
}

// A year with every wake-up that the plans ask for: Jobs of `minutes` each.
std::vector<std::string> runs_of_a_year(const std::string& schedule, const std::string& spec,
                                        int minutes) {
  Ref<CronJob> now_is = cron(schedule, spec);
  std::vector<Ref<Job>> jobs;
  std::vector<std::string> runs;
  WallTime now = at("2026-01-01T10:00:00Z"), ends{0};
  while (now < at("2027-01-01T10:30:00Z")) {
    if (!jobs.empty() && now >= ends)
      jobs = {job(std::string(jobs[0]->metadata().name()), "Failed")};
    CronJobPlan plan = plan_cron_job(*now_is, jobs, {}, now);
    if (plan.run) {
      runs.push_back(format_time(*plan.run).substr(5, 11));
      std::string name(job_of(*now_is, *plan.run)->metadata().name());
      jobs = {job(name)};
      ends = now + std::chrono::minutes(minutes);
      plan.status->edit_status().edit_active().clear();
      auto ref = plan.status->edit_status().edit_active().add();
      ref.set_name(name);
      ref.set_uid("u-" + name);
      plan.status->edit_status().set_last_schedule_time(format_time(*plan.run));
      plan.requeue_after = until_next(*plan.status, *plan.times, now);
    }
    EXPECT_GT(plan.requeue_after, Duration(0));
    if (plan.requeue_after <= Duration(0)) break;
    now_is = Ref<CronJob>(std::make_shared<const Document>(plan.status.take()));
    now = now + plan.requeue_after;
  }
  return runs;
}

TEST(PlanCronJob, RunsThroughAYear) {
  EXPECT_EQ(runs_of_a_year("0 */2 * * *", "concurrencyPolicy: Allow", 10).size(), 365u * 12);
  // Each second moment finds the Job of the first still there.
  EXPECT_EQ(runs_of_a_year("0 * * * *", "concurrencyPolicy: Forbid", 90).size(), 365u * 12);
  EXPECT_EQ(runs_of_a_year("0 * * * *", "concurrencyPolicy: Replace", 90).size(), 365u * 24);
  if (!has_time_zones()) GTEST_SKIP() << "this machine has no zones";
  // Once a day, save the day that has no half past two, and twice on the one that has two.
  auto runs = runs_of_a_year("30 2 * * *", "timeZone: Europe/Berlin", 10);
  EXPECT_EQ(runs.size(), 365u);
  EXPECT_THAT(runs, Not(Contains("03-29T01:30")));
  EXPECT_THAT(runs, Contains("10-25T00:30"));
  EXPECT_THAT(runs, Contains("10-25T01:30"));
}

class CronCluster : public testing::Test {
 protected:
  CronCluster() : loop(7), client(loop), ctx(Context::root(loop)) {
    log::set_output(-1);
    options.controllers = {"*", "-pod-garbage-collector-controller"};
    client.put_yaml(
        "{apiVersion: v1, kind: Namespace, metadata: {name: work}, "
        "spec: {finalizers: [kubernetes]}, status: {phase: Active}}");
    manager = std::make_unique<Manager>(client, options);
    spawn(loop,
          [](Context c, Manager* m) -> Task<void> { co_await m->run(c); }(ctx, manager.get()));
    loop.advance(1s);
  }
  ~CronCluster() override {
    ctx.cancel();
    loop.advance(5min);
  }
  void put_cron(const std::string& schedule, const std::string& policy) {
    client.put_yaml(
        "{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: work, uid: "
        "u, creationTimestamp: '" +
        created + "'}, spec: {schedule: '" + schedule + "', concurrencyPolicy: " + policy +
        ", successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1, jobTemplate: "
        "{spec: {parallelism: 1, completions: 1, selector: {matchLabels: {a: b}}, "
        "template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, "
        "containers: [{name: c, image: i}]}}}}}}");
  }
  // Every pod succeeds, as the kubelet would say; those marked for deletion go.
  void end_pods() {
    for (const auto& o : client.all(kind_of<api::core_v1::Pod>())) {
      auto pod = read<api::core_v1::Pod>(o);
      if (!pod->metadata().deletion_timestamp().empty()) {
        client.drop(kind_of<api::core_v1::Pod>(), o->namespace_(), o->name());
      } else if (pod->status().phase() != "Succeeded") {
        Draft<api::core_v1::PodEdit> d(*pod);
        d->edit_status().set_phase("Succeeded");
        client.put(kind_of<api::core_v1::Pod>(), d.take());
      }
    }
  }
  int told(std::string_view reason) {
    int n = 0;
    for (const auto& e : client.all<Event>()) {
      if (e->reason() == reason) n += static_cast<int>(std::max<int64_t>(1, e->count()));
    }
    return n;
  }
  Ref<CronJob> now_is() { return client.now<CronJob>("work", "c"); }

  SimLoop loop;
  const std::string created = format_time(loop.wall_now());
  FakeClient client;
  Context ctx;
  Options options;
  std::unique_ptr<Manager> manager;
};

TEST_F(CronCluster, RunsKeepsItsHistoryAndFallsQuiet) {
  put_cron("*/10 * * * *", "Allow");
  for (int i = 0; i < 61 * 6; ++i) {
    end_pods();
    loop.advance(10s);
  }
  EXPECT_EQ(told("SuccessfulDelete"), 4);  // of Jobs: six ran, two are kept
  std::vector<Ref<Job>> jobs = client.all<Job>();
  EXPECT_EQ(jobs.size(), 2u);
  for (const auto& j : jobs) {
    EXPECT_EQ(j->metadata().annotations().size(), 1u);
    EXPECT_EQ(j->metadata().owner_references()[0].uid(), "u");
  }
  EXPECT_EQ(now_is()->status().active().size(), 0u);
  EXPECT_FALSE(now_is()->status().last_successful_time().empty());
  EXPECT_EQ(told("UnexpectedJob") + told("FailedCreate") + told("MissingJob"), 0);
  client.clear_calls();
  const Duration into = loop.wall_now() - WallTime{0};
  loop.advance(10min - into % 10min - 1s);
  EXPECT_THAT(client.writes(), ElementsAre());
}

TEST_F(CronCluster, ReplacesWhatStillRuns) {
  put_cron("*/10 * * * *", "Replace");
  loop.advance(31min);
  EXPECT_EQ(client.all<Job>().size(), 1u);
  EXPECT_EQ(now_is()->status().active().size(), 1u);
  EXPECT_GE(told("SuccessfulDelete"), 2);
}

TEST_F(CronCluster, ChangesOfTheScheduleWaitForItsNextMoment) {
  put_cron("0 0 1 1 *", "Allow");
  loop.advance(25min);
  put_cron("*/10 * * * *", "Allow");  // the same object: only its schedule is another
  const Duration into = loop.wall_now() - WallTime{0};
  loop.advance(10min - into % 10min - 1s);
  EXPECT_EQ(client.all<Job>().size(), 0u);
  loop.advance(3s);
  EXPECT_EQ(client.all<Job>().size(), 1u);
}

// Every day of a year, across two changes of the clock, whoever leads meanwhile, and whatever is
// lost of what the last one wrote.
TEST(CronYear, EveryDayHasItsJobOnce) {
  TestCluster c({"cronjob", "job"});
  c.client.put_yaml(
      "{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: work, uid: u, "
      "creationTimestamp: '" +
      format_time(c.loop.wall_now()) +
      "'}, spec: {schedule: '30 4 * * *', timeZone: Europe/Berlin, concurrencyPolicy: Forbid, "
      "successfulJobsHistoryLimit: 1, jobTemplate: {spec: {parallelism: 1, completions: 1, "
      "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: "
      "{restartPolicy: Never, containers: [{name: c, image: i}]}}}}}}");
  c.start();
  std::set<std::string> jobs;
  for (int hour = 0; hour < 365 * 24; ++hour) {
    if (hour % 100 == 7) c.client.lose_reply("create", "jobs.batch");
    if (hour % 70 == 3) c.client.fail("update", "cronjobs.batch/status", Status::unavailable("x"));
    if (hour % 500 == 28) c.restart();
    for (const auto& j : c.client.all<Job>()) jobs.emplace(j->metadata().uid());
    for (const auto& p : c.client.all<api::core_v1::Pod>()) {
      Draft<api::core_v1::PodEdit> d(*p);
      d->edit_status().set_phase("Succeeded");
      if (p->status().phase() != "Succeeded") c.client.put(kind_of<api::core_v1::Pod>(), d.take());
    }
    c.loop.advance(1h);
  }
  EXPECT_EQ(jobs.size(), 365u);
  EXPECT_LE(c.client.all<Job>().size(), 2u);
}

}  // namespace
}  // namespace keles::controllers
