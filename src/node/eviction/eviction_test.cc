// What a node does when it runs short: tables of thresholds, ranks, messages, and the manager on a
// machine that the test lays out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/file.h"
#include "base/run_task.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "node/cri/stub_runtime.h"
#include "node/eviction/manager.h"
#include "node/pods/labels.h"
#include "node/testing.h"

namespace keles::node {
namespace {

using api::core_v1::Pod;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kGi = int64_t{1} << 30, kMi = int64_t{1} << 20;

std::string error_of(const EvictionSettings& s) { return parse_thresholds(s).status().message(); }

TEST(Thresholds, WhatIsWrongIsNamed) {
  struct Row {
    EvictionSettings::Map hard, soft, grace, reclaim;
    std::string error;
  };
  const Row rows[] = {
      {{{"memory.free", "1Gi"}}, {}, {}, {}, "unsupported eviction signal memory.free"},
      {{{"memory.available", "-1Gi"}},
       {},
       {},
       {},
       "eviction threshold memory.available must be positive: -1Gi"},
      {{{"memory.available", "-15%"}},
       {},
       {},
       {},
       "eviction percentage threshold memory.available must be >= 0%: -15%"},
      {{{"memory.available", "150%"}},
       {},
       {},
       {},
       "eviction percentage threshold memory.available must be <= 100%: 150%"},
      {{},
       {{"nodefs.available", "1Gi"}},
       {},
       {},
       "grace period must be specified for the soft eviction threshold nodefs.available"},
      {{},
       {{"nodefs.available", "1Gi"}},
       {{"nodefs.available", "-30s"}},
       {},
       "invalid eviction grace period specified: -30s, must be a positive value"},
      {{},
       {},
       {},
       {{"nodefs.available", "-1Gi"}},
       "negative eviction minimum reclaim specified for nodefs.available"},
      {{},
       {},
       {},
       {{"nodefs.available", "0%"}},
       "eviction percentage minimum reclaim nodefs.available must be positive: 0%"},
  };
  for (const Row& r : rows) {
    EvictionSettings s;
    s.hard = r.hard;
    s.soft = r.soft;
    s.soft_grace = r.grace;
    s.minimum_reclaim = r.reclaim;
    EXPECT_EQ(error_of(s), r.error);
  }
}

TEST(Thresholds, DefaultsHoldForTheSharesTheyStandFor) {
  auto all = parse_thresholds(EvictionSettings());
  ASSERT_TRUE(all.ok());
  std::string names;
  for (const Threshold& t : *all) names += std::string(signal_name(t.signal)) + " ";
  EXPECT_EQ(names,
            "imagefs.available imagefs.inodesFree memory.available nodefs.available "
            "nodefs.inodesFree allocatableMemory.available ");
  // Containers' file system: the pods' one, or that of the images.
  auto value = [&](DiskLayout layout) {
    for (const Threshold& t : with_container_fs(*all, layout))
      if (t.signal == Signal::kContainerFsAvailable) return t.value.of(1000).to_string();
    return std::string("none");
  };
  EXPECT_EQ(value({}), "100");
  EXPECT_EQ(value({.image_fs = true}), "150");
  EXPECT_EQ(value({.image_fs = true, .container_fs = true}), "100");
  EvictionSettings none;  // as a kind node has it
  none.hard = {{"imagefs.available", "0%"}, {"nodefs.available", "100%"}};
  EXPECT_TRUE(parse_thresholds(none)->empty());
}

TEST(Thresholds, MapsAsFlagsWriteThem) {
  auto m = parse_signal_map("memory.available<1Gi, nodefs.available<10%", '<');
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(signal_map_text(*m, '='), "memory.available=1Gi,nodefs.available=10%");
  EXPECT_EQ(parse_signal_map("memory.available", '<').status().message(),
            "malformed pair, expect string<string");
}

Observations seen(int64_t memory, int64_t disk = 100 * kGi) {
  return {{Signal::kMemoryAvailable, {memory, 4 * kGi}},
          {Signal::kNodeFsAvailable, {disk, 100 * kGi}},
          {Signal::kNodeFsInodes, {1000, 1000}}};
}

std::vector<std::string> names(const std::vector<Threshold>& list) {
  std::vector<std::string> out;
  for (const Threshold& t : list)
    out.push_back(std::string(signal_name(t.signal)) + (t.hard() ? "" : " soft"));
  return out;
}

TEST(PressureWatch, GraceReclaimAndTransition) {
  EvictionSettings s;
  s.hard = {{"memory.available", "1Gi"}, {"nodefs.available", "10%"}};
  s.soft = {{"memory.available", "2Gi"}};
  s.soft_grace = {{"memory.available", "1m"}};
  s.minimum_reclaim = {{"memory.available", "512Mi"}};
  PressureWatch w(*parse_thresholds(s, false), 5min);
  TimePoint t{};
  auto at = [&](Duration d, Observations o) { return names(w.observe(o, t + d)); };
  EXPECT_THAT(at(0s, seen(3 * kGi)), ElementsAre());
  EXPECT_TRUE(w.pressures().empty());
  // Softly: the condition at once, the eviction after the grace period.
  EXPECT_THAT(at(10s, seen(3 * kGi / 2)), ElementsAre());
  EXPECT_THAT(w.pressures(), ElementsAre(Pressure::kMemory));
  EXPECT_THAT(at(60s, seen(3 * kGi / 2)), ElementsAre());
  EXPECT_THAT(at(70s, seen(3 * kGi / 2)), ElementsAre("memory.available soft"));
  // The minimum reclaim holds on: what was acted upon must give 512Mi more.
  EXPECT_THAT(at(80s, seen(9 * kGi / 4)), ElementsAre("memory.available soft"));
  EXPECT_THAT(at(90s, seen(5 * kGi / 2)), ElementsAre());
  EXPECT_THAT(w.pressures(), ElementsAre(Pressure::kMemory));  // for five minutes more
  EXPECT_THAT(at(379s, seen(3 * kGi)), ElementsAre());
  EXPECT_THAT(w.pressures(), ElementsAre(Pressure::kMemory));
  EXPECT_THAT(at(380s, seen(3 * kGi)), ElementsAre());
  EXPECT_TRUE(w.pressures().empty());
  // Hard ones at once; memory before disks.
  EXPECT_THAT(at(400s, seen(kGi / 2, 9 * kGi)),
              ElementsAre("memory.available", "nodefs.available"));
  EXPECT_THAT(w.pressures(), ElementsAre(Pressure::kMemory, Pressure::kDisk));
  // A grace period that was broken off begins anew.
  EXPECT_THAT(at(401s, seen(3 * kGi)), ElementsAre());
  EXPECT_THAT(at(402s, seen(3 * kGi / 2)), ElementsAre());
}

std::string pod_text(const std::string& name, const std::string& spec,
                     const std::string& meta = "") {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"default","uid":")" + name + "\"" +
         meta + R"(},"spec":{)" + spec + "}}";
}
std::string asking(const std::string& request, int priority) {
  return R"("priority":)" + std::to_string(priority) +
         R"(,"containers":[{"name":"a","resources":{"requests":{)" + request + "}}}]";
}

TEST(Rank, OverRequestThenPriorityThenUse) {
  struct Row {
    std::string name, request;
    int priority;
    uint64_t memory;
  };
  const std::vector<Row> rows = {
      {"below-high", R"("memory":"1Gi")", 9, 900 * kMi},
      {"above-high", R"("memory":"100Mi")", 9, 900 * kMi},
      {"above-low", R"("memory":"100Mi")", 1, 200 * kMi},
      {"above-low-more", R"("memory":"100Mi")", 1, 300 * kMi},
      {"below-low", R"("memory":"1Gi")", 1, 10 * kMi},
  };
  std::vector<Ref<Pod>> pods;
  std::vector<PodUse> uses(rows.size());
  std::vector<Candidate> all;
  for (const Row& r : rows)
    pods.push_back(pod_from(pod_text(r.name, asking(r.request, r.priority))));
  for (size_t i = 0; i < rows.size(); ++i) {
    uses[i].working_set_bytes = rows[i].memory;
    uses[i].processes = i;
    all.push_back({&*pods[i], &uses[i]});
  }
  auto order = [&](Signal s, DiskLayout layout = {}) {
    std::vector<std::string> out;
    for (const Candidate& c : rank(all, s, layout)) out.emplace_back(c.pod->metadata().name());
    return out;
  };
  EXPECT_THAT(order(Signal::kMemoryAvailable),
              ElementsAre("above-low-more", "above-low", "above-high", "below-low", "below-high"));
  // Process ids know no requests.
  EXPECT_THAT(order(Signal::kPidAvailable),
              ElementsAre("below-low", "above-low-more", "above-low", "above-high", "below-high"));
  // A pod of which nothing is known goes first.
  all[4].use = nullptr;
  EXPECT_EQ(order(Signal::kAllocatableMemory).front(), "below-low");
}

TEST(Rank, DiskCountsWhatIsOnTheFileSystem) {
  Ref<Pod> writer = pod_from(pod_text("writer", asking("", 0)));
  Ref<Pod> logger = pod_from(pod_text("logger", asking("", 0)));
  PodUse writes, logs;
  writes.containers = {{"a", 0, {uint64_t(3 * kGi), 5}, {}}};
  logs.containers = {{"a", 0, {}, {uint64_t(kGi), 9}}};
  auto first = [&](Signal s, DiskLayout layout) {
    std::vector<Candidate> both = {{&*writer, &writes}, {&*logger, &logs}};
    return std::string(rank(both, s, layout).front().pod->metadata().name());
  };
  EXPECT_EQ(first(Signal::kNodeFsAvailable, {}), "writer");
  EXPECT_EQ(first(Signal::kNodeFsInodes, {}), "logger");
  EXPECT_EQ(first(Signal::kNodeFsAvailable, {.image_fs = true}), "logger");
  EXPECT_EQ(first(Signal::kImageFsAvailable, {.image_fs = true}), "writer");
  EXPECT_EQ(first(Signal::kNodeFsAvailable, {.image_fs = true, .container_fs = true}), "writer");
}

TEST(Reclaim, WhatIsOnTheFileSystem) {
  auto text = [](Signal s, DiskLayout layout) {
    Reclaim r = reclaim_first(s, layout);
    return std::string(r.containers ? "containers " : "") + (r.images ? "images" : "");
  };
  EXPECT_EQ(text(Signal::kMemoryAvailable, {}), "");
  EXPECT_EQ(text(Signal::kNodeFsInodes, {}), "containers images");
  EXPECT_EQ(text(Signal::kNodeFsAvailable, {.image_fs = true}), "");
  EXPECT_EQ(text(Signal::kImageFsAvailable, {.image_fs = true}), "containers images");
  DiskLayout split{.image_fs = true, .container_fs = true};
  EXPECT_EQ(text(Signal::kImageFsAvailable, split), "images");
  EXPECT_EQ(text(Signal::kContainerFsInodes, split), "containers ");
}

TEST(Messages, OfPressure) {
  Ref<Pod> pod = pod_from(pod_text("p", R"("terminationGracePeriodSeconds":7,"containers":[
        {"name":"a","resources":{"requests":{"memory":"64Mi"}}},{"name":"b"}])"));
  PodUse use;
  use.containers = {{"a", uint64_t(96 * kMi), {}, {}}, {"b", 5000, {}, {}}};
  EvictionSettings s;
  s.hard = {{"memory.available", "10%"}};
  auto all = *parse_thresholds(s, false);
  Eviction e = pressure_eviction({&*pod, &use}, all[0], all, seen(100 * kMi), 30);
  EXPECT_EQ(e.message,
            "The node was low on resource: memory. Threshold quantity: 429496736, available: "
            "100Mi. Container a was using 96Mi, request is 64Mi, has larger consumption of memory. "
            "Container b was using 5000, request is 0, has larger consumption of memory. ");
  EXPECT_EQ(e.grace_seconds, 1);
  EXPECT_TRUE(e.disruption);
  all[0].grace = 1min;  // softly: what the pod asks for, up to the node's limit
  EXPECT_EQ(pressure_eviction({&*pod, &use}, all[0], all, seen(1), 30).grace_seconds, 7);
  EXPECT_EQ(pressure_eviction({&*pod, &use}, all[0], all, seen(1), 5).grace_seconds, 5);
}

TEST(PressureObjection, ConditionsAndTolerations) {
  using P = Pressure;
  const std::string plain = R"("containers":[{"name":"a"}])";
  Ref<Pod> best = pod_from(pod_text("p", plain));
  Ref<Pod> burst = pod_from(pod_text("p", asking(R"("memory":"1Mi")", 0)));
  Ref<Pod> tolerant =
      pod_from(pod_text("p", plain + R"(,"tolerations":[{"key":"node.kubernetes.io/memory-pressure",
          "operator":"Exists","effect":"NoSchedule"}])"));
  Ref<Pod> critical = pod_from(pod_text("p", asking("", 2'000'000'000)));
  Ref<Pod> fixed =
      pod_from(pod_text("p", plain, R"(,"annotations":{"kubernetes.io/config.source":"file"})"));
  EXPECT_EQ(pressure_objection(*best, {}), "");
  EXPECT_EQ(pressure_objection(*best, {P::kMemory}), "The node had condition: [MemoryPressure]. ");
  EXPECT_EQ(pressure_objection(*burst, {P::kMemory}), "");
  EXPECT_EQ(pressure_objection(*tolerant, {P::kMemory}), "");
  EXPECT_EQ(pressure_objection(*tolerant, {P::kDisk}), "The node had condition: [DiskPressure]. ");
  EXPECT_EQ(pressure_objection(*burst, {P::kMemory, P::kPid}),
            "The node had condition: [MemoryPressure PIDPressure]. ");
  EXPECT_EQ(pressure_objection(*critical, {P::kDisk}), "");
  EXPECT_EQ(pressure_objection(*fixed, {P::kDisk}), "");
}

TEST(StorageLimits, EmptyDirPodAndContainer) {
  const std::string limited = R"("containers":[
      {"name":"a","resources":{"limits":{"ephemeral-storage":"1Mi"}}},
      {"name":"b","resources":{"limits":{"ephemeral-storage":"2Mi"}}}],
      "volumes":[{"name":"v","emptyDir":{"sizeLimit":"1M"}},{"name":"w","emptyDir":{}}])";
  Ref<Pod> pod = pod_from(pod_text("p", limited));
  EXPECT_TRUE(has_storage_limits(*pod));
  EXPECT_FALSE(has_storage_limits(*pod_from(pod_text("p", asking("", 0)))));
  auto why = [&](PodUse use, DiskLayout layout = {}) {
    auto e = storage_excess(*pod, use, layout);
    return e ? e->message + e->signal : std::string();
  };
  PodUse use;
  use.volumes = {{"v", {1'000'000, 1}}, {"w", {uint64_t(kMi), 1}}};
  EXPECT_EQ(why(use), "");
  use.volumes["v"].bytes = 1'000'001;
  EXPECT_EQ(why(use), "Usage of EmptyDir volume \"v\" exceeds the limit \"1M\". emptydirfs.limit");
  use.volumes["v"].bytes = 0;
  use.volumes["w"].bytes = 3 * kMi + 1;
  EXPECT_EQ(why(use),
            "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "
            "ephemeralpodfs.limit");
  use.volumes.clear();
  use.containers = {{"a", 0, {uint64_t(kMi), 1}, {1, 1}}};
  EXPECT_EQ(why(use),
            "Container a exceeded its local ephemeral storage limit \"1Mi\". "
            "ephemeralcontainerfs.limit");
  EXPECT_EQ(why(use, {.image_fs = true}), "");  // writable layers are elsewhere then
}

// --- the manager ---

// A machine as the test says.
struct FakeMachine {
  Observations now = seen(4 * kGi);
  std::map<std::string, DiskUse> files;
  int walks = 0;
  std::optional<std::shared_future<void>> walk;  // a walk takes until then
};
class FakeMeter final : public NodeMeter {
 public:
  explicit FakeMeter(FakeMachine& m) : m_(m) {}
  Observations observe(const MeterRequest&) override { return m_.now; }
  DiskLayout layout(const MeterRequest&) override { return {}; }
  DiskUse disk_use(const std::string& directory) override {
    ++m_.walks;
    if (m_.walk) m_.walk->wait();
    return m_.files[directory];
  }

 private:
  FakeMachine& m_;
};

class FakeRuntime final : public cri::StubRuntime {
 public:
  Task<Result<cri::ImageFilesystems>> image_fs_info(Context) override {
    co_return cri::ImageFilesystems();
  }
  Task<Result<std::vector<cri::ContainerStats>>> list_container_stats(Context) override {
    co_return stats;
  }
  std::vector<cri::ContainerStats> stats;
};

class FakeHost final : public EvictionHost {
 public:
  std::vector<Ref<Pod>> active_pods() const override { return pods; }
  CgroupDriver::Usage usage_of(const Pod& pod) const override {
    CgroupDriver::Usage u;
    u.working_set_bytes = memory.at(std::string(pod.metadata().name()));
    return u;
  }
  CgroupDriver::Usage usage_of_pods() const override { return {}; }
  CgroupDriver::Usage usage_of_node() const override { return {}; }
  bool evict(const Ref<Pod>& pod, const Eviction& why) override {
    if (pod->metadata().name() == ending) return false;
    said += "evict " + std::string(pod->metadata().name()) + ": " + why.message + "\n";
    std::string uid(pod->metadata().uid());
    std::erase_if(pods, [&](const Ref<Pod>& p) { return p->metadata().uid() == uid; });
    if (on_evict) on_evict(uid);
    return true;
  }
  Task<Status> reclaim(Context, Reclaim what) override {
    said += std::string("reclaim") + (what.containers ? " containers" : "") +
            (what.images ? " images" : "") + "\n";
    if (on_reclaim) on_reclaim();
    co_return Status();
  }
  void pressures_changed(const std::set<Pressure>& now) override {
    said += "pressures:";
    for (Pressure p : now) said += " " + std::string(condition_name(p));
    said += "\n";
  }
  void node_event(std::string, std::string reason, std::string message) override {
    said += reason + ": " + message + "\n";
  }
  std::vector<Ref<Pod>> pods;
  std::map<std::string, uint64_t> memory;
  std::string said, ending;
  std::function<void(const std::string&)> on_evict;
  std::function<void()> on_reclaim;
};

class Manager : public ::testing::Test {
 protected:
  Manager() : loop_(make_real_loop()), ctx_(Context::root(*loop_).with_timeout(60s)) {
    options_.root = "/k";
    options_.logs = "/l";
    options_.period = 1ms;
    options_.transition_period = 1ms;
    options_.thresholds = *parse_thresholds(EvictionSettings(), false);
  }
  void pod(const std::string& name, const std::string& spec, uint64_t memory = 0) {
    host_.pods.push_back(pod_from(pod_text(name, spec)));
    host_.memory[name] = memory;
  }
  // Runs the manager until `done` holds.
  void run(std::function<bool()> done) {
    EvictionManager manager(options_, runtime_, host_, std::make_unique<FakeMeter>(machine_));
    host_.on_evict = [&](const std::string& uid) {
      if (after_evict_) after_evict_();
      if (ends_) loop_->post([&manager, uid] { manager.pod_ended(uid); });
    };
    run_task(*loop_, watch(ctx_, &manager, std::move(done)));
  }
  static Task<void> watch(Context ctx, EvictionManager* manager, std::function<bool()> done) {
    Context inner = ctx.child();
    TaskGroup group(ctx.loop());
    group.spawn(manager->run(inner));
    bool held = done();
    while (!held && !ctx.done()) {
      (void)co_await ctx.sleep(1ms);
      held = done();
    }
    EXPECT_TRUE(held);
    inner.cancel();
    co_await group.join();
  }
  std::unique_ptr<RealLoop> loop_;
  Context ctx_;
  EvictionOptions options_;
  FakeRuntime runtime_;
  FakeHost host_;
  FakeMachine machine_;
  std::function<void()> after_evict_;
  bool ends_ = true;
};

TEST_F(Manager, OnePodAtATimeUntilThereIsRoom) {
  pod("small", asking("", 0), 5);
  pod("large", asking("", 0), uint64_t(kGi));
  pod("system", asking("", 2'000'000'000), uint64_t(3 * kGi));
  machine_.now = seen(50 * kMi);
  after_evict_ = [&] { machine_.now = seen(2 * kGi); };
  run([&] { return host_.said.ends_with("pressures:\n"); });
  EXPECT_EQ(host_.said,
            "pressures: MemoryPressure\n"
            "EvictionThresholdMet: Attempting to reclaim memory\n"
            "evict large: The node was low on resource: memory. Threshold quantity: 100Mi, "
            "available: 50Mi. \n"
            "pressures:\n");
}

TEST_F(Manager, TheNextPodWaitsForTheEndOfTheFirst) {
  pod("a", asking("", 0), 9);
  pod("b", asking("", 0), 5);
  machine_.now = seen(0);
  ends_ = false;
  int looks = 0;
  run([&] { return host_.said.find("evict a") != std::string::npos && ++looks > 20; });
  EXPECT_EQ(host_.said.find("evict b"), std::string::npos);
}

TEST_F(Manager, APodThatEndsAlreadyIsPassedOver) {
  pod("a", asking("", 0), 9);
  pod("b", asking("", 0), 5);
  machine_.now = seen(0);
  host_.ending = "a";
  run([&] { return host_.said.find("evict b") != std::string::npos; });
}

TEST(Patience, GraceHalfOfItMoreAndWhatIsLeft) {
  for (auto [grace, wait] : {std::pair(0, 40s), {1, 40s}, {20, 60s}, {600, 930s}}) {
    Eviction e;
    e.grace_seconds = grace;
    EXPECT_EQ(patience(e), Duration(wait)) << grace;
  }
}

// Files that take long to look at do not hold up what memory and processes are short of.
TEST_F(Manager, MemoryDoesNotWaitForAWalk) {
  pod("full",
      R"("containers":[{"name":"a"}],"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Mi"}}])");
  pod("large", asking("", 0), uint64_t(kGi));
  machine_.now = seen(0);
  std::promise<void> walked;
  machine_.walk = walked.get_future().share();
  after_evict_ = [&] {
    if (host_.said.find("evict large") == std::string::npos || machine_.now.empty()) return;
    machine_.now = {};
    walked.set_value();
  };
  run([&] { return machine_.now.empty(); });
  EXPECT_EQ(machine_.walks, 1);
}

TEST_F(Manager, WhatNobodyNeedsGoesBeforePods) {
  pod("a", asking("", 0));
  machine_.now = seen(4 * kGi, kGi);
  host_.on_reclaim = [&] { machine_.now = seen(4 * kGi, 50 * kGi); };
  run([&] { return host_.said.ends_with("pressures:\n"); });
  EXPECT_EQ(host_.said,
            "pressures: DiskPressure\n"
            "EvictionThresholdMet: Attempting to reclaim ephemeral-storage\n"
            "reclaim containers images\n"
            "pressures:\n");
}

TEST_F(Manager, LocalStorageOverItsLimit) {
  pod("plain", asking("", 0));
  pod("full", R"("containers":[{"name":"a"}],"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Mi"}},
      {"name":"m","emptyDir":{"medium":"Memory","sizeLimit":"1"}}])");
  machine_.files["/k/pods/full/volumes/kubernetes.io~empty-dir/v"] = {uint64_t(kMi) + 1, 1};
  run([&] { return !host_.said.empty(); });
  EXPECT_EQ(host_.said, "evict full: Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". \n");
}

// /etc/hosts of a container is a file of the node, and takes its room (CVE-2020-8557).
TEST_F(Manager, WhatIsWrittenIntoTheHostsFileCounts) {
  const TemporaryDirectory root = *TemporaryDirectory::make();
  options_.root = root.path();
  pod("p", R"("containers":[{"name":"a","resources":{"limits":{"ephemeral-storage":"1Mi"}}}])");
  ASSERT_TRUE(make_directories(root.path() + "/pods/p").ok());
  ASSERT_TRUE(write_file(root.path() + "/pods/p/etc-hosts", std::string(2 * kMi, 'x')).ok());
  run([&] { return !host_.said.empty(); });
  EXPECT_EQ(host_.said,
            "evict p: Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
            "\n");
}

// Nothing is walked of pods without limits while the node has room.
TEST_F(Manager, AnIdleNodeIsNotWalked) {
  pod("plain", asking("", 0));
  int looks = 0;
  run([&] { return ++looks > 20; });
  EXPECT_EQ(machine_.walks, 0);
  EXPECT_EQ(host_.said, "");
}

TEST_F(Manager, LogsAndWritableLayersOfAContainer) {
  pod("p", R"("containers":[{"name":"a","resources":{"limits":{"ephemeral-storage":"1Mi"}}},
      {"name":"b"}])");
  cri::ContainerStats s;
  s.labels = {{kPodUidLabel, "p"}, {kContainerNameLabel, "a"}};
  s.writable_used_bytes = kMi / 2;
  runtime_.stats = {s};
  machine_.files["/l/default_p_p/a"] = {uint64_t(kMi / 2 + 1), 1};
  run([&] { return !host_.said.empty(); });
  EXPECT_EQ(host_.said,
            "evict p: Pod ephemeral local storage usage exceeds the total limit of containers "
            "1Mi. \n");
}

}  // namespace
}  // namespace keles::node
