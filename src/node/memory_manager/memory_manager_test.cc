#include "node/memory_manager/memory_manager.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/run_task.h"
#include "base/sim_loop.h"
#include "node/testing.h"
#include "node/topology/fake_machine.h"

namespace keles::node {
namespace {

constexpr uint64_t kGiB = 1u << 30;

// The text and its checksum are upstream's kubelet's.
TEST(MemoryState, ReadsWhatUpstreamWrote) {
  const std::string text =
      R"({"policyName":"static","machineState":{"0":{"numberOfAssignments":0,"memoryMap":{"memory":)"
      R"({"total":2048,"systemReserved":512,"allocatable":1536,"reserved":512,"free":1024}},)"
      R"("cells":[]}},"entries":{"pod":{"container1":[{"numaAffinity":[0],"type":"memory",)"
      R"("size":512}]}},"checksum":4215593881})";
  auto state = MemoryState::parse(text, "static");
  ASSERT_TRUE(state.ok()) << state.status().message();
  EXPECT_EQ(state->text(), text);
  EXPECT_EQ(*state->of("pod", "container1"), (std::vector<MemoryBlock>{{{0}, "memory", 512}}));
  std::string other = text;
  other.replace(other.find("4215593881"), 10, "1337");
  EXPECT_EQ(MemoryState::parse(other, "static").status().message(), "checkpoint is corrupted");
  EXPECT_FALSE(MemoryState::parse(text, "Static").ok());
}

class StaticMemory : public testing::Test {
 protected:
  StaticMemory() {
    char name[] = "/tmp/keles-memory-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~StaticMemory() override { std::filesystem::remove_all(directory_); }

  // Nodes of 4 GiB, of which 1 GiB is kept; a GiB of huge pages on node 0.
  Status start(int nodes, const char* policy = "none", uint64_t kept = kGiB) {
    machine_ = machine_of({.cores = 4, .nodes = nodes, .sockets = nodes, .node_bytes = 4 * kGiB});
    machine_.numa[0].huge_pages[2u << 20] = 512;
    TopologySettings t;
    t.policy = policy;
    auto topology = TopologyManager::make(t, machine_);
    if (!topology.ok()) return topology.status();
    topology_ = std::move(*topology);
    MemoryManagerSettings s;
    s.policy = "Static";
    for (int n = 0; n < nodes; ++n) s.reserved[n]["memory"] = kGiB;
    s.node_reserved["memory"] =
        Quantity::from_int(static_cast<int64_t>(kept * static_cast<uint64_t>(nodes)));
    auto made = MemoryManager::make(s, &machine_, &topology_);
    if (!made.ok()) return made.status();
    manager_ = std::move(*made);
    topology_.add(manager_.get());
    manager_->use([this] { return &living_; });
    return manager_->start(directory_);
  }
  // Of containers a, b ...: "1Gi" of memory; "i" in front: an init container.
  std::string admit(const std::string& uid, std::vector<std::string> asked,
                    const std::string& more = "") {
    std::string init, main;
    char name = 'a';
    for (std::string one : asked) {
      const bool starting = one[0] == 'i';
      if (starting) one.erase(0, 1);
      const std::string amounts = R"({"cpu":"100m","memory":")" + one + "\"" + more + "}";
      std::string& list = starting ? init : main;
      list += (list.empty() ? "" : ",") + (std::string(R"({"name":")") + name) +
              R"(","resources":{"requests":)" + amounts + R"(,"limits":)" + amounts + "}}";
      living_[uid].insert(std::string(1, name++));
    }
    auto pod = pod_from(R"({"metadata":{"name":"p","uid":")" + uid + R"("},"spec":{)" +
                        R"("initContainers":[)" + init + R"(],"containers":[)" + main + "]}}");
    Refused why = run_task(loop_, topology_.admit(Context::root(loop_), pod));
    return why ? why->reason + ": " + why->message : "";
  }
  uint64_t free(int node) { return manager_->state().nodes().at(node).tables.at("memory").free; }

  SimLoop loop_{1};
  std::string directory_;
  Topology machine_;
  TopologyManager topology_;
  std::unique_ptr<MemoryManager> manager_;
  LivingContainers living_;
};

TEST_F(StaticMemory, OnAsFewNodesAsWillDo) {
  ASSERT_TRUE(start(2).ok());
  EXPECT_EQ(free(0), 2 * kGiB);  // huge pages are no memory
  EXPECT_EQ(free(1), 3 * kGiB);
  EXPECT_EQ(admit("u1", {"1Gi"}), "");
  EXPECT_EQ(manager_->nodes_of("u1", "a"), "0");
  EXPECT_EQ(admit("u2", {"2Gi"}), "");
  EXPECT_EQ(manager_->nodes_of("u2", "a"), "1");
  // Both nodes are used one by one: they cannot be a group.
  EXPECT_EQ(admit("u3", {"2Gi"}),
            "UnexpectedAdmissionError: Allocate failed due to [memorymanager] failed to get the "
            "default NUMA affinity, no NUMA nodes with enough memory is available, which is "
            "unexpected");
  living_.clear();
  manager_->release_stale();
  EXPECT_EQ(admit("u4", {"4Gi"}), "");
  EXPECT_EQ(manager_->nodes_of("u4", "a"), "0,1");
  EXPECT_EQ(free(0) + free(1), kGiB);
}

TEST_F(StaticMemory, HugePagesLieWhereTheyAre) {
  ASSERT_TRUE(start(2).ok());
  EXPECT_EQ(admit("u1", {"64Mi"}, R"(,"hugepages-2Mi":"512Mi")"), "");
  EXPECT_EQ(manager_->nodes_of("u1", "a"), "0");
  EXPECT_EQ(manager_->blocks_of("u1", "a").size(), 2u);
  EXPECT_EQ(manager_->allocatable().size(), 3u);
}

TEST_F(StaticMemory, InitContainersMemoryIsUsedAgain) {
  ASSERT_TRUE(start(1).ok());
  EXPECT_EQ(admit("u", {"i2Gi", "1Gi"}), "");
  EXPECT_EQ(free(0), 0u);
  EXPECT_EQ(manager_->blocks_of("u", "a")[0].bytes, kGiB);  // the other GiB is b's by now
  ASSERT_TRUE(start(1).ok());
  living_.clear();
  manager_->release_stale();
  EXPECT_EQ(free(0), 2 * kGiB);
}

TEST_F(StaticMemory, GoesOnFromItsFileOrSaysWhyNot) {
  ASSERT_TRUE(start(2).ok());
  EXPECT_EQ(admit("u", {"1Gi"}), "");
  ASSERT_TRUE(start(2).ok());
  EXPECT_EQ(manager_->nodes_of("u", "a"), "0");
  EXPECT_EQ(start(1).message(),
            "[memorymanager] the expected machine state is different from the real one");
  EXPECT_EQ(start(2, "none", 2 * kGiB).message(),
            "the total amount \"2Gi\" of type \"memory\" is not equal to the value \"4Gi\" "
            "determined by Node Allocatable feature");
}

// A pod is refused when its memory cannot be written down, and nothing is as if it had it.
TEST_F(StaticMemory, IsNotGivenWithoutTheFile) {
  ASSERT_TRUE(start(2).ok());
  EXPECT_EQ(admit("u1", {"i1Gi", "1Gi"}), "");
  const std::string before = manager_->state().text();
  std::filesystem::rename(directory_, directory_ + "-away");
  EXPECT_TRUE(admit("u2", {"1Gi"}).starts_with("UnexpectedAdmissionError: ")) << before;
  EXPECT_EQ(manager_->state().text(), before);
  std::filesystem::rename(directory_ + "-away", directory_);
  EXPECT_EQ(admit("u2", {"1Gi"}), "");
  ASSERT_TRUE(start(2).ok());
  EXPECT_EQ(manager_->blocks_of("u2", "a").size(), 1u);
}

TEST_F(StaticMemory, OneNodeOrNotAtAll) {
  ASSERT_TRUE(start(2, "single-numa-node").ok());
  EXPECT_EQ(admit("u1", {"4Gi"}),
            "TopologyAffinityError: Resources cannot be allocated with Topology locality");
  EXPECT_EQ(admit("u2", {"3Gi"}), "");
  EXPECT_EQ(manager_->nodes_of("u2", "a"), "1");
}

}  // namespace
}  // namespace keles::node
