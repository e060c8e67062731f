#include "node/probes/probe_metrics.h"

#include <gtest/gtest.h>

namespace keles::node {
namespace {

TEST(ProbeMetrics, CountResultsAndTimeSuccesses) {
  ProbeMetrics m;
  const ProbeMetrics::Of web{"Readiness", "c", "web", "shop", "u1"};
  m.observe(web, true, 20ms);
  m.observe(web, true, 2s);
  m.observe(web, false, 1s);
  ProbeMetrics::Of before = web;
  before.uid = "u0";  // a pod of the same name that is about to go
  m.observe(before, true, 1ms);
  const std::string text = m.text(1.5);
  for (const char* line :
       {"process_start_time_seconds 1.5\n", "# TYPE prober_probe_total counter\n",
        "prober_probe_total{container=\"c\",namespace=\"shop\",pod=\"web\",pod_uid=\"u1\",probe_"
        "type="
        "\"Readiness\",result=\"successful\"} 2\n",
        "pod_uid=\"u1\",probe_type=\"Readiness\",result=\"failed\"} 1\n",
        "pod_uid=\"u0\",probe_type=\"Readiness\",result=\"successful\"} 1\n",
        "# TYPE prober_probe_duration_seconds histogram\n",
        "prober_probe_duration_seconds_bucket{container=\"c\",namespace=\"shop\",pod=\"web\","
        "probe_type=\"Readiness\",le=\"0.005\"} 1\n",
        "le=\"0.025\"} 2\n", "le=\"1\"} 2\n", "le=\"2.5\"} 3\n", "le=\"+Inf\"} 3\n",
        "prober_probe_duration_seconds_count{container=\"c\",namespace=\"shop\",pod=\"web\","
        "probe_type=\"Readiness\"} 3\n"}) {
    EXPECT_NE(text.find(line), text.npos) << line << text;
  }
  m.forget("u1");
  m.forget("u0");
  EXPECT_EQ(m.text(0).find("prober"), std::string::npos);
}

}  // namespace
}  // namespace keles::node
