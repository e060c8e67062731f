#include "scheduler/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/decide_test.h"

namespace keles::scheduler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<SchedulerConfig> parse(const std::string& more) {
  return parse_scheduler_config(
      "f", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n" + more);
}

std::string error_of(const std::string& more) {
  auto c = parse(more);
  return c.ok() ? "none" : c.status().message();
}

// The names at a point, in order, with weights at kScore.
std::vector<std::string> at(const ProfileOptions& p, Point point) {
  std::vector<std::string> out;
  for (const Layout::Entry& e : p.layout.entries) {
    if (!(e.points & point)) continue;
    auto plugin = find_plugin_kind(e.plugin)->make({});
    if (!((*plugin)->points() & point)) continue;
    out.push_back(point == kScore ? e.plugin + "=" + std::to_string(e.weight) : e.plugin);
  }
  return out;
}

TEST(SchedulerConfig, NothingSetIsTheDefaultProfile) {
  auto c = parse("");
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  ASSERT_EQ(c->options.profiles.size(), 1u);
  EXPECT_EQ(c->options.profiles[0].name, "default-scheduler");
  EXPECT_EQ(c->options.initial_backoff, 1s);
  EXPECT_EQ(c->options.max_backoff, 10s);
  EXPECT_TRUE(c->leader_elect);
  EXPECT_EQ(c->warnings, std::vector<std::string>{});
}

TEST(SchedulerConfig, ProfilesEnableAndDisable) {
  auto c = parse(
      "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\npercentageOfNodesToScore: 30\n"
      "leaderElection: {leaderElect: false}\n"
      "profiles:\n"
      "- schedulerName: a\n"
      "  percentageOfNodesToScore: 100\n"
      "  plugins:\n"
      "    score: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit, weight: 7}]}\n"
      "    filter: {disabled: [{name: NodePorts}]}\n"
      "- schedulerName: b\n"
      "  plugins:\n"
      "    multiPoint:\n"
      "      disabled: [{name: InterPodAffinity}]\n"
      "      enabled: [{name: TaintToleration, weight: 9}]\n"
      "    filter: {enabled: [{name: NodeResourcesFit}]}\n");
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  const SchedulerOptions& o = c->options;
  EXPECT_EQ(o.initial_backoff, 2s);
  EXPECT_EQ(o.max_backoff, 20s);
  EXPECT_EQ(o.percentage_of_nodes_to_score, 30);
  EXPECT_FALSE(c->leader_elect);
  ASSERT_EQ(o.profiles.size(), 2u);
  EXPECT_THAT(at(o.profiles[0], kScore), ElementsAre("NodeResourcesFit=7"));
  EXPECT_THAT(at(o.profiles[0], kFilter), testing::Not(testing::Contains("NodePorts")));
  EXPECT_THAT(at(o.profiles[0], kPreFilter), testing::Contains("NodePorts"));
  EXPECT_EQ(o.profiles[0].percentage, 100);
  const auto scores = at(o.profiles[1], kScore);
  EXPECT_THAT(scores, testing::Contains("TaintToleration=9"));
  EXPECT_THAT(scores, testing::Not(testing::Contains("InterPodAffinity=2")));
  EXPECT_EQ(at(o.profiles[1], kFilter).front(), "NodeResourcesFit");
}

TEST(SchedulerConfig, ArgumentsAreReadAsStrictly) {
  auto c = parse(
      "profiles:\n- pluginConfig:\n"
      "  - name: NodeResourcesFit\n"
      "    args: {ignoredResources: [example.com/x], scoringStrategy: {type: MostAllocated}}\n");
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  const Value& args = c->options.profiles[0].args.at("NodeResourcesFit")->root;
  EXPECT_EQ(args["scoringStrategy"]["type"].as_string(), "MostAllocated");
  EXPECT_THAT(
      error_of("profiles:\n- pluginConfig:\n  - name: NodeResourcesFit\n    args: {x: 1}\n"),
      HasSubstr("f:6: profiles[0].pluginConfig[0].args.x: unknown field"));
  EXPECT_THAT(error_of("profiles:\n- pluginConfig:\n  - name: InterPodAffinity\n    args:\n"
                       "      hardPodAffinityWeight: 101\n"),
              HasSubstr("profiles[0].pluginConfig[0].args.hardPodAffinityWeight: "));
  EXPECT_THAT(error_of("profiles:\n- pluginConfig:\n  - name: NodeName\n    args: {}\n"),
              HasSubstr("the plugin takes no arguments"));
}

TEST(SchedulerConfig, WhatIsWrongIsNamed) {
  struct Case {
    const char *text, *want;
  };
  const Case cases[] = {
      {"parallelism: 0\n", "f:3: parallelism: "},
      {"profiles:\n- plugins: {filter: {enabled: [{name: Nope}]}}\n",
       "profiles[0].plugins.filter.enabled[0].name: there is no plugin \"Nope\""},
      {"profiles:\n- schedulerName: a\n- schedulerName: a\n",
       "profiles[1].schedulerName: Duplicate value: \"a\""},
      {"profiles:\n- schedulerName: a\n- {}\n", "profiles[1].schedulerName: Required value"},
      {"podMaxBackoffSeconds: 1\npodInitialBackoffSeconds: 2\n",
       "podMaxBackoffSeconds: must be greater than or equal to podInitialBackoffSeconds"},
      {"percentageOfNodesToScore: 101\n", "percentageOfNodesToScore: "},
      {"profiles:\n- plugins: {bind: {disabled: [{name: '*'}]}}\n",
       "at least one bind plugin is needed"},
      {"nope: 1\n", "f:3: nope: unknown field"},
  };
  for (const Case& c : cases) EXPECT_THAT(error_of(c.text), HasSubstr(c.want)) << c.text;
}

}  // namespace
}  // namespace keles::scheduler
