// The pure halves of the disruption and token secrets controllers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "controllers/disruption.h"
#include "controllers/plan_testing.h"
#include "controllers/token_secrets.h"
#include "machinery/codec_json.h"

namespace keles::controllers {
namespace {

using api::core_v1::Pod;
using api::core_v1::Secret;
using api::core_v1::ServiceAccount;
using api::policy_v1::PodDisruptionBudget;

// '+' ready, '-' not ready, 'x' being deleted; named p0, p1, ...
std::vector<Ref<Pod>> some_pods(const std::string& states) {
  std::vector<Ref<Pod>> out;
  for (size_t i = 0; i < states.size(); ++i) {
    std::string y = "metadata: {name: p" + std::to_string(i);
    if (states[i] == 'x') y += ", deletionTimestamp: '2026-01-01T11:00:00Z'";
    y += "}\nstatus: {phase: Running, conditions: [{type: Ready, status: '";
    y += states[i] == '-' ? "False'}]}" : "True'}]}";
    out.push_back(parse<Pod>(y));
  }
  return out;
}

std::string told(const PodDisruptionBudget& b) {
  auto s = b.status();
  std::string out =
      std::to_string(s.current_healthy()) + "/" + std::to_string(s.desired_healthy()) + " of " +
      std::to_string(s.expected_pods()) + " allows " + std::to_string(s.disruptions_allowed());
  for (auto c : s.conditions())
    out += " " + std::string(c.status()) + " " + std::string(c.reason());
  return out;
}

TEST(PlanBudget, CountsWhatMayGo) {
  struct Case {
    std::string spec, pods;
    ExpectedScale scale;
    std::string expected;
  };
  const Case cases[] = {
      {"minAvailable: 1", "+++", {}, "3/1 of 3 allows 2 True SufficientPods"},
      {"minAvailable: 3", "+++", {}, "3/3 of 3 allows 0 False InsufficientPods"},
      {"minAvailable: 1", "", {}, "0/1 of 0 allows 0 False InsufficientPods"},
      {"minAvailable: 0", "", {}, "0/0 of 0 allows 0 False InsufficientPods"},
      {"minAvailable: 1", "+-x", {}, "1/1 of 3 allows 0 False InsufficientPods"},
      {"minAvailable: 50%", "+++", {.count = 5}, "3/3 of 5 allows 0 False InsufficientPods"},
      {"minAvailable: 50%", "++++", {.count = 5}, "4/3 of 5 allows 1 True SufficientPods"},
      {"maxUnavailable: 1", "+++", {.count = 3}, "3/2 of 3 allows 1 True SufficientPods"},
      {"maxUnavailable: 1", "++", {.count = 3}, "2/2 of 3 allows 0 False InsufficientPods"},
      {"maxUnavailable: 30%", "+++", {.count = 3}, "3/2 of 3 allows 1 True SufficientPods"},
      {"maxUnavailable: 9", "++", {.count = 3}, "2/0 of 3 allows 2 True SufficientPods"},
      {"maxUnavailable: 1", "+", {.error = "who?"}, "0/0 of 0 allows 0 False SyncFailed"},
      {"minAvailable: 1", "+", {.ill_selector = "x"}, "0/0 of 0 allows 0 False SyncFailed"},
      // Pods without a controller are not among what is expected.
      {"maxUnavailable: 50%",
       "++",
       {.unmanaged = true},
       "2/0 of 0 allows 0 False InsufficientPods"},
      {"", "++", {}, "2/0 of 0 allows 0 False InsufficientPods"},
      {"minAvailable: 1",
       "+++",
       {.error = "not asked for"},
       "3/1 of 3 allows 2 True SufficientPods"},
  };
  for (const Case& c : cases) {
    auto budget =
        parse<PodDisruptionBudget>("metadata: {name: b, generation: 2}\nspec: {" + c.spec + "}");
    auto pods = some_pods(c.pods);
    auto plan = plan_budget(*budget, pods, c.scale, kNow);
    ASSERT_TRUE(plan.update) << c.spec;
    Ref<PodDisruptionBudget> after(std::make_shared<const Document>(plan.update->take()));
    EXPECT_EQ(told(*after), c.expected) << c.spec << " " << c.pods;
    EXPECT_FALSE(plan_budget(*after, pods, c.scale, kNow + 1h).update)
        << "written twice: " << c.spec;
  }
}

TEST(PlanBudget, RemembersEvictionsForTwoMinutes) {
  auto budget = parse<PodDisruptionBudget>(
      "metadata: {name: b}\nspec: {minAvailable: 1}\nstatus: {disruptedPods: "
      "{p0: '2026-01-01T11:59:30Z', p1: '2026-01-01T11:00:00Z', gone: '2026-01-01T11:59:00Z'}}");
  auto plan = plan_budget(*budget, some_pods("+++"), {}, kNow);
  ASSERT_TRUE(plan.update);
  EXPECT_EQ((*plan.update)->status().current_healthy(), 2);  // p0 is as good as gone
  EXPECT_EQ((*plan.update)->status().disrupted_pods().size(), 1u);
  EXPECT_EQ(plan.requeue_after, 91s);
  ASSERT_EQ(plan.never_deleted.size(), 1u);
  EXPECT_EQ(plan.never_deleted[0]->metadata().name(), "p1");
}

TEST(StaleDisruption, IsTakenBackAfterTwoMinutes) {
  auto stale = [](const std::string& meta, const std::string& status) -> std::string {
    auto s = stale_disruption(
        *parse<Pod>("metadata: {name: p" + meta + "}\nstatus: {" + status + "}"), kNow);
    return s ? std::to_string(*s / 1s) : "no";
  };
  auto condition = [](const std::string& reason, const std::string& since,
                      const std::string& value = "True") {
    return "conditions: [{type: DisruptionTarget, status: '" + value + "', reason: " + reason +
           ", lastTransitionTime: '2026-01-01T" + since + "Z'}]";
  };
  EXPECT_EQ(stale("", condition("PreemptionByScheduler", "11:59:00")), "60");
  EXPECT_EQ(stale("", condition("PreemptionByScheduler", "11:00:00")), "0");
  EXPECT_EQ(stale("", condition("TerminationByKubelet", "11:00:00")), "no");
  EXPECT_EQ(stale("", condition("EvictionByEvictionAPI", "11:00:00", "False")), "no");
  EXPECT_EQ(stale("", "phase: Failed, " + condition("DeletionByPodGC", "11:00:00")), "no");
  EXPECT_EQ(stale(", deletionTimestamp: '2026-01-01T11:00:00Z'",
                  condition("DeletionByTaintManager", "11:00:00")),
            "no");
  EXPECT_EQ(stale("", "phase: Running"), "no");
}

TEST(PlanTokenSecret, FillsWhatIsMissing) {
  auto account = parse<ServiceAccount>("metadata: {name: robot, namespace: ci, uid: u1}");
  const std::string ca = base64_encode("CA"), ns = base64_encode("ci");
  const std::string all = "token: dG9rZW4=, ca.crt: " + ca + ", namespace: " + ns;
  struct Case {
    std::string data, root_ca;
    bool updates, needs_token;
  };
  const Case cases[] = {
      {"", "CA", true, true},
      {all, "CA", false, false},
      {all, "another", true, false},
      {all, "", false, false},
      {"token: dG9rZW4=, namespace: " + ns, "", false, false},
      {"ca.crt: " + ca + ", namespace: " + ns, "CA", true, true},
  };
  for (const Case& c : cases) {
    auto secret = parse<Secret>("metadata: {name: s, namespace: ci}\ndata: {" + c.data + "}");
    auto plan = plan_token_secret(*secret, *account, c.root_ca);
    EXPECT_EQ(plan.update.has_value(), c.updates) << c.data;
    EXPECT_EQ(plan.needs_token, c.needs_token) << c.data;
    if (!plan.update) continue;
    EXPECT_EQ((*plan.update)->data().get("ca.crt"), base64_encode(c.root_ca));
    EXPECT_EQ((*plan.update)->data().get("namespace"), ns);
    EXPECT_EQ((*plan.update)->metadata().annotations().get("kubernetes.io/service-account.uid"),
              "u1");
  }
  auto claims = parse_json(legacy_token_claims(*account, "s"));
  ASSERT_TRUE(claims.ok());
  EXPECT_EQ(claims->root["sub"].as_string(), "system:serviceaccount:ci:robot");
  EXPECT_EQ(claims->root["kubernetes.io/serviceaccount/secret.name"].as_string(), "s");
}

}  // namespace
}  // namespace keles::controllers
