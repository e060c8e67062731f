// Bare pods, and deletions of anybody's pods.
#include "api/core_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;

class Pods final : public KindWorkload {
 public:
  Pods() : KindWorkload(&kind_of<core::Pod>()) {}

  // That pods run is for everybody (Look::common); that ended ones have let go of their addresses
  // is the checker's.
  std::string check(const Look& look) const override {
    return look.each<core::Pod>("/registry/pods/", [](const core::Pod& p) -> std::string {
      bool ended = p.status().phase() == "Succeeded" || p.status().phase() == "Failed";
      if (Look::is_dying(p.metadata()) || ended) return "";
      return p.spec().node_name().empty() ? "has no node" : "";
    });
  }

 protected:
  std::string body(Random& random, const std::string&) override {
    return "spec: {terminationGracePeriodSeconds: " + number(random, 3) +
           ", containers: [{name: c, image: 'i:1', resources: {requests: {cpu: 10m, memory: "
           "8Mi}}}]}\n";
  }
  std::string change(Random& random) override {
    return "spec: {containers: [{name: c, image: 'i:" + number(random, 3) +
           "', resources: {requests: {cpu: 10m, memory: 8Mi}}}]}";
  }
};

}  // namespace

std::unique_ptr<Workload> make_pods() { return std::make_unique<Pods>(); }

}  // namespace keles::sim
