#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "node/testing.h"
#include "node/topology/checkpoint.h"
#include "node/topology/fake_machine.h"
#include "node/topology/topology_manager.h"

namespace keles::node {
namespace {

TEST(CpuSet, ReadsAndWritesTheKernelsLists) {
  struct Row {
    const char *text, *again;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"", ""}, {"0", "0"}, {"0-3,7", "0-3,7"}, {"7,1,2,0\n", "0-2,7"}, {"5-5", "5"}}) {
    auto set = CpuSet::parse(row.text);
    ASSERT_TRUE(set.ok()) << row.text;
    EXPECT_EQ(set->to_string(), row.again);
  }
  for (const char* wrong : {"a", "1-", "-1", "3-1", "1,", "1,,2", "9999999", "1 2"})
    EXPECT_FALSE(CpuSet::parse(wrong).ok()) << wrong;
}

class Sys {
 public:
  Sys() {
    char name[] = "/tmp/keles-sys-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~Sys() { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    const std::string at = root_ + "/devices/system/" + path;
    (void)make_directories(at.substr(0, at.rfind('/')));
    (void)write_file(at, text + "\n");
  }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

TEST(Machine, IsReadFromTheKernelsTree) {
  Sys sys;
  sys.put("cpu/online", "0-3");
  sys.put("node/online", "0-1");
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::string at = "cpu/cpu" + std::to_string(cpu);
    sys.put(at + "/topology/physical_package_id", std::to_string(cpu % 2));
    sys.put(at + "/topology/thread_siblings_list", cpu % 2 ? "1,3" : "0,2");
    sys.put(at + "/cache/index0/level", "1");
    sys.put(at + "/cache/index3/level", "3");
    sys.put(at + "/cache/index3/id", std::to_string(10 + cpu % 2));
  }
  for (int node = 0; node < 2; ++node) {
    const std::string at = "node/node" + std::to_string(node);
    sys.put(at + "/cpulist", node ? "1,3" : "0,2");
    sys.put(at + "/meminfo", "Node 0 MemTotal:       2048 kB\nNode 0 MemFree: 1 kB");
    sys.put(at + "/distance", node ? "21 10" : "10 21");
    sys.put(at + "/hugepages/hugepages-2048kB/nr_hugepages", "3");
  }
  auto m = read_topology(sys.root(), 0);
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(m->cpus.size(), 4u);
  EXPECT_EQ(m->cpus[3].numa, 1);
  EXPECT_EQ(m->cpus[3].socket, 1);
  EXPECT_EQ(m->cpus[3].core, 1);
  EXPECT_EQ(m->cpus[3].cache, 11);
  EXPECT_EQ(m->numa[1].bytes, 2048u * 1024);
  EXPECT_EQ(m->numa[1].huge_pages[2u << 20], 3u);
  EXPECT_EQ(m->numa[0].distances, (std::vector<uint64_t>{10, 21}));
  EXPECT_EQ(m->cpus_per(&CpuPlace::core), 2);
}

TEST(Machine, WithoutNumaHasOneNode) {
  Sys sys;
  sys.put("cpu/online", "0-1");
  auto m = read_topology(sys.root(), 77);
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(m->numa_nodes(), std::vector<int>{0});
  EXPECT_EQ(m->numa[0].bytes, 77u);
  EXPECT_EQ(m->cpus[1].core, 1);
  EXPECT_FALSE(read_topology("/nowhere", 1).ok());
}

TEST(Checksums, AreGosOwn) {
  EXPECT_EQ(crc32_ieee("123456789"), 0xcbf43926u);
}

// --- hints ---

TopologyHint hint(std::vector<int> nodes, bool preferred) {
  return TopologyHint(NumaMask::of(nodes), preferred);
}
TopologyHint anywhere(bool preferred) { return TopologyHint(std::nullopt, preferred); }

struct MergeRow {
  const char* what;
  TopologyPolicy policy;
  std::vector<ResourceHints> providers;
  TopologyHint best;
  bool admit;
};

TEST(Merge, FindsWhatIsBestForAll) {
  using P = TopologyPolicy;
  using List = std::vector<TopologyHint>;
  const ResourceHints both_prefer_0 = {{"a", List{hint({0}, true), hint({0, 1}, false)}}};
  const ResourceHints prefers_1 = {{"b", List{hint({1}, true), hint({0, 1}, false)}}};
  const MergeRow rows[] = {
      {"nobody asks", P::kBestEffort, {{}}, hint({0, 1}, true), true},
      {"no preference", P::kRestricted, {{{"a", std::nullopt}}}, hint({0, 1}, true), true},
      {"cannot be had", P::kRestricted, {{{"a", List()}}}, hint({0, 1}, false), false},
      {"cannot be had, best effort", P::kBestEffort, {{{"a", List()}}}, hint({0, 1}, false), true},
      {"same node", P::kSingleNuma, {both_prefer_0, both_prefer_0}, hint({0}, true), true},
      {"two nodes, restricted",
       P::kRestricted,
       {both_prefer_0, prefers_1},
       hint({0}, false),
       false},
      {"two nodes, best effort",
       P::kBestEffort,
       {both_prefer_0, prefers_1},
       hint({0}, false),
       true},
      {"two nodes, single", P::kSingleNuma, {both_prefer_0, prefers_1}, anywhere(false), false},
      {"anywhere is a single node, too",
       P::kSingleNuma,
       {{{"a", std::nullopt}}},
       anywhere(true),
       true},
      {"the lower of two",
       P::kBestEffort,
       {{{"a", List{hint({0}, true), hint({1}, true)}}}},
       hint({0}, true),
       true},
      {"what both can do",
       P::kBestEffort,
       {{{"a", List{hint({0}, true), hint({1}, true)}}}, prefers_1},
       hint({1}, true),
       true},
      {"wide hints are preferred where nothing narrower would do",
       P::kRestricted,
       {{{"a", List{hint({0, 1}, true)}}}, {{"b", List{hint({0, 1}, true)}}}},
       hint({0, 1}, true),
       true}};
  const Topology m = machine_of(kTwoSockets);
  for (const MergeRow& row : rows) {
    Merged got = merge_hints(row.policy, {}, m.numa, row.providers);
    EXPECT_EQ(got.best, row.best) << row.what;
    EXPECT_EQ(got.admit, row.admit) << row.what;
  }
}

// With --prefer-closest-numa-nodes of as many nodes those that are nearer.
TEST(Merge, ByDistance) {
  const Topology m = machine_of(kFourNodes);
  const std::vector<ResourceHints> providers = {
      {{"a", std::vector<TopologyHint>{hint({0, 2}, true), hint({2, 3}, true)}}}};
  EXPECT_EQ(merge_hints(TopologyPolicy::kBestEffort, {}, m.numa, providers).best,
            hint({0, 2}, true));
  TopologyOptions closest;
  closest.closest = true;
  EXPECT_EQ(merge_hints(TopologyPolicy::kBestEffort, closest, m.numa, providers).best,
            hint({2, 3}, true));
}

// Choices of many hints for many resources come to few outcomes.
TEST(Merge, ManyHintsTakeNoTime) {
  std::vector<int> nodes = {0, 1, 2, 3, 4, 5, 6, 7};
  std::map<int, NumaMemory> numa;
  for (int n : nodes) numa[n];
  std::vector<TopologyHint> all;
  for_each_mask(nodes, [&](NumaMask mask) { all.emplace_back(mask, mask.count() == 1); });
  EXPECT_EQ(all.size(), 255u);
  ResourceHints resources;
  for (const char* r : {"a", "b", "c", "d", "e", "f"}) resources[r] = all;
  EXPECT_EQ(merge_hints(TopologyPolicy::kRestricted, {}, numa, {resources}).best, hint({0}, true));
}

TEST(TopologyOptions, AreRead) {
  EXPECT_TRUE(parse_topology_options({{"prefer-closest-numa-nodes", "true"}})->closest);
  EXPECT_EQ(parse_topology_options({{"max-allowable-numa-nodes", "12"}})->most_nodes, 12);
  EXPECT_EQ(parse_topology_options({{"max-allowable-numa-nodes", "2"}}).status().message(),
            "the minimum value of \"max-allowable-numa-nodes\" should not be less than 8");
  EXPECT_EQ(parse_topology_options({{"x", "2"}}).status().message(),
            "unknown Topology Manager Policy option: \"x\"");
  TopologySettings wrong;
  wrong.policy = "tight";
  EXPECT_FALSE(TopologyManager::make(wrong, machine_of({})).ok());
  TopologySettings small;
  small.policy = "restricted";
  EXPECT_EQ(TopologyManager::make(small, machine_of({.cores = 18, .nodes = 9, .sockets = 9}))
                .status()
                .message(),
            "unsupported on machines with more than 8 NUMA Nodes");
}

// Gives what it is told to, and notes what it was asked.
class Giver final : public HintProvider {
 public:
  ResourceHints answer;
  Refused refuse;
  std::vector<std::string> asked;
  ResourceHints hints(const api::core_v1::Pod&, const api::core_v1::Container& c) override {
    asked.push_back("hints " + std::string(c.name()));
    return answer;
  }
  ResourceHints pod_hints(const api::core_v1::Pod&) override {
    asked.emplace_back("pod hints");
    return answer;
  }
  Task<Refused> allocate(Context, Ref<api::core_v1::Pod>, api::core_v1::Container c) override {
    asked.push_back("give " + std::string(c.name()));
    co_return refuse;
  }
};

Refused admit(const TopologySettings& settings, Giver& giver) {
  SimLoop loop(1);
  auto manager = TopologyManager::make(settings, machine_of(kTwoSockets));
  if (!manager.ok()) std::abort();
  manager->add(&giver);
  auto pod = pod_from(R"({"metadata":{"name":"p","uid":"u"},"spec":{
      "initContainers":[{"name":"i"}],"containers":[{"name":"a"},{"name":"b"}]}})");
  return run_task(loop, manager->admit(Context::root(loop), pod));
}

TEST(TopologyManager, AsksByScope) {
  Giver giver;
  EXPECT_FALSE(admit({}, giver));
  EXPECT_EQ(giver.asked, (std::vector<std::string>{"give i", "give a", "give b"}));
  TopologySettings s;
  s.policy = "single-numa-node";
  giver.asked.clear();
  EXPECT_FALSE(admit(s, giver));
  EXPECT_EQ(giver.asked, (std::vector<std::string>{"hints i", "give i", "hints a", "give a",
                                                   "hints b", "give b"}));
  s.scope = "pod";
  giver.asked.clear();
  EXPECT_FALSE(admit(s, giver));
  EXPECT_EQ(giver.asked, (std::vector<std::string>{"pod hints", "give i", "give a", "give b"}));
}

TEST(TopologyManager, RefusesInTheApisWords) {
  Giver giver;
  TopologySettings s;
  s.policy = "restricted";
  giver.answer = {{"a", std::vector<TopologyHint>()}};
  Refused why = admit(s, giver);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason, "TopologyAffinityError");
  EXPECT_EQ(why->message, "Resources cannot be allocated with Topology locality");
  giver.answer.clear();
  giver.refuse = unexpected(Status(Reason::kUnknown, "no more of it"));
  why = admit(s, giver);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->reason + ": " + why->message,
            "UnexpectedAdmissionError: Allocate failed due to no more of it, which is unexpected");
}

}  // namespace
}  // namespace keles::node
