// Allocations of pods, and what a resize has to do.
#include "node/pods/resize.h"

#include <gtest/gtest.h>

#include "node/testing.h"

namespace keles::node {
namespace {

using api::core_v1::Pod;

std::string pod_json(const std::string& resources, const std::string& status = "",
                     const std::string& more = "") {
  return R"({"metadata":{"name":"p","namespace":"n","uid":"u"},"spec":{"containers":[
      {"name":"a","resources":)" +
         resources + R"(},{"name":"b"}])" + more + "}" +
         (status.empty() ? "" : ",\"status\":" + status) + "}";
}

TEST(Allocation, ComparesAmounts) {
  Ref<Pod> one = pod_from(pod_json(R"({"requests":{"cpu":"1"},"limits":{"memory":"1Gi"}})"));
  Ref<Pod> other =
      pod_from(pod_json(R"({"requests":{"cpu":"1000m"},"limits":{"memory":"1024Mi"}})"));
  Ref<Pod> less = pod_from(pod_json(R"({"requests":{"cpu":"900m"},"limits":{"memory":"1Gi"}})"));
  EXPECT_EQ(Allocation::wanted(*one), Allocation::wanted(*other));
  EXPECT_FALSE(Allocation::wanted(*one) == Allocation::wanted(*less));
  EXPECT_TRUE(Allocation::wanted(*one).asks_more_than(Allocation::wanted(*less)));
  EXPECT_FALSE(Allocation::wanted(*less).asks_more_than(Allocation::wanted(*one)));
}

TEST(Allocation, StandsInPlaceOfTheSpec) {
  Ref<Pod> before = pod_from(pod_json(
      R"({"requests":{"cpu":"1","memory":"1Gi","hugepages-2Mi":"2Mi"},"limits":{"cpu":"2"}})"));
  Ref<Pod> now = pod_from(pod_json(
      R"({"requests":{"cpu":"3","hugepages-2Mi":"2Mi"},"limits":{"cpu":"4","memory":"2Gi"}})",
      R"({"phase":"Running"})"));
  Allocation a = Allocation::wanted(*before);
  Ref<Pod> applied = a.applied_to(now);
  EXPECT_EQ(Allocation::wanted(*applied), a);
  EXPECT_EQ(applied->spec().containers()[0].resources().requests().get("hugepages-2Mi"), "2Mi");
  EXPECT_FALSE(applied->spec().containers()[0].resources().limits().contains("memory"));
  EXPECT_TRUE(applied->status().phase().empty());
  EXPECT_EQ(Allocation::wanted(*now).applied_to(now).document(), now.document());  // no copy
}

TEST(Allocation, AnAgentThatComesLaterReadsItOffTheStatus) {
  Ref<Pod> pod =
      pod_from(pod_json(R"({"requests":{"cpu":"3"},"limits":{"cpu":"4"}})",
                        R"({"containerStatuses":[{"name":"a","allocatedResources":{"cpu":"1"},
          "resources":{"requests":{"cpu":"2"},"limits":{"cpu":"2"}}},{"name":"b"}]})"));
  Allocation a = Allocation::reported(*pod);
  ASSERT_TRUE(a.container("a"));
  EXPECT_EQ(a.container("a")->at("requests.cpu"), "1");
  EXPECT_EQ(a.container("a")->at("limits.cpu"), "2");
  EXPECT_TRUE(a.container("b")->empty());
  EXPECT_EQ(Allocation::reported(*pod_from(pod_json(R"({"requests":{"cpu":"3"}})"))),
            Allocation::wanted(*pod_from(pod_json(R"({"requests":{"cpu":"3"}})"))));
}

TEST(Given, ThePodsLimitsStandForThoseThatAContainerHasNot) {
  ResourceTexts whole{{"limits.cpu", "2"}, {"limits.memory", "1Gi"}};
  EXPECT_EQ(given(whole, {}), (Given{0, 2000, 0, 1 << 30}));
  EXPECT_EQ(given(whole, {{"limits.cpu", "1"}, {"requests.memory", "1Mi"}}),
            (Given{1000, 1000, 1 << 20, 1 << 30}));
}

TEST(ResizeSteps, RunningContainersThatHaveSomethingElse) {
  Ref<Pod> pod = pod_from(R"({"metadata":{"name":"p"},"spec":{"containers":[
      {"name":"a","resources":{"limits":{"cpu":"1","memory":"2Mi"}}},
      {"name":"b","resources":{"limits":{"memory":"1Mi"}},"resizePolicy":[
          {"resourceName":"cpu","restartPolicy":"NotRequired"},
          {"resourceName":"memory","restartPolicy":"RestartContainer"}]},
      {"name":"c","resources":{"limits":{"cpu":"1"}}},
      {"name":"d","resources":{"limits":{"cpu":"1"}}}],
      "initContainers":[{"name":"s","restartPolicy":"Always","resources":{"limits":{"cpu":"3"}}},
          {"name":"i","resources":{"limits":{"cpu":"3"}}}]}})");
  PodRuntime actual;
  std::map<std::string, ResourceTexts> have;
  for (const char* name : {"a", "b", "c", "d", "s", "i"}) {
    cri::Container c;
    c.id = std::string("id-") + name;
    c.name = name;
    c.state =
        name == std::string("d") ? cri::ContainerState::kExited : cri::ContainerState::kRunning;
    actual.containers.push_back(c);
    have[c.id] = {{"limits.cpu", "1"}};
  }
  have["id-a"]["limits.memory"] = "1Mi";
  have["id-b"] = {{"limits.memory", "4Mi"}};
  std::string text;
  for (const ResizeStep& s : resize_steps(*pod, actual, have, {}))
    text += s.id + (s.restart ? " restart " : " ") + std::to_string(s.to.cpu_limit) + " " +
            std::to_string(s.to.memory_limit) + "\n";
  EXPECT_EQ(text, "id-b restart 0 1048576\nid-s 3000 0\nid-a 1000 2097152\n");
}

TEST(ResizeMessage, IsWhatUpstreamWrites) {
  Ref<Pod> pod =
      pod_from(pod_json(R"({"requests":{"memory":"1Mi","cpu":"1"},"limits":{"cpu":"2"}})"));
  EXPECT_EQ(
      resize_message("Pod resize started", *pod, 2),
      R"(Pod resize started: {"containers":[{"name":"a","resources":{"limits":{"cpu":"2"},)"
      R"("requests":{"cpu":"1","memory":"1Mi"}}},{"name":"b","resources":{}}],"generation":2})");
  EXPECT_TRUE(resize_message("Pod resize error", *pod, 2, "why")
                  .ends_with(R"(,"generation":2,"error":"why"})"));
}

}  // namespace
}  // namespace keles::node
