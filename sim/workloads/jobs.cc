// Jobs: indexed or not, with a time to live, with policies of failure and success.
#include "api/batch_v1.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace batch = api::batch_v1;

class Jobs final : public KindWorkload {
 public:
  Jobs() : KindWorkload(&kind_of<batch::Job>()) {}

  std::string check(const Look& look) const override {
    return look.each<batch::Job>("/registry/jobs/", [&](const batch::Job& job) -> std::string {
      if (Look::is_dying(job.metadata()) || look.is_closing(job.metadata())) return "";
      bool ended = is_true(job.status().conditions(), "Complete") ||
                   is_true(job.status().conditions(), "Failed");
      // Its pods that are held are waited for.
      if (!ended) return look.holds_a_pod(job.metadata().uid()) ? "" : "has not ended";
      return job.spec().has_ttl_seconds_after_finished() ? "has outlived its time" : "";
    });
  }

 protected:
  std::string body(Random& random, const std::string& app) override {
    std::string more = random.chance(0.6) ? ", ttlSecondsAfterFinished: 5" : "";
    if (random.chance(0.5)) {
      more += ", completionMode: Indexed";
      if (random.chance(0.5)) more += ", backoffLimitPerIndex: 1";
      if (random.chance(0.3)) more += ", successPolicy: {rules: [{succeededCount: 1}]}";
    }
    if (random.chance(0.3)) {
      more +=
          ", podFailurePolicy: {rules: [{action: Ignore, onPodConditions: "
          "[{type: DisruptionTarget, status: 'True'}]}]}";
    }
    return "spec: {completions: " + std::to_string(random.between(1, 3)) +
           ", parallelism: " + std::to_string(random.between(1, 2)) + ", backoffLimit: 2" + more +
           ", template: " + pod_template(random, app, "Never") + "}\n";
  }
  std::string change(Random& random) override {
    return "spec: {parallelism: " + std::to_string(random.between(1, 3)) + "}";
  }
};

}  // namespace

std::unique_ptr<Workload> make_jobs() { return std::make_unique<Jobs>(); }

}  // namespace keles::sim
