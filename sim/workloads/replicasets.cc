// ReplicaSets of their own, without a Deployment, and ReplicationControllers; and the check of
// every one of them.
#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace apps = api::apps_v1;
namespace core = api::core_v1;

template <class O>
class Replicas : public KindWorkload {
 public:
  explicit Replicas(const char* prefix) : KindWorkload(&kind_of<O>()), prefix_(prefix) {}

  std::string check(const Look& look) const override {
    return look.each<O>(prefix_, [&](const O& rs) {
      if (Look::is_dying(rs.metadata()) || look.is_closing(rs.metadata())) return std::string();
      int64_t have = look.active_pods(rs.metadata().uid());
      if (have == rs.spec().replicas()) return std::string();
      return "has " + std::to_string(have) + " pods of " + std::to_string(rs.spec().replicas());
    });
  }

 protected:
  std::string body(Random& random, const std::string& app) override {
    const bool older = std::is_same_v<O, core::ReplicationController>;
    const std::string labels = "{tenant: " + app + "}";
    return "spec: {selector: " + (older ? labels : "{matchLabels: " + labels + "}") +
           ", template: " + pod_template(random, app, "Always") +
           ", replicas: " + number(random, 4) + "}\n";
  }
  std::string change(Random& random) override {
    return "spec: {replicas: " + number(random, 4) + "}";
  }

 private:
  const char* prefix_;
};

}  // namespace

std::unique_ptr<Workload> make_replicasets() {
  return std::make_unique<Replicas<apps::ReplicaSet>>("/registry/replicasets/");
}

std::unique_ptr<Workload> make_replicationcontrollers() {
  return std::make_unique<Replicas<core::ReplicationController>>("/registry/controllers/");
}

}  // namespace keles::sim
