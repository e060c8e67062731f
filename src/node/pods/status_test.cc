#include "node/pods/status.h"

#include <gtest/gtest.h>

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
    in_.host_ip = "172.18.0.3";
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
  actual_.sandboxes.push_back(sandbox);
  actual_.containers.push_back(container("a", ContainerState::kRunning));
  in_.started = in_.ready = {"a0"};
  auto s = build();
  EXPECT_EQ(s.phase(), "Running");
  EXPECT_EQ(s.pod_ip(), "10.244.1.2");
  EXPECT_EQ(s.pod_ips()[0].ip(), "10.244.1.2");
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

}  // namespace
}  // namespace keles::node
