// What is read of cgroups and of the machine, on trees of plain files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "node/stats/cgroup_stats.h"
#include "node/stats/directory_use.h"
#include "node/stats/host_stats.h"

namespace keles::node {
namespace {

using testing::ElementsAre;

struct Tree : testing::Test {
  const TemporaryDirectory files = *TemporaryDirectory::make("stats");
  std::string root = files.path();
  void file(const std::string& path, const std::string& text) {
    EXPECT_TRUE(make_directories(root + "/" + path.substr(0, path.rfind('/'))).ok());
    EXPECT_TRUE(write_file(root + "/" + path, text).ok());
  }
};

TEST_F(Tree, VersionTwo) {
  file("cg/cgroup.controllers", "cpu memory pids\n");
  const std::string pod = "cg/kubepods/pod1";
  file(pod + "/cpu.stat",
       "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 9\nnr_throttled 4\n"
       "throttled_usec 70\n");
  file(pod + "/cpu.weight", "1\n");
  file(pod + "/cpu.max", "20000 100000\n");
  file(pod + "/memory.current", "5000\n");
  file(pod + "/memory.max", "8000\n");
  file(pod + "/memory.peak", "6000\n");
  file(pod + "/memory.swap.current", "7\n");
  file(pod + "/memory.swap.max", "max\n");
  file(pod + "/memory.stat",
       "anon 1500\nfile 3000\nfile_mapped 44\ninactive_file 2000\nactive_file 900\npgfault 12\n"
       "pgmajfault 3\n");
  file(pod + "/memory.events", "low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\n");
  file(pod + "/pids.current", "11\n");
  file(pod + "/pids.max", "max\n");
  file(pod + "/cpu.pressure",
       "some avg10=1.50 avg60=0.25 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
       "total=4\n");
  file(pod + "/cgroup.procs", "");
  file(pod + "/abc/cgroup.procs", "10\n11\n");
  file(pod + "/cri-containerd-def.scope/cgroup.procs", "12\n");
  const CgroupStats s = read_cgroup_stats(root + "/cg", "/kubepods/pod1");
  EXPECT_TRUE(s.known);
  EXPECT_EQ(s.cpu_ns, 3'000'000U);
  EXPECT_EQ(s.cpu_user_ns, 2'000'000U);
  EXPECT_EQ(s.cpu_system_ns, 1'000'000U);
  EXPECT_EQ(s.throttled_periods, 4U);
  EXPECT_EQ(s.throttled_ns, 70'000U);
  EXPECT_EQ(s.cpu_shares, 2U);
  EXPECT_EQ(s.cpu_quota_us, 20000);
  EXPECT_EQ(s.cpu_period_us, 100000U);
  EXPECT_EQ(s.working_set, 3000U);
  EXPECT_EQ(s.rss, 1500U);
  EXPECT_EQ(s.memory_limit, 8000U);
  EXPECT_EQ(s.swap, 7U);
  EXPECT_EQ(s.swap_limit, 0U);
  EXPECT_TRUE(s.has_swap);
  EXPECT_EQ(s.oom_kills, 2U);
  EXPECT_EQ(s.memory_failures, 5U);
  EXPECT_EQ(s.threads, 11U);
  EXPECT_EQ(s.max_threads, 0U);
  ASSERT_TRUE(s.cpu_pressure);
  EXPECT_EQ(s.cpu_pressure->some.total_us, 123U);
  EXPECT_EQ(s.cpu_pressure->some.avg10, 1.5);
  EXPECT_EQ(s.cpu_pressure->full.total_us, 4U);
  EXPECT_FALSE(s.io_pressure);
  EXPECT_THAT(cgroup_processes_below(root + "/cg", "/kubepods/pod1", 100),
              testing::UnorderedElementsAre(10, 11, 12));
  EXPECT_EQ(cgroup_processes_below(root + "/cg", "/kubepods/pod1", 2).size(), 2U);
  EXPECT_EQ(container_cgroup(root + "/cg", "/kubepods/pod1", "abc"), "/kubepods/pod1/abc");
  EXPECT_EQ(container_cgroup(root + "/cg", "/kubepods/pod1", "def"),
            "/kubepods/pod1/cri-containerd-def.scope");
  EXPECT_EQ(container_cgroup(root + "/cg", "/kubepods/pod1", "ghi"), "");
  EXPECT_FALSE(read_cgroup_stats(root + "/cg", "/kubepods/none").known);
}

// A machine's own root counts no memory: there it is what the machine says.
TEST_F(Tree, TheRootOfVersionTwoIsTheMachine) {
  file("cg/cgroup.controllers", "cpu memory\n");
  file("cg/cpu.stat", "usage_usec 5\n");
  file("cg/memory.stat", "anon 1024\ninactive_file 1024\n");
  file(
      "proc/meminfo",
      "MemTotal:       100 kB\nMemFree:         40 kB\nSwapTotal:        8 kB\nSwapFree:         5 "
      "kB\n");
  for (const char* path : {"/", ""}) {
    const CgroupStats s = read_cgroup_stats(root + "/cg", path, root + "/proc");
    EXPECT_EQ(s.cpu_ns, 5000U);
    EXPECT_EQ(s.memory, 60U * 1024);
    EXPECT_EQ(s.working_set, 59U * 1024);
    EXPECT_EQ(s.swap, 3U * 1024);
  }
}

TEST_F(Tree, VersionOne) {
  file("cg/cpuacct/k/p/cpuacct.usage", "12345\n");
  file("cg/cpuacct/k/p/cpuacct.stat", "user 5\nsystem 3\n");
  file("cg/cpu/k/p/cpu.shares", "256\n");
  file("cg/cpu/k/p/cpu.cfs_quota_us", "-1\n");
  file("cg/cpu/k/p/cpu.cfs_period_us", "100000\n");
  file("cg/cpu/k/p/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n");
  file("cg/memory/k/p/memory.usage_in_bytes", "5000\n");
  file("cg/memory/k/p/memory.limit_in_bytes", "9223372036854771712\n");
  file("cg/memory/k/p/memory.stat",
       "cache 1\ntotal_cache 3000\ntotal_rss 1500\ntotal_inactive_file 6000\ntotal_swap 0\n"
       "total_pgfault 7\n");
  file("cg/memory/k/p/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
  file("cg/memory/k/p/id/cgroup.procs", "33\n");
  file("cg/pids/k/p/pids.current", "2\n");
  const CgroupStats s = read_cgroup_stats(root + "/cg", "/k/p");
  EXPECT_TRUE(s.known);
  EXPECT_EQ(s.cpu_ns, 12345U);
  EXPECT_EQ(s.cpu_user_ns, 50'000'000U);
  EXPECT_EQ(s.cpu_quota_us, 0);
  EXPECT_EQ(s.cpu_shares, 256U);
  EXPECT_EQ(s.memory_limit, 0U);
  EXPECT_EQ(s.working_set, 0U);  // never below
  EXPECT_EQ(s.rss, 1500U);
  EXPECT_EQ(s.page_faults, 7U);
  EXPECT_EQ(s.oom_kills, 4U);
  EXPECT_EQ(s.threads, 2U);
  EXPECT_EQ(container_cgroup(root + "/cg", "/k/p", "id"), "/k/p/id");
  EXPECT_THAT(cgroup_processes_below(root + "/cg", "/k/p", 9), ElementsAre(33));
  file("proc/self/cgroup", "9:pids:/x\n4:memory:/k/p\n0::/\n");
  EXPECT_EQ(own_cgroup(root + "/cg", root + "/proc"), "/k/p");
}

TEST_F(Tree, TheMachine) {
  file("proc/7/net/dev",
       "Inter-|   Receive                                                |  Transmit\n"
       " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
       "drop "
       "fifo colls carrier compressed\n"
       "    lo:     100       1    0    0    0     0          0         0      100       1    0    "
       "0    "
       "0     0       0          0\n"
       "  eth0:    1000      10    1    2    0     0          0         0     2000      20    3    "
       "4    "
       "0     0       0          0\n"
       "veth12:     1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n");
  const auto all = read_interfaces(7, root + "/proc");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].name, "eth0");
  EXPECT_EQ(all[0].rx_bytes, 1000U);
  EXPECT_EQ(all[0].rx_dropped, 2U);
  EXPECT_EQ(all[0].tx_bytes, 2000U);
  EXPECT_EQ(all[0].tx_errors, 3U);
  file("proc/sys/kernel/pid_max", "4194304\n");
  file("proc/sys/kernel/threads-max", "1000\n");
  file("proc/loadavg", "0.10 0.20 0.30 2/345 999\n");
  const auto limits = read_process_limits(root + "/proc");
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->max, 1000U);
  EXPECT_EQ(limits->running, 345U);
  file("proc/stat", "cpu 1\nbtime 1700000000\nprocesses 3\n");
  EXPECT_EQ(read_boot_time(root + "/proc")->ns, 1'700'000'000'000'000'000);
  EXPECT_FALSE(read_boot_time(root + "/none"));
}

TEST_F(Tree, WhatADirectoryTakes) {
  file("d/a/one", std::string(10'000, 'x'));
  EXPECT_EQ(link((root + "/d/a/one").c_str(), (root + "/d/two").c_str()), 0);
  EXPECT_EQ(symlink("/usr", (root + "/d/out").c_str()), 0);
  struct stat st {};
  uint64_t blocks = 0;
  for (const char* name : {"/d", "/d/a", "/d/a/one", "/d/out"}) {
    ASSERT_EQ(lstat((root + name).c_str(), &st), 0);
    blocks += static_cast<uint64_t>(st.st_blocks) * 512;
  }
  const DirectoryUse use = directory_use(root + "/d");
  EXPECT_EQ(use.bytes, blocks);
  EXPECT_EQ(use.inodes, 4U);
  EXPECT_EQ(directory_use(root + "/none").inodes, 0U);
}

}  // namespace
}  // namespace keles::node
