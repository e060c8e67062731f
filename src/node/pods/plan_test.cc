#include "node/pods/plan.h"

#include <gtest/gtest.h>

#include "node/pods/labels.h"
#include "node/testing.h"

namespace keles::node {
namespace {

using cri::ContainerState;

constexpr int64_t kSecond = 1'000'000'000;

// A pod and its runtime at a moment; builds the input of plan().
class World {
 public:
  explicit World(std::string spec, const std::string& status = "{}")
      : pod_(pod_from(R"({"metadata":{"name":"p","namespace":"default","uid":"u"},"spec":)" + spec +
                      R"(,"status":)" + status + "}")) {
    in_.now = WallTime{1000 * kSecond};
  }
  World& sandbox(std::string id, bool ready = true, std::string ip = "10.0.0.1") {
    cri::Sandbox s;
    s.id = std::move(id);
    s.attempt = static_cast<uint32_t>(actual_.sandboxes.size());
    s.state = ready ? cri::SandboxState::kReady : cri::SandboxState::kNotReady;
    s.ip = std::move(ip);
    actual_.sandboxes.insert(actual_.sandboxes.begin(), s);
    return *this;
  }
  World& running(const std::string& name, uint32_t attempt = 0, std::string sandbox = "s0") {
    return add(name, attempt, std::move(sandbox), ContainerState::kRunning, 0, 0);
  }
  World& exited(const std::string& name, int code, int64_t seconds_ago = 60, uint32_t attempt = 0,
                std::string sandbox = "s0") {
    return add(name, attempt, std::move(sandbox), ContainerState::kExited, code, seconds_ago);
  }
  PlanInput& in() { return in_; }
  PodPlan plan() {
    in_.pod = &*pod_;
    in_.actual = &actual_;
    return node::plan(in_);
  }

 private:
  World& add(const std::string& name, uint32_t attempt, std::string sandbox, ContainerState state,
             int code, int64_t seconds_ago) {
    cri::Container c;
    c.id = name + std::to_string(attempt);
    c.name = name;
    c.attempt = attempt;
    c.sandbox_id = std::move(sandbox);
    c.state = state;
    c.exit_code = code;
    c.finished_at_ns = in_.now.ns - seconds_ago * kSecond;
    actual_.containers.insert(actual_.containers.begin(), c);
    return *this;
  }
  Ref<api::core_v1::Pod> pod_;
  PodRuntime actual_;
  PlanInput in_;
};

std::string starts(const PodPlan& p) {
  std::string out;
  for (const auto& s : p.start)
    out += (out.empty() ? "" : " ") + s.name + std::to_string(s.attempt);
  return out;
}

// Of a container that is nothing but its name and image.
std::string key(const std::string& name, const std::string& image) {
  Ref<api::core_v1::Pod> pod =
      pod_from(R"({"spec":{"containers":[{"name":")" + name + R"(","image":")" + image + "\"}]}}");
  return backoff_key(name, container_hash(pod->spec().containers()[0]));
}

const char* const kTwo = R"({"containers":[{"name":"a","image":"i"},{"name":"b","image":"i"}]})";
const char* const kNever = R"({"restartPolicy":"Never","containers":[{"name":"a","image":"i"}]})";
const char* const kOnFailure =
    R"({"restartPolicy":"OnFailure","containers":[{"name":"a","image":"i"}]})";
const char* const kInit =
    R"({"initContainers":[{"name":"i1"},{"name":"i2"}],"containers":[{"name":"a"}]})";
const char* const kSidecar =
    R"({"initContainers":[{"name":"side","restartPolicy":"Always"},{"name":"i2"}],
        "containers":[{"name":"a"}]})";

TEST(Plan, ANewPodGetsASandboxAndItsContainers) {
  PodPlan p = World(kTwo).plan();
  EXPECT_TRUE(p.create_sandbox);
  EXPECT_EQ(p.sandbox_attempt, 0u);
  EXPECT_EQ(starts(p), "a0 b0");
}

TEST(Plan, NothingToDo) {
  PodPlan p = World(kTwo).sandbox("s0").running("a").running("b").plan();
  EXPECT_FALSE(p.create_sandbox);
  EXPECT_TRUE(p.start.empty() && p.kill.empty() && p.stop_sandboxes.empty());
  EXPECT_FALSE(p.finished);
}

TEST(Plan, InitContainersGoInOrder) {
  EXPECT_EQ(starts(World(kInit).plan()), "i10");
  EXPECT_EQ(starts(World(kInit).sandbox("s0").running("i1").plan()), "");
  EXPECT_EQ(starts(World(kInit).sandbox("s0").exited("i1", 0).plan()), "i20");
  EXPECT_EQ(starts(World(kInit).sandbox("s0").exited("i1", 0).exited("i2", 1).plan()), "i21");
  EXPECT_EQ(starts(World(kInit).sandbox("s0").exited("i1", 0).exited("i2", 0).plan()), "a0");
}

TEST(Plan, ASidecarRunsBesideWhatFollows) {
  EXPECT_EQ(starts(World(kSidecar).plan()), "side0");
  World up(kSidecar);
  up.sandbox("s0").running("side");
  EXPECT_EQ(starts(up.plan()), "");  // its startup probe has not passed
  up.in().started = {"side0"};
  EXPECT_EQ(starts(up.plan()), "i20");
  World dead(kSidecar);
  dead.sandbox("s0").exited("i2", 0).running("a").exited("side", 1);
  EXPECT_EQ(starts(dead.plan()), "side1");
}

TEST(Plan, RestartPolicies) {
  EXPECT_TRUE(World(kNever).sandbox("s0").exited("a", 1).plan().finished);
  EXPECT_TRUE(World(kOnFailure).sandbox("s0").exited("a", 0).plan().finished);
  EXPECT_EQ(starts(World(kOnFailure).sandbox("s0").exited("a", 3).plan()), "a1");
  EXPECT_EQ(starts(World(kTwo).sandbox("s0").exited("a", 0).running("b").plan()), "a1");
}

TEST(Plan, WhatEndedForGoodStaysSoWhenTheRuntimeHasForgottenIt) {
  const std::string status = R"({"phase":"Running","containerStatuses":[
      {"name":"a","state":{"terminated":{"exitCode":0}}},
      {"name":"b","state":{"terminated":{"exitCode":3}}}]})";
  const std::string two = R"("containers":[{"name":"a","image":"i"},{"name":"b","image":"i"}]})";
  struct Row {
    std::string policy, starts;
  };
  for (const Row& row : {Row{"Never", ""}, Row{"OnFailure", "b1"}, Row{"Always", "a1 b1"}}) {
    PodPlan p = World(R"({"restartPolicy":")" + row.policy + "\"," + two, status).plan();
    EXPECT_EQ(starts(p), row.starts) << row.policy;
    EXPECT_EQ(p.finished, row.starts.empty()) << row.policy;
  }
}

TEST(Plan, AFinishedPodLetsItsSandboxGo) {
  PodPlan p = World(kNever).sandbox("s0").exited("a", 0).plan();
  EXPECT_EQ(p.stop_sandboxes, std::vector<std::string>{"s0"});
  EXPECT_TRUE(p.start.empty());
  EXPECT_FALSE(World(kNever).sandbox("s0", false).exited("a", 0).plan().create_sandbox);
}

TEST(Plan, ACrashingContainerWaitsItsBackoff) {
  World w(kTwo);
  w.sandbox("s0").running("b").exited("a", 1, 4);
  w.in().backoff[key("a", "i")] = Backoff{10s, w.in().now - 4s};
  PodPlan p = w.plan();
  EXPECT_EQ(starts(p), "");
  EXPECT_EQ(p.waiting["a"].reason, "CrashLoopBackOff");
  EXPECT_EQ(p.waiting["a"].message, "back-off 10s restarting failed container=a pod=p_default(u)");
  ASSERT_TRUE(p.wake_at.has_value());
  EXPECT_EQ(p.wake_at->ns, w.in().now.ns + 6 * kSecond);
  w.in().now = w.in().now + 6s;
  EXPECT_EQ(starts(w.plan()), "a1");
}

TEST(Plan, ANewImageStartsWithoutDelay) {
  World w(R"({"containers":[{"name":"a","image":"mended"}]})");
  w.sandbox("s0").exited("a", 1, 4, 3);
  w.in().backoff[key("a", "broken")] = Backoff{300s, w.in().now - 4s};
  EXPECT_EQ(starts(w.plan()), "a4");
  w.in().backoff[key("a", "mended")] = Backoff{10s, w.in().now - 4s};
  EXPECT_EQ(starts(w.plan()), "");
}

TEST(Plan, ContainersHaveRulesOfTheirOwn) {
  const std::string rules = R"({"restartPolicy":"Never","containers":[{"name":"a","image":"i",
      "restartPolicy":"Never","restartPolicyRules":[
        {"action":"Restart","exitCodes":{"operator":"In","values":[42,43]}}]},
      {"name":"b","image":"i"}]})";
  for (auto [code, want] : {std::pair(42, "a1"), {43, "a1"}, {1, ""}, {0, ""}}) {
    World w(rules);
    w.sandbox("s0").running("b").exited("a", code);
    EXPECT_EQ(starts(w.plan()), want) << code;
  }
  World not_in(R"({"containers":[{"name":"a","image":"i","restartPolicy":"OnFailure",
      "restartPolicyRules":[{"action":"Restart","exitCodes":{"operator":"NotIn","values":[0]}}]}]})");
  not_in.sandbox("s0").exited("a", 0);
  EXPECT_TRUE(not_in.plan().finished);
  World init(R"({"restartPolicy":"Always","initContainers":[{"name":"i","restartPolicy":"Never"}],
      "containers":[{"name":"a","image":"i"}]})");
  init.sandbox("s0").exited("i", 1);
  EXPECT_TRUE(init.plan().finished);
}

std::string resets(const PodPlan& p) {
  std::string out;
  for (const auto& r : p.reset) out += (out.empty() ? "" : " ") + r.id + (r.running ? "!" : "");
  return out;
}

TEST(Plan, AnExitMayRestartAllContainers) {
  const std::string all = R"({"restartPolicy":"Never",
      "initContainers":[{"name":"i","image":"i"},{"name":"s","image":"i","restartPolicy":"Always"}],
      "containers":[{"name":"a","image":"i","restartPolicy":"Never","restartPolicyRules":[
        {"action":"RestartAllContainers","exitCodes":{"operator":"In","values":[42]}}]},
      {"name":"b","image":"i"},{"name":"c","image":"i"}]})";
  for (auto [code, want] : {std::pair(1, ""), {42, "b0! c0 i0 s0! a0"}}) {
    World w(all);
    w.sandbox("s0").exited("i", 0).running("s").running("b").exited("c", 0).exited("a", code);
    const PodPlan p = w.plan();
    EXPECT_EQ(resets(p), want) << code;
    EXPECT_FALSE(p.finished);
    EXPECT_EQ(starts(p), "");
  }
  // Taken away, they start from the beginning, those too that had ended for good.
  World away(all, R"({"containerStatuses":[{"name":"c","restartCount":0,
      "state":{"terminated":{"exitCode":0}}}]})");
  away.sandbox("s0");
  away.in().reset = {{"a", 0}, {"b", 0}, {"c", 3}, {"i", 0}, {"s", 0}};
  EXPECT_EQ(starts(away.plan()), "i1");
  away.exited("i", 0, 5, 1);
  EXPECT_EQ(starts(away.plan()), "s1");
  away.running("s", 1).in().started = {"s1"};
  EXPECT_EQ(starts(away.plan()), "a1 b1 c4");
  // The cause has run again since: its old record says nothing any more.
  World again(all);
  again.sandbox("s0").exited("i", 0).running("s").running("b").running("c").exited("a", 42);
  again.running("a", 1);
  EXPECT_EQ(resets(again.plan()), "");
  // An agent that began meanwhile goes by the status.
  World anew(all, R"({"conditions":[{"type":"AllContainersRestarting","status":"True"}],
      "containerStatuses":[{"name":"c","restartCount":2,"state":{"terminated":{"exitCode":0}}},
        {"name":"b","restartCount":5,"state":{"waiting":{"reason":"RestartingAllContainers"}}}]})");
  anew.sandbox("s0").exited("i", 0).running("s").running("a", 1).in().started = {"s0"};
  EXPECT_EQ(starts(anew.plan()), "b5 c3");
}

TEST(Plan, EphemeralContainersStartOnceAndKeepNothingAlive) {
  const std::string spec = R"({"restartPolicy":"Never","containers":[{"name":"a","image":"i"}],
      "ephemeralContainers":[{"name":"e","image":"i","targetContainerName":"a"}]})";
  World w(spec);
  EXPECT_EQ(starts(w.plan()), "a0");  // not before there is a sandbox
  w.sandbox("s0");
  EXPECT_EQ(starts(w.plan()), "a0 e0");
  w.running("a");
  EXPECT_EQ(starts(w.plan()), "e0");
  w.running("e");
  EXPECT_EQ(starts(w.plan()), "");
  World after(spec);
  after.sandbox("s0").running("a").exited("e", 1);
  EXPECT_EQ(starts(after.plan()), "");
  World done(spec);
  done.sandbox("s0").exited("a", 0).running("e");
  EXPECT_TRUE(done.plan().finished);
  EXPECT_EQ(done.plan().stop_sandboxes, std::vector<std::string>{"s0"});
}

TEST(Plan, BackoffDoublesAndIsForgotten) {
  Backoff b;
  WallTime t{1000 * kSecond};
  EXPECT_FALSE(b.waiting(t, t));
  for (Duration want : {10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    b.next(t, t);
    EXPECT_EQ(b.delay, want);
  }
  EXPECT_FALSE(b.waiting(t + 601s, t + 602s));
  b.next(t + 601s, t + 602s);
  EXPECT_EQ(b.delay, Duration(10s));
}

TEST(Plan, AFailedProbeRestarts) {
  World w(kTwo);
  w.sandbox("s0").running("a").running("b");
  w.in().liveness_failed = {"b0"};
  PodPlan p = w.plan();
  ASSERT_EQ(p.kill.size(), 1u);
  EXPECT_EQ(p.kill[0].message, "Container b failed liveness probe, will be restarted");
  EXPECT_EQ(starts(p), "b1");
  World never(kNever);
  never.sandbox("s0").running("a");
  never.in().startup_failed = {"a0"};
  p = never.plan();
  EXPECT_EQ(p.kill[0].message, "Container a failed startup probe");
  EXPECT_EQ(starts(p), "");
}

TEST(Plan, ADeadSandboxIsReplacedAndInitRunsAgain) {
  PodPlan p = World(kInit).sandbox("s0", false).exited("i1", 0).exited("i2", 0).running("a").plan();
  EXPECT_TRUE(p.create_sandbox);
  EXPECT_EQ(p.sandbox_attempt, 1u);
  EXPECT_EQ(p.stop_sandboxes, std::vector<std::string>{"s0"});
  EXPECT_EQ(starts(p), "i11");
  // A sandbox without an address is of no use.
  p = World(kTwo).sandbox("s0", true, "").plan();
  EXPECT_TRUE(p.create_sandbox);
}

TEST(Plan, AnEndedPodStaysEnded) {
  Ref<api::core_v1::Pod> pod = pod_from(
      R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}]},"status":{"phase":"Failed"}})");
  PodRuntime none;
  PlanInput in;
  in.pod = &*pod;
  in.actual = &none;
  PodPlan p = plan(in);
  EXPECT_TRUE(p.finished);
  EXPECT_FALSE(p.create_sandbox);
}

}  // namespace
}  // namespace keles::node
