// StatefulSets, both ways of managing their pods, some with claims that go with them.
#include "api/apps_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace apps = api::apps_v1;

class StatefulSets final : public KindWorkload {
 public:
  StatefulSets() : KindWorkload(&kind_of<apps::StatefulSet>()) {}

  std::string check(const Look& look) const override {
    return look.each<apps::StatefulSet>(
        "/registry/statefulsets/", [&](const apps::StatefulSet& set) -> std::string {
          if (Look::is_dying(set.metadata()) || look.is_closing(set.metadata())) return "";
          if (has_a_name_held(look, set)) return "";
          auto s = set.status();
          int64_t n = set.spec().replicas();
          bool level = s.observed_generation() == set.metadata().generation() &&
                       s.replicas() == n && s.ready_replicas() == n && s.updated_replicas() == n;
          return level ? "" : "is not level";
        });
  }

 protected:
  std::string body(Random& random, const std::string& app) override {
    std::string parallel = random.chance(0.3) ? ", podManagementPolicy: Parallel" : "";
    const char* keeps[] = {"Retain", "Delete"};
    std::string policy = std::string("{whenDeleted: ") + keeps[random.below(2)] +
                         ", whenScaled: " + keeps[random.below(2)] + "}";
    return "spec: {selector: {matchLabels: {tenant: " + app +
           "}}, template: " + pod_template(random, app, "Always") +
           ", replicas: " + number(random, 4) + ", serviceName: s" + parallel +
           ", updateStrategy: {rollingUpdate: {maxUnavailable: " +
           std::to_string(random.between(1, 2)) +
           "}}, persistentVolumeClaimRetentionPolicy: " + policy + "}\n";
  }
  std::string change(Random& random) override {
    if (random.chance(0.5)) return "spec: {replicas: " + number(random, 4) + "}";
    return "spec: {template: {metadata: {annotations: {turn: '" + number(random, 4) + "'}}}}";
  }

 private:
  // A pod that is held keeps its name from the next one: of this set, or of one before it.
  static bool has_a_name_held(const Look& look, const apps::StatefulSet& set) {
    if (look.holds_a_pod(set.metadata().uid())) return true;
    std::string prefix = "/registry/pods/" + std::string(set.metadata().namespace_()) + "/" +
                         std::string(set.metadata().name()) + "-";
    bool held = false;
    look.snapshot().scan(prefix, "", [&](std::string_view, const ObjectPtr& o) {
      held = held || look.is_excused(o->uid());
      return !held;
    });
    return held;
  }
};

}  // namespace

std::unique_ptr<Workload> make_statefulsets() { return std::make_unique<StatefulSets>(); }

}  // namespace keles::sim
