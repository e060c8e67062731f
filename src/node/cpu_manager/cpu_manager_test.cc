#include "node/cpu_manager/cpu_manager.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "node/testing.h"
#include "node/topology/fake_machine.h"

namespace keles::node {
namespace {

struct TakeRow {
  MachineShape machine;
  const char* available;
  int count;
  const char* want;  // "!" and the error
  TakeOptions options;
};

// What is held by upstream's own tables.
TEST(TakeCpus, WholeDomainsFirst) {
  const TakeRow rows[] = {
      {kOneSocket, "0,2,4,6", 5,
       "!not enough cpus available to satisfy request: requested=5, available=4"},
      {kOneSocket, "0-7", 0, ""},
      {kOneSocket, "0-7", 1, "0"},
      {kOneSocket, "1,3,5,6,7", 1, "6"},
      {kOneSocket, "0-7", 2, "0,4"},
      {kOneSocket, "0-7", 8, "0-7"},
      {kOneSocket, "0-3,6", 2, "2,6"},
      {kTwoSockets, "0-11", 6, "0,2,4,6,8,10"},
      {kFourNodes, "0-79", 40, "0-19,40-59"},
      {kFourNodes, "0-79", 20, "0-9,40-49"},
      {kFourNodes, "10-39,50-79", 20, "10-19,50-59"},
      {kFourNodes, "0-79", 60, "0-29,40-69"},
      {kFourNodes, "1-39,41-79", 60, "10-39,50-79"}};
  for (const TakeRow& row : rows) {
    const Topology m = machine_of(row.machine);
    for (bool spread : {false, true}) {  // one by one is the same, where all fits into it
      TakeOptions o = row.options;
      if (spread && *row.want != '!') continue;
      o.spread_numa = spread;
      auto got = take_cpus(m, cpus(row.available), row.count, o);
      const std::string text = got.ok() ? got->to_string() : "!" + got.status().message();
      EXPECT_EQ(text, row.want) << row.available << " " << row.count;
    }
  }
}

TEST(TakeCpus, SpreadOverNumaNodes) {
  TakeOptions o;
  o.spread_numa = true;
  TakeOptions cores = o;
  cores.group = 2;
  const TakeRow rows[] = {
      {kTwoSockets, "0-11", 8, "0-3,6-9", o},
      {kFourNodes, "0-79", 64, "0-7,10-17,20-27,30-37,40-47,50-57,60-67,70-77", o},
      {kFourNodes, "0-79", 48, "0-7,10-17,20-27,40-47,50-57,60-67", o},
      {kFourNodes, "1-29,32-39,41-69,72-79", 48, "1-8,10-17,20-27,41-48,50-57,60-67", o},
      {kFourNodes, "2-29,31-39,42-69,71-79", 48, "10-17,20-27,31-38,50-57,60-67,71-78", o},
      {kFourNodes, "0-2,10-12,20-22,30-32,40-41,50-51,60-61,70-71", 16,
       "0-1,10-11,20-21,30-31,40-41,50-51,60-61,70-71", o},
      // Whole cores, or as if it had not been asked for.
      {kFourNodes, "0-79", 48, "0-7,10-17,20-27,40-47,50-57,60-67", cores},
      {kOneSocket, "0-7", 3, "0-1,4", cores}};
  for (const TakeRow& row : rows) {
    auto got = take_cpus(machine_of(row.machine), cpus(row.available), row.count, row.options);
    EXPECT_EQ(got.ok() ? got->to_string() : got.status().message(), row.want) << row.available;
  }
}

TEST(TakeCpus, ByCacheAndAcrossCores) {
  TakeOptions cache;
  cache.by_cache = true;
  TakeOptions cores;
  cores.spread_cores = true;
  const MachineShape chiplets{.cores = 16, .threads = 2, .nodes = 1, .sockets = 1, .per_cache = 4};
  const TakeRow rows[] = {
      {chiplets, "0-31", 8, "0-3,16-19", cache},
      {chiplets, "1-31", 8, "4-7,20-23", cache},   // not the one that is broken up
      {chiplets, "0-31", 12, "0-5,16-21", cache},  // a whole one and half of another
      {chiplets, "0-31", 3, "0-1,16", cache},
      {kOneSocket, "0-7", 4, "0-3", cores},
      {kTwoSockets, "0-11", 4, "0,2,4,6", cores}};
  for (const TakeRow& row : rows) {
    auto got = take_cpus(machine_of(row.machine), cpus(row.available), row.count, row.options);
    EXPECT_EQ(got.ok() ? got->to_string() : got.status().message(), row.want)
        << row.available << " " << row.count;
  }
}

TEST(CpuOptions, AreReadByStage) {
  EXPECT_TRUE(parse_cpu_options({{"full-pcpus-only", "true"}})->full_cores);
  EXPECT_TRUE(parse_cpu_options({{"distribute-cpus-across-numa", "1"}})->take.spread_numa);
  struct Row {
    std::map<std::string, std::string> options;
    const char* error;
  };
  const Row rows[] = {
      {{{"x", "true"}}, "unknown CPU Manager Policy option: \"x\""},
      {{{"align-by-socket", "true"}},
       "CPU Manager Policy Alpha-level Options not enabled, but option \"align-by-socket\" "
       "provided"},
      {{{"full-pcpus-only", "yes"}},
       "bad value for option \"full-pcpus-only\": strconv.ParseBool: parsing \"yes\": invalid "
       "syntax"},
      {{{"prefer-align-cpus-by-uncorecache", "true"}, {"distribute-cpus-across-numa", "true"}},
       "static policy options prefer-align-cpus-by-uncorecache and distribute-cpus-across-numa can "
       "not be used at the same time"}};
  for (const Row& row : rows)
    EXPECT_EQ(parse_cpu_options(row.options).status().message(), row.error);
}

// --- the file ---

// Texts and checksums are those of upstream's kubelet.
TEST(CpuState, ReadsWhatUpstreamWrote) {
  auto shared = CpuState::parse(
      R"({"policyName":"none","defaultCPUSet":"4-6","entries":{},"checksum":354655845})", "none");
  ASSERT_TRUE(shared.ok()) << shared.status().message();
  EXPECT_EQ(shared->shared().to_string(), "4-6");
  const std::string text =
      R"({"policyName":"none","defaultCpuSet":"1-3","entries":{"pod":{"container1":"4-6",)"
      R"("container2":"1-3"}},"checksum":3610638499})";
  auto given = CpuState::parse(text, "none");
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->of("pod", "container1")->to_string(), "4-6");
  EXPECT_EQ(given->text(), text);
}

TEST(CpuState, RefusesWhatItCannotGoOnFrom) {
  struct Row {
    const char *text, *error;
  };
  const Row rows[] = {
      {R"({"policyName":"none","defaultCpuSet":"4-6","checksum":1337})", "checkpoint is corrupted"},
      {R"({"policyName":"other","defaultCpuSet":"1-3","checksum":0})",
       "configured policy \"none\" differs from state checkpoint policy \"other\""},
      {"{", "unexpected end of JSON input"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(CpuState::parse(row.text, "none").status().message(), row.error);
  EXPECT_FALSE(
      CpuState::parse(R"({"policyName":"none","defaultCpuSet":"1.3","checksum":0})", "none").ok());
}

// --- the policy ---

class StaticCpus : public testing::Test {
 protected:
  StaticCpus() {
    char name[] = "/tmp/keles-cpus-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~StaticCpus() override { std::filesystem::remove_all(directory_); }

  Status start(const MachineShape& shape, std::map<std::string, std::string> options = {},
               const char* reserved = "0", const char* policy = "none") {
    machine_ = machine_of(shape);
    TopologySettings t;
    t.policy = policy;
    auto topology = TopologyManager::make(t, machine_);
    if (!topology.ok()) return topology.status();
    topology_ = std::move(*topology);
    CpuManagerSettings s;
    s.policy = "static";
    s.options = std::move(options);
    s.reserved = cpus(reserved);
    s.reserved_milli = 1000 * s.reserved.size();
    auto made = CpuManager::make(s, &machine_, &topology_, true);
    if (!made.ok()) return made.status();
    manager_ = std::move(*made);
    topology_.add(manager_.get());
    manager_->use([this] { return &living_; });
    return manager_->start(directory_);
  }
  // "2" or "1500m": what containers a, b ... ask for; with "i" in front an init container, with "s"
  // a sidecar.
  std::string admit(const std::string& uid, std::vector<std::string> asked) {
    std::string init, main;
    char name = 'a';
    for (std::string one : asked) {
      const bool sidecar = one[0] == 's', starting = one[0] == 'i' || sidecar;
      if (starting) one.erase(0, 1);
      const std::string amounts = R"({"cpu":")" + one + R"(","memory":"1Mi"})";
      std::string& list = starting ? init : main;
      list += (list.empty() ? "" : ",") + (std::string(R"({"name":")") + name) + "\"" +
              (sidecar ? R"(,"restartPolicy":"Always")" : "") + R"(,"resources":{"requests":)" +
              amounts + R"(,"limits":)" + amounts + "}}";
      living_[uid].insert(std::string(1, name++));
    }
    auto pod = pod_from(R"({"metadata":{"name":"p","uid":")" + uid + R"("},"spec":{)" +
                        R"("initContainers":[)" + init + R"(],"containers":[)" + main + "]}}");
    Refused why = run_task(loop_, topology_.admit(Context::root(loop_), pod));
    return why ? why->reason + ": " + why->message : "";
  }
  std::string of(const char* uid, const char* container) {
    const CpuSet* own = manager_->exclusive(uid, container);
    return own ? own->to_string() : "shared " + manager_->cpus_of(uid, container).to_string();
  }

  SimLoop loop_{1};
  std::string directory_;
  Topology machine_;
  TopologyManager topology_;
  std::unique_ptr<CpuManager> manager_;
  LivingContainers living_;
};

TEST_F(StaticCpus, WholeOnesOfGuaranteedPods) {
  ASSERT_TRUE(start(kOneSocket).ok());
  EXPECT_EQ(manager_->allocatable().to_string(), "1-7");
  EXPECT_EQ(admit("u1", {"2"}), "");
  EXPECT_EQ(of("u1", "a"), "1,5");
  EXPECT_EQ(admit("u2", {"1500m", "1"}), "");
  EXPECT_EQ(of("u2", "a"), "shared 0,2-3,6-7");
  EXPECT_EQ(of("u2", "b"), "4");  // beside the reserved one: what is broken up is used first
  EXPECT_EQ(admit("u3", {"5"}),
            "UnexpectedAdmissionError: Allocate failed due to not enough cpus available to satisfy "
            "request: requested=5, available=4, which is unexpected");
  living_.erase("u1");
  manager_->release_stale();
  EXPECT_EQ(manager_->state().shared().to_string(), "0-3,5-7");
}

TEST_F(StaticCpus, InitContainersCpusAreUsedAgain) {
  ASSERT_TRUE(start(kOneSocket).ok());
  EXPECT_EQ(admit("u", {"i4", "s1", "2", "1"}), "");
  EXPECT_EQ(of("u", "a"), "1-2,5-6");
  EXPECT_EQ(of("u", "b"), "4");
  EXPECT_EQ(of("u", "c"), "1,5");
  EXPECT_EQ(of("u", "d"), "2");
  living_.erase("u");
  manager_->release_stale();
  EXPECT_EQ(manager_->state().shared().to_string(), "0-7");
}

TEST_F(StaticCpus, FullCoresOnly) {
  ASSERT_TRUE(start(kOneSocket, {{"full-pcpus-only", "true"}}, "0,4").ok());
  EXPECT_EQ(admit("u1", {"3"}),
            "SMTAlignmentError: SMT Alignment Error: requested 3 cpus not multiple cpus per core = "
            "2");
  EXPECT_EQ(admit("u2", {"4"}), "");
  EXPECT_EQ(admit("u3", {"4"}),
            "SMTAlignmentError: SMT Alignment Error: not enough free physical CPUs: available "
            "physical CPUs = 2, requested CPUs = 4, CPUs per core = 2");
}

TEST_F(StaticCpus, StrictReservationKeepsThemFromAll) {
  ASSERT_TRUE(start(kOneSocket, {{"strict-cpu-reservation", "true"}}, "0,4").ok());
  EXPECT_EQ(manager_->state().shared().to_string(), "1-3,5-7");
  ASSERT_TRUE(start(kOneSocket, {{"strict-cpu-reservation", "true"}}, "0,4").ok());
  Status s = start(kOneSocket, {}, "0,4");
  EXPECT_EQ(s.message(),
            "not all reserved cpus: \"0,4\" are present in defaultCpuSet: \"1-3,5-7\"");
}

TEST_F(StaticCpus, GoesOnFromItsFile) {
  ASSERT_TRUE(start(kOneSocket).ok());
  EXPECT_EQ(admit("u1", {"2"}), "");
  ASSERT_TRUE(start(kOneSocket).ok());
  EXPECT_EQ(of("u1", "a"), "1,5");
  EXPECT_EQ(admit("u1", {"2"}), "");  // it has them
  EXPECT_EQ(manager_->state().shared().to_string(), "0,2-4,6-7");
  Status s = start(kTwoSockets);
  EXPECT_EQ(s.message(),
            "current set of available CPUs \"0-11\" doesn't match with CPUs in state \"0-7\"");
  CpuManagerSettings none;
  auto other = CpuManager::make(none, &machine_, &topology_);
  EXPECT_EQ(
      (*other)->start(directory_).message(),
      "could not restore state from checkpoint: configured policy \"none\" differs from state "
      "checkpoint policy \"static\", please drain this node and delete the CPU manager "
      "checkpoint file \"" +
          directory_ + "/cpu_manager_state\" before restarting Kubelet");
}

// A pod is refused when its CPUs cannot be written down, and nothing is as if it had them.
TEST_F(StaticCpus, AreNotGivenWithoutTheFile) {
  ASSERT_TRUE(start(kOneSocket).ok());
  EXPECT_EQ(admit("u1", {"2"}), "");
  const std::string before = manager_->state().text();
  std::filesystem::rename(directory_, directory_ + "-away");
  EXPECT_TRUE(admit("u2", {"2"}).starts_with("UnexpectedAdmissionError: ")) << before;
  EXPECT_EQ(manager_->state().text(), before);
  living_.clear();
  manager_->release_stale();  // nor taken back
  EXPECT_EQ(manager_->state().text(), before);
  std::filesystem::rename(directory_ + "-away", directory_);
  manager_->release_stale();
  EXPECT_EQ(manager_->state().shared().to_string(), "0-7");
  EXPECT_EQ(admit("u2", {"2"}), "");
  EXPECT_EQ(of("u2", "a"), "1,5");
  ASSERT_TRUE(start(kOneSocket).ok());
  EXPECT_EQ(of("u2", "a"), "1,5");
}

TEST_F(StaticCpus, SettingsThatDoNotFit) {
  EXPECT_EQ(start(kOneSocket, {}, "").message(),
            "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be "
            "greater than zero");
  EXPECT_TRUE(start(kTwoSockets, {{"align-by-socket", "true"}}).ok());
  EXPECT_FALSE(start(kTwoSockets, {{"align-by-socket", "true"}}, "0", "single-numa-node").ok());
}

TEST_F(StaticCpus, OnOneNumaNodeOrNotAtAll) {
  ASSERT_TRUE(start(kTwoSockets, {}, "0", "single-numa-node").ok());
  EXPECT_EQ(admit("u1", {"6"}), "");
  EXPECT_EQ(of("u1", "a"), "1,3,5,7,9,11");  // of the other five are free
  EXPECT_EQ(admit("u2", {"4"}), "");
  EXPECT_EQ(admit("u3", {"2"}),
            "TopologyAffinityError: Resources cannot be allocated with Topology locality");
}

TEST_F(StaticCpus, PodsWithResourcesOfTheirOwnShare) {
  ASSERT_TRUE(start(kOneSocket).ok());
  auto pod = pod_from(R"({"metadata":{"name":"p","uid":"u"},"spec":{"resources":{
      "requests":{"cpu":"2","memory":"1Gi"},"limits":{"cpu":"2","memory":"1Gi"}},
      "containers":[{"name":"a","resources":{"requests":{"cpu":"2","memory":"1Gi"},
                                             "limits":{"cpu":"2","memory":"1Gi"}}}]}})");
  EXPECT_FALSE(run_task(loop_, topology_.admit(Context::root(loop_), pod)));
  EXPECT_EQ(manager_->exclusive("u", "a"), nullptr);
}

}  // namespace
}  // namespace keles::node
