// The forms in which a node's figures are told.
#include "node/server/reports.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"

namespace keles::node {
namespace {

NodeFigures figures() {
  NodeFigures f;
  f.at = WallTime{1'700'000'000'000'000'000};
  f.booted = WallTime{1'600'000'000'000'000'000};
  f.node.cgroup = "/";
  f.node.stats.known = true;
  f.node.stats.cpu_ns = 9'000'000'000;
  f.node.stats.working_set = 900;
  f.node.stats.memory = 1000;
  f.node.stats.has_swap = true;
  f.node.stats.swap = 10;
  f.node.nano_cores = 250;
  f.swap_total = 100;
  f.node.stats.cpu_pressure = StallPressure();
  f.node.stats.cpu_pressure->some.total_us = 1'500'000;
  f.all_pods.cgroup = "/kubepods";
  f.all_pods.stats.known = true;
  f.root = FileSystemStats{60, 100, 40, 6, 10, 4};
  f.images = FileSystemStats{50, 200, 150, 5, 20, 15};
  f.layers = FileSystemStats{50, 250, 200, 5, 20, 15};
  f.image_bytes = 77;
  f.processes = ProcessLimits{1000, 5};
  f.interfaces = {{"eth0", 1, 2, 3, 4, 5, 6, 7, 8}};
  PodFigures p;
  p.name = "web";
  p.ns = "shop";
  p.uid = "u";
  p.start_time = "2023-11-14T22:00:00Z";
  p.sandbox_id = "s1";
  p.use.cgroup = "/kubepods/podu";
  p.use.stats.known = true;
  p.use.stats.cpu_ns = 2'000'000'000;
  p.use.stats.working_set = 50;
  p.processes = 3;
  ContainerFigures c;
  c.name = "c";
  c.id = "c1";
  c.image = "img\"1";
  c.started_ns = 1'650'000'000'500'000'000;
  c.use.cgroup = "/kubepods/podu/c1";
  c.use.stats = p.use.stats;
  c.use.stats.memory_limit = 80;
  c.root_bytes = 11;
  c.logs = {22, 2};
  p.containers.push_back(c);
  p.volumes.push_back({"data", "", true, {33, 3}, FileSystemStats{60, 100, 40, 6, 10, 4}});
  p.volumes.push_back({"secret", "", false, {44, 4}, FileSystemStats{60, 100, 40, 6, 10, 4}});
  VolumeUsage claim;
  claim.volume = "d";
  claim.claim = "orders";
  claim.fs = {70, 90, 20, 7, 9, 2};
  p.claimed.push_back(claim);
  claim.claim = "";
  p.claimed.push_back(claim);
  f.pods.push_back(p);
  PodFigures waiting;
  waiting.name = "waiting";
  f.pods.push_back(waiting);
  return f;
}

TEST(Reports, Summary) {
  auto tree = parse_json(stats_summary("n1", figures(), true));
  ASSERT_TRUE(tree.ok()) << tree.status().message();
  const Value& node = tree->root["node"];
  EXPECT_EQ(node["nodeName"].as_string(), "n1");
  EXPECT_EQ(node["startTime"].as_string(), "2020-09-13T12:26:40Z");
  EXPECT_EQ(node["cpu"]["usageCoreNanoSeconds"].as_int(), 9'000'000'000);
  EXPECT_EQ(node["cpu"]["usageNanoCores"].as_int(), 250);
  EXPECT_EQ(node["cpu"]["psi"]["some"]["total"].as_int(), 1'500'000);
  EXPECT_EQ(node["memory"]["workingSetBytes"].as_int(), 900);
  EXPECT_TRUE(node["memory"]["availableBytes"].is_null()) << "without a limit nothing is said";
  EXPECT_EQ(node["swap"]["swapAvailableBytes"].as_int(), 90);
  EXPECT_EQ(node["network"]["name"].as_string(), "eth0");
  EXPECT_EQ(node["network"]["rxBytes"].as_int(), 1);
  EXPECT_EQ(node["network"]["interfaces"].items()[0]["txErrors"].as_int(), 7);
  EXPECT_EQ(node["fs"]["availableBytes"].as_int(), 60);
  EXPECT_EQ(node["runtime"]["imageFs"]["usedBytes"].as_int(), 77);
  EXPECT_EQ(node["runtime"]["containerFs"]["capacityBytes"].as_int(), 250);
  EXPECT_EQ(node["rlimit"]["maxpid"].as_int(), 1000);
  EXPECT_EQ(node["rlimit"]["curproc"].as_int(), 5);
  EXPECT_EQ(node["systemContainers"].items()[0]["name"].as_string(), "pods");
  ASSERT_EQ(tree->root["pods"].size(), 1U) << "what has no sandbox uses nothing";
  const Value& pod = tree->root["pods"].items()[0];
  EXPECT_EQ(pod["podRef"]["uid"].as_string(), "u");
  EXPECT_EQ(pod["process_stats"]["process_count"].as_int(), 3);
  EXPECT_EQ(pod["ephemeral-storage"]["usedBytes"].as_int(), 11 + 22 + 33);
  EXPECT_EQ(pod["volume"].items()[1]["name"].as_string(), "secret");
  EXPECT_EQ(pod["volume"].items()[1]["usedBytes"].as_int(), 44);
  const Value& claimed = pod["volume"].items()[2];
  EXPECT_EQ(
      to_json(claimed),
      R"({"time":"2023-11-14T22:13:20Z","availableBytes":70,"capacityBytes":90,"usedBytes":20,)"
      R"("inodesFree":7,"inodes":9,"inodesUsed":2,"name":"d","pvcRef":{"name":"orders",)"
      R"("namespace":"shop"}})");
  EXPECT_TRUE(pod["volume"].items()[3]["pvcRef"].is_null()) << "inline";
  const Value& c = pod["containers"].items()[0];
  EXPECT_EQ(c["memory"]["availableBytes"].as_int(), 30);
  EXPECT_TRUE(c["cpu"]["usageNanoCores"].is_null()) << "not known yet";
  EXPECT_EQ(c["rootfs"]["usedBytes"].as_int(), 11);
  EXPECT_EQ(c["logs"]["usedBytes"].as_int(), 22);
  auto less = parse_json(stats_summary("n1", figures(), false));
  ASSERT_TRUE(less.ok());
  EXPECT_TRUE(less->root["node"]["fs"].is_null());
  EXPECT_TRUE(less->root["pods"].items()[0]["network"].is_null());
  EXPECT_EQ(less->root["node"]["cpu"]["usageCoreNanoSeconds"].as_int(), 9'000'000'000);
}

void expect_lines(const std::string& text, std::initializer_list<const char*> lines) {
  for (const char* line : lines) {
    EXPECT_NE(("\n" + text).find("\n" + std::string(line) + "\n"), text.npos) << line << "\n"
                                                                              << text;
  }
}

TEST(Reports, ResourceMetrics) {
  expect_lines(
      resource_metrics(figures()),
      {"# TYPE node_cpu_usage_seconds_total counter",
       "node_cpu_usage_seconds_total 9 1700000000000",
       "node_memory_working_set_bytes 900 1700000000000", "node_swap_usage_bytes 10 1700000000000",
       "pod_cpu_usage_seconds_total{namespace=\"shop\",pod=\"web\"} 2 1700000000000",
       "container_memory_working_set_bytes{container=\"c\",namespace=\"shop\",pod=\"web\"} 50 "
       "1700000000000",
       "container_start_time_seconds{container=\"c\",namespace=\"shop\",pod=\"web\"} 1650000000.5",
       "resource_scrape_error 0"});
  NodeFigures failed = figures();
  failed.runtime = Status::unavailable("x");
  expect_lines(resource_metrics(failed), {"resource_scrape_error 1"});
}

TEST(Reports, VolumeMetrics) {
  NodeFigures f = figures();
  f.pods[1].ns = "shop";  // shares the claim
  f.pods[1].claimed = f.pods[0].claimed;
  const std::string labels = "{namespace=\"shop\",persistentvolumeclaim=\"orders\"}";
  std::string expected;
  struct Row {
    const char *name, *help, *value;
  };
  for (const Row& r : {Row{"available_bytes", "Number of available bytes in the volume", "70"},
                       Row{"capacity_bytes", "Capacity in bytes of the volume", "90"},
                       Row{"inodes", "Maximum number of inodes in the volume", "9"},
                       Row{"inodes_free", "Number of free inodes in the volume", "7"},
                       Row{"inodes_used", "Number of used inodes in the volume", "2"},
                       Row{"used_bytes", "Number of used bytes in the volume", "20"}}) {
    const std::string name = "kubelet_volume_stats_" + std::string(r.name);
    expected += "# HELP " + name + " [ALPHA] " + r.help + "\n# TYPE " + name + " gauge\n" + name +
                labels + " " + r.value + "\n";
  }
  EXPECT_EQ(volume_metrics(f), expected);
}

TEST(Reports, ContainerMetrics) {
  const std::string text = container_metrics(figures(), 4, 4096);
  expect_lines(
      text,
      {"container_cpu_usage_seconds_total{container=\"\",id=\"/\",image=\"\",name=\"\",namespace="
       "\"\",pod=\"\",cpu=\"total\"} 9 1700000000000",
       "container_cpu_usage_seconds_total{container=\"c\",id=\"/kubepods/podu/"
       "c1\",image=\"img\\\"1\",name=\"c1\",namespace=\"shop\",pod=\"web\",cpu=\"total\"} 2 "
       "1700000000000",
       "container_memory_working_set_bytes{container=\"\",id=\"/kubepods/podu\",image=\"\",name="
       "\"\",namespace=\"shop\",pod=\"web\"} 50 1700000000000",
       "container_network_receive_bytes_total{container=\"\",id=\"/"
       "\",image=\"\",name=\"\",namespace="
       "\"\",pod=\"\",interface=\"eth0\"} 1 1700000000000",
       "container_pressure_cpu_waiting_seconds_total{container=\"\",id=\"/"
       "\",image=\"\",name=\"\","
       "namespace=\"\",pod=\"\"} 1.5 1700000000000",
       "machine_cpu_cores 4", "machine_memory_bytes 4096", "container_scrape_error 0"});
  EXPECT_EQ(text.find("waiting"), text.find("waiting_seconds"));
  // One that runs in a machine of its own: what the runtime tells, and no more.
  NodeFigures f = figures();
  f.pods[0].containers[0].use.cgroup.clear();
  const std::string told = container_metrics(f, 4, 4096);
  EXPECT_NE(told.find("container_memory_rss{container=\"c\""), told.npos);
  EXPECT_EQ(told.find("container_memory_cache{container=\"c\""), told.npos);
}

}  // namespace
}  // namespace keles::node
