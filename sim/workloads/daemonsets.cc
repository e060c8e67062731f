// DaemonSets, with and without surge.
#include "api/apps_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace apps = api::apps_v1;

class DaemonSets final : public KindWorkload {
 public:
  DaemonSets() : KindWorkload(&kind_of<apps::DaemonSet>()) {}

  std::string check(const Look& look) const override {
    return look.each<apps::DaemonSet>(
        "/registry/daemonsets/", [&](const apps::DaemonSet& set) -> std::string {
          if (Look::is_dying(set.metadata()) || look.is_closing(set.metadata())) return "";
          if (look.holds_a_pod(set.metadata().uid())) return "";
          auto s = set.status();
          int64_t n = s.desired_number_scheduled();
          bool level = s.observed_generation() == set.metadata().generation() && n > 0 &&
                       s.number_ready() == n && s.updated_number_scheduled() == n;
          return level ? "" : "is not level";
        });
  }

 protected:
  std::string body(Random& random, const std::string& app) override {
    std::string surge = random.chance(0.3)
                            ? ", updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: "
                              "1, maxUnavailable: 0}}"
                            : "";
    return "spec: {selector: {matchLabels: {tenant: " + app +
           "}}, template: " + pod_template(random, app, "Always") + surge + "}\n";
  }
  std::string change(Random& random) override {
    return "spec: {template: {metadata: {annotations: {turn: '" + number(random, 4) + "'}}}}";
  }
};

}  // namespace

std::unique_ptr<Workload> make_daemonsets() { return std::make_unique<DaemonSets>(); }

}  // namespace keles::sim
