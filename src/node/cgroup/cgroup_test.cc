#include "node/cgroup/cgroup.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "node/testing.h"

namespace keles::node {
namespace {

class CgroupTest : public testing::Test {
 protected:
  std::string text(const std::string& path) {
    auto r = read_file(root_ + path);
    return r.ok() ? *r : "<" + r.status().message() + ">";
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  const std::string root_ = directory_.path();
};

const CgroupLimits kLimits{.cpu_shares = 512,
                           .cpu_quota_us = 50'000,
                           .memory_limit_bytes = 64 << 20,
                           .pids_limit = 99,
                           .huge_pages = {{"2MB", 4 << 20}}};

TEST_F(CgroupTest, VersionOneHasOneTreeForEachController) {
  for (const char* c : {"cpu", "memory", "pids", "cpuset", "hugetlb"})
    ASSERT_TRUE(make_directories(root_ + "/" + c).ok());
  PodCgroups pods(make_cgroup_driver(root_), "/keles/c/n");
  ASSERT_TRUE(pods.start({.cpu_shares = 4096, .memory_limit_bytes = 1 << 30}).ok());
  EXPECT_EQ(text("/cpu/keles/c/n/kubepods/cpu.shares"), "4096");
  EXPECT_EQ(text("/memory/keles/c/n/kubepods/memory.limit_in_bytes"), "1073741824");
  EXPECT_EQ(text("/cpu/keles/c/n/kubepods/burstable/cpu.shares"), "2");
  ASSERT_TRUE(pods.set_burstable_requests(1500).ok());
  EXPECT_EQ(text("/cpu/keles/c/n/kubepods/burstable/cpu.shares"), "1536");
  ASSERT_TRUE(pods.create_pod(Qos::kBurstable, "u-1", kLimits).ok());
  std::string pod = "/keles/c/n/kubepods/burstable/podu-1";
  EXPECT_EQ(pods.parent_for_runtime(Qos::kBurstable, "u-1"), pod);
  EXPECT_EQ(text("/cpu" + pod + "/cpu.shares"), "512");
  EXPECT_EQ(text("/cpu" + pod + "/cpu.cfs_quota_us"), "50000");
  EXPECT_EQ(text("/cpu" + pod + "/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(text("/memory" + pod + "/memory.limit_in_bytes"), "67108864");
  EXPECT_EQ(text("/pids" + pod + "/pids.max"), "99");
  EXPECT_EQ(text("/hugetlb" + pod + "/hugetlb.2MB.limit_in_bytes"), "4194304");
  EXPECT_EQ(pods.pod_uids(), std::vector<std::string>{"u-1"});
  ASSERT_TRUE(pods.remove_pod("u-1").ok());
  EXPECT_FALSE(path_exists(root_ + "/cpu" + pod));
  EXPECT_FALSE(path_exists(root_ + "/memory" + pod));
  EXPECT_TRUE(path_exists(root_ + "/cpu/keles/c/n/kubepods/burstable"));
}

TEST_F(CgroupTest, VersionTwoEnablesControllersOnTheWayDown) {
  ASSERT_TRUE(write_file(root_ + "/cgroup.controllers", "cpu memory pids\n").ok());
  PodCgroups pods(make_cgroup_driver(root_), "");
  ASSERT_TRUE(pods.create_pod(Qos::kGuaranteed, "u-2", kLimits).ok());
  EXPECT_EQ(text("/cgroup.subtree_control"), "+cpu +memory +pids");
  EXPECT_EQ(text("/kubepods/podu-2/cpu.weight"), "20");
  EXPECT_EQ(text("/kubepods/podu-2/cpu.max"), "50000 100000");
  EXPECT_EQ(text("/kubepods/podu-2/memory.max"), "67108864");
}

TEST_F(CgroupTest, SystemdSpellsSlices) {
  PodCgroups pods(make_cgroup_v2(root_), "", true);
  EXPECT_EQ(pods.pod_path(Qos::kBestEffort, "a-b"),
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda_b.slice");
  EXPECT_EQ(pods.parent_for_runtime(Qos::kGuaranteed, "a-b"), "kubepods-poda_b.slice");
}

TEST(Resources, Arithmetic) {
  EXPECT_EQ(shares_of_milli(0), 2);
  EXPECT_EQ(shares_of_milli(250), 256);
  EXPECT_EQ(quota_of_milli(5), 1000);
  EXPECT_EQ(quota_of_milli(1500), 150'000);
  EXPECT_EQ(weight_of_shares(1024), 39);
  EXPECT_EQ(oom_score_adj(Qos::kGuaranteed, 1, 2), -997);
  EXPECT_EQ(oom_score_adj(Qos::kBestEffort, 0, 2), 1000);
  EXPECT_EQ(oom_score_adj(Qos::kBurstable, 4'000'000'000, 8'000'000'000), 500);
  EXPECT_EQ(oom_score_adj(Qos::kBurstable, 0, 8'000'000'000), 999);
}

TEST(Resources, QualityOfService) {
  auto qos = [](const char* resources) {
    Ref<api::core_v1::Pod> pod = pod_from(std::string(R"({"spec":{"containers":[{"name":"a",)") +
                                          R"("resources":)" + resources + "}]}}");
    return qos_of(*pod);
  };
  EXPECT_EQ(qos("{}"), Qos::kBestEffort);
  EXPECT_EQ(qos(R"({"requests":{"cpu":"1"}})"), Qos::kBurstable);
  EXPECT_EQ(qos(R"({"limits":{"cpu":"1","memory":"1Gi"}})"), Qos::kGuaranteed);
  EXPECT_EQ(qos(R"({"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}})"),
            Qos::kBurstable);
}

TEST(PodResources, OfThePodAsAWhole) {
  auto whole = pod_from(R"({"spec":{"resources":{"limits":{"cpu":"1","memory":"64Mi"}},
      "containers":[{"name":"a"},{"name":"b","resources":{"requests":{"cpu":"100m"}}}]}})");
  EXPECT_EQ(qos_of(*whole), Qos::kGuaranteed);
  CgroupLimits l = pod_limits(*whole);
  EXPECT_EQ(l.cpu_shares, 1024);
  EXPECT_EQ(l.cpu_quota_us, 100'000);
  EXPECT_EQ(l.memory_limit_bytes, 64 << 20);
  auto some = pod_from(R"({"spec":{"resources":{"requests":{"cpu":"2"}},
      "containers":[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Mi"}}}]}})");
  EXPECT_EQ(qos_of(*some), Qos::kBurstable);
  EXPECT_EQ(pod_limits(*some).cpu_shares, 2048);
}

TEST(PodResources, OverheadComesOnTop) {
  auto pod = pod_from(R"({"spec":{"overhead":{"cpu":"500m","memory":"1Mi"},
      "containers":[{"name":"a","resources":{"limits":{"cpu":"500m","memory":"1Mi"}}}]}})");
  CgroupLimits l = pod_limits(*pod);
  EXPECT_EQ(l.cpu_shares, 1024);
  EXPECT_EQ(l.cpu_quota_us, 100'000);
  EXPECT_EQ(l.memory_limit_bytes, 2 << 20);
}

}  // namespace
}  // namespace keles::node
