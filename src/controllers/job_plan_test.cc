// The pure half of the Job controller: failure and success policies, limits per index.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "controllers/job.h"
#include "controllers/plan_testing.h"

namespace keles::controllers {
namespace {

using api::batch_v1::Job;
using api::core_v1::Pod;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Ref<Job> job(const std::string& spec, const std::string& status = "") {
  return parse<Job>("metadata: {name: j, namespace: jobs, uid: j1}\nspec: {" + spec +
                    "}\nstatus: {startTime: '2026-01-01T11:00:00Z'" +
                    (status.empty() ? "" : ", " + status) + "}");
}

struct PodIs {
  std::string name;
  int index = -1;
  std::string phase = "Running";
  int exit_code = 0, failures = 0;
  std::string condition, deleted;
};

Ref<Pod> pod(const PodIs& p) {
  std::string y = "metadata: {name: " + p.name + ", namespace: jobs, uid: u-" + p.name +
                  ", finalizers: [batch.kubernetes.io/job-tracking], annotations: {" +
                  "batch.kubernetes.io/job-index-failure-count: '" + std::to_string(p.failures) +
                  "'";
  if (p.index >= 0) {
    y += ", batch.kubernetes.io/job-completion-index: '" + std::to_string(p.index) + "'";
  }
  y += "}";
  if (!p.deleted.empty()) y += ", deletionTimestamp: '" + p.deleted + "'";
  y += "}\nstatus: {phase: " + p.phase;
  if (!p.condition.empty()) y += ", conditions: [{type: " + p.condition + ", status: 'True'}]";
  if (p.phase == "Failed" || p.phase == "Succeeded") {
    y += ", containerStatuses: [{name: main, state: {terminated: {exitCode: " +
         std::to_string(p.exit_code) + ", finishedAt: '2026-01-01T11:30:00Z'}}}]";
  }
  return parse<Pod>(y + "}");
}

// "FailureTarget PodFailurePolicy; Failed PodFailurePolicy"
std::string conditions(JobPlan& plan) {
  std::string out;
  for (auto c : plan.status->status().conditions()) {
    out += (out.empty() ? "" : "; ") + std::string(c.type()) + " " + std::string(c.reason());
  }
  return out;
}

std::vector<int64_t> created(const JobPlan& plan) {
  std::vector<int64_t> out;
  for (const JobPod& p : plan.create) out.push_back(p.index);
  return out;
}

TEST(MatchFailurePolicy, TakesTheFirstRuleThatFits) {
  auto j =
      job("podFailurePolicy: {rules: ["
          "{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}, "
          "{action: FailJob, onExitCodes: {containerName: main, operator: In, values: [42, 43]}}, "
          "{action: FailJob, onExitCodes: {containerName: other, operator: In, values: [7]}}, "
          "{action: Count, onExitCodes: {operator: NotIn, values: [1]}}]}");
  auto action = [&](const PodIs& p) { return match_failure_policy(*j, *pod(p)).action; };
  EXPECT_EQ(action({"p", -1, "Failed", 42}), "FailJob");
  EXPECT_EQ(action({"p", -1, "Failed", 42, 0, "DisruptionTarget"}), "Ignore");
  EXPECT_EQ(action({"p", -1, "Failed", 7}), "Count");
  EXPECT_EQ(action({"p", -1, "Failed", 1}), "");
  EXPECT_EQ(action({"p", -1, "Failed", 0}), "");  // a good end is none that fails
  EXPECT_EQ(
      match_failure_policy(*j, *pod({"p", -1, "Failed", 43})).message,
      "Container main for pod jobs/p failed with exit code 43 matching FailJob rule at index 1");
}

TEST(MatchSuccessPolicy, CountsWhatTheRulesName) {
  struct Case {
    std::string rules;
    std::set<int64_t> done;
    std::string expected;
  };
  const Case cases[] = {
      {"{succeededCount: 2}", {4}, "no"},
      {"{succeededCount: 2}", {4, 7}, "Matched rules at index 0"},
      {"{succeededIndexes: '0,2-3'}", {0, 2}, "no"},
      {"{succeededIndexes: '0,2-3'}", {0, 2, 3}, "Matched rules at index 0"},
      {"{succeededIndexes: '0-5', succeededCount: 1}", {9, 4}, "Matched rules at index 0"},
      {"{succeededIndexes: '0-5', succeededCount: 1}", {9}, "no"},
      {"{succeededIndexes: '9'}, {succeededCount: 1}", {1}, "Matched rules at index 1"},
  };
  for (const Case& c : cases) {
    auto told = match_success_policy(*job("successPolicy: {rules: [" + c.rules + "]}"), c.done);
    EXPECT_EQ(told.value_or("no"), c.expected) << c.rules;
  }
}

const std::string kPlain = "completions: 3, parallelism: 2, backoffLimit: 6";
const std::string kIndexed = "completionMode: Indexed, completions: 3, parallelism: 2";

TEST(PlanJob, FailsAtOnceWhenARuleSaysSo) {
  auto j = job(kPlain +
               ", podFailurePolicy: {rules: [{action: FailJob, onExitCodes: "
               "{operator: In, values: [42]}}]}");
  auto plan = plan_job(*j, {pod({"a", -1, "Failed", 42}), pod({"b"})}, kNow);
  EXPECT_EQ(conditions(plan), "FailureTarget PodFailurePolicy");  // until b has ended
  ASSERT_EQ(plan.remove.size(), 1u);
  EXPECT_EQ(plan.remove[0]->metadata().name(), "b");
  Ref<Job> next(std::make_shared<const Document>(plan.status.take()));
  plan = plan_job(*next, {pod({"b", -1, "Failed", 137})}, kNow);
  EXPECT_EQ(conditions(plan), "FailureTarget PodFailurePolicy");  // until b is counted, too
  ASSERT_EQ(plan.counted.size(), 1u);
  next = Ref<Job>(std::make_shared<const Document>(plan.status.take()));
  plan = plan_job(*next, {}, kNow);
  EXPECT_EQ(conditions(plan), "FailureTarget PodFailurePolicy; Failed PodFailurePolicy");
  EXPECT_TRUE(plan.status->status().uncounted_terminated_pods().failed().empty());
}

TEST(PlanJob, DoesNotCountWhatIsIgnored) {
  auto j =
      job("completions: 1, parallelism: 1, backoffLimit: 0, podFailurePolicy: {rules: "
          "[{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}]}");
  auto plan = plan_job(*j, {pod({"a", -1, "Failed", 137, 0, "DisruptionTarget"})}, kNow);
  EXPECT_EQ(conditions(plan), "");
  EXPECT_EQ(plan.counted.size(), 1u);  // it is let go all the same
  EXPECT_THAT(plan.status->status().uncounted_terminated_pods().failed().value().items(),
              IsEmpty());
  EXPECT_THAT(created(plan), ElementsAre(-1));
}

TEST(PlanJob, ReplacesOnlyWhatHasEndedWhenAsked) {
  auto j = job("completions: 1, parallelism: 1, backoffLimit: 6, podReplacementPolicy: Failed");
  auto plan = plan_job(*j, {pod({.name = "a", .deleted = "2026-01-01T11:59:00Z"})}, kNow);
  EXPECT_THAT(created(plan), IsEmpty());
  EXPECT_THAT(plan.counted, IsEmpty());
  j = job("completions: 1, parallelism: 1, backoffLimit: 6");
  plan = plan_job(*j, {pod({.name = "a", .deleted = "2026-01-01T11:00:00Z"})}, kNow);
  EXPECT_EQ(plan.counted.size(), 1u);
  EXPECT_THAT(created(plan), ElementsAre(-1));
}

TEST(PlanJob, CountsFailuresOfEachIndex) {
  const std::string spec = kIndexed + ", backoffLimit: 2147483647, backoffLimitPerIndex: 1";
  auto plan = plan_job(*job(spec), {pod({"a", 0, "Failed", 1, 0}), pod({"b", 1})}, kNow);
  // Index 0 may fail once more; its pod is kept until the next one carries the count on.
  ASSERT_THAT(created(plan), ElementsAre(0));
  EXPECT_EQ(plan.create[0].failures, 1);
  EXPECT_THAT(plan.counted, IsEmpty());
  plan = plan_job(*job(spec),
                  {pod({"a", 0, "Failed", 1, 0}), pod({"c", 0, "Running", 0, 1}), pod({"b", 1})},
                  kNow);
  EXPECT_EQ(plan.counted.size(), 1u);
  EXPECT_THAT(created(plan), IsEmpty());
  plan = plan_job(*job(spec), {pod({"c", 0, "Failed", 1, 1}), pod({"b", 1})}, kNow);
  EXPECT_EQ(plan.status->status().failed_indexes(), "0");  // once too often
  EXPECT_THAT(created(plan), ElementsAre(2));
  plan =
      plan_job(*job(spec, "failedIndexes: '0', completedIndexes: '1-2', succeeded: 2"), {}, kNow);
  EXPECT_EQ(conditions(plan), "FailureTarget FailedIndexes; Failed FailedIndexes");
  plan = plan_job(*job(spec + ", maxFailedIndexes: 1", "failedIndexes: '0'"),
                  {pod({"c", 1, "Failed", 1, 1})}, kNow);
  EXPECT_EQ(conditions(plan), "FailureTarget MaxFailedIndexesExceeded");
  plan = plan_job(*job(spec + ", podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: "
                              "{operator: In, values: [9]}}]}"),
                  {pod({"a", 0, "Failed", 9, 0})}, kNow);
  EXPECT_EQ(plan.status->status().failed_indexes(), "0");
  EXPECT_THAT(created(plan), ElementsAre(1, 2));
}

TEST(PlanJob, SucceedsEarlyWhenItsPolicySaysSo) {
  auto j = job(kIndexed + ", backoffLimit: 6, successPolicy: {rules: [{succeededCount: 1}]}");
  auto plan = plan_job(*j, {pod({"a", 0, "Succeeded"}), pod({"b", 1})}, kNow);
  EXPECT_EQ(conditions(plan), "SuccessCriteriaMet SuccessPolicy");
  EXPECT_EQ(plan.remove.size(), 1u);
  Ref<Job> next(std::make_shared<const Document>(plan.status.take()));
  plan = plan_job(*next, {pod({"b", 1, "Failed", 137})}, kNow);
  EXPECT_EQ(conditions(plan), "SuccessCriteriaMet SuccessPolicy");
  next = Ref<Job>(std::make_shared<const Document>(plan.status.take()));
  plan = plan_job(*next, {}, kNow);
  EXPECT_EQ(conditions(plan), "SuccessCriteriaMet SuccessPolicy; Complete SuccessPolicy");
}

std::vector<std::string> removed(const JobPlan& plan) {
  std::vector<std::string> out;
  for (const auto& p : plan.remove) out.emplace_back(p->metadata().name());
  std::sort(out.begin(), out.end());
  return out;
}

// KEP 3715: completions and parallelism go up and down together.
TEST(PlanJob, AnIndexedJobShrinksAndGrows) {
  auto j =
      job("completionMode: Indexed, completions: 2, parallelism: 2", "completedIndexes: '0,3'");
  auto plan = plan_job(*j, {pod({.name = "b", .index = 1}), pod({.name = "c", .index = 2})}, kNow);
  EXPECT_THAT(removed(plan), ElementsAre("c"));
  EXPECT_THAT(created(plan), IsEmpty());
  EXPECT_EQ(plan.status->status().completed_indexes(), "0");
  EXPECT_EQ(plan.status->status().succeeded(), 1);
  plan = plan_job(*j, {pod({.name = "late", .index = 5, .phase = "Succeeded"})}, kNow);
  EXPECT_EQ(plan.status->status().completed_indexes(), "0");
  j = job("completionMode: Indexed, completions: 5, parallelism: 5", "completedIndexes: '0-2'");
  EXPECT_THAT(created(plan_job(*j, {}, kNow)), ElementsAre(3, 4));
}

TEST(PlanJob, TheLeastValuableOfTooManyGo) {
  auto with = [](const std::string& name, int index, bool ready) {
    Draft<api::core_v1::PodEdit> d(*pod({.name = name, .index = index}));
    d->edit_spec().set_node_name("n");
    if (ready) {
      auto c = d->edit_status().edit_conditions().add();
      c.set_type("Ready");
      c.set_status("True");
      c.set_last_transition_time("2026-01-01T11:00:00Z");
    }
    return Ref<Pod>(std::make_shared<const Document>(d.take()));
  };
  auto j = job("parallelism: 1");
  auto plan = plan_job(*j, {with("a", -1, false), with("b", -1, true), with("c", -1, false)}, kNow);
  EXPECT_THAT(removed(plan), ElementsAre("a", "c"));
  // Two of one number; one without; and one number too many.
  j = job("completionMode: Indexed, completions: 5, parallelism: 2");
  plan = plan_job(*j,
                  {with("a0", 0, false), with("b0", 0, true), with("x", -1, true),
                   with("a1", 1, true), with("a2", 2, false)},
                  kNow);
  EXPECT_THAT(removed(plan), ElementsAre("a0", "a2", "x"));
}

TEST(PlanJob, IsSuspendedAndResumed) {
  auto plan = plan_job(*job("suspend: true, parallelism: 2"), {pod({.name = "a"})}, kNow);
  EXPECT_THAT(removed(plan), ElementsAre("a"));
  EXPECT_EQ(conditions(plan), "Suspended JobSuspended");
  EXPECT_EQ(plan.event_reason, "Suspended");
  EXPECT_FALSE(plan.status->status().has_start_time());
  const std::string was = "conditions: [{type: Suspended, status: 'True', reason: JobSuspended}]";
  plan = plan_job(*job("suspend: true", was), {}, kNow);
  EXPECT_EQ(plan.event_reason, "");
  plan = plan_job(*job("parallelism: 1, activeDeadlineSeconds: 60", was), {}, kNow);
  EXPECT_EQ(conditions(plan), "Suspended JobResumed");
  EXPECT_EQ(plan.event_reason, "Resumed");
  EXPECT_EQ(plan.create.size(), 1U);
  EXPECT_EQ(plan.status->status().start_time(), "2026-01-01T12:00:00Z");
  EXPECT_EQ(plan.requeue_after, 60s);
}

// A Job that has failed, or has what it wants, ends though it is suspended; its time does not pass.
TEST(PlanJob, EndsWhileItIsSuspended) {
  struct Case {
    std::string why, spec, status, conditions;
  };
  const Case cases[] = {
      {"failed too often", "backoffLimit: 1", "failed: 2",
       "FailureTarget BackoffLimitExceeded; Failed BackoffLimitExceeded"},
      {"has enough", "completions: 1", "succeeded: 1",
       "SuccessCriteriaMet CompletionsReached; Complete CompletionsReached"},
      {"out of time", "activeDeadlineSeconds: 1", "", "Suspended JobSuspended"},
      {"decided before", "completions: 3",
       "conditions: [{type: FailureTarget, status: 'True', reason: PodFailurePolicy}]",
       "FailureTarget PodFailurePolicy; Failed PodFailurePolicy"},
  };
  for (const Case& c : cases) {
    auto plan = plan_job(*job("suspend: true, " + c.spec, c.status), {}, kNow);
    EXPECT_EQ(conditions(plan), c.conditions) << c.why;
  }
}

// Restarts of init containers are failures as those of others are.
TEST(PlanJob, CountsRestartsOfPodsThatStartAgainThemselves) {
  auto failed = [](int init, int main, int limit) {
    auto p = parse<Pod>(
        "metadata: {name: a, namespace: jobs, uid: u}\nstatus: {phase: Running, "
        "initContainerStatuses: [{restartCount: " +
        std::to_string(init) + "}], containerStatuses: [{restartCount: " + std::to_string(main) +
        "}]}");
    auto plan = plan_job(*job("backoffLimit: " + std::to_string(limit) +
                              ", template: {spec: {restartPolicy: OnFailure}}"),
                         {p}, kNow);
    return conditions(plan) == "FailureTarget BackoffLimitExceeded";
  };
  EXPECT_FALSE(failed(0, 0, 0));
  EXPECT_TRUE(failed(0, 1, 0));
  EXPECT_FALSE(failed(1, 1, 3));
  EXPECT_TRUE(failed(2, 1, 3));
}

}  // namespace
}  // namespace keles::controllers
