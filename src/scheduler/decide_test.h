// Objects and a decision in a few words, for the scheduler's tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "machinery/codec_yaml.h"
#include "scheduler/cache.h"
#include "scheduler/decide.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/preemption.h"

namespace keles::scheduler {

template <class T>
Ref<T> yaml(const std::string& text) {
  Result<Document> d = parse_yaml(text);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << "\n" << text;
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

inline std::string node_text(const std::string& name, const std::string& cpu = "4",
                             const std::string& labels = "", const std::string& spec = "") {
  return "apiVersion: v1\nkind: Node\nmetadata: {name: " + name +
         ", labels: {kubernetes.io/hostname: " + name + labels + "}}\nspec: {" + spec +
         "}\nstatus: {allocatable: {cpu: '" + cpu + "', memory: 8Gi, pods: '110'}}";
}

inline std::string pod_text(const std::string& name, const std::string& spec = "",
                            const std::string& meta = "") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: default, uid: uid-" +
         name + meta +
         "}\nspec:\n  schedulerName: default-scheduler\n  containers: [{name: c, image: i}]\n" +
         spec;
}

// What a series without labels stands at in this process; 0 when there is none.
inline int metric_now(const std::string& series) {
  const std::string all = metrics::expose();
  const size_t at = all.find("\n" + series + " ");
  return at == all.npos ? 0 : std::stoi(all.substr(at + 2 + series.size()));
}

inline std::string requests(const std::string& cpu) {
  return "  initContainers: []\n  overhead: {cpu: '" + cpu + "'}\n";
}

class DecideTest : public testing::Test {
 protected:
  Cache cache;
  std::unique_ptr<Profile> profile = default_profile();
  Decider decider;
  Random random{7};
  void SetUp() override {
    cache.set_namespace(*yaml<api::core_v1::Namespace>("metadata: {name: default}"));
  }
  void node(const std::string& text) { cache.set_node(*yaml<api::core_v1::Node>(text)); }
  PodPtr pod(const std::string& text) { return extract_pod(*yaml<api::core_v1::Pod>(text)); }
  void placed(const std::string& text) { cache.set_pod(pod(text)); }
  std::string choose(const std::string& text) {
    Cycle cycle(pod(text), *profile);
    Decision d = decider.decide(cycle, cache.view(), random);
    return d.node.empty() ? d.failure.message() : d.node;
  }
  // What preemption chooses: "a: low", or why nothing.
  std::string preempt(const std::string& text, const std::vector<Budget>& budgets = {}) {
    Cycle cycle(pod(text), *profile);
    Decision d = decider.decide(cycle, cache.view(), random);
    EXPECT_EQ(d.node, "");
    std::map<std::string, int> why;
    auto found = find_candidates(cycle, d.failure, budgets, 0, 100, &why);
    const Candidate* best = pick_candidate(found, WallTime());
    std::string out;
    if (!best) {
      for (const auto& [reason, n] : why) out += std::to_string(n) + " " + reason + ";";
      return out;
    }
    out = best->node + ":";
    for (const PodPtr& v : best->victims) out += " " + v->name;
    return out;
  }
};

}  // namespace keles::scheduler
