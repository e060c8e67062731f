#include "node/pods/status.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "node/pods/resize.h"
#include "node/testing.h"

namespace keles::node {
namespace {

using cri::ContainerState;

constexpr int64_t kSecond = 1'000'000'000;

cri::Container container(std::string name, ContainerState state, int code = 0,
                         uint32_t attempt = 0) {
  cri::Container c;
  c.id = name + std::to_string(attempt);
  c.name = std::move(name);
  c.attempt = attempt;
  c.state = state;
  c.exit_code = code;
  c.started_at_ns = 1'700'000'000 * kSecond;
  c.finished_at_ns = 1'700'000'010 * kSecond;
  c.image = "docker.io/library/x:1";
  c.image_ref = "sha256:abc";
  return c;
}

class StatusTest : public testing::Test {
 protected:
  api::core_v1::PodStatus build() {
    in_.pod = &*pod_;
    in_.actual = &actual_;
    in_.now = WallTime{1'700'000'100 * kSecond};
    in_.host_ips = {"172.18.0.3"};
    doc_ = std::make_unique<Document>();
    api::core_v1::PodEdit edit(EditTarget{&doc_->root, &doc_->arena});
    build_status(in_, edit.edit_status());
    return api::core_v1::PodStatus(doc_->root["status"]);
  }
  std::string condition(const api::core_v1::PodStatus& s, std::string_view type) {
    for (auto c : s.conditions())
      if (c.type() == type)
        return std::string(c.status()) + " " + std::string(c.reason()) + " " +
               std::string(c.message());
    return "none";
  }
  Ref<api::core_v1::Pod> pod_ = pod_from(
      R"({"metadata":{"name":"p","uid":"u"},"spec":{"containers":[{"name":"a","image":"x:1"}]}})");
  PodRuntime actual_;
  StatusInput in_;
  std::unique_ptr<Document> doc_;
};

TEST_F(StatusTest, AllContainersRestart) {
  pod_ = pod_from(R"({"metadata":{"name":"p","uid":"u"},"spec":{"restartPolicy":"Never",
      "initContainers":[{"name":"i","image":"x:1"}],
      "containers":[{"name":"a","image":"x:1","restartPolicy":"Never","restartPolicyRules":[
        {"action":"RestartAllContainers","exitCodes":{"operator":"In","values":[42]}}]},
      {"name":"b","image":"x:1"}]},
      "status":{"conditions":[{"type":"Initialized","status":"True"}],
        "containerStatuses":[{"name":"b","state":{"terminated":{"exitCode":0}}}]}})");
  actual_.containers = {container("a", ContainerState::kExited, 42),
                        container("b", ContainerState::kExited, 0),
                        container("i", ContainerState::kExited, 0)};
  in_.restarting_all = true;
  auto s = build();
  EXPECT_EQ(s.phase(), "Running");
  EXPECT_EQ(condition(s, "AllContainersRestarting"),
            "True RestartAllContainersStarted container exited with restart policy rule");
  actual_.containers.clear();
  in_.restarting_all = false;
  in_.reset = {{"a", 0}, {"b", 1}, {"i", 0}};
  s = build();
  EXPECT_EQ(s.phase(), "Running");
  EXPECT_EQ(condition(s, "AllContainersRestarting"), "False  ");
  EXPECT_EQ(condition(s, "Initialized"), "True  ");
  auto b = s.container_statuses()[1];
  EXPECT_EQ(b.state().waiting().reason(), "RestartingAllContainers");
  EXPECT_EQ(b.last_state().terminated().reason(), "RestartingAllContainers");
  EXPECT_EQ(b.last_state().terminated().exit_code(), 137);
  EXPECT_EQ(b.restart_count(), 2);
  EXPECT_EQ(s.init_container_statuses()[0].restart_count(), 1);
  actual_.containers = {container("a", ContainerState::kExited, 1, 1),
                        container("b", ContainerState::kExited, 0, 2),
                        container("i", ContainerState::kExited, 0, 1)};
  in_.reset.clear();
  s = build();
  EXPECT_EQ(s.phase(), "Failed");
  EXPECT_EQ(condition(s, "AllContainersRestarting"), "False PodFailed ");
}

TEST_F(StatusTest, BeforeAnythingRuns) {
  auto s = build();
  EXPECT_EQ(s.phase(), "Pending");
  EXPECT_EQ(s.container_statuses()[0].state().waiting().reason(), "ContainerCreating");
  EXPECT_EQ(condition(s, "Ready"), "False ContainersNotReady containers with unready status: [a]");
  EXPECT_EQ(condition(s, "PodScheduled"), "True  ");
  EXPECT_EQ(s.qos_class(), "BestEffort");
  EXPECT_EQ(s.host_ip(), "172.18.0.3");
}

TEST_F(StatusTest, Running) {
  cri::Sandbox sandbox;
  sandbox.id = "s0";
  sandbox.state = cri::SandboxState::kReady;
  sandbox.ip = "10.244.1.2";
  sandbox.additional_ips = {"fd00:10:244::2"};
  actual_.sandboxes.push_back(sandbox);
  actual_.containers.push_back(container("a", ContainerState::kRunning));
  in_.started = in_.ready = {"a0"};
  auto s = build();
  EXPECT_EQ(s.phase(), "Running");
  EXPECT_EQ(s.pod_ip(), "10.244.1.2");
  ASSERT_EQ(s.pod_ips().size(), 2u);
  EXPECT_EQ(s.pod_ips()[0].ip(), "10.244.1.2");
  EXPECT_EQ(s.pod_ips()[1].ip(), "fd00:10:244::2");
  EXPECT_EQ(condition(s, "Ready"), "True  ");
  EXPECT_TRUE(s.container_statuses()[0].ready());
  EXPECT_EQ(s.container_statuses()[0].container_id(), "containerd://a0");
  in_.ready = {};
  EXPECT_EQ(condition(build(), "ContainersReady"),
            "False ContainersNotReady containers with unready status: [a]");
}

TEST_F(StatusTest, CrashLoop) {
  actual_.containers.push_back(container("a", ContainerState::kExited, 137, 3));
  actual_.containers.back().reason = "OOMKilled";
  in_.waiting["a"] = {"CrashLoopBackOff", "back-off 40s"};
  auto s = build();
  auto c = s.container_statuses()[0];
  EXPECT_EQ(s.phase(), "Running");
  EXPECT_EQ(c.state().waiting().reason(), "CrashLoopBackOff");
  EXPECT_EQ(c.last_state().terminated().exit_code(), 137);
  EXPECT_EQ(c.last_state().terminated().reason(), "OOMKilled");
  EXPECT_EQ(c.restart_count(), 3);
}

TEST_F(StatusTest, PhasesOfPodsThatEnd) {
  pod_ = pod_from(
      R"({"metadata":{"name":"p"},"spec":{"restartPolicy":"Never","containers":[{"name":"a"}]}})");
  actual_.containers.push_back(container("a", ContainerState::kExited, 0));
  auto s = build();
  EXPECT_EQ(s.phase(), "Succeeded");
  EXPECT_EQ(condition(s, "Ready"), "False PodCompleted ");
  EXPECT_EQ(s.container_statuses()[0].state().terminated().reason(), "Completed");
  actual_.containers[0].exit_code = 2;
  EXPECT_EQ(build().phase(), "Failed");
}

// The API refuses such a status as a whole, and with it all that was to be told.
TEST_F(StatusTest, WhatEndedForGoodIsNotTakenBack) {
  struct Row {
    std::string policy;
    int code;
    bool stays;
  };
  for (const Row& row : {Row{"Never", 0, true}, Row{"Never", 1, true}, Row{"OnFailure", 0, true},
                         Row{"OnFailure", 1, false}, Row{"Always", 0, false}}) {
    const std::string ended =
        R"([{"name":"NAME","state":{"terminated":{"exitCode":)" + std::to_string(row.code) + "}}}]";
    auto of = [&](std::string name) {
      return std::string(ended).replace(ended.find("NAME"), 4, name);
    };
    pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"restartPolicy":")" + row.policy +
                    R"(","initContainers":[{"name":"i"}],"containers":[{"name":"a"}],
                    "ephemeralContainers":[{"name":"e"}]},
                    "status":{"initContainerStatuses":)" +
                    of("i") + R"(,"containerStatuses":)" + of("a") +
                    R"(,"ephemeralContainerStatuses":)" + of("e") + "}}");
    for (bool runs : {false, true}) {
      actual_.containers.clear();
      in_.waiting.clear();
      for (std::string name : {"i", "a", "e"}) {
        if (runs) {
          actual_.containers.push_back(container(name, ContainerState::kRunning, 0, 1));
        } else {
          in_.waiting[name] = {"CrashLoopBackOff", ""};
        }
      }
      auto s = build();
      EXPECT_EQ(bool(s.init_container_statuses()[0].state().terminated()), row.stays)
          << row.policy << row.code << runs;
      EXPECT_EQ(bool(s.container_statuses()[0].state().terminated()), row.stays)
          << row.policy << row.code << runs;
      EXPECT_TRUE(s.ephemeral_container_statuses()[0].state().terminated());
    }
  }
}

TEST_F(StatusTest, ARefusedPodHasNoContainers) {
  pod_ = pod_from(R"({"metadata":{"name":"p","generation":3},"spec":{"containers":[{"name":"a"}]},
    "status":{"conditions":[{"type":"PodScheduled","status":"True"}]}})");
  in_.rejected = true;
  in_.failed_reason = "OutOfcpu";
  in_.failed_message = "Pod was rejected: no";
  auto s = build();
  EXPECT_EQ(s.phase(), "Failed");
  EXPECT_EQ(s.reason(), "OutOfcpu");
  EXPECT_EQ(s.message(), "Pod was rejected: no");
  EXPECT_EQ(s.qos_class(), "BestEffort");
  EXPECT_EQ(s.observed_generation(), 3);
  EXPECT_FALSE(s.start_time().empty());
  EXPECT_TRUE(s.container_statuses().empty());
  EXPECT_EQ(s.conditions().size(), 1u);
}

// What a pod's containers are told to have been when it is gone: nothing that did not run has
// succeeded.
TEST_F(StatusTest, ContainersOfADeletedPod) {
  in_.ended = true;
  auto s = build();
  EXPECT_EQ(s.phase(), "Failed");
  auto t = s.container_statuses()[0].state().terminated();
  EXPECT_EQ(t.exit_code(), 137);
  EXPECT_EQ(t.reason(), "ContainerStatusUnknown");
  EXPECT_EQ(t.message(), "The container could not be located when the pod was terminated");
  pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"initContainers":[{"name":"i"}],
                      "containers":[{"name":"a"}]}})");
  actual_.containers.push_back(container("i", ContainerState::kExited, 1));
  s = build();
  EXPECT_EQ(s.phase(), "Failed");
  EXPECT_EQ(s.container_statuses()[0].state().waiting().reason(), "PodInitializing");
  actual_.containers[0].exit_code = 0;
  EXPECT_EQ(build().container_statuses()[0].state().terminated().exit_code(), 137);
  actual_.containers.push_back(container("a", ContainerState::kExited, 0));
  s = build();
  EXPECT_EQ(s.phase(), "Succeeded");
}

TEST_F(StatusTest, EveryConditionTellsItsGeneration) {
  pod_ = pod_from(R"({"metadata":{"name":"p","generation":2},"spec":{"containers":[{"name":"a"}]},
    "status":{"conditions":[{"type":"PodScheduled","status":"True",
      "lastTransitionTime":"2020-01-01T00:00:00Z"}]}})");
  auto s = build();
  EXPECT_EQ(s.observed_generation(), 2);
  EXPECT_EQ(s.conditions().size(), 5u);
  for (auto c : s.conditions()) {
    EXPECT_EQ(c.observed_generation(), 2) << c.type();
    if (c.type() == "PodScheduled") {
      EXPECT_EQ(c.last_transition_time(), "2020-01-01T00:00:00Z");
    }
  }
}

TEST_F(StatusTest, EphemeralContainers) {
  pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}],
      "ephemeralContainers":[{"name":"e","image":"i"},{"name":"f","image":"i"}]}})");
  actual_.containers.push_back(container("a", ContainerState::kRunning));
  actual_.containers.push_back(container("e", ContainerState::kExited, 3));
  in_.started = in_.ready = {"a0"};
  auto s = build();
  EXPECT_EQ(s.phase(), "Running");
  ASSERT_EQ(s.ephemeral_container_statuses().size(), 2u);
  EXPECT_EQ(s.ephemeral_container_statuses()[0].state().terminated().exit_code(), 3);
  EXPECT_EQ(s.ephemeral_container_statuses()[1].state().waiting().reason(), "ContainerCreating");
  EXPECT_FALSE(s.ephemeral_container_statuses()[0].ready());
  EXPECT_EQ(condition(s, "Ready"), "True  ");
}

TEST_F(StatusTest, PhasesByRulesOfContainers) {
  pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"restartPolicy":"Never","containers":[
      {"name":"a","restartPolicy":"Never","restartPolicyRules":[
        {"action":"Restart","exitCodes":{"operator":"In","values":[42]}}]}]}})");
  actual_.containers.push_back(container("a", ContainerState::kExited, 42));
  EXPECT_EQ(build().phase(), "Running");
  actual_.containers[0].exit_code = 1;
  EXPECT_EQ(build().phase(), "Failed");
  actual_.containers[0].exit_code = 0;
  EXPECT_EQ(build().phase(), "Succeeded");
}

// What others write into the conditions meanwhile is not overwritten; what went out of date goes.
TEST_F(StatusTest, ThePatchNamesOnlyItsOwnConditions) {
  pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}]},
    "status":{"conditions":[{"type":"DisruptionTarget","status":"False"}]}})");
  actual_.containers.push_back(container("a", ContainerState::kRunning));
  in_.started = in_.ready = {"a0"};
  build();
  Document patch = status_patch(*doc_, Value::null());
  const Value& status = patch.root["status"];
  bool ready = false;
  for (const Value& c : status["conditions"].items()) {
    EXPECT_NE(c["type"].as_string(), "DisruptionTarget");
    if (c["type"].as_string() != "Ready") continue;
    ready = true;
    ASSERT_NE(c.find("reason"), nullptr);
    EXPECT_TRUE(c["reason"].is_null());
  }
  EXPECT_TRUE(ready);
  EXPECT_EQ(status["hostIPs"].items().back()["$patch"].as_string(), "replace");
  EXPECT_EQ(doc_->root["status"]["hostIPs"].size(), 1u);  // the tree itself is as it was
}

TEST_F(StatusTest, InitContainers) {
  pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"initContainers":[{"name":"i"}],
                      "containers":[{"name":"a"}]}})");
  actual_.containers.push_back(container("i", ContainerState::kRunning));
  auto s = build();
  EXPECT_EQ(s.phase(), "Pending");
  EXPECT_EQ(condition(s, "Initialized"),
            "False ContainersNotInitialized containers with incomplete status: [i]");
  EXPECT_EQ(s.container_statuses()[0].state().waiting().reason(), "PodInitializing");
}

// Of every container but an ephemeral one its status tells what it was given, resized or not.
TEST_F(StatusTest, ResourcesOfEveryContainer) {
  pod_ = pod_from(R"({"metadata":{"name":"p","uid":"u"},"spec":{
      "initContainers":[
        {"name":"once","image":"x:1","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1"}}},
        {"name":"side","image":"x:1","restartPolicy":"Always","resources":{"requests":{"memory":"1Mi"}}},
        {"name":"bare","image":"x:1"}],
      "containers":[{"name":"a","image":"x:1","resources":{"requests":{"cpu":"3"}}}]}})");
  actual_.containers = {container("once", ContainerState::kRunning)};
  Allocation allocation = Allocation::wanted(*pod_);
  in_.allocation = &allocation;
  auto s = build();
  std::string got;
  for (auto list : {s.init_container_statuses(), s.container_statuses()}) {
    for (auto c : list) {
      got += std::string(c.name()) + " " + to_json(c.value()["resources"]) + " " +
             to_json(c.value()["allocatedResources"]) + "\n";
    }
  }
  EXPECT_EQ(got,
            "once {\"limits\":{\"cpu\":\"2\"},\"requests\":{\"cpu\":\"1\"}} {\"cpu\":\"1\"}\n"
            "side {\"requests\":{\"memory\":\"1Mi\"}} {\"memory\":\"1Mi\"}\n"
            "bare {} null\n"
            "a {\"requests\":{\"cpu\":\"3\"}} {\"cpu\":\"3\"}\n");
}

TEST_F(StatusTest, TransitionTimesAndForeignConditionsStay) {
  pod_ = pod_from(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}]},
    "status":{"conditions":[
      {"type":"Ready","status":"False","lastTransitionTime":"2020-01-01T00:00:00Z"},
      {"type":"example.com/x","status":"True","lastTransitionTime":"2020-01-01T00:00:00Z"}]}})");
  auto s = build();
  for (auto c : s.conditions())
    if (c.type() == "Ready") {
      EXPECT_EQ(c.last_transition_time(), "2020-01-01T00:00:00Z");
    }
  EXPECT_EQ(condition(s, "example.com/x"), "True  ");
}

TEST(StatusReflected, WhatTheApiShowsBesides) {
  struct Row {
    const char *ours, *shown;
    bool same;
  };
  const Row kRows[] = {
      {R"({"phase":"Running"})", R"({"phase":"Running","nominatedNodeName":"n"})", true},
      {R"({"phase":"Running"})", R"({"phase":"Failed"})", false},
      {R"({"phase":"Running","message":null,"resources":{}})", R"({"phase":"Running"})", true},
      {R"({"conditions":[{"type":"Ready","status":"True"}]})",
       R"({"conditions":[{"type":"x/mine","status":"False"},{"type":"Ready","status":"True",
          "lastTransitionTime":"2026-01-01T00:00:00Z"}]})",
       true},
      {R"({"conditions":[{"type":"Ready","status":"True"}]})",
       R"({"conditions":[{"type":"Ready","status":"False"}]})", false},
      {R"({"conditions":[{"type":"Ready","status":"True"}]})", R"({})", false},
      {R"({"conditions":[{"type":"x/mine","status":"True"}]})", R"({})", true},  // not ours to say
      {R"({"containerStatuses":[{"name":"a","ready":true}]})",
       R"({"containerStatuses":[{"name":"a","ready":false}]})", false},
      {R"({"podIPs":[{"ip":"10.0.0.1"}]})", R"({"podIPs":[{"ip":"10.0.0.1"},{"ip":"fd::1"}]})",
       false},
  };
  for (const Row& row : kRows) {
    auto ours = parse_json(row.ours), shown = parse_json(row.shown);
    ASSERT_TRUE(ours.ok() && shown.ok()) << row.ours;
    EXPECT_EQ(is_reflected(ours->root, shown->root), row.same) << row.ours << " " << row.shown;
  }
}

}  // namespace
}  // namespace keles::node
