// ReplicaSets of their own, without a Deployment; and the check of every ReplicaSet.
#include "api/apps_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace apps = api::apps_v1;

class ReplicaSets final : public KindWorkload {
 public:
  ReplicaSets() : KindWorkload(&kind_of<apps::ReplicaSet>()) {}

  std::string check(const Look& look) const override {
    return look.each<apps::ReplicaSet>("/registry/replicasets/", [&](const apps::ReplicaSet& rs) {
      if (Look::is_dying(rs.metadata()) || look.is_closing(rs.metadata())) return std::string();
      int64_t have = look.active_pods(rs.metadata().uid());
      if (have == rs.spec().replicas()) return std::string();
      return "has " + std::to_string(have) + " pods of " + std::to_string(rs.spec().replicas());
    });
  }

 protected:
  std::string body(Random& random, const std::string& app) override {
    return "spec: {selector: {matchLabels: {tenant: " + app +
           "}}, template: " + pod_template(random, app, "Always") +
           ", replicas: " + number(random, 4) + "}\n";
  }
  std::string change(Random& random) override {
    return "spec: {replicas: " + number(random, 4) + "}";
  }
};

}  // namespace

std::unique_ptr<Workload> make_replicasets() { return std::make_unique<ReplicaSets>(); }

}  // namespace keles::sim
